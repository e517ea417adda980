#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# PostgreSQL in a container under pgbench, a snapshot each second; then each snapshot's clone starts in a container of its own
# and is checked: the sums that pgbench keeps equal, and every table and index by amcheck.
#
#   tests/containers/postgresql.sh     called by run.sh, whose variables it uses; PG_SECONDS is the time of the load (default 12)
set -euo pipefail
version=15
bin=/usr/lib/postgresql/$version/bin
seconds=${PG_SECONDS:-12}
varve() { timeout 60 "$VARVE" "$@" </dev/null; }

# The programs of PostgreSQL with the libraries they need, and a shell.
make_image() {
  local rootfs=$WORK/pg-root file
  mkdir -p "$rootfs"/{bin,tmp,etc,dev,proc,sys,data,"${bin#/}","usr/share/postgresql","usr/lib/postgresql/$version/lib"} "$rootfs/var/run"
  cp -a "$bin"/{postgres,initdb,pg_ctl,psql,pgbench,pg_amcheck} "$rootfs$bin/"
  cp -a "/usr/share/postgresql/$version" "$rootfs/usr/share/postgresql/"
  cp -a "/usr/lib/postgresql/$version/lib/." "$rootfs/usr/lib/postgresql/$version/lib/"
  cp -aL /usr/share/zoneinfo "$rootfs/usr/share/" 2>/dev/null || true
  for file in "$bin"/{postgres,psql,pgbench} "/usr/lib/postgresql/$version/lib"/{plpgsql,amcheck}.so; do
    ldd "$file" | grep -o '/[^ ]*' | while read -r library; do
      mkdir -p "$rootfs$(dirname "$library")"
      cp -L "$library" "$rootfs$library"
    done
  done
  cp /bin/busybox "$rootfs/bin/"
  for file in sh sleep cat id test true ls mkdir rm; do ln -sf busybox "$rootfs/bin/$file"; done
  printf 'root:x:0:0::/:/bin/sh\npostgres:x:999:999::/data:/bin/sh\n' >"$rootfs/etc/passwd"
  printf 'root:x:0:\npostgres:x:999:\n' >"$rootfs/etc/group"
  chmod 1777 "$rootfs/tmp"
  tar -C "$rootfs" -c . | docker import - varve-postgresql >/dev/null
  rm -rf "$rootfs"
}

# server NAME VOLUME: PostgreSQL on the volume's data.
server() {
  docker run -d --name "$1" --network none --shm-size 256m -u 999:999 -v "$2:/data" varve-postgresql \
    "$bin/postgres" -D /data/pg -k /tmp -c listen_addresses= -c shared_buffers=64MB -c fsync=on >/dev/null
  for _ in $(seq 150); do
    docker exec "$1" "$bin/psql" -h /tmp -qAtc 'select 1' postgres >/dev/null 2>&1 && return 0
    sleep 0.2
  done
  docker logs "$1" 2>&1 | tail -n 20
  return 1
}
query() { docker exec "$1" "$bin/psql" -h /tmp -qAt -c "$2" postgres; }

make_image
docker volume create -d "$DRIVER" -o uid=999 -o gid=999 -o mode=700 -o profile=database -o size=4 pg >/dev/null
docker run --rm --network none -u 999:999 -v pg:/data:nocopy varve-postgresql "$bin/initdb" -D /data/pg -U postgres --no-locale -E UTF8 >/dev/null
server pg pg
docker exec pg "$bin/pgbench" -h /tmp -i -s 4 -q postgres >/dev/null 2>&1
query pg 'create extension amcheck' >/dev/null
docker exec pg "$bin/pgbench" -h /tmp -c 4 -j 2 -T "$seconds" postgres >"$WORK/pgbench" 2>&1 &
load=$!
snapshots=()
while sleep 1 && kill -0 "$load" 2>/dev/null; do
  name=s${#snapshots[@]}
  varve snapshot create "pg@$name" >/dev/null
  snapshots+=("$name")
done
wait "$load" || { cat "$WORK/pgbench"; exit 1; }
[ "${#snapshots[@]}" -ge $((seconds / 2)) ] || { echo "only ${#snapshots[@]} snapshots in $seconds s"; exit 1; }
docker rm -f pg >/dev/null

last=0
for name in "${snapshots[@]}"; do
  docker volume create -d "$DRIVER" -o "from=pg@$name" "pg-$name" >/dev/null
  server "pg-$name" "pg-$name"
  sums=$(query "pg-$name" 'select (select sum(abalance) from pgbench_accounts) = (select coalesce(sum(delta), 0) from pgbench_history) and
    (select sum(bbalance) from pgbench_branches) = (select coalesce(sum(delta), 0) from pgbench_history) and
    (select sum(tbalance) from pgbench_tellers) = (select coalesce(sum(delta), 0) from pgbench_history)')
  [ "$sums" = t ] || { echo "snapshot $name: the sums of pgbench differ"; exit 1; }
  docker exec "pg-$name" "$bin/pg_amcheck" -h /tmp --heapallindexed postgres >"$WORK/amcheck" 2>&1 || { cat "$WORK/amcheck"; exit 1; }
  rows=$(query "pg-$name" 'select count(*) from pgbench_history')
  [ "$rows" -ge "$last" ] || { echo "snapshot $name holds less than the one before"; exit 1; }
  last=$rows
  docker rm -f "pg-$name" >/dev/null
  docker volume rm "pg-$name" >/dev/null
done
[ "$last" -gt 0 ] || { echo 'pgbench wrote nothing'; exit 1; }
echo "note: ${#snapshots[@]} snapshots under $(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$WORK/pgbench") transactions a second, each consistent"
