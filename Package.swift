// swift-tools-version: 6.2
import PackageDescription

/// One array for every target, so that no target is checked less than another.
let settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .enableExperimentalFeature("Lifetimes"),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// A C library that the distribution installs and patches: a module map and a shim header, no code.
func system(_ name: String, pkgConfig: String, apt: String, brew: String) -> Target {
  .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt]), .brew([brew])])
}

func library(_ name: String, _ dependencies: [Target.Dependency] = [], linked: [String] = []) -> Target {
  .target(
    name: name, dependencies: dependencies, swiftSettings: settings,
    linkerSettings: linked.map { .linkedLibrary($0) })
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

let package = Package(
  name: "sinkctl",
  products: [
    .library(name: "KafkaClient", targets: ["KafkaClient"]),
    .library(name: "ClickHouseClient", targets: ["ClickHouseClient"]),
    .library(name: "Pipeline", targets: ["Pipeline"]),
    .library(name: "SinkTelemetry", targets: ["SinkTelemetry"]),
    .library(name: "KafkaTestKit", targets: ["KafkaTestKit"]),
    .library(name: "ClickHouseTestKit", targets: ["ClickHouseTestKit"]),
    .executable(name: "sinkctl", targets: ["sinkctl"]),
  ],
  targets: [
    system("CRdKafka", pkgConfig: "rdkafka", apt: "librdkafka-dev", brew: "librdkafka"),
    system("CSinkCurl", pkgConfig: "libcurl", apt: "libcurl4-openssl-dev", brew: "curl"),
    system("CSinkZlib", pkgConfig: "zlib", apt: "zlib1g-dev", brew: "zlib"),
    system("CSinkLZ4", pkgConfig: "liblz4", apt: "liblz4-dev", brew: "lz4"),
    system("CSinkZstd", pkgConfig: "libzstd", apt: "libzstd-dev", brew: "zstd"),
    system("CSinkYAML", pkgConfig: "yaml-0.1", apt: "libyaml-dev", brew: "libyaml"),
    system("CSinkMicrohttpd", pkgConfig: "libmicrohttpd", apt: "libmicrohttpd-dev", brew: "libmicrohttpd"),
    system("CSinkCrypto", pkgConfig: "libcrypto", apt: "libssl-dev", brew: "openssl@3"),
    .systemLibrary(name: "CSinkLibc"),

    library("SinkBytes", ["CSinkLibc"], linked: ["m"]),
    library("SinkThreads", ["CSinkLibc"]),
    library("SinkTelemetry"),

    library("KafkaClient", ["CRdKafka", "SinkBytes", "SinkThreads", "SinkTelemetry"]),
    library(
      "ClickHouseClient",
      ["CSinkCurl", "CSinkZlib", "CSinkLZ4", "CSinkZstd", "SinkBytes", "SinkThreads", "SinkTelemetry"]),
    library("Pipeline", ["KafkaClient", "ClickHouseClient", "SinkBytes", "SinkThreads", "SinkTelemetry"]),

    library("KafkaTestKit", ["KafkaClient", "CRdKafka"]),
    library("ClickHouseTestKit", ["ClickHouseClient", "SinkThreads", "CSinkLibc"]),

    .executableTarget(
      name: "sinkctl",
      dependencies: [
        "Pipeline", "KafkaClient", "ClickHouseClient", "KafkaTestKit", "SinkBytes", "SinkThreads", "SinkTelemetry",
        "CSinkYAML", "CSinkMicrohttpd", "CSinkCrypto", "CSinkLibc",
      ],
      swiftSettings: settings),

    // What tests share: real servers, started and stopped, and seeded draws. Tests may use Foundation; the libraries may not.
    .target(name: "TestServers", path: "Tests/TestServers", swiftSettings: settings),
    tests("SinkBytesTests", ["SinkBytes", "TestServers"]),
    tests("SinkTelemetryTests", ["SinkTelemetry", "SinkThreads"]),
    tests("KafkaClientTests", ["KafkaClient", "KafkaTestKit", "TestServers", "SinkThreads"]),
    tests(
      "ClickHouseClientTests",
      ["ClickHouseClient", "ClickHouseTestKit", "TestServers", "SinkBytes", "SinkTelemetry", "SinkThreads"]),
    tests(
      "PipelineTests",
      [
        "Pipeline", "KafkaClient", "ClickHouseClient", "ClickHouseTestKit", "SinkBytes", "SinkThreads", "SinkTelemetry",
        "TestServers",
      ]),
    tests(
      "SinkctlTests",
      [
        "sinkctl", "Pipeline", "KafkaClient", "ClickHouseClient", "KafkaTestKit", "TestServers", "SinkTelemetry",
        "SinkThreads",
      ]),
    tests(
      "IntegrationTests",
      [
        "sinkctl", "Pipeline", "KafkaClient", "ClickHouseClient", "KafkaTestKit", "ClickHouseTestKit", "TestServers",
        "SinkTelemetry", "SinkThreads",
      ]),
  ],
  swiftLanguageModes: [.v6]
)

// Benchmarks/decode sets it: nobody else builds what drives the library's inside.
if Context.environment["SINKCTL_BENCHMARKS"] != nil {
  package.targets.append(
    .executableTarget(
      name: "decode-benchmark", dependencies: ["Pipeline", "ClickHouseClient", "SinkBytes"],
      path: "Benchmarks/decode-benchmark",
      swiftSettings: settings))
}
