"""The rows of `make bench` about Wrenn's WebSockets: 200 terminals and 200 streams in 10 VMs at once, and many that are idle.

Over the daemon's own socket, as the operator, with a client small enough not to be what is measured."""
import asyncio
import base64
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from ws import frame  # noqa: E402  pylint: disable=wrong-import-position

VMS, EACH, SIZE, KEYS, IDLE = 10, 20, 100_000, 300, 2000


class Socket:
    """One WebSocket; the handshake is done by open()."""

    def __init__(self, home, path):
        self.home, self.path, self.reader, self.writer = home, path, None, None

    async def open(self, first=None):
        self.reader, self.writer = await asyncio.open_unix_connection(self.home + "/sbxd.sock", limit=1 << 20)
        self.writer.write((f"GET {self.path} HTTP/1.1\r\nHost: sbx\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                           f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n").encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head:
            raise RuntimeError(f"{self.path}: {head.decode()}")
        if first:
            self.say(first)
        return self

    def say(self, message):
        self.writer.write(frame(1, json.dumps(message).encode()))

    async def message(self):
        """The next object, None at the end."""
        while True:
            first, second = await self.reader.readexactly(2)
            n = second & 127
            if n > 125:
                n = int.from_bytes(await self.reader.readexactly(2 if n == 126 else 8), "big")
            data = await self.reader.readexactly(n)
            if first & 15 == 8:
                return None
            if first & 15 == 1:
                return json.loads(data)

    async def until(self, kind):
        while (m := await self.message())["type"] != kind:
            if m["type"] == "error":
                raise RuntimeError(m["data"])
        return m

    async def output(self):
        """All that is printed until the exit."""
        parts = []
        while (m := await self.message())["type"] != "exit":
            if m["type"] == "output":
                parts.append(base64.b64decode(m["data"]))
            elif m["type"] in ("stdout", "stderr"):
                parts.append(m["data"].encode())
            elif m["type"] == "error":
                raise RuntimeError(m["data"])
        return b"".join(parts)

    def close(self):
        self.writer.close()


def ask(home, method, path, body=None):
    argv = ["curl", "-sS", "-m", "120", "--unix-socket", home + "/sbxd.sock", "-X", method, "http://sbx" + path]
    out = subprocess.run(argv + (["-d", json.dumps(body)] if body is not None else []), check=True, capture_output=True).stdout
    return json.loads(out) if out else None


def sh(home, capsule, script):
    got = ask(home, "POST", f"/v1/capsules/{capsule}/exec", {"cmd": "sh", "args": ["-c", script], "timeout_sec": 100})
    if got.get("exit_code") != 0:
        raise RuntimeError(got)
    return got["stdout"]


def resident_kb(home):
    pid = ask(home, "GET", "/sbx/v1/system")["pid"]
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(next(line.split()[1] for line in file if line.startswith("VmRSS")))


def capsules(home, n):
    return [ask(home, "POST", "/v1/capsules", {})["id"] for _ in range(n)]


async def wrong(home, boxes):
    """How many of all the sockets gave other bytes than were printed. All begin when all are open."""
    data = {}
    for box in boxes:
        data[box] = sh(home, box, f"mkfifo /tmp/go; head -c {SIZE * 3 // 4} /dev/urandom | base64 -w 0 > /tmp/data; cat /tmp/data").encode()
    go = "cat /tmp/go; echo {0}; cat /tmp/data; echo {0}"

    async def one(box, n, terminal):
        command = ["-c", ("stty raw; " if terminal else "") + go.format(n)]
        s = await Socket(home, f"/v1/capsules/{box}/{'pty' if terminal else 'exec/stream'}").open({"type": "start", "cmd": "sh", "args": command})
        await s.until("started" if terminal else "start")
        want = hashlib.sha256(b"%d\n%b%d\n" % (n, data[box], n)).digest()
        return s, want

    all_of_them = [await one(box, n, terminal) for n in range(EACH) for box in boxes for terminal in (True, False)]
    outputs = asyncio.gather(*(s.output() for s, _ in all_of_them))
    await asyncio.sleep(2)
    start = time.perf_counter()
    release = "for i in 1 2 3; do timeout 3 sh -c ': > /tmp/go'; done; true"  # who was not there for the first is for the next
    await asyncio.gather(*(asyncio.to_thread(sh, home, box, release) for box in boxes))
    got = await outputs
    took = time.perf_counter() - start
    for s, _ in all_of_them:
        s.close()
    bad = sum(hashlib.sha256(out).digest() != want for out, (_, want) in zip(got, all_of_them))
    return bad, len(got), took


async def echo(home, boxes):
    """Milliseconds from a key to its echo in terminals of all VMs, while one more terminal floods."""
    path = "/v1/capsules/{}/pty"
    terminals = [await Socket(home, path.format(box)).open({"type": "start", "cmd": "cat"}) for box in boxes for _ in range(EACH)]
    streams = [await Socket(home, f"/v1/capsules/{box}/exec/stream").open({"type": "start", "cmd": "sleep", "args": ["600"]})
               for box in boxes for _ in range(EACH)]
    for s in terminals:
        await s.until("started")
    for s in streams:
        await s.until("start")
    flood = await Socket(home, path.format(boxes[0])).open({"type": "start", "cmd": "yes"})
    drained = 0

    async def drain():
        nonlocal drained
        while data := await flood.reader.read(1 << 18):
            drained += len(data)
    task = asyncio.create_task(drain())
    await asyncio.sleep(1)
    values = []
    for n in range(KEYS):
        s = terminals[n * 7 % len(terminals)]
        await asyncio.sleep(0.02)
        start = time.perf_counter()
        s.say({"type": "input", "data": base64.b64encode(b"x").decode()})
        await s.until("output")
        values.append((time.perf_counter() - start) * 1000)
    task.cancel()
    flood.say({"type": "kill"})
    for s in (*terminals, *streams, flood):
        s.close()
    return values, drained


async def idle_kb(home, box):
    """Daemon memory of a socket on which nothing was said yet."""
    before = resident_kb(home)
    sockets = [await Socket(home, f"/v1/capsules/{box}/pty").open() for _ in range(IDLE)]
    after = resident_kb(home)
    for s in sockets:
        s.close()
    return (after - before) / IDLE, after


def rows(row, env, sbx, remove_all):
    def fresh(n):
        remove_all()
        sbx("ls")
        return capsules(env["SBX_HOME"], n)

    @row(f"{VMS * EACH} terminals and {VMS * EACH} streams in {VMS} VMs: with wrong bytes", 0, "")
    def whole(_peers):
        bad, _, _ = asyncio.run(wrong(env["SBX_HOME"], fresh(VMS)))
        return [bad], []

    @row("echo of a key in them, while one floods (p99)", 60)
    def key_echo(_peers):
        values, _ = asyncio.run(echo(env["SBX_HOME"], fresh(VMS)))
        remove_all()
        return values, []

    @row(f"daemon memory of an idle WebSocket, of {IDLE}", 22, "KB")
    def idle(_peers):
        kb, _ = asyncio.run(idle_kb(env["SBX_HOME"], fresh(1)[0]))
        remove_all()
        return [kb], []


def main(home):
    """usage: wrenn_rows.py SBX_HOME    (of a daemon that runs)"""
    boxes = capsules(home, VMS)
    try:
        bad, n, took = asyncio.run(wrong(home, boxes))
        print(f"{bad} of {n} sockets with wrong bytes; {n * SIZE / 1e6:.0f} MB in {took:.1f} s")
        values, drained = asyncio.run(echo(home, boxes))
        cuts = statistics.quantiles(values, n=100)
        print(f"echo: median {statistics.median(values):.1f} ms, p99 {cuts[98]:.1f} ms, worst {max(values):.1f} ms; flood {drained / 1e6:.0f} MB")
        kb, after = asyncio.run(idle_kb(home, boxes[0]))
        print(f"idle socket: {kb:.1f} KB each, the daemon then {after / 1000:.1f} MB")
    finally:
        for box in boxes:
            ask(home, "DELETE", f"/v1/capsules/{box}")


if __name__ == "__main__":
    main(sys.argv[1])
