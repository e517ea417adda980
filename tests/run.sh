#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing, builds, and runs every test.
#
#   tests/run.sh [--help] [STAGE...]      all stages without arguments, in the order of the list
#
# Prints each stage with its time, then "N passed, N failed"; status 1 if any failed.
#
#   VARVE_BUILD_ROOT     where the builds go (default build)
#   VARVE_STAGE_SECONDS  the longest a stage may take (default 5400)
#   VARVE_FUZZ_SECONDS   how long each fuzz target runs (default 3)
#   PJDFSTEST            a checkout of the pjdfstest suite, for the stage posix
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
root=$PWD

stage_list='layers          includes never run up the layers, licence lines, file sizes
format          clang-format
gcc             g++, optimised: all unit, model, crash and format tests
cli             the command line against a daemon
posix           POSIX suites on mounted volumes
applications    SQLite, PostgreSQL, git, tar and a compiler on mounted volumes
containers      dockerd, Swarm, Podman, the examples and the Debian package
fuzz            libFuzzer on every decoder for a few seconds each, from the kept corpus
limits          a full disk, and the daemon in a memory cgroup
clang           clang with thread-safety analysis; all tests under address and undefined-behaviour sanitizers
libfuse-system  the daemon with the system'"'"'s libfuse
tsan            the concurrent tests under the thread sanitizer
tidy            clang-tidy
quickstart      examples/quickstart.sh'
mapfile -t all_stages < <(awk '{ print $1 }' <<<"$stage_list")

build_root=${VARVE_BUILD_ROOT:-build}
case $build_root in /*) ;; *) build_root=$root/$build_root ;; esac
jobs=$(nproc 2>/dev/null || echo 2)

export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 CLICOLOR=0 GTEST_COLOR=no
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:abort_on_error=0
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:die_after_fork=0:suppressions=$root/tests/tsan.supp
symbolizer=$(command -v llvm-symbolizer-14 || command -v llvm-symbolizer || true)
if [ -n "$symbolizer" ]; then export ASAN_SYMBOLIZER_PATH=$symbolizer TSAN_SYMBOLIZER_PATH=$symbolizer; fi
unset VARVE_STORE

# configure NAME [CMAKE OPTION...]: the build directory $build_root/NAME
configure() {
  local name=$1 launcher=() tool
  shift
  for tool in cmake ninja pkg-config; do
    command -v "$tool" >/dev/null || { echo "there is no $tool: install the packages named above"; return 1; }
  done
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_C_COMPILER_LAUNCHER=ccache); fi
  cmake -S "$root" -B "$build_root/$name" -G Ninja -DVARVE_WERROR=ON "${launcher[@]}" "$@" >"$build_root/$name.log" 2>&1 || {
    tail -n 40 "$build_root/$name.log"
    return 1
  }
  grep -E '^(-- libfuse|CMake Warning|libfuse:)' "$build_root/$name.log" || true
}

# compile NAME [TARGET...]
#
# Compiling several files at once (VARVE_UNITY) takes a quarter of the time, but two files of one folder may not name a
# helper alike. Where they do, or where something is really wrong, the files are compiled one by one.
compile() {
  local name=$1
  shift
  ninja --quiet -C "$build_root/$name" -j "$jobs" "$@" && return
  echo "$name: several files at once do not compile; now one by one"
  cmake -DVARVE_UNITY= "$build_root/$name" >"$build_root/$name.log" 2>&1 && ninja --quiet -C "$build_root/$name" -j "$jobs" "$@"
}

# run_ctest NAME [CTEST OPTION...]
run_ctest() {
  local name=$1
  shift
  ctest --test-dir "$build_root/$name" -j 2 --output-on-failure --timeout 300 --no-tests=error "$@" |
    grep -vE '^ *(Start +[0-9]+:|[0-9]+/[0-9]+ Test +#[0-9]+: .* Passed )'
}

# The optimised build that several stages use.
gcc_build() {
  configure gcc -DCMAKE_CXX_COMPILER=g++ -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DVARVE_BENCH=ON -DVARVE_UNITY=tests
  compile gcc
}

# clang_build NAME SANITIZER [TARGET...]
clang_build() {
  local name=$1 sanitizer=$2
  shift 2
  configure "$name" -DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_C_COMPILER=clang-14 -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_CXX_FLAGS_DEBUG='-O1 -g1' -DVARVE_SANITIZE="$sanitizer" -DVARVE_UNITY=all
  compile "$name" "$@"
}

# The C++ files that exist, by name.
sources() {
  { git -c safe.directory='*' ls-files --cached --others --exclude-standard -- '*.h' '*.cc' 2>/dev/null ||
    find store snapshot fs mountd tests examples -name '*.h' -o -name '*.cc'; } | sort -u |
    while read -r file; do if [ -f "$file" ]; then echo "$file"; fi; done
}

stage_layers() { bash tests/check_layers.sh; }

stage_format() {
  local said badly status=0
  said=$(sources | xargs -r -d '\n' -n 50 -P "$jobs" clang-format-14 --dry-run -Werror 2>&1) || status=$?
  badly=$(sed -nE 's/^([^: ]+):[0-9]+:[0-9]+: error: .*-Wclang-format-violations.*/\1/p' <<<"$said" | sort -u)
  if [ -n "$badly" ]; then
    printf 'format: clang-format-14 -i %s\n' "${badly//$'\n'/ }"
    return 1
  elif [ "$status" -ne 0 ]; then
    printf '%s\n' "$said"
    return 1
  fi
  echo "format: $(sources | wc -l) files"
}

stage_gcc() {
  gcc_build
  run_ctest gcc
}

stage_cli() {
  gcc_build
  bash tests/mountd/cli.sh "$build_root/gcc"
}

stage_posix() {
  gcc_build
  bash tests/posix/run.sh "$build_root/gcc"
}

stage_applications() {
  gcc_build
  bash tests/apps/run.sh "$build_root/gcc"
}

stage_containers() {
  gcc_build
  bash tests/containers/run.sh "$build_root/gcc"
}

stage_fuzz() {
  configure fuzz -DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_C_COMPILER=clang-14 -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_CXX_FLAGS_DEBUG='-O1 -g1' -DVARVE_SANITIZE=address -DVARVE_FUZZ=ON -DVARVE_UNITY=all
  compile fuzz varve_fuzz varve_fuzz_seeds
  bash tests/fuzz/run.sh --same "$build_root/fuzz" "${VARVE_FUZZ_SECONDS:-3}"
}

stage_limits() {
  gcc_build
  bash tests/limits/full_disk.sh "$build_root/gcc" ext4 btrfs
  bash tests/limits/bounded.sh "$build_root/gcc"
}

stage_clang() {
  clang_build clang address
  run_ctest clang
}

stage_libfuse-system() {
  configure libfuse-system -DCMAKE_CXX_COMPILER=g++ -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DVARVE_SYSTEM_LIBFUSE=ON -DVARVE_UNITY=tests
  compile libfuse-system varve varve_mountd_test varve_posix_test
  run_ctest libfuse-system -L '^mountd$'
  VARVE_POSIX_NO_TMPFILE=1 bash tests/posix/run.sh "$build_root/libfuse-system" suite
}

stage_tsan() {
  clang_build tsan thread varve varve_store_test varve_snapshot_test varve_fs_test varve_mountd_test
  run_ctest tsan -L '^(store|snapshot|fs|mountd)$'
}

# The compiler's front end costs more than the checks, so files are looked at several at once, as they are compiled.
stage_tidy() {
  local results status=0
  configure tidy -DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_C_COMPILER=clang-14 -DCMAKE_BUILD_TYPE=Debug -DVARVE_TESTS=OFF \
    -DVARVE_UNITY=all
  results=$(mktemp -d)
  # shellcheck disable=SC2016  # expanded by the inner shell
  jq -r '.[].file' "$build_root/tidy/compile_commands.json" | xargs -d '\n' -P "$jobs" -I{} sh -c '
    clang-tidy-14 --quiet --config-file="$1/.clang-tidy" --checks=-bugprone-suspicious-include --header-filter="^$1/(store|snapshot|fs|mountd)/" -p "$2" "$4" \
      >"$3/out.$$" 2>"$3/errors.$$" && exit
    cat "$3/out.$$"; grep -vE "^[0-9]+ warnings? " "$3/errors.$$"; exit 1' tidy "$root" "$build_root/tidy" "$results" {} || status=1
  [ "$status" -ne 0 ] || echo "tidy: $(find store snapshot fs mountd -name '*.cc' | wc -l) files are clean"
  rm -rf "$results"
  return "$status"
}

stage_quickstart() { VARVE_BUILD_ROOT=$build_root VARVE_WERROR=ON bash examples/quickstart.sh; }

is_stage() { printf '%s\n' "${all_stages[@]}" | grep -qxF -- "$1"; }

packages_for() {
  echo build test
  case " $* " in *' quickstart '*) echo example ;; esac
  case " $* " in *' containers '*) echo container package ;; esac
}

# Runs one stage in a shell of its own, with a bound; prints its time.
run_stage() {
  local name=$1 started=$SECONDS status=0 prefix=()
  printf '\n== %s\n' "$name"
  # Sanitizers of clang 14 and the address randomisation of newer kernels collide.
  case $name in clang | tsan | fuzz) if setarch -R true 2>/dev/null; then prefix=(setarch -R); fi ;; esac
  timeout -k 60 "${VARVE_STAGE_SECONDS:-5400}" "${prefix[@]}" bash tests/run.sh --stage "$name" </dev/null &
  child=$!
  wait "$child" || status=$?
  if [ "$status" -eq 0 ]; then
    passed+=("$name")
    printf '== %s passed in %d s\n' "$name" $((SECONDS - started))
  else
    failed+=("$name")
    printf '== %s FAILED in %d s (status %d)\n' "$name" $((SECONDS - started)) "$status"
  fi
}

main() {
  local name started=$SECONDS
  [ "$#" -gt 0 ] || set -- "${all_stages[@]}"
  for name in "$@"; do
    is_stage "$name" || { echo "there is no stage '$name'; there are: ${all_stages[*]}" >&2; exit 2; }
  done
  mkdir -p "$build_root"
  # shellcheck source=cmake/packages.sh
  . cmake/packages.sh
  # shellcheck disable=SC2046  # group names
  install_packages $(packages_for "$@") || echo "going on with what is installed" >&2
  passed=() failed=() child=''
  trap '[ -z "$child" ] || kill -TERM "$child" 2>/dev/null; exit 130' INT TERM
  for name in "$@"; do run_stage "$name"; done
  printf '\n%d s in all\n' $((SECONDS - started))
  [ "${#failed[@]}" -eq 0 ] || printf 'failed stage: %s\n' "${failed[@]}"
  echo "${#passed[@]} passed, ${#failed[@]} failed"
  [ "${#failed[@]}" -eq 0 ]
}

case ${1:-} in
  --help | -h)
    sed -n '3,13s/^# \{0,1\}//p' "$0"
    printf '\nStages:\n'
    printf '  %s\n' "${stage_list//$'\n'/$'\n'  }"
    ;;
  --stage)
    set -e
    mkdir -p "$build_root"
    "stage_$2"
    ;;
  *) main "$@" ;;
esac
