# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A large real tree goes into a volume and out again unchanged, metadata included.

# Some thousand files that every development machine has, with kinds that it may not have added.
tree_make() {
  local from=/usr/include
  mkdir -p "$1/real" && cp -a "$from/." "$1/real/" || return 1
  mkdir -p "$1/kinds/empty" && cd "$1/kinds" || return 1
  echo one >one && ln one two && ln -s one soft && ln -s nowhere/at/all dangling && mkfifo fifo || return 1
  truncate -s 10M sparse && printf x | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none || return 1
  head -c 3000000 /dev/urandom >random && : >nothing || return 1
  chmod 4751 one && chmod 1777 empty && touch -d '1971-02-03 04:05:06.789' nothing || return 1
  if [ "$(id -u)" -eq 0 ]; then chown 1234:5678 random && mknod null c 1 3 || return 1; fi
  setfattr -n user.colour -v blue random && setfacl -m u:4321:rw random || return 1
  touch -d '2001-02-03 04:05:06.123456789' . ..
}

# Kind, mode, owner, size, times and targets of everything below, sorted. A directory's size is its filesystem's affair.
tree_metadata() {
  (cd "$1" && find . -type d -printf '%p %y %m %U %G %T@\n' -o -printf '%p %y %m %U %G %s %T@ %n %l\n' | LC_ALL=C sort)
}

# ACLs and attributes by name: readdir has an order of its own.
tree_rights() {
  (cd "$1" && find . | LC_ALL=C sort | xargs getfacl -n -P && getfattr -d random)
}

tree_same() {
  # diff(1) cannot compare special files; their kind and mode are compared below.
  diff -r --no-dereference -x fifo -x null "$1" "$2" || return 1
  diff <(tree_metadata "$1") <(tree_metadata "$2") || return 1
  diff <(tree_rights "$1/kinds") <(tree_rights "$2/kinds")
}

tree_copy() {
  mkdir -p "$2"
  tar -C "$1" --format=posix --xattrs --acls --sparse -cf - . | tar -C "$2" --xattrs --acls -xpf -
}

tree_round_trip() {
  local volume=$1 inside=$2/tree source=$SCRATCH/tree-source back=$SCRATCH/tree-back
  (tree_make "$source") || return 1
  echo "note: $(find "$source" | wc -l) files, $(du -sm "$source" | cut -f1) MB"
  tree_copy "$source" "$inside" && tree_same "$source" "$inside" || return 1
  varve_umount "$2" && varve daemon stop && varve_mount "$volume" "$2" || return 1
  tree_same "$source" "$inside" || return 1
  tree_copy "$inside" "$back" && tree_same "$source" "$back" || return 1
  rm -rf "$inside" && [ -z "$(ls -A "$2")" ]
}
