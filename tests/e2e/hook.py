#!/usr/bin/env python3
"""A receiver of webhooks: hook.py DIR    prints its port; each request goes to DIR/seen as a line of JSON, and /STATUS is answered so."""
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

folder = sys.argv[1]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open(os.path.join(folder, "seen"), "a") as seen:
            seen.write(json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body}) + "\n")
        self.send_response(int(self.path[1:]) if self.path[1:].isdigit() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()


server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
