# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The snapshots of a mounted volume, at .snapshots in it.

section_snapshots_dir() {
  can_mount || return
  local a=$SCRATCH/snap-a b=$SCRATCH/snap-b held
  mkdir -p "$a" "$b"
  ok volume create vol1
  ok mount vol1 "$a"
  mkdir "$a/dir" && echo one >"$a/dir/file" && ln -s dir/file "$a/link" && chmod 640 "$a/dir/file"
  head -c 3000000 /dev/urandom >"$a/large" && cp "$a/large" "$SCRATCH/large"
  that 'it is there before the first snapshot' test -z "$(ls "$a/.snapshots")"
  ok snapshot create vol1@s1
  echo two >"$a/dir/file" && rm "$a/large" "$a/link"
  ok snapshot create vol1@s2
  rm -r "$a/dir"

  # hidden, complete, and as it was
  same 'listings of the root do not show it' '' "$(ls -A "$a")"
  same 'its own listing shows each snapshot' "$(printf 's1\ns2')" "$(ls "$a/.snapshots")"
  same 'the first holds what was there' one "$(cat "$a/.snapshots/s1/link")"
  same 'the second, too' two "$(cat "$a/.snapshots/s2/dir/file")"
  that 'large files are whole' cmp "$SCRATCH/large" "$a/.snapshots/s1/large"
  same 'with their modes' 640 "$(stat -c %a "$a/.snapshots/s1/dir/file")"
  same 'find sees each file once' "$(printf '.\n./dir\n./dir/file\n./large\n./link')" "$(cd "$a/.snapshots/s1" && find . | sort)"
  that 'a name that is none is refused' test ! -e "$a/.snapshots/none"
  that 'inode numbers differ from those of the volume' test "$(stat -c %i "$a/.snapshots/s1/dir")" != "$(stat -c %i "$a/.snapshots/s2/dir")"

  # nothing can be changed there
  that 'writing is refused' grep -q 'Read-only' <<<"$( (echo x >"$a/.snapshots/s1/new") 2>&1)"
  that 'opening for writing is refused' grep -q 'Read-only' <<<"$( (echo x >>"$a/.snapshots/s1/dir/file") 2>&1)"
  that 'removing is refused' grep -q 'Read-only' <<<"$(rm "$a/.snapshots/s1/large" 2>&1)"
  that 'a snapshot is not removed by rmdir' grep -q 'Read-only' <<<"$(rmdir "$a/.snapshots/s1" 2>&1)"
  that 'none is made by mkdir' grep -q 'Read-only' <<<"$(mkdir "$a/.snapshots/s3" 2>&1)"
  that 'the directory is not removed' grep -q 'not permitted' <<<"$(rmdir "$a/.snapshots" 2>&1)"
  that 'nor renamed' grep -q 'not permitted' <<<"$(mv "$a/.snapshots" "$a/x" 2>&1)"
  that 'nor is another put over it' grep -qE 'not permitted|exists|File exists' <<<"$(mkdir "$a/.snapshots" 2>&1)"
  that 'nothing is moved out' grep -q 'Read-only' <<<"$(mv "$a/.snapshots/s1/large" "$a/large" 2>&1)"
  that 'nor linked' grep -qE 'cross-device|Read-only' <<<"$(ln "$a/.snapshots/s1/large" "$a/large" 2>&1)"
  rm -f "$a/large"

  # restoring a file is copying it
  that 'a file is copied back' cp -a "$a/.snapshots/s1/large" "$a/large"
  that 'and is what it was' cmp "$SCRATCH/large" "$a/large"
  that 'a tree is copied back' cp -a "$a/.snapshots/s2/dir" "$a/dir"
  same 'and is what it was, too' two "$(cat "$a/dir/file")"

  # what comes and goes shows at once, in a bind mount as well
  mount --bind "$a" "$b"
  ok snapshot create vol1@s3
  same 'a new one is listed' "$(printf 's1\ns2\ns3')" "$(ls "$b/.snapshots")"
  that 'a name that was missing is found once it is there' test -d "$a/.snapshots/s3"
  exec {held}<"$a/.snapshots/s1/large"
  ok snapshot rm vol1@s1
  same 'a removed one is not listed' "$(printf 's2\ns3')" "$(ls "$a/.snapshots")"
  that 'nor found' test ! -e "$a/.snapshots/s1"
  that 'what is read of it is an error, not old or wrong bytes' grep -q 'Stale' <<<"$(dd if="/proc/self/fd/$held" iflag=direct bs=64k count=1 2>&1 >/dev/null)"
  exec {held}<&-
  umount "$b"

  # across a takeover and a rollback
  exec {held}<"$a/.snapshots/s2/dir/file"
  kill -9 "$(varve status --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["daemon"]["pid"])')"
  same 'an open file there goes on over the death of the daemon' two "$(cat <&"$held")"
  same 'and names do' two "$(cat "$a/.snapshots/s2/dir/file")"
  exec {held}<&-
  like before-rollback rollback vol1@s2
  same 'after a rollback all of them are there' 3 "$(ls "$a/.snapshots" | wc -l)"

  # without, and where the volume has a file of that name
  ok umount "$a"
  ok mount vol1 "$a" -o nosnapshots
  that 'nosnapshots shows nothing' test ! -e "$a/.snapshots"
  like 'nosnapshots' status
  mkdir "$a/.snapshots" && echo mine >"$a/.snapshots/own"
  ok umount "$a"
  ok mount vol1 "$a"
  same 'a file of the volume comes first' mine "$(cat "$a/.snapshots/own")"
  rm -r "$a/.snapshots"
  that 'after it the snapshots are seen' test -d "$a/.snapshots/s2"
  ok umount "$a"
  ok mount vol1@s2 "$a"
  that 'a mounted snapshot has none' test ! -e "$a/.snapshots"
  ok umount "$a"
}
