"""Receives webhooks of Posthaste with Python's standard library: python3 server.py"""

__VERIFY__
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRETS = ["__SECRET__"]
PATH = "__PATH__"


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != PATH:
            return self.answer(404)
        try:
            verify(self.headers, body, SECRETS)
        except BadSignature as reason:
            print(f"refused: {reason}")
            return self.answer(400)
        # Your own code. The same webhook-id may come again: do each once.
        print(self.headers["webhook-id"], json.loads(body)["event"], flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()


ThreadingHTTPServer(("", int(os.environ.get("PORT", 3000))), Receiver).serve_forever()
