#!/usr/bin/env python3
"""kill -9 at random points of pushes, resets, gcs, merges and fetches: fs_kill.py ROUNDS SEED, with SBX_HOME set and sbx in PATH.

What a command acknowledged (exit 0) must be in the label's history, in its order; every label leads to whole trees; fsck is clean."""
import json
import os
import random
import signal
import subprocess
import sys
import time

ROUNDS, SEED = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(SEED)
work = os.environ["WORK"]
LABELS = ["main", "side"]
acked = {label: [] for label in LABELS}
counts = {"killed": 0, "done": 0, "refused": 0}


def sbx(*args):
    return subprocess.run(["sbx", "fs", *args], capture_output=True, text=True, stdin=subprocess.DEVNULL)


def must(*args):
    done = sbx(*args)
    if done.returncode:
        sys.exit(f"seed {SEED}: sbx fs {' '.join(args)}: {done.returncode}: {done.stderr}")
    return done.stdout


def change(folder):
    """A file more, one changed, one gone; now and then a large one."""
    for _ in range(rng.randint(1, 5)):
        path = os.path.join(folder, f"f{rng.randint(0, 30)}")
        if rng.random() < 0.15 and os.path.exists(path):
            os.unlink(path)
            continue
        with open(path, "wb") as f:
            f.write(rng.randbytes(rng.choice([10, 1000, 70000, 70000, 900000])))


def killed(command, longest):
    """Run it and kill it at a random point. (exit code or None, standard output)"""
    process = subprocess.Popen(["sbx", "fs", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + rng.random() * longest
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.0005)
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    out, error = process.communicate()
    if process.returncode == -signal.SIGKILL:
        counts["killed"] += 1
        return None, out
    if process.returncode not in (0, 1):
        sys.exit(f"seed {SEED}: {command}: {process.returncode}: {error}")
    counts["done" if process.returncode == 0 else "refused"] += 1
    return process.returncode, out


def log(label):
    return [e["to"] for e in reversed(json.loads(must("log", label, "-o", "json")))]


def check():
    must("fsck")
    for label in LABELS:
        done = sbx("log", label, "-o", "json")
        if done.returncode:
            assert not acked[label], f"seed {SEED}: {label} is gone"
            continue
        history = log(label)
        shown = json.loads(must("show", label, "-o", "json"))
        assert shown["complete"] and shown["id"] == history[-1], f"seed {SEED}: {label} leads to what is not there"
        rest = iter(history)
        for tree in acked[label]:
            assert any(tree == t for t in rest), f"seed {SEED}: the acknowledged {tree} is not in the history of {label}"


def main():
    for label in LABELS:
        os.makedirs(f"{work}/{label}", exist_ok=True)
    for n in range(ROUNDS):
        label, dice = rng.choice(LABELS), rng.random()
        folder = f"{work}/{label}"
        before = None
        if dice < 0.7 or not acked[label]:
            change(folder)
            command = ["push", folder, label, "--force", "-m", f"round {n}"]
        elif dice < 0.8:
            command = ["reset", label, rng.choice(acked[label])]
        elif dice < 0.9:
            command = ["gc"]
        else:
            command = ["merge", label, LABELS[1 - LABELS.index(label)], "--prefer", "ours", "--into", label]
            before = sbx("show", label, "-o", "json").stdout
        code, out = killed(command, 0.025)
        tree = out.strip()
        if code == 0 and command[0] in ("push", "reset", "merge") and len(tree) == 64:
            # what changes nothing writes nothing to the history
            last = log(label)[-1]
            assert last == tree, f"seed {SEED}: {command[0]} acknowledged {tree}, and {label} is at {last}"
            if before is None or json.loads(before or "{}").get("id") != tree:
                acked[label].append(tree)
                acked[label] = [t for i, t in enumerate(acked[label]) if i == 0 or t != acked[label][i - 1]]
        if n % 25 == 24:
            check()
    check()
    must("gc")
    check()
    for label in LABELS:
        must("checkout", label, f"{work}/out-{label}")
    left = [f for f in os.listdir(os.path.join(os.environ["SBX_HOME"], "store", "tmp"))] if os.path.isdir(
        os.path.join(os.environ["SBX_HOME"], "store", "tmp")) else []
    assert not left, f"seed {SEED}: left in tmp: {left}"
    print(f"seed {SEED}: {counts}")


main()
