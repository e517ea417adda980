# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of the daemon and its keeper under load: the next mount works at the first try, whatever the kernel still has of the killed one.

# Writes into file `1` until it cannot.
write_until_it_fails() {
  while dd if=/dev/zero of="$1" bs=64k count=16 conv=notrunc status=none 2>/dev/null; do :; done
}

# Listens where a daemon that is dying listens: takes two connections, closes them without an answer, and is gone.
dying_daemon() {
  python3 -c '
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
for _ in range(2):
    listener.accept()[0].close()
os.unlink(sys.argv[1])' "$VARVE_STORE/control.sock"
}

section_killed() {
  local a=$SCRATCH/killed round pid writer snapshot status
  mkdir -p "$a"
  ok volume create --name killed --size 0
  # A daemon that dies between the connection and the answer: mount starts another one.
  exec 8< <(dying_daemon)
  read -r -u 8
  ok mount killed "$a"
  exec 8<&-
  for round in $(seq 20); do
    echo "$round" >"$a/acknowledged-$round"
    write_until_it_fails "$a/load" &
    writer=$!
    pid=$(daemon_pid)
    snapshot=
    # In every second round while a snapshot flushes the mount, in the others while only the writer is there.
    if [ $((round % 2)) -eq 0 ]; then
      varve snapshot create killed@"at-$round" >/dev/null 2>&1 &
      snapshot=$!
    fi
    kill_daemon
    run mount killed "$a"
    status=$STATUS
    if [ "$status" -eq 0 ]; then pass; else fail "mount $round after a kill"; fi
    that "round $round: one mount" test "$(grep -c " $a fuse" /proc/self/mounts)" = 1
    that "round $round: the killed daemon ends" wait_gone "$pid"
    content "$a/acknowledged-$round" "$round"
    kill -TERM "$writer" 2>/dev/null
    wait "$writer" $snapshot 2>/dev/null
    [ "$status" -eq 0 ] || return
  done
  content "$a/acknowledged-1" 1
  ok umount "$a"
  ok daemon stop
}
