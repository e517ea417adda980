# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Our own sources are checked out, configured, built and run inside a volume.

compile_sources() {
  local root=$1 work=$2/varve
  git_source "$root" "$work" || return 1
  cmake -S "$work" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS='-O0 -g0' \
    -DVARVE_SYSTEM_LIBFUSE=ON >/dev/null || return 1
  ninja -C "$work/build" varve_exerciser varve_namespace_stress varve_store >"$SCRATCH/compile.log" 2>&1 ||
    { tail -n 30 "$SCRATCH/compile.log"; return 1; }
  "$work/build/tests/posix/varve_exerciser" --ops 2000 "$2/exercised" || return 1
  "$work/build/tests/posix/varve_namespace_stress" --ops 300 "$2" || return 1
  # Nothing changed, so nothing is built: times are exact enough for a build tool.
  ninja -C "$work/build" varve_exerciser | grep -q 'no work to do'
}
