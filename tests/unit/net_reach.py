#!/usr/bin/env python3
"""What a guest can reach through sbx-net, tried with raw frames: never the host, but the world outside. TAP on stdout.

The "world" is a network namespace behind a veth pair. Needs root and ip(8). Exit: 0 passed, 1 failed, 77 skipped.
usage: net_reach.py [path of sbx-net]
"""
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time

GUEST, GATEWAY, DNS = "10.0.2.15", "10.0.2.2", "10.0.2.3"
WORLD, HOST_END, LATER = "10.99.0.2", "10.99.0.1", "10.99.0.77"
MAC = bytes.fromhex("525400123456")
GATEWAY_MAC = bytes.fromhex("52550a000202")
ICMP, TCP, UDP = 1, 6, 17
SYN, ACK, RST, PSH = 2, 16, 4, 8
SERVER = """
import select, socket, sys
t = socket.create_server((sys.argv[1], 0))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((sys.argv[1], 0))
print(t.getsockname()[1], u.getsockname()[1], flush=True)
conns = []
while True:
    for s in select.select([t, u, sys.stdin] + conns, [], [])[0]:
        if s is sys.stdin: sys.exit()
        if s is t: conns.append(t.accept()[0]); continue
        if s is u: d, a = u.recvfrom(2000); u.sendto(d.upper(), a); continue
        d = s.recv(2000)
        if d: s.sendall(d.upper())
        else: conns.remove(s); s.close()
"""
results = []


def check(ok, what):
    results.append(bool(ok))
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {what}", flush=True)


def skip(why):
    print(f"1..0 # SKIP {why}")
    return 77


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(dst, proto, payload, src=GUEST):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, proto, 0,
                       socket.inet_aton(src), socket.inet_aton(dst))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return GATEWAY_MAC + MAC + b"\x08\x00" + head + payload


def pseudo(dst, proto, segment):
    return socket.inet_aton(GUEST) + socket.inet_aton(dst) + struct.pack("!BBH", 0, proto, len(segment)) + segment


def tcp(dst, sport, dport, seq, ack, flags, data=b""):
    seg = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 65535, 0, 0) + data
    return ipv4(dst, TCP, seg[:16] + struct.pack("!H", checksum(pseudo(dst, TCP, seg))) + seg[18:])


def udp(dst, sport, dport, data):
    return ipv4(dst, UDP, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data)


def echo(dst):
    body = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"ping"
    return ipv4(dst, ICMP, body[:2] + struct.pack("!H", checksum(body)) + body[4:])


class Guest:
    """QEMU's end of the socket and a guest's worth of protocol."""

    def __init__(self, program):
        self.sock, theirs = socket.socketpair()
        self.stray = os.open("/dev/null", os.O_RDONLY)
        self.proc = subprocess.Popen([program, "--fd", str(theirs.fileno())],
                                     pass_fds=(theirs.fileno(), self.stray))
        theirs.close()
        self.data, self.port = b"", 20000
        arp = MAC + MAC + bytes.fromhex("0806000108000604") + b"\0\1" + MAC + socket.inet_aton(GUEST)
        self.arp = b"\xff" * 6 + arp[6:] + b"\0" * 6 + socket.inet_aton(GATEWAY)

    def send(self, frame):
        self.sock.sendall(struct.pack("!I", len(frame)) + frame)

    def frames(self, seconds):
        end = time.monotonic() + seconds
        while True:
            while len(self.data) >= 4 and len(self.data) >= 4 + struct.unpack("!I", self.data[:4])[0]:
                n = 4 + struct.unpack("!I", self.data[:4])[0]
                frame, self.data = self.data[4:n], self.data[n:]
                yield frame
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return
            got = self.sock.recv(65536)
            if not got:
                return
            self.data += got

    def next_port(self):
        self.port += 1
        return self.port

    def connect(self, dst, port, seconds=0.7):
        """'connected', 'refused' (RST), 'prohibited' (ICMP) or 'silent', and the numbers to go on with."""
        sport = self.next_port()
        self.send(tcp(dst, sport, port, 1000, 0, SYN))
        for f in self.frames(seconds):
            if f[12:14] != b"\x08\x00":
                continue
            if f[23] == TCP and f[36:38] == struct.pack("!H", sport):
                if f[47] & RST:
                    return "refused", None
                if f[47] & SYN:
                    seq = struct.unpack("!I", f[38:42])[0]
                    self.send(tcp(dst, sport, port, 1001, seq + 1, ACK))
                    return "connected", (sport, seq + 1)
            if f[23] == ICMP and f[34] == 3 and f[62:64] == struct.pack("!H", sport):
                return "prohibited", None
        return "silent", None

    def tcp_talk(self, dst, port, data):
        how, numbers = self.connect(dst, port, 3)
        if how != "connected":
            return how
        sport, ack = numbers
        self.send(tcp(dst, sport, port, 1001, ack, ACK | PSH, data))
        for f in self.frames(3):
            if f[12:14] == b"\x08\x00" and f[23] == TCP and f[36:38] == struct.pack("!H", sport):
                text = f[14 + 20 + (f[46] >> 4) * 4:14 + struct.unpack("!H", f[16:18])[0]]
                if text:
                    return text
        return b""

    def udp_talk(self, dst, port, data, seconds):
        sport = self.next_port()
        self.send(udp(dst, sport, port, data))
        for f in self.frames(seconds):
            if f[12:14] == b"\x08\x00" and f[23] == UDP and f[36:38] == struct.pack("!H", sport):
                return f[42:14 + struct.unpack("!H", f[16:18])[0]]
        return None


def own_addresses():
    return [a["local"] for i in json.loads(run("ip", "-j", "-4", "addr")) for a in i["addr_info"]]


def test_reach(guest, server):
    world_tcp, world_udp = map(int, server.stdout.readline().split())
    listener = socket.create_server(("0.0.0.0", 0))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("0.0.0.0", 0))
    listener.setblocking(False)
    datagrams.setblocking(False)
    port, uport = listener.getsockname()[1], datagrams.getsockname()[1]
    socket.create_connection(("127.0.0.1", port)).close()
    listener.accept()[0].close()

    guest.send(guest.arp)
    check(any(f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2" for f in guest.frames(1)), "the gateway answers ARP")
    guest.send(echo(GATEWAY))
    check(any(f[12:14] == b"\x08\x00" and f[34] == 0 for f in guest.frames(1)), "the gateway answers ping")
    check(guest.tcp_talk(WORLD, world_tcp, b"hello") == b"HELLO", "TCP to the world outside")
    check(guest.udp_talk(WORLD, world_udp, b"hello", 3) == b"HELLO", "UDP to the world outside")
    check(guest.connect(WORLD, 1, 3)[0] == "refused", "a closed port outside is refused")

    def shut(dst):
        how = guest.connect(dst, port)[0]
        check(how == "prohibited", f"TCP to {dst}:{port}, the host, is shut at once ({how})")
        check(guest.udp_talk(dst, uport, b"x", 0.1) is None, f"UDP to {dst}:{uport}, the host, is shut")

    for dst in [GATEWAY, DNS, "10.0.2.4", "127.1.2.3", "0.0.0.0", "169.254.169.254"] + own_addresses():
        shut(dst)
    run("ip", "addr", "add", LATER + "/24", "dev", guest.veth)
    time.sleep(2.2)
    shut(LATER)
    # a source that is not the guest's, IPv6, and a VLAN tag lead nowhere either
    guest.send(ipv4(WORLD, UDP, struct.pack("!HHHH", 9, uport, 8, 0), src="10.0.2.16"))
    plain = udp("127.0.0.1", 9, uport, b"x")
    guest.send(plain[:12] + b"\x81\0\0\1" + plain[12:])
    guest.send(plain[:12] + b"\x86\xdd" + plain[14:])
    time.sleep(0.2)
    for sock, what in ((listener, "connection"), (datagrams, "datagram")):
        check(not select.select([sock], [], [], 0)[0], f"no {what} has arrived at the host")


def test_process(guest):
    with open(f"/proc/{guest.proc.pid}/status", encoding="ascii") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    check(status["Uid"].split() == ["65534"] * 4 and status["Gid"].split() == ["65534"] * 4, "it runs as nobody")
    check(all(int(status[k], 16) == 0 for k in ("CapEff", "CapPrm", "CapInh", "CapAmb")), "it has no capabilities")
    check(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", "no new privileges, seccomp on")
    fds = [os.readlink(f"/proc/{guest.proc.pid}/fd/{n}") for n in os.listdir(f"/proc/{guest.proc.pid}/fd")
           if int(n) > 2]
    check("/dev/null" not in fds, "inherited descriptors are closed")


def test_end(guest, program):
    guest.sock.close()
    check(guest.proc.wait(5) == 0, "it ends with 0 when QEMU does")
    other = Guest(program)
    other.sock.sendall(b"\xff\xff\xff\xff")
    check(other.proc.wait(5) == 1, "a senseless frame length ends it with 1")
    other.sock.close()
    check(subprocess.run([program], capture_output=True, check=False).returncode == 2, "wrong usage: 2")
    os.close(other.stray)


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "build/bin/sbx-net"
    for missing, why in ((os.geteuid() != 0, "not root"), (not shutil.which("ip"), "no ip(8)"),
                         (not os.access(program, os.X_OK), f"no {program}")):
        if missing:
            return skip(why)
    name = f"sbxt{os.getpid()}"
    server = guest = None
    try:
        run("ip", "netns", "add", name)
        run("ip", "link", "add", name + "a", "type", "veth", "peer", "name", name + "b", "netns", name)
        run("ip", "addr", "add", HOST_END + "/24", "dev", name + "a")
        run("ip", "link", "set", name + "a", "up")
        run("ip", "-n", name, "addr", "add", WORLD + "/24", "dev", name + "b")
        run("ip", "-n", name, "link", "set", name + "b", "up")
    except subprocess.CalledProcessError as e:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        return skip(f"no network namespace to be had: {e.stderr.strip()}")
    try:
        server = subprocess.Popen(["ip", "netns", "exec", name, sys.executable, "-c", SERVER, WORLD],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        guest = Guest(program)
        guest.veth = name + "a"
        test_reach(guest, server)
        test_process(guest)
        test_end(guest, program)
    finally:
        if guest:
            guest.sock.close()
            guest.proc.kill()
            guest.proc.wait()
        if server:
            server.stdin.close()
            server.wait(5)
        # the veth pair goes with it
        subprocess.run(["ip", "netns", "del", name], check=False)
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
