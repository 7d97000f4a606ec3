#!/usr/bin/env python3
"""Wrenn's capsules on a host of the team's own, a real one: placed there and nowhere else, missing when it is lost, back when it is back,
ended or kept when it is removed. TAP.

Digest sections 2.5, 2.7, 4.1, 4.4, 4.5, 7. How to run one check: wrenn_kit.py.
"""
import functools
import os
import subprocess
import sys
import time

from fs_client import BIN, same
from wrenn_capsules import Capsule
from wrenn_kit import Carrier, Suite, audit, fault, ok, unique, until

LOST = 3  # seconds without a heartbeat; 90 where nobody says otherwise


class World:
    def __init__(self, server):
        self.server = server
        server.image()

    @functools.cached_property
    def people(self):
        return self.server.signups("Olga", "Stan", "Root")

    @functools.cached_property
    def root(self):
        return self.server.make_admin(self.people[2])

    @functools.cached_property
    def owner(self):
        """Of a team that brings its hosts."""
        self.server.allow_byoc(self.root, self.people[0])
        return self.people[0]

    @property
    def stranger(self):
        return self.people[1]

    @functools.cached_property
    def host(self):
        return Carrier(self.owner, type="byoc", team_id=self.owner.team_id)

    @functools.cached_property
    def capsule(self):
        assert self.host
        return Capsule(self.owner, ok(self.owner.post("/v1/capsules", {}), 201))

    def on_host(self, capsule):
        return capsule.id in ok(self.owner.get(f"/v1/hosts/{self.host.id}/delete-preview"))["sandbox_ids"]

    def host_is(self, status):
        return ok(self.owner.get("/v1/hosts/" + self.host.id))["status"] == status


def names_at(host):
    """What that machine has."""
    return subprocess.run([os.path.join(BIN, "sbx"), "ls", "-o", "json"], env={**host.server.env, "SBX_HOME": host.home}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, timeout=30, check=True).stdout


SUITE = Suite("wrenn_byoc", World)
check = SUITE.check


@check("placement: a team that brings hosts and has none gets 503, and its capsule is not made elsewhere")
def _(w):
    fault(w.owner.post("/v1/capsules", {}), 503, "no_hosts_available")
    same(ok(w.owner.get("/v1/capsules")), [])


@check("placement: its capsules run on its host; everybody else's do not")
def _(w):
    assert w.on_host(w.capsule), w.capsule.id
    other = Capsule(w.stranger, ok(w.stranger.post("/v1/capsules", {}), 201))
    same(ok(w.owner.get(f"/v1/hosts/{w.host.id}/delete-preview"))["sandbox_ids"], [w.capsule.id])
    other.destroy()


@check("the host: says what the machine is")
def _(w):
    host = ok(w.owner.get("/v1/hosts/" + w.host.id))
    assert host["cpu_cores"] > 0 and host["memory_mb"] > 500 and host["disk_gb"] > 0 and host["arch"] and host["address"], host
    same(host["status"], "online")


@check("a capsule there: commands, environment, ping, figures")
def _(w):
    same(w.capsule.sh("echo $WRENN_SANDBOX_ID $WRENN_SANDBOX"), f"{w.capsule.id} true\n")
    same(ok(w.capsule.exec("no-such-command"))["exit_code"], 127)
    ok(w.capsule.post("/ping"), 204)
    until(10, lambda: len(ok(w.owner.get(w.capsule.path + "/metrics?range=5m"))["points"]) > 1, "points")
    point = ok(w.owner.get(w.capsule.path + "/metrics?range=5m"))["points"][-1]
    assert 0 <= point["cpu_pct"] <= 100 and point["mem_bytes"] > 1e6 and point["disk_bytes"] > 0, point


@check("a capsule there: a stream with input, over the host's tunnel")
def _(w):
    s = w.capsule.stream(cmd="sh", args=["-c", "seq 1 20000"])
    out, said = b"", s.next()
    while said["type"] != "exit":
        out += said["data"].encode() if said["type"] == "stdout" else b""
        said = s.next()
    same(out, "".join(f"{n}\n" for n in range(1, 20001)).encode())


@check("a capsule there: pause and resume, memory and processes as they were")
def _(w):
    w.capsule.sh("echo kept >/dev/shm/x")
    same(ok(w.capsule.post("/pause"))["status"], "paused")
    fault(w.capsule.post("/pause"), 409, "invalid_state")
    fault(w.capsule.exec("true"), 409, "invalid_state")
    points = ok(w.owner.get(w.capsule.path + "/metrics?range=10m"))["points"]
    assert points, "no figures of a paused one"
    same(ok(w.capsule.post("/resume"))["status"], "running")
    same(w.capsule.sh("cat /dev/shm/x"), "kept\n")


@check("a template of it: made there, listed here, used there, gone there")
def _(w):
    name = unique("t-")
    row = ok(w.owner.post("/v1/snapshots", {"sandbox_id": w.capsule.id, "name": name}), 201)
    same((row["name"], row["type"], row["platform"]), (name, "snapshot", False))
    fault(w.owner.post("/v1/snapshots", {"sandbox_id": w.capsule.id, "name": name}), 409, "already_exists")
    assert name in [t["name"] for t in ok(w.owner.get("/v1/snapshots?type=snapshot"))]
    assert name not in [t["name"] for t in ok(w.stranger.get("/v1/snapshots"))]
    fault(w.stranger.post("/v1/capsules", {"template": name}), 404, "not_found")
    w.capsule.running()
    child = Capsule(w.owner, ok(w.owner.post("/v1/capsules", {"template": name}), 201))
    assert w.on_host(child)
    same(child.sh("cat /dev/shm/x"), "kept\n")
    child.destroy()
    same(child.now()["status"], "stopped")
    ok(w.owner.post("/v1/snapshots?overwrite=true", {"sandbox_id": w.capsule.id, "name": name}), 201)
    ok(w.owner.delete("/v1/snapshots/" + name), 204)
    fault(w.owner.post("/v1/capsules", {"template": name}), 404, "not_found")
    w.capsule.running()


@check("time: paused on its host when nobody uses it")
def _(w):
    capsule = Capsule(w.owner, ok(w.owner.post("/v1/capsules", {"timeout_sec": 2}), 201))
    until(15, lambda: capsule.now()["status"] == "paused", "the pause")
    until(10, lambda: capsule.post("/resume").status == 200, "the end of the pause")
    audit(w.owner, "sandbox", "pause", resource_id=capsule.id, actor_type="system", status="info")
    capsule.destroy()


@check("a host that is lost: unreachable, its capsules missing, and both in the log; then it is back, and they are")
def _(w):
    w.capsule.sh("echo before >/dev/shm/x")
    w.host.kill()
    until(20, lambda: w.host_is("unreachable"), "the loss")
    until(10, lambda: w.capsule.now()["status"] == "missing", "the capsule")
    audit(w.owner, "host", "marked_down", resource_id=w.host.id, actor_type="system", status="error")
    fault(w.capsule.exec("true"), 409, "invalid_state")
    fault(w.capsule.post("/pause"), 409, "invalid_state")
    fault(w.owner.post("/v1/capsules", {}), 503, "no_hosts_available")
    assert w.capsule.id in [c["id"] for c in ok(w.owner.get("/v1/capsules"))]
    assert w.on_host(w.capsule), "a missing one ends with its host"
    w.host.up()
    until(15, lambda: w.capsule.now()["status"] == "running", "its return")
    until(10, lambda: w.capsule.exec("true").status == 200, "its agent")
    same(w.capsule.sh("cat /dev/shm/x"), "before\n")
    audit(w.owner, "host", "marked_up", resource_id=w.host.id, actor_type="system", status="success")


@check("a capsule that is destroyed while its host is away ends there when that is back")
def _(w):
    lost = Capsule(w.owner, ok(w.owner.post("/v1/capsules", {}), 201))
    w.host.kill()
    until(20, lambda: lost.now()["status"] == "missing", "the loss")
    lost.destroy()
    same(lost.now()["status"], "stopped")
    w.host.up()
    until(15, lambda: w.capsule.now()["status"] == "running", "its return")
    until(15, lambda: lost.id.removeprefix("cl-").lstrip("0") not in names_at(w.host), "the end of the orphan")


@check("removal: refused while capsules run, with their ids; by force they end, and a paused one stays, of no use any more")
def _(w):
    parked = Capsule(w.owner, ok(w.owner.post("/v1/capsules", {}), 201)).paused()
    error = fault(w.owner.delete("/v1/hosts/" + w.host.id), 409, "has_active_sandboxes")
    same(error["sandbox_ids"], [w.capsule.id])
    ok(w.owner.delete(f"/v1/hosts/{w.host.id}?force=true"), 204)
    until(15, lambda: w.capsule.now()["status"] == "stopped", "the end of what ran")
    w.host.process.wait(15)
    same(parked.now()["status"], "paused")
    fault(parked.post("/resume"), 503, "host_unavailable")
    parked.destroy()
    same(parked.now()["status"], "stopped")
    end = time.monotonic() + 5
    while '"paused"' not in names_at(w.host) and time.monotonic() < end:
        time.sleep(0.1)
    assert '"paused"' in names_at(w.host), "its memory is still on that machine"


if __name__ == "__main__":
    sys.exit(SUITE.main(SBX_HOST_LOST=str(LOST)))
