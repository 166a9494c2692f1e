"""Gives the engine in PyPI's chdb-core an address for replication, which only a server reads from its configuration.

Without one, a Replicated table stays read-only. The address goes to other replicas by way of Keeper; nothing listens on it.
There is no door to it, so the engine's own question for it (Context::getInterserverIOAddress) is answered in its place, in
the memory of this process: found by its machine code, which returns a string and a port. x86-64 alone; an engine in which it
is not found exactly once is left as it is.
"""
import ctypes, platform, re, struct

# The head of the function: the string's length, by either of libc++'s two layouts; none or no port, and it throws.
QUESTION = re.compile(rb"\x41\x56\x53\x48\x83\xec.\x4c\x8b\x36\x49\x0f\xbe\x8e....\x48\x85\xc9\x49\x8b\x96....\x48\x89\xc8"
                      rb"\x48\x0f\x48\xc2\x48\x85\xc0\x74.\x41\x0f\xb7\x86", re.DOTALL)


def answer(host, port):
    """libc++'s short string in 24 bytes, and the port behind it, at rdi; rax returns rdi."""
    text = host.encode() + bytes(23 - len(host)) + bytes([len(host)])
    code = b""
    for at in range(0, 24, 8):
        code += b"\x48\xb8" + text[at:at + 8] + b"\x48\x89\x47" + bytes([at])
    return code + b"\x66\xc7\x47\x18" + struct.pack("<H", port) + b"\x48\x89\xf8\xc3"


def give(host="127.0.0.1", port=1):
    """Returns whether the engine took it."""
    if platform.machine() != "x86_64":
        return False
    found = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            if re.search(r" r-xp .*/_chdb\.", line):
                first, end = (int(each, 16) for each in line.split()[0].split("-"))
                found += [first + match.start() for match in QUESTION.finditer((ctypes.c_char * (end - first)).from_address(first))]
    if len(found) != 1:
        return False
    libc, page = ctypes.CDLL(None), found[0] & ~4095
    for protection in (7, 5):
        if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(8192), protection):
            return False
        if protection == 7:
            code = answer(host, port)
            ctypes.memmove(found[0], code, len(code))
    return True
