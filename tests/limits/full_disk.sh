#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A store on a small disk of its own: what is accepted survives, what does not fit is refused at once, removing works when
# nothing else does, and the daemon goes on when there is space again.
#
#   tests/limits/full_disk.sh BUILD_DIR [FILESYSTEM...]     ext4 without arguments; xfs and btrfs where mkfs is installed
#
# Prints each part, then "N passed, N failed"; status 1 if any failed. Needs root, a loop device and /dev/fuse. Everything
# is mounted in a mount namespace of its own, so nothing is left behind.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ "${1:-}" != --inside ]; then
  [ "$(id -u)" -eq 0 ] || { echo "a full disk needs root (a loop device and mounts)" >&2; exit 2; }
  exec unshare -m --propagation private bash "$0" --inside "$@"
fi
shift
. "$here/../support/mount_fixture.sh"
fixture_begin "${1:?usage: tests/limits/full_disk.sh BUILD_DIR [FILESYSTEM...]}"
shift
[ $# -gt 0 ] || set -- ext4
load=$here/full_disk_load.py
DISK_MIB=520

log() { echo "$SCRATCH/log-$1"; }

# make_disk FILESYSTEM: a new disk at $SCRATCH/disk with an empty store
make_disk() {
  DISK=$SCRATCH/disk VARVE_STORE=$SCRATCH/disk/store
  mkdir -p "$DISK"
  truncate -s "${DISK_MIB}M" "$SCRATCH/image" || return 1
  case $1 in
    ext4) mkfs.ext4 -qF -m 0 "$SCRATCH/image" ;;
    *) "mkfs.$1" -qf "$SCRATCH/image" ;;
  esac || return 1
  # The loop device goes away with the mount.
  mount -o loop "$SCRATCH/image" "$DISK"
}

drop_disk() {
  varve daemon stop --force >/dev/null 2>&1
  umount "$DISK" && rm -f "$SCRATCH/image" "$SCRATCH"/log-*
}

available() { df -B1 --output=avail "$1" | tail -n 1; }

fills_until_enospc() {
  start_volume data || return 1
  python3 "$load" fill "$MOUNT" "$(log fill)" 1 || return 1
  python3 "$load" names "$MOUNT" "$(log fill)" || return 1
  python3 "$load" check "$MOUNT" "$(log fill)" || return 1
  [ "$(available "$MOUNT")" -lt $((4 << 20)) ] || { echo "full, and df shows $(available "$MOUNT") bytes"; return 1; }
}

# Until the first answer of a second process the daemon is the one that met the full disk.
same_daemon() { [ "$(daemon_pid)" = "$1" ] || { echo "the daemon is another one"; return 1; }; }

survives_a_kill() {
  crash_and_mount data "$SCRATCH/mnt-data" && python3 "$load" check "$SCRATCH/mnt-data" "$(log fill)"
}

# Everything that gives space back works at 100 %; then there is space again, without a restart.
removes_at_full() {
  local pid before mnt=$SCRATCH/mnt-data
  pid=$(daemon_pid)
  varve volume create other && varve volume rm other || return 1
  varve volume purge || return 1
  if varve snapshot create data@full; then
    varve snapshot rm data@full || return 1
  else
    echo "note: a snapshot did not fit"
  fi
  before=$(available "$mnt")
  # Half of what the log names: the others stay for the next check.
  awk 'NR % 2 == 1 { print $1 }' "$(log fill)" | while read -r name; do rm "$mnt/$name" || exit 1; done || return 1
  awk 'NR % 2 == 0' "$(log fill)" >"$(log rest)"
  wait_for_space "$mnt" 30 || return 1
  echo "note: $(((($(available "$mnt") - before)) >> 20)) MiB came back"
  same_daemon "$pid" && python3 "$load" check "$mnt" "$(log rest)"
}

# wait_for_space DIRECTORY MIB: until a file of MIB fits; at most 30 s
wait_for_space() {
  local tries=0
  until python3 "$load" put "$1" probe "$2" 2>"$SCRATCH/put"; do
    tries=$((tries + 1))
    [ "$tries" -le 60 ] || { echo "no room for $2 MiB after 30 s: $(cat "$SCRATCH/put")"; return 1; }
    rm -f "$1/probe"
    sleep 0.5
  done
  rm "$1/probe"
}

# Another program takes everything, the reserve too: nothing accepted is lost, and all goes on when it leaves.
somebody_else_fills_it() {
  local pid mnt=$SCRATCH/mnt-data
  pid=$(daemon_pid)
  varve sync || return 1
  # What the commit after this needs is missing.
  python3 "$load" put "$mnt" late 8 && sha256sum <"$mnt/late" >"$SCRATCH/late"
  dd if=/dev/zero of="$DISK/hog" bs=1M status=none 2>/dev/null
  echo "$(available "$DISK") bytes are left to the store"
  python3 "$load" put "$mnt" refused 4 && { echo "4 MiB were accepted on a full disk"; return 1; }
  [ "$(cat "$mnt/late" | sha256sum)" = "$(cat "$SCRATCH/late")" ] || { echo "late is not readable"; return 1; }
  rm -f "$mnt/refused" || return 1
  timeout 20 "$VARVE" sync </dev/null && echo "sync works on a full disk, too"
  [ "$(cat "$mnt/late" | sha256sum)" = "$(cat "$SCRATCH/late")" ] || { echo "late is lost after a failed commit"; return 1; }
  rm "$DISK/hog"
  wait_for_space "$mnt" 8 || return 1
  varve sync && same_daemon "$pid" || return 1
  python3 "$load" check "$mnt" "$(log rest)" || return 1
  crash_and_mount data "$mnt" && [ "$(sha256sum <"$mnt/late")" = "$(cat "$SCRATCH/late")" ]
}

# With the kernel's write-back cache, write(2) is the kernel's word; fsync and close are ours.
write_back_cache() {
  local name mnt=$SCRATCH/mnt-data
  varve umount data && varve mount data "$mnt" -o writeback || return 1
  python3 "$load" cached "$mnt" "$(log cached)" 2 || return 1
  rm -f "$mnt"/2-*[02468] && wait_for_space "$mnt" 20 || return 1
  grep -v '^2-[0-9]*[02468] ' "$(log cached)" >"$(log kept)"
  python3 "$load" closed "$mnt" "$(log closed)" 3 || return 1
  crash_and_mount data "$mnt" || return 1
  for name in kept closed rest; do python3 "$load" check "$mnt" "$(log "$name")" || return 1; done
}

# A volume that has reached its own size says so, and the others go on.
quota() {
  local size wanted=20000000 mnt=$SCRATCH/mnt-small said
  rm -f "$SCRATCH"/mnt-data/[23]-*
  wait_for_space "$SCRATCH/mnt-data" 40 || return 1
  varve volume create small --size 20MB && varve_mount small "$mnt" || return 1
  size=$(df -B1 --output=size "$mnt" | tail -n 1)
  [ $((size - wanted)) -lt 1000000 ] && [ $((wanted - size)) -lt 1000000 ] || { echo "df shows $size bytes"; return 1; }
  said=$(python3 "$load" put "$mnt" big 30 2>&1) && { echo "30 MiB fit into 20 MB"; return 1; }
  case $said in EDQUOT | ENOSPC) ;; *) echo "the quota is $said"; return 1 ;; esac
  [ "$(stat -c %s "$mnt/big")" -le "$wanted" ] || { echo "more than the quota was accepted"; return 1; }
  python3 "$load" put "$SCRATCH/mnt-data" beside 5 || { echo "another volume is refused"; return 1; }
  rm "$mnt/big" && python3 "$load" put "$mnt" again 10 || { echo "a removed file's quota does not come back"; return 1; }
  varve umount small
}

ENOUGH=600
for filesystem in "$@"; do
  if ! command -v "mkfs.$filesystem" >/dev/null; then
    echo "not run: there is no mkfs.$filesystem"
    continue
  fi
  make_disk "$filesystem" || { echo "no $filesystem on a loop device" >&2; exit 2; }
  part "$filesystem: accepted or ENOSPC, never lost" "$ENOUGH" fills_until_enospc
  part "$filesystem: what was accepted survives kill -9" "$ENOUGH" survives_a_kill
  part "$filesystem: removing works at 100 %, space returns" "$ENOUGH" removes_at_full
  part "$filesystem: another program takes the rest" "$ENOUGH" somebody_else_fills_it
  rm -f "$DISK/hog"
  part "$filesystem: write-back cache: fsync and close tell" "$ENOUGH" write_back_cache
  part "$filesystem: quota of a volume" "$ENOUGH" quota
  part "$filesystem: the disk can be unmounted" 60 drop_disk
done
fixture_end
