# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The quadlet of examples/ in the system of boot.sh: units from Podman's own generator, which Debian 12's Podman does not have
# yet, started with the Podman that is installed.

# Prints the path of a generator: the system's, or that of the distribution's next release, kept from run to run.
quadlet_generator() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/varve/quadlet system=/usr/libexec/podman/quadlet
  if [ -x "$system" ]; then echo "$system" && return 0; fi
  if [ ! -x "$cache/quadlet" ]; then
    (
      work=$WORK/quadlet
      . "$root/cmake/private-apt.sh"
      mkdir -p "$work" "$cache" && point_at deb stable && cd "$work" && private_apt apt-get download podman >>log 2>&1 &&
        dpkg-deb -x podman_*.deb unpacked && cp unpacked/usr/libexec/podman/quadlet "$cache/.quadlet" && mv "$cache/.quadlet" "$cache/quadlet"
    ) || { echo 'no generator: the package podman of the next release cannot be fetched' >&2; return 1; }
  fi
  echo "$cache/quadlet"
}

systemd_quadlet() {
  local generator system=$WORK/boot/system unit
  boot_load
  generator=$(quadlet_generator) || return 1
  mkdir -p "$system/usr/lib/systemd/system-generators" "$system/etc/containers/systemd" || return 1
  cp "$generator" "$system/usr/lib/systemd/system-generators/podman-system-generator" || return 1
  cp "$root"/examples/containers/web.container "$root"/examples/containers/web-data.volume "$system/etc/containers/systemd/" || return 1
  cat >"$system/etc/containers/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
events_logger = "none"
[engine.volume_plugins]
varve = "/run/docker/plugins/varve.sock"
CONF
  in_system podman import /opt/image.tar docker.io/library/busybox:latest >/dev/null 2>&1 || return 1
  in_system systemctl daemon-reload
  for unit in web.service web-data-volume.service; do
    expect generated in_system systemctl show -P UnitFileState "$unit" || return 1
    quadlet_for_older "$unit"
  done
  in_system systemctl daemon-reload
  in_system systemctl show -P After web.service | tr ' ' '\n' | grep -qx varve.socket || return 1
  # Nothing runs: the volume's creation starts the daemon.
  in_system varve daemon stop 2>/dev/null
  in_system systemctl start web.service || { in_system journalctl -u web -u web-data-volume >&2; return 1; }
  expect varve in_system podman volume inspect --format '{{.Driver}}' systemd-web-data || return 1
  eventually 10 expect served in_system podman run --rm --network none -v systemd-web-data:/data busybox cat /data/log
}

# Podman 4.3 knows no `volume create --ignore`, and `--cgroups=split` only in a unified hierarchy.
quadlet_for_older() {
  local unit=$1 drop_in=$WORK/boot/system/etc/systemd/system/$1.d/older.conf
  mkdir -p "${drop_in%/*}"
  { printf '[Service]\nExecStart=\n' && in_system systemctl cat "$unit" | grep '^ExecStart=' | sed 's/ --ignore//; s/ --cgroups=split//'; } >"$drop_in"
}
