#!/usr/bin/env python3
"""make bench: one table of our figures, each with its bar and, where there is one, a peer measured in the same run.

usage: tests/bench/bench.py [ROW-WORD]...     only rows whose name contains one of the words
Uses a home of its own and the shared cache; ends everything it started. A row that misses its bar is marked; the exit code stays 0,
since figures depend on the machine. Times are of whole commands as a shell sees them unless the row says otherwise.
"""
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import fs_rows
import stub_vm
import team_rows
import vm_rows
import wrenn_rows

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import ws  # noqa: E402  (the tests' WebSocket client)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../conformance"))
import fs_client  # noqa: E402

BIN = os.path.abspath("build/bin")
ENV = {**os.environ, "SBX_POOL": "0", "PATH": BIN + ":" + os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "NO_COLOR": "1"}
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
os.environ["PATH"] = ENV["PATH"]  # posix_spawnp looks there
ROWS = []


def row(what, bar, unit="ms"):
    """Register a measurement: it returns (values, peers), peers being a list of (name, values or words)."""
    def add(function):
        ROWS.append((what, bar, unit, function))
        return function
    return add


# ---- measuring ----

def timed(argv, check=True):
    """Milliseconds from fork to exit. posix_spawn, so that this process's own size does not count."""
    files = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", flag, 0) for fd, flag in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY))]
    start = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, ENV, file_actions=files)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    took = (time.perf_counter() - start) * 1000
    if check and status != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {status}")
    return took


def repeat(n, argv, warm=2):
    for _ in range(warm):
        timed(argv)
    return [timed(argv) for _ in range(n)]


def sbx(*args, check=True):
    done = subprocess.run(["sbx", *args], env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"sbx {' '.join(args)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


def inspect(name):
    value = json.loads(sbx("inspect", name, "-o", "json"))
    return value[0] if isinstance(value, list) else value


def listed():
    value = json.loads(sbx("ls", "-o", "json"))
    return value["sandboxes"] if isinstance(value, dict) else value


def remove_all():
    ids = [s["id"] for s in listed()]
    if ids:
        sbx("rm", *ids)


class KeepAlive:
    """One HTTP connection to the daemon's socket, no client library in the way."""

    def __init__(self):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(ENV["SBX_HOME"] + "/sbxd.sock")

    def exec(self, name, command):
        body = json.dumps({"command": command})
        self.s.sendall((f"POST /sbx/v1/sandboxes/{name}/exec HTTP/1.1\r\nHost: sbx\r\nContent-Type: application/json\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.more()
        head, _, rest = data.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(rest) < length:
            rest += self.more()
        if b" 200 " not in head.split(b"\r\n")[0] + b" ":
            raise RuntimeError(rest.decode())

    def more(self):
        data = self.s.recv(65536)
        if not data:
            raise RuntimeError("the daemon closed the connection")
        return data

    def time(self, name, command):
        start = time.perf_counter()
        self.exec(name, command)
        return (time.perf_counter() - start) * 1000


# ---- peers ----

class Crun:
    """`crun exec` into a running container with a busybox root. Runs as a process of its own in its own mount namespace (see
    Peers.crun), where the cgroup mounts can be made such as crun wants them: it refuses the hybrid layout of some machines."""

    def __init__(self, work):
        self.work = work

    def command(self, *args):
        return ["crun", "--cgroup-manager=disabled", f"--root={self.work}/crun", *args]

    def bundle(self):
        bundle = f"{self.work}/bundle"
        os.makedirs(f"{bundle}/rootfs/bin")
        shutil.copy(shutil.which("busybox", path=ENV["PATH"]), f"{bundle}/rootfs/bin/busybox")
        for name in ("sh", "sleep", "true"):
            os.symlink("busybox", f"{bundle}/rootfs/bin/{name}")
        subprocess.run(["crun", "spec"], cwd=bundle, env=ENV, check=True, **QUIET)
        with open(f"{bundle}/config.json") as f:
            config = json.load(f)
        config["process"].update(args=["/bin/sleep", "100000"], terminal=False)
        config["linux"].pop("resources", None)
        config["mounts"] = [m for m in config["mounts"] if m["type"] not in ("cgroup", "mqueue")]
        config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "cgroup"]
        with open(f"{bundle}/config.json", "w") as f:
            json.dump(config, f)
        return bundle

    def measure(self):
        subprocess.run("umount -R -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup", shell=True, check=False, **QUIET)
        bundle = self.bundle()
        with open(f"{self.work}/crun.err", "w") as err:
            done = subprocess.run(self.command("run", "-d", f"--bundle={bundle}", "bench"), env=ENV, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=err, check=False)
        if done.returncode:
            return "n/a: " + (open(f"{self.work}/crun.err").read().strip().split("\n")[-1] or f"crun run ended with {done.returncode}")
        try:
            execs = repeat(40, self.command("exec", "bench", "/bin/true"))
        finally:
            subprocess.run(self.command("delete", "-f", "bench"), env=ENV, check=False, **QUIET)
        with open(f"{bundle}/config.json") as f:
            config = json.load(f)
        config["process"]["args"] = ["/bin/true"]
        with open(f"{bundle}/config.json", "w") as f:
            json.dump(config, f)
        return {"exec": execs, "run": repeat(20, self.command("run", f"--bundle={bundle}", "bench"))}


class Peers:
    """What is measured beside us: started when a row first asks, ended by close()."""

    def __init__(self, work):
        self.work, self.ssh_words, self.sshd, self.port, self.containers = work, None, None, 0, None

    def crun(self):
        """Milliseconds of `crun exec` into a running container, or the reason why there are none."""
        return self.crun_all() if isinstance(self.crun_all(), str) else self.crun_all()["exec"]

    def crun_run(self):
        """Milliseconds of `crun run` of a container that ends at once, likewise."""
        return self.crun_all() if isinstance(self.crun_all(), str) else self.crun_all()["run"]

    def crun_all(self):
        if self.containers is None:
            self.containers = self.measure_crun()
        return self.containers

    def measure_crun(self):
        if not shutil.which("crun", path=ENV["PATH"]):
            return "n/a: crun is not installed"
        if os.geteuid() != 0:
            return "n/a: needs root"
        done = subprocess.run(["unshare", "--mount", sys.executable, os.path.abspath(__file__), "--crun", self.work], env=ENV,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else "n/a: " + done.stderr.strip().split("\n")[-1]

    def ssh(self):
        if self.ssh_words is None:
            self.ssh_words = self.start_ssh()
        return repeat(20, self.ssh_command()) if self.ssh_words == "" else self.ssh_words

    def ssh_command(self):
        return ["ssh", "-F", "none", "-p", str(self.port), "-i", f"{self.work}/id", "-o", "StrictHostKeyChecking=no", "-o",
                f"UserKnownHostsFile={self.work}/known", "-o", "BatchMode=yes", "127.0.0.1", "true"]

    def start_ssh(self):
        if not shutil.which("sshd", path=ENV["PATH"]):
            return "n/a: sshd is not installed"
        for key in ("host", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.work}/{key}"], check=True, **QUIET)
        shutil.copy(f"{self.work}/id.pub", f"{self.work}/authorized")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        options = [f"HostKey={self.work}/host", f"AuthorizedKeysFile={self.work}/authorized", f"PidFile={self.work}/sshd.pid", "StrictModes=no",
                   "UsePAM=no", "PermitRootLogin=yes", "ListenAddress=127.0.0.1", f"Port={self.port}", "PasswordAuthentication=no"]
        command = [shutil.which("sshd", path=ENV["PATH"]), "-D", "-e", "-f", "/dev/null"] + [w for o in options for w in ("-o", o)]
        self.sshd = subprocess.Popen(command, env=ENV, **QUIET)
        for _ in range(100):
            if subprocess.run(self.ssh_command(), env=ENV, check=False, **QUIET).returncode == 0:
                return ""
            time.sleep(0.05)
        return "n/a: no login on the loopback sshd"

    def close(self):
        if self.sshd:
            self.sshd.terminate()
            self.sshd.wait()


def tool(argv):
    return repeat(30, argv) if shutil.which(argv[0], path=ENV["PATH"]) else f"n/a: {argv[0]} is not installed"


# ---- the rows ----

@row("sbx create to running, 20 one after another", 250)
def create(_peers):
    values = [timed(["sbx", "create"]) for _ in range(20)]
    remove_all()
    return values, []


@row("sbx exec S -- true, whole command", 40)
def exec_command(peers):
    sbx("create", "--name", "bench")
    ours = repeat(40, ["sbx", "exec", "bench", "--", "true"], warm=3)
    return ours, [("crun exec", peers.crun()), ("ssh to loopback", peers.ssh())]


@row("exec over HTTP keep-alive, true", 15)
def exec_http(_peers):
    if not any(s["name"] == "bench" for s in listed()):
        sbx("create", "--name", "bench")
    connection = KeepAlive()
    for _ in range(5):
        connection.exec("bench", ["true"])
    return [connection.time("bench", ["true"]) for _ in range(100)], []


@row("the same while another command floods: slower by (p99)", 50)
def exec_flood(_peers):
    if not any(s["name"] == "bench" for s in listed()):
        sbx("create", "--name", "bench")
    connection = KeepAlive()
    calm = [connection.time("bench", ["true"]) for _ in range(50)]
    flood = subprocess.Popen(["sbx", "exec", "bench", "--", "cat", "/dev/zero"], env=ENV, **QUIET)
    try:
        time.sleep(0.5)
        busy = [connection.time("bench", ["true"]) for _ in range(100)]
    finally:
        flood.kill()
        flood.wait()
    base = statistics.median(calm)
    return [v - base for v in busy], []


class Terminal:
    """A terminal in the guest whose shell prints a letter each time its size changes."""
    SCRIPT = "trap 'echo R' WINCH; echo R; while :; do read line; done"

    def __init__(self, name):
        self.s = ws.connect(ENV["SBX_HOME"] + "/sbxd.sock")
        _, rest = ws.handshake(self.s, "sbx", f"/sandboxes/{name}/pty", [])
        self.reader, self.cols = ws.Reader(self.s, rest), 80
        self.say({"type": "start", "command": ["sh", "-c", self.SCRIPT]})
        self.wait()

    def say(self, message):
        self.s.sendall(ws.frame(1, json.dumps(message).encode()))

    def wait(self):
        opcode, payload = 0, b""
        while opcode != 2 or b"R" not in payload:
            opcode, payload = self.reader.message()

    def resize(self):
        self.cols += 1
        start = time.perf_counter()
        self.say({"type": "resize", "cols": self.cols, "rows": 24})
        self.wait()
        return (time.perf_counter() - start) * 1000


@row("a resize while another command floods: slower by (p99)", 50)
def resize_flood(_peers):
    if not any(s["name"] == "bench" for s in listed()):
        sbx("create", "--name", "bench")
    terminal = Terminal("bench")
    calm = [terminal.resize() for _ in range(50)]
    flood = subprocess.Popen(["sbx", "exec", "bench", "--", "cat", "/dev/zero"], env=ENV, **QUIET)
    try:
        time.sleep(0.5)
        busy = [terminal.resize() for _ in range(100)]
    finally:
        flood.kill()
        flood.wait()
        terminal.s.close()
    base = statistics.median(calm)
    return [v - base for v in busy], []


@row("sbx version", 4)
def version(_peers):
    return repeat(50, ["sbx", "version"]), [("git version", tool(["git", "version"]))]


@row("sbx ls with 10 VMs", 15)
def ls(_peers):
    remove_all()
    for _ in range(10):
        sbx("create")
    ours = repeat(40, ["sbx", "ls"])
    remove_all()
    return ours, [("docker --version", tool(["docker", "--version"]))]


@row("private memory of an idle VM", 45, "MB")
def memory(_peers):
    """With a sibling: template pages that only one VM has mapped at the moment would count as its own."""
    sbx("create", "--name", "sibling")
    sbx("exec", "sibling", "--", "true")
    values = []
    for _ in range(3):
        sbx("create", "--name", "idle")
        sbx("exec", "idle", "--", "true")
        time.sleep(2)
        with open(f"/proc/{inspect('idle')['pid']}/smaps_rollup") as f:
            kb = sum(int(line.split()[1]) for line in f if line.startswith(("Private_Clean", "Private_Dirty")))
        values.append(kb / 1024)
        sbx("rm", "idle")
    sbx("rm", "sibling")
    return values, []


@row("30 VMs at once, created", 10, "s")
def thirty(_peers):
    remove_all()
    start = time.perf_counter()
    with ThreadPoolExecutor(30) as pool:
        ids = list(pool.map(lambda i: sbx("create", "--name", f"many{i}"), range(30)))
    took = time.perf_counter() - start
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: sbx("exec", i, "--", "echo", i), ids))
    if answers != ids:
        raise RuntimeError("not all of the 30 answer")
    remove_all()
    return [took], []


def memory_all(pid):
    """MB that a process costs: its share of what it maps with others, and its page tables."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup, open(f"/proc/{pid}/status") as status:
        return sum(int(line.split()[1]) for line in [*rollup, *status] if line.startswith(("Pss:", "VmPTE:"))) / 1024


@row("memory of each of 20 idle VMs, shared parts divided", 45, "MB")
def memory_many(_peers):
    """Each has run a command. The sum is all that they cost together, their template and QEMU itself included."""
    remove_all()
    before = available_mb()
    pids = idle_vms(20)
    values = [memory_all(pid) for pid in pids]
    fell = (before - available_mb()) / len(pids)
    remove_all()
    return values, [("the host's MemAvailable fell by, each", f"{fell:.1f} MB")]


def available_mb():
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("MemAvailable:")) / 1024


def idle_vms(n):
    """Pids of n VMs that have run one command and then been left alone for long enough to have nothing left to do."""
    names = [f"still{i}" for i in range(n)]
    for name in names:
        sbx("create", "--name", name)
        sbx("exec", name, "--", "true")
    pids = [inspect(name)["pid"] for name in names]
    time.sleep(12)
    return pids


def cpu_ns(pid):
    """Processor time of a process with all its threads, past ones too: clock_getcpuclockid(3), since /proc counts in ticks."""
    return time.clock_gettime_ns((~pid << 3) | 2)


@row("processor time of each of 10 idle VMs", 0.5, "% of a core")
def idle_cpu(_peers):
    remove_all()
    pids = idle_vms(10)
    before, start = [cpu_ns(pid) for pid in pids], time.monotonic()
    time.sleep(20)
    took = (time.monotonic() - start) * 1e9
    values = [(cpu_ns(pid) - b) / took * 100 for pid, b in zip(pids, before)]
    remove_all()
    return values, []


@row("exec stdout, host side (the agent on the host, no VM)", 500, "MB/s")
def throughput(_peers):
    sbx("down", "--yes")
    stub = stub_vm.record(ENV["SBX_HOME"], f"{BIN}/sbx-agent", "stub")
    try:
        size = 2 << 30
        command = ["sbx", "exec", "stub", "--", "head", "-c", str(size), "/dev/zero"]
        return [size / 1e6 / (t / 1000) for t in repeat(3, command, warm=1)], []
    finally:
        sbx("rm", "stub", check=False)
        stub.kill()
        stub.wait()


@row("sbx cp of 50 MB in, in a guest under emulation", None, "MB/s")
def copy(_peers):
    sbx("create", "--name", "copy", "--memory", "512")
    path = f"{ENV['SBX_HOME']}/50mb"
    with open(path, "wb") as f:
        f.write(os.urandom(1 << 20) * 50)
    values = [50 / (timed(["sbx", "cp", path, "copy:/tmp/x"]) / 1000) for _ in range(3)]
    os.unlink(path)
    sbx("rm", "copy")
    return values, []


# ---- the contracts ----

@row("router + validation of a Freestyle create body, one core", 150000, "requests/s")
def router(_peers):
    return [float(subprocess.run(["taskset", "-c", "0", "build/bench/micro_router"], env=ENV, capture_output=True, text=True, check=True)
                  .stdout.split()[0]) for _ in range(5)], []


@row("sbx --help", 6)
def help_all(_peers):
    return repeat(50, ["sbx", "--help"]), [("git --help", tool(["git", "--help"]))]


@row("the longest generated --help (freestyle vm create)", 6)
def help_generated(_peers):
    return repeat(50, ["sbx", "freestyle", "vm", "create", "--help"]), [("git commit -h", [timed(["git", "commit", "-h"], check=False) for _ in range(20)])]


@row("BLAKE3 of 64 KiB buffers, one core, of SHA-256 with SHA-NI", 1.3, "x as fast")
def blake3(_peers):
    rates = {}
    for _ in range(5):
        out = subprocess.run(["taskset", "-c", "0", "build/bench/micro_hash"], env=ENV, capture_output=True, text=True, check=True).stdout
        for name, rate in (line.split() for line in out.splitlines()):
            rates.setdefault(name, []).append(float(rate))
    ours = max((values for name, values in rates.items() if name.startswith("blake3-") and name != "blake3-llvm"), key=statistics.median)
    return [a / b for a, b in zip(ours, rates["sha256-openssl"])], [(f"{name}, GB/s", values) for name, values in rates.items()]


class Nginx:
    """nginx with one worker, serving one file as the answer to anything."""

    def __init__(self, work, body, core):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/answer"
        with open(f"{work}/answer", "w") as f:
            f.write(body)
        with open(f"{work}/nginx.conf", "w") as f:
            f.write(f"daemon off; worker_processes 1; pid {work}/pid; error_log {work}/error.log; user root; events {{ worker_connections 256; }}\n"
                    f"http {{ access_log off; keepalive_requests 10000000; default_type application/json; open_file_cache max=10;\n"
                    f"server {{ listen 127.0.0.1:{port}; root {work}; }} }}\n")
        self.process = subprocess.Popen(["taskset", "-c", core, "nginx", "-c", f"{work}/nginx.conf", "-p", work], env=ENV, **QUIET)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("nginx does not start")

    def close(self):
        self.process.terminate()
        self.process.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wrk(url, *headers):
    """Requests a second of 64 connections kept open, the client on the other core."""
    argv = ["taskset", "-c", "1", "wrk", "-t1", "-c64", "-d3s", *(w for h in headers for w in ("-H", h)), url]
    out = subprocess.run(argv, env=ENV, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise RuntimeError(out)
    return float(next(line.split(":")[1] for line in out.splitlines() if line.startswith("Requests/sec")))


@row("GET one sandbox, wrk -c 64 keep-alive, daemon on one core", 20000, "requests/s")
def get_sandbox(peers):
    if not (shutil.which("wrk", path=ENV["PATH"]) and shutil.which("nginx", path=ENV["PATH"])):
        raise RuntimeError("wrk and nginx are not installed: make deps-bench")
    sbx("create", "--name", "get")
    address = sbx("up", "--listen", f"127.0.0.1:{free_port()}").split()[-1]
    key = sbx("key", "create", "--name", "bench")
    pid = json.loads(sbx("api", "GET", "/sbx/v1/system"))["pid"]
    before = os.sched_getaffinity(pid)
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), {0})
    body = subprocess.run(["curl", "-s", "-H", f"X-API-Key: {key}", f"{url_of(address)}/sbx/v1/sandboxes/get"], env=ENV, capture_output=True,
                          text=True, check=True).stdout
    nginx = Nginx(peers.work, body, "0")
    try:
        ours = [wrk(f"{url_of(address)}/sbx/v1/sandboxes/get", f"X-API-Key: {key}") for _ in range(3)]
        theirs = [wrk(nginx.url) for _ in range(3)]
    finally:
        nginx.close()
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(task), before)
        sbx("rm", "get")
    ratio = statistics.median(ours) / statistics.median(theirs)
    return ours, [("nginx, static file of that size", theirs), ("ratio", f"{ratio:.2f}")]


def sync_ms(folder):
    """One fdatasync of a small append, in this folder: what each acknowledged push must wait for."""
    with tempfile.TemporaryFile(dir=folder) as f:
        times = []
        for _ in range(100):
            os.write(f.fileno(), b"x" * 100)
            start = time.perf_counter()
            os.fdatasync(f.fileno())
            times.append((time.perf_counter() - start) * 1000)
    return times


@row("32 writers x 200 pushes to one label, through the daemon", 2000, "pushes/s")
def label_race(_peers):
    rates = []
    for n in range(3):
        wires = [fs_client.Wire(ENV["SBX_HOME"] + "/sbxd.sock") for _ in range(32)]
        start = time.perf_counter()
        heads, _ = fs_client.race(wires, f"race{n}", 200)
        rates.append(32 * 200 / (time.perf_counter() - start))
        log = wires[0].ask("GET", f"/api/fs/labels/race{n}/log").json["log"]
        if [e["to"] for e in log] != heads or len(heads) != 200:
            raise RuntimeError(f"{len(heads)} winners in 200 rounds, {len(log)} lines of history")
        for wire in wires:
            wire.close()
    return rates, [("one fdatasync on this disk, in ms", sync_ms(ENV["SBX_HOME"]))]


def url_of(address):
    return address if address.startswith("http") else f"http://{address}"


fs_close = fs_rows.rows(row, timed, ENV)
vm_rows.rows(row, ENV, sbx, remove_all)
wrenn_rows.rows(row, ENV, sbx, remove_all)
team_rows.rows(row, ENV, sbx)


# ---- the table ----

def number(value):
    return f"{value:.2f}" if value < 3 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def spread(values):
    """p50 (p10 to p90)."""
    if isinstance(values, str):
        return values
    values = sorted(values)
    text = number(statistics.median(values))
    if len(values) > 4:
        text += f" ({number(values[len(values) // 10])} to {number(values[len(values) * 9 // 10])})"
    return text


def show(what, bar, unit, values, peers):
    if "p99" in what:
        value = sorted(values)[len(values) * 99 // 100]
    else:
        value = statistics.median(values)
    more = unit.endswith("/s") or unit == "x as fast"
    good = bar is None or (value >= bar if more else value <= bar)
    limit = "" if bar is None else f"{'>=' if more else '<='} {bar} {unit}"
    ours = number(value) if "p99" in what else spread(values)
    print(f"| {what:58} | {limit:20} | {ours + ' ' + unit:34} | {'' if good else 'MISSED':6} | "
          + "; ".join(f"{name} {spread(v)}" for name, v in peers) + " |", flush=True)


def main(words):
    home = tempfile.mkdtemp(prefix="sbx-b.", dir="/tmp")
    ENV["SBX_HOME"] = home
    peers = Peers(tempfile.mkdtemp(prefix="sbx-p.", dir="/tmp"))
    failed = False
    wanted = [r for r in ROWS if not words or any(w in r[0] for w in words)]
    try:
        if not all(r[0].startswith("fs: ") for r in wanted):
            sbx("image", "build", "base")
            sbx("run", "--", "true")
        print(f"| {'what':58} | {'bar':20} | {'ours: p50 (p10 to p90)':34} | {'':6} | peers, same run |\n|---|---|---|---|---|", flush=True)
        for what, bar, unit, function in wanted:
            try:
                show(what, bar, unit, *function(peers))
            except (RuntimeError, OSError, KeyError, ValueError, subprocess.SubprocessError) as e:
                failed = True
                print(f"| {what:58} | failed: {e} |", flush=True)
                remove_all()
    finally:
        peers.close()
        fs_close()
        sbx("down", "--yes", check=False)
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(peers.work, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if sys.argv[1:2] == ["--crun"]:
        print(json.dumps(Crun(sys.argv[2]).measure()))
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
