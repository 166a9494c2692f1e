internal import SinkBytes

// The checked, slow door: values by name and row.
extension Column {
  func value(row: Int) -> ClickHouseValue {
    if isNull(row: row) { return .null }
    switch shape {
    case .fixed, .nullableFixed:
      return unsafe data.withUnsafeBytes { bytes in
        unsafe type.unwrapped.value(UnsafeRawBufferPointer(rebasing: bytes[row * width..<(row + 1) * width]))
      }
    case .string, .nullableString, .indexedString:
      let place = string(at: stringStart(row: row))
      return unsafe data.withUnsafeBytes { unsafe .text(UnsafeRawBufferPointer(rebasing: $0[place])) }
    case .dictionary:
      return unsafe withKey(Int(unsignedValue(row: row))) { unsafe type.unwrapped.value($0) }
    case .array:
      let elements = arrayStart(row: row)..<arrayStart(row: row + 1)
      if childCount == 1 { return .array(elements.map { unsafe childBase[0].value(row: $0) }) }
      return .map(
        elements.map { unsafe ClickHouseMapEntry(childBase[0].value(row: $0), childBase[1].value(row: $0)) })
    case .tuple: return .tuple((0..<childCount).map { unsafe childBase[$0].value(row: row) })
    }
  }

  /// - Parameter whole: the type of the block's column that this one is, or is a part of.
  mutating func append(
    _ value: ClickHouseValue, named name: String, of whole: ColumnType
  ) throws(ClickHouseError) {
    func misfit(_ why: String = "") -> ClickHouseError {
      let place = type == whole ? "" : ", in its \(type)"
      return ClickHouseError(
        code: .invalidValue, message: "\(value) does not fit column \"\(name)\" of type \(whole)\(place)\(why)")
    }
    switch (shape, value) {
    case (_, .null):
      guard type.acceptsNull else { throw misfit(": it takes no NULL") }
      appendNull()
    case (.array, .array(let elements)) where childCount == 1:
      for element in elements { try unsafe childBase[0].append(element, named: name, of: whole) }
      finishArray()
    case (.array, .map(let entries)) where childCount == 2:
      for entry in entries {
        try unsafe childBase[0].append(entry.key, named: name, of: whole)
        try unsafe childBase[1].append(entry.value, named: name, of: whole)
      }
      finishArray()
    case (.array, .array(let entries)) where childCount == 2 && entries.isEmpty: finishArray()
    case (.tuple, .tuple(let elements)), (.tuple, .array(let elements)):
      guard elements.count == childCount else { throw misfit(": it has \(childCount) elements") }
      for index in 0..<childCount { try unsafe childBase[index].append(elements[index], named: name, of: whole) }
      finishTuple()
    default:
      let target = type.unwrapped
      guard let bytes = target.bytes(of: value) else { throw misfit() }
      unsafe bytes.withUnsafeBytes { unsafe append(wire: $0, type: target) }
    }
  }

  /// Bytes that are known to be a value of the type without its wrappers.
  private mutating func append(wire bytes: UnsafeRawBufferPointer, type target: ColumnType) {
    if shape == .dictionary { return unsafe appendKey(bytes) }
    if target == .string { return unsafe append(string: bytes) }
    unsafe append(fixedString: bytes)
  }
}

extension ClickHouseValue {
  /// Text where it is UTF-8, else bytes.
  static func text(_ bytes: UnsafeRawBufferPointer) -> ClickHouseValue {
    if let text = unsafe String(validating: bytes, as: UTF8.self) { return .string(text) }
    return unsafe .bytes(Array(bytes))
  }
}

extension ColumnType {
  /// Reads a value without children.
  func value(_ bytes: UnsafeRawBufferPointer) -> ClickHouseValue {
    func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int = 0, as type: T.Type) -> T {
      unsafe T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    switch self {
    case .int8: return .int(Int64(load(as: Int8.self)))
    case .int16: return .int(Int64(load(as: Int16.self)))
    case .int32: return .int(Int64(load(as: Int32.self)))
    case .int64: return .int(load(as: Int64.self))
    case .uint8: return .uint(UInt64(load(as: UInt8.self)))
    case .uint16: return .uint(UInt64(load(as: UInt16.self)))
    case .uint32: return .uint(UInt64(load(as: UInt32.self)))
    case .uint64: return .uint(load(as: UInt64.self))
    case .float32: return .float32(Float(bitPattern: load(as: UInt32.self)))
    case .float64: return .float64(Double(bitPattern: load(as: UInt64.self)))
    case .bool: return .bool(load(as: UInt8.self) != 0)
    case .decimal(_, let scale):
      switch fixedWidth {
      case 4: return .decimal(unscaled: Int128(load(as: Int32.self)), scale: scale)
      case 8: return .decimal(unscaled: Int128(load(as: Int64.self)), scale: scale)
      default: return .decimal(unscaled: load(as: Int128.self), scale: scale)
      }
    case .uuid: return .uuid(high: load(as: UInt64.self), low: load(8, as: UInt64.self))
    case .date: return .date(days: Int32(load(as: UInt16.self)))
    case .date32: return .date(days: load(as: Int32.self))
    case .dateTime: return .dateTime(seconds: load(as: UInt32.self))
    case .dateTime64(let precision, _): return .dateTime64(ticks: load(as: Int64.self), precision: precision)
    case .enum8(let cases): return Self.name(of: Int16(load(as: Int8.self)), in: cases)
    case .enum16(let cases): return Self.name(of: load(as: Int16.self), in: cases)
    case .ipv4: return .ipv4(load(as: UInt32.self))
    case .ipv6: return .ipv6(high: load(as: UInt64.self).byteSwapped, low: load(8, as: UInt64.self).byteSwapped)
    default: return unsafe .text(bytes)
    }
  }

  /// A number that the type does not name (only a server could send it) stays a number.
  private static func name(of value: Int16, in cases: [EnumCase]) -> ClickHouseValue {
    cases.first { $0.value == value }.map { .enumeration($0.name) } ?? .int(Int64(value))
  }

  /// The wire bytes of a value without children; `nil` where it does not fit.
  func bytes(of value: ClickHouseValue) -> [UInt8]? {
    switch (self, value) {
    case (.int8, _): return value.integer(as: Int8.self)
    case (.int16, _): return value.integer(as: Int16.self)
    case (.int32, _): return value.integer(as: Int32.self)
    case (.int64, _): return value.integer(as: Int64.self)
    case (.uint8, _): return value.integer(as: UInt8.self)
    case (.uint16, _): return value.integer(as: UInt16.self)
    case (.uint32, _): return value.integer(as: UInt32.self)
    case (.uint64, _): return value.integer(as: UInt64.self)
    case (.float32, _): return value.double.flatMap(Self.float).map { little($0.bitPattern) }
    case (.float64, _): return value.double.map { little($0.bitPattern) }
    case (.bool, .bool(let flag)): return [flag ? 1 : 0]
    case (.decimal, _): return value.decimal(self)
    case (.string, .string(let text)): return Array(text.utf8)
    case (.string, .bytes(let bytes)): return bytes
    case (.fixedString(let size), .string(let text)): return padded(Array(text.utf8), to: size)
    case (.fixedString(let size), .bytes(let bytes)): return padded(bytes, to: size)
    case (.uuid, .uuid(let high, let low)): return little(high) + little(low)
    case (.date, .date(let days)): return UInt16(exactly: days).map(little)
    case (.date32, .date(let days)): return days >= -25567 && days <= 120529 ? little(days) : nil
    case (.dateTime, .dateTime(let seconds)): return little(seconds)
    case (.dateTime64(let precision, _), .dateTime64(let ticks, let given)):
      return given == precision ? little(ticks) : nil
    case (.enum8(let cases), .enumeration(let name)), (.enum8(let cases), .string(let name)):
      return cases.first { $0.name == name }.map { little(Int8(truncatingIfNeeded: $0.value)) }
    case (.enum16(let cases), .enumeration(let name)), (.enum16(let cases), .string(let name)):
      return cases.first { $0.name == name }.map { little($0.value) }
    case (.ipv4, .ipv4(let address)): return little(address)
    case (.ipv6, .ipv6(let high, let low)): return little(high.byteSwapped) + little(low.byteSwapped)
    default: return nil
    }
  }
}

extension ColumnType {
  /// Rounded, as a literal would be; a number that only a `Double` holds does not fit.
  private static func float(_ value: Double) -> Float? {
    let rounded = Float(value)
    return rounded.isInfinite && value.isFinite ? nil : rounded
  }
}

private func little<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) -> [UInt8] {
  var bits = value.littleEndian
  return unsafe withUnsafeBytes(of: &bits) { unsafe Array($0) }
}

private func padded(_ bytes: [UInt8], to size: Int) -> [UInt8]? {
  bytes.count <= size ? bytes + [UInt8](repeating: 0, count: size - bytes.count) : nil
}

extension ClickHouseValue {
  fileprivate func integer<T: FixedWidthInteger & BitwiseCopyable>(as type: T.Type) -> [UInt8]? {
    switch self {
    case .int(let value): T(exactly: value).map(little)
    case .uint(let value): T(exactly: value).map(little)
    default: nil
    }
  }

  fileprivate func decimal(_ type: ColumnType) -> [UInt8]? {
    guard case .decimal(let precision, let scale) = type else { return nil }
    var (unscaled, from): (Int128, Int)
    switch self {
    case .int(let value): (unscaled, from) = (Int128(value), 0)
    case .uint(let value): (unscaled, from) = (Int128(value), 0)
    case .decimal(let value, let valueScale): (unscaled, from) = (value, valueScale)
    default: return nil
    }
    while from < scale {
      let (product, overflow) = unscaled.multipliedReportingOverflow(by: 10)
      if overflow { return nil }
      (unscaled, from) = (product, from + 1)
    }
    while from > scale {
      let (quotient, remainder) = unscaled.quotientAndRemainder(dividingBy: 10)
      if remainder != 0 { return nil }
      (unscaled, from) = (quotient, from - 1)
    }
    var bound: Int128 = 1
    for _ in 0..<precision { bound *= 10 }
    guard unscaled > -bound && unscaled < bound else { return nil }
    switch type.fixedWidth {
    case 4: return little(Int32(truncatingIfNeeded: unscaled))
    case 8: return little(Int64(truncatingIfNeeded: unscaled))
    default: return little(unscaled)
    }
  }
}
