#!/usr/bin/env python3
"""A process that stands where a VM would, for the bench only: the real agent, on the host, behind the same socket.

usage: stub_vm.py AGENT SOCKET     serves until killed, a new agent for each connection

The daemon adopts it as it adopts any VM that runs when it starts (see record): so what is measured between it and `sbx` is the
whole host side, without the emulated processor.
"""
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time


def serve(agent, path):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4)
    while True:
        connection, _ = listener.accept()
        fd = connection.fileno()
        subprocess.Popen([agent, "--fd", str(fd)], pass_fds=[fd])
        connection.close()


def start_time(pid):
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rsplit(")", 1)[1].split()[19])


def record(home, agent, name):
    """Start a stub in a home whose daemon is down, with the record that makes the next daemon adopt it. Returns the process."""
    folder = f"{home}/vms/{name}"
    os.makedirs(folder)
    process = subprocess.Popen([sys.executable, os.path.abspath(__file__), agent, f"{folder}/agent.sock"])
    for _ in range(200):
        if os.path.exists(f"{folder}/agent.sock"):
            break
        time.sleep(0.01)
    row = {"id": name, "name": name, "image": "base", "state": "running", "env": b"", "labels": b"", "vcpus": 1, "memory_mb": 256,
           "timeout_s": 0, "net": 0, "account": 0, "created_ms": int(time.time() * 1000), "expires_ms": 0, "pid": process.pid,
           "start_time": start_time(process.pid), "create_us": 0}
    with sqlite3.connect(f"{home}/db.sqlite") as db:
        db.execute(f"INSERT INTO sandbox ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
    return process


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
