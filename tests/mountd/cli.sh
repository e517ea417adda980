#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The command line from end to end: every command without and with a daemon, mounts, bad input, and the commands that the
# documents show.
#
#   tests/mountd/cli.sh BUILD_DIR [SECTION...]
#
# Prints each failed check and the counts of each section, then "N passed, N failed"; status 1 if any failed. Mounts need
# /dev/fuse and root; without them the sections that mount are named as not run and count as failed.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/tests/support/mount_fixture.sh"
. "$here/cli_checks.sh"

all_sections=(names_alone names_served trash_alone trash_served output_alone output_served init_volume snapshots_dir daemon killed keeper mounts live rollback helper
  refused_alone refused_served refused_mounts damaged scrub_alone scrub_served scrub_mounted privileges security crowd documents)

fixture_begin "${1:?usage: tests/mountd/cli.sh BUILD_DIR [SECTION...]}"
shift
VARVE_TIMEOUT=${VARVE_TIMEOUT:-60}
export VARVE_TIMEOUT
for file in "$here"/cli_*.sh; do
  [ "$file" = "$here/cli_checks.sh" ] || . "$file"
done

sections=("$@")
[ ${#sections[@]} -gt 0 ] || sections=("${all_sections[@]}")
for name in "${sections[@]}"; do
  section "$name"
done
fixture_end
