#!/usr/bin/env python3
"""mcp-v8's /api/fs on a running daemon: every row of the digest's tables (shared/reference/mcp-v8.md 1.0 to 1.4, 2.7 to 2.10), with exact
statuses and bodies. TAP. The trees are made here (fs_client.py), so that nothing is compared with itself.
"""
import itertools
import sys
import time
from urllib.parse import quote

from fs_client import Daemon, Entry, Tap, Tree, race, same, upload

A, B, C = "a" * 64, "b" * 64, "c" * 64
JSON = "application/json"


class Api:
    def __init__(self, daemon):
        self.daemon, self.wire = daemon, daemon.wire()

    def get(self, path):
        return self.wire.ask("GET", path)

    def post(self, path, **body):
        return self.wire.ask("POST", "/api/fs/" + path, body)

    def push(self, **body):
        return self.post("push", **body)

    def log(self, label, query=""):
        answer = self.get(f"/api/fs/labels/{quote(label, safe='')}/log{query}")
        same(answer.status, 200)
        same(answer.json["label"], label)
        return answer.json["log"]

    def moves(self, label):
        return [(e["op"], e["from"], e["to"], e.get("message")) for e in self.log(label)]

    def head(self, label):
        answer = self.get("/api/fs/labels/" + quote(label, safe=""))
        return answer.json["ca_id"] if answer.status == 200 else None


def is_json(answer, status, body):
    same((answer.status, answer.headers.get("content-type"), answer.json), (status, JSON, body))


def is_error(answer, text, status=400):
    is_json(answer, status, {"error": text})


def is_text(answer, status, text):
    same((answer.status, answer.headers.get("content-type")), (status, "text/plain; charset=utf-8"))
    assert answer.body.decode().startswith(text), answer.body
    assert not text.endswith((".", "`", "exceeded")) or answer.body.decode() == text, answer.body


# ---- 1.0 and 1.1: what all routes share ----
def rejections(api):
    ask = api.wire.ask
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    as_json = [("Content-Type", JSON)]
    for route in ("push", "reset", "merge", "labels"):
        path = f"/api/fs/{route}"
        is_text(ask("POST", path, b"{}", form), 415, "Expected request with `Content-Type: application/json`")
        is_text(ask("POST", path, b"{", as_json), 400, "Failed to parse the request body as JSON: ")
        is_text(ask("POST", path, b"{}", as_json), 422, "Failed to deserialize the JSON body into the target type: ")
        is_text(ask("POST", path, b"[]", as_json), 422, "Failed to deserialize the JSON body into the target type: ")
        big = b'{"ca_id": "' + b"x" * (2 << 20) + b'"}'
        answer = api.daemon.wire().ask("POST", path, big, as_json)
        is_text(answer, 413, "Failed to buffer the request body: length limit exceeded")
    just = b'{"ca_id": "x", "detach": true, "x": "' + b"x" * ((2 << 20) - 39) + b'"}'
    same(len(just), 2 << 20)
    is_json(ask("POST", "/api/fs/push", just, as_json), 200, {"status": "detached", "ca_id": "x"})
    is_json(ask("POST", "/api/fs/push", b'{"ca_id": "x", "detach": true}', [("Content-Type", "application/merge-patch+json")]), 200,
            {"status": "detached", "ca_id": "x"})
    for value in ("abc", "-1", "", "1.5"):
        is_text(api.get(f"/api/fs/labels/x/log?limit={value}"), 400, "Failed to deserialize query string: ")


def nulls(api):
    for field in ("force", "detach"):
        is_text(api.push(ca_id=A, label="n", **{field: None}), 422, "Failed to deserialize the JSON body into the target type: ")
    is_text(api.post("reset", ca_id=A, label="n", allow_unlogged=None), 422, "Failed to deserialize the JSON body into the target type: ")
    is_json(api.push(ca_id=A, label="n", expected=None, message=None, nobody_knows=[1]), 200, {"status": "advanced", "label": "n", "ca_id": A})
    is_json(api.post("labels", name="n", ca_id=A, message=None, other=1), 200, {"label": "n", "ca_id": A})
    is_json(api.post("merge", ours=A, theirs=A, base=None, prefer=None), 200, {"status": "merged", "ca_id": A})
    is_error(api.push(ca_id=A, label=None), "fs push requires a label unless detach is true")
    same(api.get("/api/fs/labels?x=1&y").status, 200)
    for bad in ({"ca_id": 1}, {"ca_id": A, "label": 1}, {"ca_id": A, "force": "yes"}, {"ca_id": A, "message": {}}, {"label": "x"}):
        same(api.wire.ask("POST", "/api/fs/push", bad).status, 422)


def routes(api):
    ask = api.wire.ask
    for method, path, status, allow in (("GET", "/api/fs/nosuch", 404, None), ("GET", "/api/fs/labels/", 404, None), ("GET", "/api/fs", 404, None),
                                        ("DELETE", "/api/fs/labels", 405, "GET, POST, HEAD"), ("GET", "/api/fs/push", 405, "POST"),
                                        ("PUT", "/api/fs/labels/x", 405, "GET, HEAD"), ("OPTIONS", "/api/fs/merge", 405, "POST")):
        answer = ask(method, path)
        same((answer.status, answer.body, answer.headers.get("content-type")), (status, b"", None))
        same(set((answer.headers.get("allow") or "").split(", ")), set((allow or "").split(", ")))
    answer = ask("HEAD", "/api/fs/labels")
    same((answer.status, answer.body, answer.headers["content-type"]), (200, b"", JSON))
    same(ask("GET", "/api/fs/labels/%ff").status, 400)
    version = ask("GET", "/api/version")
    same((version.status, isinstance(version.json["version"], str)), (200, True))


# ---- 1.4, 2.7, 2.8: labels ----
def fresh(api):
    is_json(api.get("/api/fs/labels"), 200, {"labels": []})
    is_error(api.get("/api/fs/labels/nosuch"), "unknown label: nosuch", 404)
    is_json(api.get("/api/fs/labels/nosuch/log"), 200, {"label": "nosuch", "log": []})


def set_label(api):
    is_json(api.post("labels", name="set", ca_id=A, message="first"), 200, {"label": "set", "ca_id": A})
    is_json(api.post("labels", name="set", ca_id=B.upper()), 200, {"label": "set", "ca_id": B.upper()})
    same(api.moves("set"), [("create", None, A, "first"), ("reset", A, B, None)])
    is_json(api.get("/api/fs/labels/set"), 200, {"label": "set", "ca_id": B})
    is_error(api.post("labels", name="set", ca_id="xyz"), "invalid CA id: xyz")
    is_error(api.post("labels", name="set", ca_id=A[:-1]), f"invalid CA id: {A[:-1]}")
    is_error(api.post("labels", name="set", ca_id="g" * 64), "invalid CA id: " + "g" * 64)
    long = "x" * 100000
    is_error(api.post("labels", name="set", ca_id=long), f"invalid CA id: {long}")
    is_error(api.post("labels", name="set", ca_id=A, message="é" * 2049), "label message too long: 4098 bytes (max 4096)")
    same(api.head("set"), B)
    same(api.post("labels", name="set", ca_id=C, message="é" * 2048).status, 200)


def entry(api):
    before = int(time.time() * 1000) - 1
    api.push(ca_id=A, label="entry")
    api.push(ca_id=B, label="entry", expected=A, message="why")
    log = api.log("entry")
    same([set(e) for e in log], [{"at", "from", "to", "op"}, {"at", "from", "to", "op", "message"}])
    assert all(isinstance(e["at"], int) and before <= e["at"] <= time.time() * 1000 + 1 for e in log), log
    for limit, want in ((0, []), (1, log[1:]), (2, log), (3, log), (2**53 - 1, log)):
        same(api.log("entry", f"?limit={limit}"), want)


def push_order(api):
    """2.8: each step decides before the next is looked at."""
    is_json(api.push(ca_id="anything", detach=True, label="", expected="bad", message="x" * 5000, force=True), 200,
            {"status": "detached", "ca_id": "anything"})
    is_error(api.push(ca_id="bad", expected="bad"), "fs push requires a label unless detach is true")
    is_error(api.push(ca_id="bad", label="order", expected="worse"), "invalid CA id: bad")
    is_error(api.push(ca_id=A, label="order", expected="worse"), "invalid expected CA id: worse")
    is_error(api.push(ca_id=A, label="order", expected=""), "invalid expected CA id: ")
    is_error(api.push(ca_id=A, label="order", message="x" * 4097), "label message too long: 4097 bytes (max 4096)")
    same(api.head("order"), None)


def push(api):
    rejected = {"status": "rejected", "label": "p"}
    is_json(api.push(ca_id=A, label="p", expected=B), 409, {**rejected, "current": None})
    is_json(api.push(ca_id=A.upper(), label="p", message="one"), 200, {"status": "advanced", "label": "p", "ca_id": A.upper()})
    is_json(api.push(ca_id=B, label="p"), 409, {**rejected, "current": A})
    is_json(api.push(ca_id=B, label="p", expected=C), 409, {**rejected, "current": A})
    is_json(api.push(ca_id=B, label="p", expected=A.upper()), 200, {"status": "advanced", "label": "p", "ca_id": B})
    is_json(api.push(ca_id=B, label="p", expected=B), 200, {"status": "advanced", "label": "p", "ca_id": B})
    is_json(api.push(ca_id=C, label="p", force=True, expected="malformed"), 200, {"status": "advanced", "label": "p", "ca_id": C})
    is_json(api.push(ca_id=C, label="forced", force=True), 200, {"status": "advanced", "label": "forced", "ca_id": C})
    same(api.moves("p"), [("create", None, A, "one"), ("push", A, B, None), ("push", B, B, None), ("reset", B, C, None)])
    same(api.moves("forced"), [("reset", None, C, None)])
    is_json(api.get("/api/fs/labels/p"), 200, {"label": "p", "ca_id": C})


def reset(api):
    for was, to in zip((None, A, B), (A, B, C)):
        api.push(ca_id=to, label="r", **({"expected": was} if was else {}))
    unlogged = "d" * 64
    is_json(api.post("reset", label="r", ca_id=A.upper(), message="back"), 200, {"label": "r", "ca_id": A.upper()})
    is_json(api.post("reset", label="r", ca_id=A), 200, {"label": "r", "ca_id": A})
    is_error(api.post("reset", label="r", ca_id=unlogged),
             f"CA id {unlogged} is not in the reflog for label 'r'; pass allow_unlogged to reset anyway")
    is_error(api.post("reset", label="nolabel", ca_id=A), f"CA id {A} is not in the reflog for label 'nolabel'; pass allow_unlogged to reset anyway")
    is_error(api.post("reset", label="r", ca_id="bad", allow_unlogged=True), "invalid CA id: bad")
    is_error(api.post("reset", label="r", ca_id=A, message="x" * 4097), "label message too long: 4097 bytes (max 4096)")
    is_json(api.post("reset", label="r", ca_id=unlogged, allow_unlogged=True), 200, {"label": "r", "ca_id": unlogged})
    is_json(api.post("reset", label="new", ca_id=A, allow_unlogged=True), 200, {"label": "new", "ca_id": A})
    same(api.moves("r")[3:], [("reset", C, A, "back"), ("reset", A, A, None), ("reset", A, unlogged, None)])
    same(api.moves("new"), [("reset", None, A, None)])


GOOD = ["a/b", "user:alice", "what?", "*", "[x]", "a\\b", "-dash", "@at", "a@{1}", " lead", "trail ", "ä ö 日本", "%3A", "100%", "a//b", "/a", "a/", ".",
        "a/./b", "a%2Fb", "a" * 255, "..a", "a" * 63, "a+b&c=d#e;f"]
BAD = ["", "..", "a/../b", "../x", "a/..", "a\nb", "\x7f", "a" * 256, "é" * 128, A, A.upper(), "\u0085"]


def names(api):
    for name in GOOD:
        is_json(api.push(ca_id=A, label=name), 200, {"status": "advanced", "label": name, "ca_id": A})
        is_json(api.push(ca_id=B, label=name), 409, {"status": "rejected", "label": name, "current": A})
        is_json(api.get("/api/fs/labels/" + quote(name, safe="")), 200, {"label": name, "ca_id": A})
        same(len(api.log(name)), 1)
    listed = api.get("/api/fs/labels").json["labels"]
    same([x["name"] for x in listed], sorted((x["name"] for x in listed), key=str.encode))
    assert set(GOOD) <= {x["name"] for x in listed} and all(x["ca_id"] == A for x in listed if x["name"] in GOOD), listed
    for name in BAD:
        for answer in (api.push(ca_id=A, label=name), api.push(ca_id=A, label=name, force=True), api.post("labels", name=name, ca_id=A),
                       api.post("reset", label=name, ca_id=A, allow_unlogged=True)):
            same((answer.status, list(answer.json)), (400, ["error"]))
        if name and "/.." not in name and "../" not in name:
            is_error(api.get("/api/fs/labels/" + quote(name, safe="")), f"unknown label: {name}", 404)
            same(api.log(name), [])
    same(api.wire.ask("POST", "/api/fs/push", b'{"ca_id": "%s", "label": "a\\u0000b"}' % A.encode(), [("Content-Type", JSON)]).status, 400)


# ---- 2.9: merge, what is decided before texts are looked at ----
def merge_order(api):
    bad = "invalid prefer '{}': expected ours|theirs|none".format
    is_error(api.post("merge", ours="x", theirs="y", base="z", prefer="both"), bad("both"))
    is_error(api.post("merge", ours="x", theirs="y", base="z"), "invalid CA id: z")
    is_error(api.post("merge", ours="x", theirs="y"), "invalid CA id: x")
    is_error(api.post("merge", ours=A, theirs="y"), "invalid CA id: y")
    is_error(api.post("merge", ours=A, theirs=A, base=""), "invalid CA id: ")
    for word in ("", "none", " Ours\n", "THEIRS", "\t"):
        is_json(api.post("merge", ours=A, theirs=A, prefer=word), 200, {"status": "merged", "ca_id": A})


def merge_missing(api):
    for body in ({"ours": A, "theirs": B}, {"ours": A, "theirs": B, "base": C}):
        answer = api.post("merge", **body)
        same(answer.status, 400)
        assert answer.json["error"].startswith("fs_merge: get tree node: "), answer.json
    is_json(api.post("merge", ours=A, theirs=A.upper()), 200, {"status": "merged", "ca_id": A})
    is_json(api.post("merge", ours=A, theirs=B, base=A), 200, {"status": "merged", "ca_id": B})
    is_json(api.post("merge", ours=A, theirs=B, base=B), 200, {"status": "merged", "ca_id": A})


class Three:
    """Three trees in the store, and their merge."""

    def __init__(self, api, base, ours, theirs):
        self.api = api
        self.base, self.ours, self.theirs = (None if files is None else Tree(files) for files in (base, ours, theirs))
        upload(api.wire, *(t for t in (self.base, self.ours, self.theirs) if t))

    def merge(self, **more):
        base = {} if self.base is None else {"base": self.base.id}
        return self.api.post("merge", ours=self.ours.id, theirs=self.theirs.id, **base, **more)

    def clean(self, files, **more):
        is_json(self.merge(**more), 200, {"status": "merged", "ca_id": Tree(files).id})

    def conflicts(self, *want, **more):
        answer = self.merge(**more)
        same((answer.status, set(answer.json), answer.json.get("status")), (200, {"status", "conflicts"}, "conflict"))
        same([(c["path"], c["kind"]) for c in answer.json["conflicts"]], list(want))
        for c in answer.json["conflicts"]:
            text = {"markers", "diff_ours", "diff_theirs"} if c["kind"] == "text" else set()
            same(set(c), {"path", "base", "ours", "theirs", "kind"} | text)
            for side, tree in (("base", self.base), ("ours", self.ours), ("theirs", self.theirs)):
                e = tree and tree.entries.get(c["path"])
                same(c[side], e.id if e else None)
        return answer.json["conflicts"]


def structure(api):
    one, two, three = b"1\n", b"2\n", b"3\n"
    Three(api, {"a": one}, {"a": one, "b": two}, {"a": one, "c/d": three}).clean({"a": one, "b": two, "c/d": three})
    Three(api, {"a": one, "b": two}, {"a": one}, {"a": one, "b": two, "c": three}).clean({"a": one, "c": three})
    Three(api, {"a": one, "b": two}, {"a": one}, {"a": one}).clean({"a": one})
    Three(api, {"a": one}, {"a": two}, {"a": two}).clean({"a": two})
    Three(api, None, {"a": one, "b": two}, {"a": one, "c": three}).clean({"a": one, "b": two, "c": three})
    Three(api, {"x": one}, {"x": one, "a": two}, {"x": one, "a/b": three}).clean({"x": one, "a": two, "a/b": three})  # file and folder
    Three(api, {"d/a": one}, {}, {"d/a": one, "e": two}).clean({"e": two})  # a folder that became empty is gone
    Three(api, {"a": one, "b": one}, {"b": one}, {"a": two, "b": one}).conflicts(("a", "modify/delete"))
    Three(api, {"a": one}, {"a": two}, {}).conflicts(("a", "modify/delete"))
    trees = {"z": {"z": two}, "a": {"a": two, "a/b": two, "a/a": two}, "b": {"b/x/y": two, "b/c": two}}
    ours = {k: v for t in trees.values() for k, v in t.items()}
    Three(api, None, ours, {k: three for k in ours}).conflicts(*((p, "text") for p in ("a", "a/a", "a/b", "b/c", "b/x/y", "z")))


def prefer(api):
    base, ours, theirs = {"f": b"1\n2\n3\n"}, {"f": b"A\n2\n3\n"}, {"f": b"1\n2\nC\n"}
    three = Three(api, base, ours, theirs)
    three.clean({"f": b"A\n2\nC\n"})
    three.clean(ours, prefer="ours")  # whole files, though their edit does not overlap
    three.clean(theirs, prefer=" THEIRS ")
    gone = Three(api, base, ours, {})
    gone.clean(ours, prefer="ours")
    gone.clean({}, prefer="theirs")
    Three(api, base, {**ours, "x": b"1"}, {**theirs, "y": b"2"}).clean({**ours, "x": b"1", "y": b"2"}, prefer="ours")


def kinds(api):
    lite = b"SQLite format 3\0"
    for name, base, ours, theirs, kind in (
            ("text and binary", b"1", b"text", b"\0", "binary"), ("both binary", b"1", b"\0one", b"\xff", "binary"),
            ("sqlite", lite, lite + b"1", lite + b"2", "sqlite"), ("sqlite and binary", lite, lite + b"1", b"\0", "binary"),
            ("sqlite and text", lite, lite + b"1", b"x", "binary"), ("links", ("link", b"/a"), ("link", b"/b"), ("link", b"/c"), "text")):
        try:
            Three(api, {"f": base}, {"f": ours}, {"f": theirs}).conflicts(("f", kind))
        except AssertionError as e:
            raise AssertionError(f"{name}: {e}") from e
    # a base that is no text counts as empty; a mode or a link is lost by a merge of lines
    got = Three(api, {"f": b"\xff\n"}, {"f": b"1\n"}, {"f": b"2\n"}).conflicts(("f", "text"))
    same(got[0]["markers"], "<<<<<<< ours\n1\n||||||| original\n=======\n2\n>>>>>>> theirs\n")
    Three(api, {"f": b"1\n"}, {"f": (0o755, b"1\n")}, {"f": (0o600, b"1\n")}).clean({"f": b"1\n"})
    Three(api, {"f": b"1\n2\n3\n"}, {"f": (0o755, b"A\n2\n3\n")}, {"f": b"1\n2\nC\n"}).clean({"f": b"A\n2\nC\n"})
    large = b"".join(b"line %d\n" % i for i in range(9000))  # chunked
    Three(api, {"f": large}, {"f": b"first\n" + large}, {"f": large + b"last\n"}).clean({"f": b"first\n" + large + b"last\n"})
    same(Entry(0o644, 4, b"base").id, "379dc13735996c56dfb1dcd16ceda0363dd91752692ac450fe51301245187ab0")


# ---- 2.10: texts ----
VECTORS = [  # base, ours, theirs, merged or markers, clean?
    ("1\n2\n3\n", "A\n2\n3\n", "1\n2\nC\n", "A\n2\nC\n", True),
    ("1\n2\n3\n", "A\n2\n3\n", "1\nB\n3\n", "<<<<<<< ours\nA\n2\n||||||| original\n1\n2\n=======\n1\nB\n>>>>>>> theirs\n3\n", False),
    ("1\n", "1\no\n", "1\nt\n", "1\n<<<<<<< ours\no\n||||||| original\n=======\nt\n>>>>>>> theirs\n", False),
    ("1\n2\n", "0\n1\n2\n", "1\n2\n3\n", "0\n1\n2\n3\n", True),
    ("a0", "a1", "a2", "<<<<<<< ours\na1||||||| original\na0=======\na2>>>>>>> theirs\n", False),
    (None, "h\na\n", "h\nb\n", "<<<<<<< ours\nh\na\n||||||| original\n=======\nh\nb\n>>>>>>> theirs\n", False),
    (None, "", "x\n", "x\n", True),
    ("1\n2\n3\n4\n", "1\n4\n", "1\n3\n4\n", "1\n<<<<<<< ours\n||||||| original\n2\n3\n=======\n3\n>>>>>>> theirs\n4\n", False),
    ("1\n2\n3\n", "1\n3\n", "1\nX\n3\n", "1\n<<<<<<< ours\n||||||| original\n2\n=======\nX\n>>>>>>> theirs\n3\n", False),
]


def vector(api, base, ours, theirs, want, clean):
    three = Three(api, *(None if t is None else {"d/f": t.encode()} for t in (base, ours, theirs)))
    if clean:
        three.clean({"d/f": want.encode()})
        return
    got, = three.conflicts(("d/f", "text"))
    same(got["markers"], want)
    same(patched(base or "", got["diff_ours"]), ours)
    same(patched(base or "", got["diff_theirs"]), theirs)


def patched(text, diff):
    """A unified diff applied; its form is checked on the way."""
    lines, out, at = text.splitlines(True), [], 0
    rows = diff.splitlines(True)
    same(rows[:2], ["--- original\n", "+++ modified\n"] if rows else [])
    for row, after in itertools.zip_longest(rows[2:], rows[3:], fillvalue=""):
        if row.startswith("@@ "):
            start, _, count = row.split(" ")[1][1:].partition(",")
            until = int(start) - (count != "0")
            out, at = out + lines[at:until], until
        elif not row.startswith("\\"):
            sign, body = (" ", row) if row == "\n" else (row[0], row[1:])
            body = body[:-1] if after.startswith("\\") else body
            if sign != "+":
                same(lines[at], body)
                at += 1
            if sign != "-":
                out.append(body)
    return "".join(out + lines[at:])


def unified(api):
    base = "alpha\nbeta\ngamma\n"
    got, = Three(api, {"f": base.encode()}, {"f": b"alpha\nOURS\ngamma\n"}, {"f": b"alpha\nTHEIRS\ngamma\n"}).conflicts(("f", "text"))
    same(got["diff_ours"], "--- original\n+++ modified\n@@ -1,3 +1,3 @@\n alpha\n-beta\n+OURS\n gamma\n")
    same(got["diff_theirs"], "--- original\n+++ modified\n@@ -1,3 +1,3 @@\n alpha\n-beta\n+THEIRS\n gamma\n")
    got, = Three(api, {"f": b"a\n\nb"}, {"f": b"a\n\nc"}, {"f": b"a\n\nd\n"}).conflicts(("f", "text"))
    same(got["diff_ours"], "--- original\n+++ modified\n@@ -1,3 +1,3 @@\n a\n\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n")
    same(got["diff_theirs"], "--- original\n+++ modified\n@@ -1,3 +1,3 @@\n a\n\n-b\n\\ No newline at end of file\n+d\n")
    got, = Three(api, None, {"f": b"x\n"}, {"f": b"y\n"}).conflicts(("f", "text"))
    same(got["diff_ours"], "--- original\n+++ modified\n@@ -0,0 +1 @@\n+x\n")


# ---- concurrency ----
def concurrent(api, rounds):
    wires = [api.daemon.wire() for _ in range(32)]
    before = time.monotonic()
    heads, rows = race(wires, "race", rounds)
    took = time.monotonic() - before
    same(len(heads), rounds)
    for n, row in enumerate(rows):
        same(sorted(status for status, _ in row), [200] + [409] * 31)
        rejected = b'{"status":"rejected","label":"race","current":"%s"}' % heads[n].encode()
        same({body for status, body in row if status == 409}, {rejected})
    same([e["to"] for e in api.log("race")], heads)
    print(f"# {32 * rounds / took:.0f} pushes/s answered")
    for n in range(20):  # who creates
        for i, wire in enumerate(wires):
            wire.send("POST", "/api/fs/push", {"label": f"create{n}", "ca_id": f"{i:064x}"})
        answers = [wire.read() for wire in wires]
        winner, = (i for i, a in enumerate(answers) if a.status == 200)
        same({a.json["current"] for a in answers if a.status == 409}, {f"{winner:064x}"})


def main():
    daemon, tap = Daemon("mcp"), Tap()
    try:
        api = Api(daemon)
        for test in (fresh, rejections, nulls, routes, set_label, entry, push_order, push, reset, names, merge_order, merge_missing, structure,
                     prefer, kinds, unified):
            tap.run(test.__name__.replace("_", " "), test, api)
        for number, row in enumerate(VECTORS, 1):
            tap.run(f"merge vector {number}", vector, api, *row)
        tap.run("32 writers, one label", concurrent, api, 200)
    finally:
        daemon.down()
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
