import SinkBytes
import Testing

@Suite struct CityHash128Tests {
  /// From an independent implementation (PyPI's clickhouse-cityhash), one length on each side of every branch.
  static let vectors: [(count: Int, low: UInt64, high: UInt64)] = [
    (0, 0x3df0_9dfc_64c0_9a2b, 0x3cb5_40c3_92e5_1e29), (1, 0xe5be_f1ac_1b4e_ece8, 0xf996_4837_8186_fd8b),
    (3, 0xadaa_7f7a_13c9_3e5f, 0x129d_706b_43a7_de87), (5, 0xaf28_c00a_0107_c271, 0x9b67_a2cc_6590_e73c),
    (8, 0x9e8e_f701_d544_a0ea, 0x05b4_72a5_02cb_6da5), (12, 0x40c2_8fc8_7ce6_83c8, 0x26ac_4edb_8763_38f3),
    (15, 0x8e1d_8154_1965_a795, 0x9d47_eb34_2b5c_b581), (16, 0x9201_7a2a_90ec_57ce, 0x6f8f_8637_a23d_db07),
    (17, 0xbf83_96f2_19eb_b838, 0x0908_6f7e_fb02_1b7f), (32, 0xa436_1818_8fa7_e855, 0xc6db_312d_eeb5_e0c8),
    (33, 0x3a58_975d_77d0_94de, 0xee6c_b4a8_f33f_084c), (143, 0x95a7_fb38_aadc_1abd, 0xee1f_a071_419e_9a15),
    (144, 0x0dc1_9c4c_7ee7_0739, 0x230e_e437_5bdf_485a), (145, 0x907e_85b5_f4b1_f808, 0x1f2_69a7_2855_eb44),
    (200, 0xbd71_954e_8f61_c913, 0xb085_74c9_31cd_0c09), (1000, 0xadfe_7dcf_706b_2fd5, 0x5cc8_85f8_e1c8_b4d7),
  ]

  @Test(arguments: vectors)
  func agreesWithAnotherImplementation(count: Int, low: UInt64, high: UInt64) {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + 13) }
    let hash = unsafe bytes.withUnsafeBytes { unsafe CityHash128.hash($0) }
    #expect(hash.low == low && hash.high == high, "of \(count) bytes")
  }
}
