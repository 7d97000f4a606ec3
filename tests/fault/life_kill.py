#!/usr/bin/env python3
"""kill -9 of the daemon or of VMMs at random moments of pause, resume, fork, stop, start and rm: life_kill.py ROUNDS SEED, with SBX_HOME
set and sbx in PATH.

After every kill: each sandbox is in a state in which something can be done with it, and can be brought to run. Memory is lost by a stop
or by the death of a VMM only: a counter in the guest's memory never goes back. A file that was synced stays. What was acknowledged is so;
a fork is all or none. In the end everything is removed, and nothing is left."""
import json
import os
import random
import signal
import subprocess
import sys
import time

ROUNDS, SEED = int(sys.argv[1]), int(sys.argv[2])
HOME = os.environ["SBX_HOME"]
SETTLED = ("running", "paused", "stopped")
COUNTER = 'i=$1; while :; do i=$((i + 1)); echo $i >/tmp/n.new; mv /tmp/n.new /tmp/n; sleep 0.1; done'
FROM = {"pause": "running", "resume": "paused", "stop": "running paused", "start": "stopped", "fork": "running paused", "rm": " ".join(SETTLED)}
BECOMES = {"pause": "paused", "resume": "running", "stop": "stopped", "start": "running"}
rng = random.Random(SEED)
boxes = {}  # name -> Box
history = []
tally = {}


class Box:
    """What is known of a sandbox."""

    def __init__(self, name, files=(), count=0):
        self.name = name
        self.files = list(files)  # synced ones
        self.count = count  # seen in its memory; None: that may be lost
        self.state = "running"


def fail(why):
    log = ""
    for entry in sorted(os.listdir(f"{HOME}/log")):
        log += open(f"{HOME}/log/{entry}", encoding="utf-8", errors="replace").read()
    sys.exit(f"seed {SEED}: {why}\n" + "\n".join(history[-12:]) + "\n" + "\n".join([l for l in log.splitlines() if "libmicrohttpd" not in l][-40:]))


def sbx(*args, limit=240):
    try:
        return subprocess.run(["sbx", *args], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=limit)
    except subprocess.TimeoutExpired:
        return fail(f"sbx {' '.join(args)}: no end within {limit} s")


def must(*args):
    done = sbx(*args)
    if done.returncode:
        fail(f"sbx {' '.join(args)}: {done.returncode}: {done.stderr}")
    return done.stdout.strip()


def guest(name, script, *args):
    return must("exec", name, "--", "sh", "-c", script, "sh", *args)


def listed():
    return {s["name"]: s for s in json.loads(must("ls", "-o", "json"))}


def vmms_fit():
    """As many VMMs as there are sandboxes that have one; the pool comes and goes by itself."""
    end = time.monotonic() + 30
    while True:
        states = [s["state"] for s in json.loads(must("ls", "--pool", "-o", "json"))]
        vmms, wanted = len(ours("qemu-system")), sum(s in ("running", "pooled") for s in states)
        if vmms == wanted and "creating" not in states:
            return
        if time.monotonic() > end:
            fail(f"{vmms} VMMs for {wanted} sandboxes that have one: {states}")
        time.sleep(0.05)


def settled():
    """All sandboxes, when no operation is under way any more."""
    end = time.monotonic() + 60
    while True:
        now = listed()
        if all(s["state"] in SETTLED for s in now.values()):
            return now
        if time.monotonic() > end:
            fail(f"still under way: { {n: s['state'] for n, s in now.items()} }")
        time.sleep(0.05)


def ours(comm):
    """Pids of processes of this home whose name begins so."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if not open(f"/proc/{pid}/comm").read().startswith(comm):
                continue
            if HOME.encode() in open(f"/proc/{pid}/environ", "rb").read() + open(f"/proc/{pid}/cmdline", "rb").read():
                found.append(int(pid))
        except OSError:
            pass
    return found


def kill(pid):
    """Its end is waited for: until then it still takes connections."""
    try:
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 20
        while time.monotonic() < end and open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX":
            time.sleep(0.002)
    except (ProcessLookupError, FileNotFoundError):
        pass


# ---- what is done ----

def counting(box):
    """Have it count from where it is known to have been."""
    guest(box.name, f"(setsid sh -c '{COUNTER}' sh \"$1\" </dev/null >/dev/null 2>&1 &)", str(box.count or 0))
    box.count = box.count or 0


def look(box):
    """It runs: is all there that must be?"""
    out = guest(box.name, "cd /root; cat f.* | sort -n | tr '\\n' ' '; cat /tmp/n || echo none")
    *files, count = out.split(" ")
    missing = {f"{f}" for f in box.files} - set(files)
    if missing:
        fail(f"{box.name} has lost what it had synced: {missing}; it has {files}")
    if box.count is None:
        counting(box)
    elif count == "none" and box.count > 0 or count != "none" and int(count) < box.count:
        fail(f"{box.name} has lost its memory: counted to {count} after {box.count}")
    else:
        box.count = int(count) if count != "none" else box.count


def write(box):
    """A file more, synced; now and then a large one, so that its disk is not copied any more but layered."""
    word = str(len(history) * 100 + len(box.files))
    size = rng.choice([0, 0, 0, 12])
    guest(box.name, 'cd /root; echo "$1" >f.$1; dd if=/dev/urandom of=large bs=1M count=$2 2>/dev/null; sync', word, str(size))
    box.files.append(word)


def bring_up(box):
    if box.state == "paused":
        must("resume", box.name)
    elif box.state == "stopped":
        box.count = None
        must("start", box.name)
    box.state = "running"
    look(box)


def plan():
    """An operation that fits, with a sandbox that no other has: (op, box, words, names of children)"""
    box = rng.choice(list(boxes.values()))
    ops = [op for op, states in FROM.items() if box.state in states.split() and (op != "rm" or len(boxes) > 3) and (op != "fork" or len(boxes) < 5)]
    op = rng.choice(ops)
    children = [f"c{len(history)}-{k}" for k in range(rng.randint(1, 3))] if op == "fork" else []
    words = [op, box.name, *(w for c in children for w in ("--name", c))]
    if op == "stop" and rng.random() < 0.3:
        words.append("--force")
    return op, box, words, children


def judge(op, box, children, code, killed, now):
    """After one operation and one kill."""
    vmm_died = killed == "vmm"
    if op == "rm":
        if box.name in now and code == 0:
            fail(f"{box.name} was removed and is there")
        if box.name not in now:
            del boxes[box.name]
            return
    if box.name not in now:
        fail(f"{box.name} is gone")
    state, was = now[box.name]["state"], box.state
    if op in BECOMES and code == 0 and state != BECOMES[op] and not vmm_died:
        fail(f"{op} of {box.name} was acknowledged, and it is {state}")
    if op == "pause" and code == 0 and state != "paused":
        fail(f"the pause of {box.name} was acknowledged, and it is {state}")
    if state == "stopped" and was != "stopped" and op != "stop" and not vmm_died:
        fail(f"{box.name} was {was} and is stopped after {op}")
    if op in ("stop", "start") or (vmm_died and state == "stopped"):
        box.count = None if state != "paused" and not (op == "stop" and state == "running" and code) else box.count
    box.state = state
    there = [c for c in children if c in now]
    if op == "fork" and there and len(there) != len(children) and not vmm_died:
        fail(f"of the children {children} there are {there}")
    if op == "fork" and code == 0 and len(there) != len(children):
        fail(f"the children {children} were acknowledged; there are {there}")
    for c in there:
        boxes[c] = Box(c, box.files, box.count)
        boxes[c].state = now[c]["state"]
        if boxes[c].state == "stopped":
            boxes[c].count = None


def do_round():
    for box in boxes.values():
        if box.state == "running" and rng.random() < 0.6:
            write(box)
            look(box)
    op, box, words, children = plan()
    victim = rng.choice(["none", "daemon", "daemon", "daemon", "vmm"])
    delay = rng.random() * {"start": 3, "stop": 1.5, "fork": 0.5, "resume": 0.5, "pause": 0.15, "rm": 0.1}[op]
    history.append(f"{len(history)}: {' '.join(words)} ({box.state}); kill {victim} after {delay:.3f} s")
    daemon = json.loads(must("api", "GET", "/sbx/v1/system"))["pid"]
    before = set(ours("qemu-system"))
    pids = {s["pid"]: n for n, s in listed().items()}
    process = subprocess.Popen(["sbx", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    time.sleep(delay)
    if victim == "daemon":
        kill(daemon)
    elif victim == "vmm":
        # the sandbox's own, or one that has just come
        found = [p for p in ours("qemu-system") if p not in before or pids.get(p) == box.name]
        victim = "vmm" if found else "none"
        for pid in found:
            kill(pid)
    try:
        out, error = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        fail(f"sbx {' '.join(words)}: no end")
    code = process.returncode
    if code not in (0, 1) or (code == 1 and not error):
        fail(f"sbx {' '.join(words)}: {code}: {out}{error}")
    if code == 1 and victim == "none":
        fail(f"sbx {' '.join(words)}, undisturbed: {error}")
    history[-1] += f" -> {code} {error.strip()}"
    tally[f"{op} {victim} {code}"] = tally.get(f"{op} {victim} {code}", 0) + 1
    if victim == "vmm":
        time.sleep(0.1)  # the daemon is told of its end
    now = settled()
    judge(op, box, children, code, victim, now)
    strangers = set(now) - set(boxes)
    if strangers:
        fail(f"nobody knows {strangers}")
    for other in boxes.values():
        if other.name not in now:
            fail(f"{other.name} is gone")
        if now[other.name]["state"] != other.state:
            fail(f"{other.name} was {other.state} and is {now[other.name]['state']}")
    for other in rng.sample(list(boxes.values()), rng.choice([0, 1, min(2, len(boxes))])):
        bring_up(other)
    vmms_fit()


def left():
    return ours("qemu-system") + [f"{d}/{f}" for d in ("vms", "layers") if os.path.isdir(f"{HOME}/{d}") for f in os.listdir(f"{HOME}/{d}")]


def main():
    for name in ("small", "large"):
        must("create", "--name", name)
        boxes[name] = Box(name)
        counting(boxes[name])
    guest("large", "dd if=/dev/urandom of=/root/ballast bs=1M count=12 2>/dev/null; sync")
    for _ in range(ROUNDS):
        do_round()
    for box in list(boxes.values()):
        bring_up(box)
    must("rm", *boxes)
    vmms_fit()
    must("down", "--yes")
    end = time.monotonic() + 20
    while left():
        if time.monotonic() > end:
            fail(f"left behind: {left()}")
        time.sleep(0.1)
    print(f"seed {SEED}: {ROUNDS} rounds: " + ", ".join(f"{k}: {n}" for k, n in sorted(tally.items())))


main()
