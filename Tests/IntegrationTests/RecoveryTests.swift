import Foundation
import KafkaClient
import Pipeline
import TestServers
import Testing

extension RealBrokerTests {
  /// What stops a partition, and what `recover` makes of it with either choice: a partition for each case, on one broker. The
  /// commits are as an owner would have left them that had died.
  @Suite(.serialized, .needsKafkaAndEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct RecoveryTests {
    @Test(arguments: ["4.4.0"]) func whatStopsAPartitionGoesOn(version: String) async throws {
      let broker = try await OffsetsSite.broker(version)
      // At the same time: most of it is waiting for sessions to end.
      async let retention: Void = retentionWasFaster(broker)
      async let truncated: Void = theLogEndsBeforeABlock(broker)
      async let uncountable: Void = theTableCannotTell(broker)
      async let more: Void = aRangeGivesMoreRows(broker)
      _ = try await (retention, truncated, uncountable, more)
    }

    private static let nothing = "s1 77 1 0"

    /// Offsets 100 to 199 in doubt, made under another mapping: they are counted first.
    private static func old(_ offsets: ClosedRange<Int64> = 100...199, _ token: Character = "5") -> String {
      "\(nothing) \(OffsetsSite.pending(offsets, rows: offsets.count, token: token))"
    }

    private func retentionWasFaster(_ broker: KafkaBroker) async throws {
      let site = try await OffsetsSite("recover_retention", on: broker, partitions: 4, records: 1200)
      try await site.write([
        (100, Self.nothing), (100, Self.old(100...149)), (100, Self.old(100...199, "6")),
        (100, Self.old(100...199, "7")),
      ])
      // Of the blocks in partitions 2 and 3, thirty rows had landed.
      try await site.say(
        "INSERT INTO \(site.name) (_topic, _partition, _offset) "
          + "SELECT '\(site.name)', 2 + intDiv(number, 30), 100 + number % 30 FROM numbers(60)")
      try await site.deleteRecords(before: 150)

      let stops = try await site.runIntoStops(4)
      let gone = "offset 100 is to be read next, but the log begins at 150: retention was faster"
      for (stop, words) in zip(stops, [gone, gone, "30 of them are in the table", "30 of them are in the table"]) {
        #expect(stop.contains(words) && stop.contains("sinkctl recover"), "\(stop)")
      }

      let open = try await site.plan()
      #expect(open.steps.map(\.offset) == [150, 150] && open.steps.map(\.skipped) == [50, 50], "\(open.steps)")
      #expect(open.steps[1].blocks.map(\.outcome) == [.lost(50)])
      #expect(
        open.refused.flatMap(\.blocks).map(\.outcome) == [
          .undecided(lost: 70, doubled: 30), .undecided(lost: 70, doubled: 30),
        ])
      try await site.recover(nil, 0)
      try await site.recover(nil, 1)
      #expect(try await site.recover(.takeAsLanded, 2).steps[0].blocks.map(\.outcome) == [.taken(lost: 70)])
      let again = try await site.recover(.insertAgain, 3).steps[0]
      // What the log no longer has is not inserted again.
      #expect(again.offset == 150 && again.skipped == 50 && again.blocks.map(\.outcome) == [.again(doubled: 30)])

      try await site.runToTheEnd()
      for (partition, rows) in [150, 150, 130, 180].enumerated() {
        #expect(try await site.rows(where: "_partition = \(partition)") == [rows, rows], "partition \(partition)")
      }
      #expect(try await site.rows(where: "_offset BETWEEN 130 AND 149") == [0, 0])
      #expect(try await site.rows(where: "_partition = 2 AND _offset BETWEEN 150 AND 199") == [0, 0])
      await site.close()
    }

    private func theLogEndsBeforeABlock(_ broker: KafkaBroker) async throws {
      let site = try await OffsetsSite("recover_truncated", on: broker, partitions: 2, records: 600)
      try await site.write([(250, Self.old(250...349)), (250, Self.old(250...349, "6"))])
      #expect(try await site.held().trouble == .beyondLog)
      for stop in try await site.runIntoStops(2) {
        #expect(stop.contains("the log ends before offset 349") && stop.contains("sinkctl recover"), "\(stop)")
      }
      let open = try await site.plan()
      #expect(
        open.refused.flatMap(\.blocks).map(\.outcome) == [
          .undecided(lost: 100, doubled: 0), .undecided(lost: 100, doubled: 0),
        ])
      #expect(try await site.recover(.takeAsLanded, 0).steps.map(\.offset) == [300])
      #expect(try await site.recover(.insertAgain, 1).steps.map(\.offset) == [250])
      try await site.ledger.produce(20, to: site.name, partitions: 2)
      try await site.runToTheEnd()
      #expect(
        try await site.numbers(
          "SELECT _partition, min(_offset), max(_offset), count() FROM \(site.name) "
            + "GROUP BY _partition ORDER BY _partition") == [0, 300, 309, 10, 1, 250, 309, 60])
      await site.close()
    }

    private func theTableCannotTell(_ broker: KafkaBroker) async throws {
      let site = try await OffsetsSite(
        "recover_uncounted", on: broker, partitions: 2, records: 600, columns: "id UInt64")
      try await site.write([(100, Self.old()), (100, Self.old(100...199, "6"))])
      for stop in try await site.runIntoStops(2) {
        #expect(stop.contains("the table cannot tell: it has no columns _topic, _partition, _offset"), "\(stop)")
      }
      let open = try await site.plan()
      #expect(
        open.refused.flatMap(\.blocks).map(\.outcome) == [
          .undecided(lost: 100, doubled: 100), .undecided(lost: 100, doubled: 100),
        ])
      #expect(open.refused.flatMap(\.blocks).allSatisfy { $0.found == nil })
      #expect(try await site.recover(.takeAsLanded, 0).steps.map(\.offset) == [200])
      #expect(try await site.recover(.insertAgain, 1).steps.map(\.offset) == [100])
      try await site.runToTheEnd()
      // Records go to the partitions in turns.
      #expect(
        try await site.numbers(
          "SELECT id % 2, count(), uniqExact(id) FROM \(site.name) GROUP BY id % 2 ORDER BY id % 2")
          == [0, 100, 100, 1, 200, 200])
      await site.close()
    }

    private func aRangeGivesMoreRows(_ broker: KafkaBroker) async throws {
      let site = try await OffsetsSite("recover_more", on: broker, partitions: 2, records: 400)
      try await site.runToTheEnd()
      // Under the mapping of today the block is young enough to be sent again without a look.
      let words = try await [site.held(0), site.held(1)].map {
        $0.metadata.split(separator: " ").prefix(4).joined(separator: " ")
      }
      try await site.write(
        (["5", "6"] as [Character]).enumerated().map { index, token in
          (100, "\(words[index]) \(OffsetsSite.pending(100...199, rows: 40, token: token))")
        })
      try await site.say(
        "ALTER TABLE \(site.name) DELETE WHERE _offset >= 100 SETTINGS mutations_sync = 1")
      for stop in try await site.runIntoStops(2) {
        #expect(stop.contains("offsets 100–199 gave 40 rows and give 100 now"), "\(stop)")
      }
      let open = try await site.plan(.insertAgain)
      #expect(
        open.untouched.count == 2 && open.untouched.allSatisfy { $0.reason.contains("needs a choice with --topic") })
      #expect(try await site.recover(.takeAsLanded, 0).steps.map(\.offset) == [200])
      #expect(try await site.recover(.insertAgain, 1).steps.map(\.offset) == [100])
      try await site.ledger.produce(20, to: site.name, partitions: 2)
      try await site.runToTheEnd()
      #expect(
        try await site.numbers(
          "SELECT _partition, count(), uniqExact(_offset) FROM \(site.name) "
            + "GROUP BY _partition ORDER BY _partition") == [0, 110, 110, 1, 210, 210])
      await site.close()
    }
  }
}

extension OffsetsSite {
  /// As retention does, of each partition.
  fileprivate func deleteRecords(before offset: Int64) async throws {
    let partitions = try await pipeline().offsets().partitions.map(\.partition.partition)
    let places = partitions.map { #"{"topic": "\#(name)", "partition": \#($0), "offset": \#(offset)}"# }
    let file = broker.directory.appending(path: "delete-\(name).json")
    try Data(#"{"version": 1, "partitions": [\#(places.joined(separator: ", "))]}"#.utf8).write(to: file)
    try await KafkaBroker.tool([
      "org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server", broker.bootstrap,
      "--offset-json-file", file.path,
    ])
  }
}
