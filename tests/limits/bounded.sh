#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The daemon in a memory cgroup, under more of everything than fits into it: bytes, files, snapshots.
#
#   tests/limits/bounded.sh BUILD_DIR
#
# Prints each part with what the cgroup saw, then "N passed, N failed"; status 1 if any failed. Needs root, /dev/fuse and a
# memory controller (cgroup v1 or v2).
#
#   VARVE_BOUND_MIB        the cgroup's limit, page cache included (default 1024)
#   VARVE_BOUND_GIB        written in all (default 1)
#   VARVE_BOUND_FILES      small files (default 50000)
#   VARVE_BOUND_SNAPSHOTS  snapshots, with changes in between (default 100)
#   VARVE_BOUND_SECONDS    the longest a part may take (default 3600)
#   VARVE_BOUND_STAT_MS    the longest a statfs may take meanwhile (default 5000)
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../support/mount_fixture.sh"
fixture_begin "${1:?usage: tests/limits/bounded.sh BUILD_DIR}"
limit_mib=${VARVE_BOUND_MIB:-1024} gib=${VARVE_BOUND_GIB:-1} files=${VARVE_BOUND_FILES:-50000}
snapshots=${VARVE_BOUND_SNAPSHOTS:-100} seconds=${VARVE_BOUND_SECONDS:-3600} stat_ms=${VARVE_BOUND_STAT_MS:-5000}
export VARVE_TIMEOUT=600

# The group is made below that of this process, or below the root where that does not work.
make_group() {
  local name=varve-bound-$$
  if [ -d /sys/fs/cgroup/memory ]; then
    GROUP=/sys/fs/cgroup/memory/$name
    mkdir "$GROUP" && echo $((limit_mib << 20)) >"$GROUP/memory.limit_in_bytes" || return 1
    PEAK=$GROUP/memory.max_usage_in_bytes
  else
    GROUP=/sys/fs/cgroup/$name
    mkdir "$GROUP" && echo $((limit_mib << 20)) >"$GROUP/memory.max" || return 1
    PEAK=$GROUP/memory.peak
  fi
}
drop_group() {
  local tries=0
  until rmdir "$GROUP" 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -le 50 ] || return 1
    sleep 0.2
  done
}

# daemon_in_group: starts the daemon with its first byte already counted
daemon_in_group() {
  varve volume create v --size 0 >/dev/null || return 1
  # shellcheck disable=SC2016  # expanded by the inner shell
  sh -c 'echo $$ >"$1/cgroup.procs" && exec "$2" daemon run' sh "$GROUP" "$VARVE" </dev/null || return 1
  PID=$(daemon_pid)
  echo "$PID" >"$SCRATCH/pid"
  grep -qx "$PID" "$GROUP/cgroup.procs" || { echo "the daemon is not in the group"; return 1; }
  varve_mount v
}

# Parts run in shells of their own, so who the daemon is now is kept in a file.
# What every part ends with: the daemon is the one that started, and never held more than the group allows.
still_bounded() {
  local journal
  PID=$(cat "$SCRATCH/pid")
  [ "$(daemon_pid)" = "$PID" ] || { echo "the daemon ended: the group's memory was not enough"; return 1; }
  journal=$(du -sm "$VARVE_STORE/journal" | cut -f1)
  echo "note: resident at most $(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$PID/status") MiB (anonymous now $(awk '/^RssAnon/ { print int($2 / 1024) }' "/proc/$PID/status")), group at most $(($(cat "$PEAK") >> 20)) MiB, journal $journal MiB"
  [ "$journal" -le 400 ] || { echo "the journal has $journal MiB"; return 1; }
}

# What always asks the daemon is answered while something is written; the slowest is told, and may not take for ever.
looker() {
  python3 - "$1" "$2" "$stat_ms" <<'P'
import os, sys, time
mount, stop, most_ms = sys.argv[1:]
worst, count = 0.0, 0
while not os.path.exists(stop):
    start = time.monotonic()
    os.statvfs(mount)
    worst = max(worst, time.monotonic() - start)
    count += 1
    time.sleep(0.002)
print(f"note: slowest of {count} statvfs while writing: {worst * 1000:.0f} ms")
sys.exit(worst * 1000 > int(most_ms))
P
}

with_looker() {
  local stop=$SCRATCH/stop-looking status=0 look
  rm -f "$stop"
  looker "$SCRATCH/mnt-v" "$stop" &
  look=$!
  "$@" || status=$?
  : >"$stop"
  wait "$look" || { echo "a statfs took more than $stat_ms ms"; return 1; }
  return "$status"
}

write_much() {
  python3 - "$SCRATCH/mnt-v" "$gib" <<'P' || return 1
import hashlib, os, sys
mount, gib = sys.argv[1], int(sys.argv[2])
base = os.urandom(1 << 20)
sums = []
for number in range(gib):
    digest = hashlib.sha256()
    with open(f"{mount}/big-{number}", "wb") as file:
        for mib in range(1024):
            # Unlike in each 16 KiB block, so that nothing is stored once for all.
            block = bytearray(base)
            for at in range(0, 1 << 20, 16384):
                block[at:at + 8] = (number << 40 | mib << 20 | at).to_bytes(8, "little")
            file.write(block)
            if mib % 64 == 0:
                digest.update(block)
    sums.append(digest.hexdigest())
for number in range(gib):
    digest = hashlib.sha256()
    with open(f"{mount}/big-{number}", "rb") as file:
        for mib in range(0, 1024, 64):
            file.seek(mib << 20)
            digest.update(file.read(1 << 20))
    if digest.hexdigest() != sums[number]:
        sys.exit(f"big-{number} has other content")
P
}

make_many() {
  "$BUILD/tests/bench/make_files" "$SCRATCH/mnt-v" "$files" >"$SCRATCH/rate" || return 1
  echo "note: $(cat "$SCRATCH/rate") files a second"
  [ "$(find "$SCRATCH/mnt-v" -name 'f*' | wc -l)" -eq "$files" ] || { echo "files are missing"; return 1; }
}

snapshot_often() {
  local number started=$SECONDS
  for number in $(seq "$snapshots"); do
    echo "$number" >"$SCRATCH/mnt-v/changing"
    head -c 100000 /dev/urandom >"$SCRATCH/mnt-v/changing-too"
    varve snapshot create "v@s$number" >/dev/null || return 1
  done
  echo "note: $snapshots snapshots in $((SECONDS - started)) s"
  [ "$(varve snapshot ls -q | wc -l)" -eq "$snapshots" ] || return 1
  for number in 1 $((snapshots / 2)) "$snapshots"; do
    varve_mount "v@s$number" "$SCRATCH/old" || return 1
    [ "$(cat "$SCRATCH/old/changing")" = "$number" ] || { echo "snapshot $number shows other content"; return 1; }
    varve umount "$SCRATCH/old" || return 1
  done
}

bytes() { with_looker write_much && still_bounded; }
names() { with_looker make_many && still_bounded; }
cuts() { with_looker snapshot_often && still_bounded; }
after_a_kill() {
  kill_daemon && wait_gone "$PID" || return 1
  umount -l "$SCRATCH/mnt-v"
  sh -c 'echo $$ >"$1/cgroup.procs" && exec "$2" daemon run' sh "$GROUP" "$VARVE" </dev/null || return 1
  PID=$(daemon_pid)
  echo "$PID" >"$SCRATCH/pid"
  varve_mount v && [ "$(varve snapshot ls -q | wc -l)" -eq "$snapshots" ] || return 1
  [ "$(cat "$MOUNT/changing")" = "$snapshots" ] && still_bounded
}
give_back() {
  local number
  for number in $(seq "$snapshots"); do varve snapshot rm "v@s$number" >/dev/null || return 1; done
  rm -rf "$SCRATCH"/mnt-v/big-* && still_bounded
}

make_group || { echo "no memory cgroup can be made here" >&2; exit 2; }
trap 'varve daemon stop --force >/dev/null 2>&1; drop_group; stop_all' EXIT
daemon_in_group || { echo "the daemon does not start in $limit_mib MiB" >&2; exit 1; }
part "$gib GiB in $limit_mib MiB" "$seconds" bytes
part "$files files" "$seconds" names
part "$snapshots snapshots" "$seconds" cuts
part "the same after kill -9" "$seconds" after_a_kill
part "snapshots and files removed" "$seconds" give_back
fixture_end
