#!/usr/bin/env python3
"""A login page with a second step that takes a backup code. Small on purpose; the second step is the point.

    login.py adduser users.json jane < password     adds a person
    login.py serve --users users.json --sparekey http://127.0.0.1:8200 --role login --jwt-file jwt

`serve` prints the address it listens on. The page behind the login is private; on it a person makes new backup codes.
A real service asks for the usual second factor first and sits behind TLS.
"""

import argparse
import hashlib
import hmac
import html
import http.cookies
import http.server
import json
import pathlib
import re
import secrets
import sys
import time
import urllib.parse

from backup_codes import BackupCodes, Refused, Unreachable

#: How long a person may take for the second step, and stay logged in, in seconds.
SECOND_STEP, SESSION = 300, 3600
USER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Users:
    """Passwords, as scrypt hashes in a file."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.known = json.loads(self.path.read_text()) if self.path.exists() else {}

    def add(self, name, password):
        salt = secrets.token_hex(16)
        self.known[name] = {"salt": salt, "hash": self._hash(password, salt)}
        self.path.touch(mode=0o600)
        self.path.write_text(json.dumps(self.known))

    def check(self, name, password):
        # Somebody who does not exist costs the same.
        person = self.known.get(name, {"salt": "00" * 16, "hash": ""})
        return hmac.compare_digest(self._hash(password, person["salt"]), person["hash"])

    @staticmethod
    def _hash(password, salt):
        return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex()


class Sessions:
    """Who has come how far, by a random cookie. In memory: a restart logs everybody out."""

    def __init__(self):
        self.open = {}

    def begin(self, user, step, lives):
        now = time.monotonic()
        self.open = {token: one for token, one in self.open.items() if one["until"] > now}
        token = secrets.token_urlsafe(32)
        self.open[token] = {"user": user, "step": step, "until": now + lives, "form": secrets.token_hex(16)}
        return token

    def find(self, token, step):
        session = self.open.get(token)
        alive = session and session["step"] == step and session["until"] > time.monotonic()
        return session if alive else None

    def end(self, token):
        self.open.pop(token, None)


class Page(http.server.BaseHTTPRequestHandler):
    """The pages. `users`, `sessions` and `codes` are set by `serve`."""

    users, sessions, codes = None, None, None
    server_version, sys_version = "login", ""

    def do_GET(self):
        if self.path == "/login":
            return self.show(200, form("/login", ["user", "password"], "Log in"))
        if self.path == "/second":
            session = self.session("second")
            return self.second(200, session) if session else self.go("/login")
        if self.path == "/":
            session = self.session("in")
            if not session:
                return self.go("/login")
            return self.show(200, f"<p>Welcome, {session['user']}.</p>" + form("/codes", [], "Make new backup codes"))
        return self.show(404, "<p>There is no such page.</p>")

    def do_POST(self):
        fields = self.fields()
        handlers = {"/login": self.login, "/second": self.code, "/codes": self.new_codes}
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return self.show(403, "<p>This form belongs to another page.</p>")
        return handlers.get(self.path, lambda _: self.show(404, "<p>There is no such page.</p>"))(fields)

    def login(self, fields):
        user, password = fields.get("user", ""), fields.get("password", "")
        if not USER.fullmatch(user) or not self.users.check(user, password):
            return self.show(403, "<p>Wrong name or password.</p>" + form("/login", ["user", "password"], "Log in"))
        return self.go("/second", self.sessions.begin(user, "second", SECOND_STEP))

    def code(self, fields):
        session = self.session("second")
        if not session:
            return self.go("/login")
        # A double click, or a browser that sends the form again, is the same attempt and not a second one.
        if not hmac.compare_digest(fields.get("form", ""), session["form"]):
            return self.second(409, session, "This form was sent already. Type the code again.")
        try:
            answer = self.codes.verify(f"login/{session['user']}", fields.get("code", ""), key=session["form"])
        except Refused as refused:
            self.log_error("verify was refused: %s", refused)
            return self.second(403, session, "This code was not accepted.")
        except Unreachable as error:
            self.log_error("verify cannot be asked: %s", error)
            return self.second(503, session, "Codes cannot be checked at present. Send the same code again in a moment.")
        if answer.valid:
            self.sessions.end(self.cookie())
            return self.go("/", self.sessions.begin(session["user"], "in", SESSION))
        session["form"] = secrets.token_hex(16)
        if answer.locked and answer.retry_after is None:
            return self.second(403, session, "Too many wrong codes. Ask the service desk.")
        if answer.locked:
            minutes = -(-answer.retry_after // 60)
            return self.second(403, session, f"Too many wrong codes. Try again in {minutes} minutes.")
        return self.second(403, session, "This code was not accepted.")

    def new_codes(self, _):
        session = self.session("in")
        if not session:
            return self.go("/login")
        try:
            codes = self.codes.make(f"login/{session['user']}")
        except (Refused, Unreachable) as error:
            self.log_error("no new codes: %s", error)
            return self.show(503, "<p>No new codes could be made; the old ones are as they were.</p>")
        items = "".join(f"<li><code>{html.escape(code)}</code></li>" for code in codes)
        return self.show(200, f"<p>Keep these; they are shown this once. The former ones are dead.</p><ol>{items}</ol>")

    def second(self, status, session, said=""):
        inputs = f'<input type="hidden" name="form" value="{session["form"]}">'
        said = f"<p>{html.escape(said)}</p>" if said else ""
        return self.show(status, said + form("/second", ["code"], "Use backup code", inputs))

    def fields(self):
        length = min(int(self.headers.get("Content-Length") or 0), 4096)
        parsed = urllib.parse.parse_qs(self.rfile.read(length).decode(errors="replace"), max_num_fields=8)
        return {name: values[0] for name, values in parsed.items()}

    def cookie(self):
        found = http.cookies.SimpleCookie(self.headers.get("Cookie", "")).get("session")
        return found.value if found else ""

    def session(self, step):
        return self.sessions.find(self.cookie(), step)

    def go(self, where, token=None):
        self.send_response(303)
        self.send_header("Location", where)
        if token:
            self.send_header("Set-Cookie", f"session={token}; HttpOnly; SameSite=Strict; Path=/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def show(self, status, body):
        page = f"<!doctype html><meta charset=utf-8><title>Login</title>{body}".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "default-src 'none'; form-action 'self'")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


def form(action, names, button, more=""):
    """A form with these fields."""
    kinds = {"password": "password"}
    inputs = "".join(
        f'<p><label>{name} <input name="{name}" type="{kinds.get(name, "text")}" autocomplete="off"></label></p>'
        for name in names
    )
    return f'<form method="post" action="{action}">{more}{inputs}<button>{button}</button></form>'


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="A login page whose second step takes a backup code.")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("adduser", help="adds a person; the password comes from standard input")
    add.add_argument("users")
    add.add_argument("name")
    serve = commands.add_parser("serve", help="serves the login page")
    serve.add_argument("--users", required=True)
    serve.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT")
    serve.add_argument("--sparekey", required=True, metavar="ADDRESS")
    serve.add_argument("--ca-file")
    serve.add_argument("--role", required=True)
    serve.add_argument("--jwt-file", required=True)
    options = parser.parse_args()
    if options.command == "adduser":
        if not USER.fullmatch(options.name):
            parser.error("a name has a-z 0-9 . _ - and begins with a letter or digit")
        Users(options.users).add(options.name, sys.stdin.readline().rstrip("\n"))
        return
    Page.users, Page.sessions = Users(options.users), Sessions()
    Page.codes = BackupCodes(options.sparekey, options.role, options.jwt_file, ca_file=options.ca_file)
    host, port = options.listen.rsplit(":", 1)
    server = http.server.ThreadingHTTPServer((host, int(port)), Page)
    print(f"http://{host}:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
