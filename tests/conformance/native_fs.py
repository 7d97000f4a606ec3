#!/usr/bin/env python3
"""The native API of the store (/sbx/v1/fs) on a running daemon: labels, objects by have, upload and fetch, hostile streams, trees, files by
range, merges, care; and the daemon killed in the middle of pushes. TAP. The trees are made here (fs_client.py).
"""
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import quote

from fs_client import CHUNK, MAGIC, TREE, Daemon, Tap, Tree, Wire, blake3, record, same, stream, struct, unpack, upload

BASE = "/sbx/v1/fs"
OCTETS = [("Content-Type", "application/octet-stream")]
ZERO = "0" * 64
EMPTY = Tree({}).id


class Api:
    def __init__(self, daemon):
        self.daemon, self.wire = daemon, daemon.wire()

    def ask(self, method, path, body=None, headers=()):
        return self.wire.ask(method, BASE + path, body, headers)

    def move(self, label, tree, **more):
        return self.ask("PUT", "/labels/" + quote(label, safe=""), {"tree": tree, **more})

    def label(self, name):
        return self.ask("GET", "/labels/" + quote(name, safe=""))

    def log(self, name, query=""):
        return self.ask("GET", f"/labels/{quote(name, safe='')}/log{query}").json["log"]

    def missing(self, ids):
        answer = self.ask("POST", "/have", {"ids": list(ids)})
        same(answer.status, 200)
        return answer.json["missing"]

    def fetch(self, want, have=()):
        return self.ask("POST", "/fetch", {"want": list(want), "have": list(have)})

    def upload(self, data):
        """On a connection of its own, since a refusal ends it."""
        wire = self.daemon.wire()
        try:
            wire.send("POST", BASE + "/objects", data, OCTETS)
        except OSError:
            pass  # the answer is there already
        answer = wire.read()
        wire.close()
        return answer

    def file(self, tree, path, method="GET", **headers):
        pairs = [(k.replace("_", "-"), v) for k, v in headers.items()]
        return self.ask(method, f"/trees/{tree}/file?path={quote(path, safe='')}", headers=pairs)

    def list(self, tree, query=""):
        return self.ask("GET", f"/trees/{tree}{query}")


def fault(answer, status, code, words=""):
    same((answer.status, answer.json["error"]["code"]), (status, code))
    assert re.search(words, answer.json["error"]["message"]), answer.json
    return answer.json


def gone(answer, status, current):
    same(fault(answer, status, "conflict")["current"], current)


# ---- labels ----
def labels(api):
    one, two, three = (Tree({"f": text}) for text in (b"1", b"2", b"3"))
    upload(api.wire, one, two, three)
    same(api.ask("GET", "/labels").json, {"labels": []})
    answer = api.move("a/b", one.id, message="first")
    same((answer.status, answer.json["name"], answer.json["tree"]), (201, "a/b", one.id))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.json["movedAt"]), answer.json
    same(api.label("a/b").json, answer.json)
    same(api.ask("GET", "/labels").json["labels"], [answer.json])
    gone(api.move("a/b", two.id), 409, one.id)  # nothing expected: there must be none
    gone(api.move("a/b", two.id, expected=None), 409, one.id)
    gone(api.move("a/b", two.id, expected=two.id), 409, one.id)
    gone(api.move("nosuch", two.id, expected=two.id), 409, None)
    same(api.move("a/b", two.id.upper(), expected=one.id.upper()).json["tree"], two.id)
    same(api.move("a/b", three.id, force=True).status, 200)
    same(api.move("a/b", one.id, expected=three.id, other=two.id, message="joined").status, 200)
    same([(m["op"], m["from"], m["to"], m.get("other"), m.get("message")) for m in api.log("a/b")],
         [("create", None, one.id, None, "first"), ("push", one.id, two.id, None, None), ("force", two.id, three.id, None, None),
          ("merge", three.id, one.id, two.id, "joined")])
    same(len(api.log("a/b", "?limit=3")), 3)
    same(api.log("a/b", "?limit=0"), [])
    fault(api.ask("GET", "/labels/nosuch/log"), 404, "not_found")
    fault(api.label("nosuch"), 404, "not_found")
    fault(api.move("x", ZERO), 404, "not_found", ZERO)
    fault(api.move("x", one.id, message="é" * 2049), 400, "invalid_request", "4098")
    for bad in ("..", "a//b", "-a", "a:b", "a\n", "é" * 128, ZERO, " a", "a@{1}"):
        same(api.move(bad, one.id).status, 400)


def resets(api):
    trees = [Tree({"r": b"%d" % n}) for n in range(3)]
    upload(api.wire, *trees)
    one, two, three = (t.id for t in trees)
    api.move("reset", one)
    api.move("reset", two, expected=one)
    fault(api.move("reset", three, op="reset"), 409, "invalid_state", "history")
    same(api.move("reset", one, op="reset").status, 200)
    gone(api.move("reset", two, op="reset", expected=two), 409, one)
    same(api.move("reset", two, op="reset", expected=one).status, 200)
    same(api.move("reset", three, op="reset", force=True).status, 200)
    fault(api.move("resetnew", one, op="reset"), 409, "invalid_state")
    same([m["op"] for m in api.log("reset")], ["create", "push", "reset", "reset", "reset"])


def removal(api):
    tree = Tree({"gone": b"1"})
    upload(api.wire, tree)
    for name in ("x/1", "x/2"):
        same(api.move(name, tree.id).status, 201)
    gone(api.ask("DELETE", f"/labels/x%2F1?expected={ZERO}"), 409, tree.id)
    same(api.ask("DELETE", f"/labels/x%2F1?expected={tree.id}").status, 204)
    fault(api.ask("DELETE", "/labels/x%2F1"), 404, "not_found")
    fault(api.label("x/1"), 404, "not_found")
    fault(api.ask("POST", "/labels/x%2F1/rename", {"name": "y"}), 404, "not_found")
    same(api.move("y", tree.id).status, 201)
    fault(api.ask("POST", "/labels/x%2F2/rename", {"name": "y"}), 409, "conflict")
    answer = api.ask("POST", "/labels/x%2F2/rename", {"name": "z/z"})
    same((answer.status, answer.json["name"], answer.json["tree"]), (200, "z/z", tree.id))
    same([m["op"] for m in api.log("z/z")], ["create", "rename"])
    fault(api.label("x/2"), 404, "not_found")


# ---- objects ----
def objects(api):
    old = Tree({f"d{n}/f{m}": b"%d.%d" % (n, m) for n in range(4) for m in range(4)} | {"big": bytes(range(256)) * 512})
    new = Tree({**{f"d{n}/f{m}": b"%d.%d" % (n, m) for n in range(4) for m in range(4)}, "big": bytes(range(256)) * 512, "d0/f0": b"new"})
    ids = [k.hex() for k in old.objects]
    same(api.missing([*ids, ZERO]), [*ids, ZERO])
    counts = upload(api.wire, old)
    same(counts, {"objects": len(ids), "bytes": len(stream(old.objects.items()))})
    same(api.missing([ids[0].upper(), *ids, ZERO, ZERO]), [ZERO, ZERO])
    extra = {k: v for k, v in new.objects.items() if k not in old.objects}
    same(api.upload(stream(extra.items())).status, 200)
    answer = api.fetch([old.id])
    same((answer.status, answer.headers["content-type"]), (200, "application/octet-stream"))
    same(unpack(answer.body), old.objects)
    same(unpack(api.fetch([new.id], [old.id, ZERO]).body), extra)
    same(unpack(api.fetch([new.id, old.id], [new.id]).body), {k: v for k, v in old.objects.items() if k not in new.objects})
    same(unpack(api.fetch([new.id], [new.id]).body), {})
    fault(api.fetch([new.id, ZERO]), 404, "not_found", ZERO)
    same(api.upload(stream([])).json, {"objects": 0, "bytes": 50})


def partial(api):
    """A tree is there only with all that it leads to."""
    tree = Tree({"p/q/f": b"deep", "g": b"x" * 70000})
    parts = list(tree.objects.items())
    root = bytes.fromhex(tree.id)
    for left_out in parts:
        if left_out[0] == root:
            continue
        other = Tree({"p/q/f": b"deep", "g": b"x" * 70000, "only": left_out[0]})
        sent = [(k, v) for k, v in other.objects.items() if k not in tree.objects]
        same(api.upload(stream(sent)).status, 200)
        same(other.id in api.missing([other.id]), True)
        fault(api.move("partial", other.id), 404, "not_found", other.id)
    same(api.upload(stream(parts)).status, 200)
    same(api.missing([tree.id]), [])
    same(api.move("partial", tree.id).status, 201)


def hostile(api):
    good, late = Tree({"kept": os.urandom(20)}), Tree({"late": os.urandom(20)})
    key, (kind, data) = next(iter(good.objects.items()))
    whole = record(kind, data, key)
    end = struct.pack("<BIIB", 0, 0, 0, 0)
    zeros = b"\0" * 32
    tail = stream(late.objects.items())[8:-42]
    bad = {
        "empty": b"", "no stream": b"PK\3\4" + b"x" * 100, "a cut magic": MAGIC[:5], "no end": MAGIC + whole, "a wrong end": MAGIC + whole + end + zeros,
        "more after the end": stream(good.objects.items()) + b"x", "unknown kind": MAGIC + whole + struct.pack("<BIIB", 9, 1, 1, 0) + zeros + b"x",
        "unknown flags": MAGIC + whole + struct.pack("<BIIB", TREE, 9, 8, 6) + zeros + b"x" * 8,
        "lengths that differ": MAGIC + whole + struct.pack("<BIIB", CHUNK, 5, 6, 0) + zeros + b"x" * 6,
        "a chunk of 4 GiB": MAGIC + whole + struct.pack("<BIIB", CHUNK, 2**32 - 1, 2**32 - 1, 0) + zeros + b"x" * 1000,
        "a bomb": MAGIC + whole + struct.pack("<BIIB", CHUNK, 2**32 - 1, 20, 1) + zeros + b"x" * 20,
        "no zstd": MAGIC + whole + struct.pack("<BIIB", CHUNK, 1000, 20, 1) + zeros + b"x" * 20,
        "another name": MAGIC + whole + record(CHUNK, b"hello", zeros), "no tree": MAGIC + whole + record(TREE, b"hello", blake3(b"hello")),
        "a cut record": MAGIC + whole + tail[:50], "a name that is not one": MAGIC + whole + evil(b".."), "a slash in a name": MAGIC + whole + evil(b"a/b"),
    }
    for what, body in bad.items():
        answer = api.upload(body)
        same((what, answer.status), (what, 400))
        fault(answer, 400, answer.json["error"]["code"], "stream|object|tree|node|name")
        if whole in body:
            same((what, api.missing([key.hex()])), (what, []))  # what came whole before is kept
    same(api.upload(stream(late.objects.items())).status, 200)
    for media in ("multipart/form-data; boundary=x",):
        same(api.ask("POST", "/objects", b"x", [("Content-Type", media)]).status, 415)


def evil(name):
    data = struct.pack("<QQ", 1, len(name)) + name + b"\1" + struct.pack("<IQIQ", 0o644, 0, 0, 0) + b"\0\0"
    return record(TREE, data, blake3(data))


def slow(api):
    """Who uploads slowly keeps nobody waiting, and what he leaves unfinished is kept."""
    tree, other = Tree({f"f{n}": os.urandom(50) for n in range(20)}), Tree({"other": b"1"})
    upload(api.wire, other)
    body = stream(tree.objects.items())
    wire = api.daemon.wire()
    wire.send("POST", BASE + "/objects", body[:-10], [*OCTETS, ("Content-Length", str(len(body)))])
    before = time.monotonic()
    same(api.move("slow", other.id).status, 201)
    fault(api.ask("POST", "/gc", {}), 409, "conflict")
    assert time.monotonic() - before < 5, "the upload held it up"
    wire.close()
    end = time.monotonic() + 10
    while api.missing([tree.id]) and time.monotonic() < end:
        time.sleep(0.02)
    same(api.missing([tree.id]), [])


def many_uploads(api):
    """A limited number at once; the others are told."""
    wires = [api.daemon.wire() for _ in range(16)]
    for wire in wires:
        wire.send("POST", BASE + "/objects", MAGIC, [*OCTETS, ("Content-Length", "100")])
    end = time.monotonic() + 10
    while (answer := api.upload(stream([]))).status == 200 and time.monotonic() < end:
        time.sleep(0.02)
    fault(answer, 429, "limit_exceeded")
    for wire in wires:
        wire.close()
    while (answer := api.upload(stream([]))).status == 429 and time.monotonic() < end:
        time.sleep(0.02)
    same(answer.status, 200)


def peak(daemon):
    with open(f"/proc/{daemon.pid()}/status") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) / 1024


def large(api):
    """2 GiB of records in constant memory. The chunk is always the same, so that making them costs nothing."""
    chunk, count = bytes(4 << 20), 512
    key = bytes.fromhex("04e52cd2da6a0e1f338b0078369130d96585c1de65057da5dd1283b12fb853e1")
    one, end = record(CHUNK, chunk, key), struct.pack("<BIIB", 0, 0, 0, 0) + blake3(key * count)
    before, started = peak(api.daemon), time.monotonic()
    wire = api.daemon.wire(60)
    wire.send("POST", BASE + "/objects", MAGIC, [*OCTETS, ("Content-Length", str(8 + len(one) * count + 42))])
    for _ in range(count):
        wire.socket.sendall(one)
    wire.socket.sendall(end)
    answer = wire.read()
    same((answer.status, answer.json["objects"]), (200, count))
    grown, took = peak(api.daemon) - before, time.monotonic() - started
    print(f"# 2 GiB in {took:.1f} s, {grown:.0f} MiB more at the peak")
    assert grown < 48 and took < 60, (grown, took)
    wire.close()


def large_file(api):
    """A file of 2 GiB out of one chunk, read whole and in part, in constant memory."""
    key = bytes.fromhex("04e52cd2da6a0e1f338b0078369130d96585c1de65057da5dd1283b12fb853e1")
    name, count = b"sparse", 512
    data = struct.pack("<QQ", 1, len(name)) + name + b"\1" + struct.pack("<IQIQ", 0o644, count << 22, 1, count) + key * count + b"\0\0"
    tree = blake3(data)
    same(api.upload(stream([(tree, (TREE, data))])).status, 200)
    wire = api.daemon.wire(60)
    wire.send("GET", f"{BASE}/trees/{tree.hex()}/file?path=sparse")
    before, left, started = peak(api.daemon), (count << 22), time.monotonic()
    head = wire.read(head=True)
    same((head.status, head.headers["content-length"]), (200, str(left)))
    left -= len(wire.buffer)
    while left > 0:
        block = wire.socket.recv(1 << 20)
        assert block and not block.strip(b"\0"), "not the zeros that it has"
        left -= len(block)
    same(left, 0)
    grown, took = peak(api.daemon) - before, time.monotonic() - started
    print(f"# 2 GiB out in {took:.1f} s, {grown:.0f} MiB more at the peak")
    assert grown < 48, grown
    answer = api.file(tree.hex(), "sparse", Range=f"bytes=-{5 << 20}")
    same((answer.status, answer.body), (206, bytes(5 << 20)))
    # who does not read on holds up nobody
    stuck = [api.daemon.wire() for _ in range(40)]
    for w in stuck:
        w.send("GET", f"{BASE}/trees/{tree.hex()}/file?path=sparse")
    same(api.list(tree.hex()).status, 200)
    same(api.ask("GET", "/stats").status, 200)
    for w in stuck:
        w.close()
    same(api.file(tree.hex(), "sparse", Range="bytes=0-0").body, b"\0")


# ---- trees ----
def listing(api):
    tree = Tree({"a": b"12", "a/x": b"3", "bin/run": (0o755, b"#!"), "l": ("link", b"/t"), "u\udcff": b"raw", "p": (0o10600, b""), "ü": b"",
                 "d": (0o40700, b""), "d/e": b"1"})
    upload(api.wire, tree)
    answer = api.list(tree.id)
    same((answer.status, answer.json["tree"]), (200, tree.id))
    rows = [(e["name"], e["type"], e["mode"], e["size"]) for e in answer.json["entries"]]
    same(rows, [("a", "file", "0644", 2), ("a", "folder", "0755", 0), ("bin", "folder", "0755", 0), ("d", "folder", "0700", 0),
                ("l", "symlink", "0777", 2), ("p", "fifo", "0600", 0), ("u\ufffd", "file", "0644", 3), ("ü", "file", "0644", 0)])
    by_name = {e["name"]: e for e in answer.json["entries"]}
    same((by_name["l"]["target"], by_name["l"]["id"]), ("/t", tree.entries["l"].id))
    same([e.get("rawName") for e in answer.json["entries"]], [None] * 6 + ["df8=", None])
    full = api.list(tree.id, "?recursive=true").json["entries"]
    same([e["name"] for e in full], ["a", "a", "a/x", "bin", "bin/run", "d", "d/e", "l", "p", "u\ufffd", "ü"])
    folder = api.list(tree.id, "?path=bin").json
    same((folder["tree"], [e["name"] for e in folder["entries"]]), (by_name["bin"]["id"], ["run"]))
    same(api.list(folder["tree"]).json, folder)
    same(api.list(tree.id, "?path=./bin//").json, folder)
    same(api.list(EMPTY).json["entries"], [])
    fault(api.list(tree.id, "?path=nosuch"), 404, "not_found")
    fault(api.list(tree.id, "?path=l"), 400, "invalid_request", "folder")
    fault(api.list(tree.id, "?path=.."), 400, "invalid_request")
    fault(api.list(ZERO), 404, "not_found")


def files(api):
    text, big = b"0123456789", bytes(range(256)) * 1100
    tree = Tree({"d/t": text, "big": big, "empty": b"", "l": ("link", b"d/t"), "d/run": (0o755, text)})
    upload(api.wire, tree)
    for path, data in (("d/t", text), ("big", big), ("empty", b""), ("l", b"d/t")):
        answer, tag = api.file(tree.id, path), f'"{tree.entries[path].id}"'
        same((answer.status, answer.body, answer.headers["etag"], answer.headers["accept-ranges"]), (200, data, tag, "bytes"))
        same(answer.headers["content-length"], str(len(data)))
        head = api.file(tree.id, path, "HEAD")
        same((head.status, head.headers["content-length"], head.headers["etag"]), (200, str(len(data)), tag))
        for match, status in ((tag, 304), ("*", 304), (f'"x", W/{tag} ,"y"', 304), ('"x"', 200), (tag[1:-1], 200)):
            answer = api.file(tree.id, path, If_None_Match=match)
            same((match, answer.status, answer.body, answer.headers["etag"]), (match, status, b"" if status == 304 else data, tag))
    assert tree.entries["d/t"].id != tree.entries["d/run"].id
    for data, path in ((text, "d/t"), (big, "big")):
        n, tag = len(data), f'"{tree.entries[path].id}"'
        for value, first, last in (("0-0", 0, 0), ("3-5", 3, 5), ("3-", 3, n - 1), ("-4", n - 4, n - 1), (f"-{n + 9}", 0, n - 1), (f"1-{n + 9}", 1, n - 1),
                                   ("2-99999999999999999999999", 2, n - 1), (f"{n - 1}-{n - 1}", n - 1, n - 1)):
            answer = api.file(tree.id, path, Range=f"bytes={value}")
            same((value, answer.status, answer.body, answer.headers["content-range"]), (value, 206, data[first:last + 1], f"bytes {first}-{last}/{n}"))
            head = api.file(tree.id, path, "HEAD", Range=f"bytes={value}")
            same((head.status, head.headers["content-length"]), (206, str(last + 1 - first)))
        for value in (f"{n}-", f"{n}-{n + 5}", "-0", "99999999999999999999999-"):
            answer = api.file(tree.id, path, Range=f"bytes={value}")
            same((value, answer.status, answer.headers["content-range"]), (value, 416, f"bytes */{n}"))
        for value in ("bytes=5-3", "bytes=", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "bytes=0-1 ", "lines=0-1", "bytes=+1-2", "bytes=0x1-2", "0-1"):
            answer = api.file(tree.id, path, Range=value)
            same((value, answer.status, answer.body), (value, 200, data))
        same(api.file(tree.id, path, Range="bytes=0-0", If_Range=tag).status, 206)
        same(api.file(tree.id, path, Range="bytes=0-0", If_Range='"other"').body, data)
    same(api.file(tree.id, "empty", Range="bytes=0-0").status, 416)
    fault(api.file(tree.id, "nosuch"), 404, "not_found")
    fault(api.file(tree.id, "d"), 400, "invalid_request", "folder")
    fault(api.file(tree.id, "d/t/x"), 404, "not_found")
    fault(api.file(ZERO, "x"), 404, "not_found")


# ---- merge, references, care ----
def merges(api):
    base, ours, theirs = (Tree({"f": text}) for text in (b"1\n2\n3\n4\n5\n", b"A\n2\n3\n4\n5\n", b"1\n2\n3\n4\nE\n"))
    clash = Tree({"f": b"X\n2\n3\n4\n5\n"})
    upload(api.wire, base, ours, theirs, clash)
    for name, tree in (("m/ours", ours), ("m/theirs", theirs), ("m/clash", clash)):
        api.move(name, base.id)
        api.move(name, tree.id, expected=base.id)
    both = Tree({"f": b"A\n2\n3\n4\nE\n"}).id
    merge = lambda **body: api.ask("POST", "/merge", body)  # noqa: E731
    answer = merge(ours="m/ours", theirs="m/theirs")  # the base is found in the histories
    same(answer.json, {"clean": True, "tree": both, "base": base.id, "ours": ours.id, "theirs": theirs.id, "conflicts": []})
    same(merge(ours=ours.id, theirs=theirs.id[:12], base=base.id).json["tree"], both)
    answer = merge(ours="m/ours", theirs="m/clash")
    same((answer.status, answer.json["clean"], [(c["path"], c["kind"]) for c in answer.json["conflicts"]]), (200, False, [("f", "text")]))
    conflict, = answer.json["conflicts"]
    same((conflict["base"], conflict["ours"], conflict["theirs"]), tuple(t.entries["f"].id for t in (base, ours, clash)))
    same(api.file(answer.json["tree"], "f").body.decode(), conflict["markers"])
    same(merge(ours="m/ours", theirs="m/clash", prefer="ours").json["tree"], ours.id)
    same(merge(ours="m/ours", theirs="m/clash", prefer="theirs").json["tree"], clash.id)
    answer = merge(ours="m/ours", theirs="m/clash", into="m/ours")
    same((answer.json["clean"], "label" in answer.json, api.label("m/ours").json["tree"]), (False, False, ours.id))
    gone(merge(ours="m/ours", theirs="m/theirs", into="m/ours", expected=base.id), 409, ours.id)
    gone(merge(ours="m/ours", theirs="m/theirs", into="m/ours", expected=None), 409, ours.id)
    answer = merge(ours="m/ours", theirs="m/theirs", into="m/ours", message="both")
    same((answer.json["label"], api.label("m/ours").json["tree"]), ("m/ours", both))
    last = api.log("m/ours")[-1]
    same((last["op"], last["to"], last["other"], last["message"]), ("merge", both, theirs.id, "both"))
    same(merge(ours="m/ours", theirs="m/theirs").json["tree"], both)  # what was merged in is the base now
    same(merge(ours=ours.id, theirs=theirs.id, base=base.id, into="m/new").json["label"], "m/new")
    fault(merge(ours="nosuch", theirs="m/theirs"), 404, "not_found")
    fault(merge(ours=ZERO, theirs=theirs.id), 404, "not_found")


def references(api):
    tree, old = Tree({"d/f": b"1", "l": ("link", b"x")}), Tree({"d/f": b"0"})
    upload(api.wire, tree, old)
    api.move("ref", old.id)
    api.move("ref", tree.id, expected=old.id)
    resolve = lambda ref: api.ask("GET", "/resolve?ref=" + quote(ref, safe=""))  # noqa: E731
    whole = {"tree": tree.id, "label": "ref", "path": "", "type": "folder", "id": tree.id}
    same(resolve("ref").json, whole)
    same(resolve("ref@{0}").json, whole)
    same(resolve("ref@{1}").json["tree"], old.id)
    same(resolve(tree.id).json, {**whole, "label": None})
    same(resolve(tree.id[:10]).json, {**whole, "label": None})
    same(resolve("ref:d/f").json, {**whole, "path": "d/f", "type": "file", "id": tree.entries["d/f"].id})
    same(resolve("ref:l").json["type"], "symlink")
    same(resolve("ref:d").json["type"], "folder")
    for bad in ("nosuch", "ref:nosuch", "ref@{99}", "12345678"):
        fault(resolve(bad), 404, "not_found")
    fault(resolve("ref@{x"), 400, "invalid_request")


def care(api):
    stats = api.ask("GET", "/stats").json
    same((stats["path"], stats["readOnly"]), (api.daemon.home + "/store", False))
    same(stats["labels"], len(api.ask("GET", "/labels").json["labels"]))
    assert stats["objects"] > 30 and stats["packs"] >= 1 and 0 < stats["storedBytes"] <= stats["diskBytes"], stats
    held = fault(api.ask("POST", "/gc", {}), 409, "conflict")
    assert "hint" in held["error"], held


def two_daemons(api):
    home = api.daemon.home + "/two"
    os.makedirs(home)
    os.symlink(api.daemon.home + "/store", home + "/store")
    two = Daemon("two", home)
    try:
        fault(two.wire().ask("GET", BASE + "/labels"), 409, "conflict", "another sbxd")
        same(two.wire().ask("GET", "/api/fs/labels").status, 503)
        same(api.ask("GET", "/labels").status, 200)
    finally:
        two.down()
        subprocess.run(["rm", "-rf", home], check=True)


def gc_after(api):
    """A new daemon holds nothing: what no label leads to goes, the rest stays."""
    tree, loose = Tree({"stay": b"stay" * 10}), Tree({"go": b"go" * 10})
    upload(api.wire, tree, loose)
    api.move("stay", tree.id)
    api.daemon.sbx("down", "--keep")
    api.daemon.up()
    api.wire = api.daemon.wire()
    dry = api.ask("POST", "/gc", {"dryRun": True})
    same((dry.status, dry.json["dryRun"]), (200, True))
    assert dry.json["removed"] >= 1, dry.json
    done = api.ask("POST", "/gc").json
    same((done["dryRun"], done["kept"], done["removed"]), (False, dry.json["kept"], dry.json["removed"]))
    same(api.file(tree.id, "stay").body, b"stay" * 10)
    same(api.missing([tree.id, loose.id]), [loose.id])


# ---- crash ----
class Pusher(threading.Thread):
    """Uploads and pushes until the daemon is gone; remembers what was acknowledged."""

    def __init__(self, unix, label, head, seed):
        super().__init__()
        self.wire, self.label, self.acked, self.seed = Wire(unix, 10), label, [head], seed

    def run(self):
        try:
            for n in range(100000):
                tree = Tree({"n": b"%d" % n, "seed": b"%d" % self.seed})
                upload(self.wire, tree)
                body = {"tree": tree.id, "expected": self.acked[-1]}
                if self.wire.ask("PUT", f"{BASE}/labels/{self.label}", body).status not in (200, 201):
                    break
                self.acked.append(tree.id)
        except (OSError, EOFError, AssertionError, ValueError, IndexError):
            pass


def lives(pid):
    """Any thread of it: what is shared, sockets and locks, goes with the last."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            dead = f.read().rpartition(")")[2].split()[0] in "ZX"
        return not dead or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def crashes(api, rounds):
    rng = random.Random(4)
    heads = {f"crash{n}": None for n in range(4)}
    total = 0
    for n in range(rounds):
        threads = [Pusher(api.daemon.unix, label, head, n) for label, head in heads.items()]
        for t in threads:
            t.start()
        time.sleep(rng.uniform(0.01, 0.2))
        pid = api.daemon.pid()
        os.kill(pid, signal.SIGKILL)
        for t in threads:
            t.join()
        while lives(pid):
            time.sleep(0.005)
        api.daemon.up()
        api.wire = api.daemon.wire()
        for t in threads:
            total += len(t.acked) - 1
            log = [m["to"] for m in api.log(t.label)] if api.label(t.label).status == 200 else []
            known = [tree for tree in t.acked if tree]
            at = log.index(known[0]) if known else 0
            same(log[at:at + len(known)], known)  # all that was acknowledged, in order
            assert len(log) - at - len(known) <= 1, "more than the one that was under way"
            heads[t.label] = log[-1] if log else None
            if log:
                same(unpack(api.fetch([log[-1]]).body) != {}, True)
    print(f"# {total} pushes acknowledged in {rounds} rounds")
    assert total > rounds, total


def main():
    daemon, tap = Daemon("nfs"), Tap()
    try:
        api = Api(daemon)
        for test in (labels, resets, removal, objects, partial, hostile, slow, many_uploads, listing, files, merges, references, large, large_file, care,
                     two_daemons, gc_after):
            tap.run(test.__name__.replace("_", " "), test, api)
        tap.run("kill -9 during pushes", crashes, api, 12)
    finally:
        daemon.down()
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
