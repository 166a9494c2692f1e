internal import Glibc

// Without this a closed standard output would end the process in the middle of a drain.
_ = signal(SIGPIPE, SIG_IGN)
// A terminal that closes is no reason to stop.
_ = signal(SIGHUP, SIG_IGN)
SignalWatcher.start()
exit(await CommandTable.run(Array(CommandLine.arguments.dropFirst())).rawValue)
