#!/usr/bin/env python3
"""A name server for the tests: A records from its arguments, everything else does not exist. Logs each name that it is asked for.

usage: dns.py ADDRESS LOG NAME=IP[,IP...][;TTL]... NAME>OTHER...     (NAME>OTHER: a CNAME, followed in the same answer)
The names `spoof` in it get a first answer with another id, then one to another question, then the true one.
"""
import socket
import struct
import sys


def pack(name):
    return b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0"


def record(name, kind, ttl, data):
    return pack(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def question(msg):
    at, labels = 12, []
    while msg[at]:
        labels.append(msg[at + 1:at + 1 + msg[at]].decode("latin-1"))
        at += 1 + msg[at]
    return ".".join(labels), struct.unpack(">H", msg[at + 1:at + 3])[0], msg[12:at + 5]


def answers(zone, name, kind):
    out, seen = [], name.lower()
    while kind == 1 and seen in zone:
        what, ttl = zone[seen]
        if isinstance(what, str):
            out.append(record(seen, 5, ttl, pack(what)))
            seen = what
        else:
            out += [record(seen, 1, ttl, socket.inet_aton(ip)) for ip in what]
            break
    return out


def main():
    address, log, *rows = sys.argv[1:]
    zone = {}
    for row in rows:
        if ">" in row:
            name, other = row.split(">")
            zone[name] = (other, 5)
        else:
            name, _, rest = row.partition("=")
            ips, _, ttl = rest.partition(";")
            zone[name] = (ips.split(","), int(ttl or 5))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 53))
    with open(log, "a", buffering=1) as asked:
        print("ready", file=asked)
        while True:
            msg, peer = s.recvfrom(4096)
            name, kind, raw = question(msg)
            print(name.lower(), file=asked)
            found = answers(zone, name, kind)
            rcode = 0 if name.lower() in zone else 3
            head = struct.pack(">HHHHH", 0x8180 | rcode, 1, len(found), 0, 0)
            if "spoof" in name:
                evil = record(name, 1, 5, socket.inet_aton(zone["evil.test"][0][0]))
                wrong = struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
                s.sendto(bytes([msg[0] ^ 1]) + msg[1:2] + wrong + raw + evil, peer)
                s.sendto(msg[:2] + wrong + pack("other.test") + raw[-4:] + evil, peer)
            s.sendto(msg[:2] + head + raw + b"".join(found), peer)


main()
