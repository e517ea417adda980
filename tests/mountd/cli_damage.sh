# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Damaged, newer, foreign and full stores.

section_damaged() {
  local good=$SCRATCH/good holder
  VARVE_STORE=$good
  ok volume create v
  ok snapshot create v@s

  # FORMAT
  damage() {
    rm -rf "$SCRATCH/bad"
    cp -a "$good" "$SCRATCH/bad"
    VARVE_STORE=$SCRATCH/bad
  }
  damage
  sed -i 's/^format: .*/format: 999/' "$VARVE_STORE/FORMAT"
  refused 9 'format 999' volume ls
  refused 9 'format 999' status
  refused 9 'format 999' daemon run
  refused 9 'format 999' repair
  same 'FORMAT is as it was' 'format: 999' "$(sed -n 2p "$VARVE_STORE/FORMAT")"
  damage
  sed -i 's/^incompat:.*/incompat: telepathy/' "$VARVE_STORE/FORMAT"
  refused 9 'telepathy' volume ls
  damage
  echo garbage >"$VARVE_STORE/FORMAT"
  refused 5 'FORMAT' volume ls
  refused 5 'FORMAT' daemon run
  damage
  : >"$VARVE_STORE/FORMAT"
  refused 5 'FORMAT' volume ls
  damage
  head -c 5000 /dev/zero >"$VARVE_STORE/FORMAT"
  refused 5 'FORMAT' volume ls

  # the superblock: one slot may be lost, both may not
  damage
  dd if=/dev/zero of="$VARVE_STORE/superblock" bs=4096 count=1 conv=notrunc status=none
  run volume ls -q
  same 'one superblock is enough' v "$OUT"
  damage
  dd if=/dev/zero of="$VARVE_STORE/superblock" bs=4096 count=2 conv=notrunc status=none
  refused 5 'superblock' volume ls

  # the index is rebuilt, whatever is wrong with it
  damage
  rm -f "$VARVE_STORE"/index.db*
  run volume ls -q
  same 'a missing index is rebuilt' v "$OUT"
  like '^s$' snapshot ls -q
  damage
  rm -f "$VARVE_STORE"/index.db-*
  echo garbage >"$VARVE_STORE/index.db"
  run volume ls -q
  same 'a damaged index is rebuilt' v "$OUT"
  damage
  rm -f "$VARVE_STORE"/index.db-*
  truncate -s 100 "$VARVE_STORE/index.db"
  run volume ls -q
  same 'a short index is rebuilt' v "$OUT"

  # a holder that is no daemon
  VARVE_STORE=$good
  python3 - "$good/lock" "$SCRATCH/held" <<'P' &
import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    pass
try:
    fcntl.fcntl(fd, 37, b"\1\0\0\0" + b"\0" * 28)  # F_OFD_SETLK, F_WRLCK
except OSError:
    pass
open(sys.argv[2], "w").close()
time.sleep(60)
P
  holder=$!
  for _ in $(seq 100); do [ -e "$SCRATCH/held" ] && break; sleep 0.1; done
  refused 4 'in use' volume ls
  kill "$holder"
  wait "$holder" 2>/dev/null
  prints v volume ls -q

  full_disk
  damaged_journal
}

# A store on a small file system: the sentence names the remedy, and what is there stays readable.
full_disk() {
  [ "$(id -u)" -eq 0 ] || { STATUS= OUT= ERR= fail 'not run: a full disk needs root'; return; }
  OUT=$(timeout 120 unshare -m --propagation private bash -c "
    mkdir -p $SCRATCH/small && mount -t tmpfs -o size=20m tmpfs $SCRATCH/small || exit 90
    VARVE_STORE=$SCRATCH/small/store timeout 60 $VARVE volume create v" 2>&1 </dev/null)
  STATUS=$? ERR=
  if [ "$STATUS" -eq 7 ] && [ "$(wc -l <<<"$OUT")" -eq 1 ]; then pass; else fail 'no room for a store is status 7'; fi
}

# Damage in the middle of the journal is refused with the remedy, and the remedy works.
damaged_journal() {
  can_mount || return
  local mnt=$SCRATCH/journal-mnt file
  mkdir -p "$mnt"
  VARVE_STORE=$SCRATCH/journal
  ok volume create v
  ok mount v "$mnt"
  # What was not synced could be a torn tail as well; what was can only be damage.
  for file in $(seq 100); do echo "$file" | dd of="$mnt/$file" conv=fsync status=none; done
  kill_daemon
  umount -l "$mnt"
  cp -a "$VARVE_STORE" "$SCRATCH/journal-whole"
  python3 - "$VARVE_STORE/journal" <<'P'
import os, sys
directory = sys.argv[1]
name = sorted(os.listdir(directory))[0]
path = os.path.join(directory, name)
data = open(path, "rb").read()
used = max(i for i in range(0, len(data), 4096) if any(data[i:i + 4096])) // 4096
with open(path, "r+b") as file:
    file.seek((used // 2) * 4096 + 100)
    file.write(b"\xde\xad\xbe\xef" * 16)
P
  run volume ls -q
  if [ "$STATUS" -eq 5 ]; then
    that 'the sentence names the remedy' grep -q 'drop-damaged-journal' <<<"$ERR"
    refused 5 'journal' daemon run
    refused 5 'journal' mount v "$mnt"
    refused 5 'journal' repair
    like 'opens and is clean' repair --drop-damaged-journal
    prints v volume ls -q
  else
    fail 'a damaged journal is status 5'
  fi
  VARVE_STORE=$SCRATCH/journal-whole
  ok mount v "$mnt"
  same 'the whole journal is replayed' 100 "$(ls "$mnt" | wc -l)"
  ok umount v
  ok daemon stop
}
