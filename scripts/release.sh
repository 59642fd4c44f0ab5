#!/usr/bin/env bash
# The binary as it is released, target/trained/creel: built, put under the gateway's load (bench/train.py), and built anew with the
# profile of that, so that what calls run is fast and together, and all else out of their way. Two builds with link-time
# optimisation: some twenty minutes on two cores. A second run finds everything there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$REPO_DIR"

scripts/setup.sh rust python load
host="$(rustc -vV | sed -n 's/^host: //p')"
# Only the tool of the compiler's own LLVM reads its profiles for certain.
profdata="$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"
if [ ! -x "$profdata" ]; then
  command -v rustup >/dev/null || die "llvm-profdata is missing beside rustc. Install Rust's component llvm-tools and run this again."
  retry rustup component add llvm-tools >/dev/null
  [ -x "$profdata" ] || die "rustup installed llvm-tools, but there is no $profdata"
fi

training="$REPO_DIR/target/training" trained="$REPO_DIR/target/trained"
raw="$training/raw" profile="$training/creel.profdata"

# build FOLDER FLAG...: for a named target, so that the flags are not for what runs while building. Encoded, for they have paths in
# them; what is released does not depend on flags of who builds it.
build() {
  local folder="$1" flags
  flags="$(printf '%s\x1f' "${@:2}")"
  CARGO_TARGET_DIR="$folder" CARGO_ENCODED_RUSTFLAGS="${flags%$'\x1f'}" \
    cargo build --locked --release --target "$host" -p creel --bin creel
}

say "building to be trained"
build "$training" "-Cprofile-generate=$raw"
learner="$training/$host/release/creel"
taught="$(sha256sum "$learner" bench/train.py | cut -d' ' -f1)"
if [ ! -f "$profile" ] || [ "$(cat "$profile.of" 2>/dev/null)" != "$taught" ]; then
  say "training"
  rm -rf "$raw"
  PATH="$PATH:/usr/sbin"
  CREEL_BIN="$learner" "$VENV_DIR/bin/python" bench/train.py
  "$profdata" merge --sparse -o "$profile" "$raw"
  printf '%s' "$taught" >"$profile.of"
fi
say "building with what was learnt"
linker="$REPO_DIR/scripts/link-hot-first.sh" made="$trained/$host/release"
# Cargo does not know that what the linker does may have changed.
[ "$made/creel" -nt "$linker" ] || rm -f "$made/creel" "$made/deps/creel-"*
export CREEL_RAN="$training/ran"
"$profdata" show --covered "$profile" >"$CREEL_RAN"
# Blocks that did not run, and those of panics, leave their functions.
build "$trained" "-Cprofile-use=$profile" "-Clinker=$linker" "-Cllvm-args=-enable-split-machine-functions -mfs-split-ehcode"
cp "$made/creel" "$trained/creel"
say "$trained/creel"
