"""The rows of `make bench` about teams: what a login costs each request, and a daemon that has 1,000 teams with 10 capsules each.

Over kept connections to the daemon's own socket, with a token or a key as over TCP: a credential that is sent counts there, too."""
import functools
import os
import secrets
import shutil
import sqlite3
import statistics
import string
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../conformance"))
import fs_client  # noqa: E402  pylint: disable=wrong-import-position

REQUESTS, TEAMS, CAPSULES = 2000, 1000, 10
PUBLIC = "/v1/auth/oauth/nobody"  # takes no login, and says 404
PASSWORD = "correct horse battery"


def sign_up(wire):
    """A new account: (its token, its team's API key), each as the header of a request."""
    email = f"bench-{secrets.token_hex(4)}@example.org"
    answer = wire.ask("POST", "/v1/auth/signup", {"email": email, "password": PASSWORD, "name": "Bench"})
    token = ("Authorization", "Bearer " + answer.json["token"])
    key = wire.ask("POST", "/v1/api-keys", {}, [token]).json["key"]
    return token, ("X-API-Key", key)


def ms(wire, path, status, *headers):
    start = time.perf_counter()
    answer = wire.ask("GET", path, None, headers)
    took = (time.perf_counter() - start) * 1000
    if answer.status != status:
        raise RuntimeError(f"{path}: {answer.status} {answer.body.decode()}")
    return took


def overhead(wire, path, header):
    """Milliseconds of requests with that header, and of ones that need none, in turns, so that both have the same luck."""
    pairs = [(ms(wire, path, 200, header), ms(wire, PUBLIC, 404)) for _ in range(REQUESTS + 200)][200:]
    return [a for a, _ in pairs], [b for _, b in pairs]


# ---- a daemon with many teams ----

def rand_id():
    return "z" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(9))


def capsule(team, now):
    """A record such as a daemon has of one that is paused, with as much in it as one that a client made."""
    return {"id": rand_id(), "name": None, "image": "base", "template_key": None, "state": "paused", "reason": None, "accel": "tcg", "env": b"",
            "labels": b"", "vcpus": 1, "memory_mb": 512, "timeout_s": 0, "net": 0, "account": team, "created_ms": now, "expires_ms": 0, "pid": 0,
            "start_time": 0, "create_us": 1, "mac": "52:54:00:12:34:56", "layers": b"", "run_vcpus": 1, "run_memory_mb": 512, "booted": 0,
            "idle_s": 0, "idled": 0, "disk_mb": 0, "template": "minimal", "started_ms": now, "active_ms": now, "changed_ms": now}


def insert(db, table, row):
    return db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())).lastrowid


def populate(home):
    """Into the database of a daemon that is down, by the schema that it made: the teams that are missing, and capsules for all."""
    now = int(time.time() * 1000)
    with sqlite3.connect(home + "/db.sqlite") as db:
        mine = [row[0] for row in db.execute("SELECT id FROM team WHERE id > 0")]
        others = [insert(db, "team", {"uid": rand_id(), "name": f"Team {n}", "slug": secrets.token_hex(3) + "-" + secrets.token_hex(3), "byoc": 0,
                                      "created_ms": now, "deleted_ms": 0}) for n in range(TEAMS - len(mine))]
        for n in range(CAPSULES):  # in turns, as they would be made: those of one team do not lie side by side
            for team in mine + others:
                insert(db, "sandbox", capsule(team, now + n))
    db.close()


def many_teams(env):
    """Milliseconds of each list of one team's, and seconds that the daemon took to start."""
    home = tempfile.mkdtemp(prefix="sbx-bt.", dir="/tmp")

    def sbx(*args):
        subprocess.run(["sbx", *args], env={**env, "SBX_HOME": home}, stdin=subprocess.DEVNULL, capture_output=True, check=True)

    def connect():
        return fs_client.Wire(home + "/sbxd.sock")
    try:
        sbx("up")
        token, _ = sign_up(connect())
        sbx("down", "--yes")
        populate(home)
        start = time.perf_counter()
        sbx("up")
        took = time.perf_counter() - start
        wire = connect()
        listed = wire.ask("GET", "/v1/capsules", None, [token]).json
        if len(listed) != CAPSULES:
            raise RuntimeError(f"{len(listed)} capsules are listed, not {CAPSULES}")
        return [ms(wire, "/v1/capsules", 200, token) for _ in range(REQUESTS)], took
    finally:
        sbx("down", "--yes")
        shutil.rmtree(home, ignore_errors=True)


def rows(row, env, sbx):
    @functools.cache
    def account():
        sbx("ls")  # the daemon runs
        wire = fs_client.Wire(os.path.join(env["SBX_HOME"], "sbxd.sock"))
        return wire, *sign_up(wire)

    def measure(path, which):
        wire, *headers = account()
        ours, base = overhead(wire, path, headers[which])
        usual = statistics.median(base)
        return [v - usual for v in ours], [("all of it", ours), ("a request that needs no login", base)]

    @row("Wrenn GET /v1/teams, with a token: more than without login", 0.3)
    def token(_peers):
        return measure("/v1/teams", 0)

    @row("Wrenn GET /v1/capsules, API key: more than without login", 0.3)
    def key(_peers):
        return measure("/v1/capsules", 1)

    @row(f"Wrenn GET /v1/capsules of one of {TEAMS} teams x {CAPSULES}", 3)
    def teams(_peers):
        values, took = many_teams(env)
        return values, [("its daemon has started in", f"{took:.1f} s")]
