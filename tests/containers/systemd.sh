# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The package's units under a systemd that boots (boot.sh): socket activation, restarts and crashes under a program that
# writes, offline commands beside a socket that listens, and the order with Docker over a reboot.

section_systemd() {
  part 'systemd: boots' 60 systemd_boots || { boot_end "$WORK/boot"; return; }
  part 'systemd: the package starts its units' 120 systemd_installs
  part 'systemd: the first command starts the daemon' 60 systemd_activation
  part 'systemd: a program goes on over restarts, kills and upgrades' 120 systemd_restarts
  part 'systemd: offline commands and the listening socket' 60 systemd_offline
  part 'systemd: a daemon that cannot begin says why' 60 systemd_failure
  part 'systemd: docker starts after the sockets and stops before the daemon, over a reboot' 120 systemd_docker
  part "systemd: a quadlet's units" 120 systemd_quadlet
  part 'systemd: the package is removed' 60 systemd_removal
  boot_end "$WORK/boot"
}

state_of() { boot_load && in_system systemctl show -P ActiveState "$1"; }
main_pid() { boot_load && in_system systemctl show -P MainPID "$1"; }

systemd_boots() {
  boot_make "$WORK/boot" && boot_start "$WORK/boot" && expect 'systemd' in_system cat /proc/1/comm
}

systemd_installs() {
  boot_load
  ls "$SCRATCH"/package/deb/varve_*.deb >/dev/null 2>&1 || package_make_for_systemd || return 1
  cp "$SCRATCH"/package/deb/varve_*.deb "$WORK/boot/system/opt/varve.deb" || return 1
  in_system dpkg -i /opt/varve.deb >"$WORK/dpkg.log" 2>&1 || { cat "$WORK/dpkg.log" >&2; return 1; }
  expect active state_of varve.socket && expect active state_of varve.service && expect active state_of varve-keeper.service || return 1
  in_system systemd-analyze verify varve.socket varve.service varve-keeper.service varve-scrub.service 2>&1 | grep -i varve && return 1
  # Keeper and daemon in control groups of their own.
  in_system grep -q varve-keeper.service "/proc/$(main_pid varve-keeper)/cgroup" && in_system grep -q varve.service "/proc/$(main_pid varve)/cgroup"
}

package_make_for_systemd() {
  mkdir -p "$SCRATCH/package/deb"
  cmake --build "$BUILD" >/dev/null && (cd "$BUILD" && cpack -G DEB -B "$SCRATCH/package/deb") >"$WORK/cpack.log" 2>&1 ||
    { tail -n 5 "$WORK/cpack.log" >&2; return 1; }
}

systemd_activation() {
  boot_load
  in_system systemctl stop varve.service 2>/dev/null
  expect inactive state_of varve.service && expect active state_of varve.socket || return 1
  expect first in_system varve volume create first && expect active state_of varve.service || return 1
  # An engine's call does it, too.
  in_system systemctl stop varve.service 2>/dev/null
  in_system curl -s --max-time 30 --unix-socket /run/docker/plugins/varve.sock -X POST http://varve/VolumeDriver.List |
    grep -qF '"Name":"first"' && expect active state_of varve.service || return 1
  expect 600 in_system stat -c %a /run/docker/plugins/varve.sock && expect 700 in_system stat -c %a /var/lib/varve
}

# Appends its count until it is told to stop, and says how many lines it wrote.
systemd_writer() {
  cat <<'PY'
import os, sys, time
out = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
count = 0
while not os.path.exists('/run/stop-writer'):
    os.write(out, b'%d\n' % count)
    count += 1
    if count % 100 == 0:
        time.sleep(0.005)
open('/run/writer-count', 'w').write(str(count))
PY
}

systemd_restarts() {
  boot_load
  systemd_writer >"$WORK/boot/system/opt/writer.py"
  in_system mkdir -p /mnt/first && in_system varve mount first /mnt/first || return 1
  in_system systemd-run -q --unit=writer python3 /opt/writer.py /mnt/first/log || return 1
  eventually 10 in_system test -s /mnt/first/log || return 1
  another_serves varve systemctl restart varve || return 1
  another_serves varve systemctl kill -s KILL varve || return 1
  another_serves varve-keeper systemctl kill -s KILL varve-keeper || return 1
  # Both at once: the service manager has the mount.
  another_serves varve systemctl kill -s KILL varve varve-keeper || return 1
  another_serves varve-keeper systemctl restart varve-keeper || return 1
  eventually 10 in_system sh -c "varve status | grep -qF 'keeper:     pid'" || return 1
  another_serves varve varve upgrade || return 1
  another_serves varve-keeper dpkg -i /opt/varve.deb || return 1
  in_system cp /usr/bin/varve /opt/other && refuses 'which is started from /usr/bin/varve' in_system varve upgrade /opt/other || return 1
  in_system touch /run/stop-writer && eventually 20 in_system test -s /run/writer-count || return 1
  in_system python3 -c "
lines = open('/mnt/first/log').read().split()
assert lines == [str(i) for i in range(int(open('/run/writer-count').read()))], len(lines)" || return 1
  expect 1 in_system grep -c ' /mnt/first fuse' /proc/mounts && in_system varve umount /mnt/first
}

# another_serves UNIT COMMAND...: the command replaces the unit's process; the mount is served, and nothing failed.
another_serves() {
  local unit=$1 before
  shift
  before=$(main_pid "$unit")
  in_system "$@" >/dev/null 2>&1 || { echo "failed: $*" >&2; return 1; }
  eventually 20 other_pid "$unit" "$before" || { echo "after: $*" >&2; return 1; }
  expect active state_of varve-keeper.service && in_system test -e /mnt/first/log && expect running in_system systemctl show -P SubState writer
}
other_pid() {
  local now
  now=$(main_pid "$1")
  [ "$now" != "$2" ] && [ "$now" != 0 ] && expect active state_of "$1"
}

systemd_offline() {
  boot_load
  refuses 'a daemon serves store' in_system varve fsck || return 1
  in_system varve daemon stop 2>"$WORK/stopped" && grep -qF 'systemctl stop varve.socket' "$WORK/stopped" || return 1
  expect inactive state_of varve.service || return 1
  refuses 'no daemon runs' in_system varve daemon stop && refuses 'no daemon runs' in_system varve upgrade || return 1
  in_system varve fsck >/dev/null && in_system varve repair >/dev/null || return 1
  expect inactive state_of varve.service && expect active state_of varve.socket || return 1
  # A stop of the service ends what it has mounted.
  in_system varve mount first /mnt/first && in_system systemctl stop varve.service 2>/dev/null || return 1
  ! in_system grep -q ' /mnt/first ' /proc/mounts || { echo 'still mounted' >&2; return 1; }
  # Without the socket there is the daemon of before; the socket's start ends it.
  in_system systemctl stop varve.socket && in_system varve daemon run && expect inactive state_of varve.service || return 1
  in_system systemctl start varve.service && expect active state_of varve.service
}

systemd_failure() {
  boot_load
  local store=/var/lib/varve
  in_system varve mount first /mnt/first && in_system systemd-run -q --unit=holder sh -c 'exec 9>/mnt/first/held; sleep 60' || return 1
  in_system mv "$store/FORMAT" "$store/kept" && in_system sh -c "echo nothing >$store/FORMAT" || return 1
  in_system systemctl restart varve.service 2>/dev/null
  # It tries again and again, for the program's sake, and everybody is told.
  refuses 'FORMAT is damaged' in_system varve volume ls || return 1
  refuses 'FORMAT is damaged' in_system varve doctor || return 1
  in_system mv "$store/kept" "$store/FORMAT" && eventually 20 in_system test -e /mnt/first/held || return 1
  expect active state_of varve.service && in_system systemctl stop holder && in_system varve umount /mnt/first || return 1
  # With nothing to hold it fails once, and the next command tries again.
  in_system varve daemon stop 2>/dev/null && in_system mv "$store/FORMAT" "$store/kept" && in_system sh -c "echo nothing >$store/FORMAT" || return 1
  refuses 'FORMAT is damaged' in_system varve volume ls && eventually 10 expect failed state_of varve.service || return 1
  in_system mv "$store/kept" "$store/FORMAT" && expect first in_system varve volume ls -q
}

systemd_docker() {
  boot_load
  [ -e "$WORK/image.tar" ] || make_image_root || return 1
  cp "$WORK/image.tar" "$WORK/boot/system/opt/" || return 1
  local unit
  for unit in varve.socket varve.service varve-keeper.service; do
    in_system systemctl show -P After docker.service | tr ' ' '\n' | grep -qx "$unit" || { echo "docker is not after $unit" >&2; return 1; }
  done
  in_system systemctl enable -q docker.service containerd.service && in_system systemctl start docker.service || return 1
  in_system docker import /opt/image.tar varve-test >/dev/null || return 1
  in_system docker run -d --name writer --restart always --network none -v dv:/data --volume-driver varve varve-test \
    /bin/sh -c 'echo boot >>/data/boots; while true; do sleep 0.2; done' >/dev/null || return 1
  eventually 10 in_system docker exec writer grep -q boot /data/boots || return 1
  boot_stop && boot_start "$WORK/boot" || return 1
  eventually 20 expect "$(printf 'boot\nboot')" in_system docker exec writer cat /data/boots || return 1
  [ "$(started varve.socket Active)" -le "$(started docker.service ExecMain)" ] && [ "$(started varve.service Active)" -le "$(started docker.service ExecMain)" ] ||
    { echo 'docker started first' >&2; return 1; }
  # Of the shutdown before: engines first, then the volumes in order.
  in_system journalctl -o cat -u docker -u varve |
    sed -nE '/^Stopped docker\.service/,/^Stopped varve\.service/ s/^(Stopped docker|Stopping varve|Stopped varve|info daemon: has ended).*/\1/p' >"$WORK/stops"
  expect "$(printf '%s\n' 'Stopped docker' 'Stopping varve' 'info daemon: has ended' 'Stopped varve')" cat "$WORK/stops"
}
started() {
  case $2 in
    Active) in_system systemctl show -P ActiveEnterTimestampMonotonic "$1" ;;
    ExecMain) in_system systemctl show -P ExecMainStartTimestampMonotonic "$1" ;;
  esac
}

systemd_removal() {
  boot_load
  in_system docker rm -f writer >/dev/null && in_system systemctl stop docker.socket docker.service || return 1
  in_system dpkg -P varve >"$WORK/dpkg.log" 2>&1 || { cat "$WORK/dpkg.log" >&2; return 1; }
  ! in_system ps -e -o args= | grep '^/usr/bin/varve' || return 1
  in_system test -d /var/lib/varve/segments && in_system test ! -e /run/docker/plugins/varve.sock
}
