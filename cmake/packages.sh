#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Debian 12 packages by purpose, installed only where missing.
#
#   . cmake/packages.sh && install_packages build test      from a script
#   bash cmake/packages.sh build test container bench       from a shell
#
# Groups: build (compile and run Varve), test (every stage of tests/run.sh), example (examples/), container (dockerd, podman),
# package (the Debian package), bench (the measurements in tests/bench).

# The package names of `group`, one line; fails for an unknown group.
packages_of() {
  case $1 in
    build)
      echo build-essential cmake ninja-build ccache pkg-config git ca-certificates meson dpkg-dev \
        libfuse3-dev fuse3 libnuma-dev liburing-dev libsqlite3-dev libssl-dev libzstd-dev libxxhash-dev \
        libcurl4-openssl-dev libboost-dev libboost-filesystem-dev libboost-system-dev nlohmann-json3-dev libcli11-dev \
        libmimalloc-dev
      ;;
    test)
      echo clang-14 libclang-rt-14-dev llvm-14 clang-format-14 clang-tidy-14 libgtest-dev libgmock-dev \
        libbenchmark-dev acl attr sqlite3 postgresql-15 python3 jq curl perl autoconf automake busybox-static \
        bubblewrap libcap2-bin strace psmisc procps util-linux rsync e2fsprogs xfsprogs btrfs-progs
      ;;
    example)
      echo bubblewrap busybox-static sqlite3
      ;;
    container)
      echo docker.io docker-compose jq podman runc bubblewrap busybox-static uidmap curl python3
      ;;
    package)
      echo lintian systemd init-system-helpers dpkg-dev
      ;;
    bench)
      echo libbenchmark-dev python3 fio e2fsprogs btrfs-progs sqlite3 postgresql-15
      ;;
    *)
      echo "packages: no group '$1'; there are build, test, example, container, package and bench" >&2
      return 2
      ;;
  esac
}

# Which of the packages named are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

# Keeps the PostgreSQL packages from creating and starting a cluster: the tests make their own.
no_database_cluster() {
  local as_root=("$@") file=/etc/postgresql-common/createcluster.conf
  [ -e "$file" ] && return 0
  "${as_root[@]}" mkdir -p "${file%/*}" &&
    printf 'create_main_cluster = false\n' | "${as_root[@]}" tee "$file" >/dev/null
}

# Installs what is missing of `group...`. Silent when nothing is; says in one sentence what it cannot do.
install_packages() {
  local group wanted=() missing as_root=()
  for group in "$@"; do
    # shellcheck disable=SC2207  # package names hold no blanks
    wanted+=($(packages_of "$group")) || return 2
  done
  if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    echo "packages: this is no Debian system; please see to these yourself: ${wanted[*]}" >&2
    return 0
  fi
  mapfile -t missing < <(missing_packages "${wanted[@]}" | sort -u)
  [ "${#missing[@]}" -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1 || ! sudo -n true 2>/dev/null; then
      echo "packages: some are missing, and this account is neither root nor has sudo without a password." >&2
      echo "packages: have an administrator run: apt-get install --no-install-recommends ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo -n)
  fi
  echo "packages: installing ${missing[*]}" >&2
  case " ${missing[*]} " in *' postgresql-15 '*) no_database_cluster "${as_root[@]}" ;; esac
  apt_install "${as_root[@]}" -- "${missing[@]}" && return 0
  "${as_root[@]}" timeout 300 apt-get -q -q -o DPkg::Lock::Timeout=300 update </dev/null >&2 &&
    apt_install "${as_root[@]}" -- "${missing[@]}" && return 0
  echo "packages: apt-get could not install all of: ${missing[*]}" >&2
  return 1
}

# apt_install [sudo -n] -- PACKAGE...
apt_install() {
  local as_root=()
  while [ "$1" != -- ]; do as_root+=("$1") && shift; done
  shift
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive timeout 1200 apt-get -q -q -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install "$@" </dev/null >&2
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -euo pipefail
  install_packages "$@"
fi
