#!/usr/bin/env python3
"""No team reaches what another has: worked out from every operation of shared/specs/wrenn.yaml, on a running daemon. TAP.

Two teams, each with one of everything. For each operation that names a thing of a team, in its path or its body, the second team asks for
things of the first, with its token and, where one is taken, its API key. The answer must be 403 or 404 (or a 204 that did nothing), with
nothing of the first team's in it, and all that the first team sees must be as it was. Then the first team asks the same and succeeds, so
that it was for no other reason that the second failed. An operation, a parameter or a member of a body that is not sorted below fails the
check `all: ...`. How to run one check: wrenn_kit.py.
"""
import functools
import itertools
import json
import sys

from fs_client import same
from wrenn_kit import CONTRACT, HIDDEN, Refused, Socket, Suite, fault, not_found, ok, unique

# ---- what is what ----
# Parameters, called as the contract's components are, that name a thing of a team.
NAMING = {"apiKey", "team", "member", "capsule", "snapshot", "host", "channel"}
PLAIN = {"provider", "tag", "anyTeam"}  # parameters that do not: a service, a word below a host, a team for the administrator
NAMING_MEMBERS = {"team_id": "team", "sandbox_id": "capsule", "template": "snapshot"}  # members of bodies, and which kind they name
PLAIN_MEMBERS = set("email password name role vcpus memory_mb timeout_sec cmd args background tag envs cwd path file depth type provider "
                    "availability_zone token arch cpu_cores disk_gb address refresh_token config events enabled".split())
PLAIN_QUERY = set("code state error email range overwrite type force from to before before_id limit resource_type action signal".split())
# Operations that name nothing of a team, and why nobody can reach another's through them.
OWN = {"signup": "makes an account", "login": "opens an account by its password", "oauthRedirect": "before any team",
       "oauthCallback": "before any team",
       "searchUsers": "finds all people of the server, and is meant to", "createAPIKey": "for the token's own team", "createTeam": "a new team",
       "registerHost": "the token in the body is the credential", "refreshHostToken": "the token in the body is the credential",
       "createChannel": "for the token's own team", "testChannel": "keeps nothing",
       "getMe": "the asker himself", "setTeamByoc": "for administrators of the server alone", "listAuditLogs": "of the token's own team; see 'the log'",
       "getCapsuleUsage": "sums of the token's own team"}
LISTS = ["listAPIKeys", "listTeams", "listCapsules", "getCapsuleStats", "listSnapshots", "listHosts", "listChannels"]
IDEMPOTENT = {"deleteAPIKey", "deleteChannel"}  # 204 whatever the id is
LAST = ["removeHostTag", "leaveTeam", "removeTeamMember", "deleteAPIKey", "deleteChannel", "deleteSnapshot", "destroyCapsule", "deleteHost",
        "deleteTeam"]  # what ends something is asked by the owner last, in this order
HOOK = {"url": "https://hook.example.org/hook"}


def slots(op):
    """(name, kind) of what names a thing of a team; members of the body begin with a dot."""
    path = [(n, op.kind_of(n)) for n in op.path_names if op.kind_of(n) in NAMING]
    return path + [("." + n, NAMING_MEMBERS[n]) for n in op.properties() if n in NAMING_MEMBERS]


FOREIGN = [op for op in CONTRACT.ops if slots(op)]
ORDER = sorted(FOREIGN, key=lambda op: LAST.index(op.id) if op.id in LAST else -1)


class Side:
    """A team with people, keys and channels; then capsules or hosts. words: what nobody else may see."""

    def __init__(self, owner, member):
        self.owner, self.person = owner.found(unique("Team of " + owner.name)), member
        self.member, self.key = self.owner.take_in(member), self.owner.key
        self.spare = ok(self.owner.post("/v1/api-keys", {"name": unique("spare")}), 201)
        self.channel = ok(self.owner.post("/v1/channels", {"name": unique("channel"), "provider": "webhook", "events": ["capsule.created"],
                                                           "config": {"url": "https://hook.example.org/" + unique("hook")}}), 201)
        self.ids = {"apiKey": self.spare["id"], "team": self.owner.team_id, "member": member.user_id, "channel": self.channel["id"]}
        team = ok(self.owner.get(self.owner.team))["team"]
        self.words = [*self.ids.values(), owner.user_id, owner.email, member.email, team["name"], team["slug"], self.owner.made_key["id"],
                      self.owner.made_key["key"], self.channel["name"], self.channel["secret"],
                      *(self.spare[k] for k in ("name", "key", "key_prefix"))]
        self.paths = ["/v1/api-keys", "/v1/teams", self.owner.team, self.owner.team + "/members", "/v1/channels",
                      "/v1/channels/" + self.channel["id"], "/v1/capsules", "/v1/snapshots", "/v1/hosts"]

    def seen(self):
        """All that the owner sees. No files: reading them might count as a use of the capsule."""
        out = {path: ok(self.owner.get(path)) for path in self.paths}
        out["the log"] = [r["id"] for r in ok(self.owner.get("/v1/audit-logs?limit=200"))["items"]]
        return out

    @property
    def files(self):
        return f"/v1/capsules/{self.ids['capsule']}/files"


class Capsules(Side):
    """With a running capsule that has a file, and a template."""

    def __init__(self, owner, member):
        super().__init__(owner, member)
        capsule = ok(self.key.post("/v1/capsules", {"timeout_sec": 3600}), 201)["id"]
        name, self.private = unique("template"), "/root/" + unique("private")
        self.ids.update(capsule=capsule, snapshot=name)
        ok(self.key.upload(self.files + "/write", ("path", self.private.encode()), ("file", b"private", "f")), 204)
        ok(self.key.post("/v1/snapshots", {"sandbox_id": capsule, "name": name}), 201)
        ok(self.key.post(f"/v1/capsules/{capsule}/resume"))
        self.words += [capsule, name, self.private]
        self.paths.append("/v1/capsules/" + capsule)


class Hosts(Side):
    """With a host that is pending, and one that is online."""

    def __init__(self, owner, member, allow):
        super().__init__(owner, member)
        allow(self.owner)
        announce = {"type": "byoc", "team_id": self.owner.team_id, "provider": unique("provider")}
        pending, other = (ok(self.owner.post("/v1/hosts", announce), 201) for _ in range(2))
        self.online = ok(self.owner.but().post("/v1/hosts/register", {"token": other["registration_token"], "address": "127.0.0.1:9"}), 201)
        self.reporter = self.owner.but(("X-Host-Token", self.online["token"]))
        self.ids["host"] = pending["host"]["id"]
        ok(self.owner.post(f"/v1/hosts/{self.ids['host']}/tags", {"tag": "tag"}), 204)
        self.words += [pending["host"]["id"], self.online["host"]["id"], announce["provider"], pending["registration_token"], self.online["token"]]
        for host in (self.ids["host"], self.online["host"]["id"]):
            self.paths += [f"/v1/hosts/{host}{tail}" for tail in ("", "/tags", "/delete-preview")]


class World:
    def __init__(self, server):
        self.server = server

    @functools.cached_property
    def people(self):
        return self.server.signups("Onno", "Otto", "Fred", "Fritz", "Gast", "Root")

    @functools.cached_property
    def capsules(self):
        self.server.image()
        return Capsules(*self.people[:2]), Capsules(*self.people[2:4])

    @functools.cached_property
    def hosts(self):
        """In teams of their own: a team that brings hosts has its capsules there alone."""
        root = self.server.make_admin(self.people[5])
        allow = functools.partial(self.server.allow_byoc, root)
        return Hosts(*self.people[:2], allow), Hosts(*self.people[2:4], allow)

    def sides(self, op):
        """First who has the things, then who wants them."""
        return self.hosts if op.path.startswith("/v1/hosts") else self.capsules


SUITE = Suite("wrenn_tenants", World)
check = SUITE.check


# ---- all is sorted ----
@check("all: every operation is sorted here")
def _(_):
    sorted_here = {op.id for op in FOREIGN} | set(OWN) | set(LISTS)
    same({op.id for op in CONTRACT.ops} - sorted_here, set())
    same(sorted_here - {op.id for op in CONTRACT.ops}, set())
    same({op.id for op in FOREIGN} & (set(OWN) | set(LISTS)), set())


@check("all: every parameter and member of a body is sorted here")
def _(_):
    for op in CONTRACT.ops:
        same((op.id, {op.kind_of(n) for n in op.path_names} - NAMING - PLAIN), (op.id, set()))
        same((op.id, set(op.properties()) - set(NAMING_MEMBERS) - PLAIN_MEMBERS), (op.id, set()))
        same((op.id, {p["name"] for p in op.parameters if p["in"] == "query"} - PLAIN_QUERY), (op.id, set()))


@check("all: no operation but those for logins and hosts goes without a credential")
def _(_):
    same({op.id for op in CONTRACT.ops if not op.schemes}, {"signup", "login", "oauthRedirect", "oauthCallback", "registerHost", "refreshHostToken"})


# ---- requests ----
def request(op, ids, values):
    """(target, body): the least that makes sense. ids: slot -> value; values: members of the body."""
    path = {n: ids.get(n) or {"tag": "tag", "selector": "1", "provider": "github"}.get(n) for n in op.path_names}
    target = op.target(path)
    if op.body is None:
        return target, None
    named = {n[1:]: v for n, v in ids.items() if n.startswith(".")}
    required = {m for row in CONTRACT.shapes.rows(op.body) for m in row.get("required", [])}
    body = {**CONTRACT.shapes.make(op.body, False), **{m: v for m, v in values.items() if m in required}, **named}
    return target, body


def ask(client, op, target, body, query=""):
    """The answer; for a WebSocket what refused it, or None when it was opened."""
    if op.websocket:
        try:
            Socket(client.address, target + query, client.headers).close()
        except Refused as e:
            return e.answer
        return None
    if op.media and op.media.startswith("multipart/"):
        return client.upload(target, ("path", body["path"].encode()), ("file", b"of another", "f"))
    return client.ask(op.method, target, body)


def values(op, side, email):
    new = "/root/" + unique("new")
    paths = {"makeDir": new, "listDir": "/root", "uploadFile": new, "streamUploadFile": new}
    return {"email": email, "name": unique("name"), "role": "admin", "cmd": "true", "path": paths.get(op.id, getattr(side, "private", "/root")),
            "type": "byoc", "tag": "other", "config": HOOK, "events": ["host.down"], "provider": "webhook"}


def leaks(answer, words, sent):
    """Words in the answer that the request did not bring itself."""
    text = answer.body.decode("utf-8", "replace") + json.dumps(answer.headers)
    return [word for word in words if word in text and word not in sent]


def mixes(op, mine, theirs):
    """Ids for the request: all that is named belongs to the other team, or some of it."""
    named = slots(op)
    for n in range(len(named), 0, -1):
        for chosen in itertools.combinations(named, n):
            yield {name: (theirs if (name, kind) in chosen else mine).ids[kind] for name, kind in named}


# ---- lists, before the other team has asked for anything: its own log says what it asked for ----
def listed(w, op):
    theirs, mine = w.sides(op)
    kind = {"listAPIKeys": "apiKey", "listTeams": "team", "listCapsules": "capsule", "listSnapshots": "snapshot", "listHosts": "host",
            "listChannels": "channel"}.get(op.id)
    clients = [mine.owner, mine.member] + ([mine.key] if "apiKeyAuth" in op.schemes else [])
    for client in clients:
        answer = client.get(op.path)
        rows = ok(answer)
        same(leaks(answer, theirs.words, ""), [])
        if kind:
            assert mine.ids[kind] in answer.body.decode(), f"not even one's own: {answer}"
            same([row["id"] for row in rows if "team_id" in row and row["team_id"] != mine.owner.team_id], [])
        else:
            running = [c for c in ok(mine.owner.get("/v1/capsules")) if c["status"] == "running"]
            same(rows["current"]["running_count"], len(running))


for name in LISTS:
    SUITE.add(f"list: {name}", listed, CONTRACT.by_id[name])


@check("list: the log")
def _(w):
    for theirs, mine in (w.capsules, w.capsules[::-1]):
        answer = mine.owner.get("/v1/audit-logs?limit=200")
        assert ok(answer)["items"] and mine.ids["channel"] in answer.body.decode(), answer
        same(leaks(answer, theirs.words, ""), [])


# ---- the other team asks ----
def attack(w, op):
    theirs, mine = w.sides(op)
    before = theirs.seen()
    for ids in mixes(op, mine, theirs):
        target, body = request(op, ids, {**values(op, theirs, mine.owner.email), "path": getattr(theirs, "private", "/root")})
        sent = target + json.dumps(body)
        if "hostTokenAuth" in op.schemes:
            answers = [ask(mine.reporter, op, target, body)]
            for client in (mine.owner, mine.key):
                fault(ask(client, op, target, body), 401, "unauthorized")
        else:
            answers = [ask(client, op, target, body) for client in (mine.owner, mine.member)]
            if "apiKeyAuth" in op.schemes:
                answers.append(ask(mine.key, op, target, body))
            else:
                fault(ask(mine.key, op, target, body), 401, "unauthorized")
        if op.websocket:
            answers.append(ask(mine.owner.but(), op, target, body, "?token=" + mine.owner.jwt))
        for answer in answers:
            assert answer is not None, "the WebSocket was opened"
            if not (op.id in IDEMPOTENT and answer.status == 204):
                fault(answer, HIDDEN)
            found = leaks(answer, theirs.words, sent)
            assert not found, f"{found} in {answer}"
    after = theirs.seen()
    for what, value in before.items():
        assert after[what] == value, f"{what} was {value} and is {after[what]}"


for operation in FOREIGN:
    SUITE.add(f"foreign: {operation.id}", attack, operation)


@check("foreign: files are as they were")
def _(w):
    theirs, mine = w.capsules
    for op in FOREIGN:
        if "/files/" in op.path:
            target, body = request(op, {"id": theirs.ids["capsule"]}, {**values(op, theirs, ""), "path": theirs.private})
            fault(ask(mine.owner, op, target, body), HIDDEN)
    names = [e["name"] for e in ok(theirs.owner.post(theirs.files + "/list", {"path": "/root"}))["entries"] if not e["name"].startswith(".")]
    same(names, [theirs.private.rpartition("/")[2]])
    same(theirs.owner.post(theirs.files + "/read", {"path": theirs.private}).body, b"private")


@check("foreign: commands of one team do not see another's capsule")
def _(w):
    theirs, mine = w.capsules
    out = ok(mine.owner.post(f"/v1/capsules/{mine.ids['capsule']}/exec", {"cmd": "sh", "args": ["-c", "ls -a /root; hostname; env; ps w"]}))
    found = [word for word in theirs.words if word in out["stdout"] + out["stderr"]]
    same(found, [])


@check("foreign: a template of the same name is another one, also with overwrite")
def _(w):
    theirs, mine = w.capsules
    mark = "/root/" + unique("mine")
    own = ok(mine.owner.post("/v1/capsules", {}), 201)["id"]
    ok(mine.owner.upload(f"/v1/capsules/{own}/files/write", ("path", mark.encode()), ("file", b"mine", "f")), 204)
    before = [t for t in ok(theirs.owner.get("/v1/snapshots")) if t["name"] == theirs.ids["snapshot"]]
    ok(mine.owner.post("/v1/snapshots?overwrite=true", {"sandbox_id": own, "name": theirs.ids["snapshot"]}), 201)
    same([t for t in ok(theirs.owner.get("/v1/snapshots")) if t["name"] == theirs.ids["snapshot"]], before)
    started = ok(theirs.owner.post("/v1/capsules", {"template": theirs.ids["snapshot"]}), 201)["id"]
    names = [e["path"] for e in ok(theirs.owner.post(f"/v1/capsules/{started}/files/list", {"path": "/root"}))["entries"]]
    assert theirs.private in names and mark not in names, names
    ok(mine.owner.delete("/v1/snapshots/" + theirs.ids["snapshot"]), 204)
    same([t for t in ok(theirs.owner.get("/v1/snapshots")) if t["name"] == theirs.ids["snapshot"]], before)
    not_found(mine.owner.post("/v1/capsules", {"template": theirs.ids["snapshot"]}))
    for who, capsule in ((mine, own), (theirs, started)):
        ok(who.owner.delete("/v1/capsules/" + capsule), 204)


# ---- the owner asks the same ----
def control(w, op):
    side = w.sides(op)[0]
    guest, values_of = w.people[4], values(op, side, w.people[4].email)
    ids = {name: side.ids[kind] for name, kind in slots(op)}
    client = side.owner
    if op.id in ("leaveTeam", "removeTeamMember"):
        if guest.user_id not in [m["user_id"] for m in ok(side.owner.get(side.owner.team + "/members"))]:
            ok(side.owner.post(side.owner.team + "/members", {"email": guest.email}), 201)
        ids = {k: guest.user_id if k == "uid" else v for k, v in ids.items()}
        client = guest.switch(side.owner.team_id) if op.id == "leaveTeam" else client
    if op.id == "hostHeartbeat":
        client, ids = side.reporter, {"id": side.online["host"]["id"]}
    if op.path.startswith("/v1/capsules/{id}") and op.id not in LAST:
        status = ok(side.owner.get("/v1/capsules/" + side.ids["capsule"]))["status"]
        if op.id == "resumeCapsule" and status == "running":
            ok(side.owner.post(f"/v1/capsules/{side.ids['capsule']}/pause"))
        elif op.id != "resumeCapsule" and status == "paused":
            ok(side.owner.post(f"/v1/capsules/{side.ids['capsule']}/resume"))
    if "selector" in op.path_names:  # a process that is there
        tag = ok(client.post(f"/v1/capsules/{ids['id']}/exec", {"cmd": "/bin/sleep", "args": ["60"], "background": True}), 202)["tag"]
        ids = {**ids, "selector": tag}
    answer = ask(client, op, *request(op, ids, values_of))
    assert answer is None if op.websocket else answer.status in (200, 201, 204), f"not even for the owner: {answer}"
    if op.id == "createCapsule":
        ok(client.delete("/v1/capsules/" + answer.json["id"]), 204)


for operation in ORDER:
    SUITE.add(f"owner: {operation.id}", control, operation)


if __name__ == "__main__":
    sys.exit(SUITE.main())
