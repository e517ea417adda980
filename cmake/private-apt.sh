# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Packages of another suite of the distribution, fetched with a configuration in $work, so that neither the system's sources nor
# its package lists change. To be sourced; $work is a directory of the caller's.
#
#   point_at TYPE SUITE        makes $work hold the package lists of `SUITE`; TYPE is deb or deb-src
#   private_apt PROGRAM ...    apt-get or apt-cache with them

# The base URI of each archive from which the system takes its own release.
mirrors() {
  local codename
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  [ -n "$codename" ] || return 0
  apt-get --print-uris update 2>/dev/null | sed -nE "s#^'([^']*/)dists/$codename/InRelease'.*#\1#p" | sort -u
}

# Runs an apt program with its state, cache and sources in $work, and everything else (proxy, keys) as the system has it.
private_apt() {
  local program=$1
  shift
  timeout 180 "$program" -q -q \
    -o Dir::State="$work/state" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$work/cache" \
    -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=1 \
    -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Check-Valid-Until=true "$@"
}

# Of the first archive that has the suite.
point_at() {
  local type=$1 suite=$2 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg options=''
  [ -f "$keyring" ] && options="[signed-by=$keyring] "
  for mirror in $(mirrors); do
    printf '%s %s%s %s main\n' "$type" "$options" "$mirror" "$suite" >"$work/sources.list"
    rm -rf "$work/state" "$work/cache"
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
    private_apt apt-get -o APT::Update::Error-Mode=any update >>"$work/log" 2>&1 && return 0
  done
  return 1
}
