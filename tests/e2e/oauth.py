#!/usr/bin/env python3
"""A service to log in through, with GitHub's addresses and manners, and a web front end that shows what it was told.

    oauth.py CLIENT SECRET DIR [CERT]     prints its port; with a certificate and key in one file it speaks TLS

DIR/who names the person at the browser (one of PEOPLE, or nobody, who says no); DIR/fault what the service does wrong (see Handler.fault).
Each request goes to DIR/seen as a line of JSON. A code is good once, for the client and return address that it was made for.
"""
import json, os, secrets, ssl, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

client, secret, folder = sys.argv[1:4]
PEOPLE = {
    "ann": {"id": 11, "login": "ann-s", "name": "Ann Söder", "email": "Ann@Example.com"},
    # the same person after she changed all that can be changed
    "ann2": {"id": 11, "login": "ann", "name": "Ann", "email": "other@example.com"},
    "bea": {"id": 12, "login": "bea-g", "name": None, "email": None},
    "cem": {"id": 13, "login": "cem", "name": "Cem", "email": "taken@example.com"},
    "dora": {"id": 14, "login": "dora", "name": "", "email": ""},
    "eve": {"id": 15, "login": "eve", "name": "Eve; Path=/\r\nSet-Cookie: a=b\u0007 & ünï", "email": "eve@example.com"},
}
EMAILS = {
    "bea": [{"email": "old@example.com", "primary": False, "verified": True}, {"email": "bea@example.com", "primary": True, "verified": True}],
    "dora": [{"email": "dora@example.com", "primary": True, "verified": False}, {"email": "d@example.com", "primary": False, "verified": True}],
}
codes, tokens = {}, {}


def setting(name):
    try:
        return open(os.path.join(folder, name)).read().strip()
    except FileNotFoundError:
        return ""


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

    def json(self, value, status=200):
        self.answer(status, json.dumps(value).encode(), Content_Type="application/json")

    def fault(self, where):
        """`WHERE:WHAT` in DIR/fault: what goes wrong at token, user or emails. True when it did."""
        at, _, what = setting("fault").partition(":")
        if at != where:
            return False
        if what == "slow":
            time.sleep(15)
        elif what == "status":
            self.json({"id": 11, "login": "ann", "access_token": "x"}, 500)
        elif what == "redirect":
            self.answer(302, Location=f"http://127.0.0.1:{port}/stolen")
        elif what == "huge":
            self.answer(200, b'{"id": 11, "login": "ann", "access_token": "x", "fill": "' + b"x" * 200000 + b'"}')
        elif what == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b'{"id": 11')
            self.close_connection = True
        else:
            self.answer(200, what.encode(), Content_Type="application/json")
        return True

    def note(self, form=None):
        row = {"method": self.command, "path": self.path, "form": form, "cookie": self.headers.get("Cookie"),
               "accept": self.headers.get("Accept"), "authorization": self.headers.get("Authorization"), "length": self.headers.get("Content-Length")}
        with open(os.path.join(folder, "seen"), "a") as f:
            f.write(json.dumps(row) + "\n")

    def authorize(self, query):
        if query.get("client_id") != client or query.get("scope") != "user:email":
            return self.answer(404)
        who, back = setting("who"), {"state": query["state"]}
        if who in PEOPLE:
            back["code"] = secrets.token_hex(10)
            codes[back["code"]] = (who, query["redirect_uri"])
        else:
            back |= {"error": "access_denied", "error_description": "The user has denied your application access.", "error_uri": "https://x/"}
        return self.answer(302, Location=query["redirect_uri"] + "?" + urlencode(back))

    def do_GET(self):
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        self.note()
        if url.path == "/login/oauth/authorize":
            return self.authorize(query)
        if url.path == "/auth/github/callback":
            cookies = dict(c.split("=", 1) for c in (self.headers.get("Cookie") or "").split("; ") if c)
            return self.json({"query": query, "cookies": cookies})
        who = tokens.get(self.headers.get("Authorization"))
        if not who or not self.headers.get("User-Agent") or self.headers.get("Content-Length"):
            return self.json({"message": "Bad credentials"}, 401)
        if url.path == "/api/user" and not self.fault("user"):
            self.json(PEOPLE[who])
        elif url.path == "/api/user/emails" and not self.fault("emails"):
            self.json(EMAILS.get(who, []))

    def do_POST(self):
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.note(form)
        if self.path != "/login/oauth/access_token" or self.headers.get("Accept") != "application/json":
            return self.answer(404)
        if self.fault("token"):
            return None
        if (form.get("client_id"), form.get("client_secret")) != (client, secret):
            return self.json({"error": "incorrect_client_credentials"})
        who, back = codes.pop(form.get("code"), (None, None))
        if not who or back != form.get("redirect_uri"):
            return self.json({"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."})
        token = "gho_" + secrets.token_hex(18)
        tokens["Bearer " + token] = who
        return self.json({"access_token": token, "token_type": "bearer", "scope": "user:email"})


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128


server = Server(("127.0.0.1", 0), Handler)
port = server.server_address[1]
if len(sys.argv) > 4:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(port, flush=True)
server.serve_forever()
