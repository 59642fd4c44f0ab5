#!/usr/bin/env bash
# The figures of bench/: scripts/bench.sh [management|lists|agents|gateway|streams|growth|ledger|cluster|skills|installs]…; without
# a name all of them.
# Each prints a JSON line per figure. Everything stays on this machine and ends by itself. What is measured is what is
# released (scripts/release.sh); CREEL_BENCH_PROFILE=demo, or release, is built sooner.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$REPO_DIR"

scripts/setup.sh rust python postgres openclaw
profile="${CREEL_BENCH_PROFILE:-trained}" binary=""
if [ "$profile" = trained ]; then
  scripts/release.sh
  # What makes the load, and the ledger alone, are not released.
  profile=demo binary="$REPO_DIR/target/trained/creel"
fi
# One call: another selection of packages has other features, and builds half of the libraries anew.
cargo build --locked --quiet --profile "$profile" -p creel -p creel-control --bin creel --example api_load --example ledger_load \
  --example ledger_bench
export CREEL_BIN="${binary:-$REPO_DIR/target/$profile/creel}" CREEL_API_LOAD="$REPO_DIR/target/$profile/examples/api_load"
export CREEL_LEDGER_LOAD="$REPO_DIR/target/$profile/examples/ledger_load"
export CREEL_LEDGER_BENCH="$REPO_DIR/target/$profile/examples/ledger_bench"

[ $# -gt 0 ] || set -- management lists agents gateway streams growth ledger cluster skills installs
for name in "$@"; do
  say "=== bench: $name"
  case "$name" in
    gateway | streams | growth) bench/gateway.sh "$name" ;;
    ledger) CREEL_TEST_POSTGRES_DURABLE=1 scripts/with-postgres.sh "$VENV_DIR/bin/python" "bench/$name.py" ;;
    lists | cluster) scripts/with-postgres.sh "$VENV_DIR/bin/python" "bench/$name.py" ;;
    management | agents | installs) "$VENV_DIR/bin/python" "bench/$name.py" ;;
    skills)
      cargo build --locked --quiet --release -p creel-skills --example scan_corpus
      CREEL_SCAN_CORPUS="$REPO_DIR/target/release/examples/scan_corpus" "$VENV_DIR/bin/python" "bench/$name.py"
      ;;
    *) die "no benchmark $name: management, lists, agents, gateway, streams, growth, ledger, cluster, skills or installs" ;;
  esac
done
