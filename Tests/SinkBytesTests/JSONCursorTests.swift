import Testing

@testable import SinkBytes

/// RFC 8259, all of it.
@Suite struct JSONCursorTests {
  @Test(arguments: [
    "null", "true", "false", "0", "-0", "-0.0", "10", "1.5", "1e5", "1E+5", "1e-5", "-1.25e-3",
    "123456789012345678901234",
    "0e99999999999999999999", "1e-99999999999999999999", #""""#, #""a""#, #""\"\\\/\b\f\n\r\t""#, #""\u0041\u00e9""#,
    #""\uD834\uDD1E""#, #""\u0000""#, "\"\u{7F}\"", "\"ä€😀\"", "\"\u{FFFF}\u{2028}\"", "[]", "{}", "[[],{}]", "[1,2]",
    #"{"":0}"#, #"{"a":1,"a":2}"#, " \t\n\r[ 1 , { \"a\" : null } ] \n",
  ]) func isJSON(text: String) {
    #expect(JSONTexts.error(text) == nil)
  }

  @Test(arguments: [
    ("", JSONError.truncated), (" ", .truncated), ("nul", .truncated), ("nulL", .unexpected), ("True", .unexpected),
    ("NaN", .unexpected), ("nan", .unexpected), ("Infinity", .unexpected), ("-Infinity", .badNumber), ("-", .truncated),
    ("+1", .unexpected), ("01", .badNumber), ("-01", .badNumber), ("00", .badNumber), ("1.", .truncated),
    ("1.,", .badNumber), (".5", .unexpected), ("1.e5", .badNumber), ("1e", .truncated), ("1e+", .truncated),
    ("1ex", .badNumber), ("1e5.5", .trailing), ("0x10", .trailing), ("1_000", .trailing), ("1 2", .trailing),
    ("[1,]", .unexpected), ("[,1]", .unexpected), ("[1 2]", .unexpected), ("[1", .truncated), ("[", .truncated),
    ("]", .unexpected), ("[1}", .unexpected), (#"{"a"}"#, .unexpected), (#"{"a":}"#, .unexpected),
    (#"{"a":1,}"#, .unexpected), (#"{a:1}"#, .unexpected), (#"{1:1}"#, .unexpected), (#"{"a":1"#, .truncated),
    (#"{"a" 1}"#, .unexpected), ("'a'", .unexpected), (#""a"#, .truncated), (#""\x41""#, .badEscape),
    (#""\u12""#, .badEscape), (#""\u12G4""#, .badEscape), (#""\uD800""#, .badEscape), (#""\uDC00""#, .badEscape),
    (#""\uD800\u0041""#, .badEscape), (#""\uD800x""#, .badEscape), (#""\uDC00\uD800""#, .badEscape),
    ("\"a\u{0}\"", .controlCharacter), ("\"a\nb\"", .controlCharacter), ("\"\t\"", .controlCharacter),
    ("\"\u{1F}\"", .controlCharacter), ("\u{FEFF}1", .unexpected), ("1\u{0}", .trailing), ("\u{0}", .unexpected),
    ("\u{0B}1", .unexpected), ("\u{A0}1", .unexpected), ("[1]//", .trailing), ("/**/1", .unexpected),
  ]) func isNoJSON(text: String, expected: JSONError) {
    #expect(JSONTexts.error(text) == expected)
  }

  /// Every pair of bytes, and what follows a lead byte of three or four, against the standard library's decoder.
  @Test func utf8IsWhatTheStandardLibrarySaysItIs() {
    let interesting: [UInt8] = [
      0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF,
    ]
    var wrong: [[UInt8]] = []
    func check(_ bytes: [UInt8]) {
      guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x22 && $0 != 0x5C }) else { return }
      let isValid = String(validating: bytes, as: UTF8.self) != nil
      // In the middle of a long string, and right before its end.
      for tail in ["\"", "and some more text\""] {
        let error = JSONTexts.error([0x22] + bytes + Array(tail.utf8))
        if isValid ? error != nil : error != .badUTF8 { wrong.append(bytes) }
      }
    }
    for first in UInt8(0x80)...0xFF {
      check([first])
      for second in UInt8.min...UInt8.max {
        check([first, second])
        guard first >= 0xE0, interesting.contains(second) else { continue }
        for third in interesting {
          check([first, second, third])
          if first >= 0xF0 { for fourth in interesting { check([first, second, third, fourth]) } }
        }
      }
    }
    #expect(wrong.isEmpty, "\(wrong.prefix(5))")
  }

  /// A document that is cut anywhere says that it is cut, and no cut is taken for a whole one.
  @Test func aTextCutAnywhereIsTruncated() {
    let text =
      #" {"näme":"a\n\u20AC\uD83D\uDE00 ü€😀","n":[1,-2.50e+10,0.5],"l":[true,false,null],"o":{"x":{}, "y":[] }} "#
    let bytes = Array(text.utf8)
    #expect(JSONTexts.error(bytes) == nil)
    for count in 0..<bytes.count - 1 {
      let error = JSONTexts.error(Array(bytes[..<count]))
      // Half of a character is no UTF-8, whatever would have followed.
      let expected: Set<JSONError?> = [.truncated, .badUTF8]
      #expect(expected.contains(error), "cut at \(count)")
    }
  }

  @Test(arguments: [1, 64, 512]) func depthIsBounded(limit: Int) {
    for (open, close) in [("[", "]"), (#"{"a":"#, "}")] {
      let fits = String(repeating: open, count: limit) + "1" + String(repeating: close, count: limit)
      #expect(JSONTexts.error(Array(fits.utf8), depthLimit: limit) == nil)
      #expect(JSONTexts.error(Array((open + fits + close).utf8), depthLimit: limit) == .tooDeep)
    }
    #expect(JSONTexts.error(String(repeating: "[", count: 1_000_000)) == .tooDeep)
  }

  @Test func escapesMeanWhatTheySay() throws {
    let text = #""\u0041\"\\\/\b\f\n\r\t\u00e4\u20AC\uD83D\uDE00é\u0000""#
    let meant = "A\"\\/\u{8}\u{C}\n\r\tä€😀é\0"
    let hex = meant.utf8.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined()
    #expect(try JSONTexts.meaning(Array(text.utf8)) == "s" + hex)
  }

  /// A foreseen token is passed only where it stands, for every length and every byte that may differ.
  @Test func tokensArePassedWhereTheyStand() {
    for count in 1...40 {
      let token = (0..<count).map { UInt8(0x41 + $0 % 26) }
      let space = token + [UInt8](repeating: 0, count: 8)
      func passes(_ text: [UInt8]) -> Int? {
        unsafe text.withUnsafeBytes { text in
          unsafe space.withUnsafeBytes { space in
            var cursor = unsafe JSONCursor(text)
            return unsafe cursor.pass(token: space.baseAddress!, count: count) ? cursor.offset : nil
          }
        }
      }
      #expect(passes(token + Array("12345678".utf8)) == count)
      // Fewer than eight bytes are not looked at, which only costs a look-up.
      #expect(passes(token) == (count < 8 ? nil : count))
      #expect(passes(Array(token.dropLast())) == nil)
      for index in 0..<count {
        var other = token + Array("12345678".utf8)
        other[index] ^= 0x20
        #expect(passes(other) == nil, "byte \(index) of \(count)")
      }
    }
  }
}
