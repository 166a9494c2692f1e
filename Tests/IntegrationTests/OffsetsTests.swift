import KafkaClient
import Pipeline
import TestServers
import Testing

extension RealBrokerTests {
  /// Offsets that are looked at and set from outside, on real brokers and the engine of today; and partitions that stand
  /// still, and go on.
  @Suite(.serialized, .needsKafkaAndEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct OffsetsTests {
    /// At the same time: most of it is waiting for sessions to end.
    @Test func offsetsAreSetAndPartitionsGoOn() async throws {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for (version, choice) in [("3.9.2", Recovery.Choice.insertAgain), ("4.4.0", .takeAsLanded)] {
          let broker = try await OffsetsSite.broker(version)
          group.addTask { try await resetInsertsEverythingAgain(broker) }
          group.addTask { try await commitsThatDoNotFit(broker) }
          group.addTask { try await blockThatIsPartlyThere(choice, broker) }
        }
        try await group.waitForAll()
      }
    }

    /// The same offsets in the same blocks, within the window: what is read again is inserted again, nothing is swallowed.
    private func resetInsertsEverythingAgain(_ broker: KafkaBroker) async throws {
      var site = try await OffsetsSite("offsets_reset_\(broker.version.prefix(1))", on: broker)
      // Blocks always end at the same offsets, by their rows alone.
      site.configuration.routes[0].block.linger = .seconds(60)
      let pipeline = try site.pipeline()
      try await withSink(site.configuration) { sink in
        try await sink.waitForAll(of: site.ledger)
        let offsets = try await pipeline.offsets()
        #expect(offsets.membership?.state == .stable)
        #expect(offsets.membership?.members.first?.instanceID == "one")
        #expect(offsets.partitions.first?.committed == 1000 && offsets.lag == 0)
        #expect(offsets.partitions.first?.commit == .intents)
        #expect(offsets.notes == [], "the rate of tokens among others is measured")
        // While it runs nothing can be set.
        let plan = try await pipeline.plan(OffsetReset(to: .earliest))
        #expect(plan.steps.first?.again == 1000)
        await #expect { try await pipeline.apply(plan) } throws: { ($0 as? PipelineError)?.code == .groupInUse }
        #expect(await sink.stop() == nil)
      }
      #expect(try await site.rows() == [1000, 1000])
      let first = try await site.held()
      try await pipeline.waitForEmptyGroup(within: .patience)
      try await pipeline.apply(try await pipeline.plan(OffsetReset(to: .earliest)))
      let reset = try await site.held()
      #expect(reset.committed == 0 && reset.commit == .plain && reset.lag == 1000)
      try await site.runToTheEnd()
      #expect(try await site.rows() == [2000, 1000])

      // The control: under the lineage of the first time all of it is swallowed.
      let words = first.metadata.split(separator: " ")
      try await site.write([(0, "s1 \(words[1]) 1 0")])
      try await site.runToTheEnd()
      #expect(try await site.rows() == [2000, 1000], "the blocks were cut otherwise: the test above shows nothing")

      // Forward: what lies between is never read.
      try await pipeline.waitForEmptyGroup(within: .patience)
      try await pipeline.apply(try await pipeline.plan(OffsetReset(to: .shift(-300))))
      #expect(try await site.held().committed == 700)
      try await pipeline.apply(try await pipeline.plan(OffsetReset(to: .latest)))
      try await site.ledger.produce(100, to: site.name, partitions: 1)
      try await site.runToTheEnd()
      #expect(try await site.rows() == [2100, 1100])
      await site.close()
    }

    /// A foreign commit is accepted as it stands; then the log is one that ends before the committed offset.
    private func commitsThatDoNotFit(_ broker: KafkaBroker) async throws {
      let site = try await OffsetsSite("offsets_foreign_\(broker.version.prefix(1))", on: broker)
      try await site.write([(400, "somebody else")])
      #expect(try await site.held().trouble == .foreignCommit)
      #expect(try await site.runIntoStops()[0].contains("sinkctl recover"))
      #expect(try await site.rows() == [0, 0])
      let plan = try await site.recover()
      #expect(plan.steps.first?.offset == 400)
      try await site.runToTheEnd()
      #expect(try await site.rows() == [600, 600])

      try await site.write([(5000, "s1 77 1 0")])
      #expect(try await site.held().trouble == .beyondLog)
      #expect(try await site.runIntoStops()[0].contains("the log ends at 1000"))
      #expect(try await site.recover().steps.first?.offset == 0)
      try await site.runToTheEnd()
      #expect(try await site.rows() == [1600, 1000])
      await site.close()
    }

    /// A block was declared, all of it landed, then half of it was deleted; and its table has changed since.
    private func blockThatIsPartlyThere(_ choice: Recovery.Choice, _ broker: KafkaBroker) async throws {
      let site = try await OffsetsSite(
        "offsets_\(choice.rawValue)_\(broker.version.prefix(1))", on: broker)
      try await site.runToTheEnd()
      // As its owner would have left it, had it died before the last commit.
      try await site.write([(800, "s1 77 1 0 \(OffsetsSite.pending(800...899, rows: 100)) \(String(99, radix: 32))x")])
      try await site.say(
        "ALTER TABLE \(site.name) DELETE WHERE _offset BETWEEN 840 AND 899 SETTINGS mutations_sync = 1")
      #expect(try await site.rows() == [940, 940])
      let words = try await site.runIntoStops()[0]
      #expect(words.contains("40 of them are in the table") && words.contains("sinkctl recover"), "\(words)")

      let pipeline = try site.pipeline()
      let open = try await site.plan()
      #expect(open.refused.first?.blocks.map(\.outcome) == [.undecided(lost: 60, doubled: 40)])
      await #expect { try await pipeline.apply(open) } throws: { ($0 as? PipelineError)?.code == .refused }
      let reset = try await pipeline.plan(OffsetReset(to: .latest))
      #expect(reset.refused.first?.reason.contains("in doubt") == true)

      _ = try await site.recover(choice)
      try await site.ledger.produce(100, to: site.name, partitions: 1)
      try await site.runToTheEnd()
      // Offsets 900 to 999 are noted as done behind the block, and are in the table once either way.
      #expect(try await site.rows() == (choice == .insertAgain ? [1140, 1100] : [1040, 1040]))
      await site.close()
    }
  }
}
