"""A server that records the requests that come and answers what it was told to; and a way to run a command against it."""
import http.server
import os
import re
import subprocess
import threading
import urllib.parse

TIMEOUT = 20


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.headers, self.body = method, headers, body
        self.raw_path, _, query = target.partition("?")
        self.query = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        self.segments = [urllib.parse.unquote(s) for s in self.raw_path.split("/")]

    def header(self, name):
        return self.headers.get(name)

    def parts(self):
        """(name, filename or None, bytes) of a multipart form."""
        boundary = re.search(r'boundary="?([^";]+)', self.header("Content-Type"))[1].encode()
        chunks = (b"\r\n" + self.body).split(b"\r\n--" + boundary)
        if chunks[0] or chunks[-1].strip() != b"--":
            raise ValueError("the form does not begin and end with its boundary")
        out = []
        for chunk in chunks[1:-1]:
            head, _, data = chunk.partition(b"\r\n\r\n")
            words = dict(re.findall(r'(\w+)="([^"]*)"', head.decode()))
            out.append((words["name"], words.get("filename"), data))
        return out


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def take(self):
        body = b""
        if self.headers.get("Content-Length"):
            body = self.rfile.read(int(self.headers["Content-Length"]))
        elif self.headers.get("Transfer-Encoding"):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.server.seen.append(Request(self.command, self.path, self.headers, body))
        status, media, answer = self.server.answer
        self.send_response_only(status)
        if media:
            self.send_header("Content-Type", media)
        if status != 204:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = take

    def log_message(self, *args):
        pass


class Recorder(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.answer = [], (200, "application/json", b"{}")
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that goes away is not our business


class Result:
    def __init__(self, words, status, out, err, seen):
        self.words, self.status, self.out, self.err, self.seen = words, status, out, err, seen

    @property
    def request(self):
        return self.seen[0] if len(self.seen) == 1 else None

    def __str__(self):
        return f"$ sbx {' '.join(self.words)[:600]}\n  exit {self.status}; {self.err.strip()[:300]}"


class Runner:
    """Runs sbx with nothing of the caller's environment, in a folder of its own."""

    def __init__(self, program, folder):
        self.program, self.folder, self.recorder = program, folder, Recorder()
        self.env = {"PATH": os.environ["PATH"], "HOME": folder, "SBX_HOME": f"{folder}/home", "LC_ALL": "C.UTF-8"}
        self.env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        self.count = 0

    def run(self, words, base=True, env=None, answer=None, stdin=b""):
        self.recorder.seen.clear()
        self.recorder.answer = answer or (200, "application/json", b"{}")
        words = [*words, *(["--base-url", self.recorder.url] if base else [])]
        done = subprocess.run([self.program, *words], input=stdin, capture_output=True, env={**self.env, **(env or {})}, cwd=self.folder,
                              timeout=TIMEOUT, check=False)
        self.count += 1
        if b"Sanitizer" in done.stderr:
            raise AssertionError(f"sbx {' '.join(words)}\n{done.stderr.decode('utf-8', 'replace')[:4000]}")
        return Result(words, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"),
                      list(self.recorder.seen))
