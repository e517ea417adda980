#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures a Varve volume beside ext4, bindfs and fuse-overlayfs, all four in turn, and prints a
# table of their speeds relative to ext4.
#
#   FSBENCH=fsbench.py compare.sh BUILD_DIR [GROUPS [ROUNDS [OPTION...]]]
#
# FSBENCH names the harness. GROUPS: meta,io,sync,tree,db,pg,dbench (default: all). ROUNDS: 3.
# OPTIONs go to the harness, such as --scale 0.2. In the environment:
#   COMPARE_DIR      where the directories are made; on the file system to compare with (/var/tmp)
#   COMPARE_OPTIONS  mount options of the volume
#   COMPARE_OUT      keeps the single figures in this file
# Needs root, bindfs and fuse-overlayfs. Removes everything that it has made.
set -eu

die() {
  echo "compare.sh: $1" >&2
  exit 2
}

[ $# -ge 1 ] || die "usage: FSBENCH=fsbench.py compare.sh BUILD_DIR [GROUPS [ROUNDS [OPTION...]]]"
[ -f "${FSBENCH:-}" ] || die "set FSBENCH to the path of the harness, fsbench.py"
[ -x "$1/mountd/varve" ] || die "$1 holds no mountd/varve: build the target varve there first"
[ "$(id -u)" = 0 ] || die "mounting the peers needs root"
for peer in bindfs fuse-overlayfs; do
  command -v "$peer" >/dev/null || die "$peer is missing: install it"
done

varve=$(realpath "$1/mountd/varve")
groups=${2:-meta,io,sync,tree,db,pg,dbench}
rounds=${3:-3}
shift $(($# < 3 ? $# : 3))

dir=$(mktemp -d "${COMPARE_DIR:-/var/tmp}/varve-compare.XXXXXX")
export VARVE_STORE="$dir/store"

cleanup() {
  set +e
  for point in bindfs overlay; do mountpoint -q "$dir/$point" && umount -l "$dir/$point"; done
  mountpoint -q "$dir/varve" && "$varve" umount "$dir/varve"
  "$varve" daemon stop >/dev/null 2>&1
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

chmod 755 "$dir" # PostgreSQL runs as another user
mkdir "$dir/ext4" "$dir/varve" "$dir/bindfs" "$dir/bindfs.data" \
  "$dir/overlay" "$dir/overlay.lower" "$dir/overlay.upper" "$dir/overlay.work"
"$varve" init >/dev/null
"$varve" mount --create ${COMPARE_OPTIONS:+-o "$COMPARE_OPTIONS"} compared "$dir/varve"
bindfs "$dir/bindfs.data" "$dir/bindfs"
fuse-overlayfs -o allow_other,lowerdir="$dir/overlay.lower",upperdir="$dir/overlay.upper" \
  -o workdir="$dir/overlay.work" "$dir/overlay"
pid=$("$varve" status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["daemon"]["pid"])')

out=${COMPARE_OUT:-$dir/figures}
: >"$out"
python3 "$FSBENCH" compare ext4="$dir/ext4" varve="$dir/varve" bindfs="$dir/bindfs" \
  fuse-overlayfs="$dir/overlay" --pid varve:"$pid" --groups "$groups" --rounds "$rounds" \
  --out "$out" "$@" >"$dir/log" || {
  cat "$dir/log"
  exit 1
}
grep '^#.*FAILED' "$out" || true
python3 "$FSBENCH" table "$out" --ref ext4
