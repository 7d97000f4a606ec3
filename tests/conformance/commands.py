#!/usr/bin/env python3
"""Every generated command does what its contract says: help, requests, refusals, credentials and answers, against a recording server.

usage: commands.py [--jobs N] [NAME...]    (TAP; one test a dialect and category, after the details of what failed)

The expectations come from shared/specs/*.yaml (commands_spec.py), not from the tables that sbx is built with. SBX_BIN names the folder
of the programs. SBX_OP=noun.verb runs one command.
"""
import argparse
import json
import multiprocessing
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
import traceback

import yaml

from commands_spec import BY_FORMAT, NAMES, TOP, Flag, Loader, Schema, Spec, body_words, header_of, kebab, plain, value_of, words_of
from recorder import Runner

PROGRAM = os.path.join(os.environ.get("SBX_BIN") or f"{TOP}/build/bin", "sbx")
CATEGORIES = ("help", "example", "required", "full", "input", "refusal", "credential", "address", "base-path", "answer", "error")


class Check:
    """The failures of one operation, by category."""

    def __init__(self):
        self.failures = []
        self.category = ""

    def that(self, good, what, result=None):
        if not good:
            self.failures.append((self.category, f"{what}\n  {result}" if result is not None else what))
        return good


# ---- help ----

def sections(text):
    """Heading -> text below it."""
    out, name = {}, ""
    for line in text.split("\n"):
        if line.endswith(":") and not line.startswith(" "):
            name = line[:-1]
            out[name] = ""
        elif name:
            out[name] += line + "\n"
    return out


def flag_rows(text):
    """Flag -> its row, with the line below where the text stands there."""
    rows, name = {}, None
    for line in text.split("\n"):
        m = re.match(r"  --([^ ]+)(.*)", line)
        if m:
            name = m[1]
            rows[name] = m[2]
        elif name and line.startswith("      "):
            rows[name] += line
    return rows


def type_word(f, s):
    """What the help calls a value."""
    if s.binary:
        return "FILE"
    if f.schema.is_map:
        return "K=V"
    if s.get("x-sbx-short"):
        return s.get("x-sbx-short").upper()
    words = {"integer": "INT", "number": "NUMBER", "string": "STRING", "object": "JSON", "array": "JSON", "boolean": "" if s is f.schema else "BOOL"}
    return words.get(s.kind, "VALUE")


def check_help(t, run, op):
    r = run.run([op.name, *op.words, "--help"], base=False)
    t.that(r.status == 0 and not r.err, "--help fails", r)
    for words in (["help", op.name, *op.words], [op.name, *op.words, *op.ids(), "-h"]):
        again = run.run(words, base=False)
        t.that((again.status, again.out) == (0, r.out), "the help is another", again)
    parts = sections(r.out)
    rows = flag_rows(parts.get("Options", ""))
    for i, p in enumerate(op.path_params):
        t.that(kebab(p["name"]).upper() in parts.get("Arguments", ""), f"help does not name argument {i + 1}, {p['name']}")
    for f in op.flags:
        row = rows.pop(f.name, None)
        if not t.that(row is not None, f"help does not name --{f.name}"):
            continue
        s = f.schema.items if f.schema.array else f.schema
        t.that(re.match(rf" {type_word(f, s)}(?: |$)" if type_word(f, s) else "(  |$)", row), f"help: --{f.name} is no {type_word(f, s)}: {row}")
        if op.raw is None or f.param:
            t.that(("(required)" in row) == f.required, f"help: --{f.name} is {'' if f.required else 'not '}required: {row}")
        for v in s.enum:
            t.that(re.search(rf"\b{re.escape(plain(v))}\b", row), f"help: --{f.name} does not show its value {plain(v)}: {row}")
        if f.schema.get("default") is not None:
            t.that(f"default {plain(f.schema.get('default'))}" in row, f"help: --{f.name} does not show its default: {row}")
        for bound in ("minimum", "maximum"):
            if bound in s.node and abs(s.get(bound)) < 1e12 and not s.enum:
                t.that(re.search(rf"\b{s.get(bound)}\b", row), f"help: --{f.name} does not show its {bound}: {row}")
        if f.secret and not f.schema.repeats:
            t.that(rows.pop(f"{f.name}-file", None), f"help: the secret --{f.name} has no --{f.name}-file")
    if op.raw:
        t.that(rows.pop("file", None), "help does not name --file")
    t.that(not rows, f"help names options that the contract has not: {' '.join(rows)}")
    check_example(t, run, op, parts)


def check_example(t, run, op, parts):
    t.category = "example"
    lines = [line.strip() for line in parts.get("Examples", "").split("\n") if line.strip()]
    if not t.that(lines and lines[0].startswith(f"sbx {op} ".rstrip()), f"no example: {lines}"):
        return
    if op.websocket:
        return
    r = run.run(shlex.split(lines[0])[1:])
    # a placeholder may be no value of its type, but the options and arguments must be right
    placeholder = re.search(r"\b(JSON|[A-Z][A-Z-]+)\b", lines[0].split(op.words[1], 1)[1])
    wrong = re.search(r"unknown|missing|too many|is required", r.err)
    t.that((r.status == 0 and r.request) or (placeholder and r.status == 2 and not wrong), "the example does not work", r)


# ---- requests ----

def id_segments(op, ids):
    """The segments of the path, decoded: a slash in an id parts no segments, not even in a rest parameter."""
    values = dict(zip([p["name"] for p in op.path_params], ids))
    return [re.sub(r"\{([^}]+)\}", lambda m: values[m[1]], s) for s in op.path.split("/")]


def param_words(op, full, pick=0):
    """(words, query, headers)"""
    words, query, headers = [], [], {}
    for i, f in enumerate(op.param_flags()):
        if not (full or f.required):
            continue
        value = value_of(f.schema, full, pick, i)
        if f.schema.kind == "string" and f.param["in"] == "header" and not f.schema.enum:
            value = value_of(f.schema, full, pick, i).encode("ascii", "ignore").decode().strip()
        words += words_of(f, value)
        if f.param["in"] == "header":
            headers[f.param["name"]] = plain(value)
        elif isinstance(value, list):
            texts = [plain(v) for v in value]
            query += [(f.param["name"], t) for t in (texts if f.param.get("explode", True) else [",".join(texts)])]
        else:
            query.append((f.param["name"], plain(value)))
    return words, query, headers


def check_request(t, op, r, ids, query, headers):
    """Method, path, query and headers. The request, or None."""
    # the recorder does not switch to WebSocket: that fails, but not before the request
    if not t.that(r.status == (1 if op.websocket else 0) and r.request, "the call fails", r):
        return None
    q = r.request
    t.that(q.method == op.method, f"method {q.method} is not {op.method}", r)
    t.that(q.segments == id_segments(op, ids), f"path {q.raw_path} is not that of {ids}", r)
    t.that(re.fullmatch(r"[A-Za-z0-9._~/%:-]*", q.raw_path), f"path {q.raw_path} is not encoded", r)
    t.that(sorted(q.query) == sorted(query), f"query {q.query} is not {query}", r)
    for name, value in headers.items():
        t.that(q.header(name) == value, f"header {name} is {q.header(name)!r}, not {value!r}", r)
    for p in op.params:
        if p["in"] == "header" and p["name"] not in headers:
            t.that(q.header(p["name"]) is None, f"header {p['name']} was not asked for", r)
    return q


def same(a, b):
    """As JSON: true is not 1, 1.0 is 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def check_json(t, op, r, q, want):
    media = q.header("Content-Type")
    t.that(media == next(m for m in op.bodies if "json" in m), f"content type {media}", r)
    try:
        got = json.loads(q.body)
    except ValueError:
        t.that(False, f"the body is no JSON: {q.body[:200]}", r)
        return
    t.that(same(got, want), f"body {json.dumps(got, sort_keys=True)}\n  is not {json.dumps(want, sort_keys=True)}", r)


def check_no_body(t, op, r, q):
    t.that(q.body == b"" and (op.body or q.header("Content-Type") is None), f"a body that was not asked for: {q.body[:100]}", r)


def form_call(op, full):
    """(words, parts as they must come, files last)"""
    words, texts, files = [], [], []
    for name, s in op.form.members.items():
        if not full and name not in op.form.get("required", []):
            continue
        flag = next(f for f in op.flags if f.path == (name,))
        if s.binary:
            words += [f"--{flag.name}", "@data.bin"]
            files.append((name, "data.bin", DATA))
        else:
            text = value_of(s, True)
            words += [f"--{flag.name}", text]
            texts.append((name, None, text.encode()))
    return words, texts + files


DATA = bytes(range(256)) * 300 + b"\r\n--sbx-\r\n"


def call(t, run, op, full, pick=0):
    ids = op.ids()
    words, query, headers = param_words(op, full, pick)
    head = [op.name, *op.words, *ids]
    if op.form:
        form, parts = form_call(op, full)
        r = run.run(head + form + words)
        q = check_request(t, op, r, ids, query, headers)
        if q:
            t.that(q.parts() == parts, f"parts {[(n, f, d[:40]) for n, f, d in q.parts()]} are not {[(n, f, d[:40]) for n, f, d in parts]}", r)
        return
    if op.json is None:
        raw = ["--file", "@data.bin"] if op.raw and (full or op.body_required) else []
        r = run.run(head + raw + words)
        q = check_request(t, op, r, ids, query, headers)
        if q and raw:
            t.that(q.body == DATA and q.header("Content-Type") == op.raw, f"{q.header('Content-Type')}, {len(q.body)} bytes", r)
        elif q:
            check_no_body(t, op, r, q)
        return
    value = value_of(op.json, full, pick)
    if isinstance(value, dict) and full_said(op, value):
        body, said = body_words(op.json, value, op.flags)
        r = run.run(head + body + words)
        q = check_request(t, op, r, ids, query, headers)
        if q and (said or op.body_required):
            check_json(t, op, r, q, said)
    else:
        path = f"{run.folder}/body.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(value, file)
        r = run.run(head + words + ["--input", path])
        q = check_request(t, op, r, ids, query, headers)
        if q:
            check_json(t, op, r, q, value)


def full_said(op, value):
    """Do flags alone say all that the body requires?"""
    said = body_words(op.json, value, op.flags)[1]
    return all(k in said for k in op.json.get("required", []))


def check_requests(t, run, op):
    t.category = "required"
    call(t, run, op, False)
    t.category = "full"
    choices = [len(s.kept) for f in op.flags for s in (f.schema, f.schema.array and f.schema.items) if s]
    enums = [len(f.schema.enum) for f in op.flags]
    for pick in range(min(6, max([1, *choices, *enums, 2 if any(f.schema.kind == "boolean" for f in op.flags) else 1]))):
        call(t, run, op, True, pick)
    check_raw_beside_json(t, run, op)


def check_raw_beside_json(t, run, op):
    """--file where JSON is also possible: the members that are also parameters go into the query."""
    if not (op.raw and op.json):
        return
    both = [(f, p) for f in op.flags for p in op.params if p["in"] == "query" and f.path == (p["name"],)]
    words, query = [], []
    for f, p in both:
        value = value_of(f.schema, True)
        words += words_of(f, value)
        query.append((p["name"], plain(value)))
    r = run.run([op.name, *op.words, *op.ids(), "--file", "@data.bin", *words])
    q = check_request(t, op, r, op.ids(), query, {})
    if q:
        t.that(q.body == DATA and q.header("Content-Type") == op.raw, f"content type {q.header('Content-Type')}, {len(q.body)} bytes", r)


def check_input(t, run, op):
    """--input as JSON and YAML, from a file and standard input; flags over it; --null; secrets from files."""
    if op.json is None or op.json.kind != "object":
        return
    ids, params = op.ids(), param_words(op, False)
    head = [op.name, *op.words, *ids, *params[0]]
    value = value_of(op.json, True)
    text = json.dumps(value)
    for words, stdin in ((["--input", "-"], text.encode()), (["--input", "@in.yaml"], b"")):
        with open(f"{run.folder}/in.yaml", "w", encoding="utf-8") as file:
            yaml.safe_dump(value, file, allow_unicode=True)
        r = run.run(head + words, stdin=stdin)
        q = check_request(t, op, r, ids, *params[1:])
        if q:
            check_json(t, op, r, q, value)
    for f in op.flags:
        if not f.path or f.schema.get("x-sbx-secret") is None or f.schema.repeats:
            continue
        around = value_of(op.json, False)
        at, schema = around, op.json
        for k in f.path[:-1]:
            schema = schema.all_members[k]
            at = at.setdefault(k, value_of(schema, False))
        at.pop(f.path[-1], None)
        words, said = body_words(op.json, around, [g for g in op.flags if g is not f])
        with open(f"{run.folder}/secret", "w", encoding="utf-8") as file:
            file.write("geheim ä=\n")
        at = said
        for k in f.path[:-1]:
            at = at.setdefault(k, {})
        at[f.path[-1]] = "geheim ä="
        for twin, stdin in (("secret", b""), ("@secret", b""), ("-", "geheim ä=\n".encode())):
            r = run.run([*head, *words, f"--{f.name}-file", twin], stdin=stdin)
            q = check_request(t, op, r, ids, *params[1:])
            if q:
                check_json(t, op, r, q, said)
    check_over(t, run, op, head, value)


def check_over(t, run, op, head, value):
    text = json.dumps(value).encode()
    if op.spec.doc["x-sbx-unknown-fields"] == "ignore" and op.json.get("additionalProperties") is not False:
        more = {**value, "x-unknown": [1]}
        r = run.run([*head, "--input", "-"], stdin=json.dumps(more).encode())
        if t.that(r.status == 0 and r.request, "--input with a member that the contract does not know", r):
            check_json(t, op, r, r.request, more)
    flat = [f for f in op.flags if len(f.path) == 1 and f.path[0] in value and f.schema.kind in ("string", "integer") and not f.schema.kept]
    for f in flat[:2]:
        other = value_of(f.schema, True, 1, 7)
        r = run.run([*head, "--input", "-", *words_of(f, other)], stdin=text)
        if t.that(r.status == 0 and r.request, "--input with an option fails", r):
            check_json(t, op, r, r.request, {**value, f.path[0]: other})
    for f in [f for f in op.flags if f.schema.nullable and f.path and not f.schema.kept][:3]:
        r = run.run([*head, "--input", "-", "--null", f.name], stdin=text)
        want = json.loads(text)
        at = want
        for k in f.path[:-1]:
            at = at.setdefault(k, {})
        at[f.path[-1]] = None
        deeper = isinstance(value.get(f.path[0]), dict) or len(f.path) == 1
        if deeper and t.that(r.status == 0 and r.request, f"--null {f.name} fails", r):
            check_json(t, op, r, r.request, want)
    for f in [f for f in op.flags if f.schema.is_map and len(f.path) == 1 and value.get(f.path[0])][:1]:
        old = value[f.path[0]]
        key = next(iter(old))
        item = list(old.values())[-1]
        r = run.run([*head, "--input", "-", f"--{f.name}", f"{key}={plain(item)}"], stdin=text)
        if t.that(r.status == 0 and r.request, f"--{f.name} over --input fails", r):
            check_json(t, op, r, r.request, {**value, f.path[0]: {**old, key: item}})


# ---- refusals ----

def wrong_values(f):
    """(text, what is wrong) for values of a flag that its schema does not take."""
    s = f.schema.array.get("items") and f.schema.items if f.schema.array and not f.schema.kept else f.schema
    if s.kept or len(s.types) > 1 or f.schema.is_map or s.get("x-sbx-short"):
        return
    if s.enum and not (s.kind == "boolean"):
        yield "no-such-value", "unknown enum value"
    if s.kind in ("integer", "number"):
        yield "abc", "wrong type"
        if not f.schema.array:  # there it is the empty list
            yield "", "empty number"
        if s.kind == "integer":
            yield "1.5", "fraction"
        if s.get("format") == "int32":
            yield "4294967296", "too large for int32"
        for key, step in (("minimum", -1), ("maximum", 1)):
            if key in s.node:
                yield str(s.get(key) + step), f"beyond the {key}"
    if s.kind == "boolean":
        yield "maybe", "wrong type"
    if s.kind == "object":
        yield "[1", "no object"
    if s.kind == "string" and not s.enum:
        if s.get("minLength", 0) > 0:
            yield "x" * (s.get("minLength") - 1), "too short"
        if s.get("maxLength"):
            yield "x" * (s.get("maxLength") + 1), "too long"
        if s.get("pattern"):
            yield "//NO//", "against the pattern"
        if s.get("format") in BY_FORMAT:
            yield "no such thing", f"no {s.get('format')}"


def refused(t, r, what, names=()):
    t.that(r.status == 2, f"{what}: exit {r.status}, not 2", r)
    t.that(not r.seen, f"{what}: a request was sent", r)
    t.that(not names or any(n in r.err for n in names), f"{what}: the message does not name {' or '.join(names)}", r)


def minimal(op, without=None):
    """The words of a call with what is required; without a flag."""
    words = []
    if op.form:
        for name in op.form.get("required", []):
            flag = next(f for f in op.flags if f.path == (name,))
            words += [] if flag is without else [f"--{flag.name}", "@data.bin" if flag.schema.binary else "x"]
    elif op.json and op.json.kind == "object":
        value = value_of(op.json, False)
        for name in value:  # an empty list or map can only be said with --input
            value[name] = value[name] or value_of(op.json.all_members[name], True)
        words += body_words(op.json, value, [f for f in op.flags if f is not without])[0]
    elif op.raw and op.body_required:
        words += ["--file", "@data.bin"]
    for i, f in enumerate(op.param_flags()):
        if f.required and f is not without:
            words += words_of(f, value_of(f.schema, False, 0, i))
    return words


def check_refusals(t, run, op):
    head, ids, base = [op.name, *op.words], op.ids(), minimal(op)
    if ids:
        refused(t, run.run(head + ids[:-1] + base), "missing id", ("missing",))
        if not op.path_params[-1].get("x-sbx-rest"):
            refused(t, run.run(head + ids[:-1] + [""] + base), "empty id")
    for i, p in enumerate(op.path_params):
        s = Schema(op.spec, p.get("schema"))
        if s.enum or s.get("format") in BY_FORMAT or s.get("pattern"):
            refused(t, run.run(head + ids[:i] + ["NO/SUCH"] + ids[i + 1:] + base), f"wrong {p['name']}",
                    (f"argument {kebab(p['name']).upper()} ",))
        if not op.path_params[-1].get("x-sbx-rest"):
            refused(t, run.run(head + ids[:-1] + [".."] + base), "the folder above as an id", ("argument ",))
    refused(t, run.run(head + ids + ["more"] + base), "extra id", ("too many",))
    r = run.run(head + ids + base + ["--no-such-flag", "x"])
    refused(t, r, "unknown flag", ("--no-such-flag",))
    for f in op.flags[:2] if op.flags else []:
        if len(f.name) > 4:
            r = run.run(head + ids + base + [f"--{f.name[:-1]}q=x"])
            refused(t, r, "misspelt flag", ("did you mean '--",))
    for f in op.flags:
        if f.required and not (f.path and op.raw):
            refused(t, run.run(head + ids + minimal(op, f)), f"--{f.name} missing", (f"--{f.name}",))
        if f.schema.binary:
            refused(t, run.run(head + ids + minimal(op, f) + [f"--{f.name}", "@/no/such/file"]), "no such file", ("/no/such/file",))
            continue
        others = minimal(op, f) if len(f.path) < 2 else base
        for text, what in wrong_values(f):
            # of several forms of the member around it, none may be the one that is meant
            refused(t, run.run(head + ids + others + [f"--{f.name}={text}"]), f"--{f.name} {what}",
                    (f"--{f.name}", f"'--{f.name.rpartition('.')[0]}' has none of its"))
        if f.schema.is_map:
            refused(t, run.run(head + ids + others + [f"--{f.name}", "novalue"]), f"--{f.name} without =", (f"--{f.name}",))
            for text, what in wrong_values(Flag(f.name, f.schema.values)):
                refused(t, run.run(head + ids + others + [f"--{f.name}", f"K={text}"]), f"--{f.name} {what} in a map", (f"--{f.name}",))
        if f.schema.kind in ("string", "integer") and not f.schema.kept:
            twice = words_of(f, value_of(f.schema, True))
            refused(t, run.run(head + ids + others + twice + twice), f"--{f.name} twice", (f"--{f.name}",))
    check_no_effect(t, run, op, head + ids, base)
    if op.json:
        check_bad_input(t, run, op, head + ids + param_words(op, False)[0])


def check_no_effect(t, run, op, head, base):
    """Common options where they could have none."""
    plain_flag = next((f.name for f in op.flags), "x")
    if not op.json:
        refused(t, run.run(head + base + ["--input", "-"], stdin=b"{}"), "--input where none is taken", ("--input",))
        refused(t, run.run(head + base + ["--null", plain_flag]), "--null where none is taken", ("--null",))
    if op.raw and op.json:
        refused(t, run.run(head + ["--file", "@data.bin", "--input", "-"], stdin=b"{}"), "--input beside --file", ("--input",))
    if op.websocket:
        refused(t, run.run(head + base + ["--output-file", "x"]), "--output-file of a WebSocket", ("--output-file",))
    else:
        refused(t, run.run(head + base + ["--send", "x"]), "--send without a WebSocket", ("--send",))
    for f in op.flags:
        if f.secret and op.json and not f.schema.repeats:
            r = run.run(head + ["--input", "-", f"--{f.name}-file", "-"], stdin=b"{}")
            refused(t, r, "standard input for two things", ("standard input",))


def bad_inputs(op):
    first = op.json.node.get("required") or list(op.json.all_members) or ["a"]
    yield b'{"a": ', "truncated JSON"
    yield b"a: [1,\nb: }", "invalid YAML"
    yield b'{"%s": 1, "%s": 2}' % ((first[0].encode(),) * 2), "JSON with duplicate keys"
    yield b"k: 1\nk: 2\n", "YAML with duplicate keys"
    yield b"[" * 10000 + b"]" * 10000, "10,000 levels of JSON"
    yield b"".join(b" " * i + b"a:\n" for i in range(300)) + b"- " * 10000 + b"x", "deep YAML"
    yield b'{"a": "\xff\xfe"}', "invalid UTF-8 in JSON"
    yield b"a: \xff\xfe\n", "invalid UTF-8 in YAML"
    yield b'{"a": 1} {"b": 2}', "two JSON documents"
    yield b"", "nothing"


def check_bad_input(t, run, op, head):
    for data, what in bad_inputs(op):
        with open(f"{run.folder}/bad.in", "wb") as file:
            file.write(data)
        refused(t, run.run(head + ["--input", "bad.in"]), f"--input with {what}", ("bad.in", "--input"))
    refused(t, run.run(head + ["--input", "/no/such/file"]), "--input of no file", ("/no/such/file",))
    if op.json.kind == "object" and not op.json.kept:
        refused(t, run.run(head + ["--input", "-"], stdin=b"[1]"), "--input with a list")


# ---- credentials and addresses ----

def shown(q, scheme):
    """The value with which a request shows a scheme's credential, or None."""
    if scheme["type"] == "http":
        value = q.header("Authorization")
        return value[7:] if value and value.startswith("Bearer ") else None
    if scheme["in"] == "header":
        return q.header(scheme["name"])
    if scheme["in"] == "query":
        return dict(q.query).get(scheme["name"])
    cookies = dict(c.strip().partition("=")[::2] for c in (q.header("Cookie") or "").split(";") if c.strip())
    return cookies.get(scheme["name"])


def check_credentials(t, run, op):
    schemes, head = op.spec.schemes, [op.name, *op.words, *op.ids(), *minimal(op)]
    everything = {v: f"of-{v}" for s in schemes.values() for v in s.get("x-sbx-env", [])}
    for names in op.security():
        known = {n: schemes[n]["x-sbx-env"] for n in names if schemes[n].get("x-sbx-env")}
        if not all(schemes[n].get("x-sbx-routing") or n in known for n in names) or not known:
            continue
        for i in range(max(len(v) for v in known.values())):  # each variable of each scheme
            r = run.run(head, env={v[min(i, len(v) - 1)]: f"secret-{n}" for n, v in known.items()})
            if t.that(r.request, "the call with a credential fails", r):
                for n in known:
                    t.that(shown(r.request, schemes[n]) == f"secret-{n}", f"{n} of the environment is not shown", r)
    r = run.run(head, env=everything)
    if not t.that(r.request, "the call with all variables fails", r):
        return
    wanted = {n for names in op.security() for n in names}
    values = {v for n in wanted for e in schemes[n].get("x-sbx-env", []) for v in [f"of-{e}"]}
    for n, s in schemes.items():
        value = shown(r.request, s)
        t.that(value is None or value in values, f"{n} is shown, which the operation does not ask for", r)
    r = run.run([*head, "--api-key", "the-key"])
    got = {n for n, s in schemes.items() if r.request and shown(r.request, s) == "the-key"}
    real = {n for n in wanted if not schemes[n].get("x-sbx-routing")}
    t.that(got <= real | {n for n in got if schemes[n]["type"] == "http"}, f"--api-key went to {sorted(got - real)}, too", r)
    usable = {n for n in real if schemes[n].get("in") != "cookie"}
    t.that(bool(got & real) == bool(usable), f"--api-key went to {sorted(got)}, the operation has {sorted(real)}", r)
    r = run.run(head)
    t.that(r.request and all(shown(r.request, s) is None for s in schemes.values()), "a credential out of nowhere", r)


def check_addresses(t, run, op):
    """The provider's variable, with and without the base path; --base-url over it."""
    head = [op.name, *op.words, *op.ids(), *minimal(op)]
    want = id_segments(op, op.ids())
    for variable in op.spec.doc["x-sbx-env"]["base-url"]:
        for tail in {"", "/", op.spec.base, op.spec.base + "/"}:
            t.category = "base-path" if len(tail) > 1 else "address"
            r = run.run(head, base=False, env={variable: run.recorder.url + tail})
            t.that(r.request and r.request.segments == want, f"{variable} with '{tail}'", r)
        t.category = "address"
        r = run.run(head, env={variable: "http://127.0.0.1:1"})
        t.that(r.request, f"--base-url does not go over {variable}", r)
    t.category = "base-path"
    r = run.run([*head, "--base-url", run.recorder.url + "/below"], base=False)
    t.that(r.request and r.request.segments == ["", "below", *want[1:]], "an address with a path of its own", r)


# ---- answers ----

def rows_of(op, schema, doc):
    """(rows, columns) of an answer that is a list, as x-sbx-rows or its one array of objects says."""
    path = op.node.get("x-sbx-rows")
    if path:
        for name in path.split("."):
            schema, doc = schema.all_members.get(name), doc.get(name)
            if schema is None:
                return None, None
        return doc, schema.items.get("x-sbx-columns")
    if schema.array:
        return doc, schema.items.get("x-sbx-columns")
    if schema.get("x-sbx-columns"):
        return None, None
    arrays = [(n, m) for n, m in schema.all_members.items() if m.array and m.items.kind == "object" and not m.items.is_map]
    if len(arrays) != 1:
        return None, None
    return doc.get(arrays[0][0]), arrays[0][1].items.get("x-sbx-columns")


def emptied(value):
    if isinstance(value, list):
        return []
    return {k: emptied(v) for k, v in value.items()} if isinstance(value, dict) else value


def member(row, column):
    for name in column.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return row


def check_answers(t, run, op):
    if op.websocket or op.stream:
        return
    head = [op.name, *op.words, *op.ids(), *minimal(op)]
    for status, media, schema in op.responses():
        if not media:
            r = run.run(head, answer=(status, "", b""))
            t.that(r.status == 0 and not r.out and not r.err, f"{status} without a body", r)
        elif "json" in media:
            check_document(t, run, op, head, status, media, schema)
        else:
            r = run.run(head, answer=(status, media, b"some text\n"))
            t.that(r.status == 0 and r.out == "some text\n", f"{media} is not passed as it is", r)


def check_document(t, run, op, head, status, media, schema):
    doc = value_of(schema, True)
    answer = (status, media, json.dumps(doc).encode())
    r = run.run([*head, "-o", "json"], answer=answer)
    t.that(r.status == 0 and same(parsed(json.loads, r.out), doc), "-o json is another document", r)
    r = run.run([*head, "-o", "yaml"], answer=answer)
    t.that(r.status == 0 and same(parsed(lambda text: yaml.load(text, Loader), r.out), doc), f"-o yaml is another document: {r.out}", r)
    r = run.run([*head, "-o", "table"], answer=answer)
    t.that(r.status == 0 and (r.out or doc in ({}, [])), "the table is empty", r)
    rows, columns = rows_of(op, schema, doc)
    if not columns or not isinstance(rows, list):
        return
    lines = r.out.split("\n")
    t.that(re.split(r"  +", lines[0].strip()) == [header_of(c) for c in columns], f"header {lines[0]!r} is not {columns}", r)
    t.that(len(lines) - 2 == len(rows), f"{len(lines) - 2} rows, not {len(rows)}", r)
    first = member(rows[0], columns[0])
    t.that(not isinstance(first, str) or first in lines[1], f"the first row {lines[1]!r} does not begin with {first!r}", r)
    empty = emptied(doc)
    for form in ("table", "json", "yaml"):
        r = run.run([*head, "-o", form], answer=(status, media, json.dumps(empty).encode()))
        load = {"json": json.loads, "yaml": lambda text: yaml.load(text, Loader)}.get(form)
        good = same(parsed(load, r.out), empty) if load else not r.out and re.match(rf"sbx {op}: no .* found\n$", r.err)
        t.that(r.status == 0 and good, f"an empty list as {form}", r)


def parsed(load, text):
    try:
        return load(text)
    except (ValueError, yaml.YAMLError):
        return "no document"


def fault(op, kind, message):
    """(status, media, body, message to be seen) as x-sbx-faults words it."""
    faults = op.spec.doc["x-sbx-faults"]
    k = faults.get("kinds", {}).get(kind, {})
    status, message = k.get("status", 400), k.get("message", message)
    if k.get("as") == "empty":
        return status, "", b"", str(status)
    if k.get("as") == "text":
        return status, "text/plain", message.encode(), message
    words = {"$code": k.get("code", kind), "$message": message, "$hint": "try this instead", "$status": status}

    def fill(v):
        return {a: fill(b) for a, b in v.items()} if isinstance(v, dict) else words.get(v, v) if isinstance(v, str) else v
    return status, "application/json", json.dumps(fill(faults["shape"])).encode(), message


def check_errors(t, run, op):
    head = [op.name, *op.words, *op.ids(), *minimal(op)]
    kinds = op.spec.doc["x-sbx-faults"].get("kinds", {})
    for kind in [*kinds, "not_found", "unauthorized"] if op is op.spec.ops[0] or "SBX_OP" in os.environ else ["not_found", "internal"]:
        status, media, body, message = fault(op, kind, "the thing is not as it should be")
        for form in ("table", "json"):
            r = run.run([*head, "-o", form], answer=(status, media, body))
            t.that(r.status == 1 and message in r.err and not r.out, f"{kind} as {body!r}", r)
        if b"try this instead" in body:
            t.that("try this instead" in r.err, f"the hint of {body!r} is lost", r)
    for status, media, body, seen in ((502, "text/html", b"<html><b>Bad Gateway</b></html>", "502"), (500, "application/json", b"{oops", ""),
                                      (500, "application/json", b"", "500"), (500, "text/plain", b"no \x1b[31mway\n", "way"),
                                      (404, "application/json", b'{"message": "gone \\u001b]0;x"}', "gone"),
                                      (400, "application/json", b'[{"error": 1}]', ""), (418, "application/json", b'"short and stout"', ""), (308, "application/json", b"{}", "" if op.websocket else "308")):
        r = run.run(head, answer=(status, media, body))
        t.that(r.status == 1 and r.err and seen in r.err and not r.out and "\x1b" not in r.err, f"{status} as {body!r}", r)
    if not op.websocket and not op.stream and any("json" in m for _, m, _ in op.responses()):
        r = run.run(head, answer=(200, "application/json", b'{"a": '))
        t.that(r.status == 1 and r.err and not r.out, "an answer that is no JSON", r)


# ---- words ----

def check_words(t, run, spec):
    """What is not one operation: the contract's and the nouns' help, and wrong words."""
    nouns = sorted({op.words[0] for op in spec.ops})
    t.category = "help"
    r = run.run([spec.name], base=False)
    t.that(r.status == 0 and not r.err and all(re.search(rf"^  {n} ", r.out, re.M) for n in nouns), "the help of the contract", r)
    for n in nouns:
        verbs = [op.words[1] for op in spec.ops if op.words[0] == n]
        for words in ([n], [n, "--help"], ["help", n]):
            r = run.run([spec.name, *words], base=False)
            t.that(r.status == 0 and not r.err and all(re.search(rf"^  {v} ", r.out, re.M) for v in verbs), f"the help of {n}", r)
    t.category = "refusal"
    refused(t, run.run([spec.name, nouns[0] + "x"], base=False), "misspelt noun", (f"did you mean 'sbx {spec.name} ",))
    refused(t, run.run([spec.name, "zzzzzzz"], base=False), "unknown noun", ("zzzzzzz",))
    noun, verb = spec.ops[0].words
    refused(t, run.run([spec.name, noun, verb + "x"], base=False), "misspelt verb", (f"did you mean 'sbx {spec.name} {noun} ",))
    refused(t, run.run([spec.name, noun, "zzzzzzz"], base=False), "unknown verb", ("zzzzzzz",))
    op = next(op for op in spec.ops if op.json)
    with open(f"{run.folder}/large", "wb") as file:
        file.write(b'{"a": "' + b"x" * (17 << 20) + b'"}')
    refused(t, run.run([spec.name, *op.words, *op.ids(), "--input", "large"]), "--input of 17 MiB", ("large",))


CHECKS = (("help", check_help), ("required", check_requests), ("input", check_input), ("refusal", check_refusals),
          ("credential", check_credentials), ("address", check_addresses), ("answer", check_answers), ("error", check_errors))


def work(share):
    """(dialect, category, what) of all failures of a share of the operations, and how many commands were run."""
    folder = tempfile.mkdtemp(prefix="sbx-commands.")
    out, only = [], os.environ.get("SBX_OP")
    try:
        run = Runner(PROGRAM, folder)
        with open(f"{folder}/data.bin", "wb") as file:
            file.write(DATA)
        with open(f"{folder}/FILE", "wb") as file:
            file.write(b"file")
        for name, indices in share:
            spec = Spec(name)
            for i in indices:
                op = spec.ops[i] if i >= 0 else None
                if only and (op is None or ".".join(op.words) != only):
                    continue
                t = Check()
                for category, check in CHECKS if op else (("help", check_words),):
                    t.category = category
                    try:
                        check(t, run, op or spec)
                    except Exception:  # a bug of this test is a failure of its category, too
                        t.that(False, traceback.format_exc())
                out += [(name, c, f"{op or name}: {what}") for c, what in t.failures]
        return out, run.count
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--jobs", type=int, default=max(2, os.cpu_count() or 2))
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    names, started = a.names or NAMES, time.monotonic()
    # each share has every n-th operation, as the long ones stand together
    shares = [[(n, [-1, *range(0, len(Spec(n).ops), a.jobs)] if k == 0 else range(k, len(Spec(n).ops), a.jobs)) for n in names]
              for k in range(a.jobs)]
    with multiprocessing.Pool(a.jobs) as pool:
        results = pool.map(work, shares, 1)
    failures = [f for found, _ in results for f in found]
    print(f"1..{len(names) * len(CATEGORIES)}")
    number = 0
    for name in names:
        for category in CATEGORIES:
            wrong = [what for n, c, what in failures if (n, c) == (name, category)]
            number += 1
            for what in wrong:
                print("\n".join(f"# {line}" for line in what.rstrip().split("\n")))
            print(f"{'not ok' if wrong else 'ok'} {number} - commands of {name}: {category}{f' ({len(wrong)} wrong)' if wrong else ''}", flush=True)
    print(f"# {sum(n for _, n in results)} commands in {time.monotonic() - started:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
