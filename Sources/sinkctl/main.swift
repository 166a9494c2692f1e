internal import Glibc

// Without this a closed standard output would end the process in the middle of a drain.
_ = signal(SIGPIPE, SIG_IGN)
SignalWatcher.start()
let code = await CommandTable.run(Array(CommandLine.arguments.dropFirst()))
Terminal.flush(within: .seconds(2))
exit(code.rawValue)
