# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# SQLite on a volume. Each writer logs, outside the volume, what was acknowledged to it.

load=${root:?}/tests/apps/sqlite_load.py

# new_log NAME: an empty log of acknowledged transactions.
new_log() { : >"$SCRATCH/$1.log" && echo "$SCRATCH/$1.log"; }

# Waits up to 60 s until `file` has at least `lines` lines.
wait_for_lines() {
  local tries=0
  until [ "$(wc -l <"$1")" -ge "$2" ]; do
    tries=$((tries + 1))
    [ "$tries" -le 600 ] || { echo "$1 does not get $2 lines" >&2; return 1; }
    sleep 0.1
  done
}

sqlite_two_writers() {
  local database=$1 mode=$2 count=$3 one two first second
  one=$(new_log "two-$mode-1") two=$(new_log "two-$mode-2")
  python3 "$load" write "$database" "$mode" 1 "$count" "$one" & first=$!
  python3 "$load" write "$database" "$mode" 2 "$count" "$two" & second=$!
  wait "$first" && wait "$second" || return 1
  [ "$(cat "$one" "$two" | wc -l)" -eq $((2 * count)) ] || { echo "a writer gave up" >&2; return 1; }
  [ "$mode" != wal ] || python3 "$load" checkpoint "$database" || return 1
  python3 "$load" check "$database" "$one" "$two"
}

sqlite_killed_writer() {
  local database=$1 mode=$2 round log victim
  log=$(new_log "killed-$mode")
  for round in 1 2 3; do
    python3 "$load" write "$database" "$mode" "$round" 100000 "$log" &
    victim=$!
    wait_for_lines "$log" $((round * 40)) || return 1
    kill -KILL "$victim"
    wait "$victim" 2>/dev/null
    python3 "$load" check "$database" "$log" || return 1
    [ "$mode" != wal ] || python3 "$load" checkpoint "$database" || return 1
  done
}

sqlite_killed_daemon() {
  local volume=$1 mount=$2 mode=$3 database=$2/daemon-$3.db round log writer
  log=$(new_log "daemon-$mode")
  for round in 1 2 3; do
    python3 "$load" write "$database" "$mode" "$round" 100000 "$log" &
    writer=$!
    wait_for_lines "$log" $(($(wc -l <"$log") + 40)) || return 1
    kill_daemon || return 1
    # By its path a writer that lives on would find the directory below, or the new mount with its old file elsewhere.
    kill -KILL "$writer" 2>/dev/null
    wait "$writer" 2>/dev/null
    varve mount "$volume" "$mount" || return 1
    python3 "$load" check "$database" "$log" || return 1
  done
}

# Everything acknowledged before the snapshot command is in the snapshot, and a clone of it works.
sqlite_snapshot() {
  local volume=$1 mount=$2 mode=$3 database=$2/snapshot-$3.db log before writer view=$SCRATCH/mnt-sqlite-clone-$3
  log=$(new_log "snapshot-$mode")
  python3 "$load" write "$database" "$mode" 1 100000 "$log" &
  writer=$!
  wait_for_lines "$log" 60 || return 1
  before=$(new_log "snapshot-before-$mode")
  grep -E '^1 [0-9]+$' "$log" | head -n 60 >"$before"
  varve snapshot create --name "during-$mode" --volume "$volume" || return 1
  kill -KILL "$writer"
  wait "$writer" 2>/dev/null
  varve clone "$volume@during-$mode" "clone-$mode" || return 1
  varve_mount "clone-$mode" "$view" || return 1
  python3 "$load" check "$view/snapshot-$mode.db" "$before" || return 1
  python3 "$load" write "$view/snapshot-$mode.db" "$mode" 2 20 "$before" || return 1
  python3 "$load" check "$view/snapshot-$mode.db" "$before" || return 1
  varve_umount "$view"
}
