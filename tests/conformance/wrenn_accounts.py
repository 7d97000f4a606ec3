#!/usr/bin/env python3
"""Wrenn's accounts on a running daemon: sign-up, login, tokens, API keys, people, teams and roles, and the log of all that. TAP.

Digest sections 2.1 to 2.4, 2.9, 2.10, 3.1 to 3.3, 7. How to run one check: wrenn_kit.py.
"""
import functools
import json
import re
import sys
import time
from urllib.parse import quote

from fs_client import same
from wrenn_kit import (DENIED, HIDDEN, SIX_HOURS, Person, Suite, audit, bad_request, bearer, fault, forged, is_id, is_now, jwt_parts, malformed_ids,
                       moment, newest_first, not_found, ok, together, unique, unknown_id)

SIGNUP = "/v1/auth/signup"


class Crew:
    """A team with somebody in each role."""

    def __init__(self, owner, admin, member):
        self.owner = owner.found()
        self.admin = self.owner.take_in(admin, "admin")
        self.member = self.owner.take_in(member)
        self.path = self.owner.team

    def of(self, person):
        return f"{self.path}/members/{person.user_id}"


class World:
    def __init__(self, server):
        self.server, self.anyone = server, server.anyone

    @functools.cached_property
    def people(self):
        return self.server.signups("Ann", "Ben", "Cem", "Dora")

    @property
    def ann(self):
        return self.people[0]

    @property
    def dora(self):
        """A stranger."""
        return self.people[3]

    def crew(self):
        """A new team, for checks that change it."""
        return Crew(*self.people[:3])

    @functools.cached_property
    def staff(self):
        """One for checks that do not."""
        return self.crew()


SUITE = Suite("wrenn_accounts", World)
check = SUITE.check


# ---- 2.1: sign-up ----
@check("signup: 201 with token, ids, address and name")
def _(w):
    email = f"{unique('signup')}@example.org"
    answer = w.anyone.post(SIGNUP, {"email": email, "password": "12345678", "name": "  Eve  ", "is_admin": True, "nobody_knows": [1]})
    auth = ok(answer, 201)
    same((auth["email"], auth["name"]), (email, "Eve"))
    assert is_id("usr", auth["user_id"]) and is_id("team", auth["team_id"]), auth
    same(ok(Person(w.server, auth, "").get("/v1/users/search?email=" + email)), [{"user_id": auth["user_id"], "email": email}])


@check("signup: the account owns a team 'NAME's Team'")
def _(w):
    team, = [t for t in ok(w.ann.get("/v1/teams")) if t["id"] == w.ann.team_id]
    same((team["name"], team["role"]), ("Ann's Team", "owner"))
    is_now(team["created_at"], 300)
    assert re.fullmatch(r"[0-9a-f]{6}-[0-9a-f]{6}", team["slug"]), team
    same([(m["user_id"], m["name"], m["email"], m["role"]) for m in ok(w.ann.get(w.ann.team + "/members"))],
         [(w.ann.user_id, "Ann", w.ann.email, "owner")])


@check("signup: a name of 100 and a password of 72 bytes")
def _(w):
    who = w.server.signup("n" * 100, "p" * 72, unique("long") + "@example.org")
    same(who.name, "n" * 100)
    ok(w.server.login(who.email, "p" * 72))
    fault(w.server.login(who.email, "p" * 71), 401, "unauthorized")


@check("signup: a password of 73 bytes makes no account")
def _(w):
    email = unique("toolong") + "@example.org"
    fault(w.anyone.post(SIGNUP, {"email": email, "password": "p" * 73, "name": "x"}), (400, 500), ("invalid_request", "internal_error"))
    fault(w.server.login(email, "p" * 72), 401, "unauthorized")


@check("signup: 409 email_taken, whatever the case")
def _(w):
    for email in (w.ann.email, w.ann.email.upper()):
        fault(w.anyone.post(SIGNUP, {"email": email, "password": "12345678", "name": "Other"}), 409, "email_taken")
    same(ok(w.server.login(w.ann.email, w.ann.password))["name"], "Ann")


@check("signup: the address is kept in lower case")
def _(w):
    word = unique("case")
    same(w.server.signup("Case", email=f"{word.upper()}@Example.ORG").email, f"{word}@example.org")


@check("signup: blanks around the address are cut off or refused, not kept")
def _(w):
    email = unique("blank") + "@example.org"
    answer = w.anyone.post(SIGNUP, {"email": f"  {email} ", "password": "12345678", "name": "Blank"})
    if answer.status == 201:
        same(answer.json["email"], email)
    else:
        bad_request(answer)


@check("signup: of four at once for one address one succeeds")
def _(w):
    email = unique("race") + "@example.org"
    got = together(4, lambda n: w.anyone.post(SIGNUP, {"email": email, "password": "12345678", "name": f"Race {n}"}).status)
    same(sorted(got), [201, 409, 409, 409])


GOOD = {"email": "refused@example.org", "password": "12345678", "name": "Refused"}
for what, body in {"no @ in the address": {**GOOD, "email": "refused"}, "an address of two bytes": {**GOOD, "email": "a@"},
                   "an empty address": {**GOOD, "email": ""}, "a password of seven bytes": {**GOOD, "password": "1234567"},
                   "no name": {**GOOD, "name": ""}, "a blank name": {**GOOD, "name": "   "}, "a name of 101 bytes": {**GOOD, "name": "n" * 101},
                   "no email member": {k: v for k, v in GOOD.items() if k != "email"},
                   "no password member": {k: v for k, v in GOOD.items() if k != "password"},
                   "no name member": {k: v for k, v in GOOD.items() if k != "name"}, "a number as address": {**GOOD, "email": 1},
                   "a list": [GOOD], "no body": None, "an empty body": b"", "no JSON": b"{"}.items():
    def refused_signup(w, value):
        bad_request(w.anyone.ask("POST", SIGNUP, value, [("Content-Type", "application/json")] if isinstance(value, bytes) else ()))
        same(ok(w.ann.get("/v1/users/search?email=refused@")), [])
    SUITE.add(f"signup: 400 for {what}", refused_signup, body)


# ---- 2.1: login ----
@check("login: 200 with a token for the default team")
def _(w):
    w.ann.found()
    for email in (w.ann.email, w.ann.email.upper()):
        auth = ok(w.server.login(email, w.ann.password))
        same([auth[k] for k in ("user_id", "team_id", "email", "name")], [w.ann.user_id, w.ann.team_id, w.ann.email, "Ann"])
    ok(Person(w.server, auth, "").get("/v1/api-keys"))


@check("login: wrong password and unknown address get the same 401")
def _(w):
    answers = [w.server.login(w.ann.email, "wrong horse"), w.server.login(unique("nobody") + "@example.org", w.ann.password)]
    for answer in answers:
        fault(answer, 401, "unauthorized")
    same(answers[0].json, answers[1].json)


for what, body in {"an empty password": {"email": "a@example.org", "password": ""}, "an empty address": {"email": "", "password": "12345678"},
                   "no password": {"email": "a@example.org"}, "no address": {"password": "12345678"}, "no body": None}.items():
    SUITE.add(f"login: 400 for {what}", lambda w, value: bad_request(w.anyone.post("/v1/auth/login", value)), body)


@check("login: falls to the next team, and is 403 no_team without one")
def _(w):
    first = w.server.signup("Leaver")
    second, third = first.found(), first.found()
    ok(first.delete(first.team), 204)
    same(ok(w.server.login(first.email, first.password))["team_id"], second.team_id)
    ok(second.delete(second.team), 204)
    ok(third.delete(third.team), 204)
    fault(w.server.login(first.email, first.password), 403, "no_team")
    fault(w.server.login(first.email, "wrong horse"), 401, "unauthorized")


# ---- 3.3: tokens ----
@check("token: HS256 with team, role, address and name, good for six hours")
def _(w):
    _, claims = jwt_parts(ok(w.server.login(w.ann.email, w.ann.password))["token"])
    want = {"team_id": w.ann.team_id, "role": "owner", "email": w.ann.email, "name": "Ann", "sub": w.ann.user_id}
    same({k: v for k, v in claims.items() if k not in ("iat", "exp")}, want)
    same(claims["exp"] - claims["iat"], SIX_HOURS)
    assert isinstance(claims["iat"], int) and abs(time.time() - claims["iat"]) < 10, claims


@check("token: signup asks for no right of an administrator")
def _(w):
    same([jwt_parts(p.jwt)[1].get("is_admin") for p in w.people], [None] * 4)


@check("token: nothing that is forged opens anything")
def _(w):
    ok(w.ann.get("/v1/api-keys"))
    for what, token in forged(w.ann.jwt).items():
        for path in ("/v1/api-keys", "/v1/teams", "/v1/capsules", "/v1/audit-logs"):
            answer = w.ann.but(bearer(token)).get(path)
            assert answer.status == 401 and answer.code == "unauthorized", (what, answer)


@check("token: 401 without, empty, and of another scheme")
def _(w):
    for headers in ((), [("Authorization", "Bearer ")], [("Authorization", w.ann.jwt)], [("Authorization", "Basic " + w.ann.jwt)],
                    [("Authorization", "")], [("X-Host-Token", w.ann.jwt)]):
        fault(w.ann.but(*headers).get("/v1/teams"), 401, "unauthorized")


# ---- 2.1: switch ----
@check("switch: 200 with a token and the role there; the old one goes on for the old team")
def _(w):
    for who, role in ((w.staff.owner, "owner"), (w.staff.admin, "admin"), (w.staff.member, "member")):
        claims = jwt_parts(who.jwt)[1]
        same((claims["role"], claims["team_id"], who.team_id), (role, w.staff.owner.team_id, w.staff.owner.team_id))
    ok(w.ann.get(w.ann.team))
    same(ok(w.people[2].get("/v1/teams"))[0]["id"], w.people[2].team_id)


@check("switch: 404 for an unknown and for a closed team")
def _(w):
    gone = w.ann.found()
    ok(gone.delete(gone.team), 204)
    for team in (unknown_id("team"), gone.team_id):
        not_found(w.ann.post("/v1/auth/switch-team", {"team_id": team}))


@check("switch: 403 into a team that one does not belong to")
def _(w):
    fault(w.dora.post("/v1/auth/switch-team", {"team_id": w.ann.team_id}), 403, "forbidden")


@check("switch: 400 for what is no id of a team")
def _(w):
    for body in [{"team_id": t} for t in malformed_ids("team") + ["", unknown_id("usr")]] + [{}, None, {"team_id": 1}]:
        bad_request(w.ann.post("/v1/auth/switch-team", body))


@check("switch: the role is that of now")
def _(w):
    crew = w.crew()
    ok(crew.owner.patch(crew.of(crew.member), {"role": "admin"}), 204)
    same(jwt_parts(crew.member.switch(crew.owner.team_id).jwt)[1]["role"], "admin")


# ---- 2.1: OAuth, which no test daemon has ----
for base in ("/v1", ""):
    for tail in ("", "/callback", "/callback?code=x&state=y", "/callback?error=access_denied"):
        SUITE.add(f"oauth: 404 provider_not_found at {base}/auth/oauth/github{tail}",
                  lambda w, target: fault(w.anyone.get(target), 404, "provider_not_found"), f"{base}/auth/oauth/github{tail}")
    SUITE.add(f"oauth: an unknown provider at {base}/auth/oauth",
              lambda w, target: fault(w.anyone.get(target), (400, 404), ("provider_not_found", "invalid_request")), f"{base}/auth/oauth/nosuch")


# ---- 2.2: API keys ----
@check("api key: 201 with the secret, its first ten letters and its maker")
def _(w):
    key = ok(w.ann.post("/v1/api-keys", {"name": "first"}), 201)
    assert re.fullmatch(r"wrn_[0-9a-f]{32}", key["key"]), key
    same([key[k] for k in ("name", "team_id", "created_by", "key_prefix")], ["first", w.ann.team_id, w.ann.user_id, key["key"][:10]])
    is_now(key["created_at"])
    assert is_id("key", key["id"]) and "last_used" not in key, key


@check("api key: the name may be missing, empty, long and used twice")
def _(w):
    team = w.ann.found()
    for body in ({}, {"name": ""}):
        same(ok(team.post("/v1/api-keys", body), 201)["name"], "Unnamed API Key")
    keys = [ok(team.post("/v1/api-keys", {"name": name}), 201) for name in ("n" * 1000, "twice", "twice", "ä/ö \"日本\"")]
    same([k["name"] for k in keys], ["n" * 1000, "twice", "twice", "ä/ö \"日本\""])
    same(len({k["key"] for k in keys}), 4)


@check("api key: 400 for a body that is empty or wrong")
def _(w):
    for body in (None, b"", b"nonsense", [], {"name": 1}, {"name": {}}):
        bad_request(w.ann.ask("POST", "/v1/api-keys", body, [("Content-Type", "application/json")] if isinstance(body, bytes) else ()))


@check("api key: the list has the newest first, makers' addresses, no secrets")
def _(w):
    crew = w.crew()
    made = [ok(who.post("/v1/api-keys", {"name": f"k{n}"}), 201) for n, who in enumerate((crew.owner, crew.member, crew.admin))]
    rows = ok(crew.member.get("/v1/api-keys"))
    same([r["id"] for r in rows], [k["id"] for k in reversed(made)])
    same([r["creator_email"] for r in rows], [crew.admin.email, crew.member.email, crew.owner.email])
    newest_first(rows)
    text = json.dumps(rows)
    assert not any("key" in r for r in rows) and not any(k["key"] in text for k in made), text


@check("api key: last_used is there once it was used")
def _(w):
    team = w.ann.found()
    ok(team.key.get("/v1/capsules"))
    row, = ok(team.get("/v1/api-keys"))
    is_now(row["last_used"])


@check("api key: it opens capsules, snapshots and stats of its team")
def _(w):
    for path in ("/v1/capsules", "/v1/snapshots", "/v1/capsules/stats"):
        ok(w.ann.key.get(path))
    not_found(w.ann.key.get("/v1/capsules/" + unknown_id("cl")))


@check("api key: it opens nothing that is for people")
def _(w):
    crew = w.staff
    for method, path, body in (("GET", "/v1/api-keys", None), ("POST", "/v1/api-keys", {}), ("DELETE", "/v1/api-keys/" + unknown_id("key"), None),
                               ("GET", "/v1/users/search?email=a@", None), ("GET", "/v1/teams", None), ("POST", "/v1/teams", {"name": "x"}),
                               ("GET", crew.path, None), ("DELETE", crew.path, None), ("GET", crew.path + "/members", None),
                               ("GET", "/v1/hosts", None), ("GET", "/v1/channels", None), ("GET", "/v1/audit-logs", None),
                               ("POST", "/v1/auth/switch-team", {"team_id": crew.owner.team_id})):
        fault(crew.owner.key.ask(method, path, body), 401, "unauthorized")
        fault(crew.owner.but(bearer(crew.owner.made_key["key"])).ask(method, path, body), 401, "unauthorized")


@check("api key: a wrong one is 401 even beside a good token, an empty one is none")
def _(w):
    good, own = w.ann.made_key["key"], ("Authorization", "Bearer " + w.ann.jwt)
    for bad in ("nosuch", good[:-1], good + "0", good.upper(), good[4:], "wrn_" + "0" * 32):
        fault(w.ann.but(("X-API-Key", bad), own).get("/v1/capsules"), 401, "unauthorized")
    ok(w.ann.but(("X-API-Key", ""), own).get("/v1/capsules"))


@check("api key: it goes before the token")
def _(w):
    team = w.ann.found()
    both = team.but(("X-API-Key", team.made_key["key"]), bearer(w.dora.jwt))
    ok(both.get("/v1/capsules"))
    assert "last_used" in ok(team.get("/v1/api-keys"))[0]
    ok(team.but(("X-API-Key", team.made_key["key"]), bearer("wrong")).get("/v1/capsules"))


@check("api key: 204 ends it at once")
def _(w):
    key = ok(w.ann.post("/v1/api-keys", {"name": "short"}), 201)
    user = w.ann.but(("X-API-Key", key["key"]))
    ok(user.get("/v1/capsules"))
    ok(w.ann.delete("/v1/api-keys/" + key["id"]), 204)
    for method, path in (("GET", "/v1/capsules"), ("GET", "/v1/snapshots"), ("POST", "/v1/capsules")):
        fault(user.ask(method, path, {} if method == "POST" else None), 401, "unauthorized")
    assert key["id"] not in [k["id"] for k in ok(w.ann.get("/v1/api-keys"))]


@check("api key: 204 for one that is gone, unknown or of another team")
def _(w):
    key = ok(w.ann.post("/v1/api-keys", {"name": "gone"}), 201)
    for target in (key["id"], key["id"], unknown_id("key"), w.dora.made_key["id"]):
        ok(w.ann.delete("/v1/api-keys/" + target), 204)
    ok(w.dora.key.get("/v1/capsules"))


@check("api key: 400 for what is no id of a key")
def _(w):
    for bad in malformed_ids("key") + [unknown_id("cl")]:
        bad_request(w.ann.delete("/v1/api-keys/" + quote(bad)))


@check("api key: any role may make and revoke one")
def _(w):
    crew = w.crew()
    for maker, other in ((crew.member, crew.admin), (crew.admin, crew.owner), (crew.owner, crew.member)):
        key = ok(maker.post("/v1/api-keys", {}), 201)
        ok(other.delete("/v1/api-keys/" + key["id"]), 204)
    same(ok(crew.owner.get("/v1/api-keys")), [])


# ---- 2.3: people ----
def search(who, text):
    return who.get("/v1/users/search?email=" + quote(text, safe=""))


@check("users: 400 for less than three bytes, without an @ and without a text")
def _(w):
    for text in ("", "a", "a@", "@", "ann", "  a@  ", "example.org"):
        bad_request(search(w.ann, text))
    bad_request(w.ann.get("/v1/users/search"))


@check("users: found by the beginning of the address, by anybody who is logged in")
def _(w):
    for who in (w.ann, w.dora, w.staff.member):
        for text in (w.ann.email, w.ann.email[:-3], w.ann.email.split("@")[0] + "@", f"  {w.ann.email}  "):
            same(ok(search(who, text)), [{"user_id": w.ann.user_id, "email": w.ann.email}])
        same(ok(search(who, w.ann.email + "x")), [])
        same(ok(search(who, "@example.org")), [])


@check("users: no letter stands for others, and case matters")
def _(w):
    local = w.ann.email.split("@")[0]
    for text in ("%%@", "%%%@", local[:-1] + "_@", "%" + w.ann.email, w.ann.email[:3] + "%@", w.ann.email.upper(), "\\%@", "'@%", "*@*"):
        same(ok(search(w.ann, text)), [])


@check("users: ten at most, sorted by address")
def _(w):
    word = unique("many")
    made = together(11, lambda n: w.server.signup("Many", email=f"{word}@{chr(ord('m') - n)}.example.org"))
    rows = ok(search(w.ann, word + "@"))
    same([(r["email"], r["user_id"]) for r in rows], sorted((p.email, p.user_id) for p in made)[:10])


# ---- 2.4: teams ----
@check("team: 201 with its founder as owner; the token stays with the old team")
def _(w):
    team = ok(w.ann.post("/v1/teams", {"name": "  Some @ Team_1's-x  "}), 201)
    same((team["name"], team["role"], team["is_byoc"]), ("Some @ Team_1's-x", "owner", False))
    assert is_id("team", team["id"]) and re.fullmatch(r"[0-9a-f]{6}-[0-9a-f]{6}", team["slug"]), team
    is_now(team["created_at"])
    fault(w.ann.get("/v1/teams/" + team["id"]), 403, "forbidden")


@check("team: the list is in the order of joining, with roles")
def _(w):
    crew = w.crew()
    rows = ok(w.people[2].get("/v1/teams"))
    same((rows[0]["id"], rows[0]["role"]), (w.people[2].team_id, "owner"))
    same((rows[-1]["id"], rows[-1]["role"]), (crew.owner.team_id, "member"))
    same([r["role"] for r in ok(crew.admin.get("/v1/teams")) if r["id"] == crew.owner.team_id], ["admin"])
    assert crew.owner.team_id not in [r["id"] for r in ok(w.dora.get("/v1/teams"))]


BAD_NAMES = ["", "   ", "a/b", "a.b", "é", "a\nb", "a!", "<b>", "n" * 129, "a\tb", '"', "a;b"]


@check("team: a name has 1 to 128 letters, digits, blanks, _ - @ and '")
def _(w):
    same(len(ok(w.ann.post("/v1/teams", {"name": "n" * 128}), 201)["name"]), 128)
    for name in BAD_NAMES:
        bad_request(w.ann.post("/v1/teams", {"name": name}))
    for body in ({}, None, {"name": 1}, {"name": None}):
        bad_request(w.ann.post("/v1/teams", body))


@check("team: anybody in it sees it and its people, first who joined first")
def _(w):
    crew = w.staff
    details = [ok(who.get(crew.path)) for who in (crew.owner, crew.admin, crew.member)]
    same(details[0], details[1])
    same(details[0], details[2])
    same(details[0]["team"]["id"], crew.owner.team_id)
    assert "role" not in details[0]["team"], details[0]
    same([(m["user_id"], m["role"], m["name"]) for m in details[0]["members"]],
         [(crew.owner.user_id, "owner", "Ann"), (crew.admin.user_id, "admin", "Ben"), (crew.member.user_id, "member", "Cem")])
    same(ok(crew.member.get(crew.path + "/members")), details[0]["members"])
    times = [moment(m["joined_at"]) for m in details[0]["members"]]
    same(times, sorted(times))


@check("team: 400 for what is no id of a team, 403 for any other team")
def _(w):
    for method, tail, body in (("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None), ("GET", "/members", None),
                               ("POST", "/members", {"email": w.dora.email}), ("PATCH", f"/members/{w.dora.user_id}", {"role": "admin"}),
                               ("DELETE", f"/members/{w.dora.user_id}", None), ("POST", "/leave", None)):
        for bad in malformed_ids("team")[:3]:
            bad_request(w.ann.ask(method, f"/v1/teams/{bad}{tail}", body))
        for other in (unknown_id("team"), w.dora.team_id, w.staff.owner.team_id):
            fault(w.ann.ask(method, f"/v1/teams/{other}{tail}", body), 403, "forbidden")


@check("team: its owner and admins rename it")
def _(w):
    crew = w.crew()
    for who, name in ((crew.owner, "By owner"), (crew.admin, "By admin")):
        ok(who.patch(crew.path, {"name": f" {name} "}), 204)
        same(ok(crew.member.get(crew.path))["team"]["name"], name)
    slug = ok(crew.owner.get(crew.path))["team"]["slug"]
    fault(crew.member.patch(crew.path, {"name": "By member"}), 403, "forbidden")
    same(ok(crew.owner.get(crew.path))["team"]["name"], "By admin")
    same(ok(crew.owner.get(crew.path))["team"]["slug"], slug)


@check("team: a bad new name is 400, before the role is looked at")
def _(w):
    for name in BAD_NAMES:
        for who in (w.staff.owner, w.staff.member):
            bad_request(who.patch(w.staff.path, {"name": name}))
    for body in ({}, None, {"name": 1}):
        bad_request(w.staff.owner.patch(w.staff.path, body))


@check("team: only its owner closes it")
def _(w):
    crew = w.crew()
    for who in (crew.admin, crew.member):
        fault(who.delete(crew.path), 403, "forbidden")
    ok(crew.owner.get(crew.path))
    ok(crew.owner.delete(crew.path), 204)
    for who in w.people[:3]:
        assert crew.owner.team_id not in [t["id"] for t in ok(who.get("/v1/teams"))]


# ---- 2.4: members ----
@check("member: 201, in at once, as member, joined now")
def _(w):
    crew = w.crew()
    who = ok(crew.admin.post(crew.path + "/members", {"email": w.dora.email.upper()}), 201)
    same([who[k] for k in ("user_id", "name", "email", "role")], [w.dora.user_id, "Dora", w.dora.email, "member"])
    is_now(who["joined_at"])
    same(ok(crew.member.get(crew.path + "/members"))[-1], who)
    ok(w.dora.switch(crew.owner.team_id).get(crew.path))


@check("member: 403 for a plain member, before anything else is looked at")
def _(w):
    for body in ({"email": w.dora.email}, {"email": "nobody@example.org"}, {"email": w.ann.email}):
        fault(w.staff.member.post(w.staff.path + "/members", body), 403, "forbidden")


@check("member: 404 for an address that nobody has")
def _(w):
    not_found(w.staff.admin.post(w.staff.path + "/members", {"email": unique("nobody") + "@example.org"}))


@check("member: 400 for who is in already, for no address and no body")
def _(w):
    for body in ({"email": w.ann.email}, {"email": w.staff.member.email}, {"email": ""}, {}, None, {"email": 1}):
        bad_request(w.staff.owner.post(w.staff.path + "/members", body))
    same(len(ok(w.staff.owner.get(w.staff.path + "/members"))), 3)


@check("role: owner and admins give the roles admin and member")
def _(w):
    crew = w.crew()
    for who, role in ((crew.owner, "admin"), (crew.owner, "admin"), (crew.admin, "member"), (crew.admin, "admin")):
        ok(who.patch(crew.of(crew.member), {"role": role}), 204)
        same([m["role"] for m in ok(crew.owner.get(crew.path + "/members")) if m["user_id"] == crew.member.user_id], [role])
    ok(crew.member.patch(crew.of(crew.admin), {"role": "member"}), 204)
    fault(crew.admin.patch(crew.of(crew.member), {"role": "member"}), 403, "forbidden")


@check("role: 400 for another role, before the caller's is looked at")
def _(w):
    for who in (w.staff.owner, w.staff.member):
        for body in ({"role": "owner"}, {"role": "nosuch"}, {"role": ""}, {}, None, {"role": 1}):
            bad_request(who.patch(w.staff.of(w.staff.admin), body))


@check("role: 403 for a plain member, and for anybody towards the owner")
def _(w):
    crew = w.staff
    for who, whom in ((crew.member, crew.admin), (crew.member, crew.member), (crew.admin, crew.owner), (crew.owner, crew.owner)):
        fault(who.patch(crew.of(whom), {"role": "member"}), 403, "forbidden")
    same([m["role"] for m in ok(crew.owner.get(crew.path + "/members"))], ["owner", "admin", "member"])


@check("role: 404 for who is not in the team, 400 for what is no id of a person")
def _(w):
    for method, body in (("PATCH", {"role": "admin"}), ("DELETE", None)):
        for uid in (w.dora.user_id, unknown_id("usr")):
            not_found(w.staff.owner.ask(method, f"{w.staff.path}/members/{uid}", body))
        for uid in malformed_ids("usr") + [w.ann.team_id]:
            bad_request(w.staff.owner.ask(method, f"{w.staff.path}/members/{quote(uid)}", body))


@check("role: a new one counts at once, with the token from before")
def _(w):
    crew = w.crew()
    ok(crew.owner.patch(crew.of(crew.member), {"role": "admin"}), 204)
    ok(crew.member.patch(crew.path, {"name": "Promoted"}), 204)
    ok(crew.owner.patch(crew.of(crew.admin), {"role": "member"}), 204)
    fault(crew.admin.patch(crew.path, {"name": "Demoted"}), 403, "forbidden")
    fault(crew.admin.post(crew.path + "/members", {"email": w.dora.email}), 403, "forbidden")
    fault(crew.admin.delete(crew.of(crew.member)), 403, "forbidden")


@check("member: owner and admins put people out, admins and themselves too, not the owner")
def _(w):
    crew = w.crew()
    for who, whom in ((crew.member, crew.admin), (crew.member, crew.owner), (crew.admin, crew.owner), (crew.owner, crew.owner)):
        fault(who.delete(crew.of(whom)), 403, "forbidden")
    dora = crew.owner.take_in(w.dora, "admin")
    ok(crew.admin.delete(crew.of(crew.member)), 204)
    not_found(crew.admin.delete(crew.of(crew.member)))
    ok(crew.admin.delete(crew.of(dora)), 204)
    ok(crew.admin.delete(crew.of(crew.admin)), 204)
    same([m["role"] for m in ok(crew.owner.get(crew.path + "/members"))], ["owner"])


@check("leave: members and admins go, the owner cannot")
def _(w):
    crew = w.crew()
    fault(crew.owner.post(crew.path + "/leave"), 403, "forbidden")
    for who in (crew.member, crew.admin):
        ok(who.post(crew.path + "/leave"), 204)
        fault(who.post(crew.path + "/leave"), DENIED)
    same([m["user_id"] for m in ok(crew.owner.get(crew.path + "/members"))], [crew.owner.user_id])


# ---- what is over is over at once ----
EVERYTHING = [("GET", "/v1/capsules"), ("GET", "/v1/capsules/stats"), ("GET", "/v1/snapshots"), ("POST", "/v1/capsules"), ("GET", "/v1/api-keys"),
              ("POST", "/v1/api-keys"), ("GET", "/v1/channels"), ("GET", "/v1/hosts"), ("GET", "/v1/audit-logs"), ("GET", "TEAM"),
              ("GET", "TEAM/members"), ("POST", "TEAM/members"), ("PATCH", "TEAM"), ("DELETE", "TEAM"), ("POST", "TEAM/leave")]


def shut_out(crew, client, paths=None):
    """The credential opens nothing of the team any more."""
    for method, path in paths or EVERYTHING:
        body = {"POST": {"name": "x", "email": crew.owner.email}, "PATCH": {"name": "x"}}.get(method) if "leave" not in path else None
        fault(client.ask(method, path.replace("TEAM", crew.path), body), DENIED)


@check("over: who was put out can do nothing with the old token")
def _(w):
    crew = w.crew()
    ok(crew.owner.delete(crew.of(crew.member)), 204)
    shut_out(crew, crew.member)
    ok(crew.owner.delete(crew.of(crew.admin)), 204)
    shut_out(crew, crew.admin)
    ok(w.people[2].get("/v1/api-keys"))
    fault(w.people[2].post("/v1/auth/switch-team", {"team_id": crew.owner.team_id}), 403, "forbidden")


@check("over: who left can do nothing with the old token")
def _(w):
    crew = w.crew()
    ok(crew.member.post(crew.path + "/leave"), 204)
    shut_out(crew, crew.member)
    same(ok(crew.owner.get("/v1/capsules")), [])


@check("over: tokens and keys of a closed team open nothing")
def _(w):
    crew = w.crew()
    key = crew.owner.key
    ok(key.get("/v1/capsules"))
    ok(crew.owner.delete(crew.path), 204)
    for who in (crew.owner, crew.admin, crew.member):
        shut_out(crew, who)
    shut_out(crew, key, [row for row in EVERYTHING if row[1].startswith(("/v1/capsules", "/v1/snapshots"))])


@check("over: who comes back is in again")
def _(w):
    crew = w.crew()
    ok(crew.owner.delete(crew.of(crew.member)), 204)
    back = crew.owner.take_in(w.people[2])
    ok(back.get(crew.path))
    ok(back.get("/v1/capsules"))


# ---- 7 and 2.10: the log ----
def logged(w, act, action, kind, status, scope, **metadata):
    crew = w.crew()
    actor = act(crew) or crew.owner
    row = audit(crew.owner, kind, action, status=status, scope=scope)
    same((row["actor_type"], row.get("actor_id"), row.get("actor_name")), ("user", actor.user_id, actor.name))
    same({k: v(crew) if callable(v) else v for k, v in metadata.items()}, row.get("metadata") or {})


def renamed(crew):
    ok(crew.owner.patch(crew.path, {"name": "Before"}), 204)
    ok(crew.admin.patch(crew.path, {"name": " After "}), 204)
    return crew.admin


def revoked(crew):
    ok(crew.member.delete("/v1/api-keys/" + ok(crew.member.post("/v1/api-keys", {"name": "x"}), 201)["id"]), 204)
    return crew.member


def made(crew):
    ok(crew.member.post("/v1/api-keys", {"name": "logged"}), 201)
    return crew.member


def left(crew):
    ok(crew.member.post(crew.path + "/leave"), 204)
    return crew.member


for row in ((renamed, "rename", "team", "info", "team", {"old_name": "Before", "new_name": "After"}),
            (made, "create", "api_key", "success", "team", {"name": "logged"}), (revoked, "revoke", "api_key", "warning", "team", {}),
            (lambda crew: None, "add", "member", "success", "admin", {"email": lambda crew: crew.member.email, "role": "member"}),
            (lambda crew: ok(crew.owner.delete(crew.of(crew.member)), 204), "remove", "member", "warning", "admin", {}),
            (left, "leave", "member", "info", "admin", {}),
            (lambda crew: ok(crew.owner.patch(crew.of(crew.member), {"role": "admin"}), 204), "role_update", "member", "info", "admin",
             {"new_role": "admin"})):
    SUITE.add(f"log: {row[2]} {row[1]}", lambda w, *more: logged(w, *more[:-1], **more[-1]), *row)


@check("log: scope admin is for owner and admins")
def _(w):
    crew = w.crew()
    ok(crew.member.post("/v1/api-keys", {}), 201)
    for who in (crew.owner, crew.admin):
        same({r["scope"] for r in ok(who.get("/v1/audit-logs"))["items"]}, {"team", "admin"})
    rows = ok(crew.member.get("/v1/audit-logs"))["items"]
    same({r["scope"] for r in rows}, {"team"})


@check("log: newest first, filtered by type and action, once or in a list")
def _(w):
    crew = w.crew()
    revoked(crew)
    renamed(crew)
    whole = ok(crew.owner.get("/v1/audit-logs"))["items"]
    newest_first(whole)
    same([r["action"] for r in whole], ["rename", "rename", "revoke", "create", "add", "role_update", "add"])
    for query, want in (("resource_type=team", ["rename"] * 2), ("resource_type=api_key,team", ["rename", "rename", "revoke", "create"]),
                        ("resource_type=api_key&resource_type=team", ["rename", "rename", "revoke", "create"]), ("action=add", ["add", "add"]),
                        ("action=revoke,create", ["revoke", "create"]), ("action=revoke&action=create", ["revoke", "create"]),
                        ("resource_type=member&action=add,rename", ["add", "add"]), ("resource_type=nosuch", [])):
        same((query, [r["action"] for r in ok(crew.owner.get("/v1/audit-logs?" + query))["items"]]), (query, want))


@check("log: pages follow each other by next_before and next_before_id")
def _(w):
    crew = w.crew()
    for n in range(4):
        ok(crew.owner.post("/v1/api-keys", {"name": f"k{n}"}), 201)
    whole = [r["id"] for r in ok(crew.owner.get("/v1/audit-logs"))["items"]]
    seen, query = [], "limit=3"
    while query:
        page = ok(crew.owner.get("/v1/audit-logs?" + query))
        assert 0 < len(page["items"]) <= 3 or seen == whole, page
        seen += [r["id"] for r in page["items"]]
        assert len(seen) <= len(whole), "the pages overlap"
        query = f"limit=3&before={quote(page['next_before'])}&before_id={page['next_before_id']}" if "next_before" in page else None
    same(seen, whole)
    same(ok(crew.owner.get("/v1/audit-logs?before=2020-01-01T00:00:00Z"))["items"], [])
    same([r["id"] for r in ok(crew.owner.get("/v1/audit-logs?before=2199-01-01T00:00:00Z"))["items"]], whole)


@check("log: fifty entries at most without a limit, two hundred with any")
def _(w):
    team = w.ann.found()
    for n in range(202):
        ok(team.post("/v1/api-keys", {"name": f"k{n}"}), 201)
    for query, count in (("", 50), ("?limit=1", 1), ("?limit=200", 200), ("?limit=1000", 200)):
        page = ok(team.get("/v1/audit-logs" + query))
        same((query, len(page["items"])), (query, count))
        same((moment(page["next_before"]), page["next_before_id"]), (moment(page["items"][-1]["created_at"]), page["items"][-1]["id"]))


@check("log: other teams do not see it")
def _(w):
    crew = w.crew()
    mine = {r["id"] for r in ok(crew.owner.get("/v1/audit-logs"))["items"]}
    theirs = {r["id"] for r in ok(w.dora.get("/v1/audit-logs?limit=200"))["items"]}
    same((bool(mine), mine & theirs), (True, set()))
    fault(w.dora.get(crew.path), HIDDEN)


# ---- last, since it may shut out more than the one address ----
@check("login: 429 after many wrong passwords")
def _(w):
    who, seen = w.server.signup("Guessed"), []

    def guess(_):
        while len(seen) < 60 and 429 not in seen:
            answer = w.server.login(who.email, unique("wrong"))
            fault(answer, (401, 429))
            seen.append(answer.status)
    together(6, guess)
    assert 429 in seen, f"{len(seen)} wrong passwords and no 429: {sorted(set(seen))}"
    assert seen.index(429) >= 5, f"429 after {seen.index(429)} wrong passwords"


if __name__ == "__main__":
    sys.exit(SUITE.main())
