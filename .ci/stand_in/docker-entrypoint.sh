#!/bin/bash
# What the official postgres image's entrypoint does, as far as deploy/ and the tests rely on it: POSTGRES_USER,
# POSTGRES_PASSWORD, POSTGRES_DB (each also as X_FILE), POSTGRES_INITDB_ARGS, /docker-entrypoint-initdb.d.
set -euo pipefail
read_secret() {
    local file="$1_FILE"
    if [ -n "${!file:-}" ]; then
        export "$1=$(<"${!file}")"
    fi
    unset "$file"
}
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chown -R postgres: "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
read_secret POSTGRES_USER
read_secret POSTGRES_PASSWORD
read_secret POSTGRES_DB
user=${POSTGRES_USER:-postgres}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?set it: the database gets no empty password}"
    # shellcheck disable=SC2086 # several arguments are meant
    initdb --username="$user" --auth-host=scram-sha-256 --auth-local=trust \
        --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") ${POSTGRES_INITDB_ARGS:-}
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    pg_ctl --options="-c listen_addresses=''" --wait start
    if [ "${POSTGRES_DB:=$user}" != postgres ]; then
        createdb --username="$user" "$POSTGRES_DB"
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh) . "$file" ;;
            *.sql) psql --set=ON_ERROR_STOP=1 --no-psqlrc --username="$user" --dbname="$POSTGRES_DB" --file="$file" ;;
        esac
    done
    pg_ctl --mode=fast --wait stop
    echo "PostgreSQL init process complete; ready for start up."
fi
unset POSTGRES_PASSWORD
exec "$@"
