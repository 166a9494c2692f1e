internal import CSinkCrypto
internal import Glibc

/// A file with certificates, a private key, or both, as libcrypto reads it: librdkafka's and libcurl's TLS is the same
/// library's, so what it cannot read here they cannot either.
struct PEMFile {
  struct Certificate: Equatable {
    /// `/O=Example/CN=client`
    let subject: String
    /// Seconds since 1970, UTC.
    let notBefore: Int64
    let notAfter: Int64
  }

  enum KeyProblem: Error, Equatable {
    /// There is none, or it is damaged; libcrypto's words.
    case unreadable(String)
    case needsPassword
    /// The password does not open it; libcrypto's words.
    case wrongPassword(String)
    case belongsToAnother
  }

  struct Unreadable: Error, Equatable {
    let reason: String
  }

  let path: String

  /// All of them, in the file's order: one's own comes first, then those that signed it.
  func certificates() throws(Unreadable) -> [Certificate] {
    var found: [Certificate] = []
    try unsafe forEachCertificate { unsafe found.append(Self.describe($0)) }
    return found
  }

  /// Whether the private key in this file belongs to the first certificate of another.
  func checkKey(of certificates: PEMFile, password: String?) throws(KeyProblem) {
    let key = try unsafe readKey(password)
    defer { unsafe EVP_PKEY_free(key) }
    var answers: [Bool] = []
    do throws(Unreadable) {
      try unsafe certificates.forEachCertificate { unsafe answers.append(X509_check_private_key($0, key) == 1) }
    } catch {
      return  // It is said of the other file.
    }
    if answers.first == false { throw .belongsToAnother }
  }

  private func open() throws(Unreadable) -> OpaquePointer {
    ERR_clear_error()
    guard let file = unsafe BIO_new_file(path, "r") else { throw Unreadable(reason: Self.words()) }
    return unsafe file
  }

  private func forEachCertificate(_ body: (OpaquePointer) -> Void) throws(Unreadable) {
    let file = try unsafe open()
    defer { unsafe BIO_free(file) }
    var count = 0
    while let certificate = unsafe PEM_read_bio_X509(file, nil, nil, nil) {
      unsafe body(certificate)
      unsafe X509_free(certificate)
      count += 1
    }
    // The end of the file is told as a beginning that is not there.
    guard count > 0, Self.reason(ERR_peek_last_error()) == PEM_R_NO_START_LINE else {
      throw Unreadable(reason: Self.words())
    }
  }

  private func readKey(_ password: String?) throws(KeyProblem) -> OpaquePointer {
    let file: OpaquePointer
    do throws(Unreadable) { unsafe file = try open() } catch { throw .unreadable(error.reason) }
    defer { unsafe BIO_free(file) }
    let desk = PasswordDesk(password)
    let key = unsafe PEM_read_bio_PrivateKey(
      file, nil, { unsafe PasswordDesk.answer($0, $1, $3) }, Unmanaged.passUnretained(desk).toOpaque())
    if let key = unsafe key { return unsafe key }
    guard desk.wasAsked else { throw .unreadable(Self.words()) }
    throw password == nil ? .needsPassword : .wrongPassword(Self.words())
  }

  private static func describe(_ certificate: OpaquePointer) -> Certificate {
    var name = [CChar](repeating: 0, count: 512)
    unsafe X509_NAME_oneline(X509_get_subject_name(certificate), &name, Int32(name.count))
    let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return unsafe Certificate(
      subject: String(decoding: bytes, as: UTF8.self), notBefore: seconds(X509_get0_notBefore(certificate)),
      notAfter: seconds(X509_get0_notAfter(certificate)))
  }

  /// What cannot be read counts as 1970: a certificate without a date is not valid.
  @unsafe private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
    var parts = unsafe tm()
    guard unsafe ASN1_TIME_to_tm(time, &parts) == 1 else { return 0 }
    return Int64(unsafe timegm(&parts))
  }

  private static func reason(_ error: UInt) -> Int32 { ERR_GET_REASON(error) }

  /// Of the error that explains most: the last one.
  private static func words() -> String {
    let error = ERR_peek_last_error()
    guard error != 0 else { return "it cannot be read" }
    if reason(error) == PEM_R_NO_START_LINE { return "nothing in it begins as PEM does" }
    return unsafe ERR_reason_error_string(error).map { unsafe String(cString: $0) } ?? "error \(error) of libcrypto"
  }
}

/// Answers libcrypto's question for a password, once, and remembers that it was asked: only then is the key encrypted.
private final class PasswordDesk {
  private let password: String?
  private(set) var wasAsked = false

  init(_ password: String?) { self.password = password }

  @unsafe static func answer(
    _ room: UnsafeMutablePointer<CChar>?, _ size: Int32, _ context: UnsafeMutableRawPointer?
  ) -> Int32 {
    guard let context = unsafe context, let room = unsafe room else { return -1 }
    let desk = unsafe Unmanaged<PasswordDesk>.fromOpaque(context).takeUnretainedValue()
    desk.wasAsked = true
    guard let password = desk.password, password.utf8.count <= Int(size) else { return -1 }
    for (index, byte) in password.utf8.enumerated() { unsafe room[index] = CChar(bitPattern: byte) }
    return Int32(password.utf8.count)
  }
}
