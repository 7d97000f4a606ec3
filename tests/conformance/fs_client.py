"""A client of the store that shares no code with it: BLAKE3, mcp-v8's tree nodes, streams of objects, HTTP on kept connections.

Sources: BLAKE3 specification, section 2; shared/reference/mcp-v8.md 2.2 to 2.4 for nodes; shared/store/remote.h for streams.
"""
import ctypes
import json
import os
import socket
import struct
import subprocess
import tempfile
from typing import NamedTuple

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
BIN = os.environ.get("SBX_BIN") or os.path.join(TOP, "build/bin")

# ---- BLAKE3 ----
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
LANES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF


def compress(cv, block, counter, length, flags):
    v = [*cv, *IV[:4], counter & MASK, counter >> 32, length, flags]
    m = list(struct.unpack("<16I", block))
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(LANES):
            for x, r, s in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                v[a] = (v[a] + v[b] + x) & MASK
                t = v[d] ^ v[a]
                v[d] = (t >> r | t << (32 - r)) & MASK
                v[c] = (v[c] + v[d]) & MASK
                t = v[b] ^ v[c]
                v[b] = (t >> s | t << (32 - s)) & MASK
        m = [m[i] for i in ORDER]
    return [v[i] ^ v[i + 8] for i in range(8)]


def chunk_cv(data, number, flags):
    cv, blocks = list(IV), [data[i:i + 64] for i in range(0, len(data), 64)] or [b""]
    for i, block in enumerate(blocks):
        f = (CHUNK_START if i == 0 else 0) | ((CHUNK_END | flags) if i == len(blocks) - 1 else 0)
        cv = compress(cv, block.ljust(64, b"\0"), number, len(block), f)
    return cv


def subtree(data, number, flags):
    if len(data) <= 1024:
        return chunk_cv(data, number, flags)
    left = 1024
    while left * 2 < len(data):
        left *= 2
    both = subtree(data[:left], number, 0) + subtree(data[left:], number + left // 1024, 0)
    return compress(IV, struct.pack("<16I", *both), 0, 64, PARENT | flags)


def blake3(data):
    return struct.pack("<8I", *subtree(data, 0, ROOT))


# ---- trees ----
TREE, CHUNK = 1, 2
INLINE = 65536


class Entry(NamedTuple):
    mode: int
    size: int
    content: bytes  # inline, or the ids of its chunks
    chunked: bool = False
    link: bytes | None = None

    def encode(self):
        body = struct.pack("<IQ", 1, len(self.content) // 32) if self.chunked else struct.pack("<IQ", 0, len(self.content))
        tail = b"\0" if self.link is None else b"\1" + struct.pack("<Q", len(self.link)) + self.link
        return struct.pack("<IQ", self.mode, self.size) + body + self.content + tail

    @property
    def id(self):
        return blake3(self.encode()).hex()


def raw(name):
    return name.encode("utf-8", "surrogateescape")


class Tree:
    """Built from {path: bytes, ("mode", bytes) or ("link", target)}; objects has what it is made of. Files are cut at 256 KiB at most."""

    def __init__(self, files):
        self.objects = {}
        self.entries = {path: self.entry(value) for path, value in files.items()}
        self.id = self.node({tuple(path.split("/")): e for path, e in self.entries.items()}).hex()

    def put(self, kind, data):
        key = blake3(data)
        self.objects[key] = kind, data
        return key

    def entry(self, value):
        mode, data = (0o644, value) if isinstance(value, bytes) else value
        if mode == "link":
            return Entry(0o120777, len(data), data, link=data)
        if len(data) <= INLINE:
            return Entry(mode, len(data), data)
        return Entry(mode, len(data), b"".join(self.put(CHUNK, data[i:i + (256 << 10)]) for i in range(0, len(data), 256 << 10)), True)

    def node(self, entries):
        out = b""
        names = sorted({raw(path[0]) for path in entries})
        for name in names:
            below = {path[1:]: e for path, e in entries.items() if raw(path[0]) == name}
            file = below.pop((), None)
            out += struct.pack("<Q", len(name)) + name + (b"\1" + file.encode() if file else b"\0")
            out += b"\1" + self.node(below) if below else b"\0"
        return self.put(TREE, struct.pack("<Q", len(names)) + out)


# ---- streams ----
MAGIC = b"SBXPACK1"


def record(kind, data, key):
    return struct.pack("<BIIB", kind, len(data), len(data), 0) + key + data


def stream(objects):
    """objects: (key, (kind, data)), none compressed."""
    objects = list(objects)
    body = b"".join(record(kind, data, key) for key, (kind, data) in objects)
    return MAGIC + body + struct.pack("<BIIB", 0, 0, 0, 0) + blake3(b"".join(key for key, _ in objects))


def inflate(data, n):
    out = ctypes.create_string_buffer(n + 1)
    got = ctypes.CDLL("libzstd.so.1").ZSTD_decompress(out, ctypes.c_size_t(n + 1), data, ctypes.c_size_t(len(data)))
    assert got == n, "a zstd frame"
    return out.raw[:n]


def unpack(data):
    """The objects of a stream, checked by their hashes."""
    assert data[:8] == MAGIC, data[:20]
    at, out = 8, {}
    while True:
        kind, plain, stored, flags = struct.unpack_from("<BIIB", data, at)
        key, at = data[at + 10:at + 42], at + 42
        if kind == 0:
            assert at == len(data) and key == blake3(b"".join(out)), "the end of the stream"
            return out
        body, at = data[at:at + stored], at + stored
        body = inflate(body, plain) if flags else body
        assert len(body) == plain and blake3(body) == key, "an object of the stream"
        out[key] = kind, body


# ---- HTTP ----
class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Wire:
    """One kept connection."""

    def __init__(self, address, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.buffer = b""

    def send(self, method, path, body=None, headers=()):
        if body is not None and not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), [("Content-Type", "application/json"), *headers]
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{k}: {v}" for k, v in headers)]
        if body is not None and not any(k.lower() in ("content-length", "transfer-encoding") for k, _ in headers):
            lines.append(f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    def more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError("the daemon ended the connection")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def take(self, n):
        parts, have = [self.buffer], len(self.buffer)
        while have < n:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError("the daemon ended the connection")
            parts.append(data)
            have += len(data)
        data = b"".join(parts)
        self.buffer = data[n:]
        return data[:n]

    def read(self, head=False):
        status, headers = int(self.line().split(" ")[1]), {}
        while line := self.line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if head or status in (204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") != "chunked":
            return Answer(status, headers, self.take(int(headers.get("content-length", 0))))
        parts = []
        while n := int(self.line(), 16):
            parts.append(self.take(n))
            self.line()
        self.line()
        return Answer(status, headers, b"".join(parts))

    def ask(self, method, path, body=None, headers=()):
        self.send(method, path, body, headers)
        return self.read(method == "HEAD")

    def close(self):
        self.socket.close()


class Daemon:
    """A private one, in a home of its own."""

    def __init__(self, name, home=None):
        self.own = home is None and "E2E_HOME" not in os.environ
        self.home = home or os.environ.get("E2E_HOME") or tempfile.mkdtemp(prefix=f"sbx-{name}.", dir="/tmp")
        env = {k: v for k, v in os.environ.items() if not k.startswith("SBX_") or k == "SBX_CACHE"}
        self.env = {**env, "SBX_HOME": self.home, "NO_COLOR": "1"}
        self.unix = os.path.join(self.home, "sbxd.sock")
        self.up()

    def sbx(self, *args):
        return subprocess.run([os.path.join(BIN, "sbx"), *args], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60,
                              text=True, check=True).stdout

    def up(self):
        self.sbx("up")

    def pid(self):
        return self.wire().ask("GET", "/sbx/v1/system").json["pid"]

    def wire(self, timeout=30):
        return Wire(self.unix, timeout)

    def down(self):
        self.sbx("down", "--yes")
        if self.own:
            subprocess.run(["rm", "-rf", self.home], check=True)


def upload(wire, *trees):
    """All objects of the trees."""
    objects = {}
    for tree in trees:
        objects.update(tree.objects)
    answer = wire.ask("POST", "/sbx/v1/fs/objects", stream(objects.items()), [("Content-Type", "application/octet-stream")])
    assert answer.status == 200, answer
    return answer.json


def race(wires, label, rounds):
    """Each round, every connection pushes a tree of its own with the head that all have seen. Returns what was answered: (status,
    body) by round. The label must not be there yet."""
    heads, out = [None], []
    for n in range(rounds):
        for i, wire in enumerate(wires):
            body = {"label": label, "ca_id": f"{n:032x}{i:032x}"}
            wire.send("POST", "/api/fs/push", body if heads[-1] is None else {**body, "expected": heads[-1]})
        answers = [wire.read() for wire in wires]
        out.append([(a.status, a.body) for a in answers])
        winners = [i for i, a in enumerate(answers) if a.status == 200]
        if len(winners) != 1:
            break
        heads.append(f"{n:032x}{winners[0]:032x}")
    return heads[1:], out


class Tap:
    """Counts and prints; a test is a function that asserts."""

    def __init__(self):
        self.count = self.failed = 0

    def run(self, name, function, *args):
        self.count += 1
        try:
            function(*args)
            print(f"ok {self.count} - {name}", flush=True)
        except Exception as e:  # pylint: disable=broad-except
            self.failed += 1
            text = f"{type(e).__name__}: {e}".replace("\n", "\n# ")
            where = e.__traceback__
            while where.tb_next:
                where = where.tb_next
            print(f"# line {where.tb_lineno}: {text}\nnot ok {self.count} - {name}", flush=True)

    def end(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0


def same(got, want):
    assert got == want, f"got {got!r}, not {want!r}"
