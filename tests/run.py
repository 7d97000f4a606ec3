#!/usr/bin/env python3
"""Build and run test suites; the last line is `N passed, M failed[, K skipped]`, the exit code 1 if anything failed.

usage: tests/run.py SUITE...     (run from the top of the tree; `make check` and its parts do)

A suite is a row of SUITES: what make builds for it, and the commands that run it. Each command's output is TAP (cmocka, bats) or a
fuzzer's; a line a program is printed, and what failed in full. Everything is kept in build/check/. A suite that does not build
counts as one failure and the others go on. Two programs run side by side; nothing runs longer than its limit.
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

OUT = "build/check"
SAN_BUILD = "build/san-address-undefined"
FUZZ_BUILD = "build/san-fuzzer-no-link-address-undefined"
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "15"))
SAN_ENV = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}
TAP_LINE = re.compile(r"^\s*(ok|not ok)\b\s*(\d*)\s*-?\s*(.*)$")


class Job:
    """One program to run. kind: tap, bats (tap with a home for its VMs) or fuzz."""

    def __init__(self, suite, name, command, kind="tap", limit=60, env=None):
        self.suite, self.name, self.command, self.kind, self.limit, self.env = suite, name, command, kind, limit, env or {}
        self.passed = self.failed = self.skipped = 0
        self.output = ""
        self.why = []
        self.home = None


def unit_jobs(suite, build, env):
    names = [os.path.basename(f)[:-2] for f in sorted(glob.glob("tests/unit/t_*.c"))]
    return [Job(suite, n, [f"{build}/tests/{n}"], env={"CMOCKA_MESSAGE_OUTPUT": "TAP", **env}) for n in names]


def fuzz_jobs():
    jobs = []
    for source in sorted(glob.glob("tests/fuzz/f_*.c")):
        name = os.path.basename(source)[:-2]
        corpus = f"build/fuzz/corpus/{name}"
        os.makedirs(corpus, exist_ok=True)
        command = [f"{FUZZ_BUILD}/fuzz/{name}", f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
                   f"-artifact_prefix=build/fuzz/found-{name}-", corpus]
        seeds, words = f"tests/fuzz/corpus/{name[2:]}", f"tests/fuzz/{name[2:]}.dict"
        command += [seeds] if os.path.isdir(seeds) else []
        command += [f"-dict={words}"] if os.path.exists(words) else []
        jobs.append(Job("fuzz", name, command, "fuzz", FUZZ_SECONDS + 60, SAN_ENV))
    return jobs


def bats_jobs(suite, folder, limit, env=None):
    files = sorted(glob.glob(f"{folder}/*.bats"))
    return [Job(suite, os.path.basename(f)[:-5], ["bats", "--tap", f], "bats", limit, env) for f in files]


def conformance_jobs():
    """Those with a daemon have it in a home of its own, which is swept as that of a bats file."""
    scripts = [("contracts", "tap"), ("commands", "tap"), ("walk", "bats"), ("mcp_fs", "bats"), ("native_fs", "bats")] + [
        (f"wrenn_{part}", "bats") for part in "accounts hosts channels capsules files sockets tenants errors".split()]
    return [Job("conformance", name, [sys.executable, f"tests/conformance/{name}.py"], kind, 240) for name, kind in scripts] + \
        bats_jobs("conformance", "tests/conformance", 400)


SUITES = {
    "all": lambda: [],
    "unit": lambda: unit_jobs("unit", "build", {}) + [Job("unit", "net_reach", [sys.executable, "tests/unit/net_reach.py"])],
    "unit-san": lambda: unit_jobs("unit-san", SAN_BUILD, SAN_ENV),
    "fuzz": fuzz_jobs,
    "e2e": lambda: bats_jobs("e2e", "tests/e2e", 400),
    # Leaks at the end of a program are printed, but its exit code is what the tests look at.
    "e2e-san": lambda: bats_jobs("e2e-san", "tests/e2e", 600, {"SBX_BIN": os.path.abspath(f"{SAN_BUILD}/bin"), "LSAN_OPTIONS": "exitcode=0",
                                                              **SAN_ENV}),
    "fault": lambda: bats_jobs("fault", "tests/fault", 400),
    "conformance": conformance_jobs,
}


def sweep(home):
    """End what a test file that was itself ended left running, known by its home, and remove the home."""
    for entry in glob.glob("/proc/[0-9]*"):
        try:
            name = open(f"{entry}/comm").read().strip()
            words = open(f"{entry}/cmdline", "rb").read() + open(f"{entry}/environ", "rb").read()
            if name.startswith(("sbx", "qemu-system")) and home.encode() in words:
                os.kill(int(entry[6:]), signal.SIGKILL)
        except OSError:
            continue
    shutil.rmtree(home, ignore_errors=True)


def execute(job):
    """Run the command in its own process group, so that the limit ends whatever it started."""
    started = time.monotonic()
    env = {**os.environ, "TMPDIR": "/tmp", "SBX_POOL": "0", **job.env}
    if job.kind == "bats":
        job.home = env["E2E_HOME"] = tempfile.mkdtemp(prefix="sbx-e.", dir="/tmp")
    process = subprocess.Popen(job.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                               start_new_session=True)
    timer = threading.Timer(job.limit, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        job.output = process.stdout.read().decode("utf-8", "replace")
        status = process.wait()
    finally:
        timer.cancel()
        if job.home:
            sweep(job.home)
    if time.monotonic() - started >= job.limit:
        job.why.append(f"took longer than {job.limit} s")
    read_result(job, status)
    job.seconds = time.monotonic() - started


def read_result(job, status):
    if job.kind == "fuzz":
        job.passed = int(status == 0)
        runs = re.findall(r"number_of_executed_units:\s*(\d+)", job.output)
        job.note = f"{runs[-1]} runs" if runs else ""
    else:
        job.note = ""
        for line in job.output.splitlines():
            m = TAP_LINE.match(line)
            if not m:
                continue
            if re.search(r"#\s*skip", m[3], re.I):
                job.skipped += 1
            elif m[1] == "ok":
                job.passed += 1
            else:
                job.failed += 1
                job.why.append(m[3])
        planned = sum(int(n) for n in re.findall(r"^1\.\.(\d+)", job.output, re.M))
        missing = planned - job.passed - job.failed - job.skipped
        if missing > 0:
            job.why.append(f"{missing} of {planned} tests did not report")
    if status == 77 and job.kind != "fuzz" and job.passed == 0 and job.failed == 0:  # a fuzzer that found something ends with 77
        job.skipped = max(job.skipped, 1)
        return
    # Whatever the lines said, a bad exit without a failed test is a failure of the program itself.
    if job.failed == 0 and (status != 0 or job.why or job.passed + job.skipped == 0):
        job.failed = 1
        job.why.append(f"ended with {'signal ' + str(-status) if status < 0 else 'code ' + str(status)}")


def report(job, lock):
    verdict = "ok  " if not job.failed else "FAIL"
    counts = f"{job.passed} passed" + (f", {job.failed} failed" if job.failed else "") + (f", {job.skipped} skipped" if job.skipped else "")
    with open(f"{OUT}/{job.suite}-{job.name}.log", "w") as log:
        log.write(job.output)
    with lock:
        print(f"  {verdict} {job.suite:9} {job.name:22} {counts} ({job.seconds:.1f} s{', ' + job.note if job.note else ''})", flush=True)
        if job.failed:
            lines = job.output.splitlines()
            keep = lines if len(lines) <= 200 else lines[:40] + ["..."] + lines[-160:]
            print("".join(f"       | {line}\n" for line in keep) + "".join(f"       {why}\n" for why in job.why), end="", flush=True)


def build(suite):
    """Build what a suite needs: True when done. Quiet unless it fails."""
    started = time.monotonic()
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    target = "all" if suite == "all" else f"build-{suite}"
    done = subprocess.run(["make", "--no-print-directory", f"-j{os.cpu_count()}", target], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True, errors="replace", check=False)
    with open(f"{OUT}/build-{suite}.log", "w") as log:
        log.write(done.stdout)
    if done.returncode:
        print(f"  FAIL build     {suite}\n" + "".join(f"       | {line}\n" for line in done.stdout.splitlines()[-60:]), end="", flush=True)
    elif time.monotonic() - started > 1:
        print(f"  ok   build     {suite} ({time.monotonic() - started:.1f} s)", flush=True)
    return done.returncode == 0


def prepare_image():
    """Real VMs need the image: built once here, so that no test's time limit pays for it."""
    env = {**os.environ, "SBX_HOME": os.path.abspath(f"{OUT}/home")}
    started = time.monotonic()
    done = subprocess.run("timeout 300 build/bin/sbx image build base && timeout 30 build/bin/sbx down --yes", shell=True, env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode:
        print("  FAIL image     base\n" + "".join(f"       | {line}\n" for line in done.stdout.splitlines()[-40:]), end="", flush=True)
    else:
        print(f"  ok   image     base ({time.monotonic() - started:.1f} s)", flush=True)
    return done.returncode == 0


def main(suites):
    unknown = [s for s in suites if s not in SUITES]
    if unknown or not suites:
        print(__doc__, file=sys.stderr)
        return 2
    # Whoever runs us in the background may have signals ignored, and what we start would inherit that: tests send them.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    os.makedirs(OUT, exist_ok=True)
    os.makedirs("build/fuzz", exist_ok=True)
    totals, lock, imaged = [0, 0, 0], threading.Lock(), False
    for suite in suites:
        jobs = SUITES[suite]()
        if suite != "all" and not jobs:
            continue
        ready = build(suite)
        if ready and not imaged and suite in ("e2e", "e2e-san", "fault", "conformance"):
            ready = imaged = prepare_image()
        if not ready:
            totals[1] += 1
            continue
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda job: (execute(job), report(job, lock)), jobs))
        for job in jobs:
            totals = [totals[0] + job.passed, totals[1] + job.failed, totals[2] + job.skipped]
    print(f"{totals[0]} passed, {totals[1]} failed" + (f", {totals[2]} skipped" if totals[2] else ""), flush=True)
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
