# What `up`, `down`, `code` and `promote` have in common. To be read by a shell.

unset BAO_ADDR BAO_TOKEN VAULT_ADDR VAULT_TOKEN SPAREKEY_JWT SPAREKEY_PG_CONNECTION_URL SPAREKEY_DEV_DIR PGPASSWORD PGSERVICE XDG_STATE_HOME

say() { printf '\n## %s\n' "$*"; }

find_postgres() {
    POSTGRES_BIN=${POSTGRES_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
    POSTGRES_BIN=${POSTGRES_BIN:-$(pg_config --bindir 2>/dev/null || true)}
    [ -x "$POSTGRES_BIN/initdb" ] || { echo "no PostgreSQL: apt-get install postgresql, or POSTGRES_BIN=FOLDER" >&2 && exit 1; }
    as=
    [ "$(id -u)" -ne 0 ] && return
    as=${PG_USER:-$(id -un postgres 2>/dev/null || echo nobody)}
    # It may pass through this folder to its own, and read nothing else in it.
    chmod 711 "$folder"
    setpriv --reuid "$as" --regid "$(id -g "$as")" --clear-groups test -x "$folder" ||
        { echo "the user $as, who runs PostgreSQL, cannot reach $folder: name a folder elsewhere" >&2 && exit 1; }
}

give_to_postgres() { [ -z "$as" ] || chown "$as:$(id -gn "$as")" "$1"; }

as_postgres() ( # FOLDER COMMAND…
    cd "$1"
    shift
    exec ${as:+setpriv --reuid "$as" --regid "$(id -g "$as")" --clear-groups} "$@"
)

postgres() { # NAME PORT
    # Replaces the shell that starts it, so that its process id is the one that is written down.
    (
        cd "$folder/$1"
        exec ${as:+setpriv --reuid "$as" --regid "$(id -g "$as")" --clear-groups} "$POSTGRES_BIN/postgres" -D "$folder/$1/data" \
            -c listen_addresses=127.0.0.1 -c port="$2" -c unix_socket_directories= >>"$folder/$1.log" 2>&1
    ) &
    echo $! >"$folder/pids/$1"
    echo "$2" >"$folder/$1.port"
    until "$POSTGRES_BIN/pg_isready" -q -h 127.0.0.1 -p "$2"; do alive "$1" "$folder/$1.log"; done
    # What answers may be somebody else's, whose port it is.
    alive "$1" "$folder/$1.log"
}

sql() { # PORT STATEMENT…
    at=$1
    shift
    for statement; do
        PGPASSFILE=$folder/primary/pass as_postgres "$folder/primary" "$POSTGRES_BIN/psql" -XqAtw -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$at" \
            -U postgres -d postgres -c "$statement"
    done
}

node() { # NUMBER
    sparekey server --config "$folder/node-$1/sparekey.hcl" >>"$folder/node-$1/server.log" 2>&1 &
    echo $! >"$folder/pids/node-$1"
    until [ "$(health "$1")" != 000 ]; do alive "node-$1" "$folder/node-$1/server.log"; done
    alive "node-$1" "$folder/node-$1/server.log"
}

# Waits a little for something that shall be running.
alive() { # NAME LOG
    sleep 0.1
    kill -0 "$(cat "$folder/pids/$1")" 2>/dev/null || { echo "$1 has ended:" >&2 && cat "$2" >&2 && exit 1; }
}

# 200 while it serves, 503 while it is sealed, 501 before it is initialised, 000 if nobody answers.
health() { curl -s -o /dev/null -w '%{http_code}' "$(address "$1")/v1/sys/health" || true; }

until_unsealed() {
    until [ "$(health "$1")" = 200 ]; do alive "node-$1" "$folder/node-$1/server.log"; done
    echo "node-$1 serves at $(address "$1")"
}

address() { sed -n 's/^api_addr = "\(.*\)"/\1/p' "$folder/node-$1/sparekey.hcl"; }

administer() { # PATH JSON
    printf '%s' "$2" | curl -sS --fail-with-body -H "X-Vault-Token: $(cat "$folder/root-token")" --data-binary @- \
        "$(address 1)/v1/backup-codes/$1"
}

jwt() { sparekey dev jwt --dev-dir "$folder/issuer" --sub "$1" --aud sparekey; }

# One code of github/acme-owner, at this node. `--another`: each time another one.
code() { # NUMBER
    jwt joe | sparekey get github/acme-owner --another --json --address "$(address "$1")" --reason "phone lost" --jwt-file - >"$folder/answer"
    echo "node-$1 gives $(sed 's/.*"code": *"\([^"]*\)".*/\1/' "$folder/answer")"
}

# Ends what `up` started, by process id and only while that id is still the same program on the same folder. Nodes first.
take_down() { # FOLDER
    for name in node-1 node-2 node-3 standby primary; do
        [ -f "$1/pids/$name" ] || continue
        pid=$(cat "$1/pids/$name")
        signal=TERM
        # For PostgreSQL: break off sessions, and end in good order.
        case $name in standby | primary) signal=INT ;; esac
        if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$1/$name/"; then
            kill -s $signal "$pid" 2>/dev/null || true
            while tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$1/$name/"; do sleep 0.1; done
        fi
        rm -f "$1/pids/$name"
    done
    if [ -d "$1/pids" ]; then rmdir "$1/pids"; fi
    echo "nothing runs any more; the files are in $1"
}
