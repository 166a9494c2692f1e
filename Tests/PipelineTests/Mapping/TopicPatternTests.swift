import Testing

@testable import Pipeline

/// POSIX extended expressions, as librdkafka reads a subscription.
@Suite struct TopicPatternTests {
  @Test(arguments: [
    ("^events", "events", true), ("^events", "events.eu", true), ("^events", "my.events", false),
    ("^events\\.(eu|us)$", "events.eu", true), ("^events\\.(eu|us)$", "events.de", false),
    ("^e.{2}nts[0-9]+$", "events17", true), ("^e.{2}nts[0-9]+$", "events", false), ("^$", "", true),
  ]) func topicsMatch(pattern: String, topic: String, isMatch: Bool) throws {
    #expect(try TopicPattern(pattern).matches(topic) == isMatch)
  }

  @Test(arguments: ["^(", "^[a", "^a{2,1}"]) func whatIsNoExpressionIsNamed(pattern: String) {
    do throws(PipelineError) {
      _ = try TopicPattern(pattern)
      Issue.record("\(pattern) was taken")
    } catch {
      #expect(error.code == .configuration)
      #expect(error.message.hasPrefix("topic pattern '\(pattern)' is not a regular expression: "))
    }
  }
}
