# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A private store and mounts for the shell tests, and a way to run their parts with a bound on the time.
#
#   . tests/support/mount_fixture.sh
#   fixture_begin BUILD_DIR              private store under $VARVE_SCRATCH (default $TMPDIR or /tmp), removed at exit
#   start_volume NAME                    makes and mounts a volume; its directory is then in $MOUNT
#   part "what" SECONDS COMMAND...       runs a command or function; counts it as passed or failed
#   fixture_end                          prints "N passed, N failed"; status 1 if any failed
#
# Variables for the parts: VARVE (the program), VARVE_STORE (exported), SCRATCH, BUILD, MOUNT.

PASSED=0
FAILED=0
FAILED_PARTS=()

fixture_begin() {
  BUILD=$(cd "$1" 2>/dev/null && pwd) || { echo "there is no build directory $1" >&2; exit 2; }
  VARVE=$BUILD/mountd/varve
  [ -x "$VARVE" ] || { echo "there is no program $VARVE: build first" >&2; exit 2; }
  SCRATCH=$(mktemp -d "${VARVE_SCRATCH:-${TMPDIR:-/tmp}}/varve-test-XXXXXX") || exit 2
  # Other users go through it to the mounts.
  chmod 755 "$SCRATCH"
  export VARVE BUILD SCRATCH VARVE_STORE=$SCRATCH/store
  trap stop_all EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# varve ARGUMENTS...: the program with this store, no terminal and a bound.
varve() { timeout -k 5 "${VARVE_TIMEOUT:-120}" "$VARVE" "$@" </dev/null; }

is_mounted() { grep -qF " $1 fuse" /proc/self/mounts; }

start_volume() {
  varve volume create --name "$1" --size 0 >/dev/null || return 1
  varve_mount "$1"
}

# varve_mount NAME [DIR [OPTION...]]: mounts it, and says where in $MOUNT.
varve_mount() {
  MOUNT=${2:-$SCRATCH/mnt-$1}
  mkdir -p "$MOUNT"
  varve mount "$1" "$MOUNT" "${@:3}" || return 1
  is_mounted "$MOUNT" || { echo "varve mount $1 said yes but $MOUNT is not mounted" >&2; return 1; }
}

varve_umount() {
  varve umount "$1" || return 1
  ! is_mounted "$1" || { echo "varve umount said yes but $1 is still mounted" >&2; return 1; }
}

# The daemon's process id; empty when none runs.
daemon_pid() {
  varve status --json 2>/dev/null | python3 -c '
import json, sys
try:
    print(json.load(sys.stdin)["daemon"]["pid"])
except (ValueError, KeyError, TypeError):
    pass'
}

# Kills the daemon and the keeper of its mounts, which would start another one: the mounts are dead after this.
kill_daemon() {
  local pids
  pids=$(varve status --json 2>/dev/null | python3 -c '
import json, sys
status = json.load(sys.stdin)
keeper = status.get("keeper") or {}
print(keeper.get("pid") or "", status["daemon"]["pid"])') || { echo "no daemon to kill" >&2; return 1; }
  # In this order, and at once: a daemon without a keeper starts another one.
  # shellcheck disable=SC2086
  kill -KILL $pids
}

# crash_and_mount NAME DIR: kills the daemon as a crash would and mounts the volume again at the same place.
crash_and_mount() {
  kill_daemon || return 1
  varve mount "$1" "$2"
}

# True while process `1` runs; one that ended and was not reaped by its parent does not.
is_running() {
  local state
  state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null)
  [ -n "$state" ] || return 1
  # A killed process is a zombie while its other threads still end; they hold its locks and mounts.
  [ "$state" != Z ] || [ "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)" -gt 1 ]
}

# Waits up to 20 s for a process to end.
wait_gone() {
  local tries=0
  while is_running "$1"; do
    tries=$((tries + 1))
    [ "$tries" -le 200 ] || { echo "process $1 does not end" >&2; return 1; }
    sleep 0.1
  done
}

# Ends every mount and the daemon and removes the store, whatever state they are in.
stop_all() {
  local status=$? pid mount
  # A subshell that is killed before it has dropped this trap must leave everything alone.
  [ "$BASHPID" = "$$" ] || exit "$status"
  trap - EXIT INT TERM HUP
  [ -n "${SCRATCH:-}" ] && [ -d "$SCRATCH" ] || exit "$status"
  pid=$(VARVE_TIMEOUT=10 daemon_pid)
  while read -r mount; do
    VARVE_TIMEOUT=20 varve umount "$mount" >/dev/null 2>&1 || umount -l "$mount" 2>/dev/null ||
      fusermount3 -uz "$mount" 2>/dev/null
  done < <(awk -v under="$SCRATCH/" 'index($2, under) == 1 { print $2 }' /proc/self/mounts)
  VARVE_TIMEOUT=30 varve daemon stop >/dev/null 2>&1
  if [ -n "$pid" ] && is_running "$pid"; then
    kill -TERM "$pid" 2>/dev/null
    wait_gone "$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null
  fi
  if [ -n "${VARVE_KEEP:-}" ]; then
    echo "kept: $SCRATCH" >&2
  else
    timeout 120 rm -rf --one-file-system "$SCRATCH"
  fi
  exit "$status"
}

# part "what" SECONDS COMMAND...
part() {
  local what=$1 limit=$2 log=$SCRATCH/part.log started=$SECONDS job watch status
  shift 2
  # Job control gives the part, and the one that watches it, process groups of their own, so that all of each ends.
  set -m
  ( set +m; trap - EXIT; "$@" ) </dev/null >"$log" 2>&1 &
  job=$!
  ( set +m; sleep "$limit"; echo "stopped after $limit s" >>"$log"
    kill -TERM -- "-$job"; sleep 10; kill -KILL -- "-$job" ) >/dev/null 2>&1 </dev/null &
  watch=$!
  set +m
  wait "$job" && status=0 || status=$?
  kill -TERM -- "-$watch" 2>/dev/null
  wait "$watch" 2>/dev/null
  if [ "$status" -eq 0 ]; then
    PASSED=$((PASSED + 1))
    printf 'ok    %-50s %4d s\n' "$what" $((SECONDS - started))
    grep -E '^(note|not run):' "$log" | sed 's/^/      /'
  else
    FAILED=$((FAILED + 1))
    FAILED_PARTS+=("$what")
    printf 'FAIL  %-50s %4d s (status %d)\n' "$what" $((SECONDS - started)) "$status"
    tail -n "${VARVE_LOG_LINES:-60}" "$log" | sed 's/^/    | /'
  fi
  return 0
}

fixture_end() {
  [ "$FAILED" -eq 0 ] || printf 'failed: %s\n' "${FAILED_PARTS[@]}"
  echo "$PASSED passed, $FAILED failed"
  [ "$FAILED" -eq 0 ]
}
