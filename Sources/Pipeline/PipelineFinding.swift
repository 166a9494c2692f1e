/// Something that keeps a pipeline from working, and the setting that it is about.
public struct PipelineFinding: Sendable, Equatable, CustomStringConvertible {
  /// `configuration`, `unreachable` or `refused`.
  public let code: PipelineError.Code
  /// As a configuration file spells it: `kafka.brokers`, `routes[1].table`; lists count from 1.
  public let setting: String
  public let message: String
  /// Nothing is wrong: a run would start, and this is worth knowing before.
  public let isNote: Bool

  public init(_ code: PipelineError.Code, _ setting: String, _ message: String, isNote: Bool = false) {
    self.isNote = isNote
    self.code = code
    self.setting = setting
    self.message = message
  }

  public var description: String { "\(setting): \(message)" }
}
