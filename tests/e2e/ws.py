#!/usr/bin/env python3
"""A small WebSocket client for the tests: opens PATH below /sbx/v1, sends a start message and some stdin, prints what comes.

usage: ws.py ENDPOINT PATH [--header 'K: V']... [--start JSON] [--send TEXT] [--eof] [--until TEXT] [--for SECONDS] [--messages]
ENDPOINT is a socket's path or HOST:PORT. stdout bytes go to stdout, stderr bytes to stderr; --messages prints the text messages to
stdout, too. Exit: the command's code, 100 when the handshake was refused (status line on stderr), 101 when time was up without --until.
"""
import argparse
import base64
import json
import os
import socket
import struct
import sys
import time


def connect(endpoint):
    if "/" in endpoint:
        s = socket.socket(socket.AF_UNIX)
        s.connect(endpoint)
    else:
        host, port = endpoint.rsplit(":", 1)
        s = socket.create_connection((host, int(port)), 5)
    return s


def handshake(s, host, path, headers):
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET /sbx/v1{path} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
             f"Sec-WebSocket-Key: {key}", *headers]
    s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(4096)
        if not more:
            break
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def frame(opcode, payload):
    mask, n = os.urandom(4), len(payload)
    size = bytes([0x80 | n]) if n < 126 else bytes([0xFE]) + struct.pack(">H", n) if n < 65536 else bytes([0xFF]) + struct.pack(">Q", n)
    return bytes([0x80 | opcode]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


class Reader:
    def __init__(self, s, rest):
        self.s, self.data = s, rest

    def take(self, n):
        while len(self.data) < n:
            more = self.s.recv(65536)
            if not more:
                raise EOFError
            self.data += more
        out, self.data = self.data[:n], self.data[n:]
        return out

    def message(self):
        """One frame: opcode, payload. The daemon's messages may come in fragments; for the tests each is as good as whole."""
        first, second = self.take(2)
        n = second & 127
        n = struct.unpack(">H", self.take(2))[0] if n == 126 else struct.unpack(">Q", self.take(8))[0] if n == 127 else n
        return first & 15, self.take(n)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("endpoint")
    p.add_argument("path")
    p.add_argument("--header", action="append", default=[])
    p.add_argument("--start", default="{}")
    p.add_argument("--send", default="")
    p.add_argument("--eof", action="store_true")
    p.add_argument("--until")
    p.add_argument("--for", dest="seconds", type=float, default=20)
    p.add_argument("--messages", action="store_true")
    a = p.parse_args()
    s = connect(a.endpoint)
    head, rest = handshake(s, "sbx" if "/" in a.endpoint else a.endpoint, a.path, a.header)
    if " 101 " not in head.split("\r\n")[0]:
        print(head.split("\r\n")[0], file=sys.stderr)
        return 100
    s.sendall(frame(1, json.dumps({"type": "start", **json.loads(a.start)}).encode()))
    if a.send:
        s.sendall(frame(2, b"\0" + a.send.encode()))
    if a.eof:
        s.sendall(frame(1, b'{"type": "eof"}'))
    reader, end, seen = Reader(s, rest), time.monotonic() + a.seconds, b""
    try:
        while time.monotonic() < end:
            s.settimeout(max(0.01, end - time.monotonic()))
            opcode, payload = reader.message()
            if opcode in (0, 2):
                out = sys.stdout if payload[:1] == b"\1" else sys.stderr
                out.buffer.write(payload[1:])
                out.flush()
                seen += payload[1:]
                if a.until and a.until.encode() in seen:
                    return 0
            elif opcode == 1:
                message = json.loads(payload)
                if a.messages:
                    print(payload.decode(), flush=True)
                if message["type"] == "exit":
                    return message["exitCode"]
                if message["type"] == "error":
                    print(payload.decode(), file=sys.stderr)
                    return 102
            elif opcode == 8:
                break
            elif opcode == 9:
                s.sendall(frame(10, payload))
    except (socket.timeout, EOFError):
        pass
    return 101


if __name__ == "__main__":
    sys.exit(main())
