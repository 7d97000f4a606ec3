"""The rows of `make bench` about freezing: create with and without the pool, pause, resume, fork, snapshot, many idle VMs; beside a plain
QEMU that boots the same kernel and disk, and `crun run`.

Over one HTTP connection to the daemon's socket, so that no process of ours starts in between."""
import glob
import json
import os
import re
import socket
import subprocess
import time

N = 20


class Http:
    """One connection, kept alive."""

    def __init__(self, home):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(home + "/sbxd.sock")

    def close(self):
        self.s.close()

    def __call__(self, method, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.s.sendall((f"{method} /sbx/v1{path} HTTP/1.1\r\nHost: sbx\r\nContent-Type: application/json\r\n"
                        f"Content-Length: {len(data)}\r\n\r\n").encode() + data)
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.more()
        head, _, rest = got.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        length = next((int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0)
        while len(rest) < length:
            rest += self.more()
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {rest.decode()}")
        return json.loads(rest) if rest else None

    def more(self):
        data = self.s.recv(1 << 16)
        if not data:
            raise RuntimeError("the daemon closed the connection")
        return data


def rows(row, env, sbx, remove_all):
    def http():
        return Http(env["SBX_HOME"])

    def daemon(pool):
        """A daemon anew, with so many VMs that wait."""
        sbx("down", "--yes")
        env["SBX_POOL"] = str(pool)
        sbx("ls")

    def run(h, box, *command):
        answer = h("POST", f"/sandboxes/{box}/exec", {"command": list(command)})
        if answer["exitCode"] != 0:
            raise RuntimeError(f"{command}: {answer}")
        return answer["stdout"]

    def ms(function, *args):
        start = time.perf_counter()
        value = function(*args)
        return (time.perf_counter() - start) * 1000, value

    def new(h, **body):
        return h("POST", "/sandboxes", body)["id"]

    def first_output(h, **body):
        box = new(h, **body)
        run(h, box, "echo", "ready")
        return box

    def waiting(h):
        return [s for s in h("GET", "/sandboxes?pool=true")["sandboxes"] if s["state"] == "pooled"]

    def settled(h, n):
        """n VMs wait, held."""
        for _ in range(400):
            if len(waiting(h)) >= n:
                time.sleep(0.3)
                return
            time.sleep(0.05)
        raise RuntimeError("the pool does not fill")

    def creates(n, **body):
        h, values = http(), []
        h("DELETE", "/sandboxes/" + first_output(h, **body))
        for _ in range(n):
            took, box = ms(lambda: first_output(h, **body))
            values.append(took)
            h("DELETE", f"/sandboxes/{box}")
            time.sleep(0.2)
        h.close()
        return values

    def dirty(h, mb, **body):
        """A VM that has changed so many megabytes of its memory, with bytes that no compression helps with."""
        box = first_output(h, **body)
        run(h, box, "sh", "-c", f"head -c {mb}000000 /dev/urandom > /dev/shm/x")
        return box

    def cold_boot():
        """A plain QEMU on the same kernel, initial file system and disk, until our agent says that it is ready."""
        kernel = sorted(glob.glob(os.path.expanduser(env.get("SBX_CACHE", "~/.cache/sbx")) + "/kernels/*/vmlinux"), key=os.path.getmtime)
        disk = sorted(glob.glob(os.path.expanduser(env.get("SBX_CACHE", "~/.cache/sbx")) + "/images/base-*/rootfs.ext4"), key=os.path.getmtime)
        if not kernel or not disk:
            return "n/a: no image"
        words = "quiet mitigations=off console=ttyS0 reboot=t panic=-1 no_timer_check tsc=reliable clocksource=tsc lpj=4000000 tsc_early_khz="
        khz = json.load(open(os.path.expanduser(env.get("SBX_CACHE", "~/.cache/sbx")) + "/accel.json")).get("tscKhz", 2600000)
        values = []
        for _ in range(3):
            start = time.perf_counter()
            qemu = subprocess.Popen(
                ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-machine",
                 "microvm,x-option-roms=off", "-m", "256M", "-accel", "tcg,thread=multi", "-cpu", "max", "-kernel", kernel[-1], "-initrd",
                 os.path.dirname(kernel[-1]) + "/initrd", "-append", words + str(khz), "-device", "virtio-serial-device", "-chardev",
                 "null,id=agent", "-device", "virtserialport,chardev=agent,name=agent", "-drive",
                 f"if=none,id=d,format=raw,snapshot=on,file={disk[-1]}", "-device", "virtio-blk-device,drive=d", "-serial", "stdio"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said = b""
            try:
                while b"ready" not in said:
                    more = os.read(qemu.stdout.fileno(), 4096)
                    if not more:
                        return "n/a: it did not boot"
                    said += more
                values.append((time.perf_counter() - start) * 1000)
            finally:
                qemu.kill()
                qemu.wait()
        return values

    @row("vm: create from the pool to the first output, HTTP", 30)
    def from_pool(_peers):
        daemon(2)
        h, values = http(), []
        first_output(h)
        for _ in range(N):
            settled(h, 2)
            took, box = ms(first_output, h)
            values.append(took)
            h("DELETE", f"/sandboxes/{box}")
        h.close()
        return values, []

    @row("vm: processor time of a VM that waits in the pool", 0.01, "% of a core")
    def pool_cpu(_peers):
        h = http()
        settled(h, 2)
        pids = [s["pid"] for s in waiting(h)]
        before, start = [time.clock_gettime_ns((~p << 3) | 2) for p in pids], time.monotonic()
        time.sleep(10)
        took = (time.monotonic() - start) * 1e9
        values = [(time.clock_gettime_ns((~p << 3) | 2) - b) / took * 100 for p, b in zip(pids, before)]
        h.close()
        daemon(0)
        return values, []

    @row("vm: create without pool to the first output, base", 200)
    def without_pool(peers):
        daemon(0)
        return creates(N), [("plain QEMU, cold boot", cold_boot()), ("crun run", peers.crun_run())]

    @row("vm: the same, debian (systemd, 512 MB)", 350)
    def without_pool_debian(_peers):
        if not glob.glob(os.path.expanduser(env.get("SBX_CACHE", "~/.cache/sbx")) + "/images/debian-*"):
            sbx("image", "build", "debian")
        return creates(N, image="debian"), []

    @row("vm: pause with 20 MB dirty", 150)
    def pause(_peers):
        h, values = http(), []
        box = dirty(h, 20)
        for _ in range(N):
            values.append(ms(h, "POST", f"/sandboxes/{box}/pause")[0])
            h("POST", f"/sandboxes/{box}/resume")
            run(h, box, "true")
        remove_all()
        h.close()
        return values, []

    @row("vm: resume it, to the first output", 250)
    def resume(_peers):
        h, values = http(), []
        box = dirty(h, 20)
        for _ in range(N):
            h("POST", f"/sandboxes/{box}/pause")
            values.append(ms(lambda: (h("POST", f"/sandboxes/{box}/resume"), run(h, box, "echo", "ready")))[0])
        remove_all()
        h.close()
        return values, []

    def stops(box):
        return [int(x) for x in re.findall(r"stopped for (\d+) ms", sbx("logs", box))]

    @row("vm: fork one child with 20 MB dirty, until it answers", 400)
    def fork_one(_peers):
        h, values = http(), []
        box = dirty(h, 20)
        for _ in range(N):
            took, child = ms(lambda: h("POST", f"/sandboxes/{box}/fork", {})["sandboxes"][0]["id"])
            more, _ = ms(run, h, child, "echo", "ready")
            values.append(took + more)
            h("DELETE", f"/sandboxes/{child}")
        stopped = stops(box)
        remove_all()
        h.close()
        return values, [("its parent stopped for (bar 60 ms)", stopped)]

    @row("vm: fork 10 children of it, until all answer", 2500)
    def fork_ten(_peers):
        h, values = http(), []
        box = dirty(h, 20)
        for _ in range(3):
            took, children = ms(lambda: [c["id"] for c in h("POST", f"/sandboxes/{box}/fork", {"count": 10})["sandboxes"]])
            more, _ = ms(lambda c=children: [run(h, x, "echo", "ready") for x in c])
            values.append(took + more)
            for child in children:
                h("DELETE", f"/sandboxes/{child}")
        remove_all()
        h.close()
        return values, []

    def disk_kb(*folders):
        out = subprocess.run(["du", "-skc", *(env["SBX_HOME"] + "/" + f for f in folders if os.path.exists(env["SBX_HOME"] + "/" + f))],
                             capture_output=True, text=True, check=True).stdout
        return int(out.split("\n")[-2].split()[0])

    @row("vm: disk that the 100th fork of an idle VM takes, at most", 1, "MB")
    def fork_growth(_peers):
        h = http()
        box = first_output(h)
        for _ in range(99):
            h("DELETE", f"/sandboxes/{h('POST', f'/sandboxes/{box}/fork', {})['sandboxes'][0]['id']}")
        before = disk_kb("store", "layers", "vms", "bases")
        h("POST", f"/sandboxes/{box}/fork", {})
        grown = (disk_kb("store", "layers", "vms", "bases") - before) / 1024
        remove_all()
        h.close()
        return [grown], []

    @row("vm: store growth of another snapshot of an idle VM", 1, "MB")
    def snapshot_growth(_peers):
        h, values = http(), []
        box = first_output(h)
        h("POST", f"/sandboxes/{box}/snapshots", {"name": "first"})
        for i in range(5):
            before = disk_kb("store")
            h("POST", f"/sandboxes/{box}/snapshots", {"name": f"more{i}"})
            values.append((disk_kb("store") - before) / 1024)
        remove_all()
        for name in ["first"] + [f"more{i}" for i in range(5)]:
            h("DELETE", f"/snapshots/{name}")
        h.close()
        return values, []

    @row("vm: snapshot of 512 MB with 100 MB dirty", 800)
    def snapshot(_peers):
        h, values, stopped = http(), [], []
        box = first_output(h, memoryMb=512)
        h("POST", f"/sandboxes/{box}/snapshots", {"name": "first"})
        for i in range(5):
            run(h, box, "sh", "-c", "head -c 100000000 /dev/urandom > /dev/shm/x")
            values.append(ms(h, "POST", f"/sandboxes/{box}/snapshots", {"name": f"more{i}"})[0])
        stopped = stops(box)
        remove_all()
        for name in ["first"] + [f"more{i}" for i in range(5)]:
            h("DELETE", f"/snapshots/{name}")
        h.close()
        return values, [("it stopped for", stopped)]

    @row("vm: 100 idle VMs, memory of all together", 4.5, "GB")
    def hundred(_peers):
        h = http()
        before = available_mb()
        ids = [first_output(h) for _ in range(100)]
        time.sleep(10)
        used = (before - available_mb()) / 1024
        answers = [ms(run, h, box, "echo", "ready")[0] for box in ids]
        remove_all()
        h.close()
        return [used], [("each answers exec within ms (bar 1000), at worst", [max(answers)]), ("median", answers)]

    def available_mb():
        with open("/proc/meminfo") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("MemAvailable:")) / 1024
