# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# PostgreSQL on a volume, as the user postgres where we are root.

postgresql_bin=$(find /usr/lib/postgresql/*/bin -maxdepth 0 2>/dev/null | sort -V | tail -n 1)
postgresql_port=54329

as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then
    (cd / && runuser -u postgres -- env LC_ALL=C.UTF-8 "$@")
  else
    (cd / && LC_ALL=C.UTF-8 "$@")
  fi
}

# A directory that the server's user may write to.
postgresql_directory() {
  mkdir -p "$1" || return 1
  [ "$(id -u)" -ne 0 ] || chown postgres: "$1"
}

# postgresql_start DATA: a server without network, its socket outside the volume.
postgresql_start() {
  postgresql_directory "$SCRATCH/pg-socket" || return 1
  as_postgres "$postgresql_bin/pg_ctl" -D "$1" -l "$SCRATCH/pg-socket/log" -w -t 120 -o \
    "-c listen_addresses= -c unix_socket_directories=$SCRATCH/pg-socket -p $postgresql_port -c shared_buffers=32MB" \
    start >/dev/null || { tail -n 20 "$SCRATCH/pg-socket/log" >&2; return 1; }
}

postgresql_stop() { as_postgres "$postgresql_bin/pg_ctl" -D "$1" -w -t 60 -m fast stop >/dev/null; }

pg() {
  local program=$1
  shift
  as_postgres "$postgresql_bin/$program" -h "$SCRATCH/pg-socket" -p "$postgresql_port" "$@"
}

# Every index and heap is sound, and pgbench's own books balance.
postgresql_verify() {
  local sums
  pg psql -q -d postgres -c 'CREATE EXTENSION IF NOT EXISTS amcheck' || return 1
  pg pg_amcheck -d postgres --heapallindexed --no-dependent-toast || return 1
  sums=$(pg psql -At -d postgres -c 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM
    pgbench_branches) AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history)') || return 1
  [ "$sums" = t ] || { echo "pgbench's sums do not agree" >&2; return 1; }
}

postgresql_load() {
  local data=$1/data
  [ -n "$postgresql_bin" ] || { echo "no PostgreSQL server is installed" >&2; return 1; }
  postgresql_directory "$data" || return 1
  as_postgres "$postgresql_bin/initdb" -D "$data" -k -A trust >/dev/null || return 1
  postgresql_start "$data" || return 1
  pg pgbench -i -q -s 3 postgres 2>/dev/null || return 1
  pg pgbench -n -c 4 -j 2 -T 10 postgres | sed -n 's/^tps = \([0-9.]*\).*/note: pgbench \1 transactions a second/p' || return 1
  postgresql_verify || return 1
  postgresql_stop "$data" || return 1
  as_postgres "$postgresql_bin/pg_checksums" --check -D "$data"
}

# Kills the server under load; what it acknowledged comes back.
postgresql_killed() {
  local data=$1/data load acknowledged found
  postgresql_start "$data" || return 1
  pg psql -q -d postgres -c 'CREATE TABLE acknowledged(number int PRIMARY KEY)' || return 1
  pg pgbench -n -c 2 -T 60 postgres >/dev/null 2>&1 &
  load=$!
  for acknowledged in $(seq 1 40); do
    pg psql -q -d postgres -c "INSERT INTO acknowledged VALUES($acknowledged)" || return 1
  done
  # The first line of this file is the server's process id; its children end with it.
  kill -KILL "$(head -n 1 "$data/postmaster.pid")" || return 1
  wait "$load" 2>/dev/null
  postgresql_children_gone "$data" || return 1
  # A killed server is a process id still where nobody has reaped it, and its lock files name that.
  rm -f "$data/postmaster.pid" "$SCRATCH"/pg-socket/.s.*
  postgresql_start "$data" || return 1
  found=$(pg psql -At -d postgres -c 'SELECT count(*) FROM acknowledged') || return 1
  [ "$found" -eq 40 ] || { echo "only $found of 40 acknowledged rows are there" >&2; return 1; }
  postgresql_verify && postgresql_stop "$data" &&
    as_postgres "$postgresql_bin/pg_checksums" --check -D "$data"
}

# Waits up to 30 s until no process works in `data`: a new server refuses to start before.
postgresql_children_gone() {
  local tries=0 link
  while :; do
    link=$(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$1" 2>/dev/null | head -n 1)
    [ -n "$link" ] || return 0
    tries=$((tries + 1))
    [ "$tries" -le 300 ] || { echo "servers do not end: $link" >&2; return 1; }
    sleep 0.1
  done
}

# A snapshot of a server at work is a crash-consistent copy: a server on its clone recovers and is sound.
postgresql_clone() {
  local volume=$1 data=$2/data view=$SCRATCH/mnt-postgresql-clone load
  postgresql_start "$data" || return 1
  pg pgbench -n -c 4 -T 8 postgres >/dev/null 2>&1 &
  load=$!
  sleep 3
  varve snapshot create --name under-load --volume "$volume" || return 1
  wait "$load"
  postgresql_verify && postgresql_stop "$data" || return 1
  varve clone "$volume@under-load" postgresql-clone || return 1
  varve_mount postgresql-clone "$view" || return 1
  # The clone's lock file names the first server.
  rm -f "$view/data/postmaster.pid"
  postgresql_start "$view/data" && postgresql_verify && postgresql_stop "$view/data" || return 1
  as_postgres "$postgresql_bin/pg_checksums" --check -D "$view/data" || return 1
  varve_umount "$view"
}
