# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The walkthroughs of the documents that Varve was started from, line by line.

section_seeds() {
  start_docker || { part 'seeds: dockerd starts' 1 false; return; }
  part 'seeds: the Hyper.sh walkthrough' 180 seeds_hyper
  part 'seeds: upgrade, break, roll back' 180 seeds_upgrade
  part 'seeds: blue and green' 180 seeds_blue_green
  part 'seeds: PostgreSQL under pgbench, a snapshot each second' 400 seeds_postgresql
}

# hyper run -d -v ..., hyper volume ls/inspect/create, hyper stop, hyper snapshot create, second container.
seeds_hyper() {
  local id
  docker run -d --name web --network none --volume-driver "$DRIVER" -v /webapp varve-test /bin/sh -c 'while true; do sleep 0.2; done' >/dev/null || return 1
  id=$(docker inspect -f '{{(index .Mounts 0).Name}}' web)
  varve volume ls | grep -qE "^varve +$id +10 GB +[0-9a-f]{12}" || { varve volume ls >&2; return 1; }
  docker rm -f web >/dev/null && varve volume inspect "$id" >/dev/null || { echo 'the volume went with its container' >&2; return 1; }
  expect vol1 varve volume create --name vol1 || return 1
  docker run -d --name db-1 --network none --volume-driver "$DRIVER" -v vol1:/tmp varve-test /bin/sh -c 'echo hello >/tmp/test.txt; while true; do sleep 0.2; done' >/dev/null || return 1
  eventually 10 docker exec db-1 test -s /tmp/test.txt || return 1
  varve volume inspect vol1 | grep -q '"Mountpoint": "/run/varve/' || return 1
  docker stop -t 0 db-1 >/dev/null || return 1
  expect mybackup varve snapshot create --name mybackup --volume vol1 || return 1
  refuses 'A snapshot named mybackup already exists. Choose a different snapshot name' varve snapshot create --name mybackup --volume vol1 || return 1
  expect vol2 varve volume create --name vol2 --snapshot mybackup || return 1
  expect hello docker run --rm --name db-2 --network none --volume-driver "$DRIVER" -v vol2:/tmp varve-test cat /tmp/test.txt || return 1
  refuses 'Volume(vol1) has (1) snapshots' varve volume rm vol1 || return 1
  docker rm db-1 >/dev/null && varve volume rm vol2 >/dev/null && varve snapshot rm mybackup >/dev/null && varve volume rm vol1 >/dev/null
}

# V1 writes; a snapshot; V2 breaks the data; rollback; V1 reads what it wrote.
seeds_upgrade() {
  in_image --volume-driver "$DRIVER" -v app:/data 'echo "schema 1" >/data/db' || return 1
  varve snapshot create app@before-v2 >/dev/null || return 1
  in_image -v app:/data 'echo "schema 2, broken" >/data/db; rm -f /data/none; echo junk >/data/junk' || return 1
  varve rollback app@before-v2 >/dev/null || return 1
  expect 'schema 1' in_image -v app:/data 'cat /data/db' && expect db in_image -v app:/data 'ls /data'
}

# Green starts on a clone while blue serves; then blue goes.
seeds_blue_green() {
  docker run -d --name blue --network none --volume-driver "$DRIVER" -v shop:/data varve-test /bin/sh -c 'echo order-1 >>/data/orders; while true; do sleep 0.2; done' >/dev/null || return 1
  eventually 10 docker exec blue test -s /data/orders || return 1
  docker volume create -d "$DRIVER" -o from=shop shop-green >/dev/null || return 1
  expect order-1 in_image -v shop-green:/data 'cat /data/orders' || return 1
  docker exec blue /bin/sh -c 'echo order-2 >>/data/orders' && docker rm -f blue >/dev/null || return 1
  expect "$(printf 'order-1\norder-2')" in_image -v shop:/data 'cat /data/orders' && expect order-1 in_image -v shop-green:/data 'cat /data/orders'
}

seeds_postgresql() { WORK=$WORK DRIVER=$DRIVER "$here/postgresql.sh"; }
