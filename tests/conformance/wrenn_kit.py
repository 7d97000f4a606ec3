"""What the Wrenn suites share: a private daemon, accounts, an HTTP client that holds every answer against the contract, WebSockets.

A suite is a list of named checks. `wrenn_X.py` runs all of them, `wrenn_X.py WORDS...` those whose name contains one of WORDS,
`wrenn_X.py --list` prints the names; `--at HOST:PORT [--home DIR]` asks a server that runs already (with the home of its daemon it can
make administrators of it, too). Each check makes what it needs, so that any of them can be run alone.

What is expected comes from shared/specs/wrenn.yaml and from the digest of how Wrenn behaves (shared/reference/wrenn.md, its section
numbers stand beside the checks), not from the daemon.
"""
import argparse
import base64
import binascii
import calendar
import functools
import glob
import json
import os
import re
import secrets
import select
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from urllib.parse import quote

from contracts import TOP, load, operations, parameters, resolve
from fs_client import BIN, Daemon, Tap, Wire, same
from shapes import Shapes

sys.path.insert(0, os.path.join(TOP, "tests/e2e"))
from ws import frame  # noqa: E402  pylint: disable=wrong-import-position

JSON = "application/json"
SIX_HOURS, WEEK = 6 * 3600, 7 * 86400
PREFIXES = {"anyTeam": "team", "capsule": "cl", "member": "usr", "team": "team", "apiKey": "key", "host": "host", "channel": "ch", "log": "log"}
HEX64 = re.compile(r"[0-9a-f]{64}")
DENIED, HIDDEN = (401, 403), (403, 404)

# Members that are always there (digest 2, 6.2; what is empty is left out, so the contract cannot require all of them).
ALWAYS = {
    "AuthResponse": "token user_id team_id email name", "APIKeyResponse": "id team_id name key_prefix created_by created_at",
    "UserSearchResult": "user_id email", "Team": "id name slug is_byoc created_at", "TeamWithRole": "role",
    "TeamMember": "user_id name email role joined_at", "TeamDetail": "team members",
    "Capsule": "id status template vcpus memory_mb timeout_sec created_at last_updated", "CapsuleStats": "range current peaks series",
    "CapsuleMetrics": "sandbox_id range points", "MetricPoint": "timestamp_unix cpu_pct mem_bytes disk_bytes",
    "ExecResponse": "sandbox_id cmd stdout stderr exit_code duration_ms encoding", "BackgroundExecResponse": "sandbox_id cmd pid tag",
    "ListDirResponse": "entries", "MakeDirResponse": "entry",
    "FileEntry": "name path type size mode permissions owner group modified_at", "Template": "name type size_bytes created_at platform",
    "CreateHostResponse": "host registration_token", "RegisterHostResponse": "host token refresh_token",
    "RefreshHostTokenResponse": "host token refresh_token", "Host": "id type status created_by created_at updated_at",
    "HostDeletePreview": "host sandbox_ids", "TestChannelResponse": "status",
    "ChannelResponse": "id team_id name provider events created_at updated_at", "Error": "error", "HostHasCapsulesError": "error sandbox_ids",
}
# Members that are ids (digest 3.1).
IDS = {"user_id": "usr", "team_id": "team", "created_by": "usr", "sandbox_id": "cl", "APIKeyResponse.id": "key", "Team.id": "team",
       "TeamWithRole.id": "team", "Capsule.id": "cl", "Host.id": "host", "ChannelResponse.id": "ch"}


# ---- ids and times ----
def is_id(prefix, value):
    return bool(re.fullmatch(prefix + "-[0-9a-z]{25}", value))


def unknown_id(prefix):
    """Well-formed, and nobody has it. 25 digits of 2^128 begin with f at most."""
    return f"{prefix}-0" + "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(24))


def malformed_ids(prefix):
    good = unknown_id(prefix)
    return [good[:-1], good + "0", good.replace("-", "_"), good.upper(), "x" + good, good[:-1] + "!", good[len(prefix) + 1:], "nosuch"]


def unique(word):
    return f"{word}-{secrets.token_hex(4)}"


def moment(text):
    """RFC 3339 with whole seconds and a zone (digest 1) -> seconds since 1970."""
    m = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:Z|([+-])(\d\d):(\d\d))", text)
    assert m, f"{text} is no RFC 3339 time of whole seconds"
    away = (int(m[3]) * 3600 + int(m[4]) * 60) * (-1 if m[2] == "-" else 1) if m[2] else 0
    return calendar.timegm(time.strptime(m[1], "%Y-%m-%dT%H:%M:%S")) - away


def is_now(text, slack=30):
    away = time.time() - moment(text)
    assert -2 <= away <= slack, f"{text} is {away:.0f} s ago"


def newest_first(rows, key="created_at"):
    times = [moment(row[key]) for row in rows]
    same(times, sorted(times, reverse=True))


def until(seconds, ask, what="it"):
    """Ask again until there is something; what came."""
    end = time.monotonic() + seconds
    while True:
        got = ask()
        if got:
            return got
        assert time.monotonic() < end, f"{what} has not happened within {seconds} s"
        time.sleep(0.05)


def together(count, act):
    """act(0) ... act(count - 1) at once; what they returned. The first exception is raised here."""
    out, wrong = [None] * count, []

    def one(n):
        try:
            out[n] = act(n)
        except Exception as e:  # pylint: disable=broad-except
            wrong.append(e)
    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if wrong:
        raise wrong[0]
    return out


# ---- tokens ----
def unbase64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt_parts(token):
    """Head and claims of a token that has the form of HS256."""
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token, re.A), f"no JWT: {token[:80]}"
    head, claims, signature = token.split(".")
    head = json.loads(unbase64url(head))
    same(head["alg"], "HS256")
    same(len(unbase64url(signature)), 32)
    return head, json.loads(unbase64url(claims))


def forged(token):
    """What looks like the token and must open nothing."""
    head, claims, signature = token.split(".")
    other = {**json.loads(unbase64url(claims)), "role": "owner", "is_admin": True, "name": "forged"}
    raised = base64url(json.dumps(other).encode())
    none = base64url(b'{"alg":"none","typ":"JWT"}')
    first = "A" if signature[0] != "A" else "B"
    late = base64url(json.dumps({**other, "exp": int(time.time()) + 10**6}).encode())
    return {"another signature": f"{head}.{claims}.{first}{signature[1:]}", "other claims": f"{head}.{raised}.{signature}",
            "no algorithm": f"{none}.{claims}.", "no algorithm, old signature": f"{none}.{raised}.{signature}", "no signature": f"{head}.{claims}.",
            "a later end": f"{head}.{late}.{signature}", "two parts": f"{head}.{claims}", "a word": "nosuch", "signature cut": token[:-4]}


# ---- the contract ----
class Operation:
    def __init__(self, doc, method, path, spec):
        self.method, self.path, self.spec, self.id = method, path, spec, spec["operationId"]
        self.segments = path.split("/")
        self.parameters = list(parameters(doc, spec).values())
        self.responses = {int(status): resolve(doc, r) for status, r in spec["responses"].items()}
        rows = spec.get("security", doc.get("security")) or [{}]
        self.schemes = {name for row in rows for name in row}
        body = resolve(doc, spec.get("requestBody")) or {}
        self.media = next(iter(body.get("content") or {}), None)
        self.body = (body["content"][self.media] or {}).get("schema") if self.media else None
        self.websocket = bool(spec.get("x-sbx-websocket"))

    @property
    def path_names(self):
        return [s[1:-1] for s in self.segments if s.startswith("{")]

    def kind_of(self, name):
        """capsule for {id} of a capsule: what the parameter is called among the components."""
        kind = next(k for k, p in CONTRACT.doc["components"]["parameters"].items() if p["name"] == name and any(p is q for q in self.parameters))
        return "tag" if kind == "process" else kind  # a word below a capsule

    def target(self, values):
        """values: name -> text"""
        return "/".join(quote(values[s[1:-1]], safe="") if s.startswith("{") else s for s in self.segments)

    def takes(self, segments):
        return len(segments) == len(self.segments) and all(m == s or (m.startswith("{") and s) for m, s in zip(self.segments, segments))

    def properties(self):
        """The members that its body may have."""
        return {} if self.body is None else {k: v for row in CONTRACT.shapes.rows(self.body) for k, v in row.get("properties", {}).items()}


class Contract:
    def __init__(self):
        self.doc = load(os.path.join(TOP, "shared/specs/wrenn.yaml"))
        self.shapes = Shapes(self.doc, True)  # closed: what the contract does not name is not sent
        self.ops = [Operation(self.doc, method, path, spec) for (method, path), spec in operations(self.doc).items()]
        self.by_id = {op.id: op for op in self.ops}

    def find(self, method, path):
        segments = path.partition("?")[0].split("/")
        mine = [op for op in self.ops if op.method == method and op.takes(segments)]
        return min(mine, key=lambda op: [s.startswith("{") for s in op.segments], default=None)

    def wrong(self, answer):
        """What the contract does not allow in an answer; None when all is well. Error statuses that it does not list have the same shape."""
        op = self.find(answer.method, answer.target)
        if op is None:
            return None
        response = op.responses.get(answer.status)
        if response is None and answer.status < 400:
            return f"{op.id}: status {answer.status} is not declared"
        contents = (response or {}).get("content") or ({JSON: {"schema": {"$ref": "#/components/schemas/Error"}}} if answer.status >= 400 else {})
        if not contents:
            return f"{op.id}: {answer.status} with a body: {answer.body[:100]!r}" if answer.body else None
        media = answer.headers.get("content-type", "").split(";")[0]
        if media not in contents:
            return f"{op.id}: {answer.status} is {media or 'of no type'}"
        if media != JSON:
            return None
        try:
            value = json.loads(answer.body)
        except ValueError:
            return f"{op.id}: {answer.status} is no JSON: {answer.body[:200]!r}"
        schema = contents[media]["schema"]
        bad = next(self.faults(schema, value, ""), None)
        if bad is None and not self.shapes.valid(schema, value):
            bad = "does not fit its schema"
        return f"{op.id}: {answer.status}: {bad}: {answer.body[:300].decode('utf-8', 'replace')}" if bad else None

    def faults(self, schema, value, name):
        """What the schema cannot say: members that must be there, whole seconds, the form of ids, and no null."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            schema = resolve(self.doc, schema)
        for part in schema.get("allOf", ()):
            yield from self.faults(part, value, name)
        if value is None:
            yield f"null where {name} would be left out"
        if isinstance(value, dict):
            yield from (f"{name} without {m}" for m in ALWAYS.get(name, "").split() if m not in value)
            yield from (f"null as {m} of {name}" for m, v in value.items() if v is None)
            for member, inner in schema.get("properties", {}).items():
                if value.get(member) is not None:
                    prefix = IDS.get(f"{name}.{member}") or IDS.get(member)
                    if prefix and isinstance(value[member], str) and not is_id(prefix, value[member]):
                        yield f"{value[member]} is no id of {prefix}-"
                    yield from self.faults(inner, value[member], member)
        elif isinstance(value, list):
            for v in value:
                yield from self.faults(schema.get("items", {}), v, name)
        elif isinstance(value, str) and schema.get("format") == "date-time":
            try:
                moment(value)
            except AssertionError as e:
                yield str(e)


CONTRACT = Contract()


# ---- HTTP ----
class Answer:
    def __init__(self, method, target, status, headers, body):
        self.method, self.target, self.status, self.headers, self.body = method, target, status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The code of an error."""
        try:
            return self.json["error"]["code"]
        except (ValueError, KeyError, TypeError):
            return None

    def __repr__(self):
        return f"{self.method} {self.target[:120]} -> {self.status} {self.body[:300].decode('utf-8', 'replace')}"


class Client:
    """Asks with one credential, on a kept connection of each thread."""

    def __init__(self, address, headers=()):
        self.address, self.headers, self.local = address, tuple(headers), threading.local()

    def but(self, *headers):
        """The same with other headers only."""
        return Client(self.address, headers)

    def wire(self):
        old = getattr(self.local, "wire", None)
        if old is not None and select.select([old.socket], [], [], 0)[0]:  # the daemon ended it, or had more to say than it should
            old.close()
            old = None
        if old is None:
            self.local.wire = Wire(self.address, 60)
        return self.local.wire

    def raw(self, method, target, body=None, headers=()):
        """No look at the contract."""
        wire = self.wire()
        try:
            wire.send(method, target, body, [*self.headers, *headers])
            got = wire.read(method == "HEAD")
        except Exception:
            wire.close()
            self.local.wire = None
            raise
        if got.headers.get("connection", "").lower() == "close":
            wire.close()
            self.local.wire = None
        return Answer(method, target, *got)

    def ask(self, method, target, body=None, headers=()):
        answer = self.raw(method, target, body, headers)
        wrong = CONTRACT.wrong(answer)
        assert wrong is None, f"against the contract: {wrong}"
        return answer

    def get(self, target):
        return self.ask("GET", target)

    def post(self, target, body=None):
        return self.ask("POST", target, body)

    def put(self, target, body=None):
        return self.ask("PUT", target, body)

    def patch(self, target, body=None):
        return self.ask("PATCH", target, body)

    def delete(self, target):
        return self.ask("DELETE", target)

    def upload(self, target, *parts, chunked=False):
        """A multipart form of (name, bytes) or (name, bytes, filename)."""
        mark = secrets.token_hex(8)
        body = b""
        for name, data, *filename in parts:
            more = f'; filename="{filename[0]}"\r\nContent-Type: application/octet-stream' if filename else ""
            body += f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
        body += f"--{mark}--\r\n".encode()
        headers = [("Content-Type", f"multipart/form-data; boundary={mark}")]
        if chunked:
            headers.append(("Transfer-Encoding", "chunked"))
            pieces = [body[i:i + 7000] for i in range(0, len(body), 7000)] + [b""]
            body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces)
        return self.ask("POST", target, body, headers)


def ok(answer, status=200):
    """The JSON of a good answer, None when it has no body."""
    assert answer.status == status, f"not {status}: {answer}"
    return answer.json if answer.body else None


def fault(answer, status, code=None):
    """An error of this status (or one of these) and code (or one of these)."""
    statuses, codes = (status if isinstance(status, tuple) else (status,)), (code if isinstance(code, tuple) else (code,))
    assert answer.status in statuses, f"not {' or '.join(map(str, statuses))}: {answer}"
    body = answer.json
    assert isinstance(body.get("error"), dict) and body["error"].get("code") and body["error"].get("message"), f"no error: {answer}"
    assert code is None or answer.code in codes, f"not {code}: {answer}"
    return body["error"]


def bad_request(answer):
    return fault(answer, 400, "invalid_request")


def not_found(answer):
    return fault(answer, 404, "not_found")


def bearer(token):
    return "Authorization", f"Bearer {token}"


# ---- WebSockets ----
class Refused(Exception):
    """The handshake was answered with something else: .answer."""

    def __init__(self, answer):
        super().__init__(repr(answer))
        self.answer = answer


class Socket:
    """One WebSocket of JSON text messages (digest 5). fault() judges a refusal."""

    def __init__(self, address, target, headers=()):
        self.socket = socket.create_connection(address, 20)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {target} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                 f"Sec-WebSocket-Key: {key}", *(f"{k}: {v}" for k, v in headers)]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(4096)
            assert more, "the handshake was not answered"
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *others = head.decode("latin-1").split("\r\n")
        names = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in others)}
        status = int(first.split(" ")[1])
        if status != 101:
            length = int(names.get("content-length", 0))
            while len(rest) < length and (more := self.socket.recv(65536)):
                rest += more
            self.socket.close()
            raise Refused(Answer("GET", target, status, names, rest))
        self.data, self.message, self.over = rest, b"", False
        self.kind = 0

    def send(self, **message):
        self.text(json.dumps(message).encode())

    def text(self, data):
        self.socket.sendall(frame(1, data))

    def ping(self, data):
        self.socket.sendall(frame(9, data))

    def cut(self):
        """Take a whole frame from what has come: (last, opcode, payload), or None."""
        data = self.data
        if len(data) < 2:
            return None
        n, at = data[1] & 127, 2
        if n >= 126:
            at = 4 if n == 126 else 10
            n = int.from_bytes(data[2:at], "big") if len(data) >= at else len(data)
        if len(data) < at + n:
            return None
        assert not data[1] & 128, "a masked frame of the server"
        self.data = data[at + n:]
        return data[0] >> 7, data[0] & 15, data[at:at + n]

    def frame(self, seconds):
        """(opcode, payload) of the next message or control frame; None when the connection is over. TimeoutError when nothing comes."""
        end = time.monotonic() + seconds
        while not self.over:
            if (got := self.cut()) is None:
                self.socket.settimeout(max(end - time.monotonic(), 0.001))
                try:
                    more = self.socket.recv(1 << 20)
                except ConnectionError:
                    more = b""
                self.data += more
                self.over = not more
                continue
            last, opcode, payload = got
            if opcode == 9:
                self.socket.sendall(frame(10, payload))
            elif opcode == 8:
                self.over = True
            if opcode >= 8:
                return None if opcode == 8 else (opcode, payload)
            self.message += payload
            self.kind = opcode or self.kind
            if last:
                payload, self.message = self.message, b""
                return self.kind, payload
        return None

    def next(self, seconds=20):
        """The next message; None when the connection is over."""
        end = time.monotonic() + seconds
        while (got := self.frame(end - time.monotonic())) is not None:
            if got[0] == 1:
                return json.loads(got[1])
        return None

    def take(self, kind, seconds=20):
        """Messages up to the first of this type, which is the last of them."""
        out, end = [], time.monotonic() + seconds
        while True:
            message = self.next(end - time.monotonic())
            assert message is not None, f"over before {kind}: {out}"
            out.append(message)
            if message["type"] == kind:
                return out

    def rest(self, seconds=20):
        """All messages until the connection is over."""
        out, end = [], time.monotonic() + seconds
        while (message := self.next(end - time.monotonic())) is not None:
            out.append(message)
        return out

    def close(self):
        self.socket.close()


# ---- the daemon ----
class Server(Daemon):
    """A private daemon with a port, or one that is there already."""

    def __init__(self, name, at=None, home=None, **more):
        self.more = more
        self.address, self.there, self.built, self.carriers = None, at is not None, False, []
        if self.there:
            host, _, port = at.rpartition(":")
            self.address, self.home = (host, int(port)), home
        else:
            super().__init__(name)
        self.anyone = Client(self.address)

    def up(self):
        self.env["SBX_POOL"] = "0"
        self.env["SBX_PASSWORD_COST"] = "4"  # tests log in all the time
        self.env.update(self.more)
        self.env["WRENN_TEST_MARK"] = "of-the-daemon"  # must not be seen by commands in capsules
        address = self.sbx("up", "--listen", "127.0.0.1:0").split()[-1]
        host, _, port = address.rpartition(":")
        self.address = host, int(port)

    def image(self):
        """What capsules start from is built once for all, so that no check's deadline pays for it."""
        if not self.there and not self.built:
            self.built = True
            subprocess.run([os.path.join(BIN, "sbx"), "image", "build", "base"], env=self.env, timeout=300, check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def down(self):
        for carrier in self.carriers:
            carrier.end()
        if not self.there:
            super().down()

    def signup(self, name="Ann", password="correct horse", email=None, **more):
        """A new account; its Person."""
        email = email or f"{unique(re.sub('[^a-z]', '', name.lower()) or 'x')}@example.org"
        answer = self.anyone.post("/v1/auth/signup", {"email": email, "password": password, "name": name, **more})
        return Person(self, ok(answer, 201), password)

    def signups(self, *names):
        """Several at once: hashing a password is slow on purpose."""
        return together(len(names), lambda n: self.signup(names[n]))

    def login(self, email, password):
        return self.anyone.post("/v1/auth/login", {"email": email, "password": password})

    # ---- what only who runs the server can do: Wrenn's administrators are made by hand in its database (digest 2.1) ----
    def by_hand(self, columns, flag, column, value):
        """Set a flag in the one table that has all these columns."""
        for path in glob.glob(os.path.join(self.home or "/nowhere", "*.sqlite")):
            db = sqlite3.connect(path, timeout=10)
            try:
                for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    has = {row[1] for row in db.execute(f'PRAGMA table_info("{table}")')}
                    if set(columns) <= has and db.execute(f'UPDATE "{table}" SET {flag} = 1 WHERE {column} = ?', (value,)).rowcount == 1:
                        db.commit()
                        return True
            finally:
                db.close()
        return False

    def make_admin(self, person):
        """The person as administrator of the server, logged in anew so that the token says so, too."""
        done = self.by_hand(("admin", "email"), "admin", "email", person.email)
        assert done, "no table has admin beside an email: adapt Server.make_admin"
        return Person(self, ok(self.login(person.email, person.password)), person.password)

    def allow_byoc(self, admin, person):
        """The team of the person may bring hosts of its own (PUT /v1/admin/teams/{id}/byoc, digest 2.7), or by hand."""
        if admin.ask("PUT", f"/v1/admin/teams/{person.team_id}/byoc", {"enabled": True}).status < 300:
            return
        slug = ok(person.get(f"/v1/teams/{person.team_id}"))["team"]["slug"]
        assert self.by_hand(("byoc", "slug"), "byoc", "slug", slug), "no table has byoc beside a slug: adapt Server.allow_byoc"


class Person(Client):
    """Somebody who is logged in to a team."""

    def __init__(self, server, auth, password):
        super().__init__(server.address, [bearer(auth["token"])])
        self.server, self.auth, self.password = server, auth, password
        self.jwt, self.user_id, self.team_id, self.email, self.name = (auth[k] for k in ("token", "user_id", "team_id", "email", "name"))

    @functools.cached_property
    def made_key(self):
        return ok(self.post("/v1/api-keys", {"name": "made by the kit"}), 201)

    @functools.cached_property
    def key(self):
        """A client with an API key of the team."""
        return self.but(("X-API-Key", self.made_key["key"]))

    def switch(self, team_id):
        """The same person in another team."""
        return Person(self.server, ok(self.post("/v1/auth/switch-team", {"team_id": team_id})), self.password)

    def found(self, name=None):
        """A new team of this person, who works in it."""
        return self.switch(ok(self.post("/v1/teams", {"name": name or unique("Team")}), 201)["id"])

    def take_in(self, person, role="member"):
        """The other person in this team, with this role."""
        ok(self.post(f"{self.team}/members", {"email": person.email}), 201)
        if role != "member":
            ok(self.patch(f"{self.team}/members/{person.user_id}", {"role": role}), 204)
        return person.switch(self.team_id)

    @property
    def team(self):
        return f"/v1/teams/{self.team_id}"

    def websocket(self, target, *headers):
        return Socket(self.address, target, headers or self.headers)


class Carrier:
    """A real host of the server's: sbxd --role host in a home of its own, announced by somebody who may."""

    def __init__(self, who, **announced):
        self.server, self.home, self.process = who.server, tempfile.mkdtemp(prefix="sbx-wh.", dir="/tmp"), None
        made = ok(who.post("/v1/hosts", announced), 201)
        self.id = made["host"]["id"]
        host, port = self.server.address
        self.up("--control", f"http://{host}:{port}", token=made["registration_token"])
        self.server.carriers.append(self)

    def up(self, *args, token=""):
        env = {**self.server.env, "SBX_HOME": self.home, "SBX_HOST_TOKEN": token}
        read, write = os.pipe()
        self.process = subprocess.Popen([os.path.join(BIN, "sbxd"), "--role", "host", "--heartbeat", "1", "--ready-fd", str(write), *args],
                                        env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        pass_fds=[write])
        os.close(write)
        with os.fdopen(read) as said:
            word = said.read()
        assert word.startswith("ready"), word

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def end(self):
        """And all that it carries."""
        subprocess.run([os.path.join(BIN, "sbx"), "down", "--yes"], env={**self.server.env, "SBX_HOME": self.home}, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        subprocess.run(["rm", "-rf", self.home], check=True)


def audit(person, resource_type, action, **more):
    """The newest audit entry of this kind (digest 2.10, 7) that has these members."""
    answer = person.get(f"/v1/audit-logs?resource_type={resource_type}&action={action}&limit=200")
    rows = [row for row in ok(answer)["items"] if all(row.get(k) == v for k, v in more.items())]
    assert rows, f"no audit entry {resource_type}/{action} with {more}: {answer}"
    row = rows[0]
    assert is_id("log", row["id"]) and {"actor_type", "resource_type", "action", "scope", "status", "created_at"} <= set(row), row
    is_now(row["created_at"], 120)
    return row


# ---- a suite ----
class NotYet(Exception):
    """What the check is about does not exist yet."""


class Report(Tap):
    """Names the line of the suite, not the one in here, where a check failed."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def run(self, name, function, *args):
        self.count += 1
        try:
            function(*args)
            print(f"ok {self.count} - {name}", flush=True)
        except NotYet as e:
            print(f"ok {self.count} - {name} # SKIP {e}", flush=True)
        except Exception as e:  # pylint: disable=broad-except
            self.failed += 1
            lines = [f.lineno for f in traceback.extract_tb(e.__traceback__) if f.filename == self.path]
            text = f"{type(e).__name__}: {e}".replace("\n", "\n# ")
            print(f"# line {' < '.join(map(str, reversed(lines)))}: {text}\nnot ok {self.count} - {name}", flush=True)


class Suite:
    """The checks of one file, in order."""

    def __init__(self, name, world):
        self.name, self.world, self.checks = name, world, []

    def check(self, name):
        """Decorator: a function that takes the world and asserts."""
        def add(function):
            self.add(name, function)
            return function
        return add

    def add(self, name, function, *args):
        assert name not in (n for n, _, _ in self.checks), f"two checks are called {name}"
        self.checks.append((name, function, args))

    def main(self, **environment):
        """environment: of the daemon, besides what all have."""
        parser = argparse.ArgumentParser(usage=f"{self.name}.py [--list] [--at HOST:PORT [--home DIR]] [WORDS...]")
        parser.add_argument("--list", action="store_true", help="print the names of the checks")
        parser.add_argument("--at", help="a server that runs already")
        parser.add_argument("--home", help="the home of that server's daemon")
        parser.add_argument("words", nargs="*", help="only checks whose names contain one of these")
        args = parser.parse_args()
        chosen = [c for c in self.checks if not args.words or any(w in c[0] for w in args.words)]
        if args.list or not chosen:
            print("\n".join(name for name, _, _ in chosen) if args.list else f"no check is called {' or '.join(args.words)}")
            return 0 if args.list else 2
        started, tap = time.monotonic(), Report(sys.modules['__main__'].__file__)
        server = Server(self.name.replace("wrenn_", "w"), args.at, args.home, **environment)
        try:
            world = self.world(server)
            for name, function, more in chosen:
                before = time.monotonic()
                tap.run(name, function, world, *more)
                if time.monotonic() - before > 3:
                    print(f"# {time.monotonic() - before:.1f} s", flush=True)
        finally:
            server.down()
        print(f"# {time.monotonic() - started:.1f} s")
        return tap.end()


def decode64(text):
    """Standard, padded base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as e:
        raise AssertionError(f"no base64: {text[:80]}") from e


def encode64(data):
    return base64.b64encode(data).decode()
