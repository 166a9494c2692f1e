import Foundation
import TestServers
import Testing

@testable import SinkBytes

@Suite struct IdentifierTextTests {
  private func ipv6(_ text: String) -> UInt128? {
    unsafe Array(text.utf8).withUnsafeBytes { unsafe IdentifierText.ipv6($0) }
  }

  /// Random addresses, written in full, shortened by the C library, and damaged, against the C library's own reading.
  @Test(arguments: [UInt64(31), 32]) func addressesAreReadAsTheCLibraryReadsThem(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<3000 {
      let groups = (0..<8).map { _ in random.below(3) == 0 ? UInt16(truncatingIfNeeded: random.next()) : 0 }
      var text = groups.map { String($0, radix: 16) }.joined(separator: ":")
      if random.below(2) == 0 { text = shortened(text) ?? text }
      if random.below(3) == 0 {
        let place = text.index(text.startIndex, offsetBy: random.below(text.count))
        text.replaceSubrange(place...place, with: [":", "", "g", "::", "1", "."][random.below(6)])
      }
      #expect(ipv6(text) == native(text), "seed \(seed): \(text)")
    }
    for text in [
      "::", "1::", "::1", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:1.2.3.4", ":", ":::", "1:::2",
      "1:2:3:4:5:6:7:8:9",
    ] {
      #expect(ipv6(text) == native(text), "\(text)")
    }
  }

  private func native(_ text: String) -> UInt128? {
    var address = in6_addr()
    guard unsafe inet_pton(AF_INET6, text, &address) == 1 else { return nil }
    return unsafe withUnsafeBytes(of: &address) { unsafe $0.reduce(0) { $0 << 8 | UInt128($1) } }
  }

  private func shortened(_ text: String) -> String? {
    var address = in6_addr()
    guard unsafe inet_pton(AF_INET6, text, &address) == 1 else { return nil }
    var buffer = [CChar](repeating: 0, count: 64)
    guard unsafe inet_ntop(AF_INET6, &address, &buffer, 64) != nil else { return nil }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Every byte in every place of a UUID: taken where it is a hexadecimal digit, and then as Foundation takes it.
  @Test func uuidsTakeHexadecimalDigitsOnly() throws {
    let text = Array("F2a74de4-269e-4651-aA6a-128b0c5c7fd0".utf8)
    let plain = text.filter { $0 != 0x2D }
    func read(_ bytes: [UInt8]) -> UInt128? {
      unsafe bytes.withUnsafeBytes { bytes in
        unsafe IdentifierText.uuid(bytes).map { UInt128($0.high) << 64 | UInt128($0.low) }
      }
    }
    for bytes in [text, plain] {
      for place in bytes.indices {
        for byte in UInt8.min...UInt8.max {
          var changed = bytes
          changed[place] = byte
          let isHyphen = bytes[place] == 0x2D
          let isRight = isHyphen ? byte == 0x2D : Hex.value(byte) != nil
          var wanted: UInt128?
          if isRight { wanted = changed.filter { $0 != 0x2D }.reduce(0) { $0! << 4 | UInt128(Hex.value($1) ?? 0) } }
          #expect(read(changed) == wanted, "byte \(byte) at \(place)")
        }
      }
    }
    #expect(read(Array(text.dropLast())) == nil && read(text + [0x30]) == nil && read([]) == nil)
  }
}
