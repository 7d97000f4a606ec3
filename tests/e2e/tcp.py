#!/usr/bin/env python3
"""A TCP client for the tests of ports and of the proxy: says something, half-closes, reads to the end.

usage: tcp.py HOST:PORT half TEXT          send TEXT and the end, print what comes
       tcp.py HOST:PORT put FILE           the same with a file's bytes
       tcp.py HOST:PORT many N             N connections at once to an echo that begins with "ready", each with words of its own;
                                   prints how many came back whole
       tcp.py HOST:PORT hold               connect, say "held", wait for the other side's end; prints eof or reset
       tcp.py HOST:PORT slow BYTES         read BYTES with pauses, then the rest at once; prints how many there were
       tcp.py HOST:PORT upgrade NAME       a WebSocket handshake for Host NAME, a masked frame; prints what the server says
"""
import base64
import hashlib
import os
import socket
import struct
import sys
import threading
import time


def connect(address):
    host, port = address.rsplit(":", 1)
    s = socket.create_connection((host, int(port)), 30)
    s.settimeout(None)  # who calls us has a limit for all of it
    return s


def rest(s):
    out = []
    while more := s.recv(65536):
        out.append(more)
    return b"".join(out)


def half(address, text):
    s = connect(address)
    s.sendall(text)
    s.shutdown(socket.SHUT_WR)
    sys.stdout.buffer.write(rest(s))


def many(address, n):
    good, lock, sockets = [0], threading.Lock(), []
    for _ in range(n):  # all are served before any says a word: the server's own queue may be short
        sockets.append(connect(address))
        assert sockets[-1].recv(6, socket.MSG_WAITALL) == b"ready\n"

    def one(i):
        s = sockets[i]
        text = f"words of {i} ".encode() * 500
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
        if rest(s) == text:
            with lock:
                good[0] += 1

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(good[0])


def hold(address):
    s = connect(address)
    print("held", flush=True)
    try:
        print("eof" if s.recv(1) == b"" else "data")
    except ConnectionResetError:
        print("reset")


def slow(address, n):
    s, got = connect(address), 0
    while got < n:
        got += len(s.recv(4096))
        time.sleep(0.001)
    print(got + len(rest(s)))


def upgrade(address, name):
    s, key = connect(address), base64.b64encode(os.urandom(16)).decode()
    s.sendall(f"GET /chat HTTP/1.1\r\nHost: {name}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
              f"Sec-WebSocket-Key: {key}\r\n\r\n".encode())
    f = s.makefile("rb")
    lines = []
    while (line := f.readline().strip()):
        lines.append(line.decode())
    print(lines[0] if lines else "nothing")
    want = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    print("accepted" if f"Sec-WebSocket-Accept: {want}" in lines else f"not accepted: {lines}")
    mask, text = os.urandom(4), b"from the client"
    frame = bytes([0x82, 0x80 | len(text)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text))
    s.sendall(frame)
    first, n = struct.unpack("BB", f.read(2))
    print(f"frame {first & 15} {f.read(n).decode()}")
    print("echoed" if f.read(len(frame)) == frame else "not echoed")


def main():
    address, what, *args = sys.argv[1:]
    if what == "put":
        with open(args[0], "rb") as file:
            half(address, file.read())
    else:
        {"half": lambda: half(address, args[0].encode()), "many": lambda: many(address, int(args[0])), "hold": lambda: hold(address),
         "slow": lambda: slow(address, int(args[0])), "upgrade": lambda: upgrade(address, args[0])}[what]()


main()
