#!/usr/bin/env python3
"""Wrenn's notification channels on a running daemon, as records: validation, names, secrets, changes, removal. TAP.

Digest sections 2.8 and the record side of 8; nothing is delivered to anybody but one closed port. How to run one check: wrenn_kit.py.
"""
import functools
import sys
from urllib.parse import quote

from fs_client import same
from wrenn_kit import (HEX64, HIDDEN, Suite, audit, bad_request, fault, is_now, malformed_ids, newest_first, not_found, ok, unique, unknown_id)

EVENTS = ["capsule.created", "capsule.running", "capsule.paused", "capsule.destroyed", "template.snapshot.created", "template.snapshot.deleted",
          "host.up", "host.down"]
CONFIGS = {name: {"webhook_url": "https://chat.example.org/secret-webhook-url"} for name in ("discord", "slack", "teams", "googlechat")} | {
    "telegram": {"bot_token": "123:secret-bot-token", "chat_id": "-100secretchat"},
    "matrix": {"homeserver_url": "https://secret-matrix.example.org", "access_token": "secret-access-token", "room_id": "!secret-room:example.org"},
    "webhook": {"url": "https://hook.example.org/secret-hook-url"}}
WORDS = [value for config in CONFIGS.values() for value in config.values()]


class World:
    def __init__(self, server):
        self.server = server

    @functools.cached_property
    def people(self):
        return self.server.signups("Ida", "Max", "Zoe")

    @property
    def ida(self):
        return self.people[0]

    @property
    def zoe(self):
        """A stranger."""
        return self.people[2]

    @functools.cached_property
    def member(self):
        return self.ida.take_in(self.people[1])

    def ask(self, who=None, **more):
        body = {"name": unique("ch"), "provider": "webhook", "config": CONFIGS["webhook"], "events": ["capsule.created"], **more}
        return (who or self.ida).post("/v1/channels", {k: v for k, v in body.items() if v is not ...})

    def made(self, who=None, **more):
        return ok(self.ask(who, **more), 201)


SUITE = Suite("wrenn_channels", World)
check = SUITE.check


# ---- create ----
for provider, config in CONFIGS.items():
    def create(w, kind, given):
        name = unique(kind)
        made = w.made(name=name, provider=kind, config={**given, "extra": "kept-secret"}, events=EVENTS)
        same((made["name"], made["provider"], made["events"], made["team_id"]), (name, kind, EVENTS, w.ida.team_id))
        is_now(made["created_at"])
        same(made["updated_at"], made["created_at"])
        same("secret" in made, kind == "webhook")
        answer = w.ida.get("/v1/channels/" + made["id"])
        same(ok(answer), {k: v for k, v in made.items() if k != "secret"})
    SUITE.add(f"create: 201 for {provider}", create, provider, config)

    for missing in [k for k in config if provider != "webhook" or k == "url"]:
        def incomplete(w, kind, given, name):
            for value in (..., ""):
                broken = {k: (value if k == name else v) for k, v in given.items()}
                bad_request(w.ask(provider=kind, config={k: v for k, v in broken.items() if v is not ...}))
        SUITE.add(f"create: 400 for {provider} without {missing}", incomplete, provider, config, missing)


@check("create: a webhook without a secret gets one of 64 hex digits, of its own")
def _(w):
    secrets = [w.made()["secret"], w.made(config={**CONFIGS["webhook"], "secret": ""})["secret"]]
    assert all(HEX64.fullmatch(s) for s in secrets) and secrets[0] != secrets[1], secrets


@check("create: a webhook's own secret is sent back once")
def _(w):
    made = w.made(config={**CONFIGS["webhook"], "secret": "of-my-own"})
    same(made["secret"], "of-my-own")
    assert b"of-my-own" not in w.ida.get("/v1/channels/" + made["id"]).body + w.ida.get("/v1/channels").body


@check("create: the configuration is in no answer")
def _(w):
    for kind, config in CONFIGS.items():
        made = w.made(provider=kind, config=config)
        answers = [w.ida.get("/v1/channels/" + made["id"]), w.ida.get("/v1/channels"),
                   w.ida.patch("/v1/channels/" + made["id"], {"name": made["name"], "events": EVENTS}),
                   w.ida.put(f"/v1/channels/{made['id']}/config", {"config": config})]
        for answer in answers:
            ok(answer)
            assert not [word for word in WORDS if word.encode() in answer.body], answer
            assert b'"secret"' not in answer.body and b'"config"' not in answer.body, answer


@check("create: names are trimmed, in lower case, with - for blanks")
def _(w):
    word = unique("n")
    same(w.made(name=f"  My {word.upper()} Channel ")["name"], f"my-{word}-channel")
    same(w.made(name=f"{word}.a_b-C")["name"], f"{word}.a_b-c")


@check("create: a name of 64 letters is the longest")
def _(w):
    name = (unique("long") + "x" * 64)[:64]
    same(w.made(name=name)["name"], name)


BAD_NAMES = ["", "   ", "a/b", "-a", ".a", "_a", "é", "a!", "n" * 65, "a\nb", "a:b"]
for name in BAD_NAMES:
    def bad_name(w, text):
        bad_request(w.ask(name=text))
        made = w.made()
        bad_request(w.ida.patch("/v1/channels/" + made["id"], {"name": text, "events": EVENTS}))
        same(ok(w.ida.get("/v1/channels/" + made["id"]))["name"], made["name"])
    SUITE.add(f"create and update: 400 for the name {ascii(name)[:20]}", bad_name, name)


@check("create: 409 conflict for a name that the team has, also when only its letters' case differs")
def _(w):
    name = w.made()["name"]
    for same_name in (name, name.upper(), f" {name} "):
        fault(w.ask(name=same_name), 409, "conflict")
    same(w.made(who=w.zoe, name=name)["name"], name)
    same([c["name"] for c in ok(w.ida.get("/v1/channels"))].count(name), 1)


for what, change in {"no name": {"name": ...}, "no provider": {"provider": ...}, "no config": {"config": ...}, "no events": {"events": ...},
                     "an unknown provider": {"provider": "pigeon"}, "an empty list of events": {"events": []},
                     "an unknown event": {"events": ["capsule.created", "capsule.exploded"]}, "the event of trials": {"events": ["channel.test"]},
                     "an event that is no text": {"events": [1]}, "a config of another provider": {"provider": "slack"},
                     "an empty config": {"config": {}}, "a config that is a list": {"config": []},
                     "a number in the config": {"config": {"url": 1}}}.items():
    def bad_create(w, more):
        before = ok(w.ida.get("/v1/channels"))
        bad_request(w.ask(**more))
        same(ok(w.ida.get("/v1/channels")), before)
    SUITE.add(f"create: 400 for {what}", bad_create, change)


@check("create: 400 for an empty body")
def _(w):
    for body in (None, [], "x"):
        bad_request(w.ida.post("/v1/channels", body))


# ---- list and get ----
@check("list: newest first, only those of the team, for any role")
def _(w):
    team = w.ida.found()
    same(ok(team.get("/v1/channels")), [])
    other = team.take_in(w.people[1])
    made = [w.made(who=who)["id"] for who in (team, other, team)]
    for who in (team, other):
        rows = ok(who.get("/v1/channels"))
        same([r["id"] for r in rows], made[::-1])
        newest_first(rows)
    assert not set(made) & {r["id"] for r in ok(w.zoe.get("/v1/channels"))}


EVERY = [("GET", "", None), ("PATCH", "", {"name": "other", "events": EVENTS}), ("PUT", "/config", {"config": CONFIGS["webhook"]})]
for method, tail, body in EVERY + [("DELETE", "", None)]:
    def bad_ids(w, verb, rest, value):
        for bad in malformed_ids("ch") + [unknown_id("cl")]:
            bad_request(w.ida.ask(verb, f"/v1/channels/{quote(bad)}{rest}", value))
    SUITE.add(f"ids: {method} {tail or 'a channel'}: 400 for what is no id", bad_ids, method, tail, body)

for method, tail, body in EVERY:
    def unknown_ids(w, verb, rest, value):
        gone = w.made()["id"]
        ok(w.ida.delete("/v1/channels/" + gone), 204)
        for channel in (unknown_id("ch"), gone):
            not_found(w.ida.ask(verb, f"/v1/channels/{channel}{rest}", value))

    def foreign_ids(w, verb, rest, value):
        made = w.made()
        fault(w.zoe.ask(verb, f"/v1/channels/{made['id']}{rest}", value), HIDDEN)
        same(ok(w.ida.get("/v1/channels/" + made["id"]))["name"], made["name"])
    SUITE.add(f"ids: {method} {tail or 'a channel'}: 404 for an unknown one", unknown_ids, method, tail, body)
    SUITE.add(f"ids: {method} {tail or 'a channel'}: 403 or 404 for a foreign one", foreign_ids, method, tail, body)


@check("keys: an API key opens no channel")
def _(w):
    made = w.made()["id"]
    for method, path, body in (("GET", "", None), ("POST", "", {}), ("POST", "/test", {}), ("GET", f"/{made}", None), ("DELETE", f"/{made}", None),
                               ("PATCH", f"/{made}", EVERY[1][2]), ("PUT", f"/{made}/config", EVERY[2][2])):
        fault(w.ida.key.ask(method, "/v1/channels" + path, body), 401, "unauthorized")
    ok(w.ida.get("/v1/channels/" + made))


# ---- update ----
@check("update: 200 with name and events replaced, the rest kept; any role may")
def _(w):
    made = w.made(events=EVENTS)
    name = unique("New NAME").replace("-", " ")
    got = ok(w.member.patch("/v1/channels/" + made["id"], {"name": name, "events": ["host.down"]}))
    same((got["name"], got["events"]), (name.lower().replace(" ", "-"), ["host.down"]))
    same({k: got[k] for k in ("id", "provider", "team_id", "created_at")}, {k: made[k] for k in ("id", "provider", "team_id", "created_at")})
    same(ok(w.ida.get("/v1/channels/" + made["id"])), got)


@check("update: the own name may stay, another's is 409")
def _(w):
    one, two = w.made(), w.made()
    ok(w.ida.patch("/v1/channels/" + one["id"], {"name": one["name"], "events": EVENTS}))
    fault(w.ida.patch("/v1/channels/" + one["id"], {"name": two["name"].upper(), "events": EVENTS}), 409, "conflict")
    same(ok(w.ida.get("/v1/channels/" + one["id"]))["name"], one["name"])


@check("update: 400 unless both are given, and right")
def _(w):
    made = w.made()
    for body in ({"name": "x"}, {"events": EVENTS}, {"name": "x", "events": []}, {"name": "x", "events": ["nosuch"]}, {"name": "", "events": EVENTS},
                 {}, None):
        bad_request(w.ida.patch("/v1/channels/" + made["id"], body))
    same(ok(w.ida.get("/v1/channels/" + made["id"]))["events"], ["capsule.created"])


@check("rotate: 200 with the channel; a secret is never shown, neither given nor made up")
def _(w):
    made = w.made()
    for config in (CONFIGS["webhook"], {**CONFIGS["webhook"], "secret": "of-my-own"}):
        answer = w.member.put(f"/v1/channels/{made['id']}/config", {"config": config})
        got = ok(answer)
        same({k: v for k, v in got.items() if k != "updated_at"}, {k: v for k, v in made.items() if k not in ("updated_at", "secret")})
        assert b"of-my-own" not in answer.body, answer


@check("rotate: 400 for a config that lacks what the provider needs")
def _(w):
    made = w.made(provider="telegram", config=CONFIGS["telegram"])
    for body in ({"config": {}}, {"config": {"bot_token": "1:x"}}, {"config": CONFIGS["webhook"]}, {"config": {"bot_token": "", "chat_id": "1"}},
                 {"config": []}, {"config": {"bot_token": 1, "chat_id": "1"}}, {}, None):
        bad_request(w.ida.put(f"/v1/channels/{made['id']}/config", body))


# ---- delete ----
@check("delete: 204, also again and for an unknown one; any role may")
def _(w):
    made = w.made()
    for _ in range(2):
        ok(w.member.delete("/v1/channels/" + made["id"]), 204)
    ok(w.ida.delete("/v1/channels/" + unknown_id("ch")), 204)
    assert made["id"] not in [c["id"] for c in ok(w.ida.get("/v1/channels"))]
    same(w.made(name=made["name"])["name"], made["name"])


@check("delete: 204 for one of another team, which stays")
def _(w):
    made = w.made()
    ok(w.zoe.delete("/v1/channels/" + made["id"]), 204)
    ok(w.ida.get("/v1/channels/" + made["id"]))


# ---- test ----
for what, body in {"no provider": {"config": CONFIGS["webhook"]}, "an unknown provider": {"provider": "pigeon", "config": {"url": "x"}},
                   "no config": {"provider": "webhook"}, "an empty config": {"provider": "webhook", "config": {}},
                   "an empty address": {"provider": "webhook", "config": {"url": ""}},
                   "half a config": {"provider": "telegram", "config": {"bot_token": "1:x"}}, "no body": None}.items():
    SUITE.add(f"test: 400 for {what}", lambda w, value: bad_request(w.ida.post("/v1/channels/test", value)), body)


@check("test: an error, never 200, when nobody takes the message; nothing is kept")
def _(w):
    before = ok(w.ida.get("/v1/channels"))
    for url in ("http://127.0.0.1:9/secret-hook-url", "nosuch:secret-hook-url"):
        answer = w.ida.post("/v1/channels/test", {"provider": "webhook", "config": {"url": url}})
        fault(answer, (400, 404, 500))
    same(ok(w.ida.get("/v1/channels")), before)


# ---- the log ----
@check("log: create, update, rotate_config and delete")
def _(w):
    team = w.ida.found()
    made = w.made(who=team)
    ok(team.patch("/v1/channels/" + made["id"], {"name": made["name"], "events": EVENTS}))
    ok(team.put(f"/v1/channels/{made['id']}/config", {"config": CONFIGS["webhook"]}))
    ok(team.delete("/v1/channels/" + made["id"]), 204)
    for action, status in (("create", "success"), ("update", "info"), ("rotate_config", "info"), ("delete", "warning")):
        row = audit(team, "channel", action, status=status, scope="team", resource_id=made["id"])
        same((row["actor_type"], row["actor_id"]), ("user", team.user_id))
    same(audit(team, "channel", "create")["metadata"], {"name": made["name"], "provider": "webhook"})
    text = team.get("/v1/audit-logs?limit=200").body
    assert made["secret"].encode() not in text and b"secret-hook-url" not in text


if __name__ == "__main__":
    sys.exit(SUITE.main())
