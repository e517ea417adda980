# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Mounts, and what commands do to volumes that are mounted.

# content FILE TEXT: the file holds exactly the text.
content() { that "$1 holds $2" test "$(cat "$1" 2>&1)" = "$2"; }

# directories NAME...: makes $SCRATCH/SECTION-NAME and sets a variable NAME to it
directories() {
  local name
  for name in "$@"; do
    mkdir -p "$SCRATCH/$SECTION-$name"
    printf -v "$name" %s "$SCRATCH/$SECTION-$name"
  done
}

section_mounts() {
  can_mount || return
  local a b c pid
  directories a b c

  # mount starts a daemon; the mount is there and is listed
  ok volume create vol1
  ok mount vol1 "$a"
  that 'it is mounted' is_mounted "$a"
  pid=$(daemon_pid)
  that 'a daemon runs' is_running "$pid"
  echo hello >"$a/test.txt"
  content "$a/test.txt" hello
  json 'j[0]["Mountpoint"] == "'"$a"'" and j[0]["Attached"]' volume inspect vol1
  like "vol1 at $a \(rw,.*transport=" status
  json 'j["mounts"][0]["target"] == "vol1" and j["mounts"][0]["requests_total"] > 0' status --json
  json 'j["mounts"][0]["transport"] in ("plain", "uring") and not j["mounts"][0]["read_only"]' status --json
  prints '' volume ls -q --filter dangling=true
  prints vol1 volume ls -q --filter dangling=false
  that 'df(1) shows the size' test "$(df --output=size -B1000000000 "$a" | tail -n 1 | tr -d ' ')" = 10

  # what is in use is refused
  local FINGERPRINT=1
  refused 4 "mounted at $a already" mount vol1 "$b"
  refused 4 'a mount already' mount vol1 "$a"
  refused 4 "mounted at $a" volume rm vol1
  (cd "$a" && sleep 60) &
  local user=$!
  sleep 0.2
  refused 4 '' umount "$a"
  refused 4 '' daemon stop
  that 'it is still mounted' is_mounted "$a"
  kill "$user"
  wait "$user" 2>/dev/null
  FINGERPRINT=

  # unmount by directory, by name, from inside the parent, and by umount(8)
  ok umount "$a"
  that 'it is not mounted' test -z "$(ls "$a")"
  that 'the daemon stays for a while' is_running "$pid"
  ok mount vol1 "$a"
  content "$a/test.txt" hello
  ok umount vol1
  (cd "$SCRATCH" && varve mount vol1 "$SECTION-a") || fail 'mount of a relative path'
  content "$a/test.txt" hello
  (cd "$a/.." && varve umount "$SECTION-a/") || fail 'umount of a relative path'
  ok mount vol1 "$a"
  umount "$a"
  that 'umount(8) ends it' wait_until_unlisted "$a"
  prints vol1 volume rm vol1
  prints vol1 volume restore vol1
  refused 3 'not mounted' umount "$a"
  refused 3 'not mounted' umount vol1
  refused 3 'not mounted' umount vol1@none

  # snapshots are mounted read-only, often
  prints s snapshot create vol1@s
  ok mount vol1 "$a"
  echo later >"$a/test.txt"
  ok mount vol1@s "$b"
  ok mount vol1@s "$c" -o noexec
  content "$b/test.txt" hello
  content "$a/test.txt" later
  that 'a snapshot takes no writes' test "$(touch "$b/x" 2>&1 | grep -c 'Read-only')" = 1
  that 'the kernel knows it too' grep -qE " $b fuse.varve ro," /proc/self/mounts
  that 'options reach the kernel' grep -qE " $c fuse.varve [^ ]*noexec" /proc/self/mounts
  refused 4 'mounted at' snapshot rm vol1@s
  refused 4 'more than once' umount vol1@s
  ok umount "$b" "$c"
  ok umount vol1
  prints vol1@s snapshot rm vol1@s

  # read-only mounts of a volume
  ok mount --read-only vol1 "$a"
  that 'a read-only mount takes no writes' test "$(touch "$a/x" 2>&1 | grep -c 'Read-only')" = 1
  ok umount "$a"
  ok mount -o ro,noatime vol1 "$a"
  that 'a read-only mount takes no writes' test "$(touch "$a/x" 2>&1 | grep -c 'Read-only')" = 1
  content "$a/test.txt" later
  ok umount "$a"
  ok mount vol1 "$a" -o fsname=first-column
  that 'fsname is the first column' grep -qE "^first-column $a " /proc/self/mounts
  ok umount "$a"
  ok mount --create made "$a"
  that 'and was made' is_mounted "$a"
  json 'j[0]["Labels"]["size"] == "10"' volume inspect made
  ok umount made

  # a mount in use: lazily, and by force
  ok mount vol1 "$a"
  exec 7<"$a/test.txt"
  refused 4 '' umount "$a"
  run umount --lazy "$a"
  same 'a lazy unmount succeeds' 0 "$STATUS"
  that 'the mount point is free' test ! -e "$a/test.txt"
  same 'the open file still reads' later "$(cat <&7)"
  refused 4 'still use' mount vol1 "$b"
  exec 7<&-
  that 'it ends with its last user' wait_until_detached vol1
  ok mount vol1 "$a"
  exec 7<"$a/test.txt"
  ok umount --force "$a"
  that 'the mount point is free' test ! -e "$a/test.txt"
  that 'the open file fails' test "$(cat <&7 2>&1 | grep -c 'not connected')" = 1
  exec 7<&-
  refused 2 'exclude' umount --lazy --force "$a"

  # the end of the daemon unmounts; a busy mount needs --force
  ok mount vol1 "$a"
  exec 7<"$a/test.txt"
  refused 4 '' daemon stop
  ok daemon stop --force
  exec 7<&-
  that 'nothing is mounted' test ! -e "$a/test.txt"
  ok mount vol1 "$a"
  ok mount made "$b"
  pid=$(daemon_pid)
  kill -TERM "$pid"
  that 'SIGTERM ends it' wait_gone "$pid"
  that 'and everything is unmounted' test -z "$(grep -E " ($a|$b) " /proc/self/mounts)"
  ok mount vol1 "$a"
  content "$a/test.txt" later

  # the daemon dies: umount and mount clean up and say so
  echo acknowledged >"$a/before-crash"
  kill_daemon
  FINGERPRINT=
  like 'was gone' umount "$a"
  that 'the mount point is free' test -z "$(grep " $a " /proc/self/mounts)"
  ok mount vol1 "$a"
  content "$a/before-crash" acknowledged
  kill_daemon
  run mount vol1 "$a"
  if [ "$STATUS" -eq 0 ] && grep -q 'was gone; the stale mount is detached' <<<"$ERR"; then
    pass
  else
    fail 'mount after a kill succeeds and says that the stale mount is gone'
  fi
  that 'and there is one mount' test "$(grep -c " $a " /proc/self/mounts)" = 1
  content "$a/before-crash" acknowledged
  kill_daemon
  ok mount vol1 "$b"
  content "$b/before-crash" acknowledged
  like 'was gone' umount "$a"
  that 'the other mount stays' is_mounted "$b"
  content "$b/before-crash" acknowledged
  ok umount "$b"
  ok daemon stop

  # in the foreground
  timeout 60 "$VARVE" mount --foreground vol1 "$a" 2>/dev/null </dev/null &
  local foreground=$!
  for _ in $(seq 100); do is_mounted "$a" && break; sleep 0.1; done
  content "$a/test.txt" later
  refused 4 'already' mount --foreground vol1 "$b"
  ok umount "$a"
  wait "$foreground"
  same 'it ends with its mount' 0 $?
}

wait_until_unlisted() {
  for _ in $(seq 100); do
    varve status --json | grep -qF "\"$1\"" || return 0
    sleep 0.1
  done
  return 1
}

wait_until_detached() {
  for _ in $(seq 100); do
    [ "$(varve volume inspect -f '{{.Attached}}' "$1")" = false ] && return 0
    sleep 0.1
  done
  return 1
}

# Snapshot, clone, diff and sync of a mounted volume see what programs wrote, synced or not.
section_live() {
  can_mount || return
  local a b c d
  directories a b c d
  ok volume create --name vol1
  ok mount vol1 "$a"
  echo hello >>"$a/test.txt"
  python3 - "$a" <<'P'
import mmap, os, sys
path = sys.argv[1] + "/mapped"
with open(path, "wb") as file:
    file.write(b"-" * 8192)
file = open(path, "r+b")
memory = mmap.mmap(file.fileno(), 8192)
memory[4096:4102] = b"stored"
os.posix_spawnp("sleep", ["sleep", "0"], os.environ)
P
  prints mybackup snapshot create --name mybackup --volume vol1
  json 'j[0]["Labels"]["varve.taken"] == "live"' snapshot inspect mybackup
  prints vol2 volume create --name vol2 --snapshot mybackup
  ok mount vol2 "$b"
  content "$b/test.txt" hello
  same 'the mmap store is in the snapshot' stored "$(tail -c +4097 "$b/mapped" | head -c 6)"
  echo other >"$b/test.txt"
  content "$a/test.txt" hello

  # diff of the present state, without waiting for a commit
  mkdir "$a/dir"
  echo new >"$a/dir/added"
  echo more >>"$a/test.txt"
  prints "$(printf 'A /dir\nA /dir/added\nM /test.txt')" diff vol1@mybackup vol1
  prints "$(printf 'A /dir\nA /dir/added\nM /test.txt')" diff vol1@mybackup
  prints "$(printf 'D /dir\nD /dir/added\nM /test.txt')" diff vol1 vol1@mybackup
  mv "$a/mapped" "$a/dir/moved"
  like '^R /mapped -> /dir/moved$' diff vol1@mybackup vol1
  rm "$a/test.txt"
  like '^D /test.txt$' diff vol1@mybackup vol1
  json '{c["change"] for c in j} == {"added", "removed", "renamed"}' diff --json vol1@mybackup vol1
  json '[c["old_path"] for c in j if c["change"] == "renamed"] == ["/mapped"]' diff --json vol1@mybackup vol1
  chmod 600 "$a/dir/added"
  prints second snapshot create vol1@second
  chmod 640 "$a/dir/added"
  prints 'M /dir/added' diff vol1@second vol1
  json 'j[0]["metadata"] and not j[0]["content"]' diff --json vol1@second vol1
  touch "$a/$(printf 'new\nline')" "$a/$(printf 'caf\351')" "$a/back\\slash"
  like '^A /new\\nline$' diff vol1@second vol1
  like '^A /back\\\\slash$' diff vol1@second vol1
  json 'any(c.get("path_hex") == b"/caf\xe9".hex() for c in j)' diff --json vol1@second vol1
  refused 3 '' diff vol1@second vol2@none
  refused 3 '' diff vol1@none vol1
  refused 3 '' diff none vol1
  refused 2 'one argument' diff vol1

  # a clone of the present state
  prints vol3 clone vol1 vol3
  ok mount vol3 "$c"
  content "$c/dir/added" new
  that 'what was removed is not in it' test ! -e "$c/test.txt"

  # sizes
  prints small volume create small --size 4MB
  ok mount small "$d"
  that 'a full volume says so' grep -qE 'No space|quota' <<<"$(dd if=/dev/urandom of="$d/full" bs=1M count=20 2>&1)"
  ok volume set small --size 100MB
  that 'a larger size holds at once' dd if=/dev/urandom of="$d/full" bs=1M count=20
  refused 2 'holds' volume set small --size 1MB
  json 'j["volumes"][0]["used"] >= 20 * 1048576' df small --json

  ok sync
  ok umount vol1 vol2 vol3 small
  ok daemon stop
}

# Rollback under the eyes of programs.
section_rollback() {
  can_mount || return
  local a first second
  directories a
  ok volume create v
  ok mount v "$a"
  mkdir "$a/kept" "$a/gone"
  echo one >"$a/file"
  echo same >"$a/kept/same"
  prints first snapshot create v@first
  echo two >"$a/file"
  rm -r "$a/gone"
  echo more >"$a/kept/more"
  cat "$a/file" "$a/kept/more" >/dev/null
  stat "$a/gone" >/dev/null 2>&1
  prints second snapshot create v@second
  exec 7<"$a/file"
  run rollback v@first
  first=$OUT
  same 'rollback of a mounted volume succeeds' 0 "$STATUS"
  content "$a/file" one
  that 'a removed directory is back' test -d "$a/gone"
  that 'a later file is gone' test ! -e "$a/kept/more"
  same 'an open file shows the old state' one "$(cat <&7)"
  exec 7<&-
  content "$a/kept/same" same
  echo three >"$a/file"
  prints "$(printf 'first\nsecond\n%s' "$first")" snapshot ls -q v
  prints '' diff v@second "v@$first"
  run rollback v second
  second=$OUT
  content "$a/file" two
  content "$a/kept/more" more
  that 'the directory is gone again' test ! -e "$a/gone"
  like "^$second\$" snapshot ls -q v
  ok rollback "v@$second"
  content "$a/file" three
  for _ in 1 2 3 4 5; do
    ok rollback v@first
    content "$a/file" one
    ok rollback v@second
    content "$a/file" two
  done
  refused 3 '' rollback v@none
  refused 3 '' rollback none@first
  refused 2 'VOLUME@SNAPSHOT' rollback v
  refused 2 'VOLUME@SNAPSHOT' rollback v@first second
  content "$a/file" two
  ok umount v
  ok mount v "$a"
  content "$a/file" two
  ok umount v
  ok daemon stop
}
