"""A daemon that dies with its first connection, and the next one, on one socket: dying.py SOCKET queued|accepted|read|answering.
The first takes the connection as far as the word says and is gone; the next serves whole requests and prints their first lines."""
import json
import os
import select
import socket
import sys

PATH, HOW = sys.argv[1:]


def listen():
    """On PATH, instead of whoever does so now."""
    s = socket.socket(socket.AF_UNIX)
    s.bind(PATH + ".next")
    s.listen()
    os.rename(PATH + ".next", PATH)
    return s


def request(s):
    got = b""
    while b"\r\n\r\n" not in got:
        got += s.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next((int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += s.recv(65536)
    return head.split(b"\r\n")[0].decode()


first = listen()
print("ready", flush=True)
select.select([first], [], [])
if HOW != "queued":
    peer = first.accept()[0]
    if HOW == "accepted":
        peer.recv(8, socket.MSG_PEEK)  # the request is there
    else:
        request(peer)
    if HOW == "answering":
        peer.sendall(b"HTTP/1.1 200 OK\r\nConte")
second = listen()
if HOW != "queued":
    peer.close()
first.close()
while True:
    peer = second.accept()[0]
    print(request(peer), flush=True)
    body = json.dumps({"address": "127.0.0.1:1", "pid": 1}).encode()
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    peer.close()
