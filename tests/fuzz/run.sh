#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Coverage-guided runs of the fuzz targets, each from the kept corpus and the seeds.
#
#   tests/fuzz/run.sh BUILD_DIR [SECONDS [TARGET...]]          each for SECONDS (default 3), going on from what the last runs learnt
#   tests/fuzz/run.sh --same BUILD_DIR [SECONDS [TARGET...]]   tries the same inputs in the same order each time, on every machine;
#                                                              how many depends on its speed
#   tests/fuzz/run.sh --keep BUILD_DIR [TARGET...]             puts what the last runs learnt, minimised, into tests/fuzz/corpus
#
# What is found stays in BUILD_DIR/findings, and is printed in base64.
# BUILD_DIR is a build with -DVARVE_FUZZ=ON (clang). Prints a line for each target; status 1 if anything was found. A finding
# is repeated with: VARVE_FUZZ_TARGET=TARGET BUILD_DIR/tests/fuzz/varve_fuzz FILE
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mode=
case ${1:-} in --keep | --same) mode=$1; shift ;; esac
build=$(cd "${1:?usage: tests/fuzz/run.sh [--same|--keep] BUILD_DIR [SECONDS [TARGET...]]}" && pwd) || exit 2
shift
seconds=3
if [ "$mode" != --keep ] && [ $# -gt 0 ]; then seconds=$1; shift; fi
fuzzer=$build/tests/fuzz/varve_fuzz
[ -x "$fuzzer" ] || { echo "there is no program $fuzzer: configure with -DVARVE_FUZZ=ON and build varve_fuzz" >&2; exit 2; }
[ $# -gt 0 ] || mapfile -t targets < <("$build/tests/fuzz/varve_fuzz_seeds" --list)
[ $# -eq 0 ] || targets=("$@")

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
# An expected refusal is no news.
export VARVE_LOG=error
LIMITS=(-max_len=16384 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1)
FILES_MAX=10 BYTES_MAX=20000

# fuzz TARGET: one run; the corpus that it extends is BUILD_DIR/corpus/TARGET
fuzz() {
  local target=$1 own=$build/corpus/$1 seeds=$build/seeds/$1 log=$build/fuzz-$1.log status=0 seed=() found
  if [ "$mode" = --same ]; then
    own=$build/same/$1 seed=(-seed=20261126)
    rm -rf "$own"
  fi
  rm -f "$build/findings/$target"-*
  mkdir -p "$own" "$seeds" "$build/findings" "$here/corpus/$target"
  "$build/tests/fuzz/varve_fuzz_seeds" "$seeds" "$target" || return 1
  VARVE_FUZZ_TARGET=$target "$fuzzer" "${LIMITS[@]}" "${seed[@]}" -max_total_time="$seconds" \
    -artifact_prefix="$build/findings/$target-" "$own" "$seeds" "$here/corpus/$target" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    echo "FOUND $target (status $status):"
    grep -vE '^(error|warn) |^#[0-9]+' "$log" | tail -n 40 | sed 's/^/    | /'
    for found in "$build/findings/$target"-*; do
      [ ! -f "$found" ] || { echo "${found##*/}, in base64:"; base64 -w 0 "$found"; echo; }
    done
    return 1
  fi
  printf 'ok    %-14s %9s runs, %5s edges\n' "$target" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
    "$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 | cut -d' ' -f2)"
}

# keep_corpus TARGET: of the inputs that together reach everything which was reached, a few of every size
keep_corpus() {
  local target=$1 merged=$build/merged/$1 file count=0 bytes=0 size every
  rm -rf "$merged"
  mkdir -p "$merged" "$here/corpus/$target"
  VARVE_FUZZ_TARGET=$target "$fuzzer" -merge=1 "${LIMITS[@]}" "$merged" "$here/corpus/$target" "$build/corpus/$target" \
    >"$build/merge-$target.log" 2>&1 </dev/null || { tail -n 5 "$build/merge-$target.log"; return 1; }
  # A name that a person gave stays: it is of something that went wrong once.
  find "$here/corpus/$target" -type f -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
  every=$((($(find "$merged" -type f | wc -l) + FILES_MAX - 1) / FILES_MAX))
  while read -r size file; do
    [ "$count" -lt "$FILES_MAX" ] && [ $((bytes + size)) -le "$BYTES_MAX" ] || continue
    cp "$merged/$file" "$here/corpus/$target/"
    count=$((count + 1)) bytes=$((bytes + size))
  done < <(find "$merged" -type f -printf '%s %f\n' | sort -n | awk -v every="$every" 'NR % every == 0')
  printf 'kept  %-14s %3d files, %6d bytes\n' "$target" "$count" "$bytes"
}

failed=0
for target in "${targets[@]}"; do
  if [ "$mode" = --keep ]; then keep_corpus "$target" || failed=1; else fuzz "$target" || failed=1; fi
done
exit "$failed"
