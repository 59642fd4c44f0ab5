#!/usr/bin/env bash
# The linker of a trained release (scripts/release.sh): links as it is told, looks where the functions are that the training ran,
# and links again with those at the beginning, in the order they have. The system maps a program's code in pieces of 64 KiB, so
# a function that lies alone brings all of a piece into memory with it.
# CREEL_RAN names a file with the functions that ran, one a line, as "FUNCTION" or "UNIT;FUNCTION".
set -euo pipefail

output=""
for ((i = 1; i < $#; i++)); do
  [ "${!i}" != "-o" ] || { next=$((i + 1)) output="${!next}"; }
done
# What else is linked while building, and linkers that know no order of functions.
case "$output $*" in
  */deps/creel-*" "*-fuse-ld=lld*) ;;
  *) exec cc "$@" ;;
esac

named=()
for argument in "$@"; do
  [ "$argument" = "-Wl,--strip-all" ] || named+=("$argument")
done
cc "${named[@]}"
# A function that other units call may have its unit's number behind its name.
nm -n --defined-only "$output" | awk '
  NR == FNR { sub(/^.*;/, ""); ran[$0]; next }
  $2 ~ /^[tTwW]$/ { name = $3; sub(/\.llvm\.[0-9]+$/, "", name); if (name in ran) print $3 }
' "$CREEL_RAN" - >"$output.order"
[ -s "$output.order" ] || { echo "no function of $output is among those in $CREEL_RAN" >&2; exit 1; }

ordered=("-Wl,--symbol-ordering-file=$output.order" -Wl,--no-warn-symbol-ordering)
# A megabyte of relocations, which a start reads, in a sixtieth of the room, where the C library knows that form.
libc="$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)"
if [ -n "$libc" ] && [ "$(printf '%s\n' 2.36 "$libc" | sort -V | head -n1)" = 2.36 ]; then
  ordered+=(-Wl,-z,pack-relative-relocs)
fi
exec cc "$@" "${ordered[@]}"
