# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A system of its own that systemd boots, for tests/containers/systemd.sh: namespaces over the host's own root, whose changes
# are in memory. Nothing of the host's is started in it, and it starts nothing in the host.
#
#   boot_make DIR      a root without services of the host
#   boot_start DIR     boots it; `in_system` then works
#   boot_load          makes `in_system` work in another shell of the section; its system is $WORK/boot
#   in_system COMMAND...   runs in it, as root
#   boot_stop          shuts it down in order, and waits
#   boot_end DIR       ends what is left and removes it


boot_make() {
  local dir=$1
  mkdir -p "$dir/memory" "$dir/system" || return 1
  mount -t tmpfs -o size=2g tmpfs "$dir/memory" && mkdir "$dir/memory/upper" "$dir/memory/work" || return 1
  mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/memory/upper,workdir=$dir/memory/work" "$dir/system" || return 1
  rm -rf "$dir"/system/etc/systemd/system/*.wants "$dir/system/usr/sbin/policy-rc.d" "$dir"/system/var/log/journal "$dir/system/var/lib/varve"
  mkdir -p "$dir/system/var/log/journal"
  tr -d - </proc/sys/kernel/random/uuid >"$dir/system/etc/machine-id"
  # Docker's data must not lie on an overlay.
  mkdir -p "$dir/memory/docker" "$dir/system/etc/docker" "$dir/system/var/lib/docker"
  echo '{"iptables": false, "ip6tables": false, "bridge": "none", "live-restore": false}' >"$dir/system/etc/docker/daemon.json"
  # A system that boots prints a line here.
  : >"$dir/log"
  boot_script >"$dir/boot"
}

# What runs in the new namespaces until systemd does.
boot_script() {
  cat <<'SCRIPT'
set -eu
dir=$1
mount --make-rprivate /
mount --rbind "$dir/system" "$dir/system"
cd "$dir/system"
mount --bind "$dir/memory/docker" var/lib/docker
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  for hierarchy in /sys/fs/cgroup/*/; do
    name=$(basename "$hierarchy")
    mkdir -p "sys/fs/cgroup/$name"
    case $name in
      unified) mount -t cgroup2 cgroup2 "sys/fs/cgroup/$name" ;;
      systemd) mount -t cgroup -o none,name=systemd cgroup "sys/fs/cgroup/$name" ;;
      *) mount -t cgroup -o "$name" cgroup "sys/fs/cgroup/$name" ;;
    esac
  done
fi
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/fuse c 10 229
for node in null zero full random urandom tty; do
  touch "dev/$node"
  mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in 0 1 2; do ln -s "fd/$number" "dev/$(echo stdin stdout stderr | cut -d' ' -f$((number + 1)))"; done
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p run/old
pivot_root . run/old
umount -l /run/old
# As systemd does where it believes itself on a machine of its own.
mount --make-rshared /
exec env -i container=varve PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --show-status=no \
  --log-target=journal --unit=multi-user.target
SCRIPT
}

boot_start() {
  local dir=$1 tries
  # A cgroup of its own in each hierarchy; its namespace hides the rest.
  bash -c '
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*/; do
      [ -e "$hierarchy/cgroup.procs" ] || continue
      group=${hierarchy%/}/varve-boot-$2
      mkdir -p "$group" || continue
      for file in cpuset.cpus cpuset.mems; do
        [ ! -e "$hierarchy/$file" ] || [ -s "$group/$file" ] || cat "$hierarchy/$file" >"$group/$file"
      done
      echo $$ >"$group/cgroup.procs"
    done 2>/dev/null
    exec unshare -m -p -f -u -i -C --kill-child=KILL bash "$1/boot" "$1"' boot "$dir" "$$" >>"$dir/log" 2>&1 </dev/null &
  BOOT_PARENT=$!
  disown "$BOOT_PARENT"
  for tries in $(seq 120); do
    BOOT_PID=$(pgrep -P "$BOOT_PARENT" -x systemd) && in_system systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded' &&
      { echo "BOOT_PID=$BOOT_PID BOOT_PARENT=$BOOT_PARENT" >"$dir.pid"; return 0; }
    kill -0 "$BOOT_PARENT" 2>/dev/null || break
    sleep 0.25
  done
  echo "systemd does not boot:" >&2
  tail -n 5 "$dir/log" >&2
  return 1
}

# The parts of a section run in shells of their own: where the system is, is kept in a file.
boot_load() { . "$WORK/boot.pid"; }

in_system() { timeout 60 nsenter -t "$BOOT_PID" -m -p -u -i -C env -i HOME=/tmp PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

boot_stop() {
  in_system systemctl --no-block poweroff || return 1
  wait_gone "$BOOT_PARENT"
}

boot_end() {
  local dir=$1 hierarchy BOOT_PID='' BOOT_PARENT=''
  [ -e "$dir/system" ] || return 0
  [ ! -e "$dir.pid" ] || . "$dir.pid"
  [ -z "$BOOT_PID" ] || kill -KILL "$BOOT_PID" 2>/dev/null
  [ -z "$BOOT_PARENT" ] || wait_gone "$BOOT_PARENT"
  for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    find "${hierarchy%/}/varve-boot-$$" -depth -type d -exec rmdir {} + 2>/dev/null
  done
  umount -l "$dir/system" "$dir/memory" 2>/dev/null
  rm -rf "$dir" "$dir.pid"
}
