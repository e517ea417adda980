# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The Debian package: made from the build directory, installed and removed in an overlay of the host's own root.

section_package() {
  part 'package: is made' 300 package_make
  part 'package: lintian finds no error' 120 package_lintian
  part 'package: equal sources make equal packages' 300 package_again
  part 'package: installs, works and is removed; the store stays' 120 package_install
}

package_make() {
  mkdir -p "$WORK/deb"
  cmake --build "$BUILD" >/dev/null && (cd "$BUILD" && cpack -G DEB -B "$WORK/deb") >"$WORK/cpack.log" 2>&1 ||
    { tail -n 20 "$WORK/cpack.log" >&2; return 1; }
  ls "$WORK"/deb/varve_*.deb >/dev/null
}

package_lintian() {
  lintian --allow-root --fail-on error,warning "$WORK"/deb/varve_*.deb
}

package_again() {
  mkdir -p "$WORK/again"
  (cd "$BUILD" && SOURCE_DATE_EPOCH=1 cpack -G DEB -B "$WORK/again") >/dev/null 2>&1 || return 1
  diff <(dpkg-deb --fsys-tarfile "$WORK"/deb/varve_*.deb | tar -xO | sha256sum) \
    <(dpkg-deb --fsys-tarfile "$WORK"/again/varve_*.deb | tar -xO | sha256sum)
}

# A root of our own over the host's, in a mount namespace of its own that ends with the shell.
package_install() {
  cp "$WORK"/deb/varve_*.deb "$WORK/varve.deb" && mkdir -p "$WORK"/{upper,lower,root} || return 1
  cat >"$WORK/inside" <<'INSIDE'
set -eu
rm -rf /run/systemd
dpkg -i /tmp/varve.deb >/dev/null
dpkg -s varve | grep -q '^Status: install ok installed$'
varve version | grep -q .
test "$(readlink -f /usr/sbin/mount.varve)" = /usr/bin/varve
zcat /usr/share/man/man1/varve.1.gz | grep -q '^.TH VARVE'
systemd-analyze verify /lib/systemd/system/varve.service /lib/systemd/system/varve-scrub.timer 2>&1 |
  grep -iE 'varve.*(fail|unknown|invalid|not executable)' && exit 1
ls /etc/systemd/system/multi-user.target.wants/varve.service >/dev/null
varve --store /var/lib/varve init >/dev/null
varve --store /var/lib/varve volume create kept >/dev/null
bash -ec '. /usr/share/bash-completion/completions/varve
  COMP_WORDS=(varve vol) COMP_CWORD=1 && _varve && [ "${COMPREPLY[*]}" = volume ]
  COMP_WORDS=(varve volume cr) COMP_CWORD=2 && _varve && [ "${COMPREPLY[*]}" = create ]
  COMP_WORDS=(varve volume create --prot) COMP_CWORD=3 && _varve && [ "${COMPREPLY[*]}" = --protect ]
  COMP_WORDS=(varve rollb) COMP_CWORD=1 && _varve && [ "${COMPREPLY[*]}" = rollback ]'
dpkg -i /tmp/varve.deb >/dev/null
dpkg -r varve >/dev/null
dpkg -P varve >/dev/null
test ! -e /usr/bin/varve
test -d /var/lib/varve
! find /etc/systemd /lib/systemd /usr/share /var/lib/systemd -name '*varve*' 2>/dev/null | grep .
INSIDE
  cat >"$WORK/outside" <<'OUTSIDE'
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/upper"
mkdir "$1/upper/data" "$1/upper/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper/data,workdir=$1/upper/work" "$1/root"
mount --bind /proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs tmpfs "$1/root/run"
mount -t tmpfs tmpfs "$1/root/var/lib/systemd" 2>/dev/null || mkdir -p "$1/root/var/lib/systemd"
cp "$1/varve.deb" "$1/inside" "$1/root/tmp/"
exec chroot "$1/root" /usr/bin/env -u VARVE_STORE PATH=/usr/sbin:/usr/bin:/sbin:/bin bash /tmp/inside
OUTSIDE
  timeout 100 unshare -m bash "$WORK/outside" "$WORK"
}
