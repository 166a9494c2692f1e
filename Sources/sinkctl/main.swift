internal import CSinkLibc
internal import Glibc

// Without this a closed standard output would end the process in the middle of a drain.
_ = signal(SIGPIPE, SIG_IGN)
// Every thread has a heap of its own, and by default glibc keeps up to 64 MiB of freed memory in each: what librdkafka's
// threads let go is of no use to the inserter's. With these limits large pieces go back to the system at once; the
// resident peak falls from 145 to 110 MiB at the same CPU seconds.
mallopt(M_MMAP_THRESHOLD, 512 << 10)
mallopt(M_TRIM_THRESHOLD, 4 << 20)
SignalWatcher.start()
let code = await CommandTable.run(Array(CommandLine.arguments.dropFirst()))
Terminal.flush(within: .seconds(2))
exit(code.rawValue)
