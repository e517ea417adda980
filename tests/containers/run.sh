#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Volumes with real container engines: dockerd, Swarm and Podman, and the plugin's protocol by itself.
#
#   tests/containers/run.sh BUILD_DIR [SECTION...]
#
# Sections: plugin docker swarm podman seeds examples package systemd rootless. Prints a line for each part, then "N passed, N failed"; status 1 if any
# failed. Engines that are missing are installed (cmake/packages.sh); root and /dev/fuse are needed. Each run has its own
# store, dockerd and plugin name, so that nothing of the host's own engines is touched.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/tests/support/mount_fixture.sh"
. "$root/cmake/packages.sh"
. "$here/engines.sh"

all_sections=(plugin docker swarm podman seeds examples package systemd rootless)
fixture_begin "${1:?usage: tests/containers/run.sh BUILD_DIR [SECTION...]}"
shift
if [ "$(id -u)" -ne 0 ] || [ ! -e /dev/fuse ]; then
  echo "tests/containers needs root and /dev/fuse" >&2
  exit 1
fi
for file in plugin docker swarm podman seeds examples package boot quadlet systemd rootless; do
  . "$here/$file.sh"
done

sections=("$@")
[ ${#sections[@]} -gt 0 ] || sections=("${all_sections[@]}")
install_packages container package || exit 1
for name in "${sections[@]}"; do
  case " ${all_sections[*]} " in *" $name "*) ;; *)
    echo "no section '$name'; there are ${all_sections[*]}" >&2
    exit 2
    ;;
  esac
  engines_begin "$name"
  "section_$name"
  engines_end
done
fixture_end
