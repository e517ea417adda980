#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Mounts fresh volumes and holds them to POSIX from the outside.
#
#   tests/posix/run.sh BUILD_DIR [PART...]       parts: suite exerciser namespace pjdfstest (all without), and long
#
# `long` is a directory of a million entries, the exerciser at 100,000 operations and the namespace at 20,000, each seed plain, with snapshots, with
# remounts and with kills of the daemon: some 20 minutes.
#
# PJDFSTEST names a checkout of the pjdfstest suite; VARVE_POSIX_SEEDS the seeds (default "1 2 3 4").
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
here=$PWD
. tests/support/mount_fixture.sh
fixture_begin "${1:?usage: run.sh BUILD_DIR [suite|exerciser|namespace|pjdfstest ...]}"
shift
parts=("$@")
[ "${#parts[@]}" -gt 0 ] || parts=(suite exerciser namespace pjdfstest)
programs=$BUILD/tests/posix
seeds=${VARVE_POSIX_SEEDS:-1 2 3 4}

wanted() { case " ${parts[*]} " in *" $1 "*) return 0 ;; esac; return 1; }

# The test program in a directory of a volume.
suite() {
  VARVE_TEST_DIR=$1 "$programs/varve_posix_test" --gtest_brief=1
}

# exercise VOLUME DIR SEED OPS [OPTION...]
exercise() {
  local directory=$2 seed=$3 ops=$4
  shift 4
  "$programs/varve_exerciser" --seed "$seed" --ops "$ops" --max-size $((2 << 20)) "$@" "$directory/exercised-$seed" &&
    rm "$directory/exercised-$seed"
}

# Requests come through io_uring only while the kernel's switch is on; it is put back as it was.
uring_switch=/sys/module/fuse/parameters/enable_uring
over_uring() {
  local before status=0 directory=$SCRATCH/mnt-uring
  before=$(cat "$uring_switch")
  echo Y >"$uring_switch" && varve volume create --name uring --size 0 >/dev/null || return 1
  if ! varve_mount uring "$directory" --transport uring 2>"$SCRATCH/uring.err"; then
    cat "$SCRATCH/uring.err" >&2
    echo "$before" >"$uring_switch"
    grep -q 'this build of Varve uses a libfuse without io_uring' "$SCRATCH/uring.err"
    return
  fi
  varve status | grep -q 'mnt-uring (.*transport=uring)' &&
    suite "$directory" && exercise uring "$directory" 1 3000 && varve_umount "$directory" || status=1
  echo "$before" >"$uring_switch"
  return "$status"
}

# through_write_back SEED: where the kernel asks for the data of a file it must not leave out what it has not sent yet.
through_write_back() {
  varve volume create --name collected --size 0 >/dev/null && varve_mount collected "$SCRATCH/mnt-collected" -o writeback &&
    exercise collected "$MOUNT" "$1" 8000 && varve_umount "$MOUNT"
}

# The hooks run in shells of their own, so they are written out as programs.
write_hooks() {
  mkdir -p "$SCRATCH/hooks"
  cat >"$SCRATCH/hooks/snapshot" <<HOOK
#!/usr/bin/env bash
set -e
. "$here/tests/support/mount_fixture.sh"
varve snapshot create --name "step-\$1-\$VARVE_EXERCISER_STEP" --volume "\$2" >/dev/null
HOOK
  cat >"$SCRATCH/hooks/remount" <<HOOK
#!/usr/bin/env bash
set -e
. "$here/tests/support/mount_fixture.sh"
varve umount "\$2"
varve mount "\$1" "\$2"
HOOK
  cat >"$SCRATCH/hooks/crash" <<HOOK
#!/usr/bin/env bash
set -e
. "$here/tests/support/mount_fixture.sh"
crash_and_mount "\$1" "\$2"
HOOK
  chmod +x "$SCRATCH"/hooks/*
}

# Snapshot sees what the file was: rolled through while the volume goes on changing.
snapshot_is_frozen() {
  local volume=$1 directory=$2 view=$SCRATCH/mnt-frozen
  head -c 3000000 /dev/urandom >"$directory/frozen" || return 1
  cp "$directory/frozen" "$SCRATCH/frozen.expected" || return 1
  varve snapshot create --name frozen --volume "$volume" || return 1
  head -c 3000000 /dev/zero >"$directory/frozen" && rm "$directory/frozen" || return 1
  varve_mount "$volume@frozen" "$view" || return 1
  cmp "$SCRATCH/frozen.expected" "$view/frozen" || return 1
  ! touch "$view/new" 2>/dev/null || { echo "a snapshot could be written to" >&2; return 1; }
  varve_umount "$view"
}

# namespace_stress DIR SEED [OPTION...]
namespace_stress() {
  local directory=$1/seed-$2 seed=$2
  shift 2
  mkdir "$directory" && "$programs/varve_namespace_stress" --seed "$seed" "$@" "$directory"
}

# The tree that a stress left is the same after a remount, in a snapshot, and after the daemon was killed.
namespace_survives() {
  local volume=$1 directory=$2 before view=$SCRATCH/mnt-view
  "$programs/varve_namespace_stress" --keep --seed 9 --ops 3000 "$directory" || return 1
  before=$("$programs/varve_namespace_stress" --walk "$directory") || return 1
  echo "before: $before"
  same_tree "$directory" "$before" "at once" || return 1
  varve_umount "$directory" && varve_mount "$volume" "$directory" || return 1
  same_tree "$directory" "$before" "after a remount" || return 1
  varve snapshot create --name walked --volume "$volume" || return 1
  varve_mount "$volume@walked" "$view" || return 1
  same_tree "$view" "$before" "in a snapshot" || return 1
  varve_umount "$view" || return 1
  touch "$directory/namespace-stress/passing" && rm "$directory/namespace-stress/passing" || return 1
  crash_and_mount "$volume" "$directory" || return 1
  same_tree "$directory" "$before" "after kill -9 of the daemon"
}

same_tree() {
  local now
  now=$("$programs/varve_namespace_stress" --walk "$1") || return 1
  [ "$now" = "$2" ] || { echo "$3 the tree is different: $now" >&2; return 1; }
}

# exercise_with HOOK VOLUME DIR SEED OPS EVERY: with snapshots, remounts or crashes (or `nothing`) between operations.
exercise_with() {
  local hook=$1 volume=$2 directory=$3 seed=$4 ops=$5 every=$6 options=()
  case $hook in
    snapshot) options=(--hook-every "$every" --hook "$SCRATCH/hooks/snapshot $seed $volume") ;;
    remount | crash) options=(--hook-every "$every" --closed-hook "$SCRATCH/hooks/$hook $volume $directory") ;;
  esac
  exercise "$volume" "$directory" "$seed" "$ops" "${options[@]}"
}

if wanted suite; then
  part "mount a volume for the suite" 60 start_volume suite
  MOUNT=$SCRATCH/mnt-suite
  part "POSIX suite" 900 suite "$MOUNT"
  part "POSIX suite, a second time on the same volume" 900 suite "$MOUNT"
  if [ -w "$uring_switch" ]; then part "POSIX suite and exerciser over io_uring" 300 over_uring; fi
fi

if wanted exerciser; then
  write_hooks
  part "mount a volume for the exerciser" 60 start_volume exerciser
  MOUNT=$SCRATCH/mnt-exerciser
  for seed in $seeds; do
    part "exerciser, seed $seed" 300 exercise_with nothing exerciser "$MOUNT" "$seed" 10000 0
    part "exerciser with snapshots, seed $seed" 300 exercise_with snapshot exerciser "$MOUNT" "$seed" 6000 500
  done
  part "exerciser with remounts" 300 exercise_with remount exerciser "$MOUNT" 11 5000 500
  part "exerciser with kill -9 of the daemon" 300 exercise_with crash exerciser "$MOUNT" 12 5000 500
  part "a snapshot stays as it was" 120 snapshot_is_frozen exerciser "$MOUNT"
  part "exerciser through the kernel's write-back cache" 300 through_write_back 5
fi

if wanted namespace; then
  part "mount a volume for the namespace" 60 start_volume namespace
  MOUNT=$SCRATCH/mnt-namespace
  for seed in 1 2 3; do part "namespace stress, seed $seed" 300 namespace_stress "$MOUNT" "$seed"; done
  part "the namespace survives remount, snapshot and kill -9" 300 namespace_survives namespace "$MOUNT"
fi

if wanted pjdfstest; then
  part "mount a volume for pjdfstest" 60 start_volume pjdfstest
  part "pjdfstest" 1500 bash tests/posix/pjdfstest.sh "$SCRATCH/mnt-pjdfstest"
fi

if wanted long; then
  write_hooks
  part "mount a volume for the long runs" 60 start_volume long
  MOUNT=$SCRATCH/mnt-long
  part "a directory of a million entries" 1800 env VARVE_POSIX_ENTRIES=1000000 VARVE_TEST_DIR="$MOUNT" \
    "$programs/varve_posix_test" --gtest_brief=1 --gtest_filter=Directory.OfManyEntriesIsComplete
  for seed in $seeds; do
    for hook in nothing snapshot remount crash; do
      part "exerciser, 100,000 operations, $hook, seed $seed" 1800 exercise_with "$hook" long "$MOUNT" "$seed" 100000 2000
    done
    part "namespace stress, 20,000 operations a thread, seed $seed" 1800 namespace_stress "$MOUNT" "$seed" --ops 20000
  done
  for seed in 21 22 23 24 25 26 27 28; do
    part "namespace stress, seed $seed" 600 namespace_stress "$MOUNT" "$seed"
  done
fi

fixture_end
