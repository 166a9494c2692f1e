internal import CRdKafka

/// Owns `rd_kafka_conf_t` until a handle takes it over.
@safe struct NativeConfiguration: ~Copyable {
  /// librdkafka's own limit for what it says is not documented; its examples use 512.
  private static let wordsCapacity = 512

  let pointer: OpaquePointer
  private let properties: [Property]

  /// - Throws: `configuration`, naming the property and its value, unless that is a secret.
  init(_ properties: [Property]) throws(KafkaError) {
    let fresh = unsafe rd_kafka_conf_new().unsafelyUnwrapped
    do throws(KafkaError) {
      for property in properties { unsafe try Self.set(property, in: fresh) }
    } catch {
      unsafe rd_kafka_conf_destroy(fresh)
      throw error
    }
    unsafe pointer = fresh
    self.properties = properties
  }

  deinit { unsafe rd_kafka_conf_destroy(pointer) }

  /// Makes the handle, which takes the configuration over.
  /// - Throws: `configuration` with librdkafka's words: two properties that do not fit, a file that cannot be read.
  consuming func open(
    _ type: rd_kafka_type_t, _ callbacks: NativeCallbacks
  ) throws(KafkaError) -> OpaquePointer {
    let words = UnsafeMutablePointer<CChar>.allocate(capacity: Self.wordsCapacity)
    defer { unsafe words.deallocate() }
    // rd_kafka_new takes over only what it accepts, so give it a copy: ours is freed either way. A copy has no
    // interceptors, hence the callbacks come after it.
    let copy = unsafe rd_kafka_conf_dup(pointer).unsafelyUnwrapped
    unsafe callbacks.install(in: copy, type)
    guard let handle = unsafe rd_kafka_new(type, copy, words, Self.wordsCapacity) else {
      unsafe rd_kafka_conf_destroy(copy)
      let said = unsafe String(cString: words)
      let values = properties.filter { said.contains($0.name) && !$0.isSecret }.map { "\($0.name) = \($0.value)" }
      throw .configuration(
        "librdkafka \(KafkaLibrary.version) refused the configuration: \(said)"
          + (values.isEmpty ? "" : " (\(values.joined(separator: ", ")))"))
    }
    return unsafe handle
  }

  private static func set(_ property: Property, in configuration: OpaquePointer) throws(KafkaError) {
    let words = UnsafeMutablePointer<CChar>.allocate(capacity: wordsCapacity)
    defer { unsafe words.deallocate() }
    let result = unsafe rd_kafka_conf_set(configuration, property.name, property.value, words, wordsCapacity)
    switch result {
    case RD_KAFKA_CONF_OK: return
    case RD_KAFKA_CONF_UNKNOWN where property.isOptional: return
    case RD_KAFKA_CONF_UNKNOWN:
      throw .configuration(
        "librdkafka \(KafkaLibrary.version) knows no property \(property.name); see its CONFIGURATION.md")
    default:
      // Some of its words end a line.
      let words = unsafe String(cString: words).split(separator: "\n").joined(separator: " ")
      let said = property.isSecret ? "its value was refused" : words
      let value = property.isSecret ? "" : " = \(property.value)"
      throw .configuration("property \(property.name)\(value): \(said)")
    }
  }
}
