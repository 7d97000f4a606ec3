"""The rows of `make bench` about sbx fs: each beside git, restic or ostree on the same files in the same run, page cache warm, stores new.

The files are those of the packages that a Debian minbase has, as they lie in this machine's /usr, filled up to 8,000 files and 200 MB
with those of further packages in order of their names."""
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

FILES, BYTES = 8000, 200_000_000
TIMES = 3


def packages():
    """All that are installed: essential and required ones with what they need, then the others by name."""
    out = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\t${Essential}\t${Priority}\t${Pre-Depends},${Depends}\n"],
                         capture_output=True, text=True, check=True).stdout
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}
    first, todo = [], sorted(p for p, r in rows.items() if r[0] == "yes" or r[1] == "required") + ["apt"]
    while todo:
        p = todo.pop(0)
        if p in rows and p not in first:
            first.append(p)
            todo += [d.strip().split(" ")[0].split(":")[0] for d in rows[p][2].replace("|", ",").split(",")]
    return first + sorted(set(rows) - set(first))


class Data:
    """The folder and what was made of it, once for all rows."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="sbx-fsb.", dir="/tmp")
        self.folder = self.path("usr")
        self.files = self.bytes = self.stores = 0
        seen = set()
        for package in packages():
            if self.files >= FILES and self.bytes >= BYTES:
                break
            listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True).stdout.splitlines()
            for name in listed:
                for path in (name, "/usr" + name):
                    if path.startswith("/usr/") and path not in seen and (os.path.islink(path) or os.path.isfile(path)):
                        seen.add(path)
                        self.take(path)

    def path(self, name):
        return os.path.join(self.top, name)

    def take(self, path):
        to = self.path(path[1:])
        os.makedirs(os.path.dirname(to), exist_ok=True)
        try:
            shutil.copy2(path, to, follow_symlinks=False)
        except OSError:
            return
        self.files += 1
        self.bytes += os.lstat(to).st_size

    def fresh(self, what):
        self.stores += 1
        path = self.path(f"{what}{self.stores}")
        os.makedirs(path)
        return path

    def close(self):
        shutil.rmtree(self.top, ignore_errors=True)


def disk(path):
    return sum(os.lstat(os.path.join(d, f)).st_blocks * 512 for d, _, files in os.walk(path) for f in files)


def rows(row, timed, env):
    """Register them. timed(argv) runs a command and gives its milliseconds."""
    data = []
    env.update({"RESTIC_PASSWORD": "x", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@x",
                "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@x",
                "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "gc.auto", "GIT_CONFIG_VALUE_0": "0"})

    def the_data():
        if not data:
            data.append(Data())
            timed(["sh", "-c", f"find {data[0].folder} -type f -exec cat {{}} + >/dev/null"])  # into the page cache
        return data[0]

    def sbx(home, *args):
        return timed(["env", f"SBX_HOME={home}", "sbx", "fs", *args])

    def output(home, *args):
        return subprocess.run(["sbx", "fs", *args], env={**env, "SBX_HOME": home}, capture_output=True, text=True, check=True).stdout.strip()

    def git(at, *args):
        return timed(["git", f"--git-dir={at}/.git", f"--work-tree={the_data().folder}", *args])

    def have(program):
        return shutil.which(program, path=env["PATH"]) is not None

    def git_repo(folder):
        at = the_data().fresh("git")
        subprocess.run(["git", "init", "-q", at], env=env, check=True)
        add = timed(["git", f"--git-dir={at}/.git", f"--work-tree={folder}", "add", "-A"])
        return at, add + timed(["git", f"--git-dir={at}/.git", f"--work-tree={folder}", "commit", "-qm", "x"])

    def restic_backup():
        at = the_data().fresh("restic")
        base = ["restic", "-q", "-r", f"{at}/repo", "--cache-dir", f"{at}/cache"]
        timed([*base, "init"])
        return at, timed([*base, "backup", the_data().folder])

    def ostree_commit():
        at = the_data().fresh("ostree")
        timed(["ostree", f"--repo={at}", "init", "--mode=archive"])
        return timed(["ostree", f"--repo={at}", "commit", "-b", "x", f"--tree=dir={the_data().folder}"])

    first = {}

    def first_push():
        """All of them in turn, so that a machine that is busy for a while is so for all. Times in ms, sizes in bytes."""
        if first:
            return first
        d = the_data()
        result = {"sbx": [], "git": [], "restic": [], "ostree": []}
        for _ in range(TIMES):
            home = d.fresh("home")
            result["sbx"].append(sbx(home, "push", d.folder, "main"))
            if have("restic"):
                at, ms = restic_backup()
                result["restic"].append(ms)
                result["restic size"] = disk(f"{at}/repo")
            at, ms = git_repo(d.folder)
            result["git"].append(ms)
            if have("ostree"):
                result["ostree"].append(ostree_commit())
            result["size"] = disk(f"{home}/store")
            result["home"], result["repo"] = home, at
        first.update(result)
        return first

    def peers_of(r, *names):
        return [(name + ", ms", r[name]) for name in names if r.get(name)]

    def ratio(ours, theirs):
        return [statistics.median(ours) / statistics.median(theirs)]

    def need(program):
        if not have(program):
            raise RuntimeError(f"{program} is not installed (make deps-bench)")

    @row("fs: first push of a Debian /usr, of restic backup's time", 0.4, "x")
    def _(_peers):
        need("restic")
        r = first_push()
        return ratio(r["sbx"], r["restic"]), [("sbx, ms", r["sbx"])] + peers_of(r, "restic", "git", "ostree") + [
            ("files", str(the_data().files)), ("MB", str(the_data().bytes // 1000000))]

    @row("fs: first push, of git add + commit's time", 0.2, "x")
    def _(_peers):
        r = first_push()
        return ratio(r["sbx"], r["git"]), [("sbx, ms", r["sbx"])] + peers_of(r, "git")

    @row("fs: size of the store, of restic's", 1.1, "x")
    def _(_peers):
        need("restic")
        r = first_push()
        return [r["size"] / r["restic size"]], [("sbx, MB", [r["size"] / 1e6]), ("restic, MB", [r["restic size"] / 1e6])]

    @row("fs: push again, nothing changed, of git status' time", 1.5, "x")
    def _(_peers):
        r, d = first_push(), the_data()
        sbx(r["home"], "push", d.folder)
        git(r["repo"], "status", "--porcelain")
        ours, theirs = [], []
        for _ in range(10):
            ours.append(sbx(r["home"], "push", d.folder))
            theirs.append(git(r["repo"], "status", "--porcelain"))
        return ratio(ours, theirs), [("sbx, ms", ours), ("git status, ms", theirs)]

    @row("fs: checkout into an empty folder, of git checkout's time", 1.0, "x")
    def _(_peers):
        r, d = first_push(), the_data()
        ours, theirs = [], []
        for n in range(2 * TIMES):
            out = d.path("out")
            for mine in (n % 2 == 0, n % 2 == 1):
                os.sync()  # nobody pays for what was written before
                if mine:
                    ours.append(sbx(r["home"], "checkout", "main", out))
                else:
                    os.makedirs(out)
                    theirs.append(timed(["git", f"--git-dir={r['repo']}/.git", f"--work-tree={out}", "checkout", "-qf", "HEAD", "--", "."]))
                shutil.rmtree(out)
        return ratio(ours, theirs), [("sbx, ms", ours), ("git checkout, ms", theirs)]

    @row("fs: push after one small file of 1 GB changed", 100)
    def _(_peers):
        d = the_data()
        folder, home = d.fresh("large"), d.fresh("home")
        for i in range(1000):
            with open(f"{folder}/f{i}", "wb") as f:
                f.write(random.Random(i).randbytes(1 << 20))
        sbx(home, "push", folder, "main")
        ours = []
        for n in range(7):
            with open(f"{folder}/f{n}", "ab") as f:
                f.write(b"more")
            ours.append(sbx(home, "push", folder))
        shutil.rmtree(folder)
        shutil.rmtree(home)
        return ours, []

    @row("fs: merge of 10,000-file trees, 100 changed each, of git's", 1.0, "x")
    def _(_peers):
        d = the_data()
        folder, home, repo = d.fresh("forked"), d.fresh("home"), d.path("forked-git")
        rng = random.Random(1)

        def lines(seed):
            return [f"line {n} of {seed}\n" for n in range(30)]

        def write(seed, text):
            os.makedirs(f"{folder}/d{seed // 100}", exist_ok=True)
            with open(f"{folder}/d{seed // 100}/f{seed}", "w") as f:
                f.writelines(text)

        def commit(name):
            output(home, "push", folder, name, "--force")
            for argv in (["add", "-A"], ["commit", "-qm", name], ["branch", "-f", name]):
                subprocess.run(["git", f"--git-dir={repo}/.git", f"--work-tree={folder}", *argv], env=env, check=True)

        subprocess.run(["git", "init", "-q", repo], env=env, check=True)
        for seed in range(10000):
            write(seed, lines(seed))
        commit("base")
        for name, at in (("ours", 3), ("theirs", 25)):
            changed = rng.sample(range(10000), 100)
            for seed in changed:
                text = lines(seed)
                text[at] = f"{name}\n"
                write(seed, text)
            commit(name)
            for seed in changed:
                write(seed, lines(seed))
            subprocess.run(["git", f"--git-dir={repo}/.git", f"--work-tree={folder}", "reset", "-q", "base"], env=env, check=True)
        subprocess.run(["git", f"--git-dir={repo}/.git", "gc", "-q"], env=env, check=True)
        ours, theirs = [], []
        for n in range(7):  # of copies, so that both write the result every time
            a, b = d.path(f"merge-sbx{n}"), d.path(f"merge-git{n}")
            shutil.copytree(home, a)
            shutil.copytree(repo, b)
            os.sync()
            ours.append(sbx(a, "merge", "ours", "theirs", "--base", "base"))
            theirs.append(timed(["git", f"--git-dir={b}/.git", "merge-tree", "--write-tree", "ours", "theirs"]))
            shutil.rmtree(a)
            shutil.rmtree(b)
        shutil.rmtree(folder)
        return ratio(ours, theirs), [("sbx, ms", ours), ("git merge-tree, ms", theirs)]

    @row("fs: memory of pushing one 10 GB sparse and random file", 64, "MB")
    def _(_peers):
        d = the_data()
        folder, home = d.fresh("sparse"), d.fresh("home")
        with open(f"{folder}/disk", "wb") as f:
            f.truncate(10 << 30)
            for i in range(40):
                f.seek(i * (256 << 20) + 12345)
                f.write(random.Random(i).randbytes(8 << 20))
        # by a small process of its own: a program's peak begins with that of the one that it was spawned from
        code = ("import os, sys; pid = os.posix_spawnp('sbx', ['sbx', 'fs', 'push', sys.argv[1], 'main'], os.environ, file_actions="
                "[(os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0)]); _, status, u = os.wait4(pid, 0); "
                "print(u.ru_maxrss * 1024 / 1e6, u.ru_utime + u.ru_stime); sys.exit(status != 0)")
        out = subprocess.run([sys.executable, "-S", "-c", code, folder], env={**env, "SBX_HOME": home}, capture_output=True, text=True,
                             check=True).stdout.split()
        shutil.rmtree(folder)
        shutil.rmtree(home)
        return [float(out[0])], [("seconds of CPU", [float(out[1])])]

    return lambda: [d.close() for d in data]
