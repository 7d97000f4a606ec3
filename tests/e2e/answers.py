#!/usr/bin/env python3
"""A server for the tests of the generated commands: how it answers stands in the path, as the id that the test gave.

usage: answers.py FOLDER     (prints its port; what was asked is kept in FOLDER/seen; streams wait for FOLDER/go)

ndjson, sse: a first piece, then, when FOLDER/go is there, the rest. endless: one line, and nothing more. broken: half of what was
promised. binary: bytes that are no text. sink: counts and hashes what is sent, and says so. early: refuses without reading the body.
socket: a WebSocket that says hello, answers each text with "echo TEXT", sends bytes for "bytes", and closes after "bye" (1000) or
"fail" (1011).
"""
import base64
import hashlib
import http.server
import json
import os
import struct
import sys
import time

FOLDER = sys.argv[1]
WAIT = 15


def wait_for_go():
    end = time.monotonic() + WAIT
    while not os.path.exists(f"{FOLDER}/go") and time.monotonic() < end:
        time.sleep(0.01)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        """The body, block by block, as its length or its chunks say."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0:
            block = self.rfile.read(min(left, 65536))
            left -= len(block)
            yield block

    def start(self, media, length=None, status=200):
        self.send_response(status)
        self.send_header("Content-Type", media)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def stream(self, media, pieces):
        """Cut in the middle of lines, as networks do."""
        self.start(media)
        self.chunk(pieces[0])
        wait_for_go()
        rest = b"".join(pieces[1:])
        for i in range(0, len(rest), 7):
            self.chunk(rest[i:i + 7])
        self.chunk(b"")

    def do_ndjson(self):
        self.stream("application/x-ndjson", [b'{"n": 1}\n', b'{"n": 2, "text": "\xc3\xa4"}\r\n', b"\n", b"not json\n", b'{"n": 3}'])

    def do_sse(self):
        self.stream("text/event-stream", [b": hello\nevent: stdout\ndata: one\n\n", b"event: stderr\ndata: two\n\n",
                                          b"data: three\ndata: lines\nid: 7\nretry: 5\n\n", b"event: exit\ndata: {\"exitCode\": 0}\n\n"])

    def do_endless(self):
        self.start("application/x-ndjson")
        self.chunk(b'{"n": 1}\n')
        wait_for_go()
        self.close_connection = True

    def do_broken(self):
        self.start("application/octet-stream", 100000)
        self.wfile.write(b"x" * 50000)
        self.wfile.flush()
        self.close_connection = True

    def do_binary(self):
        data = bytes(range(256)) * 400
        self.start("application/octet-stream", len(data))
        self.wfile.write(data)

    def do_sink(self):
        digest, size = hashlib.sha256(), 0
        for block in self.body():
            digest.update(block)
            size += len(block)
        self.seen(size=size, sha256=digest.hexdigest())
        answer = json.dumps({"size": size}).encode()
        self.start("application/json", len(answer))
        self.wfile.write(answer)

    def do_early(self):
        answer = b'{"error": {"code": "too_large", "message": "no room for that"}}'
        self.start("application/json", len(answer), 413)
        self.wfile.write(answer)
        self.close_connection = True

    def frame(self, opcode, data):
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
        self.wfile.write(bytes([0x80 | opcode]) + size + data)
        self.wfile.flush()

    def message(self):
        first, second = self.rfile.read(2)
        n = second & 127
        n = struct.unpack(">H", self.rfile.read(2))[0] if n == 126 else struct.unpack(">Q", self.rfile.read(8))[0] if n == 127 else n
        mask, data = self.rfile.read(4), self.rfile.read(n)
        return first & 15, bytes(b ^ mask[i % 4] for i, b in enumerate(data))

    def do_socket(self):
        key = (self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key).digest()).decode())
        self.end_headers()
        self.close_connection = True
        self.frame(1, b'{"hello": true}')
        codes = {b"bye": (1000, b""), b"fail": (1011, b"out of order")}
        while True:
            opcode, data = self.message()
            if opcode == 8:
                return
            if opcode == 1:
                self.seen(text=data.decode())
            if data in codes:
                self.frame(8, struct.pack(">H", codes[data][0]) + codes[data][1])
                return
            self.frame(2 if data == b"bytes" else 1, b"\x00\x01\xff\n" if data == b"bytes" else b"echo " + data)

    def seen(self, **more):
        with open(f"{FOLDER}/seen", "a", encoding="utf-8") as file:
            file.write(json.dumps({"method": self.command, "path": self.path, "headers": dict(self.headers.items()), **more}) + "\n")

    def any(self):
        how = next((s for s in self.path.split("?")[0].split("/") if hasattr(self, f"do_{s}")), None)
        if how not in ("sink", "early", "socket"):
            for _ in self.body():
                pass
            self.seen()
        getattr(self, f"do_{how}")()

    do_GET = do_POST = do_PUT = any

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients go away; that is what is tested


def main():
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever(0.05)


if __name__ == "__main__":
    main()
