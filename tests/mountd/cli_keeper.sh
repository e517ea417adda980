# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The keeper: programs go on over kill -9 of the daemon and over an upgrade, and what is left when the keeper dies.

# field NAME...: a field of the status, by its path.
field() {
  varve status --json | python3 -c '
import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1:]:
    value = value[int(name)] if isinstance(value, list) else value[name]
print(value)' "$@"
}

# Waits up to 20 s until `1` takeovers have been counted.
wait_for_takeovers() {
  local tries=0
  until [ "$(field keeper takeovers 2>/dev/null)" = "$1" ] && [ "$(field keeper last_pause_ms)" != None ]; do
    tries=$((tries + 1))
    [ "$tries" -le 200 ] || { echo "no takeover" >&2; return 1; }
    sleep 0.1
  done
}

# As on kernels before 6.9: a daemon's death ends its mounts, at once and not for ever, and `varve mount` brings back what was
# acknowledged. The keeper has nothing to hold, and does not hold up anybody.
mounts_end_without_resend() {
  local a=$1 b=$2 pid
  export VARVE_WITHOUT_RESEND=1
  ok mount kept "$a"
  unset VARVE_WITHOUT_RESEND
  that 'the mount is not kept' test "$(field mounts 0 kept)" = False
  like 'ends with the daemon: this kernel does not send requests again' status
  refused 4 'this kernel does not send requests again' upgrade
  that 'a refused upgrade harms no mount' test "$(cat "$a/file")" = "$(printf 'before\nafter')"
  echo acknowledged >"$a/late"
  exec 7<"$a/file"
  timeout 20 sh -c 'while echo more >>"$1/growing"; do :; done' sh "$a" 2>/dev/null &
  local writer=$!
  pid=$(daemon_pid)
  kill -KILL "$pid"
  that 'a program that writes gets an error at once' wait_gone "$writer"
  wait "$writer"
  if timeout 10 cat <&7 >/dev/null 2>&1; then fail 'an open file of a dead mount is an error'; else pass; fi
  exec 7<&-
  timeout 10 cat "$a/late" >/dev/null 2>"$SCRATCH/said"
  if [ $? -eq 1 ] && grep -q 'not connected' "$SCRATCH/said"; then pass; else fail 'the mount says that nobody serves it'; fi
  run mount kept "$a"
  if [ "$STATUS" -eq 0 ] && grep -q 'was gone' <<<"$ERR"; then pass; else fail 'mount brings it back and says so'; fi
  that 'there is one mount' test "$(grep -c " $a fuse" /proc/self/mounts)" = 1
  content "$a/late" acknowledged
  that 'this one is kept' test "$(field mounts 0 kept)" = True
  ok umount "$a"
  ok daemon stop

  # umount alone takes a dead mount away, too
  export VARVE_WITHOUT_RESEND=1
  ok mount kept "$b"
  unset VARVE_WITHOUT_RESEND
  kill -KILL "$(daemon_pid)"
  ok umount "$b"
  that 'the mount point is free' test -z "$(grep " $b fuse" /proc/self/mounts)"
}

section_keeper() {
  can_mount || return
  local a=$SCRATCH/kept b=$SCRATCH/unkept pid keeper
  mkdir -p "$a" "$b"
  ok volume create --name kept --size 0
  ok mount kept "$a"
  that 'the mount is kept' test "$(field mounts 0 kept)" = True
  like 'keeper: .*pid [0-9]+, takeovers: 0' status

  # open files, a file without a name, and a lock
  echo before >"$a/file"
  exec 7<>"$a/file" 8<>"$a/nameless"
  echo nameless >&8
  rm "$a/nameless"
  flock -x 7
  pid=$(daemon_pid) keeper=$(field keeper pid)
  kill -KILL "$pid"
  echo after >>"$a/file"
  content "$a/file" "$(printf 'before\nafter')"
  content "/proc/self/fd/8" nameless
  if flock -n "$a/file" true; then fail 'the lock is still held'; else pass; fi
  that 'a takeover is counted' wait_for_takeovers 1
  that 'another daemon serves' test "$(daemon_pid)" != "$pid"
  that 'the keeper is the same' test "$(field keeper pid)" = "$keeper"
  that 'the mount is kept' test "$(field mounts 0 kept)" = True
  like 'takeovers: 1, the last one took [0-9]+ ms' status
  that 'there is one mount' test "$(grep -c " $a fuse" /proc/self/mounts)" = 1

  # an upgrade: to the same program, to what is none, and to one that does not come up
  pid=$(daemon_pid)
  like 'version .* to .*, after a pause of [0-9]+ ms' upgrade
  that 'another daemon serves' test "$(daemon_pid)" != "$pid"
  that 'another keeper holds the mount' test "$(field keeper pid)" != "$keeper"
  that 'the old keeper ends' wait_gone "$keeper"
  cp "$VARVE" "$SCRATCH/newer"
  ok upgrade "$SCRATCH/newer"
  that 'the new program serves' test "$(readlink "/proc/$(daemon_pid)/exe")" = "$SCRATCH/newer"
  pid=$(daemon_pid)
  refused 3 'there is no program' upgrade "$SCRATCH/missing"
  refused 2 'is no varve program' upgrade /bin/true
  refused 6 'cannot be executed' upgrade /etc/passwd
  refused 2 'lies on a mount of this daemon' upgrade "$a/file"
  that 'the same daemon serves' test "$(daemon_pid)" = "$pid"
  printf '#!/bin/sh\n[ "$1" != keeper-check ] || exec "%s" keeper-check\nexit 3\n' "$VARVE" >"$SCRATCH/stillborn"
  chmod +x "$SCRATCH/stillborn"
  refused 1 'the upgrade failed and the old program goes on' upgrade "$SCRATCH/stillborn"
  content "$a/file" "$(printf 'before\nafter')"
  content "/proc/self/fd/8" nameless
  printf '#!/bin/sh\nVARVE_LARGEST_WRITE=65536 exec "%s" "$@"\n' "$VARVE" >"$SCRATCH/other"
  chmod +x "$SCRATCH/other"
  refused 1 'would agree on something else with the kernel' upgrade "$SCRATCH/other"
  content "$a/file" "$(printf 'before\nafter')"
  content "/proc/self/fd/8" nameless

  # the keeper dies: another one takes its place
  keeper=$(field keeper pid)
  kill -KILL "$keeper"
  local tries=0
  until [ "$(field keeper running)" = True ] && [ "$(field keeper pid)" != "$keeper" ]; do
    tries=$((tries + 1))
    [ "$tries" -le 100 ] || break
    sleep 0.1
  done
  that 'another keeper runs' test "$(field keeper pid)" != "$keeper"
  kill -KILL "$(daemon_pid)"
  content "$a/file" "$(printf 'before\nafter')"
  exec 7<&- 8<&-

  # what the kernel was told by an earlier daemon is taken back by a rollback, and a snapshot has its dirty pages
  ok snapshot create kept@before
  echo changed >"$a/file"
  echo new >"$a/other"
  content "$a/other" new
  kill -KILL "$(daemon_pid)"
  ok snapshot create kept@changed
  run rollback kept@before
  content "$a/file" "$(printf 'before\nafter')"
  that 'a file that is new since is gone' test ! -e "$a/other"
  ok mount kept@changed "$b"
  content "$b/file" changed
  ok umount "$b"

  # both die: the mount is dead, and mount brings it back
  kill_daemon
  run cat "$a/file"
  if [ "$STATUS" -ne 0 ]; then pass; else fail 'a mount without anybody'; fi
  run mount kept "$a"
  if [ "$STATUS" -eq 0 ] && grep -q 'was gone' <<<"$ERR"; then pass; else fail 'mount brings it back and says so'; fi
  content "$a/file" "$(printf 'before\nafter')"

  # an orderly end takes the keeper with it, and a snapshot's mount is kept as well
  ok snapshot create kept@s
  ok mount kept@s "$b"
  keeper=$(field keeper pid)
  kill -KILL "$(daemon_pid)"
  content "$b/file" "$(printf 'before\nafter')"
  that 'the takeover is done' wait_for_takeovers 1
  ok umount "$b"
  ok umount "$a"
  ok daemon stop
  that 'the keeper ends with its daemon' wait_gone "$keeper"

  # no daemon comes up: the mount is ended instead of hanging for ever
  ok mount kept "$a"
  keeper=$(field keeper pid)
  mv "$VARVE_STORE/superblock" "$SCRATCH/superblock"
  kill -KILL "$(daemon_pid)"
  that 'the keeper gives up' wait_gone "$keeper"
  that 'the mount point is free' test -z "$(grep " $a fuse" /proc/self/mounts)"
  that 'and the log says so' grep -q 'no daemon could be brought up' "$VARVE_STORE/daemon.log"
  mv "$SCRATCH/superblock" "$VARVE_STORE/superblock"
  ok mount kept "$a"
  content "$a/file" "$(printf 'before\nafter')"
  ok umount "$a"
  ok daemon stop

  # what serves container engines comes back without mounts, too; any other daemon with the next command that needs it
  ok daemon run --plugin-socket "$SCRATCH/engine.sock"
  pid=$(daemon_pid) keeper=$(field keeper pid)
  kill -KILL "$pid"
  that 'another daemon is there' wait_for_takeovers 1
  that 'and answers engines' curl --silent --fail --max-time 10 --unix-socket "$SCRATCH/engine.sock" \
    -X POST http://varve/Plugin.Activate
  ok daemon stop
  that 'the keeper ends with its daemon' wait_gone "$keeper"

  mounts_end_without_resend "$a" "$b"

  # without a keeper
  ok daemon run --no-keeper
  ok mount kept "$a"
  like 'keeper: +none' status
  like 'ends with the daemon: the daemon was started without a keeper' status
  refused 9 'has no keeper' upgrade
  ok umount "$a"
  ok daemon stop
  refused 3 'no daemon runs' upgrade
  VARVE_KEEPER=maybe refused 2 "VARVE_KEEPER is 'maybe'" daemon run
}
