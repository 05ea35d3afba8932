#!/bin/sh
# The drill: everything that is done in an emergency, with the real key, against an account that opens nothing. It asks no provider.
#
#   drill.sh auth/jwt            where the engine is a server of its own
#   drill.sh auth/break-glass    where it is mounted in a vault: auth/ and the NAME of break-glass.conf
#
# TICKET [INC-0] is the drill's ticket. Ends with 0 if all of it worked; every other end is a finding.
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
. "${BREAK_GLASS_CONF:-$here/break-glass.conf}"
login=${1:?"auth/jwt or auth/break-glass"}
ticket=${TICKET:-INC-0}
account=drill/break-glass
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
# A home of its own: whoever drills keeps their own token, and an emergency's open request stays open.
HOME=$work
export HOME
unset BAO_TOKEN VAULT_TOKEN XDG_STATE_HOME

step() { printf '\n## %s\n' "$*"; }

# Each role has a login of its own, which can do nothing but what that role needs.
log_in() { "$here/break-glass-jwt" | bao write -field=token "$login/login" role="$1" jwt=- >"$HOME/.vault-token"; }

step "1. Three codes that open nothing"
for _ in 1 2 3; do openssl rand -hex 5; done >"$work/codes"
log_in "$NAME-drill"
"$here/break-glass-jwt" | sparekey import "$account" "$work/codes" --role "$NAME-drill" --jwt-file - --yes
bao token revoke -self

step "2. The key signs, and its word opens the login of an emergency"
log_in "$NAME"
bao token lookup | grep -E '^(path|ttl|policies) '

step "3. One of them comes out, and it is the right one"
sparekey get "$account" --role "$NAME" --ticket "$ticket" --reason "break-glass drill" --json \
    --jwt-command "'$here/break-glass-jwt'" >"$work/answer"
grep -q "\"$(head -n 1 "$work/codes")\"" "$work/answer" || { echo "another code than the first came out" >&2 && exit 1; }
sparekey outcome "$account" unused --note "drill" --jwt-command "'$here/break-glass-jwt'"

step "4. Nothing else opens: no other account, and nothing without a ticket"
for other in "get drill/none --ticket $ticket" "get $account --another"; do
    if sparekey $other --role "$NAME" --reason drill --json --jwt-command "'$here/break-glass-jwt'" >"$work/answer" 2>"$work/said"; then
        echo "a code came out by: sparekey $other" >&2
        exit 1
    fi
    tail -n 1 "$work/said"
done

step "5. It stands in the history, and nobody has changed that since"
bao read -format=json "backup-codes/history/$account" verify=true >"$work/history"
grep -E '"(act|at|subject|ticket|verified)"' "$work/history" | tail -n 12
grep -q '"verified": true' "$work/history"

step "6. The token ends"
bao token revoke -self
printf '\nNow look: the alarm must have rung (tripwire.sh), and somebody must have come to ask you why.\n'
