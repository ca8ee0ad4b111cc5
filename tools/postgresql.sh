#!/usr/bin/env bash
# Run a command beside a private PostgreSQL server, which is gone when the command ends:
#   tools/postgresql.sh .venv/bin/python -m pytest -m postgresql
# As root on Debian it installs PostgreSQL where it is missing. The server listens on a socket in a folder of its own alone.
set -euo pipefail
if [ $# -eq 0 ]; then
    sed -n '2,4s/^# //p' "$0"
    exit 2
fi
found() { command -v initdb || ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -1; }
if [ -z "$(found)" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install --no-install-recommends -y postgresql; } >&2
fi
if [ -z "$(found)" ]; then
    echo "PostgreSQL is not installed, and only root on Debian can have it installed: apt-get install postgresql" >&2
    exit 3
fi
bin=$(dirname "$(readlink -f "$(found)")")
folder=$(mktemp -d /tmp/medmesh-postgresql.XXXXXX)
as=()
if [ "$(id -u)" = 0 ]; then # the server refuses to run as root
    chown postgres "$folder"
    as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
stop() {
    (cd / && "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate stop) >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap stop EXIT
(
    cd /
    "${as[@]}" "$bin/initdb" -D "$folder/data" -U medmesh -A trust -E UTF8 --no-locale --no-sync >/dev/null
    "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -t 60 \
        -o "-c listen_addresses='' -c unix_socket_directories='$folder' -c unix_socket_permissions=0777 -c fsync=off" start >/dev/null
)
chmod 755 "$folder"
export MEDMESH_TEST_POSTGRESQL="postgresql://medmesh@/postgres?host=$folder"
"$@"
