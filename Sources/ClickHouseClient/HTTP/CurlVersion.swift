internal import CSinkCurl

extension ClickHouseClient {
  /// Of the libcurl that is loaded, such as `7.88.1`.
  public static let libcurlVersion: String = {
    let text = unsafe String(cString: curl_version())
    let first = text.split(separator: " ").first ?? "libcurl"
    return String(first.split(separator: "/").last ?? first)
  }()
}
