"""What stands around the members: a ClickHouse, a Kafka, and the two proxies before it."""
import os, re, shutil, signal, socket, subprocess, sys, threading, time, urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


STARTED = []
# Linux sends it even where the script itself was killed.
GUARD = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def child(arguments, **options):
    """A process that `end_children` ends, whatever happens before."""
    process = subprocess.Popen(GUARD + arguments, **options)
    STARTED.append(process)
    return process


def end_children():
    for process in STARTED:
        if process.poll() is None:
            process.kill()
    for process in STARTED:
        process.wait()


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def wait_open(port, process, log, seconds=300):
    """Until the process listens there."""
    deadline = time.time() + seconds
    while time.time() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            fail(process, log)
        time.sleep(0.05)
    sys.exit("nothing listens on port %d after %d s: see %s" % (port, seconds, log))


def fail(process, log):
    """Ends with what a server that did not start has said last."""
    with open(log, errors="replace") as file:
        said = file.readlines()[-20:]
    sys.exit("%s ended with %d and did not start; %s says:\n%s"
             % (process.args[len(GUARD)], process.wait(), log, "".join(said) or "nothing"))


def tool(variable, name):
    """A tool that may be missing: named by a variable, or lying beside the checkout."""
    path = os.environ.get(variable) or os.path.join(os.path.dirname(ROOT), "shared", "tools", name)
    return path if os.access(path, os.R_OK) else None


class ZooKeeper:
    """scripts/zookeeper, for Replicated tables."""

    def __init__(self, directory):
        log = os.path.join(directory, "zookeeper.log")
        self.process = child([os.path.join(ROOT, "scripts/zookeeper"), "start", os.path.join(directory, "zookeeper")],
                             stdout=subprocess.PIPE, stderr=open(log, "w"), text=True)
        found = re.match(r"ready on (\S+)", self.process.stdout.readline())
        self.address = found.group(1) if found else fail(self.process, log)


class Front:
    """scripts/clickhouse-front, on the engine of a 26.x server."""
    # What a row's text must be.
    whole = "CRC32(text) = `check`"
    # How often it ended by itself.
    ended = 0

    def __init__(self, directory, zookeeper=None):
        self.directory = directory
        self.port, = free_ports(1)
        self.options = ["--zookeeper", zookeeper.address] if zookeeper else []
        self.start()

    def start(self):
        """Also after `kill`, with its data and on its port."""
        log = open(os.path.join(self.directory, "front.log"), "a")
        self.process = child([os.path.join(ROOT, "scripts/clickhouse-front"), "--port", str(self.port),
                              "--data", os.path.join(self.directory, "front")] + self.options,
                             stdout=subprocess.PIPE, stderr=log, text=True)
        for line in self.process.stdout:
            if re.search(r"ready on http://127.0.0.1:\d+", line):
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return
        fail(self.process, log.name)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ensure(self):
        """One that ended by itself is started again, as a supervisor does; returns its exit code."""
        code = self.process.poll()
        if code is not None:
            self.ended += 1
            self.start()
        return code

    def bytes(self, sql):
        request = urllib.request.Request("http://127.0.0.1:%d" % self.port, data=sql.encode())
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read()

    def __call__(self, sql):
        return self.bytes(sql).decode().strip()


class OldServer(Front):
    """Debian's clickhouse-server, 18.16: it knows no tokens, members count. It has no CRC32 either."""
    whole = "text != ''"
    CONFIGURATION = """<yandex><logger><level>warning</level><console>1</console></logger><http_port>%d</http_port>
      <listen_host>127.0.0.1</listen_host><path>%s/</path><tmp_path>%s/tmp/</tmp_path><users_config>users.xml</users_config>
      <default_profile>default</default_profile><default_database>default</default_database><timezone>UTC</timezone>
      <mark_cache_size>5368709</mark_cache_size>%s</yandex>"""
    REPLICATION = """<zookeeper><node><host>%s</host><port>%s</port></node></zookeeper>
      <interserver_http_host>127.0.0.1</interserver_http_host><interserver_http_port>%d</interserver_http_port>"""
    USERS = """<yandex><profiles><default/></profiles><users><default><password/><networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota></default></users><quotas><default/></quotas></yandex>"""

    def __init__(self, directory, zookeeper=None):
        self.directory = directory
        self.program = shutil.which("clickhouse-server", path="/usr/sbin:/usr/bin") or sys.exit("there is no clickhouse-server here")
        self.configuration = os.path.join(directory, "clickhouse", "config.xml")
        home = os.path.join(directory, "clickhouse")
        os.mkdir(home)
        self.port, other = free_ports(2)
        more = self.REPLICATION % (*zookeeper.address.split(":"), other) if zookeeper else ""
        for name, text in (("config.xml", self.CONFIGURATION % (self.port, home, home, more)), ("users.xml", self.USERS)):
            with open(os.path.join(home, name), "w") as file:
                file.write(text)
        self.start()

    def start(self):
        log = open(os.path.join(self.directory, "clickhouse.log"), "a")
        self.process = child([self.program, "--config-file=" + self.configuration], stdout=log, stderr=log)
        wait_open(self.port, self.process, log.name)


class Kafka:
    """A real broker by SINK_KAFKA_BROKER_SCRIPT. Members come through proxies, the ledger's producer comes directly."""

    def __init__(self, directory, version):
        self.script = os.environ.get("SINK_KAFKA_BROKER_SCRIPT") or os.path.join(os.path.dirname(ROOT), "shared/kafka/broker")
        if not os.access(self.script, os.X_OK):
            sys.exit("no Kafka: name one with --brokers, or a start script with SINK_KAFKA_BROKER_SCRIPT")
        self.port, self.via, self.slow, self.front = free_ports(4)
        self.directory = os.path.join(directory, "kafka")
        self.log = open(os.path.join(directory, "kafka.log"), "a")
        self.arguments = [self.script, "start", self.directory, "-v", version, "-p", str(self.port),
                          "--via", "%d:%d" % (self.via, self.front),
                          "-o", "group.initial.rebalance.delay.ms=0", "-o", "auto.create.topics.enable=false"]
        self.direct = "127.0.0.1:%d" % self.port
        self.faults, self.network = None, None
        self.start()
        toxiproxy, fault_proxy = tool("SINK_TOXIPROXY", "toxiproxy-server"), tool("SINK_KAFKA_FAULT_PROXY", "kafka-fault-proxy.py")
        target = self.via
        if toxiproxy:
            self.network = Network(toxiproxy, self.slow, target, os.path.join(directory, "toxiproxy.log"))
            target = self.slow
        if fault_proxy:
            self.faults = KafkaFaults(fault_proxy, self.front, target, os.path.join(directory, "kafka-faults.log"))
        elif toxiproxy:
            self.network.listen(self.front)
        # Without a proxy to tell clients of, they come directly.
        self.brokers = "127.0.0.1:%d" % self.front if fault_proxy or toxiproxy else self.direct

    def start(self):
        self.process = child(self.arguments, stdout=self.log, stderr=self.log)
        for port in (self.port, self.via):
            wait_open(port, self.process, self.log.name)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)


class KafkaFaults:
    """The proxy that reads Kafka's protocol: holds, loses, repeats and refuses single requests of the group."""
    COMMIT, JOIN, SYNC = 8, 11, 14

    def __init__(self, script, port, target, log):
        self.control, = free_ports(1)
        self.log = log
        errors = log + ".errors"
        self.process = child([sys.executable, script, str(port), str(target), str(self.control), log], stderr=open(errors, "w"))
        for each in (self.control, port):
            wait_open(each, self.process, errors)

    def say(self, line):
        with socket.create_connection(("127.0.0.1", self.control), timeout=10) as connection:
            connection.sendall(line.encode() + b"\n")
            if not connection.recv(100).startswith(b"ok"):
                sys.exit("the fault proxy does not take '%s'" % line)

    def rule(self, request, action, seconds=0.0, code=0, count=1):
        """For the next requests of this kind; `caught` says when there was one."""
        self.mark = os.path.getsize(self.log)
        self.say("rule A=%d act=%s t=%.2f code=%d n=%d" % (request, action, seconds, code, count))

    def clear(self):
        self.say("clear")

    def caught(self, seconds=10):
        """Waits for the rule's request; returns the instance id that it came from, None where none came."""
        return self._await(r" > .*!! ", r"inst=(\S+)", seconds)

    def seen(self, name, seconds=10):
        """Waits for a request of that name after `watch`."""
        return self._await(r" > %s " % name, r"inst=(\S+)", seconds)

    def watch(self):
        self.mark = os.path.getsize(self.log)

    def _await(self, line, part, seconds):
        deadline = time.time() + seconds
        while time.time() < deadline:
            with open(self.log, errors="replace") as file:
                file.seek(self.mark)
                for text in file:
                    if re.search(line, text):
                        found = re.search(part, text)
                        return found.group(1) if found else ""
            time.sleep(0.005)
        return None


class Network:
    """toxiproxy in front of the broker."""

    def __init__(self, program, port, target, log):
        self.control, = free_ports(1)
        self.log = open(log, "w")
        self.process = child([program, "-host", "127.0.0.1", "-port", str(self.control)], stdout=self.log, stderr=self.log)
        wait_open(self.control, self.process, log)
        self.target, self.count = target, 0
        self.listen(port)

    def listen(self, port):
        self.count += 1
        self.name = "broker%d" % self.count
        self.ask("POST", "/proxies", '{"name":"%s","listen":"127.0.0.1:%d","upstream":"127.0.0.1:%d","enabled":true}'
                 % (self.name, port, self.target))
        wait_open(port, self.process, self.log.name)

    def ask(self, method, path, body=""):
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.control, path), data=body.encode(), method=method,
                                         headers={"User-Agent": "proof"})
        urllib.request.urlopen(request, timeout=10).read()

    def cut(self, seconds):
        self.ask("POST", "/proxies/" + self.name, '{"enabled":false}')
        time.sleep(seconds)
        self.ask("POST", "/proxies/" + self.name, '{"enabled":true}')

    def toxic(self, kind, attributes, seconds):
        """For so long: latency {"latency":ms,"jitter":ms}, bandwidth {"rate":KB/s}, timeout {"timeout":0}, …"""
        self.ask("POST", "/proxies/%s/toxics" % self.name, '{"name":"it","type":"%s","stream":"downstream","attributes":%s}'
                 % (kind, attributes))
        time.sleep(seconds)
        self.ask("DELETE", "/proxies/%s/toxics/it" % self.name)
