#!/bin/sh
# A real OpenBao in a folder, with raft storage and an audit file, mounts Sparekey; then the whole story, told by `bao`.
#
#   story.sh [FOLDER]
#
# Needs bao, sparekey, openssl and curl on the PATH. FOLDER [a new one under /tmp] keeps everything that the servers wrote. They listen on
# loopback, ports PORT [8200], PORT + 1 (cluster) and PORT + 2 (relay), and end with the script.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
manifest=$here/../../plugin-manifest
. "$here/provider.sh"
port=${PORT:-8200}
folder=$(cd "${1:-$(mktemp -d)}" && pwd)
mkdir -p "$folder/plugins" "$folder/raft" "$folder/home"
cd "$folder"
export HOME="$folder/home" BAO_ADDR="http://127.0.0.1:$port"
unset BAO_TOKEN VAULT_TOKEN VAULT_ADDR

say() { printf '\n## %s\n' "$*"; }
# A command that must be refused, with these words.
refused() { # WORDS COMMAND…
    words=$1
    shift
    if "$@" >said 2>&1; then cat said && echo "this should have been refused" >&2 && return 1; fi
    grep -F "$words" said || { cat said >&2 && return 1; }
}
# Logs somebody in to the vault with a token of the identity provider, and runs the command as them.
as() { # NAME ROLE COMMAND…
    BAO_TOKEN=$(jwt "$1" vault "$2" | bao write -field=token auth/jwt/login role="$2" jwt=-)
    export BAO_TOKEN
    shift 2
    "$@"
    bao token revoke -self >/dev/null
    unset BAO_TOKEN
}
# The provider's page of new codes.
new_codes() { for _ in 1 2 3 4 5 6; do openssl rand -hex 5 | sed 's/^...../&-/'; done; }
# The same as a list for the command line.
listed() { paste -sd, "$1"; }

# No JWT on a command line, which every user of the machine can read: it comes through standard input (`jwt=-`).

say "A vault"
cat >vault.hcl <<HCL
plugin_directory = "$folder/plugins"
api_addr         = "$BAO_ADDR"
cluster_addr     = "https://127.0.0.1:$((port + 1))"
storage "raft" {
  path    = "$folder/raft"
  node_id = "one"

  performance_multiplier = 1
}
listener "tcp" {
  address         = "127.0.0.1:$port"
  cluster_address = "127.0.0.1:$((port + 1))"
  tls_disable     = true
}
audit "file" "main" {
  options {
    file_path = "$folder/audit.log"
  }
}
HCL
bao server -config=vault.hcl >server.log 2>&1 &
ended=$!
trap 'kill $ended 2>/dev/null; wait' EXIT
until bao status >/dev/null 2>&1 || [ $? -eq 2 ]; do
    kill -0 "${ended%% *}" || { cat server.log && exit 1; }
    sleep 0.1
done
bao operator init -key-shares=1 -key-threshold=1 >init.txt
bao operator unseal "$(sed -n 's/^Unseal Key 1: //p' init.txt)" >/dev/null
BAO_TOKEN=$(sed -n 's/^Initial Root Token: //p' init.txt)
export BAO_TOKEN
until bao secrets list >/dev/null 2>&1; do sleep 0.1; done

say "Sparekey is its plugin"
"$manifest/register.sh" "$(command -v sparekey)" "$folder/plugins"

say "Who may ask the vault for what: policies, and a login by the identity provider's tokens"
provider_start "$folder/provider.pem" provider-public.pem
for policy in admin on-call rotator reviewer; do
    bao policy write "backup-codes-$policy" "$manifest/policies/$policy.hcl"
done
bao auth enable jwt
bao write auth/jwt/config jwt_validation_pubkeys=@provider-public.pem bound_issuer="$PROVIDER"
login() { # GROUP POLICY
    bao write "auth/jwt/role/$1" role_type=jwt user_claim=sub groups_claim=groups bound_audiences=vault token_policies="$2" \
        token_ttl=10m - <<JSON
{"bound_claims": {"groups": "$1"}}
JSON
}
for group in admin on-call rotator reviewer; do login $group backup-codes-$group; done
login desk backup-codes-on-call

say "The vault vouches for people as well: identity tokens, for us alone"
bao write identity/oidc/key/backup-codes algorithm=ES256 allowed_client_ids=backup-codes
bao write identity/oidc/role/backup-codes key=backup-codes client_id=backup-codes ttl=5m \
    template='{"name": {{identity.entity.name}}, "groups": {{identity.entity.groups.names}}}'

group=$(bao write -field=id identity/group name=desk type=external)
bao write identity/group-alias name=desk canonical_id="$group" mount_accessor="$(bao read -field=accessor sys/auth/jwt)"

say "From here on nobody is root"
bao token revoke -self
unset BAO_TOKEN

say "An admin says whom the engine trusts, and which role may do what"
set_up() {
    bao write backup-codes/issuers/idp bound_issuer="$PROVIDER" jwt_validation_pubkeys=@provider-public.pem
    bao write backup-codes/issuers/vault bound_issuer="$BAO_ADDR/v1/identity/oidc" \
        jwks_url="$BAO_ADDR/v1/identity/oidc/.well-known/keys"
    bao write backup-codes/roles/on-call issuers=idp bound_audiences=backup-codes accounts='okta/*' \
        operations=retrieve,outcome max_assertion_age=5m require_reason=true - <<JSON
{"bound_claims": {"groups": "on-call"}}
JSON
    bao write backup-codes/roles/rotator issuers=idp bound_audiences=backup-codes bound_subject=rotator accounts='okta/*' \
        operations=store,confirm
    bao write backup-codes/roles/people issuers=vault bound_audiences=backup-codes accounts='okta/*' operations=retrieve - <<JSON
{"bound_claims": {"groups": "desk"}}
JSON
    # Provider and vault go by one clock here, so a second tells before from after.
    bao write backup-codes/sources/idp type=caep issuer=idp bound_audiences=backup-codes account_template='okta/{{email}}' skew=1s
}
as ada admin set_up

say "Automation brings the first set"
new_codes >first.txt
first_set() {
    jwt rotator backup-codes rotator | bao write backup-codes/sets/okta/jane@example.com role=rotator \
        codes="$(listed first.txt)" cas=0 idempotency_key=first jwt=-
}
as rotator rotator first_set

say "Three in the morning: somebody on call gets one code"
on_call() {
    printf %s "$1" | bao write backup-codes/retrieve/okta/jane@example.com role=on-call reason="phone lost" jwt=-
}
assertion=$(jwt joe backup-codes on-call)
as joe on-call on_call "$assertion"
say "… and not a second one for the same assertion, nor one without"
as joe on-call refused 'assertion' on_call "$assertion"
as joe on-call refused 'assertion' on_call ''
say "… wrapped, where the code shall pass through other hands"
wrapped() {
    jwt joe backup-codes on-call | bao write -wrap-ttl=60s -field=wrapping_token backup-codes/retrieve/okta/jane@example.com \
        role=on-call reason="phone lost" jwt=- >wrapping-token
    bao unwrap -field=code "$(cat wrapping-token)"
}
as joe on-call wrapped

say "Automation rotates: the generation and the enrollment that it knows of go along"
rotate() { # CODES
    account=backup-codes/accounts/okta/jane@example.com
    enrollment=$(bao read -format=json $account | tr -d ' \n' | sed 's/.*"enrollment":{[^}]*"number":\([0-9]*\).*/\1/;t;s/.*/0/')
    jwt rotator backup-codes rotator | bao write backup-codes/sets/okta/jane@example.com role=rotator codes="$(listed "$1")" \
        cas="$(bao read -field=generation $account)" enrollment="$enrollment" idempotency_key="$1" jwt=-
}
new_codes >second.txt
as rotator rotator rotate second.txt

say "Jane registers a new authenticator: the provider tells the relay, the relay tells the engine, the old codes are over"
sparekey relay --listen "127.0.0.1:$((port + 2))" --target "/idp=$BAO_ADDR/v1/backup-codes/events/idp" 2>relay.log &
ended="$ended $!"
until grep -q address= relay.log; do sleep 0.1; done
sleep 3
push() {
    enrollment_event "$1" backup-codes | curl -sS -o said -w 'the relay answers %{http_code}\n' -H 'Content-Type: application/secevent+jwt' \
        --data-binary @- "http://127.0.0.1:$((port + 2))/idp"
}
push jane@example.com
as joe on-call refused 'ended' on_call "$(jwt joe backup-codes on-call)"

say "Automation brings a set that was made after it"
new_codes >third.txt
as rotator rotator rotate third.txt

say "Somebody with nothing but a login to the vault gets in by the vault's own identity token"
desk() {
    bao read -field=token identity/oidc/token/backup-codes | bao write backup-codes/retrieve/okta/jane@example.com role=people \
        reason="locked out, seen in person" jwt=-
}
as dora desk desk
say "… and not by the word of a group that the role does not name"
as joe on-call refused 'role:' desk

say "A reviewer reads who did what, and that nobody has changed it since"
review() {
    bao read -format=json backup-codes/history/okta/jane@example.com verify=true >history.json
    grep -o '"act": "[a-z]*"\|"subject": "[^"]*"\|"verified": [a-z]*' history.json
}
as rita reviewer review

say "No code is in what the vault audited, logged or stored"
cat first.txt second.txt third.txt >all.txt
sed 's/-//' all.txt >spelled.txt
grep -rFl -f all.txt -f spelled.txt audit.log server.log relay.log raft && exit 1 || [ $? -eq 1 ]
echo "none of $(wc -l <all.txt) codes; everything is in $folder"
