#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Blue and green. Blue serves; green, the new version, is tried on a clone of its data. If green passes, it takes over the real
# volume; if it breaks something there after all, one rollback brings the data and one command brings blue back.
#
#   upgrade.sh VOLUME
#
# DRIVER and IMAGE may be set. Here the "new version" adds a line and its check reads it; put your own in.
set -euo pipefail
volume=${1:?usage: upgrade.sh VOLUME} driver=${DRIVER:-varve} image=${IMAGE:-busybox}

run() { docker run --rm --network none -v "$1:/data" "$image" /bin/sh -c "$2"; }
new_version='echo "schema 2" >>/data/db'
check='grep -q "schema 2" /data/db && ! grep -q broken /data/db'

# 1. Try it on a clone of the present state, while blue goes on.
docker volume create -d "$driver" -o "from=$volume" "$volume-green" >/dev/null
if ! run "$volume-green" "$new_version" || ! run "$volume-green" "$check"; then
  docker volume rm "$volume-green" >/dev/null
  echo "the new version fails on a clone; nothing has changed"
  exit 1
fi
docker volume rm "$volume-green" >/dev/null

# 2. Stop blue, keep its state, and let green have the volume.
docker stop -t 10 "$volume-blue" >/dev/null
varve snapshot create "$volume@before-upgrade" >/dev/null
if run "$volume" "${BREAK:-$new_version}" && run "$volume" "$check"; then
  echo "upgraded; $volume@before-upgrade is the way back"
else
  varve rollback "$volume@before-upgrade" >/dev/null
  docker start "$volume-blue" >/dev/null
  echo "rolled back; blue serves again"
fi
