# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Podman, with the plugin registered in containers.conf.

section_podman() {
  start_podman || { part 'podman: an image' 1 false; return; }
  part 'podman: create, run, inspect, rm' 120 podman_basics
  part 'podman: options, owners and errors' 120 podman_options
  part 'podman: reload takes up volumes made elsewhere' 120 podman_reload
  part 'podman: the constant mount id' 180 podman_shared
}

pod_image() { podman_run "${@:1:$#-1}" varve-test /bin/sh -c "${!#}"; }

podman_basics() {
  podman_do volume create --driver "$DRIVER" p1 >/dev/null || return 1
  pod_image -v p1:/data 'echo hello >/data/f' && expect hello pod_image -v p1:/data 'cat /data/f' || return 1
  expect "$DRIVER" podman_do volume inspect --format '{{.Driver}}' p1 || return 1
  varve snapshot create p1@s >/dev/null && podman_do volume create --driver "$DRIVER" -o from=p1@s p2 >/dev/null || return 1
  expect hello pod_image -v p2:/data 'cat /data/f' || return 1
  podman_do volume rm p1 >/dev/null && varve volume ls --trash -q | grep -qx p1
}

podman_options() {
  podman_do volume create --driver "$DRIVER" -o uid=1000 -o gid=1000 -o mode=700 po >/dev/null || return 1
  expect 1000 pod_image -u 1000:1000 -v po:/data 'echo >/data/f && stat -c %u /data/f' || return 1
  refuses "'sizze' is unknown" podman_do volume create --driver "$DRIVER" -o sizze=1 bad || return 1
  refuses 'bad' varve volume inspect bad
}

podman_reload() {
  varve volume create elsewhere >/dev/null && podman_do volume reload >/dev/null 2>&1 || return 1
  pod_image -v elsewhere:/data 'echo x >/data/f' && expect "$DRIVER" podman_do volume inspect --format '{{.Driver}}' elsewhere
}

# Podman counts by itself: one Mount at the first container, one Unmount after the last.
podman_shared() {
  podman_do volume create --driver "$DRIVER" ps >/dev/null || return 1
  podman_do run -d --name one --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 -v ps:/data varve-test \
    /bin/sh -c 'echo 1 >/data/f; while true; do sleep 0.2; done' >/dev/null || return 1
  eventually 10 test -n "$(eventually 10 pod_image -v ps:/data 'cat /data/f')" || return 1
  expect 1 podman_do exec one cat /data/f || return 1
  podman_do rm -f -t 0 one >/dev/null || return 1
  ! grep -q "volumes/ps " /proc/self/mounts || { echo 'still mounted after the last container' >&2; return 1; }
  expect 1 pod_image -v ps:/data 'cat /data/f'
}
