#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Applications on a mounted volume: SQLite, PostgreSQL, git, tar and a compiler.
#
#   tests/apps/run.sh BUILD_DIR [PART...]        parts: sqlite postgresql git tree compile (all without)
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
# shellcheck source=tests/support/mount_fixture.sh
. tests/support/mount_fixture.sh
fixture_begin "${1:?usage: run.sh BUILD_DIR [sqlite|postgresql|git|tree|compile ...]}"
shift
parts=("$@")
[ "${#parts[@]}" -gt 0 ] || parts=(sqlite postgresql git tree compile)

wanted() { case " ${parts[*]} " in *" $1 "*) return 0 ;; esac; return 1; }

# . tests/apps/*.sh define the parts below.
for script in sqlite postgresql git tree compile; do
  # shellcheck source=/dev/null
  . "tests/apps/$script.sh"
done

if wanted sqlite; then
  part "mount a volume for SQLite" 60 start_volume sqlite
  MOUNT=$SCRATCH/mnt-sqlite
  for mode in wal delete; do
    part "SQLite, journal mode $mode, two processes" 300 sqlite_two_writers "$MOUNT/two-$mode.db" "$mode" 150
    part "SQLite, journal mode $mode, kill -9 of a writer" 300 sqlite_killed_writer "$MOUNT/killed-$mode.db" "$mode"
    part "SQLite, journal mode $mode, kill -9 of the daemon" 300 sqlite_killed_daemon sqlite "$MOUNT" "$mode"
    part "SQLite, journal mode $mode, a snapshot meanwhile" 300 sqlite_snapshot sqlite "$MOUNT" "$mode"
  done
fi

if wanted postgresql; then
  part "mount a volume for PostgreSQL" 60 start_volume postgresql
  MOUNT=$SCRATCH/mnt-postgresql
  part "PostgreSQL: initdb, pgbench, amcheck, pg_checksums" 400 postgresql_load "$MOUNT"
  part "PostgreSQL: kill -9 of the server" 300 postgresql_killed "$MOUNT"
  part "PostgreSQL: a clone taken under load recovers" 300 postgresql_clone postgresql "$MOUNT"
fi

if wanted git; then
  part "mount a volume for git" 60 start_volume git
  part "git: clone, commit, gc, fsck" 300 git_work "$root" "$SCRATCH/mnt-git"
fi

if wanted tree; then
  part "mount a volume for a tree" 60 start_volume tree
  part "tar of a real tree in and out" 600 tree_round_trip tree "$SCRATCH/mnt-tree"
fi

if wanted compile; then
  part "mount a volume for a build" 60 start_volume compile
  part "configure, build and run our own sources" 900 compile_sources "$root" "$SCRATCH/mnt-compile"
fi

fixture_end
