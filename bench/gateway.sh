#!/usr/bin/env bash
# The gateway against nginx as a plain reverse proxy, in the same run: scripts/bench.sh gateway.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

missing=()
PATH="$PATH:/usr/sbin"
for tool in nginx wrk; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "this benchmark needs ${missing[*]}: install them (Debian's names) and run it again"
  fi
  # Debian starts a server of its own when nginx is installed, unless the machine's policy says no.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  retry apt-get -qq update >/dev/null
  retry apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
  [ -z "$(trap -p EXIT)" ] || { rm -f "$policy"; trap - EXIT; }
fi
exec "$VENV_DIR/bin/python" "$REPO_DIR/bench/gateway.py" "$@"
