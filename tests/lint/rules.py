#!/usr/bin/env python3
"""The house rules that no standard tool knows: banned functions, exits below main, long files and lines, SQL outside the database
layer, unfinished places. Prints each as file:line; exit 1 if there is one. `lint: allow` in a comment on the line lets it stand."""
import glob
import re
import sys

MAX_LINES, MAX_COLUMNS = 800, 132
BANNED = "strcpy strcat sprintf vsprintf strtok gets gmtime localtime asctime ctime mktemp tmpnam system popen atoi atol strncat alloca".split()

# Pattern, where it is looked for, where it may stand nevertheless, what to say. _exit is for the child side of a fork.
RULES = [
    (re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(BANNED)), "", (), "'{0}' is banned"),
    (re.compile(r"(?<![\w.>])(exit|abort|quick_exit)\s*\("), "",
     ("cli/main.c", "daemon/main.c", "daemon/netd/main.c", "daemon/guest/main.c", "shared/gen/main.c", "shared/base/mem.c",
      "shared/base/util.c", "shared/net/crypto.c"), "'{0}' below main"),
    (re.compile(r"(?<![\w.>])(fork|vfork|posix_spawn|execv\w*|uv_spawn)\s*\("), "daemon/api/", (), "api starts no process ('{0}')"),
    (re.compile(r"(?<![\w.>])(accept|pipe|dup|epoll_create|inotify_init|creat)\s*\("), "", ("daemon/guest/",),
     "'{0}' cannot set close-on-exec"),
    (re.compile(r"(?<![\w.>])(open|openat|socket|socketpair|accept4|pipe2|epoll_create1|memfd_create|eventfd|timerfd_create|signalfd)"
                r"\s*\((?![^;]*CLOEXEC)[^;]*;"), "", (), "'{0}' without its close-on-exec flag"),
]
SQL = re.compile(r'"\s*(SELECT|INSERT|UPDATE|DELETE FROM|CREATE TABLE|PRAGMA)\b')
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|not yet implemented", re.I)


STRING = r'"(?:\\.|[^"\\\n])*"'


def no_comments(text):
    """Comments blanked out, lines and strings kept."""
    return re.sub(STRING + r"|//[^\n]*|/\*.*?\*/", lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)


def check(path):
    raw = open(path, errors="replace").read()
    lines, out = raw.split("\n"), []
    if len(lines) - 1 > MAX_LINES:
        out.append(f"{path}: {len(lines) - 1} lines, more than {MAX_LINES}")
    for n, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > MAX_COLUMNS:
            out.append(f"{path}:{n}: line of {len(line.expandtabs(8))} columns, more than {MAX_COLUMNS}")
        if UNFINISHED.search(line):
            out.append(f"{path}:{n}: sounds unfinished: {line.strip()[:60]}")
    code = no_comments(raw)
    bare = re.sub(STRING, '""', code)
    hits = [(code, m, "SQL outside daemon/db") for m in SQL.finditer(code) if not path.startswith("daemon/db/")]
    for pattern, under, allowed, say in RULES:
        if path.startswith(under) and not path.startswith(allowed):
            hits += [(bare, m, say.format(m[1])) for m in pattern.finditer(bare)]
    for text, m, say in hits:
        n = text.count("\n", 0, m.start()) + 1
        if "lint: allow" not in lines[n - 1]:
            out.append(f"{path}:{n}: {say}")
    return out


def main():
    files = sorted(f for top in ("cli", "daemon", "shared") for f in glob.glob(f"{top}/**/*.[ch]", recursive=True))
    wrong = [line for f in files for line in check(f)]
    for f in sorted(glob.glob("mk/*") + glob.glob("tests/**/*.*", recursive=True)):
        if f.endswith((".sh", ".bats", ".bash", ".py", ".mk", ".c")) and len(open(f, errors="replace").read().split("\n")) - 1 > MAX_LINES:
            wrong.append(f"{f}: more than {MAX_LINES} lines")
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
