#!/usr/bin/env bash
# The gateway against nginx as a plain reverse proxy and rolter, in the same run: scripts/bench.sh gateway|streams|growth.
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
name="${1:-gateway}"
if [ "$name" = gateway ]; then
  # In an environment of its own: it is compared with, and no part of the tests.
  if [ ! -x "$CREEL_CACHE/rolter/bin/rolter" ] || [ "$(cat "$CREEL_CACHE/rolter/version" 2>/dev/null)" != "$ROLTER_VERSION" ]; then
    python3 -m venv "$CREEL_CACHE/rolter"
    retry "$CREEL_CACHE/rolter/bin/pip" install --quiet --disable-pip-version-check "rolter==$ROLTER_VERSION"
    echo "$ROLTER_VERSION" >"$CREEL_CACHE/rolter/version"
  fi
  export CREEL_ROLTER="$CREEL_CACHE/rolter/bin/rolter"
fi
exec "$VENV_DIR/bin/python" "$REPO_DIR/bench/$name.py"
