public import SinkBytes

extension Column {
  /// Appends a value of a fixed-width type in its wire representation; it must be as wide as the type says.
  @inlinable public mutating func append<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
    if shape == .fixed {
      assert(MemoryLayout<T>.size == width, "a value of \(MemoryLayout<T>.size) bytes in a column of \(type)")
      data.append(value)
      rowCount &+= 1
    } else if shape == .nullableFixed {
      assert(MemoryLayout<T>.size == width, "a value of \(MemoryLayout<T>.size) bytes in a column of \(type)")
      data.append(value)
      nulls.append(0 as UInt8)
      rowCount &+= 1
    } else {
      var bits = value.littleEndian
      unsafe withUnsafeBytes(of: &bits) { unsafe appendKey($0) }
    }
  }

  /// Appends a `UUID`; `high` is the half that is written first as text.
  @inlinable public mutating func append(uuidHigh high: UInt64, low: UInt64) {
    append(UInt128(low) << 64 | UInt128(high))
  }

  /// Appends a `String`, also in `Nullable` and in `LowCardinality`.
  @inlinable public mutating func append(string bytes: UnsafeRawBufferPointer) {
    if shape == .string {
      lastStart = data.count
      unsafe data.append(string: bytes)
      rowCount &+= 1
    } else {
      unsafe appendOther(string: bytes)
    }
  }

  /// Appends a `FixedString`, filled up with zero bytes; longer than the type is a programmer's error.
  @inlinable public mutating func append(fixedString bytes: UnsafeRawBufferPointer) {
    if shape == .fixed || shape == .nullableFixed {
      precondition(bytes.count <= width, "\(bytes.count) bytes in a column of \(type)")
      unsafe data.append(bytes)
      if bytes.count < width { data.append(repeating: 0, count: width &- bytes.count) }
      if shape == .nullableFixed { nulls.append(0 as UInt8) }
      rowCount &+= 1
    } else {
      unsafe appendPadded(bytes)
    }
  }

  /// Appends NULL; the type must take it (`ColumnType.acceptsNull`).
  @inlinable public mutating func appendNull() {
    if shape == .nullableFixed {
      data.append(repeating: 0, count: width)
      nulls.append(1 as UInt8)
      rowCount &+= 1
    } else {
      appendOtherNull()
    }
  }

  /// Appends the type's own default: 0, "", an empty array, NULL where the type takes it, an enum's lowest value.
  public mutating func appendDefault() {
    if isNullable { return appendNull() }
    switch shape {
    case .fixed, .nullableFixed:
      switch width {
      case 1: append(UInt8(truncatingIfNeeded: defaultBits))
      case 2: append(UInt16(truncatingIfNeeded: defaultBits))
      case 4: append(UInt32(truncatingIfNeeded: defaultBits))
      default:
        data.append(repeating: 0, count: width)
        rowCount += 1
      }
    case .string, .nullableString, .indexedString: unsafe append(string: UnsafeRawBufferPointer(start: nil, count: 0))
    case .dictionary: append(dictionaryIndex: 0)
    case .array: finishArray()
    case .tuple:
      for index in 0..<childCount { unsafe childBase[index].appendDefault() }
      finishTuple()
    }
  }

  /// Closes a row of an `Array` or `Map`: what was appended to the children since the last one is its elements.
  @inlinable public mutating func finishArray() {
    precondition(shape == .array, "no array to finish")
    unsafe assert(childCount == 1 || childBase[0].rowCount == childBase[1].rowCount, "keys without values in \(type)")
    unsafe data.append(UInt64(truncatingIfNeeded: childBase[0].rowCount))
    rowCount &+= 1
  }

  /// Closes a row of a `Tuple`, whose children have one row more each.
  @inlinable public mutating func finishTuple() {
    precondition(shape == .tuple, "no tuple to finish")
    rowCount &+= 1
  }

  /// Takes rows back that were just appended, also the parts of one that is half written. Outside of arrays that is at
  /// most one row of strings: the place of the one before is not kept.
  @inlinable public mutating func truncate(toRows rows: Int) {
    if shape == .fixed {
      precondition(rows >= 0 && rows <= rowCount)
      data.truncate(to: rows &* width)
      rowCount = rows
    } else {
      truncateOther(toRows: rows)
    }
  }
}

// Out of line: what is rare, and what is a call of its own anyway.
extension Column {
  @inline(never) @usableFromInline mutating func appendOther(string bytes: UnsafeRawBufferPointer) {
    switch shape {
    case .nullableString:
      lastStart = data.count
      unsafe data.append(string: bytes)
      nulls.append(0 as UInt8)
      rowCount += 1
    case .indexedString:
      starts.append(data.count)
      unsafe data.append(string: bytes)
      if isNullable { nulls.append(0 as UInt8) }
      rowCount += 1
    default: unsafe appendKey(bytes)
    }
  }

  @inline(never) @usableFromInline mutating func appendKey(_ bytes: UnsafeRawBufferPointer) {
    guard let dictionary = unsafe dictionary else { preconditionFailure("this value is not for a column of \(type)") }
    unsafe append(dictionaryIndex: dictionary.pointee.index(of: bytes))
  }

  @inline(never) @usableFromInline mutating func appendPadded(_ bytes: UnsafeRawBufferPointer) {
    guard let size = type.unwrapped.fixedWidth, bytes.count <= size else {
      preconditionFailure("\(bytes.count) bytes in a column of \(type)")
    }
    if bytes.count == size { return unsafe appendKey(bytes) }
    unsafe withUnsafeTemporaryAllocation(byteCount: size, alignment: 1) { padded in
      unsafe padded.initializeMemory(as: UInt8.self, repeating: 0)
      unsafe padded.copyMemory(from: bytes)
      unsafe appendKey(UnsafeRawBufferPointer(padded))
    }
  }

  @inline(never) @usableFromInline mutating func appendOtherNull() {
    precondition(type.acceptsNull, "NULL in a column of \(type)")
    switch shape {
    case .nullableFixed: appendNull()
    case .dictionary: append(dictionaryIndex: 0)
    default:
      unsafe append(string: UnsafeRawBufferPointer(start: nil, count: 0))
      nulls.overwrite(1 as UInt8, at: nulls.count - 1)
    }
  }

  /// Appends the number of a key, and widens all numbers where the dictionary has outgrown them.
  mutating func append(dictionaryIndex index: Int) {
    if width == 1 {
      if index <= 0xff { data.append(UInt8(truncatingIfNeeded: index)) } else { return appendWider(index) }
    } else if width == 2 {
      if index <= 0xffff { data.append(UInt16(truncatingIfNeeded: index)) } else { return appendWider(index) }
    } else {
      data.append(UInt32(index))
    }
    rowCount += 1
  }

  private mutating func appendWider(_ index: Int) {
    let wider = index <= 0xffff ? 2 : 4
    var fresh = ByteBuffer(capacity: max(data.capacity / width * wider, (rowCount + 1) * wider))
    for row in 0..<rowCount {
      let old = unsignedValue(row: row)
      if wider == 2 { fresh.append(UInt16(truncatingIfNeeded: old)) } else { fresh.append(UInt32(old)) }
    }
    data = fresh
    width = wider
    append(dictionaryIndex: index)
  }

  @inline(never) @usableFromInline mutating func truncateOther(toRows rows: Int) {
    precondition(rows >= 0 && rows <= rowCount, "\(rows) of \(rowCount) rows")
    switch shape {
    case .fixed, .nullableFixed, .dictionary: data.truncate(to: rows * width)
    case .string, .nullableString:
      precondition(rowCount - rows <= 1, "only the last row can be taken back, not \(rowCount - rows)")
      if rows < rowCount { data.truncate(to: lastStart) }
    case .indexedString:
      if rows < rowCount { data.truncate(to: start(ofString: rows)) }
      starts.truncate(to: rows * MemoryLayout<Int>.size)
    case .array:
      data.truncate(to: rows * width)
      let elements = rows == 0 ? 0 : Int(unsignedValue(row: rows - 1))
      for index in 0..<childCount { unsafe childBase[index].truncate(toRows: elements) }
    case .tuple:
      for index in 0..<childCount { unsafe childBase[index].truncate(toRows: rows) }
    }
    if isNullable { nulls.truncate(to: rows) }
    rowCount = rows
  }

  func start(ofString row: Int) -> Int {
    unsafe starts.withUnsafeBytes {
      unsafe $0.loadUnaligned(fromByteOffset: row * MemoryLayout<Int>.size, as: Int.self)
    }
  }

  /// The bits of a value of at most eight bytes, filled up with zeros.
  func unsignedValue(row: Int) -> UInt64 {
    precondition(row >= 0 && row < rowCount || row < data.count / max(width, 1))
    return unsafe data.withUnsafeBytes { bytes in
      switch width {
      case 1: unsafe UInt64(bytes[row])
      case 2: unsafe UInt64(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: row * 2, as: UInt16.self)))
      case 4: unsafe UInt64(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: row * 4, as: UInt32.self)))
      default: unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: row * width, as: UInt64.self))
      }
    }
  }
}
