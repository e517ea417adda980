# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Swarm: services whose tasks are killed and come back.

section_swarm() {
  start_docker || { part 'swarm: dockerd starts' 1 false; return; }
  part 'swarm: a swarm of one node' 60 swarm_init
  part 'swarm: five tasks have their own volumes' 240 swarm_templates
  part 'swarm: rules make them clones of a golden snapshot' 240 swarm_golden
  part 'swarm: five tasks share one volume' 240 swarm_shared
}

swarm_init() {
  timeout 60 docker swarm init --advertise-addr 127.0.0.1 --listen-addr "127.0.0.1:$((20000 + $$ % 10000))" >/dev/null
}

# service NAME SOURCE COMMAND: five replicas with a volume at /data.
service() {
  timeout 120 docker service create -d --name "$1" --network host --replicas 5 --no-resolve-image --restart-delay 500ms \
    --mount "type=volume,volume-driver=$DRIVER,source=$2,destination=/data" varve-test /bin/sh -c "$3" >/dev/null
}

# running NAME COUNT: so many tasks run.
running() { [ "$(timeout 20 docker service ps -q -f desired-state=running "$1" | xargs -r docker inspect -f '{{.Status.State}}' | grep -c running)" = "$2" ]; }

# Each task adds "SLOT HOST-CONTAINER" to its volume; after all were killed each volume has lines of its own slot alone.
swarm_templates() {
  local slot lines
  service ping3 '{{.Service.Name}}-{{.Task.Slot}}-vol' 'echo $SLOT >>/data/log; sync; while true; do sleep 0.2; done' || return 1
  docker service update -d --env-add 'SLOT={{.Task.Slot}}' ping3 >/dev/null || return 1
  eventually 90 running ping3 5 || { docker service ps --no-trunc ping3 >&2; return 1; }
  eventually 60 slots_written 1 || return 1
  # shellcheck disable=SC2046
  docker kill $(docker ps -q -f label=com.docker.swarm.service.name=ping3) >/dev/null || return 1
  eventually 90 slots_written 2 || { docker service ps ping3 >&2; return 1; }
  for slot in 1 2 3 4 5; do
    lines=$(slot_lines "$slot")
    [ "$lines" = "$slot" ] || { echo "volume of task $slot holds: $lines" >&2; return 1; }
  done
  docker service rm ping3 >/dev/null
}
# The different lines in a task's volume, apart from those of a start without the variable.
slot_lines() { slot_log "$1" | grep . | sort -u; }
slot_log() { cat "$(volume inspect --format '{{.Mountpoint}}' "ping3-$1-vol")/log"; }
# slots_written COUNT: each task has started so often.
slots_written() {
  local slot
  for slot in 1 2 3 4 5; do
    [ "$(slot_log "$slot" | grep -c .)" -ge "$1" ] || return 1
  done
}

swarm_golden() {
  local slot
  in_image --volume-driver "$DRIVER" -v golden:/data 'echo golden >/data/f' && varve snapshot create golden@v1 >/dev/null || return 1
  varve rule add 'web-*-vol' --from golden@v1 >/dev/null || return 1
  service web '{{.Service.Name}}-{{.Task.Slot}}-vol' 'cat /data/f && while true; do sleep 0.2; done' || return 1
  eventually 90 running web 5 || { docker service ps --no-trunc web >&2; return 1; }
  for slot in 1 2 3 4 5; do
    expect golden@v1 volume inspect --format '{{.Status.source}}' "web-$slot-vol" || return 1
    expect golden cat "$(volume inspect --format '{{.Mountpoint}}' "web-$slot-vol")/f" || return 1
  done
  docker service rm web >/dev/null
}

swarm_shared() {
  service many sharedvol1 'touch "/data/$(cat /proc/sys/kernel/random/uuid)"; while true; do sleep 0.2; done' || return 1
  eventually 90 running many 5 || { docker service ps --no-trunc many >&2; return 1; }
  eventually 20 shared_files 5 || return 1
  expect 5 volume inspect --format '{{len .Status.mounts}}' sharedvol1 || return 1
  docker service rm many >/dev/null
}
shared_files() { [ "$(ls "$(volume inspect --format '{{.Mountpoint}}' sharedvol1)" | wc -l)" = "$1" ]; }
