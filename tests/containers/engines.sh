# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A daemon with the plugin, a dockerd and a podman of one section's own, for tests/containers/run.sh.
#
#   engines_begin NAME    a new store, its daemon with the plugin as driver $DRIVER on socket $SOCKET
#   start_docker [ARG...] dockerd with its own directories; `docker` then speaks to it; image varve-test
#   start_podman          `podman` with its own directories and the plugin registered; image varve-test
#   engines_end           ends what was begun

SECTION_NUMBER=0

engines_begin() {
  SECTION_NUMBER=$((SECTION_NUMBER + 1))
  SECTION_NAME=$1
  WORK=$SCRATCH/$1
  mkdir -p "$WORK" /run/docker/plugins
  export VARVE_STORE=$WORK/store
  DRIVER=varve-$$-$SECTION_NUMBER
  SOCKET=/run/docker/plugins/$DRIVER.sock
  export DOCKER_HOST=unix://$WORK/docker/docker.sock
  trap '[ "$BASHPID" != "$$" ] || { engines_end; stop_all; }' EXIT
  start_varve || echo "the daemon does not start" >&2
}

# The daemon with the plugin; once more after it was ended.
start_varve() { varve daemon run --plugin-socket "$SOCKET" "$@"; }

engines_end() {
  trap stop_all EXIT
  end_podman
  end_docker
  [ -S "$SOCKET" ] && varve daemon stop --force >/dev/null 2>&1
  rm -f "$SOCKET"
}

# A root directory of busybox alone, with a file where images have data.
make_image_root() {
  local rootfs=$WORK/rootfs applet
  mkdir -p "$rootfs"/{bin,tmp,data,etc,image-data,proc,dev,sys} || return 1
  cp /bin/busybox "$rootfs/bin/" || return 1
  for applet in sh cat echo sleep ls mkdir chown chmod id touch stat dd rm mv sync md5sum true test wc seq date tail \
    kill printf grep sort; do
    ln -sf busybox "$rootfs/bin/$applet"
  done
  "${CC:-cc}" -static -O1 -o "$rootfs/bin/lock_file" "$here/lock_file.c" || return 1
  echo from-image >"$rootfs/image-data/file"
  echo 'root:x:0:0:root:/:/bin/sh' >"$rootfs/etc/passwd"
  tar -C "$rootfs" -c . >"$WORK/image.tar"
}

start_docker() {
  local dir=$WORK/docker tries
  mkdir -p "$dir"
  dockerd --iptables=false --ip6tables=false --bridge=none --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/pid" -H "unix://$dir/docker.sock" "$@" >>"$dir/log" 2>&1 </dev/null &
  local started=$!
  disown "$started"
  for tries in $(seq 120); do
    timeout 10 docker info >/dev/null 2>&1 && break
    [ "$tries" -lt 120 ] && kill -0 "$started" 2>/dev/null || { tail -n 5 "$dir/log" >&2; return 1; }
    sleep 0.25
  done
  docker image inspect varve-test >/dev/null 2>&1 && return 0
  make_image_root && docker import "$WORK/image.tar" varve-test >/dev/null
}

# Of this section's dockerd; parts restart it in shells of their own. Empty when none runs.
dockerd_pid() {
  local pid
  pid=$(cat "$WORK/docker/pid" 2>/dev/null) && is_running "$pid" && echo "$pid"
}

stop_docker() {
  local pid
  pid=$(dockerd_pid) || return 0
  kill -TERM "$pid" 2>/dev/null
  wait_gone "$pid" || kill -KILL "$pid"
}

end_docker() {
  [ -e "$WORK/docker" ] || return 0
  # shellcheck disable=SC2046  # ids hold no blanks
  timeout 60 docker rm -f $(timeout 20 docker ps -aq) >/dev/null 2>&1
  timeout 30 docker swarm leave --force >/dev/null 2>&1
  stop_docker
  # With live-restore dockerd leaves its containerd running.
  local pid
  pid=$(cat "$WORK/docker/exec/containerd/containerd.pid" 2>/dev/null) && kill -TERM "$pid" 2>/dev/null && wait_gone "$pid"
  unmount_below "$WORK/docker"
}

unmount_below() {
  local mount
  while read -r mount; do umount -l "$mount" 2>/dev/null; done < <(
    awk -v under="$1/" 'index($2, under) == 1 { print $2 }' /proc/self/mounts | sort -r
  )
}

# docker_run ARG...: one container, removed at its end, with a bound.
docker_run() { timeout 60 docker run --rm --network none "$@"; }
in_image() { docker_run "${@:1:$#-1}" varve-test /bin/sh -c "${!#}"; }

start_podman() {
  local dir=$WORK/podman
  mkdir -p "$dir"
  cat >"$dir/containers.conf" <<CONF
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
[engine.volume_plugins]
$DRIVER = "$SOCKET"
CONF
  export CONTAINERS_CONF=$dir/containers.conf
  [ -e "$WORK/image.tar" ] || make_image_root || return 1
  podman_do import "$WORK/image.tar" varve-test >/dev/null 2>&1
}

podman_do() {
  timeout 90 podman --root "$WORK/podman/root" --runroot "$WORK/podman/run" --tmpdir "$WORK/podman/tmp" --runtime runc "$@"
}
podman_run() {
  podman_do run --rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"
}

end_podman() {
  [ -e "$WORK/podman/root" ] || return 0
  podman_do rm -fa >/dev/null 2>&1
  unmount_below "$WORK/podman"
}

# call METHOD [JSON]: a call of the plugin; its reply in $REPLY_BODY, its status in $STATUS.
call() {
  local method=$1
  shift
  STATUS=$(timeout 30 curl -s -o "$WORK/reply" -w '%{http_code}' --unix-socket "$SOCKET" -X POST "http://varve/$method" ${1:+-d "$1"})
  REPLY_BODY=$(cat "$WORK/reply")
}

# expect TEXT COMMAND...: the command prints exactly that.
expect() {
  local wanted=$1 got
  shift
  got=$("$@") || { echo "failed: $*: $got" >&2; return 1; }
  [ "$got" = "$wanted" ] || { echo "$*: '$got', not '$wanted'" >&2; return 1; }
}

# refuses PART COMMAND...: the command fails and says PART.
refuses() {
  local part=$1 got
  shift
  if got=$("$@" 2>&1); then echo "not refused: $*" >&2; return 1; fi
  grep -qF -- "$part" <<<"$got" || { echo "$*: says '$got', not '$part'" >&2; return 1; }
}

# eventually SECONDS COMMAND...: the command succeeds within that time.
eventually() {
  local until=$((SECONDS + $1))
  shift
  while ! "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$until" ] || { echo "still fails: $*" >&2; "$@"; return 1; }
    sleep 0.3
  done
}
