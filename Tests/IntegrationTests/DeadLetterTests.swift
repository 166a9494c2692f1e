import ClickHouseClient
import Foundation
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

extension RealServerTests {
  /// Records that cannot become rows, by every policy, and servers that do not take the dead letters either.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct DeadLetterTests {
    private func fate(_ id: Int) -> RecordLedger.Fate {
      switch id {
      case let id where id % 97 == 5: .bad
      case let id where id % 131 == 7: .tombstone
      // Two side by side in a partition, and some that stand alone.
      case 300, 303, 450, 777: .refused
      default: .row
      }
    }

    @Test func aTopicGetsTheRecordAsItWasWithTheReason() async throws {
      let site = try await TestSite("dead_topic", partitions: 3, deadLetters: .topic("dead_topic.dead"))
      let ledger = site.ledger
      try await site.produce(1000, fate: fate)
      try await withSink(site.configuration()) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
        #expect(sink.status.tombstones == ledger.count(.tombstone))
        #expect(sink.status.deadLetters == ledger.count(.bad) + ledger.count(.refused))
      }
      try await site.expectComplete()
      let entries = ledger.entries
      for letter in try await site.deadLetterRecords() {
        let place = RecordLedger.Place(
          topic: letter.text("sinkctl.topic") ?? "", partition: Int32(letter.text("sinkctl.partition") ?? "") ?? -1,
          offset: Int64(letter.text("sinkctl.offset") ?? "") ?? -1)
        let entry = try #require(entries[place])
        #expect(letter.value == RecordLedger.value(entry.id, entry.fate, textBytes: 20))
        #expect(letter.key == (entry.id % 3 == 0 ? nil : Array("key \(entry.id)".utf8)))
        #expect(letter.text("trace") == (entry.id % 2 == 0 ? nil : "t\(entry.id)"))
        #expect(letter.headers.contains { $0.name == "empty" && $0.value == nil } == (entry.id % 2 == 1))
        #expect(letter.text("sinkctl.table") == site.name)
        if entry.fate == .bad {
          #expect(letter.text("sinkctl.reason") == "out_of_range")
          #expect(letter.text("sinkctl.column") == "level" && letter.text("sinkctl.value") == "70000")
        } else {
          #expect(letter.text("sinkctl.reason") == "server")
          #expect(letter.text("sinkctl.message")?.contains("469") == true, "\(letter.headers)")
        }
      }
    }

    @Test func aTableGetsThemInItsColumns() async throws {
      let (name, letters) = ("dead_table", "dead_table_letters")
      let site = try await TestSite(name, partitions: 3, deadLetters: .table(letters))
      let (clickhouse, ledger) = (site.clickhouse, site.ledger)
      try await site.produce(1000, fate: fate)
      try await withSink(site.configuration()) { sink in
        try await sink.waitForAll(of: ledger)
        // Its own table fails for a while: letters wait, nothing is lost, and reading goes on.
        _ = try await clickhouse.queryText("RENAME TABLE \(letters) TO \(name)_away")
        try await site.produce(500) { $0 % 50 == 0 ? .bad : .row }
        try await sink.wait("an alarm of the dead letter table") { status in
          status.alarms.contains { $0.table.contains(letters) }
        }
        _ = try await clickhouse.queryText("RENAME TABLE \(name)_away TO \(letters)")
        try await sink.waitForAll(of: ledger)
        #expect(sink.status.alarms.isEmpty)
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete()
      let bad = ledger.entries.first { $0.value.fate == .bad && $0.value.id % 3 != 0 }
      let (place, entry) = try #require(bad)
      let row = try await clickhouse.queryText(
        """
        SELECT _key, _value, table, reason, column, expected_type, value, _headers['trace'] FROM \(letters)
        WHERE _partition = \(place.partition) AND _offset = \(place.offset) FORMAT TSVRaw
        """)
      let value = String(decoding: RecordLedger.value(entry.id, .bad, textBytes: 20) ?? [], as: UTF8.self)
      let trace = entry.id % 2 == 1 ? "t\(entry.id)" : ""
      let expected = ["key \(entry.id)", value, name, "out_of_range", "level", "UInt8", "70000", trace]
      #expect(row.trimmingCharacters(in: .newlines).components(separatedBy: "\t") == expected)
    }

    @Test(arguments: [RecordLedger.Fate.bad, .refused])
    func stopEndsTheRunAtTheRecord(fate: RecordLedger.Fate) async throws {
      let name = "dead_stop_\(fate)"
      let site = try await TestSite(name, partitions: 1)
      try await site.produce(600) { $0 == 301 ? fate : .row }
      let configuration = site.configuration()
      try await withSink(configuration) { sink in
        let error = try #require(try await sink.end())
        #expect(error.code == .deadLetter)
        #expect(error.message.contains("\(name)[0]@300"), "\(error)")
        #expect(sink.status.partitions.first?.committed == 300)
      }
      let behind = try await site.clickhouse.queryText(
        "SELECT countIf(_offset < 300), countIf(_offset > 300) FROM \(name)")
      // What only the server refuses is found when later blocks have gone: these rows come again after the restart.
      let counts = behind.split(whereSeparator: \.isWhitespace)
      #expect(counts.first == "300")
      if fate == .bad { #expect(counts.last == "0", "nothing behind the record was inserted") }

      var next = configuration
      next.routes[0].deadLetters = .skip
      try await withSink(next) { sink in
        try await sink.waitForAll(of: site.ledger)
        #expect(sink.status.deadLetters == 1)
        #expect(await sink.stop() == nil)
      }
      await site.ledger.close()
      let found = try await site.clickhouse.queryText("SELECT uniqExact(_offset), max(_offset = 300) FROM \(name)")
      #expect(found.split(whereSeparator: \.isWhitespace) == ["599", "0"])
    }

    @Test func aTopicThatRefusesIsAskedUntilItTakesThem() async throws {
      let site = try await TestSite("dead_refused", partitions: 2, deadLetters: .topic("dead_refused.dead"))
      let (mock, ledger) = (site.servers.mock, site.ledger)
      try await site.produce(400) { $0 % 20 == 0 ? .bad : .row }
      await ledger.close()
      mock.refuse(.produce, with: Array(repeating: .topicAuthorizationFailed, count: 40))
      try await withSink(site.configuration()) { sink in
        try await sink.wait("an alarm of the dead letter topic") { status in
          status.alarms.contains { $0.message.contains("dead_refused.dead") }
        }
        try await sink.wait("the rows land meanwhile") { $0.rowsInserted == ledger.count(.row) }
        mock.clearRefusals(of: .produce)
        try await sink.waitForAll(of: ledger)
        try await sink.wait("the alarm is over") { $0.alarms.isEmpty }
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete()
    }

    /// Every row of some blocks is refused: each is found, and read again, in pieces.
    @Test func aBlockOfNothingButRefusedRows() async throws {
      let site = try await TestSite("dead_block", partitions: 1, deadLetters: .table("dead_block_letters"))
      try await site.produce(800) { (200..<600).contains($0) ? .refused : .row }
      try await withSink(site.configuration()) { sink in
        try await sink.waitForAll(of: site.ledger)
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete()
      let values = try await site.clickhouse.queryText(
        "SELECT count() FROM dead_block_letters WHERE reason = 'server' AND _value LIKE '%\"kind\":\"refused\"%'")
      #expect(values == "400\n", "each with the record's own bytes")
    }

    /// The table has the rows although the insert was refused: cutting the block would store them again.
    @Test func aViewThatFailsIsNotTheRowsFault() async throws {
      let name = "dead_view"
      let site = try await TestSite(name, partitions: 2, window: 100, deadLetters: .skip)
      let clickhouse = site.clickhouse
      _ = try await clickhouse.queryText("CREATE TABLE \(name)_sums (level UInt8) ENGINE = MergeTree ORDER BY level")
      _ = try await clickhouse.queryText(
        "CREATE MATERIALIZED VIEW \(name)_view TO \(name)_sums AS "
          + "SELECT toUInt8(level + throwIf(id = 123, 'view')) AS level FROM \(name)")
      try await site.produce(400)
      try await withSink(site.configuration()) { sink in
        try await sink.wait("an alarm of the table") { status in
          status.alarms.contains { $0.table == name && $0.message.contains("while pushing to view") }
        }
        _ = try await clickhouse.queryText("DROP VIEW \(name)_view")
        try await sink.waitForAll(of: site.ledger)
        #expect(sink.status.deadLetters == 0)
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete()
    }
  }
}
