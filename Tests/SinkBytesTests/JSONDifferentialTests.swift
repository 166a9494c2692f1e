import Foundation
import TestServers
import Testing

@testable import SinkBytes

/// The same texts, whole and damaged, read by us and by Python's parsers.
@Suite struct JSONDifferentialTests {
  /// Reads hexadecimal lines, writes what they mean, or `-` for what is no JSON. The standard parser takes more than the
  /// RFC has: what it does is narrowed. orjson, where it is installed, must be of one mind with it.
  static let script = #"""
    import json, struct, sys
    try:
        import orjson
    except ImportError:
        orjson = None

    class No(Exception): pass
    def no(text): raise No(text)
    def spell(value):
        if value is None: return "null"
        if value is True: return "true"
        if value is False: return "false"
        if isinstance(value, str): return "s" + value.encode("utf-8").hex()
        if isinstance(value, list): return "[" + ",".join(map(spell, value)) + "]"
        if isinstance(value, tuple): return "{" + ",".join(spell(k) + ":" + spell(v) for k, v in value) + "}"
        if value in (float("inf"), float("-inf")): return "inf"
        return "%x" % struct.unpack("<Q", struct.pack("<d", value))[0]
    def mean(data):
        text = data.decode("utf-8")
        return spell(json.loads(text, parse_constant=no, parse_int=float, object_pairs_hook=tuple))
    answers = []
    for line in open(sys.argv[1]):
        data = bytes.fromhex(line)
        try:
            answer = mean(data)
        except (ValueError, No):
            answer = "-"
        if orjson and "inf" not in answer:
            try:
                orjson.loads(data)
                if answer == "-": answer = "only orjson takes it"
            except orjson.JSONDecodeError:
                if answer != "-": answer = "only json takes it"
        answers.append(answer)
    open(sys.argv[2], "w").write("\n".join(answers))
    print("done with orjson" if orjson else "done without orjson")
    """#

  @Test(
    .enabled(if: TestMachine.python != nil, "there is no python3 here"), .timeLimit(.minutes(10)),
    arguments: [UInt64(1), 2])
  func weAgreeWithPython(seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    var texts: [[UInt8]] = []
    for _ in 0..<4000 {
      var bytes = Array(JSONTexts.random(&random).utf8)
      for _ in 0..<[0, 0, 1, 1, 2, 3].randomElement(using: &random)! where !bytes.isEmpty {
        let place = random.below(bytes.count)
        switch random.below(4) {
        case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes.remove(at: place)
        case 2: bytes.insert(Array("\"\\{}[]:,0-.eu \u{1}".utf8).randomElement(using: &random)!, at: place)
        default: bytes.removeLast(bytes.count - place)
        }
      }
      texts.append(bytes)
    }
    let answers = try await Self.ask(texts)
    try #require(answers.count == texts.count)
    var isJSON = 0
    for (text, answer) in zip(texts, answers) {
      let ours = (try? JSONTexts.meaning(text)) ?? "-"
      #expect(ours == answer, "seed \(seed): \(String(decoding: text, as: UTF8.self))")
      #expect((JSONTexts.error(text) == nil) == (ours != "-"), "skipping and reading differ")
      if ours != "-" { isJSON += 1 }
    }
    // The test means something only with many of both kinds.
    #expect(isJSON > 1000 && isJSON < 3500, "\(isJSON) of 4000 are JSON")
  }

  private static func ask(_ texts: [[UInt8]]) async throws -> [String] {
    let directory = FileManager.default.temporaryDirectory.appending(path: "sinkctl-json-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let (questions, answers) = (directory.appending(path: "questions"), directory.appending(path: "answers"))
    let lines = texts.map { $0.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
    try lines.joined(separator: "\n").write(to: questions, atomically: true, encoding: .utf8)
    let python = try ChildServer([TestMachine.python ?? "", "-c", script, questions.path, answers.path])
    defer { python.stop() }
    _ = try await python.waitForLine("done")
    return try String(contentsOf: answers, encoding: .utf8).components(separatedBy: "\n")
  }
}
