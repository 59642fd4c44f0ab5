#!/usr/bin/env bash
# The gateway against nginx as a plain reverse proxy and rolter, in the same run: scripts/bench.sh gateway|streams|growth.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

"$REPO_DIR/scripts/setup.sh" load
export PATH="$PATH:/usr/sbin"
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
