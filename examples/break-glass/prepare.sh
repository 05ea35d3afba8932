#!/bin/sh
# Done beforehand, in daylight, by an administrator: the key, and what the engine must know about it. Again after a change of
# break-glass.conf, or with a new key: the old one is refused from that moment on.
#
#   prepare.sh standalone|mounted
#
# `standalone` is a server of its own; `mounted` adds what the vault itself must know: a policy, and a login that needs no provider.
# It speaks through `bao`, with the address and token that this uses. A new file key is made where none is; that asks for a passphrase
# (SECRET or SECRET_FILE answers instead, as in break-glass-jwt).
set -eu
umask 077

. "${BREAK_GLASS_CONF:-$(dirname "$0")/break-glass.conf}"
face=${1:-}
case $face in standalone | mounted) ;; *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2 && exit 1 ;; esac

public=$(mktemp)
trap 'rm "$public"' EXIT
if [ -n "${PKCS11_MODULE:-}" ]; then
    pkcs11-tool --module "$PKCS11_MODULE" --token-label "$PKCS11_TOKEN" --id "$PKCS11_ID" --read-object --type pubkey |
        openssl pkey -pubin -inform DER -out "$public"
else
    [ -z "${SECRET_FILE:-}" ] || SECRET=$(head -n 1 "$SECRET_FILE")
    export SECRET="${SECRET:-}"
    [ -f "$KEY_FILE" ] ||
        openssl genpkey -algorithm ed25519 -aes-256-cbc ${SECRET:+-pass env:SECRET} -out "$KEY_FILE"
    openssl pkey -in "$KEY_FILE" ${SECRET:+-passin env:SECRET} -pubout -out "$public"
fi

echo "An issuer whose one key is pinned: no discovery, no key set, nothing to fetch"
bao write backup-codes/issuers/"$NAME" bound_issuer="$NAME" jwt_validation_pubkeys=@"$public"

echo "A role that does one thing: few accounts, one key, one network, a ticket, two codes a day"
bao write backup-codes/roles/"$NAME" issuers="$NAME" bound_audiences=sparekey bound_subject="$SUBJECT" \
    accounts="$ACCOUNTS,drill/break-glass" operations=retrieve,outcome,read,history bound_cidrs="$NETWORKS" \
    max_assertion_age=2m require_reason=true ticket_pattern='INC-[0-9]+' max_retrievals=2 per=24h token_ttl=15m token_max_ttl=15m

echo "An account that opens nothing, for the drill, and a role that fills it"
bao write backup-codes/profiles/drill kind=escrowed low_watermark=0 regenerate_within=24h
bao write backup-codes/accounts/drill/break-glass profile=drill owner=security login_name='nobody: this is the drill'
bao write backup-codes/roles/"$NAME-drill" issuers="$NAME" bound_audiences=sparekey bound_subject="$SUBJECT" \
    accounts=drill/break-glass operations=store bound_cidrs="$NETWORKS" max_assertion_age=2m

[ "$face" = mounted ] || exit 0
echo "In the vault: these paths and no other, and a login by the same key"
{
    for account in $(echo "$ACCOUNTS,drill/break-glass" | tr ',' ' '); do
        echo "path \"backup-codes/retrieve/$account\" { capabilities = [\"update\"] }"
        echo "path \"backup-codes/outcome/$account\" { capabilities = [\"update\"] }"
        echo "path \"backup-codes/accounts/$account\" { capabilities = [\"read\"] }"
        echo "path \"backup-codes/history/$account\" { capabilities = [\"read\"] }"
    done
} | bao policy write "$NAME" -
echo 'path "backup-codes/sets/drill/break-glass" { capabilities = ["update"] }' | bao policy write "$NAME-drill" -
bao read "sys/auth/$NAME" >/dev/null 2>&1 || bao auth enable -path="$NAME" jwt
bao write "auth/$NAME/config" bound_issuer="$NAME" jwt_validation_pubkeys=@"$public" jwt_supported_algs=EdDSA,ES256
for role in "$NAME" "$NAME-drill"; do
    bao write "auth/$NAME/role/$role" role_type=jwt user_claim=sub bound_subject="$SUBJECT" bound_audiences=sparekey \
        token_policies="$role" token_bound_cidrs="$NETWORKS" token_ttl=15m token_max_ttl=15m
done
