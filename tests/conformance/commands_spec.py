"""What the contracts say about the generated commands, read from shared/specs/*.yaml alone: operations, their flags, values that fit,
the words that give these values on a command line, and the request that must come of them.

A value tree is made from a schema first; the command line and the expected body are both made from the tree.
"""
import json
import os
import re

import yaml

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAMES = "wrenn voidrun freestyle mcp-v8 molecule".split()
METHODS = "get put post delete patch".split()
RESERVED = "api-key base-url context help host input null output output-file verbose".split()
DEPTH = 4  # members of members deeper than this have no flag


class Loader(yaml.CSafeLoader):
    """YAML 1.2: no dates, and only true and false are booleans."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rows if tag[-4:] not in ("bool", "tamp")]
    for first, rows in yaml.CSafeLoader.yaml_implicit_resolvers.items()}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


# ---- names ----

def kebab(name):
    """vmId -> vm-id, PTYSession -> pty-session, listVMs -> list-vms, created_at -> created-at."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", name)
    name = re.sub(r"([A-Z])([A-Z][a-z])(?!(?<=s)(?![a-z]))", r"\1-\2", name)
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def singular(word):
    if len(word) < 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "xes", "ches", "shes", "zes")) else word[:-1]


def header_of(column):
    """created_at, createdAt -> CREATED AT."""
    return re.sub(r"[^A-Za-z0-9]", " ", re.sub(r"([a-z])([A-Z])", r"\1 \2", column)).upper()


# ---- schemas ----

class Schema:
    """A schema with its $ref followed, allOf merged and null taken out of its types and alternatives."""

    def __init__(self, doc, node):
        self.doc = doc
        node, self.nullable = dict(doc.resolve(node or {})), False
        for part in node.pop("allOf", []):
            other = Schema(doc, part).node
            node = {**other, **node, "properties": {**other.get("properties", {}), **node.get("properties", {})},
                    "required": other.get("required", []) + node.get("required", [])}
        kinds = node.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        if "null" in kinds or node.get("nullable"):
            self.nullable = True
        self.types = [k for k in kinds if k != "null"]
        choices = node.get("oneOf") or node.get("anyOf") or []
        # "one of these must be there" adds conditions to the same object, and no alternatives
        self.conditions = [c["required"] for c in choices if set(c) == {"required"}]
        kept = [c for c in choices if set(c) != {"required"} and doc.resolve(c).get("type") != "null"]
        self.nullable = self.nullable or len(kept) + len(self.conditions) < len(choices)
        if len(kept) == 1:
            only = Schema(doc, kept[0])
            node = {**only.node, **{k: v for k, v in node.items() if k not in ("oneOf", "anyOf")}}
            self.types, kept, self.nullable = self.types or only.types, only.kept, True
            self.conditions = only.conditions
        names = (doc.resolve(node.get("propertyNames") or {})).get("enum")
        if names and isinstance(node.get("additionalProperties"), dict):  # a map of known keys is an object
            node = {**node, "properties": {**dict.fromkeys(names, node["additionalProperties"]), **node.get("properties", {})}}
        self.kept, self.node = kept, node
        self.key = json.dumps([self.nullable, node], sort_keys=True, default=str)

    def get(self, key, default=None):
        return self.node.get(key, default)

    @property
    def alternatives(self):
        return [Schema(self.doc, c) for c in self.kept]

    @property
    def kind(self):
        if len(self.types) == 1:
            return self.types[0]
        if self.types:
            return "any"
        return "object" if self.get("properties") else "array" if self.get("items") else "any"

    @property
    def members(self):
        return {} if self.kind != "object" else {k: Schema(self.doc, v) for k, v in (self.get("properties") or {}).items()}

    @property
    def all_members(self):
        """Its own and those of its alternatives."""
        out = dict(self.members)
        for a in self.alternatives:
            for name, member in a.members.items():
                out.setdefault(name, member)
        return out

    @property
    def is_map(self):
        return self.kind == "object" and not self.members and not self.kept and self.get("additionalProperties") not in (None, False)

    @property
    def array(self):
        """The array that a value may be: itself or one of its alternatives."""
        return next((s for s in [self, *self.alternatives] if s.kind == "array"), None)

    @property
    def repeats(self):
        return self.is_map or self.array is not None

    @property
    def items(self):
        return Schema(self.doc, self.array.get("items"))

    @property
    def values(self):
        return Schema(self.doc, self.get("additionalProperties") if isinstance(self.get("additionalProperties"), dict) else {})

    @property
    def enum(self):
        return [self.get("const")] if "const" in self.node else [v for v in self.get("enum", []) if v is not None]

    @property
    def binary(self):
        return self.get("format") == "binary"


# ---- values ----

BY_FORMAT = {"date-time": "2026-01-02T03:04:05Z", "uuid": "01234567-89ab-4cde-8f01-23456789abcd", "email": "a@b.example", "date": "2026-01-02",
             "uri": "https://h.example/p?q=1", "byte": "aGVsbG8=", "hostname": "h.example", "ipv4": "127.0.0.1"}
BY_PATTERN = {"^[a-z]": "abc", "^[0-7]": "644"}


def text_of(s, seed):
    if s.get("format") in BY_FORMAT:
        return BY_FORMAT[s.get("format")]
    if s.get("pattern"):
        return next((v for k, v in BY_PATTERN.items() if s.get("pattern").startswith(k)), "abc")
    text = f"v{seed} ä&=/?#%"
    return (text + "x" * max(0, s.get("minLength", 0) - len(text)))[:s.get("maxLength", 1000)]


def number_of(s, seed):
    low, high = s.get("minimum", s.get("exclusiveMinimum", -1) + 1), s.get("maximum", 1 << 30)
    value = min(max(low, 3 + seed), high)
    return value + 0.5 if s.kind == "number" and value + 0.5 < high else value


def value_of(s, full, pick=0, seed=0, inside=()):
    """A value that fits. full: all members, two items, two keys; pick chooses among enum values and alternatives."""
    if s.enum:
        return s.enum[pick % len(s.enum)]
    if s.kept and not s.members:
        return value_of(s.alternatives[pick % len(s.kept)], full, pick, seed, (*inside, s.key))
    kind = s.kind
    if kind == "any" and s.types:
        return value_of(Schema(s.doc, {**s.node, "type": s.types[pick % len(s.types)]}), full, pick, seed, inside)
    if kind == "boolean":
        return pick % 2 == 0
    if kind in ("integer", "number"):
        return number_of(s, seed)
    if kind == "string":
        return text_of(s, seed)
    if kind == "array":
        n = max(s.get("minItems", 0), min(2, s.get("maxItems", 2)) if full and inside.count(s.items.key) < 1 else 0)
        return [value_of(s.items, full, pick, seed + i + 1, (*inside, s.key)) for i in range(n)]
    if kind == "any":
        return {"any": [1, "x", None]}
    return object_of(s, full, pick, seed, inside)


def object_of(s, full, pick, seed, inside):
    if s.is_map:
        return {f"K{i}.a": value_of(s.values, full, pick, seed + i, (*inside, s.key)) for i in (1, 2)} if full else {}
    out, needed = {}, set(s.get("required", [])) | set(s.conditions[0] if s.conditions else [])
    if s.kept:
        out = value_of(s.alternatives[pick % len(s.kept)], full, pick, seed, (*inside, s.key))
    simple = sorted(s.members, key=lambda name: s.members[name].kind in ("object", "array"))
    needed |= set(simple[:max(0, s.get("minProperties", 0) - len(needed))])
    for i, (name, member) in enumerate(s.members.items()):
        if member.get("readOnly") or (name not in needed and (not full or s.key in inside)):
            continue
        out[name] = value_of(member, full, pick, seed + i, (*inside, s.key))
    return out


def plain(value):
    """A value as it is typed."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ---- flags ----

class Flag:
    """An option that the help must have. path: of the member in the body; param: of a query or header parameter."""

    def __init__(self, name, schema, path=(), param=None, required=False):
        self.name, self.schema, self.path, self.param, self.required = name, schema, path, param, required
        self.secret = bool(schema.get("x-sbx-secret") or schema.get("format") == "password" or (param or {}).get("x-sbx-secret"))


def flag_name(name, schema, siblings=()):
    word = kebab(name)
    word = singular(word) if schema.repeats else word
    word += "-value" if word in RESERVED else ""
    others = [singular(kebab(n)) if m.repeats else kebab(n) for n, m in siblings if n != name]
    return kebab(name) if word in others else word


def body_flags(schema, prefix="", path=(), required=True, inside=()):
    """All of a body's members, dotted; what is recursive or has a short form is one flag, as is what has plain alternatives."""
    out, own, inside = [], schema.members, (*inside, schema.key)
    for name, member in schema.all_members.items():
        if member.get("readOnly"):
            continue
        need = required and name in own and name in schema.get("required", []) and "default" not in member.node
        flag = Flag(prefix + flag_name(name, member, schema.all_members.items()), member, (*path, name), None, need)
        enter = (member.all_members and len(flag.path) < DEPTH and member.key not in inside and not member.get("x-sbx-short")
                 and member.kind != "array")
        if not enter or member.kept:
            out.append(flag)
        if enter:
            out += body_flags(member, flag.name + ".", flag.path, need, inside)
    return out


class Op:
    def __init__(self, spec, path, method, node, shared):
        self.spec, self.method, self.node, self.name = spec, method.upper(), node, spec.name
        self.path = spec.base + path
        self.id, self.words = node["operationId"], node["x-sbx-command"].split()
        params = {}
        for p in [spec.resolve(p) for p in [*shared, *node.get("parameters", [])]]:
            params[p["in"], p["name"]] = p
        self.params = list(params.values())
        self.path_params = [params["path", n] for n in re.findall(r"\{([^}]+)\}", path)]
        self.bodies = {m: Schema(spec, c.get("schema")) for m, c in spec.resolve(node.get("requestBody") or {}).get("content", {}).items()}
        self.json = next((s for m, s in self.bodies.items() if "json" in m), None)
        raw = [m for m, s in self.bodies.items() if "json" not in m and "multipart" not in m]
        self.raw = raw[0] if raw else None
        # beside a raw body, a form around the same bytes is of no use
        self.form = None if raw else next((s for m, s in self.bodies.items() if "multipart" in m), None)
        self.body = self.json or self.form
        self.body_required = bool(spec.resolve(node.get("requestBody") or {}).get("required"))
        self.websocket, self.stream = bool(node.get("x-sbx-websocket")), bool(node.get("x-sbx-stream"))
        self.flags = self.find_flags()

    def __str__(self):
        return f"{self.name} {' '.join(self.words)}"

    def find_flags(self):
        out = body_flags(self.body) if self.body else []
        for p in self.params:
            if p["in"] not in ("query", "header"):
                continue
            schema, name = Schema(self.spec, p.get("schema")), p["name"]
            if p["in"] == "header":
                name = re.sub(rf"(?i)^x-(?:{self.name.split('-')[0]}-)?(?=.)", "", name)
            flag = flag_name(name, schema)
            if any(f.name == flag for f in out):
                continue  # the member of the body has it; beside a raw body it goes into the query
            out.append(Flag(flag, schema, (), p, bool(p.get("required")) and "default" not in schema.node))
        return out

    def param_flags(self):
        return [f for f in self.flags if f.param]

    def ids(self, plain_only=False):
        out = []
        for i, p in enumerate(self.path_params):
            s = Schema(self.spec, p.get("schema"))
            fixed = s.enum or s.get("format") or s.get("pattern")
            out.append(plain(value_of(s, True)) if fixed or s.kind != "string" else f"id{i}" if plain_only else f"i{i} /ü%2F?#&")
        return out

    def responses(self):
        """(status, media, Schema or None) of what it answers when all went well."""
        for status, r in self.node["responses"].items():
            if status[0] != "2":
                continue
            content = self.spec.resolve(r).get("content") or {}
            for media, c in content.items():
                yield int(status), media, Schema(self.spec, c.get("schema"))
            if not content:
                yield int(status), "", None

    def security(self):
        """Alternatives, each a list of scheme names."""
        return [list(a) for a in self.node.get("security", self.spec.doc.get("security", []))]


class Spec:
    def __init__(self, name):
        self.name = name
        with open(f"{TOP}/shared/specs/{name}.yaml", encoding="utf-8") as file:
            self.doc = yaml.load(file, Loader)
        server = (self.doc.get("servers") or [{"url": ""}])[0]["url"]
        self.base = re.sub(r"^https?://[^/]*", "", server).rstrip("/")
        self.schemes = self.doc["components"].get("securitySchemes", {})
        self.ops = [Op(self, path, m, item[m], item.get("parameters", []))
                    for path, item in self.doc["paths"].items() for m in METHODS if m in item]

    def resolve(self, node):
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            target = self.doc
            for part in node["$ref"][2:].split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            extra = {k: v for k, v in node.items() if k != "$ref"}
            node = {**target, **extra} if extra else target
        return node


# ---- command lines ----

def words_of(flag, value):
    """The words that give a flag this value: a list for each repetition."""
    s, name = flag.schema, f"--{flag.name}"
    if value is None:
        return ["--null", flag.name]
    if s.is_map:
        return [w for k, v in value.items() for w in (name, f"{k}={plain(v)}")]
    if isinstance(value, list) and s.array:
        short = s.items.get("x-sbx-short", "").split(":")
        texts = [":".join(plain(v[m]) for m in short) if isinstance(v, dict) and short[0] and set(v) == set(short) else plain(v) for v in value]
        return [w for t in texts for w in (name, t)]
    if isinstance(value, bool) and s.kind == "boolean":
        return [name] if value else [f"{name}=false"]
    return [name, plain(value)]


def can_say(flag, value):
    """Is there a way to say the value with flags alone? An empty list is none, and neither is a list where only one item is seen as text."""
    if isinstance(value, list):
        return len(value) > 0 and (flag.schema.kind == "array" or len(value) > 1)
    return not (flag.schema.is_map and not value)


def body_words(schema, value, flags):
    """(words, value as it can be said): each member by the deepest flag there is."""
    words, said = [], {}
    top = {f.path: f for f in flags if f.path}

    def walk(member_path, v, into):
        flag = top.get(member_path)
        deeper = any(p[:len(member_path)] == member_path and len(p) > len(member_path) for p in top)
        if isinstance(v, dict) and deeper and v and all((*member_path, k) in top or any(
                p[:len(member_path) + 1] == (*member_path, k) for p in top) for k in v):
            inner = {}
            for k, child in v.items():
                walk((*member_path, k), child, inner)
            if inner:
                into[member_path[-1]] = inner
            return
        if flag and can_say(flag, v):
            words.extend(words_of(flag, v))
            into[member_path[-1]] = v

    for k, v in value.items():
        walk((k,), v, said)
    return words, said
