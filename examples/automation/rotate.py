#!/usr/bin/env python3
"""Brings a new set of codes for one account where it needs one: for a timer to run. Standard library only (3.10 or newer).

    rotate.py --vault https://vault.example.com:8200 --jwt-file JWT --account okta/jane@example.com \\
        --state /var/lib/sparekey-rotate -- new-codes jane@example.com

The command after -- makes new codes at the provider and prints them, one on a line. By then the old ones are dead, so the new ones must
not be lost: they lie in a file of the state folder until the vault has them. Whatever went wrong, the next run sends the very
same request, and its idempotency_key makes it count once.

Exit codes: 0 all is well; 75 try again later, nothing is lost; 1 somebody must look.
"""

import argparse
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import secrets
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

TRIES = 5
# Refusals that say: something came between the codes and their storing. Whether these codes still work nobody can say.
STALE = ("enrollment:", "cas-mismatch:")


class Unreachable(Exception):
    """The vault did not answer, or could not: the same request may be sent again."""


class Refused(Exception):
    """The vault said no, and says why."""


class Vault:
    """Sparekey in a vault, under a token that a JWT brought in. A server of its own is reached in the same way."""

    def __init__(self, address, ca_file, jwt_file, login_role):
        parts = urllib.parse.urlsplit(address)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")):
            raise SystemExit("rotate: codes travel over https only (http is for this machine)")
        handlers = [urllib.request.ProxyHandler({})]
        if parts.scheme == "https":
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))
        self.opener = urllib.request.build_opener(*handlers)
        self.base = f"{address.rstrip('/')}/v1/"
        self.jwt_file = pathlib.Path(jwt_file)
        self.token = None
        login = {"role": login_role, "jwt": self.jwt()}
        self.token = self.call("POST", "auth/jwt/login", login)["auth"]["client_token"]

    def jwt(self):
        """The assertion; read each time, since whoever renews it needs to tell nobody."""
        return self.jwt_file.read_text(encoding="ascii").strip()

    def call(self, method, path, body=None):
        """Sends a request, again while the vault cannot answer. Every request of this program may be repeated."""
        for left in reversed(range(TRIES)):
            try:
                return self._once(method, path, body)
            except Unreachable:
                if not left:
                    raise
                time.sleep(2 ** (TRIES - 1 - left) * (0.1 + secrets.randbelow(100) / 1000))

    def _once(self, method, path, body):
        request = urllib.request.Request(self.base + urllib.parse.quote(path), method=method)
        request.add_header("X-Vault-Request", "true")
        if self.token:
            request.add_header("X-Vault-Token", self.token)
        data = None if body is None else json.dumps(body).encode()
        try:
            with self.opener.open(request, data, timeout=15) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            errors = _errors(error)
            if error.code == 404 and method == "GET":
                return None
            if error.code in (408, 412, 429) or error.code >= 500:
                raise Unreachable(f"{error.code}: {errors}") from None
            raise Refused(errors) from None
        except (OSError, ValueError) as error:
            raise Unreachable(str(error)) from None


def _errors(error):
    try:
        return "; ".join(json.loads(error.read())["errors"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"status {error.code}"


def reason_to_rotate(account, older_than):
    """Why the account needs a new set, or None."""
    if account is None or account["active_generation"] is None:
        return "there is no set that works"
    if account["owes"]:
        return "a code was used, so a new set is owed"
    active = next(one for one in account["sets"] if one["generation"] == account["active_generation"])
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(active["stored_at"].replace("Z", "+00:00"))
    if age > datetime.timedelta(days=older_than):
        return f"the set is {age.days} days old"
    return None


class State:
    """What is to be stored: a file of mode 0600 that is there from before the provider's word until after the vault's."""

    def __init__(self, folder, account):
        folder = pathlib.Path(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = hashlib.sha256(account.encode()).hexdigest()[:16]
        self.file = folder / f"{name}.json"
        lock = os.open(folder / f"{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)

    def load(self):
        return json.loads(self.file.read_text()) if self.file.exists() else None

    def save(self, request):
        beside = self.file.with_suffix(".new")
        with open(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            json.dump(request, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.file)
        folder = os.open(self.file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def clear(self):
        self.file.unlink(missing_ok=True)


def new_request(account, command):
    """Has the provider make codes, and writes down all that goes with them: what we knew of the account before."""
    known = {
        "cas": account["generation"] if account else 0,
        "enrollment": (account or {}).get("enrollment", {}).get("number", 0) if account and account["enrollment"] else 0,
        "idempotency_key": secrets.token_hex(16),
    }
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    codes = [line.strip() for line in made.splitlines() if line.strip()]
    if not codes:
        raise SystemExit("rotate: the command printed no codes")
    return known | {"codes": codes}


def read(vault, options):
    answer = vault.call("GET", f"{options.mount}/accounts/{options.account}")
    return answer and answer["data"]


def rotate(vault, options, state):
    """Stores a set where one is needed."""
    request = state.load()
    account = read(vault, options)
    if request is None:
        why = reason_to_rotate(account, options.older_than)
        if why is None:
            say(f"{options.account}: {account['remaining']} codes are left, nothing to do")
            return
        say(f"{options.account}: {why}")
        request = new_request(account, options.command)
        state.save(request)
    body = request | {"role": options.role, "jwt": vault.jwt()}
    try:
        stored = vault.call("POST", f"{options.mount}/sets/{options.account}", body)
    except Refused as refused:
        if str(refused).startswith(STALE):
            state.clear()
        raise
    state.clear()
    say(f"{options.account}: generation {stored['data']['generation']} is stored, {stored['data']['remaining']} codes")


def confirm(vault, options):
    """New codes at the provider were the end of the old ones there: notes it for each set that ended."""
    account = read(vault, options)
    for old in account["sets"] if account else []:
        if old["generation"] < (account["active_generation"] or 0) and old["provider"] == "unconfirmed":
            body = {"role": options.role, "jwt": vault.jwt(), "generation": old["generation"], "note": "new codes were made"}
            vault.call("POST", f"{options.mount}/confirm/{options.account}", body)


def kept(state):
    return "; the new codes are kept for the next run" if state.load() else ""


def say(line):
    print(line, flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--vault", required=True, metavar="URL")
    options.add_argument("--ca-file", help="authorities to trust (PEM)")
    options.add_argument("--jwt-file", required=True, help="the job's JWT: it logs in by it, and it is the assertion")
    options.add_argument("--login-role", default="rotator", help="role of auth/jwt [%(default)s]")
    options.add_argument("--role", default="rotator", help="role of Sparekey [%(default)s]")
    options.add_argument("--mount", default="backup-codes")
    options.add_argument("--account", required=True)
    options.add_argument("--state", required=True, metavar="FOLDER")
    options.add_argument("--older-than", type=int, default=90, metavar="DAYS", help="a set lives so long [%(default)s]")
    options.add_argument("command", nargs="+", help="makes new codes and prints them")
    options = options.parse_args()
    state = State(options.state, options.account)
    try:
        for left in (1, 0):
            try:
                vault = Vault(options.vault, options.ca_file, options.jwt_file, options.login_role)
                rotate(vault, options, state)
                confirm(vault, options)
                vault.call("POST", "auth/token/revoke-self")
                return 0
            except Refused as refused:
                if not (left and str(refused).startswith(STALE)):
                    say(f"{options.account}: refused: {refused}{kept(state)}")
                    return 1
                say(f"{options.account}: {refused}; once more, with codes made now")
    except Unreachable as error:
        say(f"{options.account}: the vault cannot be reached ({error}){kept(state)}")
        return os.EX_TEMPFAIL
    except subprocess.CalledProcessError as error:
        say(f"{options.account}: {options.command[0]} failed ({error.returncode})")
        return os.EX_TEMPFAIL


if __name__ == "__main__":
    sys.exit(main())
