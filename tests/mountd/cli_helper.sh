# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# mount(8) and fstab through the helper. All in a mount namespace of its own, where /sbin can be given the link.

section_helper() {
  can_mount || return
  ok volume create vol1
  ok snapshot create vol1@s
  mkdir -p "$SCRATCH/helper-mnt" "$SCRATCH/bin"
  ln -sfn "$VARVE" "$SCRATCH/mount.fuse.varve"
  ln -sfn "$VARVE" "$SCRATCH/bin/varve"
  helper 0 vol1 "$SCRATCH/helper-mnt" -o "rw,noatime,store=$VARVE_STORE"
  that 'the helper mounts' is_mounted "$SCRATCH/helper-mnt"
  echo x >"$SCRATCH/helper-mnt/x"
  helper 32 vol1 "$SCRATCH/helper-mnt" -o "store=$VARVE_STORE"
  ok umount vol1
  helper 0 vol1@s "$SCRATCH/helper-mnt" -n -t fuse.varve -o "defaults,nofail,_netdev,x-a=b,store=$VARVE_STORE"
  that 'a snapshot is mounted' is_mounted "$SCRATCH/helper-mnt"
  ok umount "$SCRATCH/helper-mnt"
  helper 0 vol1 "$SCRATCH/helper-mnt" -o "store=$VARVE_STORE" -r -s -v
  that 'it is read-only' grep -qE " $SCRATCH/helper-mnt fuse.varve ro," /proc/self/mounts
  ok umount "$SCRATCH/helper-mnt"
  helper 0 vol1 "$SCRATCH/helper-mnt" -f -o "store=$VARVE_STORE"
  that 'a fake mount mounts nothing' test -z "$(grep " $SCRATCH/helper-mnt " /proc/self/mounts)"
  helper 32 vol1 "$SCRATCH/helper-mnt" -o "bogus,store=$VARVE_STORE"
  that 'and says why' grep -q "'bogus' is unknown" "$SCRATCH/err"
  helper 32 none "$SCRATCH/helper-mnt" -o "store=$VARVE_STORE"
  helper 32 vol1 "$SCRATCH/none" -o "store=$VARVE_STORE"
  helper 1 vol1
  helper 1

  # mount(8) with the helper's directory laid over /sbin, and with mount.fuse3 alone
  that 'mount(8) finds the helper' in_namespace "
    mkdir $SCRATCH/sbin && cp -a /usr/sbin/mount* $SCRATCH/sbin/ 2>/dev/null
    ln -sfn $VARVE $SCRATCH/sbin/mount.fuse.varve
    mount --bind $SCRATCH/sbin /usr/sbin || exit 1
    mount -t fuse.varve vol1 $SCRATCH/helper-mnt -o noatime,store=$VARVE_STORE || exit 1
    test -e $SCRATCH/helper-mnt/x && umount $SCRATCH/helper-mnt"
  that 'mount(8) reads fstab' in_namespace "
    mount --bind $SCRATCH/sbin /usr/sbin || exit 1
    printf 'vol1 $SCRATCH/helper-mnt fuse.varve defaults,noauto,user,store=$VARVE_STORE 0 0\n' >$SCRATCH/fstab
    mount --fstab $SCRATCH/fstab $SCRATCH/helper-mnt || exit 1
    test -e $SCRATCH/helper-mnt/x && umount $SCRATCH/helper-mnt"
  if [ -x /usr/sbin/mount.fuse3 ] || [ -x /sbin/mount.fuse3 ]; then
    that 'mount(8) finds varve through mount.fuse3' in_namespace "
      PATH=$SCRATCH/bin:\$PATH mount.fuse3 vol1 $SCRATCH/helper-mnt -t fuse.varve -o noatime,store=$VARVE_STORE || exit 1
      test -e $SCRATCH/helper-mnt/x && umount $SCRATCH/helper-mnt"
  fi
}

# helper STATUS WORDS...
helper() {
  local wanted=$1
  shift
  env -u VARVE_STORE timeout 60 "$SCRATCH/mount.fuse.varve" "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
  STATUS=$?
  OUT=$(cat "$SCRATCH/out") ERR=$(cat "$SCRATCH/err")
  if [ "$STATUS" -eq "$wanted" ]; then pass; else fail "helper with $wanted: $*"; fi
}

# Runs a script in a mount namespace of its own; a daemon it starts is ended.
in_namespace() {
  varve daemon stop >/dev/null 2>&1
  timeout 60 unshare -m --propagation private bash -c "
    $1
    status=\$?
    env VARVE_STORE=$VARVE_STORE $VARVE daemon stop --force >/dev/null 2>&1
    exit \$status"
}
