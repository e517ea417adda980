# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Bad input: each is one sentence that names the object, a documented status, and nothing changed.

section_refused_alone() { refusals; }
section_refused_served() {
  ok daemon run
  refusals
  ok daemon stop
}

refusals() {
  local FINGERPRINT=1 name long size
  long=$(printf 'n%.0s' $(seq 256))
  ok volume create v
  ok volume create w
  ok snapshot create v@s
  ok snapshot create w@s
  ok snapshot create v@only

  # names
  for name in a/b / /a a/ . .. .hidden -dash _under 'a b' 'a@b' $'a\nb' $'a\tb' $'\e[31m' $'a\x7f' 'é' $'\xff' "$long" 'a:b' 'a*' '%2e'; do
    refused 2 'volume name|unknown|name' volume create --name "$name"
    [[ $name == *@* ]] || refused 2 'snapshot name|name' snapshot create --volume v --name "$name"
    refused 2 'volume name|name' clone v@s --name "$name"
  done
  refused 2 'empty' volume create --name ''
  refused 2 'empty' volume create ''
  refused 2 'empty' snapshot create --volume v --name ''
  refused 2 'empty' snapshot create v@
  that 'a long name is cut in the sentence' test "$(varve volume create "$long" 2>&1 | wc -c)" -lt 300
  prints "${long:1}" volume create "${long:1}"
  prints "${long:1}" volume rm "${long:1}"
  ok volume purge

  # duplicates
  refused 4 'v' volume create v
  refused 4 'w' clone v@s w
  refused 4 'A snapshot named s already exists. Choose a different snapshot name' snapshot create --name s --volume v

  # what does not exist
  for name in none NONE v1 vv '..' '/' 'v/' 'v@s' "$long" $'v\n'; do
    [ "$name" = v@s ] || refused 3 '' volume inspect "$name"
    refused 3 '' volume rm "$name"
    refused 3 '' volume set "$name" --size 1
    refused 3 '' volume restore "$name"
    refused 3 '' snapshot create --volume "$name" --name x
    refused 3 '' df "$name"
    refused 3 '' snapshot ls "$name"
  done
  for name in none v@none none@s 'v/s' "v@$long"; do
    refused 3 '' snapshot inspect "$name"
    refused 3 '' snapshot rm "$name"
    refused 3 '' clone "$name" x
    refused 3 '' volume create x --snapshot "$name"
  done
  refused 2 'names no snapshot' volume create x --snapshot v@s@s
  for name in @ @s v@ v@s@s ''; do
    refused 2 'names no snapshot' snapshot inspect "$name"
    refused 2 'names no snapshot' snapshot rm "$name"
    refused 2 'names no snapshot' clone "$name" x
    refused 2 'names no snapshot' diff "$name" v
  done
  refused 3 '' rollback v@none
  refused 3 '' rollback none@s
  refused 2 '' rollback v w@s
  refused 3 '' diff v@none v
  refused 3 '' diff v none
  refused 3 'not mounted' umount never-mounted

  # names that fit several
  refused 2 'VOLUME@|[Ss]everal' snapshot inspect s
  refused 2 'VOLUME@|[Ss]everal' snapshot rm s
  refused 2 'VOLUME@|[Ss]everal' clone s x

  # sizes
  for size in '' x -1 +1 1x 1.x .5 5. 1e9 0x10 nan inf 99999999999999999999 9223372036854775808B 10000PB '1 0' '10 GBB' 1GBps 0.1B; do
    refused 2 'size' volume create x --size "$size"
    refused 2 'size' volume set v --size "$size"
    refused 2 'size' clone v@s x --size "$size"
  done

  # options and arguments
  refused 2 'unknown' volume create --nmae x
  refused 2 'unknown' volume ls -z
  refused 2 'needs a value' volume create --name
  refused 2 'no value' volume ls --quiet=1
  refused 2 'fewer arguments' volume create a b
  refused 2 'more arguments' volume rm
  refused 2 'more arguments' volume inspect
  refused 2 'more arguments' snapshot rm
  refused 2 'more arguments' mount v
  refused 2 'more arguments' umount
  refused 2 'more arguments' clone
  refused 2 'more arguments' diff
  refused 2 'fewer arguments' status now
  refused 2 'not a varve command' volumes ls
  refused 2 'not a varve command' volume destroy v
  refused 2 'not a varve command' ''
  refused 2 'twice' volume create a --name b
  refused 2 'twice' snapshot create v@x --name y
  refused 2 'twice' snapshot create v --volume w
  refused 2 'no volume' snapshot create --name x
  refused 2 'not NAME=VALUE' volume create x --label novalue
  refused 2 'not NAME=VALUE' volume create x --label =value
  refused 2 'reserved' volume create x --label size=1
  refused 2 'reserved' volume set v --label snapshot=1
  refused 2 '' volume create x --label "big=$(head -c 100000 /dev/zero | tr '\0' x)"
  refused 2 'octal' volume create x --mode 888
  refused 2 'octal' volume create x --mode 17777
  refused 2 'octal' volume create x --mode ''
  refused 2 'whole number' volume create x --uid -1
  refused 2 'whole number' volume create x --gid root
  refused 2 'whole number' volume create x --uid 4294967295
  refused 2 'nothing to change' volume set v
  refused 2 'exclude' volume set v --protect --no-protect
  refused 2 'filter' volume ls --filter colour=red
  refused 2 'filter' volume ls --filter dangling
  refused 2 'dangling' volume ls --filter dangling=perhaps
  refused 2 'filter' snapshot ls --filter colour=red
  refused 2 'unknown field' volume inspect --format '{{.None}}' v
  refused 2 'template' volume inspect --format '{{range .Name}}' v
  refused 2 'template' volume ls --format '{{.Name'

  # several arguments: the others are done, the status is the first failure's
  run volume inspect none v nope -f '{{.Name}}'
  same 'the others are shown, each failure has a line' '3 v 2' "$STATUS $OUT $(wc -l <<<"$ERR")"
  ok volume create p
  run volume rm v none p
  same 'the others are removed' '4 p' "$STATUS $OUT"
  FINGERPRINT=

  # stores
  echo text >"$SCRATCH/file"
  mkdir -p "$SCRATCH/full" "$SCRATCH/missing-parent"
  echo x >"$SCRATCH/full/x"
  refused 3 'mistyped' --store "$SCRATCH/mistyped/store" volume ls
  refused 3 'no store' --store "$SCRATCH/missing-parent/none" volume inspect v
  refused 3 'no store' --store "$SCRATCH/missing-parent/none" volume rm v
  refused 3 'no store' --store "$SCRATCH/missing-parent/none" rollback v@s
  refused 3 'no store' --store "$SCRATCH/missing-parent/none" status
  refused 3 'no store' --store "$SCRATCH/missing-parent/none" sync
  refused 3 'no store' --store "$SCRATCH/missing-parent/none" repair
  refused 3 'no daemon' --store "$SCRATCH/missing-parent/none" daemon stop
  that 'no store was made' test ! -e "$SCRATCH/missing-parent/none" -a ! -e "$SCRATCH/mistyped"
  refused 4 'not empty' --store "$SCRATCH/full" volume ls
  same 'the directory is as it was' x "$(ls -A "$SCRATCH/full")"
  refused 4 'not empty' init "$SCRATCH/full"
  refused 2 "$SCRATCH/file" --store "$SCRATCH/file" volume ls
  refused 2 "$SCRATCH/file" init "$SCRATCH/file"
  refused 2 'empty' --store '' volume ls
  same 'the file is as it was' text "$(cat "$SCRATCH/file")"
}

section_refused_mounts() {
  can_mount || return
  local a b FINGERPRINT=1 word
  directories a b
  ok volume create v
  ok snapshot create v@s
  echo x >"$SCRATCH/plain"
  ln -sfn "$a" "$SCRATCH/link"
  refused 3 'does not exist' mount v "$SCRATCH/nothing"
  refused 3 '' mount v "$SCRATCH/nothing/below"
  refused 2 'not a directory' mount v "$SCRATCH/plain"
  refused 2 '' mount v "$SCRATCH/plain/below"
  refused 2 'symbolic link' mount v "$SCRATCH/link"
  refused 2 'symbolic link' mount v "$SCRATCH/link/"
  refused 2 'empty' mount v ''
  refused 4 'mount already' mount v /proc
  refused 2 'hide' mount v /
  mkdir -p "$VARVE_STORE/inside" 2>/dev/null
  refused 2 'inside the store' mount v "$VARVE_STORE"
  refused 2 'inside the store' mount v "$VARVE_STORE/inside"
  refused 2 'hide' mount v "$SCRATCH"
  rmdir "$VARVE_STORE/inside"
  that 'no daemon was started for these' test -z "$(daemon_pid)"
  refused 2 'transport' mount v "$a" --transport pigeon
  for word in bogus ro=1 allow_root big_writes max_threads=0 transport=x sync; do
    refused 2 "${word%%=*}" mount v "$a" -o "$word"
  done
  that 'no daemon was started for these' test -z "$(daemon_pid)"
  refused 3 'none' mount none "$a"
  refused 3 '' mount v@none "$a"
  refused 3 '' mount none@s "$a"
  refused 3 '' mount v@ "$a"
  refused 3 'no store' --store "$SCRATCH/no-store" mount v "$a"
  that 'no store was made' test ! -e "$SCRATCH/no-store"
  that 'nothing is mounted' test -z "$(grep -E " ($a|$b) " /proc/self/mounts)"
  ok daemon stop

  # without /dev/fuse, in a namespace of its own
  in_namespace "
    mkdir -p $SCRATCH/dev && mount -t tmpfs tmpfs $SCRATCH/dev && mknod -m 666 $SCRATCH/dev/null c 1 3 &&
      mknod -m 666 $SCRATCH/dev/zero c 1 5 && mknod -m 666 $SCRATCH/dev/urandom c 1 9 && mount --bind $SCRATCH/dev /dev || exit 90
    $VARVE mount v $a" >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
  STATUS=$? OUT= ERR=$(cat "$SCRATCH/err")
  if [ "$STATUS" -eq 9 ] && grep -q /dev/fuse <<<"$ERR"; then pass; else fail 'no /dev/fuse is status 9 and a sentence'; fi
}
