#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes and enables a plugin that Docker manages, from the static program.
#
#   make.sh VARVE_PROGRAM [NAME] [STORE_DIRECTORY]     NAME: varve:latest; STORE_DIRECTORY: /var/lib/varve-plugin
#
# An upgrade of a managed plugin ends its mounts: prefer the socket of a daemon of the host where you can install one.
set -euo pipefail
program=${1:?usage: make.sh VARVE_PROGRAM [NAME] [STORE_DIRECTORY]} name=${2:-varve:latest} store=${3:-/var/lib/varve-plugin}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/rootfs/{run/docker/plugins,store,tmp,proc,sys,dev,run/varve} "$store"
cp "$program" "$work/rootfs/varve"
cp "$here/config.json" "$work/config.json"
docker plugin create "$name" "$work" >/dev/null
docker plugin set "$name" "store.source=$store"
docker plugin enable "$name"
