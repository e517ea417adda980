#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the POSIX suite pjdfstest on a directory.
#
#   tests/posix/pjdfstest.sh DIRECTORY [CHECKOUT]
#
# CHECKOUT, or the variable PJDFSTEST, is a checkout of the suite; it is not part of this repository. Without one
# nothing runs, which the output says, and the status is 0. The checkout is copied before it is built.
# PJDFSTEST_TESTS chooses some ("rename chmod/03.t"). Needs root.
set -euo pipefail

directory=$(cd "${1:?usage: pjdfstest.sh DIRECTORY [CHECKOUT]}" && pwd)
checkout=${2:-${PJDFSTEST:-}}
if [ -z "$checkout" ] || [ ! -e "$checkout/pjdfstest.c" ]; then
  echo "not run: pjdfstest, because PJDFSTEST names no checkout of it"
  exit 0
fi
[ "$(id -u)" -eq 0 ] || { echo "pjdfstest needs root" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/varve-pjdfstest-XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp -r "$checkout" "$work/suite"
if [ ! -x "$work/suite/pjdfstest" ]; then
  (cd "$work/suite" && autoreconf -ifs && ./configure && make) >"$work/build.log" 2>&1 ||
    { tail -n 20 "$work/build.log" >&2; exit 1; }
fi

# The suite asks df for the type of filesystem and leaves 29 checks of rename's ctime out unless it knows the answer.
# A FUSE mount is held to what it asks of ext4.
mkdir "$work/bin"
cat >"$work/bin/df" <<DF
#!/bin/sh
$(command -v df) "\$@" | sed -E 's/ fuse(blk)?(\.[a-z0-9_]+)? +/ ext4 /'
DF
chmod 755 "$work/bin/df"

tests=()
for name in ${PJDFSTEST_TESTS:-.}; do tests+=("$work/suite/tests/$name"); done
scratch=$(mktemp -d "$directory/pjdfstest-XXXXXX")
chmod 755 "$scratch"
status=0
(cd "$scratch" && PATH="$work/bin:$PATH" prove -Q -j "${PJDFSTEST_JOBS:-4}" -r "${tests[@]}") >"$work/result.log" 2>&1 ||
  status=$?
tail -n "${PJDFSTEST_LINES:-60}" "$work/result.log"
sed -nE 's/^Files=([0-9]+), Tests=([0-9]+),.*/note: pjdfstest ran \2 checks in \1 files/p' "$work/result.log"
rm -rf "$scratch"
exit "$status"
