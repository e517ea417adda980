# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# git on a volume.

git_here() { git -c user.name=Varve -c user.email=varve@localhost -c init.defaultBranch=main -c safe.directory='*' "$@"; }

# git_source ROOT TARGET: clones this project, or a copy of its files where they are no repository.
git_source() {
  if git_here -C "$1" rev-parse --git-dir >/dev/null 2>&1; then
    git_here clone -q --no-local "$1" "$2"
  else
    mkdir -p "$2" && tar -C "$1" --exclude=./build --exclude='./build-*' -cf - . | tar -C "$2" -xf - &&
      git_here -C "$2" init -q && git_here -C "$2" add -A && git_here -C "$2" commit -q -m "all files"
  fi
}

git_work() {
  local root=$1 work=$2/work commit
  git_source "$root" "$work" || return 1
  for commit in 1 2 3 4 5; do
    echo "change $commit" >>"$work/changed"
    head -c 200000 /dev/urandom >"$work/binary-$commit"
    git_here -C "$work" add -A && git_here -C "$work" commit -q -m "change $commit" || return 1
  done
  git_here -C "$work" checkout -q -b side HEAD~3 || return 1
  echo side >"$work/side" && git_here -C "$work" add -A && git_here -C "$work" commit -q -m side || return 1
  git_here -C "$work" merge -q -m merge - >/dev/null || return 1
  git_here -C "$work" gc -q --aggressive --prune=now || return 1
  git_here -C "$work" fsck --full --strict || return 1
  [ -z "$(git_here -C "$work" status --porcelain)" ] || { git_here -C "$work" status --short >&2; return 1; }
  git_here clone -q "$work" "$2/again" || return 1
  diff -r --exclude=.git "$work" "$2/again"
}
