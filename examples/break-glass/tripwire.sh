#!/bin/sh
# The alarm: has anything been done under the role break-glass? A job runs it every few minutes, on a machine of its own, and rings on every
# exit code but 0.
#
#   tripwire.sh [SINCE [ROLE]]
#
# SINCE [15m] is how far it looks back: longer than the time between two runs. ROLE [break-glass] is the NAME of another key. Exit codes: 0 nothing, 3 something (the acts are listed:
# time, account, act, subject, ticket), anything else: nobody could look, which is an alarm too.
set -eu

acts=$(sparekey report usage --role "${2:-break-glass}" --from "${1:-15m}" --csv)
acts=$(printf '%s\n' "$acts" | tail -n +2)
[ -n "$acts" ] || exit 0
printf 'The sealed key was used:\n%s\n' "$acts"
exit 3
