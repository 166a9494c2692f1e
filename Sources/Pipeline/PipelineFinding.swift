/// Something that keeps a pipeline from working, and the setting that it is about.
public struct PipelineFinding: Sendable, Equatable, CustomStringConvertible {
  /// `configuration`, `unreachable` or `refused`.
  public let code: PipelineError.Code
  /// As a configuration file spells it: `kafka.brokers`, `routes[1].table`; lists count from 1.
  public let setting: String
  public let message: String

  public init(_ code: PipelineError.Code, _ setting: String, _ message: String) {
    self.code = code
    self.setting = setting
    self.message = message
  }

  public var description: String { "\(setting): \(message)" }
}
