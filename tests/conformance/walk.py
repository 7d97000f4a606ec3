#!/usr/bin/env python3
"""Walk every operation of every contract on a running daemon: least and full valid requests, and each way to break one.

usage: walk.py [--table] [--only DIALECT] [--daemon HOME ADDRESS KEY]

What is sent and what must come back is worked out from shared/specs/*.yaml: the schemas say what is valid, x-sbx-faults how an error
looks. TAP, one line for each transport, dialect and category, the failed cases before it as comments; --table prints instead what has
handlers and passes, by dialect. The daemon is a private one, started here and ended again, unless one is named.
"""
import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter, defaultdict
from typing import NamedTuple
from urllib.parse import quote

from contracts import TOP, load, operations, parameters, resolve
from shapes import Shapes, exploded

BIN = os.environ.get("SBX_BIN") or os.path.join(TOP, "build/bin")
NAMES = "sbx wrenn voidrun freestyle mcp-v8 molecule".split()  # in the daemon's order: the first has what is nobody's
KINDS = {"invalid_request": 400, "unauthorized": 401, "forbidden": 403, "not_found": 404, "method_not_allowed": 405, "conflict": 409,
         "invalid_state": 409, "too_large": 413, "unsupported_media_type": 415, "limit_exceeded": 429, "not_implemented": 501,
         "unavailable": 503}
STAGES = {"syntax": "invalid_request", "schema": "invalid_request", "parameter": "invalid_request", "route": "not_found"}
BODY_MAX = 16 << 20
BROKEN_MAX = 20  # connections; more, and the daemon is not worth asking
# Operations with a handler that changes more than one object, or has none to fail on: valid requests only for those named here.
CHEAP = {"createKey", "addListener"}
TRIES = ["nosuch", "", "-1", "0", "1.5", "007", "99999999999999999999", "true", "TRUE", "a,b", "null", "é"]
EXTRA_METHODS = "PATCH DELETE PUT POST GET TRACE OPTIONS BREW".split()
JSON = "application/json"


class Case(NamedTuple):
    """One request. want: "ok", or the kinds of fault of which it must be one; words: the dialects in one of whose shapes."""
    op: object
    category: str
    what: str
    method: str
    target: str
    headers: tuple
    body: bytes | None
    want: str | tuple
    words: tuple
    early: bool = False  # decided before the credential is looked at


# ---- contracts ----
class Op:
    """One operation of a contract, with all that is needed to ask for it."""

    def __init__(self, dialect, method, path, spec):
        doc = dialect.doc
        self.dialect, self.method, self.spec, self.id = dialect, method, spec, spec["operationId"]
        self.path = dialect.base + ("" if dialect.base and path == "/" else path)
        self.segments = self.path.split("/")[1:]
        self.parameters = list(parameters(doc, spec).values())
        self.rest = {p["name"] for p in self.parameters if p.get("x-sbx-rest")}
        self.kinds = [self.kind(s) for s in self.segments]
        body = resolve(doc, spec.get("requestBody")) or {}
        self.contents, self.body_required = body.get("content") or {}, bool(body.get("required"))
        self.json = next((c for c in self.contents if is_json(c)), None)
        self.body_schema = (self.contents[self.json] or {}).get("schema", {}) if self.json else None
        self.responses = {str(status): resolve(doc, r) for status, r in spec.get("responses", {}).items()}
        rows = spec.get("security", doc.get("security")) or [{}]
        self.public = {} in rows
        schemes = (doc.get("components") or {}).get("securitySchemes", {})
        self.schemes = [schemes[name] for row in rows if len(row) == 1 for name in row]
        names = [name for row in rows for name in row]
        self.personal = doc["info"]["title"].startswith("Wrenn") and names == ["bearerAuth"]  # an API key is not enough
        self.local, self.shared = bool(spec.get("x-sbx-local")), bool(spec.get("x-sbx-shared"))
        self.body_limit = spec.get("x-sbx-body-limit", BODY_MAX)
        self.endless = bool(spec.get("x-sbx-websocket") or spec.get("x-sbx-stream"))
        self.handled = False

    def kind(self, segment):
        """0 plain, 1 a parameter, 2 one that takes the rest: the order in which they are preferred."""
        return 0 if not segment.startswith("{") else 2 if segment[1:-1] in self.rest else 1

    def takes(self, segments):
        """Does its path match these (decoded) segments, or begin with them?"""
        if len(segments) > len(self.segments) and 2 not in self.kinds:
            return None
        for kind, mine, segment in zip(self.kinds, self.segments, segments):
            if kind == 2:
                return "whole"
            if (kind == 0 and mine != segment) or (kind == 1 and segment == ""):
                return None
        return "whole" if len(segments) == len(self.segments) else "start"


class Dialect:
    def __init__(self, name):
        self.name, self.doc = name, load(os.path.join(TOP, f"shared/specs/{name}.yaml"))
        url = self.doc.get("x-sbx-base") or (self.doc.get("servers") or [{"url": ""}])[0]["url"]
        self.base = re.sub(r"^\w+://[^/]*", "", url).rstrip("/")
        self.closed = self.doc.get("x-sbx-unknown-fields", "refuse") == "refuse"
        self.shapes = Shapes(self.doc, self.closed)
        faults = self.doc.get("x-sbx-faults", {})
        self.shape, self.kinds = faults.get("shape"), faults.get("kinds") or {}
        self.ops = [Op(self, method, path, spec) for (method, path), spec in operations(self.doc).items()]

    def fault(self, kind, answer):
        """What is wrong with the answer as a fault of this kind; None when nothing is."""
        base = STAGES.get(kind, kind)
        says = self.kinds.get(kind) or self.kinds.get(base) or {}
        status, how = says.get("status", KINDS[base]), says.get("as", "json")
        if answer.status != status:
            return f"{answer.status} is not {status}"
        media, text = answer.headers.get("content-type"), answer.body.decode("utf-8", "replace")
        if answer.method == "HEAD":
            return "HEAD with a body" if text else None
        if how == "empty":
            return None if not text and media is None else f"not empty: {text[:80]}"
        if how == "text":
            own = re.escape(says.get("message", "$message")).replace(r"\$message", "(?s:.+)")
            good = (media or "").startswith("text/plain") and re.fullmatch(own, text)
            return None if good else f"not the text: {media} {text[:80]}"
        try:
            value = json.loads(text)
        except ValueError:
            return f"no JSON: {text[:80]}"
        words = {"$code": says.get("code", base), "$message": says.get("message"), "$status": status, "$hint": None}
        return None if media == JSON and alike(self.shape, value, words) else f"not the shape of {kind}: {media} {text[:120]}"


def alike(shape, value, words):
    if isinstance(shape, dict):
        may = {k for k, v in shape.items() if v == "$hint"}
        if not isinstance(value, dict) or not set(shape) - may <= set(value) <= set(shape):
            return False
        return all(alike(shape[k], v, words) for k, v in value.items())
    if isinstance(shape, str) and shape in words:
        return value == words[shape] if words[shape] is not None else isinstance(value, str) and value != ""
    return value == shape


def is_json(media):
    return media.startswith(JSON) or media.endswith("+json")


def takes_media(contents, media):
    """Bytes are bytes under any name but that of an envelope; what is named, is taken."""
    for own in contents:
        if own in (media, "*/*") or (is_json(own) and is_json(media)):
            return True
        if not is_json(own) and own.startswith("multipart/") == media.startswith("multipart/"):
            return True
    return False


class Router:
    def __init__(self, dialects):
        self.ops = [op for d in dialects for op in d.ops]

    def find(self, method, segments):
        """The operation, or the kind of fault; and whose words it may have."""
        whole = [op for op in self.ops if op.takes(segments) == "whole"]
        mine = sorted((op for op in whole if op.method == ("GET" if method == "HEAD" else method)), key=lambda op: op.kinds)
        if mine:
            return mine[0], (mine[0].dialect,)
        if whole:
            return "method_not_allowed", tuple({op.dialect for op in whole})
        return "route", self.owners(segments)

    def owners(self, segments):
        """In whose words to refuse: who has the longest beginning of this path. Where several have it, the first may speak, too."""
        for n in range(len(segments), 0, -1):
            near = {op.dialect for op in self.ops if op.takes(segments[:n])}
            if near:
                return tuple(near if len(near) == 1 else near | {self.ops[0].dialect})
        return (self.ops[0].dialect,)

    def allow(self, segments):
        methods = {op.method for op in self.ops if op.takes(segments) == "whole"}
        return methods | ({"HEAD"} if "GET" in methods else set())


# ---- cases ----
class Cases:
    """All cases of one operation."""

    def __init__(self, op, router, key):
        self.op, self.router, self.key, self.shapes, self.out = op, router, key, op.dialect.shapes, []
        self.words = (op.dialect,)

    def add(self, category, what, want="ok", **change):
        """The full valid request with something changed."""
        given = {"method": self.op.method, "target": self.target, "headers": self.headers, "body": self.body, "words": self.words}
        if category == "full" and want != "ok":
            category = "type"
        self.out.append(Case(self.op, category, what, want=want, **{**given, **change}))

    def request(self, full):
        """Target, headers and body of a valid request."""
        op, path, query, headers = self.op, op_path(self.op, self.shapes, full), [], []
        for p in op.parameters:
            if p["in"] in ("query", "header") and (full or p.get("required")):
                value = self.shapes.make(p["schema"], full)
                texts = [text_of(v) for v in value] if isinstance(value, list) else [text_of(value)]
                texts = texts if exploded(p) and isinstance(value, list) else [",".join(texts)]
                (query if p["in"] == "query" else headers).extend((p["name"], t) for t in texts)
        body = None
        if op.json and (full or op.body_required):
            body = json.dumps(self.shapes.make(op.body_schema, full), ensure_ascii=False).encode()
        elif op.contents and (full or op.body_required):
            body = b"x"
        return path, query, headers + ([("Content-Type", op.json or concrete(next(iter(op.contents))))] if body is not None else []), body

    def build(self):
        op = self.op
        if op.shared:
            self.words = tuple(o.dialect for o in self.router.ops if o.path == op.path and o.method == op.method)
        self.path, self.query, self.headers, self.body = self.request(False)
        self.target = self.path + query_text(self.query)
        self.add("valid", "least request")
        self.path, self.query, self.headers, self.body = self.request(True)
        self.target = self.path + query_text(self.query)
        self.add("valid", "full request")
        if op.method == "GET" and not op.handled:
            self.add("valid", "HEAD", method="HEAD")
        self.query_and_path()
        if op.json:
            self.json_body()
            self.broken_json()
        if op.contents:
            self.media()
        self.paths()
        self.framing()
        self.credentials()
        return self.out

    def query_and_path(self):
        for p in self.op.parameters:
            given = {"query": self.query, "header": self.headers, "path": ()}.get(p["in"], ())
            without = [(k, v) for k, v in given if k != p["name"]]
            wants = [("ok" if self.shapes.valid_text(p, t) else ("parameter",), t) for t in TRIES + enums(self.shapes, p)]
            for want, text in wants:
                if p["in"] == "query":
                    self.add("query", f"{p['name']}={text}", want, target=self.path + query_text([*without, (p["name"], text)]))
                elif p["in"] == "header" and text and text.isascii():
                    self.add("header", f"{p['name']}: {text}", want, headers=[*without, (p["name"], text)])
                elif p["in"] == "path" and text and not p.get("x-sbx-rest"):
                    self.path_value(p["name"], text, want)
            if p["in"] == "query":
                self.add("query", f"{p['name']} is no UTF-8", ("parameter",), target=self.path + query_text(without, p["name"] + "=%ff"))
                self.twice(p, without)
            if p["in"] in ("query", "header") and p.get("required"):
                change = {"target": self.path + query_text(without)} if p["in"] == "query" else {"headers": without}
                self.add("required parameter", p["name"], ("parameter",), **change)
        self.add("unknown", "query parameter", ("parameter",) if self.op.dialect.closed else "ok",
                 target=self.path + query_text([*self.query, ("nosuchparameter", "1")]))

    def twice(self, p, without):
        lists = [r for r in self.shapes.rows(p["schema"]) if r.get("type") == "array"]
        good = text_of(self.shapes.make(lists[0].get("items", {}) if lists else p["schema"], True))
        single = not (lists and exploded(p)) or lists[0].get("maxItems", 2) < 2
        self.add("query", f"{p['name']} twice", ("parameter",) if single else "ok",
                 target=self.path + query_text([*without, (p["name"], good), (p["name"], good)]))

    def path_value(self, name, text, want):
        """Another value of a path parameter, unless other paths know it as a word."""
        def path(value):
            return [value if s == f"{{{name}}}" else self.values[i] for i, s in enumerate(self.op.segments)]
        if self.router.find(self.op.method, path(text))[0] is self.op:
            self.add("path", f"{name}={text}", want, target="/" + "/".join(path(quote(text, safe=""))) + query_text(self.query))

    @property
    def values(self):
        return self.path.split("/")[1:]

    # ---- bodies ----
    def json_body(self):
        op, schema = self.op, self.op.body_schema
        seen = set()
        for full in (False, True):
            value = self.shapes.make(schema, full)
            for category, where, changed in self.shapes.changes(schema, value):
                body = json.dumps(changed, ensure_ascii=False).encode()
                if body in seen or len(body) > 100000:
                    continue
                seen.add(body)
                want = "ok" if self.shapes.valid(schema, changed) else ("schema",)
                self.add(category, where or "the body", want, body=body, headers=self.typed(op.json))
        self.add("null", "the body", "ok" if self.shapes.valid(schema, None) else ("schema",), body=b"null", headers=self.typed(op.json))

    def typed(self, media):
        return [h for h in self.headers if h[0] != "Content-Type"] + ([("Content-Type", media)] if media else [])

    def broken_json(self):
        op, good = self.op, self.body
        headers = self.typed(op.json)
        bad = {"word": b"nonsense", "cut": good[:-1], "comma": good[:-1] + b",}", "trailing": good + b" x", "two": good + good,
               "single quotes": b"{'a': 1}", "UTF-8": b'{"a": "\xff\xfe"}', "NUL": b'{"a": "\\u0000"}', "raw NUL": b'{"a": "\0"}',
               "lone surrogate": b'{"a": "\\ud800"}', "BOM": b"\xef\xbb\xbf" + good, "NaN": b'{"a": NaN}',
               "control": b'{"a": "\x01"}', "leading zero": b'{"a": 01}', "blank": b"  \n "}
        for what, body in bad.items():
            self.add("syntax", what, ("syntax",), body=body, headers=headers)
        if good.startswith(b"{") and good != b"{}":
            name = next(iter(json.loads(good)))
            member = json.dumps({name: json.loads(good)[name]}, ensure_ascii=False).encode()[1:-1]
            self.add("syntax", f"{name} twice", ("syntax",), body=b"{" + member + b", " + good[1:], headers=headers)
        self.add("nesting", "10000 arrays", ("syntax", "too_large"), body=b"[" * 10000 + b"]" * 10000, headers=headers)
        self.add("nesting", "10000 objects, cut", ("syntax", "too_large"), body=b'{"a":' * 10000, headers=headers)
        # where the headers are enough to refuse it, the body is not looked at
        early = ("parameter", "forbidden", "not_found", "unauthorized") if op.dialect.name == "wrenn" else ()
        self.add("limit", "body", ("too_large", *early), body=b"", headers=[*headers, ("Content-Length", str(op.body_limit + 1))])
        self.add("empty body", "empty", ("syntax",) if op.body_required else "ok", body=b"", headers=headers)
        self.add("empty body", "none", ("syntax",) if op.body_required else "ok", body=None, headers=self.typed(None))

    def media(self):
        op = self.op
        body = self.body if op.json else b"x"
        for media in ("text/plain", "multipart/form-data; boundary=x", "application/xml", "image/png"):
            lax = op.json and op.dialect.doc.get("x-sbx-content-types") == "ignore"
            want = "ok" if lax or takes_media(op.contents, media) else ("unsupported_media_type",)
            self.add("media", media, want, body=body, headers=self.typed(media))
        for media in op.contents:
            self.add("media", media, body=body, headers=self.typed(concrete(media)))
        if op.json:
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (body[:1], body[1:]) if c) + b"0\r\n\r\n"
            self.add("media", "in chunks", body=chunks, headers=[*self.typed(op.json), ("Transfer-Encoding", "chunked")])
            for media in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json", None):
                self.add("media", str(media), body=body, headers=self.typed(media))

    # ---- paths ----
    def paths(self):
        op = self.op
        others = [m for m in EXTRA_METHODS if m not in self.router.allow(self.values)]
        for method in others:
            found, words = self.router.find(method, self.values)
            self.add("method", method, (found,), method=method, words=words, early=True, body=None, headers=self.typed(None))
        tricks = {"below": self.path + "/zz-nosuch", "trailing slash": self.path + "/", "double slash": "/" + self.path,
                  "dots": self.path + "/..", "dot first": "/." + self.path, "upper case": self.path.upper(),
                  "inner slashes": self.path.replace("/", "//"), "cut": self.path.rsplit("/", 1)[0] + "/zz-nosuch"}
        for what, path in tricks.items():
            found, words = self.router.find(op.method, path.split("/")[1:])
            if isinstance(found, str):
                self.add("route", what, (found,), target=path, words=words, early=True, body=None, headers=self.typed(None))
        plain = [i for i, k in enumerate(op.kinds) if k == 0 and op.segments[i]]
        if plain:
            word = self.values[plain[-1]]
            coded = [f"%{ord(word[0]):02X}{word[1:]}" if i == plain[-1] else v for i, v in enumerate(self.values)]
            self.add("path", "an escaped letter", target="/" + "/".join(coded) + query_text(self.query))
        for i, kind in enumerate(op.kinds):
            if kind:
                self.escapes(i, next(p for p in op.parameters if p["in"] == "path" and p["name"] == op.segments[i][1:-1]))

    def escapes(self, i, p):
        def at(value):
            return "/" + "/".join(value if n == i else v for n, v in enumerate(self.values)) + query_text(self.query)
        for text in ("a/b", "../..", "a b?c#d&e=f;g%h", "ä", "a" * 300):
            want = "ok" if self.shapes.valid_text(p, text) else ("parameter",)
            self.add("path", f"{p['name']}={quote(text, safe='')[:40]}", want, target=at(quote(text, safe="")))
        near = self.router.owners(self.values[:i])
        for bad in ("%00", "a%00b", "%zz", "%4", "%"):
            self.add("path", f"{p['name']}={bad}", ("parameter",), target=at(bad), words=near, early=True)
        # who brings no token of a host hears that first
        host = any(s.get("name") == "X-Host-Token" for s in self.op.schemes)
        for bad in ("%ff", "%c0%af", "%ed%a0%80"):
            self.add("path", f"{p['name']}={bad}", ("parameter", "unauthorized") if host else ("parameter",), target=at(bad))

    # ---- headers ----
    def framing(self):
        length = str(len(self.body or b""))
        for what, more in (("two lengths", [("Content-Length", length), ("Content-Length", length)]),
                           ("length and chunked", [("Content-Length", length), ("Transfer-Encoding", "chunked")]),
                           ("two encodings", [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")]),
                           ("unknown encoding", [("Transfer-Encoding", "gzip")]), ("two hosts", [("Host", "localhost")]),
                           ("blank in a name", [("X-A ", "b")])):
            self.add("framing", what, ("invalid_request",), headers=[*self.headers, *more], body=b"", early=True)
        self.add("framing", "another site", ("forbidden",), headers=[*self.headers, ("Origin", "http://evil.example")], early=True)

    def credentials(self):
        bad = "ok" if self.op.public else ("unauthorized",)
        for what, header in (("none", None), ("wrong key", ("X-API-Key", self.key + "x")), ("empty key", ("X-API-Key", "")),
                             ("wrong bearer", ("Authorization", "Bearer sbx_wrong")),
                             ("wrong scheme", ("Authorization", "Basic " + self.key))):
            self.add("credential", what, bad, headers=[*self.headers, *([header] if header else []), ("-key", "")])
        for scheme in self.op.schemes:
            name = scheme.get("name") if scheme["type"] == "apiKey" else "Authorization"
            if scheme.get("scheme", "bearer") == "bearer" and scheme.get("in", "header") == "header" and not scheme.get("x-sbx-routing"):
                secret = self.key.token if self.op.personal else self.key
                header = (name, secret if scheme["type"] == "apiKey" else f"Bearer {secret}")
                self.add("credential", f"key in {name}", headers=[*self.headers, header, ("-key", "")])
        if not self.op.public:
            bare = [*self.headers, ("-key", "")]
            self.add("credential", "comes before parameters", bad, headers=bare, target=self.path + query_text(self.query, "x=%ff"))
            if self.op.json:
                self.add("credential", "comes before the body", bad, headers=[*self.typed(self.op.json), ("-key", "")], body=b"nonsense")


def op_path(op, shapes, full):
    def value(segment):
        if not segment.startswith("{"):
            return segment
        p = next(p for p in op.parameters if p["in"] == "path" and p["name"] == segment[1:-1])
        return quote(text_of(shapes.make(p["schema"], full)), safe="")
    return "/" + "/".join(map(value, op.segments))


def enums(shapes, p):
    return [text_of(v) for row in shapes.rows(p["schema"]) for r in (row, *(shapes.rows(row["items"]) if "items" in row else ()))
            for v in r.get("enum", []) if v is not None]


def text_of(value):
    return value if isinstance(value, str) else json.dumps(value)


def query_text(pairs, raw=""):
    text = "&".join([f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs] + ([raw] if raw else []))
    return f"?{text}" if text else ""


def concrete(media):
    return media.replace("*/*", "application/x-any") + ("; boundary=x" if media.startswith("multipart/") else "")


# ---- the wire ----
class Answer(NamedTuple):
    method: str
    status: int
    headers: dict
    body: bytes


class Wire:
    """One connection, made again when the daemon ended it."""

    def __init__(self, address):
        self.address, self.socket, self.buffer, self.broken = address, None, b"", 0

    def ask(self, case, key):
        """Status 0: no answer."""
        for _ in range(1 if self.socket is None else 2):
            try:
                return self.exchange(case, key)
            except (OSError, EOFError):
                self.close()
                self.broken += 1
        return Answer(case.method, 0, {}, b"")

    def exchange(self, case, key):
        headers = list(case.headers)
        if ("-key", "") in headers:
            headers.remove(("-key", ""))
        elif key:
            headers.append(("Authorization", f"Bearer {key.token}") if case.op.personal else ("X-API-Key", key))
        if case.body is not None and not any(k in ("Content-Length", "Transfer-Encoding") for k, _ in headers):
            headers.append(("Content-Length", str(len(case.body))))
        head = f"{case.method} {case.target} HTTP/1.1\r\nHost: localhost\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n"
        if self.socket is None:
            self.socket = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
            self.socket.settimeout(10)
            self.socket.connect(self.address)
            if not isinstance(self.address, str):
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.sendall(head.encode() + (case.body or b""))
        except ConnectionError:
            pass  # the answer may be there already
        return self.answer(case)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def answer(self, case):
        status = int(self.line().split(" ")[1])
        headers = {}
        while line := self.line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = b""
        if case.op.endless and status < 300:
            headers["connection"] = "close"
        elif headers.get("transfer-encoding") == "chunked" and case.method != "HEAD":
            while n := int(self.line(), 16):
                body += self.take(n)
                self.line()
            self.line()
        elif case.method != "HEAD" and status != 204:
            body = self.take(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(case.method, status, headers, body)

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket, self.buffer = None, b""


# ---- judging ----
def declared(op, answer):
    """What is wrong with the answer of a handler: None when the contract has it. A foreign one need not list every refusal."""
    status = str(answer.status)
    response = next((op.responses[s] for s in (status, f"{status[0]}XX", "default") if s in op.responses), None)
    if response is None:
        if op.dialect.name != "sbx" and any(op.dialect.fault(k, answer) is None for k in KINDS if k != "not_implemented"):
            return None
        return f"{status} is not declared: {answer.body[:100]!r}"
    contents, media = response.get("content") or {}, answer.headers.get("content-type", "").split(";")[0]
    if answer.method == "HEAD" or (op.endless and answer.status < 300):
        return None
    if not contents:
        return f"{status} has a body: {answer.body[:100]!r}" if answer.body else None
    if media not in contents and "*/*" not in contents:
        return f"{status} is {media or 'empty'}"
    schema = (contents.get(media) or {}).get("schema")
    if not is_json(media) or schema is None:
        return None
    try:
        value = json.loads(answer.body)
    except ValueError:
        return f"{status} is no JSON"
    return None if op.dialect.shapes.valid(schema, value) else f"{status} does not fit its schema: {answer.body[:300]!r}"


def handled(case, answer):
    """What is wrong with a handler's answer to a valid request."""
    if answer.status == 501 and any(d.fault("not_implemented", answer) is None for d in case.words):
        return "501 of a handler"
    if case.op.dialect.name == "sbx" and any(case.op.kinds) and answer.status == 400:  # nothing has the names that are sent: 404
        return f"what is valid is refused: {answer.body[:200]!r}"
    return declared(case.op, answer)


def judge(case, answer, tcp, router):
    want = case.want
    if tcp and case.op.local and not case.early and want != ("unauthorized",):
        want = ("forbidden",)
    if want == "ok" and case.op.handled:
        return handled(case, answer)
    faults = [d.fault(k, answer) for d in case.words for k in (("not_implemented",) if want == "ok" else want)]
    if None not in faults:
        return f"want {want if want == 'ok' else '/'.join(want)}: {faults[0]}"
    if answer.status == 405:
        allow = set(answer.headers.get("allow", "").split(", "))
        if allow != router.allow(case.target.partition("?")[0].split("/")[1:]):
            return f"Allow is {sorted(allow)}"
    if want == ("unauthorized",) and "www-authenticate" not in answer.headers:
        return "no WWW-Authenticate"
    if want == ("invalid_request",) and case.category == "framing" and answer.headers.get("connection", "").lower() != "close":
        return "the connection goes on"
    return None


def skipped(case, tcp):
    """Valid requests that would make something big, and what only TCP has."""
    if case.category == "credential" and not tcp:
        return True
    dear = case.op.handled and case.op.method != "GET" and not any(case.op.kinds) and case.op.id not in CHEAP
    return case.want == "ok" and dear and not (tcp and case.op.local)


# ---- the daemon ----
class Key(str):
    """An API key, and a token beside it."""
    token = ""


class Daemon:
    def __init__(self, named):
        self.own = not named
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SBX_") or k == "SBX_CACHE"}
        if named:
            self.home, address, self.key = *named[:2], Key(named[2])
        else:
            self.home = os.environ.get("E2E_HOME") or tempfile.mkdtemp(prefix="sbx-w.", dir="/tmp")
            address = self.sbx("up", "--listen", "127.0.0.1:0").split()[-1]
            self.key = Key(self.sbx("key", "create", "--name", "walk").split()[-1])
        host, _, port = address.rpartition(":")
        self.tcp, self.unix = (host, int(port)), os.path.join(self.home, "sbxd.sock")
        self.key.token = self.token()

    def sbx(self, *args):
        done = subprocess.run([os.path.join(BIN, "sbx"), *args], env={**self.env, "SBX_HOME": self.home}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, timeout=60, text=True, check=True)
        return done.stdout

    def token(self):
        """Of the operator, for what needs a person."""
        probe = Op(Dialect("sbx"), "POST", "/account/local", {"operationId": "issueLocalToken", "parameters": []})
        answer = Wire(self.unix).ask(Case(probe, "", "", "POST", "/sbx/v1/account/local", (), b"", "ok", ()), None)
        return json.loads(answer.body)["token"]

    def pid(self):
        probe = Op(Dialect("sbx"), "GET", "/system", {"operationId": "getSystem", "parameters": []})
        answer = Wire(self.unix).ask(Case(probe, "", "", "GET", "/sbx/v1/system", (), None, "ok", ()), None)
        return json.loads(answer.body)["pid"] if answer.status == 200 else None

    def down(self):
        if self.own:
            self.sbx("down", "--yes")
            if "E2E_HOME" not in os.environ:
                subprocess.run(["rm", "-rf", self.home], check=True)


class Walk:
    def __init__(self, daemon, dialects, only):
        self.daemon, self.dialects = daemon, dialects
        router = Router(dialects)
        listed = subprocess.run([os.path.join(BIN, "sbxd"), "--operations"], stdout=subprocess.PIPE, text=True, check=True).stdout
        handled = {tuple(line.split()[:2]) for line in listed.splitlines() if line.endswith(" handler")}
        for op in router.ops:
            op.handled = (op.dialect.name, op.id) in handled
        self.router, self.count, self.wrong, self.bad_ops = router, Counter(), defaultdict(list), set()
        self.cases = [case for op in router.ops if only in (None, op.dialect.name) for case in Cases(op, router, daemon.key).build()]

    def run(self, transport):
        tcp = transport == "tcp"
        wire = Wire(self.daemon.tcp if tcp else self.daemon.unix)
        for case in self.cases:
            if skipped(case, tcp):
                continue
            answer = wire.ask(case, self.daemon.key if tcp else None)
            wrong = judge(case, answer, tcp, self.router)
            row = (transport, case.op.dialect.name, case.category)
            if wire.broken > BROKEN_MAX:
                break
            self.count[row] += 1
            if wrong:
                self.bad_ops.add(case.op)
                request = f"{case.method} {case.target[:150]} {(case.body or b'')[:200]!r}"
                self.wrong[row].append(f"{case.op.id}: {case.what}: {request}: {wrong}")
        wire.close()
        self.count[transport, "connections", "stay"] += 1
        if wire.broken:
            what = f"{wire.broken} ended without an answer, or without 'Connection: close' in the one before"
            self.wrong[transport, "connections", "stay"].append(what)

    def tap(self):
        for number, (row, count) in enumerate(self.count.items(), 1):
            wrong = self.wrong[row]
            print("".join(f"# {line}\n" for line in wrong[:8]) + (f"# ... {len(wrong) - 8} more\n" if len(wrong) > 8 else ""), end="")
            print(f"{'not ok' if wrong else 'ok'} {number} - {' '.join(row)} ({count} requests)")

    def table(self):
        print(f"{'dialect':10} operations implemented passing")
        for d in self.dialects:
            print(f"{d.name:10} {len(d.ops):10} {sum(op.handled for op in d.ops):11} {len(d.ops) - len(self.bad_ops & set(d.ops)):7}")
        for d in self.dialects:
            nouns = defaultdict(list)
            for op in d.ops:
                if not op.handled:
                    noun, _, verb = op.spec.get("x-sbx-command", f"{op.id} ").rpartition(" ")
                    nouns[noun].append(verb)
            if nouns:
                text = "; ".join(f"{noun} {', '.join(verbs)}" for noun, verbs in nouns.items())
                print(textwrap.fill(text, 120, initial_indent=f"\n{d.name} without handler: ", subsequent_indent="  ",
                                    break_on_hyphens=False))


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n")[2].removeprefix("usage: "))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument("--daemon", nargs=3)
    args = parser.parse_args()
    daemon = Daemon(args.daemon)
    try:
        started, pid = time.monotonic(), daemon.pid()
        walk = Walk(daemon, [Dialect(n) for n in NAMES], args.only)
        for transport in ("tcp", "unix"):
            walk.run(transport)
        total = sum(walk.count.values())
        walk.count["daemon", "is", "alive"] = 1
        if pid is None or daemon.pid() != pid:
            walk.wrong["daemon", "is", "alive"].append("it is not the process that it was")
        if args.table:
            walk.table()
            print("".join(f"{' '.join(row)}: {line}\n" for row, lines in walk.wrong.items() for line in lines), end="", file=sys.stderr)
        else:
            walk.tap()
            print(f"1..{len(walk.count)}")
        print(f"# {total} requests in {time.monotonic() - started:.1f} s", file=sys.stderr if args.table else sys.stdout)
        return 1 if any(walk.wrong.values()) else 0
    finally:
        daemon.down()


if __name__ == "__main__":
    sys.exit(main())
