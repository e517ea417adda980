# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# An account without rights, in the system of boot.sh: its own store, mounts through fusermount3, Podman without root on a
# mounted directory and with the plugin, and the units for users.

ROOTLESS_UID=4711

section_rootless() {
  part 'rootless: an account of its own' 60 rootless_begins || { boot_end "$WORK/boot"; return; }
  part 'rootless: podman on a directory that is mounted' 90 rootless_directory
  part 'rootless: the plugin on a socket of the user' 120 rootless_plugin
  part "rootless: the user's units, restarted and killed under a container" 120 rootless_units
  boot_end "$WORK/boot"
}

as_user() {
  in_system runuser -u rootless -- env -C /home/rootless HOME=/home/rootless XDG_RUNTIME_DIR=/run/user/$ROOTLESS_UID "$@"
}
user_podman() { as_user timeout 50 podman --runtime runc "$@"; }
user_run() {
  local mode=$1
  shift
  user_podman run "$mode" --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"
}

rootless_begins() {
  [ -e "$WORK/image.tar" ] || make_image_root || return 1
  boot_make "$WORK/boot" && boot_start "$WORK/boot" || return 1
  local system=$WORK/boot/system
  cp "$VARVE" "$system/usr/bin/varve" && cp "$WORK/image.tar" "$system/opt/" || return 1
  mkdir -p "$system/usr/lib/systemd/user" && cp "$root"/packaging/user/varve* "$system/usr/lib/systemd/user/" || return 1
  in_system useradd -m -s /bin/bash -u "$ROOTLESS_UID" rootless && in_system loginctl enable-linger rootless || return 1
  in_system grep -q '^rootless:' /etc/subuid || { echo 'useradd gives no subordinate ids' >&2; return 1; }
  eventually 20 in_system test -d "/run/user/$ROOTLESS_UID/systemd" || return 1
  as_user mkdir -p .config/containers && as_user tee .config/containers/storage.conf >/dev/null <<'CONF' || return 1
[storage]
driver = "vfs"
CONF
  as_user tee .config/containers/containers.conf >/dev/null <<CONF || return 1
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
[engine.volume_plugins]
varve = "/run/user/$ROOTLESS_UID/varve.sock"
CONF
  expect true user_podman info --format '{{.Host.Security.Rootless}}' && user_podman import /opt/image.tar varve-test >/dev/null 2>&1
}

rootless_directory() {
  boot_load
  expect v as_user varve volume create v && as_user mkdir mnt && as_user varve mount v mnt || return 1
  as_user sh -c 'echo from-outside >mnt/f' || return 1
  expect from-outside user_run --rm -v /home/rootless/mnt:/data varve-test /bin/sh -c 'cat /data/f && echo from-inside >/data/g' || return 1
  expect "from-inside $ROOTLESS_UID" as_user sh -c 'echo "$(cat mnt/g) $(stat -c %u mnt/g)"' || return 1
  # A mount is its owner's alone, and has no devices and no set-user-id programs.
  in_system grep ' /home/rootless/mnt fuse' /proc/mounts | grep -q nosuid,nodev || return 1
  in_system setpriv --reuid 4712 --regid 4712 --clear-groups cat /home/rootless/mnt/f 2>/dev/null && return 1
  # kill -9 of the daemon: its keeper's successor serves the container that runs.
  user_run -d --name lives -v /home/rootless/mnt:/data varve-test /bin/sh -c 'while echo >>/data/log; do sleep 0.05; done' >/dev/null || return 1
  in_system kill -KILL "$(as_user varve status --json | jq .daemon.pid)" || return 1
  eventually 10 rootless_grows mnt/log && expect 1 as_user sh -c 'varve status --json | jq .keeper.takeovers' || return 1
  user_podman rm -f -t 0 lives >/dev/null && as_user varve umount mnt && as_user varve daemon stop
}
# The container still writes there.
rootless_grows() { as_user sh -c "a=\$(stat -c %s $1) && sleep 0.3 && [ \"\$(stat -c %s $1)\" -gt \"\$a\" ]"; }

rootless_plugin() {
  boot_load
  as_user varve daemon run --plugin-socket "/run/user/$ROOTLESS_UID/varve.sock" || return 1
  expect 600 in_system stat -c %a "/run/user/$ROOTLESS_UID/varve.sock" || return 1
  user_podman volume create --driver varve pv >/dev/null || return 1
  expect 0 user_run --rm -v pv:/data varve-test /bin/sh -c 'echo kept >/data/f && stat -c %u /data/f' || return 1
  expect kept user_run --rm -v pv:/data varve-test cat /data/f || return 1
  # Inside, the one file belongs to the container's root; outside to the user.
  as_user varve snapshot create pv@s >/dev/null && user_podman volume create --driver varve -o from=pv@s copy >/dev/null || return 1
  expect kept user_run --rm -v copy:/data varve-test cat /data/f || return 1
  user_podman volume rm copy >/dev/null && as_user varve volume ls --trash -q | grep -qx copy || return 1
  ! in_system grep 'volumes/pv ' /proc/mounts || { echo 'still mounted after the last container' >&2; return 1; }
  as_user varve daemon stop
}

rootless_units() {
  boot_load
  local state="as_user systemctl --user show -P ActiveState"
  as_user systemctl --user start varve.socket && expect inactive $state varve.service || return 1
  expect kept user_run --rm -v pv:/data varve-test cat /data/f && expect active $state varve.service || return 1
  expect active $state varve-keeper.service || return 1
  user_run -d --name lives -v pv:/data varve-test /bin/sh -c 'while echo >>/data/log; do sleep 0.05; done' >/dev/null || return 1
  local point command
  point=$(as_user varve status --json | jq -r '.mounts[0].mount_point')
  for command in restart 'kill -s KILL'; do
    # shellcheck disable=SC2086  # two words
    as_user systemctl --user $command varve || return 1
    eventually 20 rootless_grows "$point/log" || return 1
  done
  as_user systemctl --user kill -s KILL varve varve-keeper && eventually 20 rootless_grows "$point/log" || return 1
  expect running user_podman inspect --format '{{.State.Status}}' lives && user_podman rm -f -t 0 lives >/dev/null || return 1
  as_user systemctl --user stop varve.socket && expect inactive $state varve.service
}
