#!/usr/bin/env python3
"""kill -9 of the daemon at random moments while several clients create, pause, resume, snapshot and delete capsules over the Wrenn API:
wrenn_kill.py ROUNDS SEED [HOSTS], with SBX_HOME set and sbx in PATH. With HOSTS the capsules run on so many other daemons, and one of
all is killed each time, which the others have to live with.

After every kill: what was acknowledged is so. A capsule that was created is there, in the state that was last acknowledged or the one that
was just asked for; one that was deleted is over; a template that was acknowledged is listed, and one can start from it in the end. What was
never acknowledged leaves at most a capsule that the list shows, and that can be deleted."""
import atexit
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROUNDS, SEED, HOSTS = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0
HOME = os.environ["SBX_HOME"]
CLIENTS = 3
SETTLED_S = 20  # until all daemons agree again
rng = random.Random(SEED)
lock = threading.Lock()
acked = {}  # id -> set of statuses that may be
templates = {}  # name -> must be there
unsure = set()  # names of templates that may be there
done = {"create": 0, "pause": 0, "resume": 0, "snapshot": 0, "delete": 0}


def fail(why):
    sys.exit(f"seed {SEED}: {why}\n{json.dumps({k: sorted(v) for k, v in acked.items()})}")


def sbx(*args):
    done_ = subprocess.run(["sbx", *args], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    if done_.returncode:
        fail(f"sbx {' '.join(args)}: {done_.stderr}")
    return done_.stdout.strip()


class Gone(Exception):
    """The daemon went away before it had answered."""


def ask(key, method, path, body=None):
    """Status and JSON over the daemon's socket; Gone when there was no whole answer."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: sbx\r\nConnection: close\r\nContent-Length: {len(data)}\r\n"
    head += f"X-API-Key: {key}\r\n" if key.startswith("wrn_") else f"Authorization: Bearer {key}\r\n" if key else ""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(HOME + "/sbxd.sock")
            s.sendall(head.encode() + b"\r\n" + data)
            got = b""
            while more := s.recv(65536):
                got += more
    except (ConnectionError, FileNotFoundError, BrokenPipeError) as e:
        raise Gone(str(e)) from e
    first, _, rest = got.partition(b"\r\n\r\n")
    length = next((int(x.split(b":")[1]) for x in first.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0)
    if not first.startswith(b"HTTP/1.1") or len(rest) < length:
        raise Gone("no whole answer")
    return int(first.split()[1]), json.loads(rest) if rest else None


def step(key, own, r):
    """One operation; what it may lead to is written down before it is asked for, what it led to after the answer."""
    live = [i for i in own if not acked[i] & {"stopped"}]
    what = r.choice(["create"] * (3 if len(live) < 3 else 1) + (["pause", "resume", "snapshot", "delete"] if live else []))
    if what == "create":
        status, answer = ask(key, "POST", "/v1/capsules", {"memory_mb": 256})
        if status == 201:
            with lock:
                acked[answer["id"]] = {"running"}
            own.append(answer["id"])
        return what, status
    capsule = r.choice(live)
    before = set(acked[capsule])
    if what == "snapshot":
        name = f"t{r.randrange(1 << 30)}"
        with lock:
            unsure.add(name)
            acked[capsule] |= {"paused"}
        status, answer = ask(key, "POST", "/v1/snapshots", {"sandbox_id": capsule, "name": name})
        if status == 201:
            with lock:
                templates[name] = True
                acked[capsule] = {"paused"}
        return what, status
    becomes = {"pause": "paused", "resume": "running", "delete": "stopped"}[what]
    acked[capsule] = before | {becomes}
    if what == "delete":
        status, answer = ask(key, "DELETE", f"/v1/capsules/{capsule}")
    else:
        status, answer = ask(key, "POST", f"/v1/capsules/{capsule}/{what}")
    if status in (200, 204):
        acked[capsule] = {becomes}
    elif status == 409:
        acked[capsule] = before
    return what, status


def client(key, own, seed, stop):
    r = random.Random(seed)
    try:
        while not stop.is_set():
            what, status = step(key, own, r)
            if status < 300:
                with lock:
                    done[what] += 1
            elif status not in (409, 404) and not (HOSTS and status in (502, 503)):
                fail_later.append(f"{what}: {status}")
    except Gone:
        pass


def pid():
    return ask("", "GET", "/sbx/v1/system")[1]["pid"]


class Host:
    """Another daemon, that carries capsules for the one in SBX_HOME."""

    def __init__(self, port):
        made = json.loads(sbx("host", "add", "-o", "json"))
        self.home, self.id, self.process = tempfile.mkdtemp(prefix="sbx-kh.", dir="/tmp"), made["host"]["id"], None
        self.up(["--control", f"http://{port}"], made["token"])

    def up(self, args=(), token=""):
        read, write = os.pipe()
        env = {**os.environ, "SBX_HOME": self.home, "SBX_HOST_TOKEN": token}
        self.process = subprocess.Popen(["sbxd", "--role", "host", "--heartbeat", "1", "--ready-fd", str(write), *args], env=env,
                                        pass_fds=[write], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as said:
            if not said.read().startswith("ready"):
                fail("a host does not come up")

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def states(self):
        env = {**os.environ, "SBX_HOME": self.home}
        got = subprocess.run(["sbx", "ls", "-o", "json"], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=True)
        return {row["id"]: row["state"] for row in json.loads(got.stdout)}

    def end(self):
        subprocess.run(["sbx", "down", "--yes"], env={**os.environ, "SBX_HOME": self.home}, capture_output=True, stdin=subprocess.DEVNULL,
                       timeout=120, check=False)
        self.kill()
        subprocess.run(["rm", "-rf", self.home], check=True)


def agree(key):
    """The hosts have what is listed and nothing else, in the same state, and what runs answers."""
    end = time.monotonic() + SETTLED_S
    while True:
        _, listed = ask(key, "GET", "/v1/capsules")
        here, there = {c["id"][-12:]: c["status"] for c in listed}, {i: state for h in hosts for i, state in h.states().items() if state != "stopped"}
        dead = [c["id"] for c in listed if c["status"] == "running" and not answers(key, c["id"])]
        if here == there and not dead:
            return
        if time.monotonic() > end:
            fail(f"listed {here}, on the hosts {there}, no answer from {dead}")
        time.sleep(0.3)


def answers(key, capsule):
    status, answer = ask(key, "POST", f"/v1/capsules/{capsule}/exec", {"cmd": "echo", "args": ["x"]})
    return status == 200 and answer["stdout"] == "x\n"


def check(key):
    if hosts:
        agree(key)
    for capsule, may in acked.items():
        status, answer = ask(key, "GET", f"/v1/capsules/{capsule}")
        if status != 200:
            fail(f"{capsule} was acknowledged and is gone: {status} {answer}")
        # a VM may have died with the daemon in the middle of a pause: then it is over, which only that allows
        if answer["status"] not in may and not (answer["status"] == "stopped" and len(may) > 1):
            fail(f"{capsule} is {answer['status']}, and may be {sorted(may)}")
        acked[capsule] = {answer["status"]}
    _, listed = ask(key, "GET", "/v1/snapshots?type=snapshot")
    names = {t["name"] for t in listed}
    if missing := set(templates) - names:
        fail(f"templates were acknowledged and are gone: {missing}")
    if strange := names - unsure:
        fail(f"templates that nobody asked for: {strange}")
    _, listed = ask(key, "GET", "/v1/capsules")
    for stray in {c["id"] for c in listed} - set(acked):  # created, and the answer was lost
        if ask(key, "DELETE", f"/v1/capsules/{stray}")[0] != 204:
            fail(f"{stray} cannot be deleted")


fail_later, hosts = [], []


@atexit.register
def end():
    for host in hosts:
        host.end()
    if hosts:
        subprocess.run(["sbx", "down", "--yes"], capture_output=True, stdin=subprocess.DEVNULL, timeout=120, check=False)


port = sbx("up", "--listen", "127.0.0.1:0")
hosts += [Host(port) for _ in range(HOSTS)]
status, session = ask("", "POST", "/v1/auth/signup", {"email": "a@example.org", "password": "12345678", "name": "A"})
key = ask(session["token"], "POST", "/v1/api-keys", {})[1]["key"]
ask(key, "DELETE", "/v1/capsules/" + ask(key, "POST", "/v1/capsules", {"memory_mb": 256})[1]["id"])  # the template is there
owns = [[] for _ in range(CLIENTS)]
for n in range(ROUNDS):
    stop = threading.Event()
    threads = [threading.Thread(target=client, args=(key, own, rng.random(), stop), daemon=True) for own in owns]
    for t in threads:
        t.start()
    time.sleep(rng.uniform(0.05, 1.5))
    host = rng.choice([None, *hosts])
    if host:
        host.kill()
    else:
        os.kill(pid(), signal.SIGKILL)
    stop.set()
    for t in threads:
        t.join()
    if fail_later:
        fail("; ".join(fail_later[:5]))
    if host:
        host.up()
    else:
        sbx("up", "--listen", port)
    check(key)
for name in list(templates)[:1]:
    status, answer = ask(key, "POST", "/v1/capsules", {"template": name})
    if status != 201:
        fail(f"nothing starts from {name}: {status} {answer}")
    ask(key, "DELETE", "/v1/capsules/" + answer["id"])
for capsule in acked:
    if ask(key, "DELETE", f"/v1/capsules/{capsule}")[0] != 204:
        fail(f"{capsule} cannot be deleted")
if left := ask(key, "GET", "/v1/capsules")[1]:
    fail(f"left: {left}")
if hosts:
    agree(key)
print(f"seed {SEED}: {ROUNDS} kills; {done}")
