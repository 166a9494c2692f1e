"""An HTTP proxy for one member, in front of ClickHouse: it breaks single inserts on demand, and keeps a book of them."""
import array, collections, re, socket, struct, threading, time, urllib.parse

Insert = collections.namedtuple("Insert", "at run token rows outcome")
WIDTHS = {"UInt64": 8, "UInt32": 4, "Int64": 8, "Int32": 4}


class Rule:
    """For the next `count` inserts. `caught` is set when one is here; `release` lets go what is held."""

    def __init__(self, action, count=1, hold=30, status=500, code=None, text=""):
        self.action, self.count, self.seconds = action, count, hold
        self.status, self.code, self.text = status, code, text
        self.caught, self.release = threading.Event(), threading.Event()


class HTTPProxy:
    def __init__(self, target, path):
        """What goes through is written to the file at `path` as well, a line for each insert."""
        self.target, self.rules, self.book = target, [], []
        self.file = open(path, "w", buffering=1)
        self.run = 0
        self.lock = threading.Lock()
        self.server = socket.socket()
        self.server.bind(("127.0.0.1", 0))
        self.server.listen(64)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def arm(self, action, **options):
        rule = Rule(action, **options)
        with self.lock:
            self.rules.append(rule)
        return rule

    def disarm(self, rule=None):
        """One, or all."""
        with self.lock:
            gone = [each for each in self.rules if rule in (None, each)]
            self.rules = [each for each in self.rules if each not in gone]
        for each in gone + ([rule] if rule else []):
            each.release.set()

    def accept(self):
        while True:
            connection, _ = self.server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection, self.run), daemon=True).start()

    def serve(self, connection, run):
        client = connection.makefile("rb")
        try:
            while True:
                head, body = read_message(client)
                if not head:
                    return
                if not self.answer(connection, head, body, run):
                    return
        except OSError:
            pass
        finally:
            client.close()
            connection.close()

    def take_rule(self):
        with self.lock:
            if not self.rules:
                return None
            rule = self.rules[0]
            rule.count -= 1
            if rule.count <= 0:
                self.rules.pop(0)
            return rule

    def note(self, run, token, rows, places, outcome):
        with self.lock:
            self.book.append(Insert(time.time(), run, token, rows, outcome))
            self.file.write("%.3f run %d %s %d rows %s %s\n" % (time.time(), run, token, rows, places, outcome))

    def forward(self, head, body):
        with socket.create_connection(("127.0.0.1", self.target), timeout=120) as upstream:
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            upstream.sendall(head + body)
            answer = upstream.makefile("rb")
            return b"".join(read_message(answer))

    def answer(self, connection, head, body, run):
        """Returns whether the connection goes on."""
        line = head.split(b"\r\n", 1)[0].decode()
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(line.split(" ")[1]).query)
        if not query.get("query", [""])[0].startswith("INSERT"):
            connection.sendall(self.forward(head, body))
            return True
        token = query.get("insert_deduplication_token", [""])[0]
        rows, places = read_native(body)
        rule = self.take_rule()
        if rule is None:
            answer = self.forward(head, body)
            self.note(run, token, rows, places, "accepted" if answer.startswith(b"HTTP/1.1 200") else "refused")
            connection.sendall(answer)
            return True
        self.note(run, token, rows, places, rule.action)
        rule.caught.set()
        return self.misbehave(rule, connection, head, body, lambda outcome: self.note(run, token, rows, places, outcome))

    def misbehave(self, rule, connection, head, body, note):
        if rule.action == "lose":
            rule.release.wait(rule.seconds)
            return reset(connection)
        if rule.action in ("refuse", "reset"):
            return reset(connection) if rule.action == "reset" else refuse(connection, rule)
        if rule.action == "hold":
            rule.release.wait(rule.seconds)
        if rule.action == "drip":
            time.sleep(min(1, rule.seconds))
        answer = self.forward(head, body)
        note("landed" if answer.startswith(b"HTTP/1.1 200") else "refused")
        if rule.action == "hold-answer":
            rule.release.wait(rule.seconds)
        if rule.action == "reset-answer":
            return reset(connection)
        if rule.action == "spoil-answer":
            return refuse(connection, rule)
        if rule.action == "drip":
            for at in range(0, len(answer), 8):
                connection.sendall(answer[at:at + 8])
                time.sleep(rule.seconds * 8 / len(answer))
            return True
        connection.sendall(answer)
        return True


def read_message(file):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        if not line:
            return b"", b""
        head += line
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length:
        body = file.read(int(length.group(1)))
        return (head, body) if len(body) == int(length.group(1)) else (b"", b"")
    body = b""
    if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
        while True:
            line = file.readline()
            body += line + file.read(int(line.split(b";")[0], 16) + 2)
            if line.strip() == b"0":
                break
    return head, body


def read_native(body):
    """Rows of an uncompressed Native block, and where they are from as text: partition 3: 100-199 205-220."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = body[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def text():
        nonlocal at
        size = number()
        at += size
        return body[at - size:at].decode(errors="replace")

    columns, rows, found = number(), number(), {}
    for _ in range(columns):
        name, kind = text(), text()
        if kind == "String":
            for _ in range(rows):
                size = number()
                at += size
        elif kind in WIDTHS:
            if name in ("_partition", "_offset"):
                found[name] = array.array("i" if kind == "Int32" else "q", body[at:at + rows * WIDTHS[kind]])
            at += rows * WIDTHS[kind]
        else:
            break
    places = ""
    last = (None, None)
    for place in zip(found.get("_partition", []), found.get("_offset", [])):
        if place != (last[0], None if last[1] is None else last[1] + 1):
            places += ("" if last[1] is None else "-%d " % last[1])
            places += ("partition %d: " % place[0] if place[0] != last[0] else "") + str(place[1])
        last = place
    return rows, places + ("-%d" % last[1] if places else "")


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # A reading file still holds it: shut it down as well.
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    return False


def refuse(connection, rule):
    body = rule.text.encode() or b"Code: %d. DB::Exception: a fault on purpose. (FAULT)\n" % (rule.code or 0)
    head = "HTTP/1.1 %d Fault\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n" % (rule.status, len(body))
    if rule.code:
        head += "X-ClickHouse-Exception-Code: %d\r\n" % rule.code
    connection.sendall(head.encode() + b"\r\n" + body)
    return True
