#!/usr/bin/env python3
"""Wrenn's errors on a running daemon: every code of the digest's inventory (1.2) that can occur in state S, and for every operation of
the contract what is refused before it does anything: no credential, a malformed id, an unknown one, a body that is none. TAP.

Codes that cannot be provoked stand in CANNOT with the reason, and are printed as comments. How to run one check: wrenn_kit.py.
"""
import functools
import glob
import os
import select
import sqlite3
import sys

from fs_client import same
from wrenn_hosts import World as HostWorld
from wrenn_hosts import busy_host
from wrenn_kit import (CONTRACT, JSON, PREFIXES, Answer, Client, Refused, Socket, Suite, bad_request, bearer, fault, forged, malformed_ids,
                       not_found, ok, unique, unknown_id)

# The inventory: code -> status in state S.
CODES = {"invalid_request": 400, "unauthorized": 401, "forbidden": 403, "no_team": 403, "account_not_activated": 403, "account_disabled": 403,
         "account_deactivated": 403, "not_found": 404, "provider_not_found": 404, "email_taken": 409, "signup_cooldown": 409, "conflict": 409,
         "invalid_state": 409, "name_reserved": 409, "already_exists": 409, "template_name_taken": 409, "has_active_sandboxes": 409, "too_large": 413,
         "db_error": 500, "internal_error": 500, "internal": 500, "read_error": 500, "build_error": 500, "agent_error": 502, "host_unavailable": 503,
         "no_hosts_available": 503, "invalid_token": 400, "already_activated": 400, "wrong_password": 401, "last_login_method": 400,
         "owns_team_with_members": 409}
LATER = "only versions after state S have it (accounts that are activated, disabled or deleted)"
CANNOT = {
    "account_not_activated": LATER, "account_disabled": LATER, "account_deactivated": LATER, "signup_cooldown": LATER, "invalid_token": LATER,
    "already_activated": LATER, "wrong_password": LATER, "last_login_method": LATER, "owns_team_with_members": LATER,
    "template_name_taken": "a later name of already_exists",
    "internal_error": "needs the server itself to fail; but see no_hosts_available here, and the failed delivery in wrenn_channels",
    "internal": "needs the search for people to fail in the database", "read_error": "needs an upload whose reading fails on the server",
    "build_error": "needs the building of templates, which the contract does not have"}


class World:
    def __init__(self, server):
        self.server, self.anyone = server, server.anyone

    @functools.cached_property
    def people(self):
        return self.server.signups("Eva", "Emil")

    @property
    def eva(self):
        return self.people[0]

    @functools.cached_property
    def hosts(self):
        return HostWorld(self.server)

    @functools.cached_property
    def capsule(self):
        """A running one of Eva's."""
        self.server.image()
        return "/v1/capsules/" + ok(self.eva.post("/v1/capsules", {}), 201)["id"]

    @functools.cached_property
    def template(self):
        """The name of a template, for which a second capsule was made and ended."""
        self.server.image()
        capsule, name = ok(self.eva.post("/v1/capsules", {}), 201)["id"], unique("template")
        ok(self.eva.post("/v1/snapshots", {"sandbox_id": capsule, "name": name}), 201)
        ok(self.eva.delete("/v1/capsules/" + capsule), 204)
        return name

    @functools.cached_property
    def over(self):
        """A capsule that is over."""
        self.server.image()
        capsule = "/v1/capsules/" + ok(self.eva.post("/v1/capsules", {}), 201)["id"]
        ok(self.eva.delete(capsule), 204)
        return capsule

    @functools.cached_property
    def channel(self):
        return ok(self.eva.post("/v1/channels", {"name": unique("ch"), "provider": "webhook", "config": {"url": "https://hook.example.org/"},
                                                 "events": ["host.up"]}), 201)


SUITE = Suite("wrenn_errors", World)
check = SUITE.check
PROVOKED = set()


def code(name, what):
    """A check that provokes this code."""
    PROVOKED.add(name)
    return check(f"code: {name}: {what}")


# ---- the codes ----
@check("codes: each is provoked here, or cannot be")
def _(_):
    same((set(CODES) - PROVOKED - set(CANNOT), PROVOKED & set(CANNOT), (PROVOKED | set(CANNOT)) - set(CODES)), (set(), set(), set()))
    for why in dict.fromkeys(CANNOT.values()):
        print(f"# not provoked: {', '.join(n for n, reason in CANNOT.items() if reason == why)}: {why}")


@code("invalid_request", "no JSON, no id, a value that is not allowed")
def _(w):
    bad_request(w.eva.ask("POST", "/v1/teams", b"{", [("Content-Type", JSON)]))
    bad_request(w.eva.get("/v1/capsules/nosuch"))
    bad_request(w.eva.get("/v1/capsules/stats?range=2h"))


@code("unauthorized", "no credential, a wrong one, a wrong password")
def _(w):
    fault(w.anyone.get("/v1/teams"), 401, "unauthorized")
    fault(w.anyone.but(("X-API-Key", "wrn_" + "0" * 32)).get("/v1/capsules"), 401, "unauthorized")
    fault(w.server.login(w.eva.email, "wrong horse"), 401, "unauthorized")
    fault(w.anyone.post("/v1/hosts/register", {"token": "0" * 64, "address": "127.0.0.1:9"}), 401, "unauthorized")
    fault(w.anyone.post("/v1/hosts/auth/refresh", {"refresh_token": "0" * 64}), 401, "unauthorized")


@code("forbidden", "a role, another team, a template for everybody")
def _(w):
    team = w.eva.found()
    fault(team.take_in(w.people[1]).delete(team.team), 403, "forbidden")
    fault(w.people[1].get(w.eva.team), 403, "forbidden")
    fault(w.eva.delete("/v1/snapshots/minimal"), 403, "forbidden")
    fault(w.eva.post("/v1/hosts", {"type": "regular"}), 403, "forbidden")


@code("no_team", "a login without a team")
def _(w):
    who = w.server.signup("Lone")
    ok(who.delete(who.team), 204)
    fault(w.server.login(who.email, who.password), 403, "no_team")


@code("not_found", "what nobody has")
def _(w):
    for path in ("/v1/capsules/" + unknown_id("cl"), "/v1/channels/" + unknown_id("ch"), "/v1/hosts/" + unknown_id("host")):
        not_found(w.eva.get(path))
    not_found(w.eva.post("/v1/capsules", {"template": unique("nosuch")}))
    not_found(w.eva.delete("/v1/snapshots/" + unique("nosuch")))
    not_found(w.eva.post("/v1/snapshots", {"sandbox_id": unknown_id("cl"), "name": unique("x")}))
    not_found(w.eva.post(w.eva.team + "/members", {"email": unique("nobody") + "@example.org"}))
    not_found(w.eva.post("/v1/auth/switch-team", {"team_id": unknown_id("team")}))


@code("provider_not_found", "a login through what is not set up")
def _(w):
    for path in ("/v1/auth/oauth/github", "/auth/oauth/github", "/v1/auth/oauth/github/callback", "/auth/oauth/github/callback"):
        fault(w.anyone.get(path), 404, "provider_not_found")


@code("email_taken", "a second account")
def _(w):
    fault(w.anyone.post("/v1/auth/signup", {"email": w.eva.email, "password": "12345678", "name": "x"}), 409, "email_taken")


@code("conflict", "the name of a channel; a folder that is there")
def _(w):
    fault(w.eva.post("/v1/channels", {"name": w.channel["name"], "provider": "webhook", "config": {"url": "https://hook.example.org/"},
                                      "events": ["host.up"]}), 409, "conflict")
    fault(w.eva.post(w.capsule + "/files/mkdir", {"path": "/root"}), 409, "conflict")


@code("invalid_state", "a capsule that is over, and one that runs")
def _(w):
    for method, tail, body in (("POST", "/pause", None), ("POST", "/resume", None), ("POST", "/ping", None),
                               ("POST", "/exec", {"cmd": "true"}), ("POST", "/files/list", {"path": "/"}),
                               ("POST", "/files/read", {"path": "/x"}), ("POST", "/files/remove", {"path": "/x"})):
        fault(w.eva.ask(method, w.over + tail, body), 409, "invalid_state")
    fault(w.eva.post("/v1/snapshots", {"sandbox_id": w.over.rpartition("/")[2], "name": unique("x")}), 409, "invalid_state")
    fault(w.eva.post(w.capsule + "/resume"), 409, "invalid_state")


@code("name_reserved", "a template called minimal, even before the capsule is looked at")
def _(w):
    for capsule in (unknown_id("cl"), w.capsule.rpartition("/")[2]):
        for query in ("", "?overwrite=true"):
            fault(w.eva.post("/v1/snapshots" + query, {"sandbox_id": capsule, "name": "minimal"}), 409, "name_reserved")


@code("already_exists", "the name of a template")
def _(w):
    for capsule in (w.capsule.rpartition("/")[2], unknown_id("cl")):
        fault(w.eva.post("/v1/snapshots", {"sandbox_id": capsule, "name": w.template}), 409, "already_exists")
    same(ok(w.eva.get(w.capsule))["status"], "running")


@code("has_active_sandboxes", "the removal of a host that carries a capsule")
def _(w):
    who, host, capsule = busy_host(w.hosts)
    answer = who.delete("/v1/hosts/" + host)
    assert capsule in fault(answer, 409, "has_active_sandboxes")["sandbox_ids"] and capsule in answer.json["sandbox_ids"], answer


@code("no_hosts_available", "a capsule for a team that has hosts of its own and none online; in S it is called internal_error")
def _(w):
    owner = w.hosts.crew()[0]
    w.hosts.announce(owner)
    answer = owner.post("/v1/capsules", {})
    fault(answer, (500, 503), ("internal_error", "no_hosts_available"))
    same(ok(owner.get("/v1/capsules")), [])


def too_large(client, target):
    """A form that is one byte too large; sent until there is an answer."""
    mark = "b" * 20
    head = (f'--{mark}\r\nContent-Disposition: form-data; name="path"\r\n\r\n/root/big\r\n'
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n').encode()
    end = f"\r\n--{mark}--\r\n".encode()
    size = (100 << 20) + 1
    wire = Client(client.address).wire()
    wire.send("POST", target, None, [*client.headers, ("Content-Type", f"multipart/form-data; boundary={mark}"), ("Content-Length", str(size))])
    left, block = size - len(head) - len(end), bytes(1 << 20)
    try:
        wire.socket.sendall(head)
        while left > 0 and not select.select([wire.socket], [], [], 0)[0]:
            wire.socket.sendall(block[:left])
            left -= len(block)
        if left <= 0:
            wire.socket.sendall(end)
    except ConnectionError:
        pass  # the answer is there already
    answer = Answer("POST", target, *wire.read())
    wire.close()
    same(CONTRACT.wrong(answer), None)
    return answer


@code("too_large", "files/write of more than 100 MiB")
def _(w):
    fault(too_large(w.eva, w.capsule + "/files/write"), 413, "too_large")
    same(ok(w.eva.get(w.capsule))["status"], "running")


@code("agent_error", "a command that takes longer than it may")
def _(w):
    fault(w.eva.post(w.capsule + "/exec", {"cmd": "sleep", "args": ["30"], "timeout_sec": 1}), 502, "agent_error")


@code("host_unavailable", "resuming a capsule whose host was removed")
def _(w):
    owner, host, capsule = busy_host(w.hosts)
    ok(owner.post(f"/v1/capsules/{capsule}/pause"))
    ok(owner.delete("/v1/hosts/" + host), 204)
    fault(owner.post(f"/v1/capsules/{capsule}/resume"), 503, "host_unavailable")
    ok(owner.delete("/v1/capsules/" + capsule), 204)


@code("db_error", "a write while somebody else keeps the database")
def _(w):
    [path] = glob.glob(os.path.join(w.server.home, "*.sqlite"))
    who, held = w.eva, sqlite3.connect(path, timeout=10, isolation_level=None)
    try:
        held.execute("BEGIN IMMEDIATE")
        fault(who.post("/v1/api-keys", {"name": "never"}), 500, "db_error")
    finally:
        held.close()
    same([k["name"] for k in ok(w.eva.get("/v1/api-keys")) if k["name"] == "never"], [])


# ---- every operation of the contract ----
def ids(w, op):
    """Path values that are there, for the parameters that this operation has."""
    kinds = {n: op.kind_of(n) for n in op.path_names}
    known = {"team": lambda: w.eva.team_id, "member": lambda: w.eva.user_id, "capsule": lambda: w.capsule.rpartition("/")[2],
             "channel": lambda: w.channel["id"], "apiKey": lambda: unknown_id("key"), "host": lambda: w.hosts.announce()["host"]["id"],
             "snapshot": lambda: unique("nosuch"), "tag": lambda: "tag", "anyTeam": lambda: w.eva.team_id, "provider": lambda: "github"}
    return {n: known[kind]() for n, kind in kinds.items()}


def fillers(op):
    """Path values that are well-formed; nobody has them."""
    others = {"snapshot": "nosuch", "tag": "tag", "provider": "github"}
    return {n: others.get(op.kind_of(n)) or unknown_id(PREFIXES[op.kind_of(n)]) for n in op.path_names}


def who(w, op):
    if "hostTokenAuth" in op.schemes:
        return w.anyone.but(("X-Host-Token", w.hosts.online()["token"]))
    if op.path.startswith("/v1/admin/"):
        return w.hosts.root
    return w.hosts.owner if op.path.startswith("/v1/hosts/{id}") else w.eva


def body(op):
    """A whole one that fits the contract."""
    return CONTRACT.shapes.make(op.body, True) if op.media == JSON else None


def ask(client, op, target, value):
    if op.websocket:
        try:
            Socket(client.address, target, client.headers).close()
        except Refused as e:
            return e.answer
        raise AssertionError("the WebSocket was opened")
    if op.media and op.media != JSON:
        return client.upload(target, ("path", b"/root/x"), ("file", b"x", "x"))
    return client.ask(op.method, target, value)


def no_credential(w, op):
    target = op.target(fillers(op))
    for headers in [()] + [[bearer(t)] for t in ("nosuch", *forged(w.eva.jwt).values())] + [[("X-API-Key", "nosuch")], [("X-Host-Token", "nosuch")]]:
        fault(ask(w.anyone.but(*headers), op, target, body(op)), 401, "unauthorized")


def key_alone(w, op):
    fault(ask(w.eva.key, op, op.target(fillers(op)), body(op)), 401, "unauthorized")


def malformed(w, op, name):
    kind = op.kind_of(name)
    bad = malformed_ids(PREFIXES[kind]) if kind != "snapshot" else ["-a", ".a", "a b", "é", "a" * 65, "a/b", "a\nb", "_a"]
    client, good = who(w, op), {**fillers(op), **({"id": w.eva.team_id} if kind == "member" else {})}
    for value in bad:
        bad_request(ask(client, op, op.target({**good, name: value}), body(op)))


def too_high(w, op, name):
    """25 digits, but above 2^128: what is no id, or nobody's."""
    client = who(w, op)
    answer = ask(client, op, op.target({**fillers(op), name: PREFIXES[op.kind_of(name)] + "-" + "z" * 25}), body(op))
    if not (answer.status == 204 and op.id in ("deleteAPIKey", "deleteChannel")):
        fault(answer, (400, 403, 404))


def unknown(w, op):
    client, kinds = who(w, op), {op.kind_of(n) for n in op.path_names}
    values = {**fillers(op), **({"id": w.eva.team_id} if "member" in kinds else {})}
    given = {"role": "admin"} if op.id == "updateMemberRole" else body(op)
    answer = ask(client, op, op.target(values), given)
    if op.id in ("deleteAPIKey", "deleteChannel"):
        same(answer.status, 204)
    elif kinds == {"team"} or "hostTokenAuth" in op.schemes:
        fault(answer, 403, "forbidden")
    else:
        not_found(answer)


def no_body(w, op):
    client, target = who(w, op) if op.schemes else w.anyone, op.target(ids(w, op))
    headers = [("Content-Type", op.media + ("; boundary=b" if op.media != JSON else ""))]
    bad_request(client.ask(op.method, target))
    for value in (b"",) if op.media != JSON else (b"", b" ", b"{", b"nonsense", b"[]", b"1", b'"x"', b'{"a": NaN}', b'{"a": "\xff"}'):
        bad_request(client.ask(op.method, target, value, headers))


for operation in CONTRACT.ops:
    if operation.schemes:
        SUITE.add(f"{operation.id}: 401 without a good credential", no_credential, operation)
    if operation.schemes and "apiKeyAuth" not in operation.schemes:
        SUITE.add(f"{operation.id}: 401 with an API key", key_alone, operation)
    for parameter in operation.path_names:
        if operation.kind_of(parameter) in (*PREFIXES, "snapshot"):
            SUITE.add(f"{operation.id}: 400 for a malformed {operation.kind_of(parameter)}", malformed, operation, parameter)
        if operation.kind_of(parameter) in PREFIXES:
            SUITE.add(f"{operation.id}: an id of {operation.kind_of(parameter)} above 2^128", too_high, operation, parameter)
    if {operation.kind_of(n) for n in operation.path_names} & {*PREFIXES, "snapshot"}:
        SUITE.add(f"{operation.id}: what nobody has", unknown, operation)
    if operation.media:
        SUITE.add(f"{operation.id}: 400 without a body", no_body, operation)


# ---- 1: what is no operation ----
@check("routes: an unknown path is 404 in plain text")
def _(w):
    for path in ("/v1/capsules/" + unknown_id("cl") + "/nosuch", "/v1/teams/nosuch/nosuch/nosuch/nosuch", "/v1/api-keys/a/b"):
        answer = w.eva.raw("GET", path)
        same((answer.status, answer.body.decode().strip()), (404, "404 page not found"))
        assert answer.headers["content-type"].startswith("text/plain"), answer.headers


@check("routes: a wrong method is 405 without a body")
def _(w):
    for method, path in (("PUT", "/v1/capsules"), ("DELETE", "/v1/teams"), ("GET", "/v1/auth/login"), ("PATCH", "/v1/channels")):
        answer = w.eva.raw(method, path)
        same((answer.status, answer.body), (405, b""))


@check("routes: a WebSocket's path without the upgrade is 400")
def _(w):
    for tail in ("/exec/stream", "/pty"):
        same(w.eva.raw("GET", w.capsule + tail).status, 400)


@check("order: 404 for the capsule before the state, the state before what is done")
def _(w):
    not_found(w.people[1].post(w.over + "/pause"))
    fault(w.eva.post(w.over + "/exec", {"cmd": "true"}), 409, "invalid_state")
    for tail in ("/exec/stream", "/pty"):
        try:
            Socket(w.eva.address, w.over + tail, w.eva.headers)
        except Refused as e:
            fault(e.answer, 409, "invalid_state")
        else:
            raise AssertionError("the WebSocket of a capsule that is over was opened")


if __name__ == "__main__":
    sys.exit(SUITE.main())
