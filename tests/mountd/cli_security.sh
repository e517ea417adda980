# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What a daemon may do, and what others can plant in its way. docs/security.md says what is promised.

section_security() {
  can_mount || return
  local pid mnt=$SCRATCH/security-mnt thread kept=0000000000200004
  mkdir -p "$mnt"
  ok volume create v
  ok mount v "$mnt"
  pid=$(daemon_pid)
  # CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN, in every thread; nothing that is executed gets more.
  for thread in /proc/"$pid"/task/*; do
    same "capabilities of ${thread##*/}" "$kept $kept $kept 0000000000000000 1" \
      "$(awk '/^Cap(Prm|Eff|Bnd|Amb)|^NoNewPrivs/ { v[$1] = $2 } END { print v["CapPrm:"], v["CapEff:"], v["CapBnd:"], v["CapAmb:"], v["NoNewPrivs:"] }' "$thread/status")"
  done
  same 'no core files' 0 "$(awk '/^Max core file size/ { print $5 }' "/proc/$pid/limits")"
  same 'the umask' 0077 "$(awk '/^Umask/ { print $2 }' "/proc/$pid/status")"
  same 'nothing is readable for others' '' "$(find "$VARVE_STORE" -perm /077)"

  # with so few rights it still serves mount points and files of others
  mkdir -p "$SCRATCH/private/point"
  chown -R 65534:65534 "$SCRATCH/private"
  chmod 700 "$SCRATCH/private" "$SCRATCH/private/point"
  ok volume create other
  ok mount other "$SCRATCH/private/point"
  chown 1000:1000 "$SCRATCH/private/point"
  chmod 700 "$SCRATCH/private/point"
  ok snapshot create other@s
  ok umount other
  ok umount v
  ok daemon stop
  planted_links
  refused_stores
}

# Links in the place of a mount point, and above it after it was looked up.
planted_links() {
  local victim=$SCRATCH/victim home=$SCRATCH/planted
  mkdir -p "$victim/mnt" "$home/real"
  ln -s "$victim" "$home/point"
  refused 2 'symbolic link' mount v "$home/point"
  that 'nothing was mounted on what it points to' not is_mounted "$victim"
  # above the mount point a link is resolved, by the one who asks
  ln -s real "$home/link"
  mkdir -p "$home/real/point"
  ok mount v "$home/link/point"
  that 'it is where the link led' is_mounted "$home/real/point"
  # and an unmount does not follow one that has taken the place of a directory since
  mv "$home/real" "$home/moved"
  ln -s "$victim" "$home/real"
  run umount "$home/real/point"
  if [ "$STATUS" -ne 0 ]; then pass; else fail 'unmounted through a planted link'; fi
  rm "$home/real"
  mv "$home/moved" "$home/real"
  ok umount v
  ok daemon stop
}
not() { ! "$@"; }

# A store that somebody has prepared is not opened, and nothing that it points to is touched.
refused_stores() {
  local keep=$VARVE_STORE victim=$SCRATCH/victim
  echo precious >"$victim/file.log"
  VARVE_STORE=$SCRATCH/prepared
  mkdir -p "$VARVE_STORE"
  ln -s "$victim" "$VARVE_STORE/journal"
  refused 6 'symbolic link' init
  same 'what it points to is untouched' precious "$(cat "$victim/file.log")"
  rm "$VARVE_STORE/journal"
  chown 65534:65534 "$VARVE_STORE"
  refused 6 'belongs to user 65534' init
  chown 0:0 "$VARVE_STORE"
  chmod 777 "$VARVE_STORE"
  refused 6 'everybody' init
  chmod 700 "$VARVE_STORE"
  ok volume create v
  rm -f "$VARVE_STORE"/index.db-*
  mv "$VARVE_STORE/index.db" "$victim/index.db"
  ln -s "$victim/index.db" "$VARVE_STORE/index.db"
  refused 6 'symbolic link' volume ls
  rm "$VARVE_STORE/index.db"
  like '^v$' volume ls -q
  VARVE_STORE=$keep
}
