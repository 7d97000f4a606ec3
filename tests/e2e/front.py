#!/usr/bin/env python3
"""Stand-ins for what lies between sbx and a daemon.

usage: front.py tls CERT KEY TARGET_PORT   TLS on a port of 127.0.0.1, plain to TARGET_PORT there
       front.py proxy [NAME:PASSWORD]      an HTTP proxy that only knows CONNECT
       front.py record                     prints the head of a request and answers 404
       front.py mute                       takes connections and answers nothing

Prints the port that it listens on, then lines about its connections, until it is killed.
"""
import base64
import select
import socket
import ssl
import sys
import threading


def say(text):
    print(text, flush=True)


def copy(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    try:
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def join(a, b):
    back = threading.Thread(target=copy, args=(b, a), daemon=True)
    back.start()
    copy(a, b)
    back.join()
    a.close()
    b.close()



def tls(conn, context, port):
    """One thread for both directions: an SSL object may not be used by two."""
    try:
        a = context.wrap_socket(conn, server_side=True)
    except (ssl.SSLError, OSError) as e:
        say(f"refused {getattr(e, 'reason', e)}")
        return
    say(f"tls {a.version()} {a.selected_alpn_protocol()} {a.sni}")
    b = socket.create_connection(("127.0.0.1", port))
    a.setblocking(False)
    to_a = to_b = b""
    a_open = b_open = True
    try:
        while a_open and (b_open or to_a):
            readers = ([a] if len(to_b) < 1 << 20 else []) + ([b] if b_open and len(to_a) < 1 << 20 else [])
            r, w, _ = select.select(readers, ([a] if to_a else []) + ([b] if to_b else []), [])
            if a in r:
                try:
                    data = a.recv(65536)
                    a_open, to_b = bool(data), to_b + data
                except ssl.SSLWantReadError:
                    pass
            if b in r:
                data = b.recv(65536)
                b_open, to_a = bool(data), to_a + data
            if to_a:
                try:
                    to_a = to_a[a.send(to_a):]
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
            if b in w and to_b:
                to_b = to_b[b.send(to_b):]
        b.sendall(to_b)
        say("closed" if a_open else "client closed")
        a.unwrap()
    except OSError as e:
        say(f"lost {getattr(e, 'reason', e)}")
    a.close()
    b.close()


def proxy(conn, want):
    head = b""
    while b"\r\n\r\n" not in head:
        data = conn.recv(4096)
        if not data:
            return
        head += data
    lines = head.decode().split("\r\n")
    method, target, _ = lines[0].split()
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    given = base64.b64decode(fields.get("Proxy-Authorization", "Basic ")[6:]).decode()
    say(f"{method} {target} {given}")
    if given != want:
        conn.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        conn.close()
        return
    host, port = target.rsplit(":", 1)
    far = socket.create_connection((host.strip("[]"), int(port)))
    conn.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
    join(conn, far)


def record(conn):
    head = conn.recv(1 << 16).split(b"\r\n\r\n")[0].decode("latin-1")
    say(" | ".join(head.split("\r\n")))
    conn.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    conn.close()


def mute(conn):
    conn.recv(1 << 20)
    threading.Event().wait()


def main():
    kind, args = sys.argv[1], sys.argv[2:]
    if kind == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args[0], args[1])
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.sni_callback = lambda sock, name, _: setattr(sock, "sni", name)

        def serve(conn):
            tls(conn, context, int(args[2]))
    elif kind == "proxy":
        def serve(conn):
            proxy(conn, args[0] if args else "")
    else:
        serve = {"record": record, "mute": mute}[kind]
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    say(listener.getsockname()[1])

    while True:
        conn, _ = listener.accept()
        threading.Thread(target=serve, args=(conn,), daemon=True).start()


if __name__ == "__main__":
    main()
