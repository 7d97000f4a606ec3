#!/usr/bin/env python3
"""Wrenn's two WebSockets on a running daemon: commands with their output as it comes, and terminals. TAP.

Digest section 5. The two minutes after which a terminal that nobody uses is ended are not waited for. How to run one check: wrenn_kit.py.
"""
import functools
import json
import re
import sys
import time

import wrenn_capsules
from fs_client import same
from wrenn_kit import CONTRACT, Refused, Socket, Suite, bearer, decode64, encode64, fault, unique, unknown_id, until


class World(wrenn_capsules.World):
    @functools.cached_property
    def idle_terminal(self):
        """Opened by the first check of terminals, so that little is left to wait for its pings at the end."""
        return self.main.terminal(cmd="/bin/sleep", args=["300"])


SUITE = Suite("wrenn_sockets", World)
check = SUITE.check


# ---- 5.1: exec/stream ----
def stream_all(capsule, script):
    """(stdout, stderr, exit code) of a whole session."""
    got = capsule.stream(cmd="sh", args=["-c", script]).rest(30)
    same((got[0]["type"], got[-1]["type"]), ("start", "exit"))
    assert got[0]["pid"] > 1 and {m["type"] for m in got[1:-1]} <= {"stdout", "stderr"}, got
    out, err = ("".join(m["data"] for m in got if m["type"] == kind) for kind in ("stdout", "stderr"))
    return out, err, got[-1]["exit_code"]


def declared(schema, messages):
    bad = [m for m in messages if not CONTRACT.shapes.valid({"$ref": f"#/components/schemas/{schema}"}, m)]
    assert not bad, f"not what the contract says: {bad}"


@check("stream: start, stdout, stderr, exit, and the connection ends")
def _(w):
    s = w.main.stream(cmd="sh", args=["-c", "echo one; sleep 0.1; echo two >&2; exit 5"])
    got = s.rest()
    declared("ExecStreamServerMessage", got)
    same(got[1:], [{"type": "stdout", "data": "one\n"}, {"type": "stderr", "data": "two\n"}, {"type": "exit", "exit_code": 5}])
    same((got[0]["type"], got[0]["pid"] > 1), ("start", True))


@check("stream: output comes while the command runs")
def _(w):
    s = w.main.stream(cmd="sh", args=["-c", "echo early; sleep 30"])
    same(s.take("stdout", 10)[-1]["data"], "early\n")
    s.close()


@check("stream: 127 for an unknown program, -1 for a signal")
def _(w):
    same(stream_all(w.main, "nosuchprogram")[2], 127)
    same([m["exit_code"] for m in w.main.stream(cmd="/nosuch/program").rest() if m["type"] == "exit"], [127])
    same(stream_all(w.main, "kill -9 $$")[2], -1)


@check("stream: a megabyte, whole and in order")
def _(w):
    out, _, code = stream_all(w.main, "seq 1 150000")
    same((code, out == "".join(f"{n}\n" for n in range(1, 150001))), (0, True))


@check("stream: letters of several bytes stay whole, what is no UTF-8 becomes U+FFFD")
def _(w):
    same(stream_all(w.main, "printf 'ä日\U0001f600'; printf 'a\\377b' >&2")[:2], ("ä日\U0001f600", "a\ufffdb"))
    out, _, _ = stream_all(w.main, "i=0; while [ $i -lt 2000 ]; do printf 'xéééééééééé日本日本日本日本'; i=$((i+1)); done")
    same(out == "xéééééééééé日本日本日本日本" * 2000, True)


for what, first in {"stop": {"type": "stop"}, "no command": {"type": "start"}, "an empty command": {"type": "start", "cmd": ""},
                    "an unknown type": {"type": "run", "cmd": "true"}, "a list": [], "no JSON": None}.items():
    def bad_start(w, message):
        s = w.main.stream()
        s.text(b"nonsense" if message is None else json.dumps(message).encode())
        got = s.rest(10)
        same([m["type"] for m in got], ["error"])
        assert got[0]["data"], got
    SUITE.add(f"stream: an error and the end when the first message is {what}", bad_start, first)


@check("stream: other messages mean nothing")
def _(w):
    s = w.main.stream(cmd="sh", args=["-c", "sleep 0.5; echo on; exit 4"])
    for message in (b'{"type": "start", "cmd": "false"}', b'{"type": "nosuch"}', b"nonsense", b"[]", b'{"type": "input", "data": "eA=="}'):
        s.text(message)
    got = s.rest()
    same([(m["type"], m.get("data", m.get("exit_code"))) for m in got[1:]], [("stdout", "on\n"), ("exit", 4)])


@check("stream: stop hears no more, and the command goes on")
def _(w):
    mark = "/tmp/" + unique("stopped")
    s = w.main.stream(cmd="sh", args=["-c", f"sleep 1; echo on; echo done > {mark}"])
    s.take("start")
    s.send(type="stop")
    same([m for m in s.rest(10) if m["type"] == "exit"], [])
    until(10, lambda: w.main.sh(f"cat {mark} 2>/dev/null; true"), "the end of the command")


@check("stream: who goes away leaves the command running")
def _(w):
    mark = "/tmp/" + unique("left")
    s = w.main.stream(cmd="sh", args=["-c", f"sleep 1; echo on; echo done > {mark}"])
    s.take("start")
    s.close()
    until(10, lambda: w.main.sh(f"cat {mark} 2>/dev/null; true"), "the end of the command")


# ---- 5: the handshake, of both ----
for tail in ("/exec/stream", "/pty"):
    def handshake(w, path):
        kim, address = w.kim, w.kim.address
        for target, headers in ((path, kim.headers), (path, w.key.headers), (f"{path}?token={kim.jwt}", ())):
            Socket(address, w.main.path + target, headers).close()

    def refused_handshake(w, path):
        good = w.main.path + path
        for target, headers, status in ((good, (), 401), (good + "?token=nosuch", (), 401), (good + "?token=", (), 401),
                                        (good, [bearer("nosuch")], 401), (good, [("X-API-Key", "nosuch"), bearer(w.kim.jwt)], 401),
                                        (f"/v1/capsules/nosuch{path}", w.key.headers, 400),
                                        (f"/v1/capsules/{unknown_id('cl')}{path}", w.key.headers, 404),
                                        (w.gone.path + path, w.key.headers, 409)):
            try:
                Socket(w.kim.address, target, headers)
            except Refused as e:
                fault(e.answer, status)
                same(CONTRACT.wrong(e.answer), None)
            else:
                raise AssertionError(f"{target} was opened")
    SUITE.add(f"handshake: {tail} with a token, a key, and ?token=", handshake, tail)
    SUITE.add(f"handshake: {tail}: 401, 400, 404 and 409 are plain answers", refused_handshake, tail)


@check("websocket: a ping is answered")
def _(w):
    for s in (w.main.stream(cmd="sleep", args=["20"]), w.main.terminal(cmd="/bin/sleep", args=["20"])):
        s.ping(b"are you there")
        while (got := s.frame(10)) is not None and got[0] != 10:
            pass
        same(got, (10, b"are you there"))
        s.close()


# ---- 5.2: pty ----
def output(s, want, seconds=20):
    """What the terminal shows until the pattern is in it."""
    text, end = "", time.monotonic() + seconds
    while not re.search(want, text):
        message = s.next(end - time.monotonic())
        assert message is not None, f"over without {want}: {text!r}"
        if message["type"] == "output":
            text += decode64(message["data"]).decode("utf-8", "replace")
        else:
            assert message["type"] == "ping", f"{message} and not {want}: {text!r}"
    return text


def type_in(s, text):
    s.send(type="input", data=encode64(text.encode()))


def ended(s):
    """The exit code, whatever comes before."""
    return s.take("exit")[-1]["exit_code"]


@check("pty: a shell of 80 by 24 in /root by default, with a tag and a pid")
def _(w):
    same(w.idle_terminal.over, False)
    s = w.main.pty()
    s.send(type="start")
    first = s.next()
    declared("PtyServerMessage", [first])
    same((first["type"], bool(re.fullmatch(r"pty-[0-9a-f]{8}", first["tag"])), first["pid"] > 1), ("started", True, True))
    type_in(s, "stty size; pwd; echo $((6*7))-$(id -u); tty\n")
    text = output(s, r"/dev/pts/\d+\r?\n")
    assert re.search(r"\n24 80\r?\n/root\r?\n42-0\r?\n/dev/pts", text), repr(text)
    type_in(s, "exit 3\n")
    same(ended(s), 3)
    s.close()


@check("pty: command, arguments, size, environment and folder as asked for; user is accepted and root it is")
def _(w):
    s = w.main.terminal(cmd="/bin/sh", args=["-c", "stty size; pwd; echo $MARK-$HOME; id -un; read x; echo got:$x"], cols=132, rows=0, cwd="/tmp",
                        envs={"MARK": "é 1"}, user="nobody")
    text = output(s, "\nroot\r?\n")
    assert re.search(r"^24 132\r?\n/tmp\r?\né 1-/root\r?\nroot\r?\n", text), repr(text)
    type_in(s, "ü日\n")
    output(s, "got:ü日")
    same(ended(s), 0)
    s.close()


@check("pty: bytes are bytes, at most 16 KiB in a message")
def _(w):
    s = w.main.terminal(cmd="/bin/sh", args=["-c", "stty raw -echo; printf 'a\\377\\000b\\n'; head -c 300000 /dev/zero | tr '\\0' z; echo err >&2"])
    got = s.take("exit")
    declared("PtyServerMessage", got)
    parts = [decode64(m["data"]) for m in got if m["type"] == "output"]
    same((b"".join(parts)[:5], b"".join(parts).count(b"z"), b"".join(parts)[-4:]), (b"a\xff\0b\n", 300000, b"err\n"))
    assert max(map(len, parts)) <= 16384, max(map(len, parts))
    s.close()


@check("pty: resize, but not to nothing")
def _(w):
    s = w.main.terminal(cmd="/bin/sh", args=["-c", "while :; do stty size; sleep 0.1; done"], cols=90, rows=30)
    output(s, r"30 90\r?\n")
    s.send(type="resize", cols=100, rows=40)
    output(s, r"40 100\r?\n")
    for cols, rows in ((0, 50), (120, 0), (-1, -1)):
        s.send(type="resize", cols=cols, rows=rows)
    same(set(re.findall(r"\d+ \d+", output(s, r"(\d+ \d+\s+){6}"))), {"40 100"})
    s.send(type="kill")
    same(ended(s), -1)
    s.close()


@check("pty: input that is no base64 is dropped, and so are unknown messages")
def _(w):
    s = w.main.terminal(cmd="/bin/sh", args=["-c", "read x; echo got:$x"])
    for message in (b'{"type": "input", "data": "%%%"}', b'{"type": "input", "data": "eA"}', b'{"type": "nosuch"}', b"nonsense", b"[]",
                    b'{"type": "input"}', b'{"type": "input", "data": 1}'):
        s.text(message)
    type_in(s, "good\n")
    output(s, "got:good")
    same(ended(s), 0)
    s.close()


@check("pty: kill ends it with -1")
def _(w):
    s = w.main.terminal()
    s.send(type="kill")
    same(ended(s), -1)
    s.close()


@check("pty: after the exit the client may go on sending, and nothing more comes")
def _(w):
    s = w.main.terminal(cmd="/bin/true")
    same(ended(s), 0)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        type_in(s, "late\n")
        s.send(type="resize", cols=100, rows=40)
        try:
            same(s.next(0.05), "silence")
        except TimeoutError:
            pass
    s.close()


@check("pty: it outlives its client; who comes back by its tag is not told started, and several see the same")
def _(w):
    first = w.main.terminal(cmd="/bin/sh", args=["-c", "echo before; while read x; do echo got:$x; done; exit 6"])
    output(first, "before")
    first.close()
    others = [w.main.pty() for _ in range(2)]
    for s in others:
        s.send(type="connect", tag=first.tag)
    type_in(others[0], "hello\n")
    for s in others:
        text = output(s, "got:hello")
        assert "before" not in text, "a scrollback"
    type_in(others[1], "\x04")
    same([ended(s) for s in others], [6, 6])
    for s in others:
        s.close()


for what, first in {"an unknown type": {"type": "nosuch"}, "input": {"type": "input", "data": "eA=="}, "connect without a tag": {"type": "connect"},
                    "no JSON": None, "a list": []}.items():
    def bad_pty(w, message):
        s = w.main.pty()
        s.text(b"nonsense" if message is None else json.dumps(message).encode())
        got = s.rest(10)
        same([(m["type"], m.get("fatal")) for m in got], [("error", True)])
        declared("PtyServerMessage", got)
    SUITE.add(f"pty: a fatal error and the end when the first message is {what}", bad_pty, first)


@check("pty: a tag that nobody has, and one that is over, show no terminal")
def _(w):
    over = w.main.terminal(cmd="/bin/true")
    same(ended(over), 0)
    for tag in ("pty-00000000", "nosuch", over.tag):
        s = w.main.pty()
        s.send(type="connect", tag=tag)
        try:
            got = s.rest(0.5)
        except TimeoutError:
            got = []
        assert not [m for m in got if m["type"] not in ("error", "exit")], got
        s.close()


@check("pty: a folder that is not there starts nothing")
def _(w):
    s = w.main.pty()
    s.send(type="start", cmd="/bin/sh", cwd="/nosuch/folder")
    got = s.rest(20)
    assert not [m for m in got if m["type"] not in ("error", "exit")], got


@check("pty: a ping comes twice a minute and wants no answer")
def _(w):
    got = w.idle_terminal.take("ping", 40)
    same([m for m in got if m["type"] != "ping"], [])
    same(got[-1], {"type": "ping"})


if __name__ == "__main__":
    sys.exit(SUITE.main())
