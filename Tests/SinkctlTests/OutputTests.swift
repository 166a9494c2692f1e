import Foundation
import SinkTelemetry
import SinkThreads
import TestServers
import Testing

@testable import sinkctl

@Suite struct LineBacklogTests {
  static func backlog(limitBytes: Int = 1000) -> LineBacklog {
    LineBacklog(limitBytes: limitBytes) { "(\($0) lines missing)" }
  }

  static func taken(_ backlog: inout LineBacklog) -> String { String(decoding: backlog.take(), as: UTF8.self) }

  @Test func theProgressLineStandsBelowWhateverComes() {
    var backlog = Self.backlog()
    let clear = "\r\u{1B}[2K"
    backlog.append("one")
    #expect(Self.taken(&backlog) == "one\n")
    backlog.showProgress("10 rows")
    #expect(Self.taken(&backlog) == "10 rows")
    backlog.append("two")
    #expect(Self.taken(&backlog) == "\(clear)two\n10 rows")
    backlog.showProgress("20 rows")
    backlog.showProgress("30 rows")
    #expect(Self.taken(&backlog) == "\(clear)30 rows", "only the last one is worth drawing")
    backlog.endProgress()
    #expect(Self.taken(&backlog) == "\(clear)30 rows\n", "it stays")
    backlog.append("three")
    #expect(Self.taken(&backlog) == "three\n")
    #expect(backlog.isEmpty)
  }

  @Test func whatFindsNoRoomIsCountedAndSaidOnce() {
    var backlog = Self.backlog(limitBytes: 20)
    for line in ["0123456789", "01234567", "x", "yyyyyyyyyyy", "z"] { backlog.append(line) }
    #expect(Self.taken(&backlog) == "0123456789\n01234567\n(3 lines missing)\n")
    backlog.append("again")
    #expect(Self.taken(&backlog) == "again\n")
  }
}

@Suite struct ErrorOutputTests {
  /// A pipe that nobody reads holds up neither those who speak nor the end of the process; once it is read again, the
  /// lines that are missing are counted.
  @Test func aReaderWhoStopsReadingHoldsUpNobody() async {
    let pipe = Pipe()
    let output = ErrorOutput(descriptor: pipe.fileHandleForWriting.fileDescriptor, limitBytes: 100_000)
    output.update { $0.describeDropped = { "dropped \($0)" } }
    let line = String(repeating: "x", count: 99)
    let total = 10_000
    for _ in 0..<total { output.update { $0.append(line) } }
    output.flush(within: .milliseconds(50))

    let reader = pipe.fileHandleForReading.fileDescriptor
    let text = await withCheckedContinuation { continuation in
      NamedThread(name: "reader") {
        let file = FileHandle(fileDescriptor: reader, closeOnDealloc: false)
        var text = ""
        while !text.contains("last\n") { text += String(decoding: file.availableData, as: UTF8.self) }
        continuation.resume(returning: text)
      }.detach()
      // It has been said what is missing before more is taken.
      output.flush(within: .patience)
      output.update { $0.append("last") }
    }
    let lines = text.split(separator: "\n")
    let dropped = lines.compactMap { $0.hasPrefix("dropped ") ? Int($0.dropFirst(8)) : nil }
    #expect(dropped.count >= 1, "nothing was dropped: the test says nothing")
    #expect(lines.count { $0 == line } + dropped.reduce(0, +) == total, "\(dropped)")
  }
}

@Suite struct LogWriterTests {
  static let events = [
    LogEvent(
      level: .warning, message: "odd\nwords\u{1B}[2J", metadata: [("table", "a b"), ("code", "\"1\""), ("n", "2")],
      source: "librdkafka"),
    LogEvent(level: .critical, message: "over", source: "pipeline"),
  ]

  static func lines(_ format: SinkctlConfiguration.LogFormat) -> [String] {
    let writer = LogWriter(format: format, time: .system)
    return events.map { writer.line($0, at: 1_795_521_382_234_000_000) }
  }

  @Test func textIsForPeople() {
    #expect(
      Self.lines(.text) == [
        #"2026-11-24T11:56:22.234Z warning  librdkafka: odd\nwords\u001b[2J table="a b" code="\"1\"" n=2"#,
        "2026-11-24T11:56:22.234Z critical pipeline: over",
      ])
  }

  @Test func journaldGetsPrioritiesAndNoTimes() {
    #expect(
      Self.lines(.journald) == [
        #"<4>librdkafka: odd\nwords\u001b[2J table="a b" code="\"1\"" n=2"#, "<2>pipeline: over",
      ])
  }

  @Test func jsonIsOneObjectALine() throws {
    for (line, event) in zip(Self.lines(.json), Self.events) {
      #expect(!line.contains("\n"))
      let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
      #expect(object["message"] == event.message)
      #expect(object["level"] == event.level.description)
      #expect(object["time"] == "2026-11-24T11:56:22.234Z")
      for (key, value) in event.metadata { #expect(object[key] == value) }
    }
    let twice = LogEvent(level: .info, message: "m", metadata: [("message", "other")], source: "s")
    #expect(
      LogWriter(format: .json, time: .system).line(twice, at: 0)
        == #"{"time":"1970-01-01T00:00:00.000Z","level":"info","source":"s","message":"m","event_message":"other"}"#)
  }
}
