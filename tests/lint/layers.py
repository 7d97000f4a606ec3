#!/usr/bin/env python3
"""Check #include lines against tests/lint/layers.txt. Prints each broken rule as file:line; exit 1 if there is one."""
import fnmatch
import glob
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def read_rules(path):
    layers, may, never, only = {}, {}, {}, {}
    for number, line in enumerate(open(path), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        kind, name, rest = words[0], words[1].rstrip(":"), words[2:]
        if kind == "layer":
            for prefix in rest:
                layers[prefix] = name
        elif kind in ("may", "never"):
            {"may": may, "never": never}[kind][name] = rest
        elif kind == "only":
            only[name] = list(zip(rest, rest[1:] + [""]))
        else:
            sys.exit(f"{path}:{number}: unknown rule '{kind}'")
    return layers, may, never, only


def layer_of(path, layers):
    best = max((p for p in layers if path.startswith(p)), key=len, default=None)
    return layers.get(best)


def check_only(header, users, rows):
    """A header with a count behind a glob may stand in that many files of the glob; without one in any of them."""
    wrong = [f"{f}: <{header}> belongs into {' '.join(g for g, _ in rows if not g.isdigit())} only"
             for f in users if not any(fnmatch.fnmatch(f.split(":")[0], g) for g, _ in rows)]
    for pattern, count in rows:
        inside = sorted({f.split(":")[0] for f in users if fnmatch.fnmatch(f.split(":")[0], pattern)})
        if count.isdigit() and len(inside) > int(count):
            wrong.append(f"{inside[-1]}: <{header}> is already wrapped by {inside[0]}")
    return wrong


def main():
    layers, may, never, only = read_rules("tests/lint/layers.txt")
    wrong, users = [], {name: [] for name in only}
    files = sorted(f for top in ("cli", "daemon", "shared") for f in glob.glob(f"{top}/**/*.[ch]", recursive=True))
    for path in files:
        own = layer_of(path, layers)
        if own is None:
            wrong.append(f"{path}: stands in no layer of tests/lint/layers.txt")
            continue
        for number, line in enumerate(open(path, errors="replace"), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            header, where = found.group(1), f"{path}:{number}"
            other = "contract" if header.endswith("_contract.h") else layer_of(header, layers)
            if other and other != own and other not in may.get(own, []):
                wrong.append(f"{where}: {own} must not include {other} ({header})")
            if any(header.startswith(bad) for bad in never.get(own, [])):
                wrong.append(f"{where}: {own} must not include {header}")
            for name in only:
                if fnmatch.fnmatch(header, name):
                    users[name].append(where)
    for header, rows in only.items():
        wrong += check_only(header, users[header], rows)
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
