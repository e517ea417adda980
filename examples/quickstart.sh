#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing, builds Varve, and shows on real data: a volume, a snapshot, what changed, going back, and
# a clone inside a container. Everything lives in a private directory that is removed at the end.
#
#   examples/quickstart.sh [--podman] [--varve PROGRAM] [--keep]
#
#   --podman         use podman for the container; bubblewrap otherwise
#   --varve PROGRAM  use this program instead of building one
#   --keep           leave the store in place and say where
set -euo pipefail
cd "$(dirname "$0")/.."

container=bubblewrap program='' keep=''
while [ "$#" -gt 0 ]; do
  case $1 in
    --podman) container=podman ;;
    --varve) program=${2:?--varve needs a program} && shift ;;
    --keep) keep=yes ;;
    *) sed -n '6,10s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
  esac
  shift
done

title() { printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[01]m//g'; fi; }

# step "what" COMMAND...: runs it and prints how long it took. Commands that users would type are shown.
step() {
  local what=$1 started=$EPOCHREALTIME ended
  shift
  "$@" || { printf 'FAILED: %s\n' "$what" >&2; return 1; }
  ended=$EPOCHREALTIME
  printf '%10d ms  %s\n' $(((${ended/./} - ${started/./} + 500) / 1000)) "$what"
}

varve() { timeout -k 5 300 "$program" "$@" </dev/null; }

# run COMMAND...: shows a varve command, runs it, prints its time.
run() { step "$*" "$@"; }

build() {
  local directory=${VARVE_BUILD_ROOT:-build}/quickstart launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  mkdir -p "$directory"
  cmake -S . -B "$directory" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DVARVE_TESTS=OFF \
    -DVARVE_WERROR="${VARVE_WERROR:-OFF}" "${launcher[@]}" \
    >"$directory.log" 2>&1 || { tail -n 30 "$directory.log" >&2; return 1; }
  ninja --quiet -C "$directory" varve
  program=$(cd "$directory" && pwd)/mountd/varve
}

title "1. What is needed"
# shellcheck source=cmake/packages.sh
. cmake/packages.sh
groups=(example)
[ -n "$program" ] || groups+=(build)
[ "$container" != podman ] || groups+=(container)
step "packages: ${groups[*]}" install_packages "${groups[@]}"
[ -n "$program" ] || step "build" build
[ -e /dev/fuse ] || { echo "this machine has no /dev/fuse: load the module fuse, or pass the device to the container" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/varve-quickstart-XXXXXX")
export VARVE_STORE=$work/store
shop=$work/shop trial=$work/trial
mkdir "$shop" "$trial"

clean_up() {
  local status=$?
  trap - EXIT
  for mount in "$trial" "$shop"; do
    if grep -qF " $mount fuse" /proc/self/mounts; then varve umount "$mount" >/dev/null 2>&1 || umount -l "$mount" || true; fi
  done
  varve daemon stop >/dev/null 2>&1 || true
  if [ -n "$keep" ]; then
    echo "kept: VARVE_STORE=$VARVE_STORE"
  else
    rm -rf --one-file-system "$work"
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

title "2. A volume with real data"
headers=(/usr/include/*.h /usr/include/linux /usr/include/c++)
fill_tree() { mkdir "$shop/tree" && cp -a "${headers[@]}" "$shop/tree/"; }
fill_database() {
  sqlite3 "$shop/orders.db" "PRAGMA journal_mode=WAL; CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT, price REAL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    INSERT INTO orders SELECT i, 'item ' || (i * 7919 % 1000), i % 500 / 10.0 FROM n;" >/dev/null
}
# What the volume holds, in one line: names and contents of all files, and the database's own sum.
fingerprint() {
  (cd "$1" && find tree -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16 &&
    sqlite3 orders.db 'PRAGMA integrity_check; SELECT count(*), sum(price) FROM orders')  | tr '\n' ' '
}
run varve volume create --name shop
run varve mount shop "$shop"
step "copy $(find "${headers[@]}" | wc -l) system headers, $(du -scm "${headers[@]}" | tail -n 1 | cut -f1) MB" fill_tree
step "a SQLite database of 100,000 rows" fill_database
before=$(fingerprint "$shop")
echo "               holds $before"

title "3. A snapshot"
run varve snapshot create --name before --volume shop
run varve snapshot ls

title "4. An upgrade that goes wrong"
damage() {
  rm -rf "$shop/tree/linux"
  echo '#error "broken"' >"$shop/tree/stdio.h"
  mv "$shop/tree/string.h" "$shop/tree/strings-new.h"
  sqlite3 "$shop/orders.db" 'DELETE FROM orders WHERE id % 3 = 0; UPDATE orders SET price = 0 WHERE id < 500'
}
step "delete a directory, break a header, move a file, ruin the orders" damage
varve diff shop@before shop >"$work/changes"
run varve diff shop@before shop >/dev/null
grep -vE '^D /tree/linux/' "$work/changes" | sed 's/^/               /' | head -n 12
echo "               ... $(wc -l <"$work/changes") changes in all"

title "5. Back, while mounted"
run varve rollback shop before
after=$(fingerprint "$shop")
[ "$after" = "$before" ] || { echo "the volume holds $after, not what it held before" >&2; exit 1; }
echo "               holds $after: all as before"

title "6. A clone in a container"
run varve clone shop@before trial
run varve mount trial "$trial"
# Runs in the container: reads the tree, changes it, writes into it.
inside='set -e
  head -n 1 /data/tree/stdio.h >/dev/null
  find /data/tree -name "*.h" | wc -l >/data/headers-counted
  echo "written in the container" >/data/tree/stdio.h
  rm -r /data/tree/linux
  mkdir /data/new && echo hello >/data/new/file'
in_bubblewrap() {
  bwrap --unshare-pid --unshare-ipc --unshare-uts --unshare-net --die-with-parent --proc /proc --dev /dev --tmpfs /tmp \
    --ro-bind /bin/busybox /bin/busybox --bind "$trial" /data -- /bin/busybox sh -c "
      for tool in head find wc rm mkdir; do alias \$tool=\"/bin/busybox \$tool\"; done
      $inside"
}
in_podman() {
  local options=(--root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs --cgroup-manager cgroupfs) image=$work/image
  # By itself podman asks for limits that a container around us may not give.
  local limits=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
  mkdir -p "$image/bin" "$image/data" "$image/tmp" "$image/proc" "$image/dev"
  cp /bin/busybox "$image/bin/"
  for tool in sh head find wc rm mkdir echo; do ln -s busybox "$image/bin/$tool"; done
  tar -C "$image" -cf - . | podman "${options[@]}" import - varve-quickstart >/dev/null 2>&1
  podman "${options[@]}" run --rm --network none "${limits[@]}" \
    -v "$trial:/data" varve-quickstart /bin/sh -c "$inside"
}
step "a container ($container) reads and changes the clone" "in_$container"
echo "               $(cat "$trial/headers-counted") headers counted inside, and $(cat "$trial/new/file" "$trial/tree/stdio.h" | tr '\n' ' ')"
[ ! -e "$trial/tree/linux" ] && [ "$(cat "$trial/tree/stdio.h")" = "written in the container" ]
[ "$(fingerprint "$shop")" = "$before" ] || { echo "the clone changed its origin" >&2; exit 1; }
echo "               the volume it came from holds what it held"

title "7. Space and health"
run varve sync
run varve df
run varve status
run varve umount "$trial"
run varve umount "$shop"
run varve daemon stop
printf '\nAll of it worked.\n'
