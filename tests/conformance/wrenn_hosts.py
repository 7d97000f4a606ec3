#!/usr/bin/env python3
"""Wrenn's hosts on a running daemon: announcing, registering, heartbeats, refreshing, tags, removal, and who may do what. TAP.

Digest sections 2.7, 2.9, 3.4. Administrators of the server are made by hand (wrenn_kit.py, Server.make_admin). How to run one check: there.
"""
import functools
import sys
import time
from urllib.parse import quote

from fs_client import same
from wrenn_kit import (HEX64, HIDDEN, WEEK, Carrier, Suite, audit, bad_request, bearer, fault, forged, is_now, jwt_parts, malformed_ids, newest_first,
                       not_found, ok, unique, unknown_id)

ADDRESS = "127.0.0.1:9"  # nobody answers there


class World:
    def __init__(self, server):
        self.server, self.anyone = server, server.anyone

    @functools.cached_property
    def people(self):
        return self.server.signups("Olga", "Alma", "Mira", "Stan", "Root")

    @functools.cached_property
    def root(self):
        """An administrator of the server."""
        return self.server.make_admin(self.people[4])

    def crew(self):
        """Owner, admin and member of a team that may bring hosts."""
        owner = self.people[0].found()
        crew = owner, owner.take_in(self.people[1], "admin"), owner.take_in(self.people[2])
        self.server.allow_byoc(self.root, owner)
        return crew

    @functools.cached_property
    def staff(self):
        return self.crew()

    @property
    def owner(self):
        return self.staff[0]

    @property
    def admin(self):
        return self.staff[1]

    @property
    def member(self):
        return self.staff[2]

    @property
    def stranger(self):
        return self.people[3]

    def announce(self, who=None, **more):
        """A pending host and its token."""
        who = who or self.owner
        return ok(who.post("/v1/hosts", {"type": "byoc", "team_id": who.team_id, **more}), 201)

    def register(self, token, **more):
        return self.anyone.post("/v1/hosts/register", {"token": token, "address": ADDRESS, **more})

    def online(self, who=None):
        """A registered host: {host, token, refresh_token}."""
        return ok(self.register(self.announce(who)["registration_token"]), 201)

    def beat(self, host_id, token):
        return self.anyone.but(*([("X-Host-Token", token)] if token else [])).post(f"/v1/hosts/{host_id}/heartbeat")

    def refresh(self, token):
        return self.anyone.post("/v1/hosts/auth/refresh", {"refresh_token": token})


SUITE = Suite("wrenn_hosts", World)
check = SUITE.check


# ---- POST /v1/hosts ----
@check("create: 201 with a pending host and a token of 64 hex digits, for owner and admins")
def _(w):
    for who in (w.owner, w.admin):
        made = w.announce(who, provider="hetzner", availability_zone="fsn1-dc14")
        host = made["host"]
        same([host[k] for k in ("type", "status", "team_id", "provider", "availability_zone", "created_by")],
             ["byoc", "pending", who.team_id, "hetzner", "fsn1-dc14", who.user_id])
        is_now(host["created_at"])
        assert HEX64.fullmatch(made["registration_token"]), made
        assert not {"address", "last_heartbeat_at", "arch", "cpu_cores"} & set(host), host


@check("create: what was not given is left out")
def _(w):
    host = w.announce()["host"]
    assert not {"provider", "availability_zone", "address", "memory_mb", "disk_gb"} & set(host), host


@check("create: 403 for plain members and for people of other teams")
def _(w):
    for who in (w.member, w.stranger):
        fault(who.post("/v1/hosts", {"type": "byoc", "team_id": w.owner.team_id}), 403, "forbidden")


@check("create: a shared host is for administrators of the server")
def _(w):
    for who in (w.owner, w.admin, w.member, w.stranger):
        fault(who.post("/v1/hosts", {"type": "regular"}), 403, "forbidden")
    host = ok(w.root.post("/v1/hosts", {"type": "regular"}), 201)["host"]
    same((host["type"], host["status"], "team_id" in host), ("regular", "pending", False))
    ok(w.root.delete("/v1/hosts/" + host["id"]), 204)


@check("create: refused for a team that may bring none")
def _(w):
    team = w.people[0].found()
    fault(team.post("/v1/hosts", {"type": "byoc", "team_id": team.team_id}), (400, 403))
    same(ok(team.get("/v1/hosts")), [])


@check("create: 404 for an unknown team, for administrators of the server")
def _(w):
    not_found(w.root.post("/v1/hosts", {"type": "byoc", "team_id": unknown_id("team")}))
    fault(w.owner.post("/v1/hosts", {"type": "byoc", "team_id": unknown_id("team")}), HIDDEN)


for what, body in {"another type": {"type": "nosuch", "team_id": "TEAM"}, "no type": {"team_id": "TEAM"}, "no team": {"type": "byoc"},
                   "an empty team": {"type": "byoc", "team_id": ""}, "no id of a team": {"type": "byoc", "team_id": "nosuch"},
                   "a number as team": {"type": "byoc", "team_id": 1}, "no body": None, "a list": []}.items():
    def refused_create(w, value):
        given = {k: w.owner.team_id if v == "TEAM" else v for k, v in value.items()} if isinstance(value, dict) else value
        bad_request(w.owner.post("/v1/hosts", given))
    SUITE.add(f"create: 400 for {what}", refused_create, body)


# ---- GET ----
@check("list: the hosts of the own team, newest first, for every role")
def _(w):
    owner, admin, member = w.crew()
    same(ok(owner.get("/v1/hosts")), [])
    made = [w.announce(owner)["host"]["id"] for _ in range(3)]
    for who in (owner, admin, member):
        rows = ok(who.get("/v1/hosts"))
        same([r["id"] for r in rows], made[::-1])
        newest_first(rows)
    assert not {r["id"] for r in ok(w.stranger.get("/v1/hosts"))} & set(made)
    assert set(made) <= {r["id"] for r in ok(w.root.get("/v1/hosts"))}, "an administrator sees all"


@check("list: shows no token")
def _(w):
    made = w.online()
    text = w.owner.get("/v1/hosts").body + w.owner.get("/v1/hosts/" + made["host"]["id"]).body
    assert not any(made[k].encode() in text for k in ("token", "refresh_token"))


@check("get: 200 for every role of the team and for administrators")
def _(w):
    host = w.announce(provider="own")["host"]
    for who in (w.owner, w.admin, w.member, w.root):
        got = ok(who.get("/v1/hosts/" + host["id"]))
        same({k: v for k, v in got.items() if k != "team_name"}, {k: v for k, v in host.items() if k != "team_name"})


@check("get: 404 for an unknown, a foreign and a shared host")
def _(w):
    shared = ok(w.root.post("/v1/hosts", {"type": "regular"}), 201)["host"]["id"]
    for who, host in ((w.owner, unknown_id("host")), (w.root, unknown_id("host")), (w.stranger, w.announce()["host"]["id"]), (w.owner, shared)):
        not_found(who.get("/v1/hosts/" + host))


EVERY = [("GET", "", None), ("DELETE", "", None), ("GET", "/delete-preview", None), ("POST", "/token", None), ("GET", "/tags", None),
         ("POST", "/tags", {"tag": "x"}), ("DELETE", "/tags/x", None)]
for method, tail, body in EVERY:
    def bad_ids(w, verb, rest, value):
        for bad in malformed_ids("host") + [unknown_id("cl")]:
            bad_request(w.owner.ask(verb, f"/v1/hosts/{quote(bad)}{rest}", value))

    def unknown_ids(w, verb, rest, value):
        for who in (w.owner, w.root):
            not_found(who.ask(verb, f"/v1/hosts/{unknown_id('host')}{rest}", value))

    def foreign_ids(w, verb, rest, value):
        made = w.announce()["host"]["id"]
        fault(w.stranger.ask(verb, f"/v1/hosts/{made}{rest}", value), HIDDEN)
        same(ok(w.owner.get(f"/v1/hosts/{made}"))["status"], "pending")
        same(ok(w.owner.get(f"/v1/hosts/{made}/tags")), [])
    words = f"{method} {tail or 'a host'}"
    SUITE.add(f"ids: {words}: 400 for what is no id", bad_ids, method, tail, body)
    SUITE.add(f"ids: {words}: 404 for an unknown one", unknown_ids, method, tail, body)
    SUITE.add(f"ids: {words}: 403 or 404 for a foreign one", foreign_ids, method, tail, body)


# ---- POST .../token ----
@check("token: 201 with another token while the host is pending; the first one stays good")
def _(w):
    first = w.announce()
    host = first["host"]["id"]
    second = ok(w.admin.post(f"/v1/hosts/{host}/token"), 201)
    same((second["host"]["id"], second["host"]["status"]), (host, "pending"))
    assert HEX64.fullmatch(second["registration_token"]) and second["registration_token"] != first["registration_token"]
    same(ok(w.register(first["registration_token"]), 201)["host"]["id"], host)
    fault(w.register(second["registration_token"]), (401, 404))


@check("token: the new one registers the host")
def _(w):
    host = w.announce()["host"]["id"]
    token = ok(w.owner.post(f"/v1/hosts/{host}/token"), 201)["registration_token"]
    same(ok(w.register(token), 201)["host"]["id"], host)


@check("token: 403 for plain members")
def _(w):
    fault(w.member.post(f"/v1/hosts/{w.announce()['host']['id']}/token"), 403, "forbidden")


@check("token: 409 or 400 once the host is not pending")
def _(w):
    fault(w.owner.post(f"/v1/hosts/{w.online()['host']['id']}/token"), (400, 409))


# ---- POST /v1/hosts/register ----
@check("register: 201 with an online host, a host token and a refresh token")
def _(w):
    made = w.announce()
    answer = ok(w.register(made["registration_token"], arch="x86_64", cpu_cores=8, memory_mb=32768, disk_gb=500), 201)
    host = answer["host"]
    same([host[k] for k in ("id", "status", "address", "arch", "cpu_cores", "memory_mb", "disk_gb", "team_id")],
         [made["host"]["id"], "online", ADDRESS, "x86_64", 8, 32768, 500, w.owner.team_id])
    is_now(host["last_heartbeat_at"])
    assert HEX64.fullmatch(answer["refresh_token"]), answer
    seen = ok(w.owner.get("/v1/hosts/" + host["id"]))
    same((seen["status"], seen["address"], seen["cpu_cores"]), ("online", ADDRESS, 8))


@check("register: the host token is an HS256 token of type host, good for seven days")
def _(w):
    made = w.online()
    _, claims = jwt_parts(made["token"])
    same([claims[k] for k in ("typ", "host_id", "sub")], ["host", made["host"]["id"], made["host"]["id"]])
    same(claims["exp"] - claims["iat"], WEEK)
    assert abs(time.time() - claims["iat"]) < 10, claims


@check("register: a token works once")
def _(w):
    token = w.announce()["registration_token"]
    ok(w.register(token), 201)
    fault(w.register(token), 401, "unauthorized")


@check("register: 401 for an unknown token")
def _(w):
    for token in ("0" * 64, "nosuch", w.owner.jwt):
        fault(w.register(token), 401, "unauthorized")


@check("register: a token is not spent by a request that is refused")
def _(w):
    token = w.announce()["registration_token"]
    bad_request(w.anyone.post("/v1/hosts/register", {"token": token}))
    ok(w.register(token), 201)


@check("register: 401 or 404 once the host is removed")
def _(w):
    made = w.announce()
    ok(w.owner.delete("/v1/hosts/" + made["host"]["id"]), 204)
    fault(w.register(made["registration_token"]), (401, 404))


for what, body in {"no token": {"address": ADDRESS}, "no address": {"token": "0" * 64}, "an empty token": {"token": "", "address": ADDRESS},
                   "an empty address": {"token": "0" * 64, "address": ""},
                   "text for cores": {"token": "0" * 64, "address": ADDRESS, "cpu_cores": "8"},
                   "no body": None}.items():
    SUITE.add(f"register: 400 for {what}", lambda w, value: bad_request(w.anyone.post("/v1/hosts/register", value)), body)


# ---- POST .../heartbeat ----
@check("heartbeat: 204, again and again")
def _(w):
    made = w.online()
    for _ in range(3):
        ok(w.beat(made["host"]["id"], made["token"]), 204)
    got = ok(w.owner.get("/v1/hosts/" + made["host"]["id"]))
    same(got["status"], "online")
    is_now(got["last_heartbeat_at"])


@check("heartbeat: 401 without a token, with a forged one and with one of another kind")
def _(w):
    made = w.online()
    for token in (None, "nosuch", w.owner.jwt, made["refresh_token"], w.owner.made_key["key"], *forged(made["token"]).values()):
        fault(w.beat(made["host"]["id"], token), 401, "unauthorized")
    for header in (bearer(made["token"]), bearer(w.owner.jwt), ("X-API-Key", w.owner.made_key["key"])):
        fault(w.anyone.but(header).post(f"/v1/hosts/{made['host']['id']}/heartbeat"), 401, "unauthorized")


@check("heartbeat: 403 for another host, even one of the same team")
def _(w):
    one, two = w.online(), w.online()
    fault(w.beat(two["host"]["id"], one["token"]), 403, "forbidden")
    fault(w.beat(unknown_id("host"), one["token"]), 403, "forbidden")


@check("heartbeat: 400 for what is no id of a host")
def _(w):
    token = w.online()["token"]
    for bad in malformed_ids("host"):
        bad_request(w.beat(quote(bad), token))


@check("heartbeat: 404 once the host is removed")
def _(w):
    made = w.online()
    ok(w.owner.delete("/v1/hosts/" + made["host"]["id"]), 204)
    not_found(w.beat(made["host"]["id"], made["token"]))


@check("heartbeat: a host token opens nothing else")
def _(w):
    made = w.online()
    for header in (bearer(made["token"]), ("X-Host-Token", made["token"]), ("X-API-Key", made["token"])):
        for path in ("/v1/hosts", "/v1/hosts/" + made["host"]["id"], "/v1/capsules", "/v1/teams", "/v1/api-keys", "/v1/channels"):
            fault(w.anyone.but(header).get(path), 401, "unauthorized")


# ---- POST /v1/hosts/auth/refresh ----
@check("refresh: 200 with new credentials; those of before stay good for heartbeats")
def _(w):
    made = w.online()
    fresh = ok(w.refresh(made["refresh_token"]))
    same(fresh["host"]["id"], made["host"]["id"])
    assert HEX64.fullmatch(fresh["refresh_token"]) and fresh["refresh_token"] != made["refresh_token"]
    same(jwt_parts(fresh["token"])[1]["host_id"], made["host"]["id"])
    for token in (fresh["token"], made["token"]):
        ok(w.beat(made["host"]["id"], token), 204)
    again = ok(w.refresh(fresh["refresh_token"]))
    same(len({made["refresh_token"], fresh["refresh_token"], again["refresh_token"]}), 3)


@check("refresh: a used token is 401, and takes the newer ones with it")
def _(w):
    made = w.online()
    fresh = ok(w.refresh(made["refresh_token"]))
    fault(w.refresh(made["refresh_token"]), 401, "unauthorized")
    fault(w.refresh(fresh["refresh_token"]), 401, "unauthorized")


@check("refresh: reuse for one host leaves the others alone")
def _(w):
    one, two = w.online(), w.online()
    ok(w.refresh(one["refresh_token"]))
    fault(w.refresh(one["refresh_token"]), 401, "unauthorized")
    ok(w.refresh(two["refresh_token"]))


@check("refresh: 401 for an unknown token and one of another kind")
def _(w):
    made = w.announce()
    for token in ("0" * 64, "nosuch", made["registration_token"], w.online()["token"], w.owner.jwt):
        fault(w.refresh(token), 401, "unauthorized")


@check("refresh: 400 without a token")
def _(w):
    for body in ({}, {"refresh_token": ""}, {"refresh_token": 1}, None):
        bad_request(w.anyone.post("/v1/hosts/auth/refresh", body))


@check("refresh: 401 once the host is removed")
def _(w):
    made = w.online()
    ok(w.owner.delete("/v1/hosts/" + made["host"]["id"]), 204)
    fault(w.refresh(made["refresh_token"]), 401, "unauthorized")


# ---- tags ----
@check("tags: an empty list, then sorted and without doubles; any role may")
def _(w):
    path = f"/v1/hosts/{w.announce()['host']['id']}/tags"
    same(ok(w.member.get(path)), [])
    for who, tag in ((w.member, "zone/b"), (w.admin, "gpu"), (w.owner, "gpu"), (w.owner, "late")):
        ok(who.post(path, {"tag": tag}), 204)
    same(ok(w.member.get(path)), ["gpu", "late", "zone/b"])
    for tag in ("zone/b", "zone/b", "nosuch"):
        ok(w.member.delete(f"{path}/{quote(tag, safe='')}"), 204)
    same(ok(w.root.get(path)), ["gpu", "late"])


@check("tags: 400 for an empty one and for none")
def _(w):
    path = f"/v1/hosts/{w.announce()['host']['id']}/tags"
    for body in ({"tag": ""}, {}, None, {"tag": 1}):
        bad_request(w.owner.post(path, body))
    same(ok(w.owner.get(path)), [])


@check("tags: they belong to one host")
def _(w):
    one, two = (w.announce()["host"]["id"] for _ in range(2))
    ok(w.owner.post(f"/v1/hosts/{one}/tags", {"tag": "mine"}), 204)
    same(ok(w.owner.get(f"/v1/hosts/{two}/tags")), [])
    ok(w.owner.delete(f"/v1/hosts/{two}/tags/mine"), 204)
    same(ok(w.owner.get(f"/v1/hosts/{one}/tags")), ["mine"])


# ---- removal ----
@check("preview: 200 with the host and no capsules, for every role; nothing changes")
def _(w):
    host = w.announce()["host"]
    for who in (w.owner, w.admin, w.member, w.root):
        got = ok(who.get(f"/v1/hosts/{host['id']}/delete-preview"))
        same((got["host"]["id"], got["sandbox_ids"]), (host["id"], []))
    same(ok(w.owner.get("/v1/hosts/" + host["id"]))["status"], "pending")


@check("preview: 403 for a shared host")
def _(w):
    shared = ok(w.root.post("/v1/hosts", {"type": "regular"}), 201)["host"]["id"]
    fault(w.owner.get(f"/v1/hosts/{shared}/delete-preview"), 403, "forbidden")
    fault(w.owner.delete(f"/v1/hosts/{shared}"), 403, "forbidden")
    ok(w.root.get(f"/v1/hosts/{shared}/delete-preview"))


@check("delete: owner, admins and administrators may, members not")
def _(w):
    for who in (w.owner, w.admin, w.root):
        host = w.online()["host"]["id"]
        fault(w.member.delete("/v1/hosts/" + host), 403, "forbidden")
        ok(w.owner.get("/v1/hosts/" + host))
        ok(who.delete("/v1/hosts/" + host), 204)
        for method, tail, body in EVERY:
            not_found(w.owner.ask(method, f"/v1/hosts/{host}{tail}", body))
        assert host not in [h["id"] for h in ok(w.owner.get("/v1/hosts"))]


@check("delete: ?force=true is fine for an idle host, another value is 400")
def _(w):
    host = w.online()["host"]["id"]
    bad_request(w.owner.delete(f"/v1/hosts/{host}?force=perhaps"))
    ok(w.owner.delete(f"/v1/hosts/{host}?force=true"), 204)


def busy_host(w):
    """A host with a capsule on it: (who may remove it, host, capsule)."""
    w.server.image()
    owner = w.crew()[0]
    carrier = Carrier(owner, type="byoc", team_id=owner.team_id)
    return owner, carrier.id, ok(owner.post("/v1/capsules", {}), 201)["id"]


@check("delete: 409 has_active_sandboxes with the capsules, in the error and beside it")
def _(w):
    who, host, capsule = busy_host(w)
    answer = who.delete("/v1/hosts/" + host)
    error = fault(answer, 409, "has_active_sandboxes")
    assert capsule in error["sandbox_ids"], answer
    same(answer.json["sandbox_ids"], error["sandbox_ids"])
    same(sorted(ok(who.get(f"/v1/hosts/{host}/delete-preview"))["sandbox_ids"]), sorted(error["sandbox_ids"]))
    assert ok(who.get("/v1/capsules/" + capsule))["status"] in ("running", "pending", "starting")


# ---- the log ----
@check("log: create and delete, for owner and admins only")
def _(w):
    owner, admin, member = w.crew()
    host = w.announce(admin)["host"]["id"]
    ok(owner.delete("/v1/hosts/" + host), 204)
    for action, status, actor in (("create", "success", admin), ("delete", "warning", owner)):
        row = audit(owner, "host", action, status=status, scope="admin", resource_id=host)
        same((row["actor_type"], row["actor_id"]), ("user", actor.user_id))
    same(ok(member.get("/v1/audit-logs?resource_type=host"))["items"], [])


@check("log: tokens do not stand in it")
def _(w):
    owner = w.crew()[0]
    made = w.announce(owner, provider=unique("p"))
    ok(w.register(made["registration_token"]), 201)
    text = owner.get("/v1/audit-logs?limit=200").body
    assert made["host"]["id"].encode() in text and made["registration_token"].encode() not in text


if __name__ == "__main__":
    sys.exit(SUITE.main())
