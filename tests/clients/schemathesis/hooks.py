"""What a generated request needs to get past the door: an assertion that a role accepts, and accounts that are there.

Three requests of four get them, the fourth stays as it was made. Which is which follows from the request, so that a run with one seed
is one run. The cast (assertion, role, accounts) comes as JSON in the environment.
"""

import hashlib
import json
import os

import schemathesis

CAST = json.loads(os.environ["SPAREKEY_CAST"])


def drawn(*parts):
    """A number that belongs to these parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body if isinstance(case.body, dict) else {}
    number = drawn(case.operation.label, sorted(map(str, body)), str(case.path_parameters))
    if number % 4 == 0:
        return
    if isinstance(case.body, dict) and case.operation.label.startswith("POST /backup-codes/"):
        if case.path_parameters and "account" in case.path_parameters:
            case.body = {**case.body, "jwt": CAST["jwt"], "role": CAST["role"]}
    if case.path_parameters and "account" in case.path_parameters:
        accounts = CAST["accounts"]
        case.path_parameters = {**case.path_parameters, "account": accounts[number // 4 % len(accounts)]}
