#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the prefix of a static libfuse >= 3.17, building it first if no cached build fits.
#
#   cmake/build-libfuse.sh        last line of stdout is a directory with include/, lib/ and a file `version`
#
# The source is the distribution's own package from a later suite, fetched with a private apt configuration, so that
# neither the system's sources nor its package lists change. 3.18 brings io_uring, 3.17 brings HANDLE_KILLPRIV_V2.
# Builds are shared by all build directories: one writer at a time (flock), published by one rename.
#
# Exit status: 0 done, anything else "use the system's library"; the reason is the last line of stderr.
set -euo pipefail
. "$(dirname "$0")/private-apt.sh"

recipe=1                # part of the cache key: raise it when the options below change
wanted=3.18             # stop looking when a suite offers this
lowest=3.17             # what is worth building at all
suites=(testing sid stable)
compiler=${CC:-cc}
cache=${VARVE_LIBFUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/varve/libfuse}

say() { printf 'libfuse: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
at_least() { dpkg --compare-versions "$1" ge "$2"; }

for tool in "$compiler" meson ninja pkg-config apt-get apt-cache dpkg dpkg-source flock; do
  command -v "$tool" >/dev/null 2>&1 || fail "cannot build it here: no $tool"
done

key="$(basename "$compiler")-$("$compiler" -dumpfullversion -dumpversion)-$("$compiler" -dumpmachine)-r$recipe"

# The newest cached build made by this compiler and recipe; empty if there is none.
cached() {
  local directory version best='' best_version=0
  for directory in "$cache"/*-"$key"; do
    [ -f "$directory/lib/libfuse3.a" ] && [ -f "$directory/version" ] || continue
    version=$(<"$directory/version")
    if at_least "$version" "$lowest" && at_least "$version" "$best_version"; then
      best=$directory best_version=$version
    fi
  done
  printf '%s' "$best"
}

# Points the private configuration at a suite; prints the version of libfuse there.
offered_by() {
  point_at deb-src "$1" || return 1
  private_apt apt-cache --only-source showsrc fuse3 2>>"$work/log" | awk '$1 == "Version:" { print $2 }' | sort -V |
    tail -n 1 | grep .
}

# Downloads and unpacks the best source on offer into $work/source; prints its version.
fetch_source() {
  local suite version best='' best_suite='' last=''
  for suite in "${suites[@]}"; do
    version=$(offered_by "$suite") || continue
    last=$suite
    if at_least "$version" "${best:-$lowest}"; then best=$version best_suite=$suite; fi
    at_least "${best:-0}" "$wanted" && break
  done
  [ -n "$best" ] || return 1
  [ "$last" = "$best_suite" ] || offered_by "$best_suite" >/dev/null || return 1
  (cd "$work" && private_apt apt-get source --only-source --download-only "fuse3=$best" >>"$work/log" 2>&1) || return 1
  dpkg-source --no-copy -x "$work"/fuse3_*.dsc "$work/source" >>"$work/log" 2>&1 || return 1
  printf '%s' "${best%%-*}"
}

# Compiles $work/source into $work/prefix. The prefix compiled in stays /usr, where fusermount3 lives.
compile() {
  local root=$work/installed option options=()
  # 3.17 has neither of these: its custom I/O is always there, io_uring never.
  for option in enable-io-uring enable-custom-io; do
    if grep -q "'$option'" "$work/source/meson_options.txt"; then options+=("-D$option=true"); fi
  done
  CC=$compiler CFLAGS='-O2 -g0' timeout 300 meson setup "$work/build" "$work/source" \
    --prefix=/usr --libdir=lib --sysconfdir=/etc --buildtype=release --wrap-mode=nodownload \
    -Ddefault_library=static -Dexamples=false -Dtests=false -Dutils=false "${options[@]}" >>"$work/log" 2>&1 || return 1
  timeout 300 ninja -C "$work/build" >>"$work/log" 2>&1 || return 1
  DESTDIR=$root timeout 60 ninja -C "$work/build" install >>"$work/log" 2>&1 || return 1
  mkdir -p "$work/prefix/lib"
  cp -r "$root/usr/include" "$work/prefix/include" && cp "$root/usr/lib/libfuse3.a" "$work/prefix/lib/"
}

mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || fail "cannot write to the cache $cache"
exec 9>"$cache/.lock"
flock -w 900 9 || fail "another build holds $cache/.lock"

prefix=$(cached)
if [ -n "$prefix" ]; then
  say "$(<"$prefix/version") from the cache $prefix"
  printf '%s\n' "$prefix"
  exit 0
fi

work=$(mktemp -d "$cache/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT
started=$SECONDS
version=$(fetch_source) || { tail -n 3 "$work/log" >&2 2>/dev/null || true; fail 'no later suite with libfuse >= 3.17 can be read'; }
compile || { tail -n 15 "$work/log" >&2; fail "libfuse $version does not build here"; }
printf '%s\n' "$version" >"$work/prefix/version"
prefix=$cache/$version-$key
rm -rf "$prefix"
mv "$work/prefix" "$prefix"
say "$version built in $((SECONDS - started)) s, cached in $prefix"
printf '%s\n' "$prefix"
