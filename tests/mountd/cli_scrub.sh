# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Scrub, fsck, and what a removal would free.

section_scrub_alone() {
  refused 3 'no store' scrub
  refused 3 'no store' fsck
  ok volume create v
  ok snapshot create v@s
  scrub_sound
  refused 8 'no daemon' scrub --background
  like ' 0 problem\(s\), 0 repaired$' fsck
  json 'j["problems"] == [] and j["repaired"] == [] and j["trees"] == 1' fsck --json
  damaged_index
}

section_scrub_served() {
  ok volume create v
  ok snapshot create v@s
  ok daemon run
  scrub_sound
  like 'runs in the daemon' scrub --background
  like '^scrub: ' scrub --status
  ok scrub --stop
  damaged_superblock
  refused 4 'a daemon serves' fsck
  ok daemon stop
}

scrub_sound() {
  like '^scrub: +never run$' scrub --status
  like '^scrub: +finished, 100.00%$' scrub
  like '^damaged: +0$' scrub --status
  json 'j["state"] == "finished" and j["percent"] == 100 and j["objects"] > 0 and j["files"] == []' scrub --json
  json 'j["rate"] == 1000000' scrub --rate 1MB --json
  refused 2 'exclude each other' scrub --status --stop
  refused 2 "'fast'" scrub --rate fast
  like '^would free [0-9]+ bytes' snapshot rm --dry-run v@s
  like '^s$' snapshot ls -q
  refused 3 'none' snapshot rm --dry-run v@none
}

# In a served store: opening one writes the damaged slot again.
damaged_superblock() {
  flip "$VARVE_STORE/superblock" 100
  ends 10 'slot 0 of 2 is damaged \(repaired\)' scrub
  like '^damaged: +0$' scrub
}

damaged_index() {
  python3 - "$VARVE_STORE/index.db" <<'P'
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    database.execute("UPDATE objects SET refs = refs + 1 WHERE digest = (SELECT digest FROM objects WHERE refs > 0 LIMIT 1)")
P
  ends 5 'the index counts 2 references, the trees have 1' fsck
  ends 10 '^repaired: .*the index counts 2 references, the trees have 1' fsck --repair
  ok fsck
  # a lost index is made again, with a warning
  rm -f "$VARVE_STORE"/index.db*
  like ' 0 problem\(s\), 0 repaired$' fsck
  like '^v$' volume ls -q
}

# flip FILE OFFSET: one bit.
flip() {
  python3 - "$1" "$2" <<'P'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]))
    byte = file.read(1)[0]
    file.seek(int(sys.argv[2]))
    file.write(bytes([byte ^ 1]))
P
}

# A damaged chunk of a mounted file: an error for its bytes, named, and healed by the same content.
section_scrub_mounted() {
  can_mount || return
  local mnt=$SCRATCH/scrub-mnt
  mkdir -p "$mnt"
  ok volume create v
  ok mount v "$mnt"
  head -c 1048576 /dev/urandom >"$SCRATCH/random"
  cp "$SCRATCH/random" "$mnt/file"
  ok snapshot create v@s
  ok umount v
  ok daemon stop
  python3 - "$VARVE_STORE/segments" "$SCRATCH/random" <<'P'
import os, sys
chunk = open(sys.argv[2], "rb").read()[4 * 131072:5 * 131072]
for name in os.listdir(sys.argv[1]):
    path = os.path.join(sys.argv[1], name)
    at = open(path, "rb").read().find(chunk[:4096])
    if at >= 0:
        with open(path, "r+b") as file:
            file.seek(at + 777)
            file.write(bytes([chunk[777] ^ 4]))
        sys.exit(0)
sys.exit("the chunk is in no segment")
P
  ok mount v "$mnt"
  ends 5 '^  v:/file  content 524288\+131072  \(present state, @s\)$' scrub
  that 'bytes before it are read' cmp -n 524288 "$SCRATCH/random" "$mnt/file"
  that 'bytes behind it are read' cmp -i 655360 "$SCRATCH/random" "$mnt/file"
  dd if="$mnt/file" of=/dev/null bs=4096 skip=128 count=1 2>"$SCRATCH/err" && fail 'its own bytes are no error'
  that 'with EIO' grep -qi 'input/output error' "$SCRATCH/err"
  cp "$SCRATCH/random" "$mnt/copy"
  ok sync
  ok snapshot create v@t # commits
  like '^damaged: +0$' scrub
  that 'the same content heals it' cmp "$SCRATCH/random" "$mnt/file"
  ok umount v
  ok daemon stop
}
