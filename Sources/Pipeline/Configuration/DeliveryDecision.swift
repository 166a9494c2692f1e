/// The promise that a pipeline keeps, for all its routes: one Kafka handle keeps one.
public struct DeliveryDecision: Sendable, Equatable {
  public let guarantee: DeliveryGuarantee
  /// Where nobody asked for at least once and it is all that holds: why, each with what would make it exactly once.
  public let reasons: [String]

  public init(_ guarantee: DeliveryGuarantee, reasons: [String] = []) {
    self.guarantee = guarantee
    self.reasons = reasons
  }
}
