#!/usr/bin/env python3
"""Each contract of ours contains all of its original, in words of our own, and names a command for every operation.

usage: contracts.py [NAME...]    (TAP; a line `NAME: METHOD PATH: where: what` a mismatch before the test that it fails)

Ours are shared/specs/NAME.yaml; the originals are in $SBX_ORIGINALS or ../shared/reference/openapi. Where a schema has a name in the
original, `where` starts with it, and a mismatch that several operations share is printed once. Ours may have more optional members,
enum values, statuses and content types; anything else that differs is a mismatch, unless tests/conformance/looser.json says why.
"""
import glob
import itertools
import json
import os
import re
import sys

import yaml

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ORIGINALS = os.environ.get("SBX_ORIGINALS") or os.path.join(TOP, "../shared/reference/openapi")
LOOSER = os.path.join(TOP, "tests/conformance/looser.json")
NAMES = "wrenn voidrun freestyle mcp-v8 molecule".split()
METHODS = "get put post delete options head patch trace".split()
RUN = 7  # words in a row that are a copy

SAME = ("format pattern minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems uniqueItems "
        "minProperties maxProperties").split()
ONLY = {"string": {"pattern", "minLength", "maxLength"}, "array": {"items", "minItems", "maxItems", "uniqueItems"},
        "object": {"properties", "required", "additionalProperties", "propertyNames", "minProperties", "maxProperties"},
        "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}}
OWNER = {key: kind for kind, keys in ONLY.items() for key in keys}
KEPT = {"type", "enum", "format", *OWNER}


class Loader(yaml.CSafeLoader):
    """YAML 1.2: no dates, and only true and false are booleans."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rows if tag[-4:] not in ("bool", "tamp")]
    for first, rows in yaml.CSafeLoader.yaml_implicit_resolvers.items()}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.load(file, Loader)


class Undefined(Exception):
    """A $ref that leads nowhere."""


def resolve(doc, node):
    """The node itself, or what its $ref leads to."""
    for _ in range(20):
        if not isinstance(node, dict) or not isinstance(node.get("$ref"), str):
            return node
        target = doc
        for part in node["$ref"].removeprefix("#/").split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, dict) or part not in target:
                raise Undefined(node["$ref"])
            target = target[part]
        node = target
    raise Undefined(node["$ref"])


def same(a, b):
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def among(value, values):
    return any(same(value, v) for v in values)


def kind_of(value):
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object", type(None): "null"}
    return kinds[type(value)]


# ---- schemas: every schema becomes a list of plain alternatives, without $ref, allOf, oneOf, anyOf, nullable, const and prose ----
def plain(schema):
    """The alternatives of a schema's own keywords: one for each of its types, which may be implied by the others."""
    own = {k: v for k, v in schema.items() if k in KEPT}
    if "const" in schema:
        own["enum"] = [schema["const"]]
    for side, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(own.get(side), bool) and own.pop(side) and limit in own:
            own[side] = own.pop(limit)
    if own.get("propertyNames") == {"type": "string"}:
        del own["propertyNames"]
    types = own.pop("type", None)
    implied = {} if types else {"implied": True}
    if types is None and "enum" in own:
        types = list(dict.fromkeys(kind_of(v) for v in own["enum"]))
    elif types is None:
        types = [kind for kind in ("object", "array") if ONLY[kind] & set(own)]
    out, types = [], types if isinstance(types, list) else [types]
    if "null" in types and None not in own.get("enum", [None]):
        types = [t for t in types if t != "null"]
    for kind in types:
        alternative = {k: v for k, v in own.items() if OWNER.get(k) in (None, kind, "number" if kind == "integer" else None)}
        if "enum" in own:
            alternative["enum"] = [v for v in own["enum"] if kind in (kind_of(v), "number" if kind_of(v) == "integer" else None)]
        out.append({"type": "null"} if kind == "null" else {"type": kind, **alternative, **implied})
    return out or [own]


def merge(a, b):
    """What satisfies both, None if nothing does."""
    out = {**a, **b}
    if {a.get("type"), b.get("type")} == {"integer", "number"}:
        out["type"] = "integer"
    elif a.get("type") and b.get("type") and a["type"] != b["type"]:
        return None
    if any("type" in x and "implied" not in x for x in (a, b)):
        out.pop("implied", None)
    if "properties" in a and "properties" in b:
        both = a["properties"].keys() & b["properties"].keys()
        out["properties"] = {**a["properties"], **b["properties"],
                             **{k: {"allOf": [a["properties"][k], b["properties"][k]]} for k in both}}
    if "required" in a and "required" in b:
        out["required"] = a["required"] + b["required"]
    if "enum" in a and "enum" in b:
        out["enum"] = [v for v in a["enum"] if among(v, b["enum"])]
    return out


def alternatives(doc, schema, seen=()):
    """Raises Undefined."""
    if not isinstance(schema, dict):
        return [{}] if schema is not False else [{"type": "nothing"}]
    parts = [plain(schema)]
    if "$ref" in schema:
        if schema["$ref"] in seen:
            return [{}]
        parts.append(alternatives(doc, resolve(doc, schema), (*seen, schema["$ref"])))
    parts += [alternatives(doc, part, seen) for part in schema.get("allOf", [])]
    parts += [[a for part in schema[k] for a in alternatives(doc, part, seen)] for k in ("oneOf", "anyOf") if k in schema]
    rows = parts[0]
    for part in parts[1:]:
        rows = [m for m in (merge(a, b) for a, b in itertools.product(rows, part)) if m is not None] or part
    rows = rows + [{"type": "null"}] if schema.get("nullable") else rows
    if {} in rows:
        return [{}]
    # Enumerations that a union spells one by one are one enumeration; the null alternative stands once, at the end.
    enums = {}
    for row in rows:
        if row.keys() - {"implied"} == {"type", "enum"}:
            known = enums.setdefault(row["type"], {**row, "enum": []})["enum"]
            known += [v for v in row["enum"] if not among(v, known)]
    rest = [r for r in rows if r.keys() - {"implied"} != {"type", "enum"} and r.get("type") != "null"]
    null = [{"type": "null"}] if any(r.get("type") == "null" for r in rows) else []
    return [r for n, r in enumerate(rest) if r not in rest[:n]] + list(enums.values()) + null


def annotation(doc, schema, key, hops=0):
    """A keyword that says nothing about the shape (default, description, deprecated): the nearest one, None if there is none."""
    if not isinstance(schema, dict) or hops > 9:
        return None
    if key in schema:
        return schema[key]
    try:
        inner = [resolve(doc, schema)] if "$ref" in schema else []
    except Undefined:
        inner = []
    choices = [s for k in ("oneOf", "anyOf") for s in schema.get(k, []) if s != {"type": "null"}]
    inner += schema.get("allOf", []) + (choices if len(choices) == 1 else [])
    return next((found for found in (annotation(doc, s, key, hops + 1) for s in inner) if found is not None), None)


def fits(value, rows):
    kinds = {kind_of(value), "number" if kind_of(value) == "integer" else None, None}
    return any(r.get("type") in kinds and ("enum" not in r or among(value, r["enum"])) for r in rows)


def show(value):
    return json.dumps(value, ensure_ascii=False)


def type_names(rows):
    return " or ".join(sorted({r.get("type", "anything") for r in rows}))


class Schemas:
    """Compares schemas of an original with ours. A mismatch is (path, what); a path that starts with a name is absolute."""

    def __init__(self, original, ours):
        self.original, self.ours, self.known = original, ours, {}

    def compare(self, a, b, request):
        key = (id(a), id(b), request)
        if key not in self.known:
            self.known[key] = [a, b, []]  # keeps both alive, and ends a recursion
            found = self.look(a, b, request)
            name = a["$ref"].split("/")[-1] if isinstance(a, dict) and "$ref" in a else ""
            self.known[key][2] = [(name + p if p[:1] in ("", ".", "[", "{", "|") else p, what) for p, what in found]
        return self.known[key][2]

    def below(self, step, a, b, request):
        return [(step + p if p[:1] in ("", ".", "[", "{", "|") else p, what) for p, what in self.compare(a, b, request)]

    def look(self, a, b, request):
        try:
            rows = alternatives(self.original, a)
        except Undefined:
            return []
        try:
            mine = alternatives(self.ours, b)
        except Undefined as e:
            return [("", f"{e} is not defined")]
        if rows == [{}]:
            return [("", f"narrower: takes only {type_names(mine)}")] if request and mine != [{}] else []
        out = []
        default = annotation(self.original, a, "default")
        if default is not None and fits(default, rows) and not same(default, annotation(self.ours, b, "default")):
            out.append(("", f"default is not {show(default)} but {show(annotation(self.ours, b, 'default'))}"))
        if annotation(self.original, a, "deprecated") and not annotation(self.ours, b, "deprecated"):
            out.append(("", "is not deprecated"))
        if {r.get("type") for r in rows} != {r.get("type") for r in mine}:
            return out + [("", f"type is not {type_names(rows)} but {type_names(mine)}")]
        # Where there is one of a type on either side there is no choice; else the best match of each.
        for n, row in enumerate(rows, 1):
            peers = [m for m in mine if m.get("type") == row.get("type")]
            best = min((self.row(row, m, request) for m in peers), key=len)
            alike = sum(r.get("type") == row.get("type") for r in rows)
            out += [((f"|{n}" if alike > 1 or len(peers) > 1 else "") + p if p[:1] in ("", ".", "[", "{", "|") else p, w) for p, w in best]
        if len(mine) != len(rows):
            out.append(("", f"has {len(mine)} alternatives, the original {len(rows)}"))
        return out

    def row(self, a, b, request):
        out = [("", f"type {b['type']} is only implied")] if "implied" in b and "implied" not in a else []
        for key in SAME:
            if key in a and not (key in b and same(a[key], b[key])):
                out.append(("", f"{key} is not {show(a[key])} but {show(b.get(key))}"))
            elif key in b and key not in a:
                out.append(("", f"narrower: {key} {show(b[key])}"))
        if "enum" in a:
            gone = [v for v in a["enum"] if "enum" not in b or not among(v, b["enum"])]
            out += [("", f"enum has no {show(v)}") for v in gone]
        elif "enum" in b:
            out.append(("", f"narrower: enum {show(b['enum'])}"))
        theirs, mine = a.get("properties", {}), b.get("properties", {})
        for name, schema in theirs.items():
            out += self.below(f".{name}", schema, mine[name], request) if name in mine else [(f".{name}", "is missing")]
        must, may = set(a.get("required", [])), set(b.get("required", []))
        out += [(f".{name}", "is not required") for name in sorted(must - may)]
        out += [(f".{name}", "narrower: is required") for name in sorted(may - must) if request]
        for step, key in (("[]", "items"), ("{}", "additionalProperties"), ("{name}", "propertyNames")):
            inner, own = a.get(key), b.get(key)
            if inner is None or (inner in (True, {}) and own in (True, {})):
                if own not in (None, True, {}) and (request or own is False or key != "items"):
                    out.append((step, "narrower: the original takes anything"))
            elif own is None:
                out.append((step, f"has no {key}"))
            elif isinstance(inner, dict) and isinstance(own, dict):
                out += self.below(step, inner, own, request)
            elif inner is not own:
                out.append((step, f"{key} is not {show(inner)} but {show(own)}"))
        return out


# ---- operations ----
def operations(doc):
    """(method, path) -> operation, with the parameters of its path merged in."""
    out = {}
    for path, item in (doc.get("paths") or {}).items():
        for method in METHODS:
            if method in item:
                out[method.upper(), path] = {**item[method], "parameters": item.get("parameters", []) + item[method].get("parameters", [])}
    return out


def parameters(doc, op):
    """(name, in) -> parameter; one of the operation replaces one of the path. The names of headers have no case."""
    found = [p for p in (resolve(doc, p) for p in op["parameters"]) if "name" in p and "in" in p]
    return {(p["name"].lower() if p["in"] == "header" else p["name"], p["in"]): p for p in found}


def security(doc, op):
    """The alternatives as sets; no security and the empty alternative are the same."""
    rows = op.get("security", doc.get("security")) or [{}]
    return {frozenset((name, tuple(scopes or ())) for name, scopes in row.items()) for row in rows}


def show_security(rows):
    return " or ".join(sorted("+".join(sorted(n for n, _ in row)) or "nothing" for row in rows))


class Contents:
    """Test one: rows of (operation, where, what)."""

    def __init__(self, original, ours):
        self.original, self.ours, self.schemas, self.out, self.op = original, ours, Schemas(original, ours), [], ""

    def say(self, where, what):
        self.out.append((self.op, where, what))

    def run(self):
        theirs, mine = operations(self.original), operations(self.ours)
        for key in [*theirs, *(k for k in mine if k not in theirs)]:
            self.op = " ".join(key)
            if key not in mine:
                self.say("operation", "is missing")
            elif key not in theirs:
                self.say("operation", "the original has none")
            else:
                try:
                    self.operation(theirs[key], mine[key])
                except Undefined as e:
                    self.say("operation", f"{e} is not defined")
        theirs, mine = (doc.get("components") or {} for doc in (self.original, self.ours))
        used = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(self.original)))
        for name in sorted(theirs.get("schemas", {}).keys() - used):  # these have no operation that would show what they lack
            self.op = f"components schemas/{name}"
            self.schema("schema", theirs["schemas"][name], mine.get("schemas", {}).get(name), False)
        schemes = mine.get("securitySchemes", {})
        for name, scheme in theirs.get("securitySchemes", {}).items():
            self.op = f"components securitySchemes/{name}"
            own = schemes.get(name)
            if own is None:
                self.say("scheme", "is missing")
                continue
            for key in ("type", "in", "name", "scheme", "bearerFormat"):
                if key in scheme and scheme[key] != own.get(key):
                    self.say("scheme", f"{key} is not {show(scheme[key])} but {show(own.get(key))}")
        return self.out

    def operation(self, a, b):
        if "operationId" in a and a["operationId"] != b.get("operationId"):
            self.say("operation", f"operationId is not {a['operationId']} but {b.get('operationId')}")
        if a.get("deprecated") and not b.get("deprecated"):
            self.say("operation", "is not deprecated")
        theirs, mine = security(self.original, a), security(self.ours, b)
        if theirs != mine:
            self.say("security", f"is not {show_security(theirs)} but {show_security(mine)}")
        theirs, mine = parameters(self.original, a), parameters(self.ours, b)
        for key, parameter in theirs.items():
            self.parameter(f"{key[1]} parameter {parameter['name']}", parameter, mine.get(key))
        for key, parameter in mine.items():
            if key not in theirs and parameter.get("required"):
                self.say(f"{key[1]} parameter {parameter['name']}", "narrower: is required, the original has none")
        self.body(resolve(self.original, a.get("requestBody")), resolve(self.ours, b.get("requestBody")))
        theirs, mine = ({str(s): r for s, r in o.get("responses", {}).items()} for o in (a, b))
        for status, response in theirs.items():
            if status not in mine:
                self.say(f"response {status}", "is missing")
                continue
            try:
                response = resolve(self.original, response)
            except Undefined:
                continue
            own = resolve(self.ours, mine[status])
            self.content(f"response {status}", response.get("content") or {}, own.get("content") or {}, False)
            headers = {k.lower(): v for k, v in own.get("headers", {}).items()}
            for name, header in response.get("headers", {}).items():
                if name.lower() not in headers:
                    self.say(f"response {status} header {name}", "is missing")
                else:
                    self.schema(f"response {status} header {name}", header.get("schema"), headers[name.lower()].get("schema"), False)

    def parameter(self, where, a, b):
        if b is None:
            self.say(where, "is missing")
            return
        if bool(a.get("required")) != bool(b.get("required")):
            self.say(where, "is not required" if a.get("required") else "narrower: is required")
        for key in ("style", "explode", "deprecated", "allowEmptyValue"):
            if key in a and a[key] != b.get(key):
                self.say(where, f"{key} is not {show(a[key])} but {show(b.get(key))}")
        self.schema(where, a.get("schema"), b.get("schema"), True)

    def body(self, a, b):
        if a is None or b is None:
            if a is not None:
                self.say("request", "has no body")
            elif b is not None and b.get("required"):
                self.say("request", "narrower: a body is required, the original has none")
            return
        if bool(a.get("required")) != bool(b.get("required")):
            self.say("request", "the body is not required" if a.get("required") else "narrower: the body is required")
        self.content("request", a.get("content") or {}, b.get("content") or {}, True)

    def content(self, where, theirs, mine, request):
        for kind, media in theirs.items():
            if kind not in mine:
                self.say(f"{where} {kind}", "is missing")
            else:
                self.schema(f"{where} {kind}", media.get("schema"), (mine[kind] or {}).get("schema"), request)

    def schema(self, where, a, b, request):
        if a is None:
            return
        if b is None:
            self.say(where, "has no schema")
            return
        for path, what in self.schemas.compare(a, b, request):
            named = path[:1] not in ("", ".", "[", "{", "|")
            self.say(f"{'request' if request else 'response'} {path}" if named else f"{where} {path}".strip(), what)


# ---- words ----
def texts(node, at=()):
    """(where, text) of each summary, description and title."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("summary", "description", "title") and isinstance(value, str):
                yield (*at, key), value
            else:
                yield from texts(value, (*at, str(key)))
    elif isinstance(node, list):
        for n, value in enumerate(node):
            yield from texts(value, (*at, str(value["name"]) if isinstance(value, dict) and "name" in value else str(n)))


def words_of(text):
    return re.findall(r"\w+", text.lower().replace("'", "").replace("’", ""))


def copied(original, ours):
    """Test two: each run of RUN or more words that is the original's too."""
    runs = set()
    for _, text in texts(original):
        words = words_of(text)
        runs.update(tuple(words[n:n + RUN]) for n in range(len(words) - RUN + 1))
    out = []
    for at, text in texts(ours):
        words, start, end = words_of(text), 0, 0
        hits = [n for n in range(len(words) - RUN + 1) if tuple(words[n:n + RUN]) in runs]
        for n in [*hits, None]:
            if end and (n is None or n > end):
                out.append((*place(at), f"is copied: {' '.join(words[start:end])}"))
                end = 0
            if n is not None:
                start, end = (start if end else n), n + RUN
    return out


def place(at):
    """Operation and where of a path into the document."""
    if at[0] == "paths" and len(at) > 3 and at[2] in METHODS:
        return f"{at[2].upper()} {at[1]}", "/".join(at[3:])
    return (f"{at[0]} {'/'.join(at[1:3])}", "/".join(at[3:])) if len(at) > 3 else (at[0], "/".join(at[1:]) or at[0])


# ---- commands and help texts ----
def undescribed(doc, schema, hops=0):
    """The names of a body's members that have no description."""
    rows = alternatives(doc, schema) if hops < 3 else []
    out = [name for row in rows for name, s in row.get("properties", {}).items() if not annotation(doc, s, "description")]
    return list(dict.fromkeys(out + [n for row in rows if "items" in row for n in undescribed(doc, row["items"], hops + 1)]))


def commands(ours):
    """Test three: the commands, and a text for all that --help shows."""
    out, known = [], {}
    for (method, path), op in operations(ours).items():
        name = f"{method} {path}"
        command = op.get("x-sbx-command")
        if not isinstance(command, str) or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)* [a-z][a-z0-9]*(-[a-z0-9]+)*", command):
            out.append((name, "x-sbx-command", f"is not a noun and a verb: {show(command)}"))
        elif command in known:
            out.append((name, "x-sbx-command", f"'{command}' is already {known[command]}"))
        known.setdefault(command, name)
        if not str(op.get("summary", "")).endswith("."):
            out.append((name, "summary", f"is no sentence: {show(op.get('summary'))}"))
        try:
            for parameter in parameters(ours, op).values():
                if not parameter.get("description"):
                    out.append((name, f"{parameter['in']} parameter {parameter['name']}", "has no description"))
            for kind, media in ((resolve(ours, op.get("requestBody")) or {}).get("content") or {}).items():
                out += [(name, f"request {kind} .{n}", "has no description") for n in undescribed(ours, (media or {}).get("schema"))]
        except Undefined as e:
            out.append((name, "operation", f"{e} is not defined"))
    nouns = sorted({c.split()[0] for c in known if isinstance(c, str) and c})
    out += [("commands", noun, f"there is '{noun}s' too") for noun in nouns if f"{noun}s" in nouns]
    return out


# ---- exceptions and report ----
def forgive(name, found, looser):
    """What looser.json does not allow. Its `where` is `METHOD PATH: where` or that with `: what`; a * stands for anything."""
    patterns = [re.compile(".*".join(map(re.escape, e["where"].split("*")))) for e in looser if e["contract"] == name]
    used, left = set(), []
    for op, where, what in found:
        hits = [n for n, p in enumerate(patterns) if p.fullmatch(f"{op}: {where}") or p.fullmatch(f"{op}: {where}: {what}")]
        used.update(hits)
        left += [] if hits else [(op, where, what)]
    entries = [e for e in looser if e["contract"] == name]
    return left + [("looser.json", e["where"], "matches nothing") for n, e in enumerate(entries) if n not in used]


def lines(name, found):
    """One line a mismatch; what several operations share by way of a named schema once."""
    rows = {}
    for op, where, what in found:
        named = re.match(r"(request|response) [A-Za-z]\w*($|[.|\[{])", where)
        rows.setdefault((where, what) if named else (op, where, what), []).append((op, where, what))
    for same_rows in rows.values():
        op, where, what = same_rows[0]
        others = len({r[0] for r in same_rows}) - 1
        yield f"{name}: {op}: {where}: {what}" + (f" (and {others} more operations)" if others else "")


def original_of(name):
    return next(iter(sorted(glob.glob(os.path.join(glob.escape(ORIGINALS), f"{name}.[jy][sa][om][nl]")))), None)


def check(name, original, looser):
    """The mismatches of each test; None where one cannot be made."""
    try:
        ours = load(os.path.join(TOP, "shared/specs", f"{name}.yaml"))
    except (OSError, yaml.YAMLError) as e:
        return [[("file", f"shared/specs/{name}.yaml", getattr(e, "strerror", None) or " ".join(str(e).split()))]] * 3
    if original is None:
        return [None, None, commands(ours)]
    return [forgive(name, Contents(original, ours).run(), looser), copied(original, ours), commands(ours)]


TESTS = ["every operation of the original with all of its members", "no run of words of the original",
         "a command for every operation and a text for all that --help shows"]


def main(names):
    unknown = [n for n in names if n not in NAMES]
    if unknown:
        print(__doc__, file=sys.stderr)
        return 2
    with open(LOOSER, encoding="utf-8") as file:
        looser = json.load(file)
    names, number, failed = names or NAMES, 0, False
    print(f"1..{len(names) * len(TESTS)}")
    for name in names:
        path = original_of(name)
        for test, found in zip(TESTS, check(name, path and load(path), looser)):
            number += 1
            if found is None:
                print(f"ok {number} - {name}: {test} # skip no original in {ORIGINALS}")
                continue
            print("".join(f"{line}\n" for line in lines(name, found)), end="")
            print(f"{'not ok' if found else 'ok'} {number} - {name}: {test}", flush=True)
            failed = failed or bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
