#!/bin/sh
# Registers sparekey with an OpenBao or Vault server, and mounts it if it is not mounted yet. Running it again changes nothing.
#
#   register.sh [--upgrade] [--name NAME] [--mount PATH] BINARY PLUGIN_DIRECTORY
#
# BINARY is the sparekey that shall run; PLUGIN_DIRECTORY is the server's plugin_directory, on this machine. On a cluster run it
# with --mount '' on every node but one, since each node has a directory of its own.
#
#   --upgrade      also lets the running mounts go over to BINARY; requests of that moment may have to be sent once more
#   --name NAME    the plugin's name in the catalog                       [sparekey]
#   --mount PATH   where it is mounted; empty for nowhere                 [backup-codes]
#
# It speaks through `bao`, or `vault` where there is no bao (BAO_CLI names another), with the address and token that these use.
set -eu

upgrade=no
name=sparekey
mount=backup-codes

usage() {
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
        --upgrade) upgrade=yes; shift ;;
        --name) [ $# -ge 2 ] || usage; name=$2; shift 2 ;;
        --mount) [ $# -ge 2 ] || usage; mount=$2; shift 2 ;;
        -*) usage ;;
        *) break ;;
    esac
done
[ $# -eq 2 ] || usage
binary=$1
directory=$2

fail() {
    echo "register.sh: $*" >&2
    exit 1
}

cli=${BAO_CLI:-}
for candidate in bao vault; do
    [ -n "$cli" ] || ! command -v "$candidate" >/dev/null 2>&1 || cli=$candidate
done
[ -n "$cli" ] || fail "neither bao nor vault is on the PATH"
[ -f "$binary" ] || fail "$binary is not a file"
[ -d "$directory" ] || fail "$directory is not a folder"

if command -v sha256sum >/dev/null 2>&1; then
    sum=$(sha256sum "$binary")
else
    sum=$(shasum -a 256 "$binary")
fi
sum=${sum%% *}

# Beside its place first, then over it: a plugin that is starting sees the whole of the old file or of the new one.
if ! cmp -s "$binary" "$directory/$name"; then
    beside="$directory/.$name.$$"
    trap 'rm -f "$beside"' EXIT
    cp "$binary" "$beside"
    chmod 0755 "$beside"
    mv -f "$beside" "$directory/$name"
    trap - EXIT
    echo "installed $directory/$name"
fi

"$cli" plugin register -sha256="$sum" -command="$name" secret "$name"

if [ "$upgrade" = yes ]; then
    "$cli" plugin reload -plugin="$name"
fi

if [ -n "$mount" ] && ! "$cli" read "sys/mounts/$mount" >/dev/null 2>&1; then
    "$cli" secrets enable -path="$mount" "$name"
fi
