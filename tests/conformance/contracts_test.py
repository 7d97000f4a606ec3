#!/usr/bin/env python3
"""contracts.py finds what is missing: each change of a small contract is a mismatch, the unchanged one is none. TAP."""
import copy
import sys

import contracts
import yaml

ORIGINAL = yaml.safe_load("""
security: [{key: []}]
paths:
  /things/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string, pattern: "^t"}}]
    put:
      operationId: putThing
      parameters: [{name: limit, in: query, schema: {type: integer, format: int64, default: 5, minimum: 1, maximum: 9}}]
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}, text/plain: {schema: {type: string}}}
      responses:
        "200": {content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}}
        default: {$ref: "#/components/responses/Nowhere"}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}
  schemas:
    Thing:
      type: object
      required: [name]
      properties:
        name: {type: string, minLength: 2, maxLength: 7}
        size: {type: [integer, "null"], format: int32}
        color: {type: string, enum: [red, green]}
        tags: {type: array, maxItems: 3, items: {type: string}}
        more: {type: object, additionalProperties: {type: integer}}
        next: {oneOf: [{type: "null"}, {$ref: "#/components/schemas/Thing"}]}
        when: {oneOf: [{type: object, required: [at], properties: {at: {const: now}}}, {type: object, properties: {every: {type: number}}}]}
""")
PUT, THING = ("paths", "/things/{id}", "put"), ("components", "schemas", "Thing")
FIELD, LIMIT = (*THING, "properties"), (*PUT, "parameters", 0, "schema")
SIZE = (*FIELD, "size")

# Where, the new value (None deletes), what the mismatch says (None: it is none).
CHANGES = [
    (("paths", "/things/{id}"), None, "operation: is missing"), (("paths", "/more"), {"get": {}}, "the original has none"),
    ((*PUT, "operationId"), "set", "operationId is not putThing"), ((*PUT, "security"), [], "security: is not key but nothing"),
    ((*PUT, "security"), [{"key": []}, {}], "is not key but key or nothing"), (("security",), None, "is not key but nothing"),
    (("paths", "/things/{id}", "parameters", 0, "schema", "pattern"), None, 'pattern is not "^t" but null'),
    ((*PUT, "parameters", 0, "name"), "max", "query parameter limit: is missing"), ((*PUT, "parameters", 0, "in"), "header", "is missing"),
    ((*PUT, "parameters", 0, "required"), True, "narrower: is required"), ((*LIMIT, "default"), 6, "default is not 5 but 6"),
    ((*LIMIT, "minimum"), 0, "minimum is not 1 but 0"), ((*LIMIT, "type"), "number", "type is not integer but number"),
    ((*PUT, "requestBody", "required"), None, "the body is not required"), ((*PUT, "requestBody"), None, "request: has no body"),
    ((*PUT, "requestBody", "content", "text/plain"), None, "request text/plain: is missing"),
    ((*PUT, "responses", "200"), None, "response 200: is missing"), ((*PUT, "responses", "default"), None, "response default: is missing"),
    ((*PUT, "responses", "default"), {"description": "x"}, None), ((*PUT, "responses", "404"), {"description": "x"}, None),
    ((*PUT, "responses", "200", "content", "application/json"), {}, "has no schema"),
    (("components", "securitySchemes", "key", "name"), "Key", 'name is not "X-Key" but "Key"'),
    (("components", "securitySchemes", "key"), None, "securitySchemes/key: scheme: is missing"),
    ((*THING, "required"), None, "Thing.name: is not required"), ((*THING, "required"), ["name", "size"], "narrower: is required"),
    ((*THING, "additionalProperties"), False, "narrower: the original takes anything"), ((*FIELD, "added"), {"type": "string"}, None),
    ((*FIELD, "name"), None, "Thing.name: is missing"), ((*FIELD, "name", "pattern"), "^a", 'narrower: pattern "^a"'),
    ((*FIELD, "name", "maxLength"), 8, "maxLength is not 7 but 8"), ((*SIZE, "type"), "integer", "integer or null but integer"),
    (SIZE, {"type": "integer", "nullable": True, "format": "int32"}, None), ((*SIZE, "format"), "int64", 'format is not "int32"'),
    (SIZE, {"anyOf": [{"type": "integer", "format": "int32"}, {"type": "null"}]}, None), (SIZE, {}, "null but anything"),
    ((*FIELD, "color", "enum"), ["red"], 'enum has no "green"'), ((*FIELD, "color", "enum"), ["red", "green", "blue"], None),
    ((*FIELD, "color"), {"oneOf": [{"const": "red", "type": "string"}, {"const": "green", "type": "string"}]}, None),
    ((*FIELD, "color", "type"), None, "type string is only implied"), ((*FIELD, "tags", "maxItems"), None, "maxItems is not 3"),
    ((*FIELD, "tags", "items"), None, "has no items"), ((*FIELD, "tags", "items", "type"), "integer", "Thing.tags[]: type is not string"),
    ((*FIELD, "more", "additionalProperties"), True, "Thing.more{}: additionalProperties is not"),
    ((*FIELD, "next", "oneOf"), [{"type": "null"}, {"$ref": "#/components/schemas/Gone"}], "#/components/schemas/Gone is not defined"),
    ((*FIELD, "when", "oneOf", 1, "properties", "every"), None, "Thing.when|2.every: is missing"),
    ((*FIELD, "when", "oneOf", 0, "properties", "at", "const"), "then", 'enum has no "now"'),
    ((*FIELD, "when", "oneOf", 1), None, "Thing.when"), (THING, {"allOf": [ORIGINAL["components"]["schemas"]["Thing"]]}, None),
]


def main():
    cases = []
    for at, value, says in CHANGES:
        ours = holder = copy.deepcopy(ORIGINAL)
        for step in at[:-1]:
            holder = holder[step]
        holder[at[-1]] = value
        if value is None:
            del holder[at[-1]]
        found = list(contracts.lines("x", contracts.Contents(ORIGINAL, ours).run()))
        cases.append((f"{'/'.join(map(str, at))} = {value}", any(says in line for line in found) if says else not found, found))
    text = {"info": {"description": "One two three four, five six - seven."}}
    cases.append(("seven words are a copy", len(contracts.copied(text, text)) == 1, text))
    cases.append(("six are not", not contracts.copied(text, {"info": {"title": "one, two. three four five six!"}}), text))
    found = [f"{where}: {what}" for _, where, what in contracts.commands(ORIGINAL)]
    wanted = {"x-sbx-command", "summary", "query parameter limit", "request application/json .name"}
    cases.append(("commands and texts are missed", wanted <= {line.split(":")[0] for line in found}, found))
    print(f"1..{len(cases)}")
    for number, (name, passed, found) in enumerate(cases, 1):
        print(f"{'ok' if passed else 'not ok'} {number} - {name}" + ("" if passed else f"\n# {found}"))
    return 0 if all(passed for _, passed, _ in cases) else 1


if __name__ == "__main__":
    sys.exit(main())
