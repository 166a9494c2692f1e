import Testing

@testable import Pipeline

@Suite struct TransformTests {
  static let text =
    #"{"id":18446744073709551615,"price":12345678901234567890.123456789,"name":"ä\n\"q\"","none":null,"yes":true,"o":{"a": [1, 2]},"list":[]}"#

  /// What nobody touches comes out as it came in, to the last digit.
  @Test func whatIsNotTouchedIsNotChanged() throws {
    let fields = try RecordFields(json: Self.text)
    #expect(fields.json == Self.text)
    #expect(fields.names == ["id", "price", "name", "none", "yes", "o", "list"])
    #expect(fields["id"] == .number("18446744073709551615"))
    #expect(fields["price"] == .number("12345678901234567890.123456789"))
    #expect(fields["name"] == .string("ä\n\"q\""))
    #expect(fields["none"] == .null && fields["yes"] == .bool(true))
    #expect(fields["o"] == .json(#"{"a": [1, 2]}"#) && fields["list"] == .json("[]"))
    #expect(fields["nobody"] == nil)
  }

  @Test func fieldsAreSetAddedAndTakenAway() throws {
    var fields = try RecordFields(json: #" { "a" : 1 , "b\u0041" : "x" } "#)
    #expect(fields["bA"]?.text == "x" && fields["a"]?.int64 == 1)
    fields["a"] = .integer(UInt64.max)
    fields["new \"n\""] = .string("t\u{1}\\")
    fields["bA"] = nil
    fields["d"] = .double(.nan)
    fields["e"] = .double(0.1)
    fields["gone"] = nil
    #expect(fields.json == #"{"a":18446744073709551615,"new \"n\"":"t\u0001\\","d":"nan","e":0.1}"#)
    #expect(fields.names == ["a", #"new "n""#, "d", "e"])
    fields["bA"] = .null
    #expect(fields.json.hasSuffix(#","bA":null}"#))
  }

  @Test(arguments: [
    ("[]", Rejection.Reason.notAnObject), ("1", .notAnObject), ("{", .invalidJSON), (#"{"a":1}x"#, .invalidJSON),
    (#"{"a":1,"a":2}"#, .duplicateKey), (#"{"a":1,"\u0061":2}"#, .duplicateKey),
  ]) func whatIsNoRecordIsRefused(text: String, reason: Rejection.Reason) {
    do throws(Rejection) {
      _ = try RecordFields(json: text)
      Issue.record("\(text) was taken")
    } catch {
      #expect(error.reason == reason, "\(text)")
    }
  }

  struct Double: Transform {
    func apply(to record: inout RecordFields) throws(Rejection) -> Verdict {
      guard let value = record["n"]?.int64 else {
        throw Rejection(reason: .transform, column: "n", message: "there is no n")
      }
      if value < 0 { return .drop }
      record["n"] = .integer(value * 2)
      return .keep
    }
  }

  /// One after the other, in their order; the first that drops or refuses ends it.
  @Test func transformsFollowEachOther() throws {
    let transforms: [any Transform] = [Double(), Double()]
    var fields = try RecordFields(json: #"{"n":3}"#)
    #expect(try transforms.applyAll(to: &fields) == .keep)
    #expect(fields["n"] == .number("12"))
    fields["n"] = .number("-1")
    #expect(try transforms.applyAll(to: &fields) == .drop)
    fields["n"] = nil
    #expect(throws: Rejection(reason: .transform, column: "n", message: "there is no n")) {
      _ = try transforms.applyAll(to: &fields)
    }
  }
}
