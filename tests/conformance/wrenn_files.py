#!/usr/bin/env python3
"""Files in Wrenn's capsules on a running daemon: write, read, list, make, remove, and what paths mean. TAP.

Digest section 6. Where the original fails in an odd way, any honest refusal will do: REFUSED. How to run one check: wrenn_kit.py.
"""
import os
import re
import sys
import time

import wrenn_capsules
from fs_client import same
from wrenn_kit import Client, Suite, bad_request, fault, not_found, ok, unique, unknown_id

MISSING = (404, 502)  # a path that is not there
REFUSED = (400, 404, 409, 502)  # a path that is of the wrong kind
WAYS = ("/files/write", "/files/stream/write")
READS = ("/files/read", "/files/stream/read")


class World(wrenn_capsules.World):
    def files(self, op, **body):
        return self.main.post("/files/" + op, body)

    def put(self, path, data=b"data", way="/files/write", **more):
        return self.key.upload(self.main.path + way, ("path", path.encode()), ("file", data, "f"), **more)

    def read(self, path, way="/files/read"):
        """The bytes."""
        answer = self.main.post(way, {"path": path})
        assert answer.status == 200 and answer.headers["content-type"] == "application/octet-stream", answer
        return answer.body

    def list(self, path, **more):
        return ok(self.files("list", path=path, **more))["entries"]

    def folder(self):
        """A new folder with something in it: a/, a/b/, a/b/deep, a/x, B, link -> a, loose -> nowhere, run."""
        top = "/tmp/" + unique("folder")
        self.main.sh(f"mkdir -p {top}/a/b && cd {top} && echo deep > a/b/deep && echo x > a/x && printf 12345 > B && ln -s a link && "
                     "ln -s nowhere loose && echo '#!' > run && chmod 755 run && chmod 1777 a && touch -d @1700000000 B")
        return top


SUITE = Suite("wrenn_files", World)
check = SUITE.check

for way in WAYS:
    # ---- 6.2: write ----
    @check(f"{way}: 204, and the bytes are there; mode 0644, of root")
    def _(w, path=way):
        name = "/root/" + unique("w")
        data = bytes(range(256)) * 40 + b"\r\n--boundary\r\n" + os.urandom(3000)
        ok(w.put(name, data, path), 204)
        same(w.read(name), data)
        same(w.main.sh(f"stat -c '%a %U %G %s' {name}"), f"644 root root {len(data)}\n")

    @check(f"{way}: the parts may come in either order")
    def _(w, path=way):
        name = "/root/" + unique("order")
        for parts in ((("path", name.encode()), ("file", b"path first", "f")), (("file", b"file first", "f"), ("path", name.encode()))):
            ok(w.key.upload(w.main.path + path, *parts), 204)
            same(w.read(name), dict((p[0], p[1]) for p in parts)["file"])

    @check(f"{way}: the body may come in chunks, the file without a name, other parts beside")
    def _(w, path=way):
        name, data = "/root/" + unique("chunked"), os.urandom(100000)
        ok(w.put(name, data, path, chunked=True), 204)
        same(w.read(name), data)
        ok(w.key.upload(w.main.path + path, ("mode", b"0777"), ("path", name.encode()), ("other", b"x" * 5000), ("file", data[::-1])), 204)
        same(w.read(name), data[::-1])

    @check(f"{way}: a shorter file takes the place of a longer one, which keeps its mode")
    def _(w, path=way):
        name = "/root/" + unique("again")
        ok(w.put(name, b"x" * 10000, path), 204)
        w.main.sh("chmod 600 " + name)
        ok(w.put(name, b"short", path), 204)
        same((w.read(name), w.main.sh(f"stat -c %a {name}")), (b"short", "600\n"))
        ok(w.put(name, b"", path), 204)
        same(w.read(name), b"")

    @check(f"{way}: folders on the way are made, 0755")
    def _(w, path=way):
        top = "/root/" + unique("deep")
        ok(w.put(f"{top}/a/b/c", b"deep", path), 204)
        same((w.read(f"{top}/a/b/c"), w.main.sh(f"stat -c %a {top} {top}/a/b")), (b"deep", "755\n755\n"))

    @check(f"{way}: through a link into its target")
    def _(w, path=way):
        top = w.folder()
        ok(w.put(top + "/link/new", b"there", path), 204)
        same(w.read(top + "/a/new"), b"there")

    @check(f"{way}: a folder is no place for a file")
    def _(w, path=way):
        top = w.folder()
        for name in (top, top + "/a", top + "/B/below"):
            fault(w.put(name, b"x", path), REFUSED)
        same(w.read(top + "/B"), b"12345")

    @check(f"{way}: 400 without a path, without a file, and for what is no form")
    def _(w, path=way):
        target, name = w.main.path + path, "/root/" + unique("none")
        for parts in ((("file", b"x", "f"),), (("path", name.encode()),), (("path", b""), ("file", b"x", "f")), (("other", b"x"),), ()):
            bad_request(w.key.upload(target, *parts))
        for media, body in (("application/json", b'{"path": "/x"}'), ("multipart/form-data", b"x"), ("multipart/form-data; boundary=b", b"nonsense"),
                            ("multipart/form-data; boundary=b", b""), ("text/plain", b"x")):
            bad_request(Client(w.key.address, w.key.headers).ask("POST", target, body, [("Content-Type", media)]))
        fault(w.files("read", path=name), MISSING)

    @check(f"{way}: eight MiB")
    def _(w, path=way):
        name, data = "/root/" + unique("large"), os.urandom(1 << 20) * 8
        ok(w.put(name, data, path), 204)
        for read in READS:
            assert w.read(name, read) == data, "other bytes"
        w.main.sh("rm " + name)

    @check(f"{way}: names of all kinds")
    def _(w, path=way):
        top = "/root/" + unique("names")
        names = ["a b", "ä日\U0001f600", "-n", "$HOME", "a'b\"c", "*", "x" * 255, "..a", "%41"]
        for name in names:
            ok(w.put(f"{top}/{name}", name.encode(), path), 204)
            same(w.read(f"{top}/{name}"), name.encode())
        same(sorted(e["name"] for e in w.list(top)), sorted(names))
        fault(w.put(f"{top}/{'x' * 256}", b"x", path), REFUSED)

for way in READS:
    # ---- 6.2: read ----
    @check(f"{way}: 200 with the bytes of a file, an empty one, a link's target and one of the kernel")
    def _(w, path=way):
        top = w.folder()
        w.main.sh(f": > {top}/empty; ln -s a/x {top}/tox")
        same([w.read(top + name, path) for name in ("/B", "/empty", "/tox", "/link/x")], [b"12345", b"", b"x\n", b"x\n"])
        assert w.read("/proc/self/status", path).startswith(b"Name:") and w.read("/proc/version", path).startswith(b"Linux")

    @check(f"{way}: an error, never 200, for what is not there")
    def _(w, path=way):
        top = w.folder()
        for name in ("/nosuch", "/a/nosuch/x", "/loose"):
            fault(w.main.post(path, {"path": top + name}), MISSING)

    @check(f"{way}: an error for a folder and below a file")
    def _(w, path=way):
        top = w.folder()
        for name in ("", "/a", "/link", "/B/x"):
            fault(w.main.post(path, {"path": top + name}), REFUSED)

    @check(f"{way}: 400 without a path")
    def _(w, path=way):
        for body in ({}, {"path": ""}, {"path": 1}, None):
            bad_request(w.main.post(path, body))


# ---- 6.2: list ----
@check("list: the entries of a folder, sorted by name, with all members")
def _(w):
    top = w.folder()
    rows = w.list(top)
    same([r["name"] for r in rows], ["B", "a", "link", "loose", "run"])
    same([r["path"] for r in rows], [f"{top}/{r['name']}" for r in rows])
    file, folder, link, loose, run = rows
    same([file[k] for k in ("type", "size", "mode", "permissions", "owner", "group", "modified_at")],
         ["file", 5, 0o644, "-rw-r--r--", "root", "root", 1700000000])
    assert folder["type"] == "directory" and folder["mode"] & 0o777 == 0o777, folder
    assert re.fullmatch(r"dt?rwxrwxrw[xt]", folder["permissions"]), folder
    same([run[k] for k in ("type", "mode", "permissions")], ["file", 0o755, "-rwxr-xr-x"])
    same([link[k] for k in ("type", "size", "symlink_target")], ["directory", 1, top + "/a"])
    assert re.fullmatch("[lL]rwxrwxrwx", link["permissions"]), link
    same([loose[k] for k in ("type", "size", "symlink_target")], ["unknown", 7, top + "/loose"])
    assert not any("symlink_target" in r for r in (file, folder, run)), rows
    assert abs(run["modified_at"] - time.time()) < 60, run


@check("list: depth 0 is 1; deeper goes in order, each folder before what it holds, and not into links")
def _(w):
    top = w.folder()
    one, two = ["B", "a", "link", "loose", "run"], ["B", "a", "a/b", "a/x", "link", "loose", "run"]
    three = ["B", "a", "a/b", "a/b/deep", "a/x", "link", "loose", "run"]
    for depth, want in ((None, one), (0, one), (1, one), (2, two), (3, three), (100, three)):
        rows = w.list(top, **({} if depth is None else {"depth": depth}))
        same((depth, [r["path"] for r in rows]), (depth, [f"{top}/{name}" for name in want]))


@check("list: a link that is given is followed, and the entries keep its name")
def _(w):
    top = w.folder()
    same([r["path"] for r in w.list(top + "/link", depth=2)], [f"{top}/link/{name}" for name in ("b", "b/deep", "x")])


@check("list: an empty folder, and the root")
def _(w):
    top = "/tmp/" + unique("empty")
    ok(w.files("mkdir", path=top))
    same(w.list(top), [])
    names = {r["path"] for r in w.list("/")}
    assert {"/root", "/etc", "/tmp", "/proc"} <= names, names


@check("list: owners and groups by name, or by number where there is none")
def _(w):
    top = w.folder()
    w.main.sh("echo wren:x:7777:7778::/:/bin/sh >> /etc/passwd; echo wrens:x:7778: >> /etc/group; "
              f"chown 7777:7778 {top}/B; chown 54321:54322 {top}/run")
    rows = {r["name"]: (r["owner"], r["group"]) for r in w.list(top)}
    same((rows["B"], rows["run"], rows["a"]), (("wren", "wrens"), ("54321", "54322"), ("root", "root")))


@check("list: a folder of a thousand entries")
def _(w):
    top = "/tmp/" + unique("many")
    w.main.sh(f"mkdir {top} && cd {top} && seq -w 1 1000 | xargs touch", timeout_sec=60)
    same([r["name"] for r in w.list(top)], [f"{n:04}" for n in range(1, 1001)])
    w.main.sh("rm -r " + top, timeout_sec=60)


@check("list: 400 for a depth below zero, without a path and for wrong types")
def _(w):
    for body in ({"path": "/", "depth": -1}, {}, {"path": ""}, {"path": "/", "depth": "1"}, {"path": 1}, None):
        bad_request(w.main.post("/files/list", body))


@check("list: an error for what is not there and for a file")
def _(w):
    top = w.folder()
    fault(w.files("list", path=top + "/nosuch"), MISSING)
    fault(w.files("list", path=top + "/loose"), MISSING)
    fault(w.files("list", path=top + "/B"), REFUSED)


# ---- 6.2: mkdir ----
@check("mkdir: 200 with the new folder; those above are made too, 0755, of root")
def _(w):
    top = "/tmp/" + unique("made")
    entry = ok(w.files("mkdir", path=top + "/a/b"))["entry"]
    same([entry[k] for k in ("name", "path", "type", "mode", "permissions", "owner", "group")],
         ["b", top + "/a/b", "directory", 0o755, "drwxr-xr-x", "root", "root"])
    same(w.main.sh(f"stat -c '%a %U' {top} {top}/a {top}/a/b"), "755 root\n" * 3)
    ok(w.files("mkdir", path=top + "/a/c"))


@check("mkdir: 409 conflict for a folder that is there")
def _(w):
    top = w.folder()
    for path in (top, top + "/a", "/", "/root"):
        fault(w.files("mkdir", path=path), 409, "conflict")
    same(w.main.sh(f"cat {top}/a/x"), "x\n")


@check("mkdir: 400 where a file is, an error below one")
def _(w):
    top = w.folder()
    bad_request(w.files("mkdir", path=top + "/B"))
    fault(w.files("mkdir", path=top + "/B/below"), REFUSED)
    same(w.read(top + "/B"), b"12345")


@check("mkdir: 400 without a path")
def _(w):
    for body in ({}, {"path": ""}, {"path": 1}, None):
        bad_request(w.main.post("/files/mkdir", body))


# ---- 6.2: remove ----
@check("remove: 204 for a file, a folder with all it holds, and what is not there")
def _(w):
    top = w.folder()
    for path in ("/B", "/B", "/a", "/nosuch", "/nosuch/x", ""):
        ok(w.files("remove", path=top + path), 204)
        same(w.main.sh(f"ls -d {top}{path} 2>/dev/null; true"), "")


@check("remove: a link goes, its target stays")
def _(w):
    top = w.folder()
    for name in ("/link", "/loose"):
        ok(w.files("remove", path=top + name), 204)
    same([r["name"] for r in w.list(top)], ["B", "a", "run"])
    same(w.read(top + "/a/x"), b"x\n")


@check("remove: 400 without a path")
def _(w):
    for body in ({}, {"path": ""}, {"path": 1}, None):
        bad_request(w.main.post("/files/remove", body))
    same(w.main.sh("ls -d /root"), "/root\n")


# ---- 6.1: paths ----
@check("paths: ~ and what is relative are in /root, everywhere")
def _(w):
    name = unique("home")
    for path in (f"~/{name}", name, f"./{name}", f"/root/../root/{name}"):
        ok(w.put(path, path.encode()), 204)
        same(w.main.sh("cat /root/" + name), path)
        for read in READS:
            same(w.read(path, read), path.encode())
        ok(w.files("remove", path=path), 204)
        fault(w.files("read", path="/root/" + name), MISSING)
    ok(w.files("mkdir", path=f"~/{name}/d"))
    assert name in [r["name"] for r in w.list("~")]
    same([r["name"] for r in w.list(name)], ["d"])


@check("paths: ~somebody is an error")
def _(w):
    for op in ("read", "list", "mkdir", "remove"):
        answer = w.files(op, path="~nobody/x")
        fault(answer, REFUSED)
    fault(w.put("~nobody/x"), REFUSED)
    same(w.main.sh("ls -d /root/~* '/~nobody' 2>/dev/null; true"), "")


# ---- 2.5: the preamble ----
@check("capsule: 404 for an unknown one, of every operation")
def _(w):
    base = "/v1/capsules/" + unknown_id("cl")
    for op in ("/files/read", "/files/stream/read", "/files/list", "/files/mkdir", "/files/remove"):
        not_found(w.key.post(base + op, {"path": "/root"}))
    for op in WAYS:
        not_found(w.key.upload(base + op, ("path", b"/root/x"), ("file", b"x", "f")))


@check("token: a person may as well as a key")
def _(w):
    name = "/root/" + unique("kim")
    ok(w.kim.upload(w.main.path + "/files/write", ("path", name.encode()), ("file", b"kim", "f")), 204)
    same(w.kim.post(w.main.path + "/files/read", {"path": name}).body, b"kim")


if __name__ == "__main__":
    sys.exit(SUITE.main())
