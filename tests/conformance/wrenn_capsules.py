#!/usr/bin/env python3
"""Wrenn's capsules on a running daemon: their life, commands, snapshots, figures and log. TAP. Files: wrenn_files.py; WebSockets:
wrenn_sockets.py.

Digest sections 2.5, 2.6, 4, 7. How to run one check: wrenn_kit.py.
"""
import functools
import re
import sys
import time

from fs_client import same
from wrenn_kit import (CONTRACT, Refused, Socket, Suite, audit, bad_request, decode64, fault, is_now, malformed_ids, moment, newest_first, not_found,
                       ok, together, unique, unknown_id, until)

BAD_NAMES = ["-a", ".a", "_a", "a b", "a/b", "é", "a" * 65, "a\n", "../a", "a:b"]  # ^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$


class Capsule:
    def __init__(self, client, row):
        self.client, self.row, self.id, self.path = client, row, row["id"], "/v1/capsules/" + row["id"]

    def post(self, tail, body=None):
        return self.client.post(self.path + tail, body)

    def now(self):
        return ok(self.client.get(self.path))

    def exec(self, cmd, *args, **more):
        return self.post("/exec", {"cmd": cmd, "args": list(args), **more})

    def sh(self, script, **more):
        """What the script prints, when it ends well."""
        got = ok(self.exec("sh", "-c", script, **more))
        assert got["exit_code"] == 0, got
        return got["stdout"]

    def background(self, script):
        return ok(self.exec("sh", "-c", script, background=True), 202)

    def running(self):
        """Itself, woken if need be."""
        if self.now()["status"] == "paused":
            ok(self.post("/resume"))
        return self

    def paused(self):
        if self.now()["status"] == "running":
            ok(self.post("/pause"))
        return self

    def destroy(self):
        ok(self.client.delete(self.path), 204)

    def stream(self, **start):
        s = Socket(self.client.address, self.path + "/exec/stream", self.client.headers)
        if start:
            s.send(type="start", **start)
        return s

    def terminal(self, **start):
        """A new terminal: socket and `started`."""
        s = self.pty()
        s.send(type="start", **start)
        got = s.next()
        same(got["type"], "started")
        s.tag = got["tag"]
        return s

    def pty(self):
        return Socket(self.client.address, self.path + "/pty", self.client.headers)


class World:
    def __init__(self, server):
        self.server = server

    @functools.cached_property
    def kim(self):
        self.server.image()
        return self.server.signup("Kim")

    @property
    def key(self):
        return self.kim.key

    def create(self, client=None, **body):
        client = client or self.key
        return Capsule(client, ok(client.post("/v1/capsules", body), 201))

    @functools.cached_property
    def main(self):
        """One that only runs."""
        return self.create()

    @functools.cached_property
    def life(self):
        """One that is paused and woken."""
        return self.create(self.kim)

    @functools.cached_property
    def big(self):
        """One of another shape, of which templates are made."""
        capsule = self.create(vcpus=2, memory_mb=384, timeout_sec=7200)
        capsule.sh("echo first > /root/mark")
        capsule.pid = capsule.background("exec sleep 7654")["pid"]
        return capsule

    @functools.cached_property
    def template(self):
        """Of the big one."""
        name = unique("template")
        self.template_answer = ok(self.key.post("/v1/snapshots", {"sandbox_id": self.big.running().id, "name": name}), 201)
        return name

    @functools.cached_property
    def copy(self):
        """A capsule from the template."""
        return self.create(template=self.template, vcpus=1, memory_mb=512)

    @functools.cached_property
    def gone(self):
        capsule = self.create()
        capsule.destroy()
        return capsule


SUITE = Suite("wrenn_capsules", World)
check = SUITE.check


# ---- 2.5: create, list, get ----
@check("create: 201, running already, with the defaults")
def _(w):
    row = w.main.row
    same([row[k] for k in ("status", "template", "vcpus", "memory_mb", "timeout_sec")], ["running", "minimal", 1, 512, 0])
    for name in ("created_at", "started_at", "last_active_at", "last_updated"):
        is_now(row[name], 60)
    assert "guest_ip" not in row, row
    same(w.main.sh("nproc"), "1\n")


@check("create: processors, memory and timeout as asked for")
def _(w):
    same([w.big.row[k] for k in ("vcpus", "memory_mb", "timeout_sec")], [2, 384, 7200])
    w.big.running()
    same(w.big.sh("nproc"), "2\n")
    total = int(re.search(r"MemTotal:\s+(\d+)", w.big.sh("cat /proc/meminfo"))[1]) // 1024
    assert 250 <= total <= 384, total


@check("create: zero or less means the default; the timeout is kept as given")
def _(w):
    capsule = w.create(w.kim, vcpus=0, memory_mb=-1, timeout_sec=-5, nobody_knows=[1])
    same([capsule.row[k] for k in ("vcpus", "memory_mb", "timeout_sec", "status")], [1, 512, -5, "running"])
    capsule.destroy()


@check("create: 404 for an unknown template")
def _(w):
    for name in (unique("nosuch"), "a" * 64):
        not_found(w.key.post("/v1/capsules", {"template": name}))


for what, bodies in {"a bad name of a template": [{"template": n} for n in BAD_NAMES],
                     "wrong types": [{"vcpus": "2"}, {"vcpus": 1.5}, {"memory_mb": []}, {"timeout_sec": "1"}, {"template": 1}, {"vcpus": True}],
                     "numbers above 32 bits": [{"vcpus": 2**31}, {"memory_mb": 2**31}, {"timeout_sec": 2**31}],
                     "no body": [None, b"", [], "x"]}.items():
    def refused(w, rows):
        before = len(ok(w.key.get("/v1/capsules")))
        for body in rows:
            bad_request(w.key.post("/v1/capsules", body))
        same(len(ok(w.key.get("/v1/capsules"))), before)
    SUITE.add(f"create: 400 for {what}", refused, bodies)


@check("list: newest first, the same for token and key")
def _(w):
    one, two = w.main, w.life
    rows = ok(w.key.get("/v1/capsules"))
    same(ok(w.kim.get("/v1/capsules")), rows)
    newest_first(rows)
    ids = [r["id"] for r in rows]
    assert ids.index(two.id) < ids.index(one.id), ids
    same([r for r in rows if r["id"] == one.id][0]["status"], "running")


@check("get: what the list shows; 404 for an unknown one, 400 for what is no id")
def _(w):
    w.main.exec("true")
    row, = [r for r in ok(w.key.get("/v1/capsules")) if r["id"] == w.main.id]
    same(w.main.now(), row)
    not_found(w.key.get("/v1/capsules/" + unknown_id("cl")))
    for bad in malformed_ids("cl"):
        bad_request(w.key.get("/v1/capsules/" + bad))


# ---- 2.5, 4.2: commands ----
@check("exec: 200 with both outputs, the code and the time")
def _(w):
    got = ok(w.main.exec("sh", "-c", "echo out; echo err >&2; sleep 0.2; exit 3"))
    same({k: got[k] for k in ("sandbox_id", "cmd", "stdout", "stderr", "exit_code", "encoding")},
         {"sandbox_id": w.main.id, "cmd": "sh", "stdout": "out\n", "stderr": "err\n", "exit_code": 3, "encoding": "utf-8"})
    assert 200 <= got["duration_ms"] < 20000, got


@check("exec: root, in /root, with no input and this environment")
def _(w):
    same(w.main.sh("id -u; pwd; readlink /proc/self/fd/0; wc -c").split(), ["0", "/root", "/dev/null", "0"])
    env = dict(line.split("=", 1) for line in ok(w.main.exec("env"))["stdout"].splitlines())
    same({k: env.get(k) for k in ("HOME", "USER", "LOGNAME", "WRENN_SANDBOX", "WRENN_SANDBOX_ID")},
         {"HOME": "/root", "USER": "root", "LOGNAME": "root", "WRENN_SANDBOX": "true", "WRENN_SANDBOX_ID": w.main.id})
    assert env.get("PATH") and env.get("WRENN_TEMPLATE_ID"), env
    assert "WRENN_TEST_MARK" not in env and not any(k.startswith("SBX_") and k != "SBX_SANDBOX_ID" for k in env), env  # the guest agent's own word


@check("exec: no shell, and arguments as they are")
def _(w):
    words = ["$HOME", "a b", "", "*", "'", '"', "\\n", ";", "é日", "-n"]
    same(ok(w.main.exec("printf", "%s|", *words))["stdout"], "".join(word + "|" for word in words))
    same(ok(w.main.post("/exec", {"cmd": "pwd"}))["stdout"], "/root\n")


@check("exec: an unknown program is 127 and a word on stderr")
def _(w):
    for cmd in ("nosuchprogram", "/nosuch/program", "echo hello"):
        got = ok(w.main.exec(cmd))
        same((got["exit_code"], got["stdout"], got["stderr"] != ""), (127, "", True))


@check("exec: death by a signal is -1")
def _(w):
    for signal in ("KILL", "TERM", "SEGV"):
        same(ok(w.main.exec("sh", "-c", f"kill -{signal} $$"))["exit_code"], -1)


@check("exec: base64 for both outputs when either is no UTF-8")
def _(w):
    for script, out, err in ((r"printf '\377\001a'; printf 'text' >&2", b"\xff\x01a", b"text"),
                             (r"printf 'text'; printf '\303' >&2", b"text", b"\xc3"),
                             (r"printf '\355\240\200'", b"\xed\xa0\x80", b""), (r"printf '\300\257'", b"\xc0\xaf", b"")):
        got = ok(w.main.exec("sh", "-c", script))
        same((got["encoding"], decode64(got["stdout"]), decode64(got["stderr"])), ("base64", out, err))
    got = ok(w.main.exec("printf", "%s", "äöü 日本 \U0001f600"))
    same((got["encoding"], got["stdout"]), ("utf-8", "äöü 日本 \U0001f600"))


@check("exec: zero bytes and control characters come through")
def _(w):
    got = ok(w.main.exec("sh", "-c", r"printf 'a\000b\001\033[1m\r\n\177'"))
    text = decode64(got["stdout"]) if got["encoding"] == "base64" else got["stdout"].encode()
    same(text, b"a\0b\1\33[1m\r\n\x7f")


@check("exec: four MiB of output, whole")
def _(w):
    got = ok(w.main.exec("sh", "-c", "head -c 4194304 /dev/zero | tr '\\0' x; head -c 100000 /dev/zero | tr '\\0' y >&2", timeout_sec=60))
    same((len(got["stdout"]), set(got["stdout"]), len(got["stderr"])), (4 << 20, {"x"}, 100000))


@check("exec: 502 agent_error when the time is up, and the command is ended")
def _(w):
    began = time.monotonic()
    fault(w.main.exec("sleep", "8765", timeout_sec=1), 502, "agent_error")
    took = time.monotonic() - began
    assert 0.9 <= took < 10, f"{took:.1f} s"
    until(10, lambda: "8765" not in w.main.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true"), "the end of the command")


@check("exec: zero and less are the default time")
def _(w):
    for seconds in (0, -1):
        same(ok(w.main.exec("sh", "-c", "sleep 0.3; echo on", timeout_sec=seconds))["stdout"], "on\n")


@check("exec: 400 without a command and for wrong types")
def _(w):
    for body in ({}, {"cmd": ""}, {"cmd": 1}, {"cmd": "true", "args": "x"}, {"cmd": "true", "args": [1]}, {"cmd": "true", "timeout_sec": "1"}, None):
        bad_request(w.main.post("/exec", body))


@check("exec: a long command does not hold up another")
def _(w):
    began = time.monotonic()
    got = together(2, lambda n: (ok(w.main.exec("sleep", "4" if n else "0"))["exit_code"], time.monotonic() - began))
    same([code for code, _ in got], [0, 0])
    assert got[0][1] < 3 < got[1][1], got


@check("exec: envs and cwd (the contract; S does not have them)")
def _(w):
    same(w.main.sh("pwd; echo $MARK-$HOME", envs={"MARK": "é 1"}, cwd="/tmp"), "/tmp\né 1-/root\n")


@check("exec: in the background 202 with pid and tag (the contract; S does not have it)")
def _(w):
    mark = "/tmp/" + unique("background")
    got = ok(w.main.exec("sh", "-c", f"sleep 0.3; pwd > {mark}; echo $MARK >> {mark}; exec sleep 5432", background=True, tag="my-tag", cwd="/tmp",
                         envs={"MARK": "here"}), 202)
    same((got["sandbox_id"], got["cmd"], got["tag"]), (w.main.id, "sh", "my-tag"))
    assert got["pid"] > 1, got
    same(until(10, lambda: w.main.sh(f"cat {mark} 2>/dev/null; true").split()[1:], "the mark"), ["here"])
    same(w.main.sh(f"head -n 1 {mark}; tr '\\0' ' ' < /proc/{got['pid']}/cmdline"), "/tmp\nsleep 5432 ")
    assert re.fullmatch(r"proc-[0-9a-f]{8}", ok(w.main.exec("true", background=True), 202)["tag"])


# ---- 2.5, 4.1: pause, resume, ping ----
@check("pause: 200 paused")
def _(w):
    w.life.running()
    same(ok(w.life.post("/pause"))["status"], "paused")
    same(w.life.now()["status"], "paused")
    same([r["status"] for r in ok(w.key.get("/v1/capsules")) if r["id"] == w.life.id], ["paused"])


RUNNING = [op for op in CONTRACT.ops if op.path.startswith("/v1/capsules/{id}/") and op.id not in ("resumeCapsule", "getCapsuleMetrics")]
VALUES = {"cmd": "true", "path": "/root/x"}


def ask(client, op, capsule):
    target = op.target({"id": capsule.id, "selector": "1"})
    if op.websocket:
        try:
            Socket(client.address, target, client.headers).close()
        except Refused as e:
            return e.answer
        raise AssertionError("the WebSocket was opened")
    if op.media and op.media.startswith("multipart/"):
        return client.upload(target, ("path", b"/root/x"), ("file", b"x", "x"))
    return client.ask(op.method, target, {k: VALUES[k] for k in op.properties() if k in VALUES} if op.media else None)


for operation in RUNNING:
    SUITE.add(f"paused: 409 invalid_state for {operation.id}", lambda w, op: fault(ask(w.key, op, w.life.paused()), 409, "invalid_state"), operation)


@check("resume: 200 running, started anew; 409 while it runs")
def _(w):
    before = w.life.paused().now()
    row = ok(w.life.post("/resume"))
    same(row["status"], "running")
    assert moment(row["started_at"]) >= moment(before["started_at"]), (before, row)
    is_now(row["started_at"])
    same(row["created_at"], before["created_at"])
    fault(w.life.post("/resume"), 409, "invalid_state")


@check("resume: memory, processes and files are as they were")
def _(w):
    w.life.running()
    pid = w.life.background("mark=$(cat /proc/sys/kernel/random/uuid); echo $mark > /dev/shm/mark; echo $mark > /root/mark; "
                            "exec sleep 4321")["pid"]
    marks = until(10, lambda: w.life.sh("cat /dev/shm/mark /root/mark 2>/dev/null; true").split()[1:], "the mark")
    ok(w.life.post("/pause"))
    ok(w.life.post("/resume"))
    same(w.life.sh("cat /dev/shm/mark /root/mark").split(), marks * 2)
    same(w.life.sh(f"tr '\\0' ' ' < /proc/{pid}/cmdline").strip(), "sleep 4321")


@check("pause: of four at once one succeeds")
def _(w):
    w.life.running()
    same(sorted(together(4, lambda n: w.life.post("/pause").status)), [200, 409, 409, 409])
    same(w.life.now()["status"], "paused")


@check("resume: of four at once one succeeds")
def _(w):
    w.life.paused()
    same(sorted(together(4, lambda n: w.life.post("/resume").status)), [200, 409, 409, 409])
    same(w.life.sh("echo here"), "here\n")


def next_second(text):
    """Wait until the clock shows a later second than this time."""
    until(3, lambda: int(time.time()) > moment(text), "the next second")


@check("activity: commands and ping count, looking and files do not")
def _(w):
    w.main.sh("true")
    before = w.main.now()["last_active_at"]
    next_second(before)
    for op in CONTRACT.ops:
        if "/files/" in op.path:
            ask(w.key, op, w.main)
    w.key.get(w.main.path + "/metrics")
    w.key.get("/v1/capsules/stats")
    same(w.main.now()["last_active_at"], before)
    ok(w.main.post("/ping"), 204)
    after = w.main.now()["last_active_at"]
    assert moment(after) > moment(before), (before, after)
    next_second(after)
    w.main.sh("true")
    assert moment(w.main.now()["last_active_at"]) > moment(after)


# ---- 2.5: the end ----
@check("delete: 204, then stopped for ever, in no list; again 204")
def _(w):
    same(w.gone.now()["status"], "stopped")
    assert w.gone.id not in [r["id"] for r in ok(w.key.get("/v1/capsules"))]
    for client in (w.key, w.kim):
        ok(client.delete(w.gone.path), 204)
    same(w.gone.now()["status"], "stopped")


@check("delete: a paused one, four times at once")
def _(w):
    capsule = w.create().paused()
    same(together(4, lambda n: w.kim.delete(capsule.path).status), [204] * 4)
    same(capsule.now()["status"], "stopped")


for operation in [*RUNNING, CONTRACT.by_id["resumeCapsule"]]:
    SUITE.add(f"stopped: 409 invalid_state for {operation.id}", lambda w, op: fault(ask(w.key, op, w.gone), 409, "invalid_state"), operation)


@check("stopped: 404 for figures, 409 for a snapshot")
def _(w):
    not_found(w.key.get(w.gone.path + "/metrics"))
    fault(w.key.post("/v1/snapshots", {"sandbox_id": w.gone.id, "name": unique("x")}), 409, "invalid_state")


@check("delete: 404 for an unknown one")
def _(w):
    not_found(w.key.delete("/v1/capsules/" + unknown_id("cl")))


# ---- 2.6: snapshots ----
@check("snapshot: 201 with the shape of the capsule, which is paused and can be resumed")
def _(w):
    name = w.template
    row = w.template_answer
    same([row.get(k) for k in ("name", "type", "vcpus", "memory_mb", "platform")], [name, "snapshot", 2, 384, False])
    assert row["size_bytes"] > 0, row
    is_now(row["created_at"], 60)
    same(w.big.now()["status"], "paused")
    ok(w.big.post("/resume"))
    same(w.big.sh("cat /root/mark"), "first\n")


@check("snapshot: a capsule from it has its shape, files and running programs, and is another one")
def _(w):
    same([w.copy.row[k] for k in ("template", "vcpus", "memory_mb", "status", "timeout_sec")], [w.template, 2, 384, "running", 0])
    same(w.copy.sh(f"cat /root/mark; nproc; tr '\\0' ' ' < /proc/{w.big.pid}/cmdline"), "first\n2\nsleep 7654 ")
    same(w.copy.sh("echo $WRENN_SANDBOX_ID").strip(), w.copy.id)
    w.copy.sh("echo other > /root/mark")
    same(w.big.running().sh("cat /root/mark"), "first\n")


@check("snapshot: size_bytes is what it takes, not how large the disk is: it grows by what was written")
def _(w):
    capsule, sizes = w.create(), []
    for _ in range(2):
        row = ok(w.key.post("/v1/snapshots", {"sandbox_id": capsule.id, "name": unique("size")}), 201)
        same([t["size_bytes"] for t in ok(w.key.get("/v1/snapshots")) if t["name"] == row["name"]], [row["size_bytes"]])
        sizes.append(row["size_bytes"])
        capsule.running().sh("dd if=/dev/urandom of=/dev/shm/x bs=1M count=10")
        ok(w.key.delete("/v1/snapshots/" + row["name"]), 204)
    capsule.destroy()
    assert 1 << 20 < sizes[0] < 100 << 20, sizes
    assert 10 << 20 <= sizes[1] - sizes[0] < 20 << 20, sizes


@check("snapshot: 409 already_exists, and ?overwrite=true replaces")
def _(w):
    w.copy.sh("echo other > /root/mark")
    for query in ("", "?overwrite=false"):
        fault(w.key.post("/v1/snapshots" + query, {"sandbox_id": w.copy.id, "name": w.template}), 409, "already_exists")
    same(w.copy.now()["status"], "running")
    ok(w.key.post("/v1/snapshots?overwrite=true", {"sandbox_id": w.copy.id, "name": w.template}), 201)
    same([t["name"] for t in ok(w.key.get("/v1/snapshots"))].count(w.template), 1)
    third = w.create(template=w.template)
    same(third.sh("cat /root/mark"), "other\n")
    third.destroy()
    same(w.copy.running().sh("cat /root/mark"), "other\n")


@check("snapshot: of a paused capsule, with a name made up; deleting it leaves capsules made from it alone")
def _(w):
    w.life.running().sh("echo life > /root/mark")
    row = ok(w.kim.post("/v1/snapshots", {"sandbox_id": w.life.paused().id}), 201)
    assert re.fullmatch(r"template-[0-9a-f]{8}", row["name"]), row
    same(w.life.now()["status"], "paused")
    one, two = (w.create(template=row["name"]) for _ in range(2))
    two.paused()
    ok(w.key.delete("/v1/snapshots/" + row["name"]), 204)
    not_found(w.key.delete("/v1/snapshots/" + row["name"]))
    not_found(w.key.post("/v1/capsules", {"template": row["name"]}))
    assert row["name"] not in [t["name"] for t in ok(w.kim.get("/v1/snapshots"))]
    for capsule in (one, two.running(), w.life.running()):
        same(capsule.sh("cat /root/mark"), "life\n")
    for capsule in (one, two):
        capsule.destroy()


@check("snapshot: minimal is there for everybody, reserved, and stays")
def _(w):
    minimal, = [t for t in ok(w.key.get("/v1/snapshots")) if t["name"] == "minimal"]
    same([minimal.get(k) for k in ("type", "platform", "vcpus", "memory_mb")], ["base", True, 1, 512])
    for query in ("", "?overwrite=true"):
        fault(w.key.post("/v1/snapshots" + query, {"sandbox_id": w.main.id, "name": "minimal"}), 409, "name_reserved")
    fault(w.key.delete("/v1/snapshots/minimal"), 403, "forbidden")
    assert minimal in ok(w.kim.get("/v1/snapshots"))
    same(w.main.now()["status"], "running")


@check("snapshot: the list has the newest first, and can be of one type")
def _(w):
    name = w.template
    rows = ok(w.key.get("/v1/snapshots"))
    newest_first(rows)
    for kind in ("base", "snapshot"):
        same(ok(w.key.get("/v1/snapshots?type=" + kind)), [t for t in rows if t["type"] == kind])
    assert name in [t["name"] for t in rows if t["type"] == "snapshot"] and "minimal" in [t["name"] for t in rows if t["type"] == "base"], rows
    answer = w.key.get("/v1/snapshots?type=nosuch")
    assert answer.status == 400 or ok(answer) == [], answer


@check("snapshot: 400 for bad names, bad ids and no body; 404 for what nobody has")
def _(w):
    for name in BAD_NAMES:
        bad_request(w.key.post("/v1/snapshots", {"sandbox_id": w.main.id, "name": name}))
    for capsule in malformed_ids("cl") + [""]:
        bad_request(w.key.post("/v1/snapshots", {"sandbox_id": capsule, "name": unique("x")}))
    for body in ({}, {"name": "x"}, None, {"sandbox_id": 1}, {"sandbox_id": w.main.id, "name": 1}):
        bad_request(w.key.post("/v1/snapshots", body))
    bad_request(w.key.post("/v1/snapshots?overwrite=perhaps", {"sandbox_id": w.main.id, "name": unique("x")}))
    not_found(w.key.post("/v1/snapshots", {"sandbox_id": unknown_id("cl"), "name": unique("x")}))
    not_found(w.key.delete("/v1/snapshots/" + unique("nosuch")))
    same(w.main.now()["status"], "running")


# ---- 4.6: figures ----
@check("metrics: points of a running capsule, oldest first, in bounds")
def _(w):
    got = until(10, lambda: (m := ok(w.key.get(w.main.path + "/metrics")))["points"] and m, "a point")
    same((got["sandbox_id"], got["range"]), (w.main.id, "10m"))
    times = [p["timestamp_unix"] for p in got["points"]]
    assert times == sorted(times) and time.time() - 3600 < times[0] and times[-1] <= time.time() + 2, times
    for p in got["points"]:
        assert 0 <= p["cpu_pct"] <= 100 and p["mem_bytes"] > 1 << 20 and p["disk_bytes"] >= 0, p


@check("metrics: every range, the default is 10m, others are 400 before the capsule is looked at")
def _(w):
    for text in ("5m", "10m", "1h", "2h", "6h", "12h", "24h"):
        same(ok(w.kim.get(f"{w.main.path}/metrics?range={text}"))["range"], text)
    for path in (w.main.path, "/v1/capsules/" + unknown_id("cl")):
        for text in ("", "30d", "7m", "10M"):
            bad_request(w.key.get(f"{path}/metrics?range={text}"))
    not_found(w.key.get(f"/v1/capsules/{unknown_id('cl')}/metrics"))


@check("metrics: two points a second of the last minutes, and work shows")
def _(w):
    w.main.background("end=$(($(date +%s) + 4)); while [ $(date +%s) -lt $end ]; do :; done")
    until(15, lambda: any(p["cpu_pct"] > 20 for p in ok(w.key.get(w.main.path + "/metrics?range=5m"))["points"]), "the work")

    def recent():  # of a capsule that was just made there are not so many yet
        now = time.time()
        points = ok(w.key.get(w.main.path + "/metrics?range=5m"))["points"]
        return len([p for p in points if now - 4.5 <= p["timestamp_unix"] <= now - 1]) >= 4
    until(15, recent, "two a second")


@check("metrics: a paused capsule shows what was saved")
def _(w):
    w.life.running()
    until(10, lambda: ok(w.key.get(w.life.path + "/metrics"))["points"], "a point")
    w.life.paused()
    assert ok(w.key.get(w.life.path + "/metrics"))["points"]


@check("stats: current is counted now, paused capsules half; peaks are not below it")
def _(w):
    w.life.paused()
    rows = ok(w.kim.get("/v1/capsules"))
    running, paused = ([r for r in rows if r["status"] == s] for s in ("running", "paused"))
    assert paused and w.main.now()["status"] == "running"
    want = {"running_count": len(running), "vcpus_reserved": sum(r["vcpus"] for r in running),
            "memory_mb_reserved": sum(r["memory_mb"] for r in running) + sum((r["memory_mb"] + 1) // 2 for r in paused)}
    for client in (w.kim, w.key):
        got = ok(client.get("/v1/capsules/stats"))
        same((got["range"], {k: v for k, v in got["current"].items() if k != "sampled_at"}), ("1h", want))
        same((set(got["peaks"]), set(got["series"])), ({"running_count", "vcpus", "memory_mb"}, {"labels", "running", "vcpus", "memory_mb"}))


@check("stats: the series gets a row within some ten seconds, in lists of the same length; the peak is the highest of them")
def _(w):
    same(w.main.now()["status"], "running")
    for text in ("5m", "1h", "6h", "24h", "30d"):
        got = until(20, lambda t=text: (s := ok(w.key.get("/v1/capsules/stats?range=" + t)))["series"]["labels"] and s, "a row")
        series = got["series"]
        same((got["range"], len({len(rows) for rows in series.values()})), (text, 1))
        times = [moment(label) for label in series["labels"]]
        assert times == sorted(times) and all(label.endswith("Z") for label in series["labels"]), series
        width = {"5m": 3, "1h": 30, "6h": 180, "24h": 720, "30d": 21600}[text]
        same([t % width for t in times], [0] * len(times))
        for name, peak in (("running", "running_count"), ("vcpus", "vcpus"), ("memory_mb", "memory_mb")):
            assert 0 < max(series[name]) <= got["peaks"][peak], got
    for text in ("", "10m", "2h", "nosuch"):
        bad_request(w.key.get("/v1/capsules/stats?range=" + text))


@check("stats: a team without capsules has zeros and empty lists")
def _(w):
    got = ok(w.kim.found().get("/v1/capsules/stats"))
    same({k: v for k, v in got["current"].items() if k != "sampled_at"}, {"running_count": 0, "vcpus_reserved": 0, "memory_mb_reserved": 0})
    same(got["peaks"], {"running_count": 0, "vcpus": 0, "memory_mb": 0})
    same(got["series"], {"labels": [], "running": [], "vcpus": [], "memory_mb": []})


# ---- 7: the log; 6.3: the end of a team ----
@check("log: create, pause, resume and destroy, by key or person")
def _(w):
    capsule = w.create(w.key)
    ok(w.kim.post(capsule.path + "/pause"))
    ok(w.key.post(capsule.path + "/resume"))
    ok(w.kim.delete(capsule.path), 204)
    for action, status, actor in (("create", "success", "api_key"), ("pause", "success", "user"), ("resume", "success", "api_key"),
                                  ("destroy", "warning", "user")):
        row = audit(w.kim, "sandbox", action, resource_id=capsule.id, status=status, scope="team")
        name, who = (w.kim.made_key["name"], w.kim.made_key["id"]) if actor == "api_key" else ("Kim", w.kim.user_id)
        same([row.get(k) for k in ("actor_type", "actor_name", "actor_id")], [actor, name, who])
    same(audit(w.kim, "sandbox", "create", resource_id=capsule.id)["metadata"], {"template": "minimal"})


@check("log: a template made and deleted")
def _(w):
    name = unique("logged")
    ok(w.key.post("/v1/snapshots", {"sandbox_id": w.life.paused().id, "name": name}), 201)
    ok(w.kim.delete("/v1/snapshots/" + name), 204)
    for action, status, actor in (("create", "success", "api_key"), ("delete", "warning", "user")):
        same(audit(w.kim, "snapshot", action, resource_id=name, status=status, scope="team")["actor_type"], actor)


@check("team: closing it ends its capsules, paused ones too, and its terminals")
def _(w):
    team = w.kim.found()
    one, two = w.create(team), w.create(team).paused()
    s = one.terminal(cmd="/bin/sleep", args=["300"])
    ok(team.delete(team.team), 204)
    while (message := s.next(20)) is not None and message["type"] not in ("exit", "error"):
        pass
    s.close()
    for capsule in (one, two):
        fault(team.get(capsule.path), (401, 403))
        not_found(w.kim.get(capsule.path))


@check("timeout: an idle capsule is paused, one that is pinged is not; the log says who did it")
def _(w):
    kept, idle = w.create(timeout_sec=2), w.create(timeout_sec=2)
    began = time.monotonic()

    def poll():
        ok(kept.post("/ping"), 204)
        idle.post("/files/list", {"path": "/root"})
        return idle.now()["status"] == "paused" and time.monotonic() - began > 6
    until(40, poll, "the pause")
    same(kept.now()["status"], "running")
    row = audit(w.kim, "sandbox", "pause", resource_id=idle.id, status="info")
    same((row["actor_type"], row["scope"]), ("system", "team"))
    ok(idle.post("/resume"))
    same(idle.sh("echo here"), "here\n")
    for capsule in (kept, idle):
        capsule.destroy()


if __name__ == "__main__":
    sys.exit(SUITE.main())
