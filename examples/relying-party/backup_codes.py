"""Asks Sparekey whether a backup code is right. Standard library only.

    codes = BackupCodes("https://sparekey.example.com:8200", role="login", jwt_file="/run/secrets/sparekey.jwt")
    answer = codes.verify("login/jane", typed, key=secrets.token_hex(16))
    if answer.valid: ...

The assertion is read from its file for every request: whoever renews it (a platform's projected token, a cron job at the
identity provider) needs to tell nobody. No code and no assertion is ever part of an error.
"""

import dataclasses
import json
import pathlib
import ssl
import urllib.error
import urllib.parse
import urllib.request


class Unreachable(Exception):
    """Nobody can say at present whether the code is right. Let nobody in."""


class Refused(Exception):
    """Sparekey refuses the request as such (assertion, role, account's name). It was not counted as a wrong code."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What became of a presented code."""

    valid: bool
    #: Accepted codes that the account has left.
    remaining: int | None = None
    #: By when the person is to make new codes.
    regenerate_by: str | None = None
    #: Seconds until codes are looked at again; `None` while locked: an operator must unlock.
    retry_after: int | None = None
    #: Whether no code is looked at.
    locked: bool = False


class BackupCodes:
    """A mount of Sparekey, and the role under which this program asks it."""

    def __init__(self, address, role, jwt_file, mount="backup-codes", ca_file=None, timeout=5.0):
        parts = urllib.parse.urlsplit(address)
        loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
            raise ValueError("codes travel over https only (http is for this machine)")
        self.base = f"{address.rstrip('/')}/v1/{mount.strip('/')}"
        self.role = role
        self.jwt_file = pathlib.Path(jwt_file)
        self.timeout = timeout
        # No proxy from the environment, no redirect: a code goes where it was meant to go and nowhere else.
        handlers = [urllib.request.ProxyHandler({}), _NoRedirect()]
        if parts.scheme == "https":
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))
        self.opener = urllib.request.build_opener(*handlers)

    def verify(self, account, code, key):
        """Consumes `code`. `key` names this attempt: if the answer is lost, the same attempt is answered the same."""
        data = self._twice(f"verify/{urllib.parse.quote(account)}", {"code": code, "idempotency_key": key})
        return Answer(
            valid=data.get("valid") is True,
            remaining=data.get("remaining"),
            regenerate_by=data.get("regenerate_by"),
            retry_after=data.get("retry_after"),
            locked="retry_after" in data,
        )

    def make(self, account, profile="issued"):
        """Makes a new set for `account`, which ends the former one, and returns its codes. They are shown this once."""
        return self._post(f"sets/{urllib.parse.quote(account)}", {"profile": profile})["codes"]

    def _twice(self, path, fields):
        try:
            return self._post(path, fields)
        except Unreachable:
            return self._post(path, fields)

    def _post(self, path, fields):
        try:
            jwt = self.jwt_file.read_text().strip()
        except OSError as error:
            raise Unreachable(f"no assertion: {error.strerror}") from None
        body = json.dumps({**fields, "role": self.role, "jwt": jwt}).encode()
        request = urllib.request.Request(f"{self.base}/{path}", body, {"Content-Type": "application/json"})
        try:
            with self.opener.open(request, timeout=self.timeout) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code in (400, 403, 404):
                raise Refused(_sentence(error)) from None
            raise Unreachable(f"status {error.code}") from None
        except (OSError, ValueError, KeyError) as error:
            raise Unreachable(type(error).__name__) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def _sentence(error):
    try:
        return json.load(error)["errors"][0]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return f"status {error.code}"
