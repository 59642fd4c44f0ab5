#!/usr/bin/env bash
# Installs what building, testing and the demo need, outside the source tree. A second run finds the stamps and
# is done at once. Usage: scripts/setup.sh <part…>, with parts rust, tools, postgres, python, openclaw, typescript, or all.
#
# As root, system packages come by apt-get. Not root, nothing is forced: the script says what to install.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# What is installed must be readable for the users that agents run as.
umask 022

STAMPS="$CREEL_CACHE/stamps"

stamped() { [ "$(cat "$STAMPS/$1" 2>/dev/null)" = "$2" ]; }
stamp() { mkdir -p "$STAMPS" && printf '%s' "$2" >"$STAMPS/$1.new" && mv "$STAMPS/$1.new" "$STAMPS/$1"; }
has() { command -v "$1" >/dev/null 2>&1; }

apt_updated=0
# apt_install WHY PACKAGE…
apt_install() {
  local why="$1"
  shift
  if [ "$(id -u)" != 0 ] || ! has apt-get; then
    die "$why is missing. Install these (Debian's names) and run this again: $*"
  fi
  export DEBIAN_FRONTEND=noninteractive
  if [ "$apt_updated" = 0 ]; then
    retry apt-get -qq update >/dev/null
    apt_updated=1
  fi
  retry apt-get -qq install -y --no-install-recommends "$@" </dev/null >"$CREEL_CACHE/apt.log" 2>&1 ||
    { tail -20 "$CREEL_CACHE/apt.log" >&2; die "apt-get could not install: $*"; }
}

# at_least HAVE WANT: version comparison.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -1)" = "$2" ]; }

part_rust() {
  has cargo || die "cargo is missing. Install Rust $RUST_VERSION_MIN or newer with rustup (see https://rustup.rs)."
  local have
  have="$(rustc --version | cut -d' ' -f2)"
  at_least "$have" "$RUST_VERSION_MIN" || die "rustc is $have, Creel needs $RUST_VERSION_MIN: run 'rustup update stable'."
  grep -q "^rust-version = \"$RUST_VERSION_MIN\"" "$REPO_DIR/Cargo.toml" ||
    die "scripts/versions.sh and Cargo.toml name different Rust versions: make them equal."
  # SQLite and ring are compiled from C.
  has cc || apt_install "a C compiler" gcc libc6-dev
}

part_tools() {
  local need=()
  has make || need+=(make)
  has setpriv || need+=(util-linux)
  has curl || need+=(curl ca-certificates)
  # The process driver keeps an agent's user from the admin listener by a packet filter rule for that user.
  has nft || [ -x /usr/sbin/nft ] || need+=(nftables)
  [ ${#need[@]} = 0 ] && return 0
  if [ "$(id -u)" != 0 ] && [ "${need[*]}" = nftables ]; then return 0; fi # of use to root only
  apt_install "a system tool" "${need[@]}"
}

# Prints the folder of PostgreSQL's server programs: Debian's own before whatever is in the PATH.
postgres_bin() {
  local dir
  for dir in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then echo "$dir"; return 0; fi
  done
  if has initdb && has postgres; then dirname "$(readlink -f "$(command -v initdb)")"; return 0; fi
  return 1
}

part_postgres() {
  postgres_bin >/dev/null && return 0
  # Only the programs are wanted: a cluster of the machine's own would take port 5432 and memory for nothing.
  apt_install "PostgreSQL" postgresql-common
  if [ -f /etc/postgresql-common/createcluster.conf ]; then
    sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  fi
  apt_install "PostgreSQL" "$POSTGRES_PACKAGE"
  postgres_bin >/dev/null || die "PostgreSQL was installed but initdb was not found under /usr/lib/postgresql."
}

part_python() {
  has python3 || apt_install "Python 3" python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install "Python's venv module" python3-venv
  local requirements="$REPO_DIR/tests/requirements.txt" want
  want="$(python3 --version) $(sha256sum <"$requirements" | cut -c1-16)"
  if stamped python "$want" && "$VENV_DIR/bin/python" -c 'import pytest' 2>/dev/null; then return 0; fi
  rm -rf "$VENV_DIR"
  python3 -m venv "$VENV_DIR"
  retry "$VENV_DIR/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
  stamp python "$want"
}

# npm_install FOLDER PACKAGE@VERSION…: into a fresh folder that takes the final name only when complete.
npm_install() {
  local final="$1" new="$1.new.$$"
  shift
  rm -rf "$new" && mkdir -p "$new"
  printf '{"private": true}\n' >"$new/package.json"
  # Without install scripts: they would download from elsewhere, and OpenClaw works without them.
  (cd "$new" && retry npm install --no-audit --no-fund --no-progress --ignore-scripts --loglevel=error "$@" >/dev/null) ||
    { rm -rf "$new"; die "npm could not install $*"; }
  rm -rf "$final" && mv "$new" "$final"
}

# What puts load on the gateway and answers in place of a provider.
part_load() {
  PATH="$PATH:/usr/sbin"
  local need=() policy=/usr/sbin/policy-rc.d own=0
  has nginx || need+=(nginx)
  has wrk || need+=(wrk)
  [ ${#need[@]} = 0 ] && return 0
  # Debian starts a server of its own when nginx is installed, unless the machine's policy says no.
  if [ "$(id -u)" = 0 ] && [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    own=1
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt_install "what makes load" "${need[@]}"
  [ "$own" = 0 ] || { rm -f "$policy"; trap - EXIT; }
}

part_openclaw() {
  local want="$OPENCLAW_VERSION on node $NODE_VERSION"
  if stamped openclaw "$want" && [ -x "$NODE_BIN" ] && [ -f "$OPENCLAW_DIR/openclaw.mjs" ]; then return 0; fi
  case "$("$NODE_BIN" --version 2>/dev/null)" in
    "v$NODE_VERSION."*) ;;
    *)
      has npm || apt_install "npm" nodejs npm
      npm_install "$CREEL_CACHE/node" "$NODE_PACKAGE@$NODE_VERSION"
      "$NODE_BIN" --version >/dev/null || die "the installed Node does not run on this machine: $NODE_BIN"
      ;;
  esac
  if ! openclaw_version | grep -qF "$OPENCLAW_VERSION"; then
    has npm || apt_install "npm" nodejs npm
    npm_install "$CREEL_CACHE/openclaw" "openclaw@$OPENCLAW_VERSION"
    openclaw_version | grep -qF "$OPENCLAW_VERSION" || die "the installed OpenClaw does not answer --version: $OPENCLAW_DIR"
  fi
  stamp openclaw "$want"
}

part_typescript() {
  npm_sdks typescript openapi-core "@alicloud/openapi-core@$OPENAPI_CORE_VERSION"
  npm_sdks llm-sdks llm-sdks "openai@$OPENAI_NODE_VERSION" "@anthropic-ai/sdk@$ANTHROPIC_NODE_VERSION"
}

# npm_sdks STAMP FOLDER PACKAGE@VERSION…: in the cache, unless they are there.
npm_sdks() {
  local name="$1" final="$CREEL_CACHE/$2"
  shift 2
  if stamped "$name" "$*" && [ -d "$final/node_modules" ]; then return 0; fi
  has npm || apt_install "npm" nodejs npm
  npm_install "$final" "$@"
  stamp "$name" "$*"
}

# With a home of its own: OpenClaw may write there even to print its version.
openclaw_version() {
  local home rc=0
  home="$(mktemp -d)"
  HOME="$home" OPENCLAW_STATE_DIR="$home/state" "$NODE_BIN" "$OPENCLAW_DIR/openclaw.mjs" --version 2>/dev/null || rc=$?
  rm -rf "$home"
  return "$rc"
}

[ $# -gt 0 ] || die "usage: scripts/setup.sh <rust|tools|postgres|python|openclaw|typescript|load|all>…"
[ "$*" = all ] && set -- rust tools postgres python openclaw typescript
mkdir -p "$CREEL_CACHE/stamps"
# Two runs at once would write the same folders; the second waits and then finds everything there.
exec 9>"$CREEL_CACHE/.lock"
flock -n 9 || { say "another set-up is running, waiting for it"; flock 9; }

for part in "$@"; do
  case "$part" in rust | tools | postgres | python | openclaw | typescript | load) ;; *) die "no such part: $part" ;; esac
  started="$(now)"
  "part_$part"
  say "  set-up $part: $(($(now) - started)) s"
done
