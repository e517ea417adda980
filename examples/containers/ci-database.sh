#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A golden database for continuous integration: it is filled once; each job works on a clone, which is dropped after it.
#
#   ci-database.sh fill             makes the golden volume and its snapshot
#   ci-database.sh job COMMAND      runs COMMAND in a container with a clone at /data, and drops the clone
#
# DRIVER and IMAGE may be set.
set -euo pipefail
driver=${DRIVER:-varve} image=${IMAGE:-busybox}

case ${1:-} in
  fill)
    docker volume create -d "$driver" -o protect=true ci-golden >/dev/null
    docker run --rm --network none -v ci-golden:/data "$image" /bin/sh -c 'seq 10000 >/data/table'
    varve snapshot create ci-golden@ready
    ;;
  job)
    name=ci-job-$$
    docker volume create -d "$driver" -o from=ci-golden@ready -o label.job=ci "$name" >/dev/null
    trap 'docker volume rm "$name" >/dev/null' EXIT
    docker run --rm --network none -v "$name:/data" "$image" /bin/sh -c "${2:?a command}"
    ;;
  *)
    sed -n '6,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
