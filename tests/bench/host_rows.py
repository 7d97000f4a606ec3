"""The rows of `make bench` about other machines: what it costs that a sandbox is carried by a host of the daemon's, over its tunnel. The
peer of each is the same on the daemon's own machine."""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time

CREATES, COMMANDS = 12, 40


@contextlib.contextmanager
def control_plane(env):
    """A daemon with one host: sbx for it, and the host's id."""
    top = tempfile.mkdtemp(prefix="sbx-bh.", dir="/tmp")
    own = {**env, "SBX_HOME": top + "/c", "SBX_POOL": "0"}
    other = {**own, "SBX_HOME": top + "/h"}

    def sbx(*args, env=own):
        return subprocess.run(["sbx", *args], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout

    port = sbx("up", "--listen", "127.0.0.1:0").strip()
    made = json.loads(sbx("host", "add", "-o", "json"))
    read, write = os.pipe()
    host = subprocess.Popen(["sbxd", "--role", "host", "--control", f"http://{port}", "--heartbeat", "1", "--ready-fd", str(write)],
                            env={**other, "SBX_HOST_TOKEN": made["token"]}, pass_fds=[write], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as said:
            if not said.read().startswith("ready"):
                raise RuntimeError("the host does not come up")
        yield sbx, made["host"]["id"]
    finally:
        sbx("down", "--yes")
        sbx("down", "--yes", env=other)
        host.wait(10)
        shutil.rmtree(top, ignore_errors=True)


def rows(row, env):
    def in_turns(n, ours, theirs):
        """Milliseconds of both, in turns, so that they have the same luck; the first of each does not count."""
        def took(act):
            start = time.perf_counter()
            act()
            return (time.perf_counter() - start) * 1000
        pairs = [(took(ours), took(theirs)) for _ in range(n + 1)][1:]
        return [a for a, _ in pairs], [("the same at home", [b for _, b in pairs])]

    @row("sbx create and rm on another host, over its tunnel", 350)
    def create(_peers):
        with control_plane(env) as (sbx, host):
            def make(*where):
                sbx("create", "--name", "x", *where)
                sbx("rm", "x")
            return in_turns(CREATES, lambda: make("--on", host), make)

    @row("sbx exec S -- true on another host, whole command", 40)
    def execute(_peers):
        with control_plane(env) as (sbx, host):
            sbx("create", "--name", "there", "--on", host)
            sbx("create", "--name", "here")
            return in_turns(COMMANDS, lambda: sbx("exec", "there", "true"), lambda: sbx("exec", "here", "true"))
