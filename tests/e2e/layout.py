#!/usr/bin/env python3
"""Write an OCI layout of a small image with busybox in it, and with --tar also the tar of its root file system.

    layout.py DIR [--busybox FILE] [--gzip | --zstd]

Two layers: the second removes a file of the first, changes one, and names one through a symlink of the first.
"""
import argparse, gzip, hashlib, io, json, os, subprocess, tarfile

p = argparse.ArgumentParser()
p.add_argument("dir")
p.add_argument("--busybox", default="/bin/busybox")
p.add_argument("--zstd", action="store_true")
p.add_argument("--extra", default="", help="text of /extra, which makes it another image")
a = p.parse_args()
os.makedirs(f"{a.dir}/blobs/sha256")


def blob(data):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{a.dir}/blobs/sha256/{digest}", "wb") as f:
        f.write(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


class Layer:
    def __init__(self):
        self.out = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.out, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, data=b"", kind=tarfile.REGTYPE, mode=0o644, uid=0, link="", xattr=None):
        e = tarfile.TarInfo(name)
        e.type, e.mode, e.uid, e.gid, e.linkname = kind, mode, uid, uid, link
        e.size = len(data)
        if xattr:
            e.pax_headers = {"SCHILY.xattr." + k: v for k, v in xattr.items()}
        self.tar.addfile(e, io.BytesIO(data))

    def close(self):
        self.tar.close()
        return self.out.getvalue()


one, two = Layer(), Layer()
for d in ("bin", "etc", "usr", "usr/lib", "home"):
    one.add(d, kind=tarfile.DIRTYPE, mode=0o755)
one.add("home/app", kind=tarfile.DIRTYPE, mode=0o700, uid=1234)
one.add("bin/busybox", open(a.busybox, "rb").read(), mode=0o755)
for applet in ("sh", "cat", "id", "ls", "stat", "pwd", "env", "true", "test", "echo", "readlink", "sleep"):
    one.add("bin/" + applet, kind=tarfile.SYMTYPE, link="busybox")
one.add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\napp:x:1234:1234:app:/home/app:/bin/sh\n")
one.add("etc/group", b"root:x:0:\napp:x:1234:\n")
one.add("etc/gone", b"from layer 1\n")
one.add("etc/changed", b"from layer 1\n")
one.add("lib", kind=tarfile.SYMTYPE, link="usr/lib")
one.add("outside", kind=tarfile.SYMTYPE, link="/tmp/sbx-oci-outside")
two.add("etc/.wh.gone")
two.add("etc/changed", b"from layer 2\n", mode=0o640, uid=1234)
two.add("lib/new", b"through a link\n")
two.add("outside/pwned", b"in the image only\n")
two.add("etc/hard", kind=tarfile.LNKTYPE, link="etc/changed")
two.add("home/app/sgid", b"x", mode=0o2755, uid=1234, xattr={"user.note": "kept"})
if a.extra:
    two.add("extra", a.extra.encode())

tars = [one.close(), two.close()]
config = {
    "architecture": "amd64", "os": "linux",
    "config": {"Env": ["PATH=/bin", "GREETING=hello", "KEPT=image"], "Cmd": ["sh"], "Entrypoint": ["/bin/sh", "-c"], "WorkingDir": "/srv/work",
               "User": "app", "ExposedPorts": {"8080/tcp": {}}, "Labels": {"org.example": "yes"}},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(t).hexdigest() for t in tars]},
}
pack = (lambda t: subprocess.run(["zstd", "-q"], input=t, capture_output=True, check=True).stdout) if a.zstd else gzip.compress
kind = "application/vnd.oci.image.layer.v1.tar+" + ("zstd" if a.zstd else "gzip")
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(json.dumps(config).encode())},
            "layers": [{"mediaType": kind, **blob(pack(t))} for t in tars]}
described = {"mediaType": manifest["mediaType"], **blob(json.dumps(manifest).encode()), "annotations": {"org.opencontainers.image.ref.name": "1"}}
with open(f"{a.dir}/index.json", "w") as f:
    json.dump({"schemaVersion": 2, "manifests": [described]}, f)
with open(f"{a.dir}/oci-layout", "w") as f:
    f.write('{"imageLayoutVersion": "1.0.0"}')
