#!/usr/bin/env python3
"""A registry with the habits that docker-registry on loopback does not show: a token server (Bearer), blobs behind a redirect to another
port, connections that break in the middle, answers that are not what their digest says.

    registry.py LAYOUT SEEN        serves the OCI layout as team/app:1; prints its port; each request goes to SEEN as a line of JSON

Repositories: team/app needs a token, which user u with password secret gets; blobs are redirected to the second port. open/app needs
none; open/cut breaks each blob after half of what is left, open/bad sends other bytes, open/lost redirects from here to http://example.com.
"""
import base64, hashlib, json, os, re, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

layout, seen = sys.argv[1:3]
index = json.load(open(f"{layout}/index.json"))
MANIFEST = index["manifests"][0]["digest"]
lock = threading.Lock()


def blob(digest):
    return open(f"{layout}/blobs/{digest.replace(':', '/')}", "rb").read()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        port = self.server.server_address[1]
        with lock, open(seen, "a") as f:
            f.write(json.dumps({"path": self.path, "port": "second" if port == second else "first",
                                "authorization": self.headers.get("Authorization"), "range": self.headers.get("Range")}) + "\n")
        if self.path.startswith("/token"):
            ok = self.headers.get("Authorization") == "Basic " + base64.b64encode(b"u:secret").decode()
            return self.answer(200, json.dumps({"token": "the-token"}).encode()) if ok else self.answer(401)
        m = re.fullmatch(r"/v2/(team|open)/(\w+)/(manifests|blobs)/([\w:]+)", self.path)
        if not m:
            return self.answer(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}')
        group, name, kind, what = m.groups()
        if group == "team" and port == first and self.headers.get("Authorization") != "Bearer the-token":
            return self.answer(401, WWW_Authenticate=f'Bearer realm="http://127.0.0.1:{first}/token",service="a, b",scope="repository:team/app:pull"')
        if kind == "manifests":
            digest = MANIFEST if what == "1" else what
            return self.answer(200, blob(digest), Content_Type="application/vnd.oci.image.manifest.v1+json", Docker_Content_Digest=digest)
        if group == "team" and port == first:
            return self.answer(307, Location=f"http://127.0.0.1:{second}{self.path}")
        if name == "lost":
            return self.answer(302, Location="http://example.com/x")
        data = blob(what)
        if name == "bad":
            data = bytes(len(data))
        return self.send_blob(data, name == "cut")

    def send_blob(self, data, cut):
        start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        part = data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(part)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if cut and len(part) > 1000:
            self.wfile.write(part[: len(part) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(part)


servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
first, second = (s.server_address[1] for s in servers)
threading.Thread(target=servers[1].serve_forever, daemon=True).start()
print(first, flush=True)
servers[0].serve_forever()
