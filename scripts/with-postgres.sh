#!/usr/bin/env bash
# Runs a command beside a throw-away PostgreSQL: scripts/with-postgres.sh cargo test …
# The cluster is new, on a free loopback port, without fsync (unless CREEL_TEST_POSTGRES_DURABLE is set), and gone when
# the command ends, however it ends.
# The command finds it in CREEL_TEST_POSTGRES_URL.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ $# -gt 0 ] || die "usage: scripts/with-postgres.sh <command…>"

bin=""
for dir in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
  if [ -x "$dir/initdb" ]; then bin="$dir"; break; fi
done
if [ -z "$bin" ] && command -v initdb >/dev/null; then bin="$(dirname "$(readlink -f "$(command -v initdb)")")"; fi
[ -n "$bin" ] || die "PostgreSQL's programs are missing: run scripts/setup.sh postgres"

data="$(mktemp -d "${TMPDIR:-/tmp}/creel-postgres.XXXXXX")"
server=""
command_pid=""

# PostgreSQL refuses to run as root. --pdeathsig ends the server even where this script is killed with -9.
as_owner=(setpriv --pdeathsig QUIT --)
if [ "$(id -u)" = 0 ]; then
  id postgres >/dev/null 2>&1 || die "no user postgres: run scripts/setup.sh postgres"
  chown postgres "$data"
  as_owner=(setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups --pdeathsig QUIT --)
fi

tear_down() {
  trap '' INT TERM HUP
  if [ -n "$command_pid" ]; then kill -TERM "$command_pid" 2>/dev/null && wait "$command_pid" 2>/dev/null || true; fi
  if [ -n "$server" ]; then kill -QUIT "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; fi
  rm -rf "$data"
}
trap tear_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

cd "$data"
"${as_owner[@]}" "$bin/initdb" -D "$data/cluster" -U postgres -A trust --no-sync --no-locale -E UTF8 >"$data/initdb.log" 2>&1 ||
  { cat "$data/initdb.log" >&2; die "initdb failed"; }

lax=(-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_wal_size=128MB)
[ -z "${CREEL_TEST_POSTGRES_DURABLE:-}" ] || lax=()
port=""
for _ in 1 2 3 4 5; do
  port="$(free_port)"
  "${as_owner[@]}" "$bin/postgres" -D "$data/cluster" -p "$port" -k "$data" -c listen_addresses=127.0.0.1 \
    "${lax[@]}" -c max_connections=200 \
    -c shared_buffers=128MB >"$data/server.log" 2>&1 </dev/null &
  server=$!
  for _ in $(seq 300); do
    "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U postgres && break 2
    # It ended: most likely the port was taken between looking and binding.
    kill -0 "$server" 2>/dev/null || { server=""; continue 2; }
    sleep 0.1
  done
  break
done
if [ -z "$server" ] || ! "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U postgres; then
  cat "$data/server.log" >&2
  die "PostgreSQL did not start"
fi

cd "$OLDPWD"
export CREEL_TEST_POSTGRES_URL="postgres://postgres@127.0.0.1:$port/postgres"
# In the background, so that a signal to this script is handled at once and not only when the command ends.
"$@" <&0 &
command_pid=$!
rc=0
wait "$command_pid" || rc=$?
command_pid=""
if [ "$rc" != 0 ] && grep -q -E 'PANIC|FATAL:  (out of|sorry)' "$data/server.log" 2>/dev/null; then
  say "PostgreSQL's own log of this run:"
  tail -20 "$data/server.log" >&2
fi
exit "$rc"
