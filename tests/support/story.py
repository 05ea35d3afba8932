"""The story through hvac. Reads the cast (addresses, assertions, codes) as JSON from standard input.

hvac's rule: 200 gives a dict, any other 2xx the raw response, errors an exception by status. Both are asserted here,
because a caller's program breaks when an answer changes its type.
"""

import base64
import json
import secrets
import sys

import hvac
from hvac import exceptions

cast = json.load(sys.stdin)
client = hvac.Client(url=cast["url"])
MOUNT = "backup-codes"


def refused(error, words, act, *args, **named):
    """The exact exception class, and words in its message."""
    try:
        answer = act(*args, **named)
    except exceptions.VaultError as raised:
        assert type(raised) is error, f"{type(raised).__name__}: {raised}"
        assert words in str(raised), str(raised)
        return raised
    raise AssertionError(f"not refused: {answer!r}")


def empty(answer):
    """204: a raw response, not a dict."""
    assert not isinstance(answer, dict), answer
    assert answer.status_code == 204, answer.status_code


def write(path, **fields):
    return client.write_data(f"{MOUNT}/{path}", data=fields)


# Born, opened.
assert client.sys.is_initialized() is False
assert client.sys.read_health_status(method="HEAD").status_code == 501
born = client.sys.initialize(secret_shares=3, secret_threshold=2)
assert len(born["keys"]) == 3 and len(born["keys_base64"]) == 3
assert client.sys.is_sealed() is True
assert client.sys.read_health_status(method="GET").status_code == 503
opened = client.sys.submit_unseal_keys(born["keys"][:2])
assert opened["sealed"] is False and isinstance(opened["t"], int) and isinstance(opened["progress"], int)
health = client.sys.read_health_status(method="GET")
assert health["initialized"] is True and health["sealed"] is False and health["performance_standby"] is False
assert client.is_authenticated() is False
client.token = born["root_token"]
assert client.is_authenticated() is True
assert client.sys.read_leader_status()["ha_enabled"] is False

# The mount is there, in both forms in which clients look for it.
mounts = client.sys.list_mounted_secrets_engines()
assert f"{MOUNT}/" in mounts["data"] and f"{MOUNT}/" in mounts
assert "jwt/" in client.sys.list_auth_methods()["data"]

# Whom we trust, who may do what.
empty(write("issuers/idp", bound_issuer=cast["issuer"], jwt_validation_pubkeys=[cast["pem"]]))
common = {"issuers": ["idp"], "bound_audiences": [cast["audience"]], "accounts": ["okta/*"]}
empty(write("roles/on-call", bound_claims={"groups": ["on-call"]}, operations=["retrieve", "read"], **common))
empty(write("roles/automation", bound_subject="rotator", operations=["store"], **common))
empty(
    write(
        "sources/idp",
        type="caep",
        issuer="idp",
        bound_audiences=[cast["audience"]],
        account_template="okta/{{email}}",
    )
)
role = client.read(f"{MOUNT}/roles/on-call")["data"]
assert role["operations"] == ["retrieve", "read"] or sorted(role["operations"]) == ["read", "retrieve"]
# A second plan is empty: writing back what was read changes nothing.
empty(client.write_data(f"{MOUNT}/roles/on-call", data=role))
assert client.read(f"{MOUNT}/roles/on-call")["data"] == role
assert sorted(client.list(f"{MOUNT}/roles")["data"]["keys"]) == ["automation", "on-call"]
assert client.read(f"{MOUNT}/roles/nobody") is None
refused(exceptions.InvalidRequest, "operatoins", write, "roles/typo", operatoins=["retrieve"])

# A set goes in, once.
account = "okta/jane@example.com"
stored = write(
    f"sets/{account}",
    role="automation",
    jwt=cast["store"],
    codes=cast["codes"],
    cas=0,
    bound_at=cast["bound_at"],
)
assert stored["data"]["generation"] == 1 and stored["data"]["count"] == 4
assert {"request_id", "lease_id", "renewable", "lease_duration"} <= stored.keys()
refused(
    exceptions.InvalidRequest, "cas", write, f"sets/{account}", role="automation", jwt=cast["store"], codes=cast["codes"], cas=0
)

# One code comes out; the assertion is spent.
ask = {"role": "on-call", "jwt": cast["admins"][0], "reason": "phone lost"}
first = write(f"retrieve/{account}", **ask)
assert first["data"]["code"] == cast["codes"][0] and first["data"]["remaining"] == 3
assert first["lease_id"] == "" and first["lease_duration"] == 0
refused(exceptions.Forbidden, "", write, f"retrieve/{account}", **ask)
refused(exceptions.Forbidden, "", write, f"retrieve/{account}", role="on-call", reason="phone lost")

# One code comes out wrapped.
ask["jwt"] = cast["admins"][1]
wrapped = client.write_data(f"{MOUNT}/retrieve/{account}", data=ask, wrap_ttl="60s")
token = wrapped["wrap_info"]["token"]
assert wrapped["data"] is None and wrapped["wrap_info"]["ttl"] == 60
assert client.sys.unwrap(token=token)["data"]["code"] == cast["codes"][1]
refused(exceptions.InvalidRequest, "wrapping token is not valid or does not exist", client.sys.unwrap, token=token)

# Logged in, one sees what the role shows, and no more.
login = client.auth.jwt.jwt_login(role="on-call", jwt=cast["login"], use_token=False)
assert login["auth"]["metadata"]["role"] == "on-call"
mine = hvac.Client(url=cast["url"], token=login["auth"]["client_token"])
assert mine.is_authenticated() is True
seen = mine.read(f"{MOUNT}/accounts/{account}")["data"]
assert seen["remaining"] == 2 and not any(code in json.dumps(seen) for code in cast["codes"])
assert mine.auth.token.lookup_self()["data"]["path"] == "auth/jwt/login"
assert mine.auth.token.renew_self()["auth"]["client_token"] == login["auth"]["client_token"]
refused(exceptions.Forbidden, "administer", mine.write_data, f"{MOUNT}/roles/mine", data={"accounts": "*"})
empty(mine.auth.token.revoke_self())
assert mine.is_authenticated() is False
refused(exceptions.InvalidRequest, "nobody", client.auth.jwt.jwt_login, role="nobody", jwt=cast["login"])

# MFA was enrolled again.
answer = write("events/idp", set=cast["event"])
assert not isinstance(answer, dict) and answer.status_code == 202 and answer.content == b"", answer
ask["jwt"] = cast["admins"][2]
refused(exceptions.InvalidRequest, "", write, f"retrieve/{account}", **ask)
history = client.read(f"{MOUNT}/history/{account}?verify=true")["data"]
assert [entry["act"] for entry in history["entries"]] == ["store", "retrieve", "retrieve", "unwrap", "event"], history
assert history["verified"] is True

# The barrier's key is rotated: what was stored before still opens, and whoever may not administer does not rotate.
assert client.sys.get_encryption_key_status()["data"]["term"] == 1
empty(client.sys.rotate_encryption_key())
status = client.sys.get_encryption_key_status()
assert status["data"]["term"] == 2 and status["term"] == 2, status
assert client.read(f"{MOUNT}/accounts/{account}")["data"]["generation"] == 1
refused(exceptions.Forbidden, "permission denied", hvac.Client(url=cast["url"]).sys.rotate_encryption_key)

# The root token is lost: a quorum of shares makes another one, for whoever has the one-time password.
lost = hvac.Client(url=cast["url"])
before = lost.sys.read_root_generation_progress()
assert before["started"] is False and before["required"] == 2, before
otp = secrets.token_hex(before["otp_length"])[: before["otp_length"]]
begun = lost.sys.start_root_token_generation(otp=otp)
assert begun["started"] is True and begun["progress"] == 0 and begun["nonce"], begun
refused(exceptions.InvalidRequest, "already in progress", lost.sys.start_root_token_generation, otp=otp)
empty(lost.sys.cancel_root_generation())
refused(exceptions.InvalidRequest, "", lost.sys.generate_root, key=born["keys"][0], nonce=begun["nonce"])
nonce = lost.sys.start_root_token_generation(otp=otp)["nonce"]
one = lost.sys.generate_root(key=born["keys"][0], nonce=nonce)
assert one["progress"] == 1 and one["complete"] is False and not one["encoded_root_token"], one
done = lost.sys.generate_root(key=born["keys"][2], nonce=nonce)
assert done["complete"] is True and done["progress"] == 2, done
mixed = base64.b64decode(done["encoded_root_token"] + "==")
lost.token = bytes(a ^ b for a, b in zip(mixed, otp.encode())).decode()
assert lost.is_authenticated() is True and lost.token != born["root_token"]
assert lost.auth.token.lookup_self()["data"]["policies"] == ["root"]
assert lost.sys.get_encryption_key_status()["data"]["term"] == 2
empty(lost.auth.token.revoke_self())

# Taken back, closed.
assert client.delete(f"{MOUNT}/roles/on-call") is None  # hvac drops the answer of a delete
refused(exceptions.Forbidden, "", write, f"retrieve/{account}", **ask)
empty(client.sys.seal())
refused(exceptions.VaultDown, "sealed", client.read, f"{MOUNT}/config")
print("the story is told")
