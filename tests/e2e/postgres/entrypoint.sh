#!/bin/bash
# What the official image of PostgreSQL does when it starts, as far as the chart and docs/start/first-sync.yaml need it.
set -e
sockets="-k /var/run/postgresql"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") --encoding=UTF8 --auth=trust
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  pg_ctl --wait -o "-c listen_addresses= $sockets" start
  createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
  for script in /docker-entrypoint-initdb.d/*.sql; do
    [ ! -e "$script" ] || psql --username="$POSTGRES_USER" --set=ON_ERROR_STOP=1 --file="$script" "$POSTGRES_DB"
  done
  pg_ctl --wait --mode=fast stop
fi
exec postgres -h "*" $sockets
