# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Everything in examples/containers runs.

section_examples() {
  start_docker || { part 'examples: dockerd starts' 1 false; return; }
  export DRIVER IMAGE=varve-test
  part 'examples: compose' 120 examples_compose
  part 'examples: a Swarm stack' 180 examples_stack
  part 'examples: blue and green upgrade' 180 examples_upgrade
  part 'examples: a golden database for jobs' 120 examples_ci
  part 'examples: development container' 60 examples_devcontainer
  part 'examples: managed plugin' 120 examples_managed
  start_podman && part 'examples: quadlet' 120 examples_quadlet
}

# The program under its own name, as users have it.
with_varve_in_path() {
  mkdir -p "$WORK/bin" && ln -sfn "$VARVE" "$WORK/bin/varve"
  PATH=$WORK/bin:$PATH "$@"
}

examples_compose() {
  local compose=(timeout 90 docker-compose -p example -f "$root/examples/containers/compose.yaml")
  VOLUME=web-data "${compose[@]}" up -d >/dev/null 2>&1 || return 1
  eventually 10 expect served in_image -v web-data:/data 'cat /data/log' || return 1
  expect 5000000000 inspect web-data '{{json .Status.size_bytes}}' && expect web inspect web-data '{{.Status.labels.project}}' || return 1
  VOLUME=web-data "${compose[@]}" down -t 0 >/dev/null 2>&1 && expect served in_image -v web-data:/data 'cat /data/log' || return 1
  VOLUME=web-data "${compose[@]}" down -v -t 0 >/dev/null 2>&1
  varve volume restore web-data >/dev/null && varve snapshot ls --json -f volume=web-data | grep -q '"varve.taken-on": "remove"'
}

examples_stack() {
  local slot
  swarm_init || return 1
  varve volume create golden >/dev/null && varve snapshot create golden@v1 >/dev/null && varve rule add 'ping_worker-*-data' --from golden@v1 >/dev/null || return 1
  timeout 60 docker stack deploy --resolve-image never -c "$root/examples/containers/stack.yaml" ping >/dev/null 2>&1 || return 1
  eventually 90 running ping_worker 5 || { docker service ps --no-trunc ping_worker >&2; return 1; }
  for slot in 1 2 3 4 5; do
    expect golden@v1 volume inspect --format '{{.Status.source}}' "ping_worker-$slot-data" || return 1
  done
  docker stack rm ping >/dev/null
  # The volumes stay, as the documents say.
  volume inspect ping_worker-5-data >/dev/null
}

examples_upgrade() {
  volume create -d "$DRIVER" app >/dev/null && in_image -v app:/data 'echo "schema 1" >/data/db' || return 1
  background app-blue -v app:/data || return 1
  with_varve_in_path expect 'upgraded; app@before-upgrade is the way back' "$root/examples/containers/upgrade.sh" app || return 1
  expect "$(printf 'schema 1\nschema 2')" in_image -v app:/data 'cat /data/db' || return 1
  varve rollback app@before-upgrade >/dev/null && varve snapshot rm app@before-upgrade >/dev/null && docker start app-blue >/dev/null || return 1
  BREAK='echo broken >>/data/db' with_varve_in_path expect 'rolled back; blue serves again' "$root/examples/containers/upgrade.sh" app || return 1
  expect 'schema 1' inside app-blue 'cat /data/db' && gone app-blue
}

examples_ci() {
  local script=$root/examples/containers/ci-database.sh
  with_varve_in_path expect ready "$script" fill && expect 10000 with_varve_in_path "$script" job 'wc -l </data/table' || return 1
  with_varve_in_path "$script" job 'echo junk >/data/table' || return 1
  expect 10000 with_varve_in_path "$script" job 'wc -l </data/table' || return 1
  [ -z "$(varve volume ls -q -f label=job=ci)" ] || { echo 'clones of jobs are left' >&2; return 1; }
}

# Runs what a tool for development containers would.
examples_devcontainer() {
  local command mount
  command=$(jq -r .initializeCommand "$root/examples/containers/devcontainer.json" | sed "s/-d varve/-d $DRIVER/")
  mount=$(jq -r .workspaceMount "$root/examples/containers/devcontainer.json" | sed "s/volume-driver=varve/volume-driver=$DRIVER/")
  $command >/dev/null && expect 1000:1000 docker_run -u 1000:1000 --mount "$mount" varve-test /bin/sh -c 'touch /workspace/f && stat -c %u:%g /workspace/f'
}

examples_managed() {
  "$root/examples/containers/managed-plugin/make.sh" "$VARVE" varve-managed "$WORK/managed" >/dev/null || return 1
  in_image --volume-driver varve-managed:latest -v managed:/data 'echo managed >/data/f' || return 1
  expect managed in_image -v managed:/data 'cat /data/f' && volume rm managed >/dev/null || return 1
  docker plugin disable varve-managed >/dev/null && docker plugin rm varve-managed >/dev/null
}

# Podman of Debian 12 has no quadlets: the words of the files as its command line.
examples_quadlet() {
  local driver name exec
  driver=$(sed -n 's/^Driver=//p' "$root/examples/containers/web-data.volume")
  name=$(sed -n 's/^VolumeName=//p' "$root/examples/containers/web-data.volume")
  exec=$(sed -n 's/^Exec=\/bin\/sh -c "\(.*\)"/\1/p' "$root/examples/containers/web.container")
  [ "$driver" = varve ] && [ -n "$name" ] && [ -n "$exec" ] || return 1
  podman_do volume create --driver "$DRIVER" "$name" >/dev/null && pod_image -v "$name:/data" "$exec" &&
    expect served pod_image -v "$name:/data" 'cat /data/log'
}
