# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Docker itself: what its users type.

section_docker() {
  start_docker --live-restore || { part 'docker: dockerd starts' 1 false; return; }
  part 'docker: a volume is made on first use and outlives its containers' 120 docker_first_use
  part 'docker: create, inspect, ls, rm, restore' 120 docker_commands
  part 'docker: anonymous volumes, rm -v and prune' 120 docker_anonymous
  part 'docker: copy-up, nocopy, chown, other users' 120 docker_owners
  part 'docker: uidmap, squash and readonly in containers' 120 docker_maps
  part 'docker: exclusive volumes, shared volumes, volumes-from' 180 docker_attach
  part 'docker: flock and POSIX locks across containers' 120 docker_locks
  part 'docker: cp into a running container, restart' 120 docker_cp_restart
  part 'docker: snapshots on unmount and removal, ephemeral' 120 docker_life
  part 'docker: snapshots are seen inside a container' 60 docker_snapshots
  part 'docker: dockerd restarts under a running container' 120 docker_live_restore
  part 'docker: kill -9 and upgrade of the daemon under a container' 120 docker_killed
  part 'docker: kill -9 of dockerd leaves no exclusive volume in use' 200 docker_engine_killed
  part 'docker: commit holds nothing of a volume' 120 docker_commit
}

volume() { timeout 60 docker volume "$@"; }
own() { volume create -d "$DRIVER" "$@"; }
inspect() { volume inspect --format "$2" "$1"; }

docker_first_use() {
  in_image --volume-driver "$DRIVER" -v first:/data 'echo kept >/data/f && sync' || return 1
  expect "$DRIVER" inspect first '{{.Driver}}' || return 1
  expect kept in_image -v first:/data 'cat /data/f' || return 1
  expect '' inspect first '{{.Mountpoint}}' || return 1
  varve daemon stop >/dev/null && start_varve || return 1
  expect kept in_image -v first:/data 'cat /data/f'
}

docker_commands() {
  expect c1 own -o size=25 -o backing=local -o label.team=shop c1 || return 1
  expect 25000000000 inspect c1 '{{json .Status.size_bytes}}' && expect shop inspect c1 '{{.Status.labels.team}}' || return 1
  volume ls --format '{{.Driver}} {{.Name}}' | grep -qx "$DRIVER c1" || return 1
  refuses "'sizze' is unknown" own -o sizze=1 c2 && refuses 'iops' own -o ebstype=gp2 -o iops=10 c2 || return 1
  own -o ebstype=io1 -o size=25 -o iops=1000 -o backing=local c3 >/dev/null || return 1
  expect database inspect c3 '{{.Status.options.profile}}' || return 1
  in_image -v c1:/data 'echo 1 >/data/f' && volume rm c1 >/dev/null && refuses 'no such volume' volume inspect c1 || return 1
  varve volume restore c1 >/dev/null && expect 1 in_image --volume-driver "$DRIVER" -v c1:/data 'cat /data/f' || return 1
  varve volume set --protect c3 && refuses protected volume rm c3
}

docker_anonymous() {
  local name
  timeout 60 docker create --name anonymous --network none --volume-driver "$DRIVER" -v /data varve-test /bin/sh -c 'echo x >/data/x' >/dev/null &&
    docker start -a anonymous || return 1
  name=$(docker inspect -f '{{(index .Mounts 0).Name}}' anonymous)
  grep -qE '^[0-9a-f]{64}$' <<<"$name" || { echo "anonymous volume '$name'" >&2; return 1; }
  docker rm anonymous >/dev/null && varve volume inspect "${name:0:12}" >/dev/null || return 1
  timeout 60 docker create --name anonymous --network none -v "$name:/data" --volume-driver "$DRIVER" varve-test true >/dev/null &&
    docker rm -v anonymous >/dev/null || return 1
  volume inspect "$name" >/dev/null || { echo 'rm -v removed a named volume' >&2; return 1; }
  docker_run --volume-driver "$DRIVER" -v /data varve-test true || return 1
  [ "$(varve volume ls --trash -q | grep -cE '^[0-9a-f]{64}$')" -ge 1 ] || { echo '--rm left no volume in the trash' >&2; return 1; }
  # Docker prunes volumes of its own driver alone.
  volume prune -f >/dev/null && volume inspect "$name" >/dev/null && volume rm "$name" >/dev/null || return 1
  varve volume ls --trash -q | grep -qx "$name" || { echo 'rm did not move to the trash' >&2; return 1; }
}

docker_owners() {
  expect from-image in_image --volume-driver "$DRIVER" -v up:/image-data 'cat /image-data/file' || return 1
  expect '' in_image --volume-driver "$DRIVER" -v noup:/image-data:nocopy 'ls -A /image-data' || return 1
  own -o uid=1000 -o gid=1001 -o mode=2770 mine >/dev/null || return 1
  # Where the image has a directory of its own, Docker gives the volume that one's owner, unless nocopy.
  expect '1000:1001:2770' in_image -u 1000:1001 -v mine:/data:nocopy 'echo >/data/f && stat -c %u:%g:%a /data' || return 1
  in_image -v mine:/data 'chown 7:8 /data && chmod 711 /data' && expect 7:8:711 in_image -v mine:/data 'stat -c %u:%g:%a /data'
}

# A container takes back what it has lost, without a command of the host.
docker_snapshots() {
  in_image --volume-driver "$DRIVER" -v seen:/data 'echo good >/data/f' && varve snapshot create seen@s1 >/dev/null || return 1
  in_image -v seen:/data 'echo bad >/data/f; rm -f /data/g' || return 1
  expect f in_image -v seen:/data 'ls -A /data' || return 1
  expect good in_image -v seen:/data 'cp /data/.snapshots/s1/f /data/f && cat /data/f' || return 1
  ! in_image -v seen:/data 'echo x >/data/.snapshots/s1/f' 2>/dev/null || { echo 'a snapshot was written to' >&2; return 1; }
  varve snapshot rm seen@s1 >/dev/null && expect '' in_image -v seen:/data 'ls -A /data/.snapshots'
}

docker_maps() {
  in_image --volume-driver "$DRIVER" -v maps:/data 'echo a >/data/a && chown 10:20 /data/a' || return 1
  varve snapshot create maps@s >/dev/null || return 1
  own -o from=maps@s -o uidmap=10:1000:1 -o gidmap=20:1000:1 -o readonly=true map1 >/dev/null &&
    own -o from=maps@s -o squash=77:88 map2 >/dev/null || return 1
  expect 1000:1000 in_image -v map1:/data 'stat -c %u:%g /data/a' || return 1
  refuses 'Read-only' in_image -v map1:/data 'echo >/data/new' || return 1
  expect 77:88 in_image -v map2:/data 'stat -c %u:%g /data/a' || return 1
  expect '77' in_image -u 77:88 -v map2:/data 'echo b >/data/b && stat -c %u /data/b'
}

# background NAME ARG...: a container that runs until it is removed.
background() {
  timeout 60 docker run -d --name "$1" --network none --init=false "${@:2}" varve-test /bin/sh -c 'while true; do sleep 0.2; done' >/dev/null
}
inside() { timeout 30 docker exec "$1" /bin/sh -c "$2"; }
gone() { timeout 60 docker rm -f "$@" >/dev/null; }

docker_attach() {
  own -o backing=local only >/dev/null && background holder -v only:/data || return 1
  refuses 'for one container at a time' in_image -v only:/data true || return 1
  inside holder 'echo 1 >/data/f' || return 1
  refuses 'in use' volume rm only || return 1
  gone holder && expect 1 in_image -v only:/data 'cat /data/f' || return 1
  varve volume set -o backing=shared only && background first -v only:/data && expect 1 in_image -v only:/data 'cat /data/f' && gone first || return 1
  # A data-only container and those that take its volumes.
  timeout 60 docker create --name data-only --network none --volume-driver "$DRIVER" -v shared:/data varve-test true >/dev/null || return 1
  background one --volumes-from data-only && background two --volumes-from data-only || return 1
  inside one 'echo seen >/data/f' && expect seen inside two 'cat /data/f' || return 1
  gone one && expect seen inside two 'cat /data/f' && gone two data-only && expect seen in_image -v shared:/data 'cat /data/f'
}

docker_locks() {
  background lock-a --volume-driver "$DRIVER" -v locks:/data && background lock-b -v locks:/data || return 1
  local kind
  for kind in flock posix; do
    timeout 30 docker exec -d lock-a lock_file $kind /data/lock 2 || return 1
    eventually 5 inside lock-b "! lock_file $kind /data/lock" || return 1
    eventually 10 inside lock-b "lock_file $kind /data/lock" || return 1
  done
  gone lock-a lock-b
}

docker_cp_restart() {
  background cp --volume-driver "$DRIVER" -v cp:/data || return 1
  echo copied >"$WORK/copied" && docker cp "$WORK/copied" cp:/data/copied || return 1
  expect copied inside cp 'cat /data/copied' && inside cp 'echo more >/data/more' || return 1
  docker cp cp:/data/more "$WORK/more" && expect more cat "$WORK/more" || return 1
  inside cp 'echo still >/data/still' || return 1
  timeout 60 docker restart -t 0 cp >/dev/null && expect still inside cp 'cat /data/still' || return 1
  expect 1 inspect cp '{{len .Status.mounts}}' && gone cp && expect 0 inspect cp '{{len .Status.mounts}}'
}

docker_life() {
  own -o snapshot-on=unmount,remove life >/dev/null && in_image -v life:/data 'echo 1 >/data/f' || return 1
  [ "$(varve snapshot ls -q -f volume=life | wc -l)" -ge 1 ] || { echo 'no snapshot after the unmount' >&2; return 1; }
  volume rm life >/dev/null && varve volume restore life >/dev/null || return 1
  varve snapshot ls --json -f volume=life | grep -q '"varve.taken-on": "remove"' || { echo 'no snapshot at the removal' >&2; return 1; }
  own -o ephemeral=true scratch >/dev/null && in_image -v scratch:/data 'echo 1 >/data/f' || return 1
  expect '' in_image -v scratch:/data 'ls -A /data' && volume rm scratch >/dev/null
}

docker_live_restore() {
  background live --volume-driver "$DRIVER" -v live:/data && inside live 'echo before >/data/f' || return 1
  stop_docker && start_docker --live-restore || return 1
  expect before inside live 'cat /data/f' && inside live 'echo after >/data/f' || return 1
  expect after in_image -v live:/data 'cat /data/f' && expect after inside live 'cat /data/f' || return 1
  gone live && expect after in_image -v live:/data 'cat /data/f' && volume rm live >/dev/null
}

docker_killed() {
  timeout 60 docker run -d --name worker --network none --volume-driver "$DRIVER" -v work:/data varve-test /bin/sh -c \
    'i=0; exec 3>/data/log; while true; do i=$((i + 1)); echo $i >&3 || exit 1; echo $i >/data/new && mv /data/new /data/now || exit 1; sleep 0.02; done' >/dev/null || return 1
  local before round
  for round in 1 2 3; do
    sleep 1
    kill -KILL "$(daemon_pid)" || return 1
    eventually 20 plugin_answers || return 1
  done
  varve upgrade >/dev/null && eventually 20 plugin_answers || return 1
  sleep 1
  before=$(inside worker 'tail -n 1 /data/log') && sleep 1 || return 1
  [ "$(inside worker 'tail -n 1 /data/log')" -gt "$before" ] || { echo 'the container does not write any more' >&2; return 1; }
  docker kill worker >/dev/null && expect true docker inspect -f '{{eq .State.ExitCode 137}}' worker || return 1
  inside_log=$(docker_run -v work:/data varve-test /bin/sh -c 'cat /data/log') || return 1
  [ "$inside_log" = "$(seq "$(wc -l <<<"$inside_log")")" ] || { echo 'lines of the log are lost or doubled' >&2; return 1; }
  gone worker
}

# Docker kills the containers and never says that they have gone: a minute after its mount a count needs a container that shows it.
docker_engine_killed() {
  stop_docker && start_docker || return 1
  own -o backing=local lost >/dev/null && background lost -v lost:/data && inside lost 'echo kept >/data/f' || return 1
  refuses 'for one container at a time' in_image -v lost:/data 'cat /data/f' || return 1
  sleep 2
  local pid
  pid=$(dockerd_pid) && kill -KILL "$pid" && wait_gone "$pid" || return 1
  start_docker 2>/dev/null || start_docker || return 1  # its containerd needs a second try then
  # It had been seen, so nobody waits until the count is a minute old.
  eventually 20 expect kept in_image -v lost:/data 'cat /data/f' && gone lost && volume rm lost >/dev/null
}

docker_commit() {
  timeout 60 docker run --name committed --network none --volume-driver "$DRIVER" -v commit:/data varve-test /bin/sh -c 'echo v >/data/f; echo c >/f' &&
    docker commit committed with-c >/dev/null && gone committed || return 1
  expect c timeout 60 docker run --rm --network none with-c /bin/sh -c 'cat /f; ls -A /data'
}
