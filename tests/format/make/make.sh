#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Writes the golden stores of the present format into tests/format. To be run when the format gets a new version, by the
# program that is released with it, and never again for that version: the stores must stay what that program wrote.
#
#   tests/format/make/make.sh BUILD_DIR VERSION
set -euo pipefail
tool=$(realpath "${1:?usage: tests/format/make/make.sh BUILD_DIR VERSION}")/tests/varve_make_golden
version=${2:?the number of the format}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -e "$here/format-$version-clean.tar.gz" ]; then
  echo "the golden stores of format $version exist; they are never written again" >&2
  exit 2
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/crashed" "$scratch/clean" "$scratch/copy"

"$tool" write "$scratch/crashed/store"
cp -a "$scratch/crashed/store" "$scratch/clean/store"
"$tool" close "$scratch/clean/store"
for state in crashed clean; do
  # Nothing but what a reader needs: who locked it and the index's write-ahead log are of the process that is gone.
  tar --sparse --sort=name --owner=0 --group=0 --mtime=@1700000000 -C "$scratch/$state" -cf - store |
    gzip -9n >"$here/format-$version-$state.tar.gz"
  rm -rf "$scratch/copy"
  cp -a "$scratch/$state" "$scratch/copy"
  "$tool" show "$scratch/copy/store" >"$here/format-$version-$state.manifest"
done
ls -l "$here"/format-"$version"-*
