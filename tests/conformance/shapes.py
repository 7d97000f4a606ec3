"""What a contract of ours takes, read from its YAML alone: values that fit a schema, values that just do not, and whether one fits."""
import json
import re

from contracts import alternatives, same

SAMPLES = {"date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31", "uuid": "0b8f5d6e-1c2d-4e3f-8a9b-0c1d2e3f4a5b",
           "email": "a@example.org", "uri": "https://example.org/a", "byte": "YWJj", "hostname": "example.org", "ipv4": "192.0.2.1"}
FORMATS = {"date-time": r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", "date": r"\d{4}-\d\d-\d\d",
           "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "email": r"[^\s@]+@[A-Za-z0-9.-]+",
           "uri": r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+", "byte": r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
           "hostname": r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", "ipv4": r"\d+(\.\d+){3}"}
LIMITS = {"int32": (-2**31, 2**31 - 1)}
EXACT = 2**53  # above it a JSON number is not exact, and no integer to the daemon
WRONG = [{"no": 1}, [None], "text", True, 1.5, -1, "", None]  # of each type one, to be tried where another is wanted
LONG = 20000  # no longer strings than this are made


def sample(pattern, many):
    """A text that the pattern matches."""
    def walk(parts):
        out = ""
        for kind, arg in parts:
            kind = str(kind)
            if kind == "LITERAL":
                out += chr(arg)
            elif kind == "IN":
                negated = str(arg[0][0]) == "NEGATE"  # "a" is in all but a few sets
                out += "a" if negated else next(chr(a if str(k) == "LITERAL" else a[0]) for k, a in arg if str(k) in ("LITERAL", "RANGE"))
            elif kind == "MAX_REPEAT":
                out += walk(arg[2]) * (min(arg[1], arg[0] + 3) if many else arg[0])
            elif kind == "SUBPATTERN":
                out += walk(arg[3])
            elif kind == "BRANCH":
                out += walk(arg[1][0])
            elif kind != "AT":
                out += "a"
        return out
    return walk(re._parser.parse(pattern))


def bounds(row):
    """Lowest and highest number, None where there is none."""
    low, high = LIMITS.get(row.get("format"), (None, None))
    low, high = max([n for n in (low, row.get("minimum")) if n is not None], default=None), \
        min([n for n in (high, row.get("maximum")) if n is not None], default=None)
    if "exclusiveMinimum" in row:
        low = row["exclusiveMinimum"] + 1
    if "exclusiveMaximum" in row:
        high = row["exclusiveMaximum"] - 1
    return low, high


class Shapes:
    """The schemas of one document. closed: are unknown members refused where a schema names its members and says nothing else?"""

    def __init__(self, doc, closed):
        self.doc, self.closed, self.known = doc, closed, {}

    def rows(self, schema):
        """Plain alternatives (contracts.alternatives)."""
        if id(schema) not in self.known:
            self.known[id(schema)] = schema, alternatives(self.doc, schema)
        return self.known[id(schema)][1]

    # ---- does it fit? ----
    def valid(self, schema, value):
        return any(self.fits(row, value) for row in self.rows(schema))

    def fits(self, row, value):
        kind = row.get("type")
        if "enum" in row and not any(same(value, v) for v in row["enum"]):
            return False
        if isinstance(value, bool) or value is None:
            return kind in (None, "null" if value is None else "boolean")
        if isinstance(value, (int, float)):
            low, high = bounds(row)
            whole = value == int(value)
            if kind not in (None, "number", "integer") or (kind == "integer" and (not whole or abs(value) > EXACT)):
                return False
            return not ((low is not None and value < low) or (high is not None and value > high))
        if isinstance(value, str):
            ok = kind in (None, "string") and row.get("minLength", 0) <= len(value) <= row.get("maxLength", len(value))
            ok = ok and ("pattern" not in row or re.search(row["pattern"].replace("$", r"\Z"), value))
            return bool(ok and re.fullmatch(FORMATS.get(row.get("format"), ".*"), value, re.S))
        if isinstance(value, list):
            ok = kind in (None, "array") and row.get("minItems", 0) <= len(value) <= row.get("maxItems", len(value))
            ok = ok and not (row.get("uniqueItems") and len({json.dumps(v, sort_keys=True) for v in value}) < len(value))
            return ok and ("items" not in row or all(self.valid(row["items"], v) for v in value))
        return kind in (None, "object") and self.fits_object(row, value)

    def fits_object(self, row, value):
        names, more = row.get("properties", {}), row.get("additionalProperties")
        if any(name not in value for name in row.get("required", [])):
            return False
        if not row.get("minProperties", 0) <= len(value) <= row.get("maxProperties", len(value)):
            return False
        for name, member in value.items():
            if name in names:
                if not self.valid(names[name], member):
                    return False
            elif more is False or (more is None and names and self.closed):
                return False
            elif isinstance(more, dict) and not self.valid(more, member):
                return False
            elif "propertyNames" in row and not self.valid(row["propertyNames"], name):
                return False
        return True

    def valid_text(self, parameter, text):
        """A parameter, given as text; lists may be joined by commas even where they are exploded."""
        return any(self.fits_text(parameter, row, text) for row in self.rows(parameter["schema"]))

    def fits_text(self, parameter, row, text):
        kind = row.get("type")
        if kind == "array":
            items = text.split(",") if text or exploded(parameter) else []
            return all(self.valid_text({**parameter, "schema": row.get("items", {})}, item) for item in items)
        if kind in ("integer", "number"):
            return bool(re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", text)) and self.fits(row, json.loads(text))
        if kind == "boolean":
            return text in ("true", "false") and self.fits(row, text == "true")
        return kind in (None, "string") and self.fits(row, text)

    # ---- values that fit ----
    def make(self, schema, full, depth=0):
        """The least value, or a full one: all members, other enum values, upper limits, the last alternative."""
        rows = [r for r in self.rows(schema) if r.get("type") != "null"] or [{"type": "null"}]
        return self.make_row(rows[-1 if full else 0], full, depth)

    def make_row(self, row, full, depth=0):
        kind = row.get("type")
        if "enum" in row:
            return row["enum"][min(int(full), len(row["enum"]) - 1)]
        if kind in ("integer", "number"):
            low, high = bounds(row)
            value = high if full and high is not None else low if low is not None else min(1, high or 1)
            return int(value) if value == int(value) else value
        if kind == "boolean":
            return full
        if kind == "array":
            count = max(row.get("minItems", 0), int(full and depth < 8))
            return [self.make(row.get("items", {}), full, depth + 1) for _ in range(count)]
        if kind == "object":
            names, must = row.get("properties", {}), row.get("required", [])
            out = {n: self.make(names.get(n, {}), full, depth + 1) for n in [*names, *(m for m in must if m not in names)]
                   if n in must or (full and depth < 8)}
            more = row.get("additionalProperties")
            if isinstance(more, dict) and (full or len(out) < row.get("minProperties", 0)):
                out[self.make(row["propertyNames"], full) if "propertyNames" in row else "extra"] = self.make(more, full, depth + 1)
            for name in names:
                if len(out) < row.get("minProperties", 0) and name not in out:
                    out[name] = self.make(names[name], full, depth + 1)
            return out
        return None if kind == "null" else self.make_text(row, full)

    def make_text(self, row, full):
        if "pattern" in row:
            return sample(row["pattern"], full)
        text = SAMPLES.get(row.get("format"), "x")
        text += "x" * (row.get("minLength", 0) - len(text))
        most = row.get("maxLength", LONG)
        return text + "é" * (most - len(text)) if full and most <= 256 and row.get("format") not in SAMPLES else text

    # ---- values that may not fit: one thing changed ----
    def changes(self, schema, value, where="", depth=0):
        """(category, where, changed value); the caller asks valid() whether the whole still fits."""
        rows = self.rows(schema)
        row = next((r for r in rows if self.fits(r, value)), rows[0])
        wrong = [v for v in WRONG if not self.valid(schema, v)]
        yield from (("type" if v is not None else "null", where, v) for v in wrong[:2] + [v for v in wrong[2:] if v is None])
        if len(rows) > 1 and depth < 6:
            yield from (("full", where, self.make_row(r, True, depth)) for r in rows)
        yield from ((category, where, v) for category, v in self.limits(row, value))
        if isinstance(value, dict):
            yield from self.object_changes(row, value, where, depth)
        if isinstance(value, list) and value and "items" in row:
            yield "length", where, value + value
            for category, at, v in self.changes(row["items"], value[0], f"{where}[0]", depth + 1):
                yield category, at, [v, *value[1:]]

    def object_changes(self, row, value, where, depth):
        names = row.get("properties", {})
        for name in value:
            rest = {k: v for k, v in value.items() if k != name}
            yield "required" if name in row.get("required", []) else "optional", f"{where}.{name}", rest
        yield "unknown", where, {**value, "nosuchfield": {"a": [1]}}
        if value and isinstance(row.get("additionalProperties"), dict):
            yield "unknown", where, {**value, "nosuchname": next(iter(value.values()))}
        for name, member in value.items():
            more = row.get("additionalProperties")
            inner = names.get(name, more if isinstance(more, dict) else None)
            for category, at, v in self.changes(inner, member, f"{where}.{name}", depth + 1) if inner is not None else ():
                yield category, at, {**value, name: v}

    def limits(self, row, value):
        kind = row.get("type")
        if "enum" in row:
            yield "enum", "nosuchvalue" if kind in (None, "string") else 987654
            yield from (("enum", v) for v in row["enum"])
        elif kind in ("integer", "number"):
            low, high = bounds(row)
            near = (low, high, None if low is None else low - 1, None if high is None else high + 1, 1.5)
            yield from (("range", n) for n in near if n is not None)
            yield from (("range", n) for n in ((2**31, -2**31 - 1) if row.get("format") == "int32" else (2**63, 1e300)))
        elif kind == "string":
            most, least = row.get("maxLength", LONG), row.get("minLength", 0)
            yield from (("length", t) for t in ("a" * (most + 1), "é" * most) if most < LONG)
            if least:
                yield "length", "a" * (least - 1)
            if "pattern" in row or row.get("format") in FORMATS:
                yield from (("format", t) for t in (value + "\n", " " + value, "é!", value + "é"))
        elif kind == "array":
            yield from (("length", value * n) for n in (row.get("minItems", 1) - 1, row.get("maxItems", 0) + 1) if 0 <= n <= 2000 and value)
        elif kind == "object" and row.get("minProperties"):
            yield "length", {}


def exploded(parameter):
    return parameter.get("explode", parameter["in"] in ("query", "cookie"))
