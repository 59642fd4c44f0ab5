#!/usr/bin/env bash
# All tests, from a fresh clone: `make test`, and so CI. Stops at the first stage that fails and says which.
#
# The Python tests use the debug binary: nextest has just built it (with optimised dependencies), so it is free,
# while the demo profile would compile some 200 crates a second time: minutes on two cores, to save seconds.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$REPO_DIR"

summary=()
started_all="$(now)"
current=""

finish() {
  local rc=$?
  if [ -n "$current" ]; then summary+=("FAILED  $current"); fi
  printf '\nstages of make test:\n' >&2
  printf '  %s\n' "${summary[@]}" >&2
  if [ "$rc" = 0 ]; then say "all stages done in $(($(now) - started_all)) s"; else say "make test FAILED in: ${current:-start} (exit $rc)"; fi
}
trap finish EXIT

# stage NAME COMMAND…
stage() {
  local name="$1" started
  shift
  current="$name"
  say ""
  say "=== $name"
  started="$(now)"
  "$@"
  say "=== $name: $(($(now) - started)) s"
  summary+=("$(printf '%4d s  %s' "$(($(now) - started))" "$name")")
  current=""
}

rust_tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    scripts/with-postgres.sh cargo nextest run --locked --workspace
  else
    scripts/with-postgres.sh cargo test --locked --workspace
  fi
}

# With the tests, as the stage before: without them cargo selects other features of dependencies and builds dozens anew.
binary() { cargo build --locked --workspace --all-targets; }

conformance() {
  CREEL_BIN="$REPO_DIR/target/debug/creel" scripts/with-postgres.sh \
    "$VENV_DIR/bin/python" -m pytest tests/conformance -q -p no:cacheprovider --durations=5
}

python_tests() {
  CREEL_BIN="$REPO_DIR/target/debug/creel" scripts/with-postgres.sh \
    "$VENV_DIR/bin/python" -m pytest tests --ignore=tests/conformance -q -p no:cacheprovider --durations=5 \
    -n 2 --dist loadfile
}

scripts_parse() {
  local script
  for script in scripts/*.sh .ci/run; do bash -n "$script"; done
}

# One lock and one download for all the cargo calls that follow.
fetch() { retry cargo fetch --locked --quiet; }

stage "set-up" scripts/setup.sh rust tools postgres python openclaw typescript
stage "scripts parse" scripts_parse
stage "download crates" fetch
stage "rustfmt" cargo fmt --all --check
stage "clippy" cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
stage "generated code is current" cargo run --locked --quiet -p xtask -- gen-ops --check
if command -v cargo-deny >/dev/null; then stage "cargo deny" cargo deny --offline check bans licenses sources; fi
stage "Rust tests on SQLite and PostgreSQL" rust_tests
stage "build creel" binary
stage "conformance: every operation by the official SDKs, SQLite and PostgreSQL" conformance
stage "Python tests: real server, real OpenClaw, official SDKs" python_tests
