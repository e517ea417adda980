# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Volumes filled by `volume init` from a directory, a file, a download and a git repository.

# described DIR: what stat(2) says of each file in it, with the size and link count of those that are no directories
described() {
  (cd "$1" && find . \( -type d -printf '%p %m %U %G %T@\n' \) -o -printf '%p %m %U %G %T@ %n %s %l\n' | sort)
}

# wait_for_line N FILE: until the file has N lines, ten seconds at most
wait_for_line() {
  for _ in $(seq 100); do
    [ "$(wc -l <"$2")" -lt "$1" ] || return 0
    sleep 0.1
  done
  return 1
}

section_init_volume() {
  local tree=$SCRATCH/tree web=$SCRATCH/web mnt=$SCRATCH/init-mnt port
  mkdir -p "$tree/sub" "$web" "$mnt"
  printf hello >"$tree/sub/file"
  ln "$tree/sub/file" "$tree/second-name"
  ln -s sub/file "$tree/link"
  chmod 4750 "$tree/sub/file"
  chmod 1777 "$tree"
  touch -d '2001-02-03 04:05:06.123456789' "$tree/sub/file"
  truncate -s 1G "$tree/sparse"

  # a directory, with all that a file has
  like '^seeded: 5 inodes, ' volume init "$tree:seeded"
  ok mount seeded "$mnt"
  that "the tree is the same" diff -r --no-dereference "$tree" "$mnt"
  that "modes, owners, times and link counts are the same" diff <(described "$tree") <(described "$mnt")
  ok umount "$mnt"
  json 'j[0]["Used"] < 10**6' volume inspect seeded
  that "no mount is left" test -z "$(grep varve-init- /proc/self/mounts)"

  # a file, several at once, and options
  like '^second: ' volume init "$tree/sub/file:first" "$tree:second" --size 2GiB --label from=tree
  json 'j[0]["Size"] == 2**31 and j[0]["Labels"]["from"] == "tree"' volume inspect second
  ok mount first "$mnt"
  that "the file is there" cmp "$tree/sub/file" "$mnt/file"
  ok umount "$mnt"

  # an empty volume may exist, one with files is refused and stays as it was
  ok volume create empty
  like '^empty: ' volume init "$tree:empty"
  refused 4 'volume seeded is not empty; name another one' volume init "$tree:seeded"

  # a download and a repository
  cp "$tree/sub/file" "$web/file.bin"
  git init -q "$SCRATCH/work" && cp "$tree/sub/file" "$SCRATCH/work/" && git -C "$SCRATCH/work" add file
  git -C "$SCRATCH/work" -c user.name=n -c user.email=e commit -q -m first
  git clone -q --bare "$SCRATCH/work" "$web/repo.git" && git -C "$web/repo.git" update-server-info
  python3 -u -c '
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_address[1])
server.serve_forever()' "$web" >"$SCRATCH/port" 2>/dev/null &
  local server=$!
  wait_for_line 1 "$SCRATCH/port"
  port=$(cat "$SCRATCH/port")
  like '^loaded: ' volume init "http://127.0.0.1:$port/file.bin:loaded"
  ok mount loaded "$mnt"
  that "the download is there" cmp "$web/file.bin" "$mnt/file.bin"
  ok umount "$mnt"
  like '^cloned: ' volume init "http://127.0.0.1:$port/repo.git:cloned"
  ok mount cloned "$mnt"
  that "the repository is whole" git -C "$mnt" -c safe.directory='*' fsck
  ok umount "$mnt"

  # what fails leaves no volume
  run volume init "http://127.0.0.1:$port/missing.bin:gone"
  local said=$ERR
  same "a download that fails ends with 5" 5 "$STATUS"
  that "it says which volume was not made" grep -qE "^varve: volume gone was not made from .*/missing.bin: 'curl' failed" <<<"$said"
  unlike gone volume ls
  like gone volume ls --trash
  # interrupted: a server that takes the connection and says nothing
  kill "$server"
  wait "$server" 2>/dev/null
  python3 -u -c '
import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1])
c, _ = s.accept()
print("taken", flush=True)
c.recv(1 << 20)
c.recv(1 << 20)' >"$SCRATCH/silent" &
  server=$!
  wait_for_line 1 "$SCRATCH/silent"
  timeout 60 "$VARVE" volume init "http://127.0.0.1:$(head -n 1 "$SCRATCH/silent")/file.bin:cut" </dev/null 2>"$SCRATCH/cut" &
  local waiting=$!
  wait_for_line 2 "$SCRATCH/silent"
  kill -TERM "$waiting" # timeout(1) passes it on
  wait "$waiting"
  that "it says that it was interrupted" grep -q 'volume cut was not made from .*: interrupted' "$SCRATCH/cut"
  unlike cut volume ls
  kill "$server" 2>/dev/null
  wait "$server" 2>/dev/null
  like '^small: ' volume init "$tree/sub/file:small"
  head -c 3000000 /dev/urandom >"$tree/large"
  run volume init "$tree:tight" --size 1MB
  that "a tree that does not fit is an error" test "$STATUS" -ne 0
  unlike tight volume ls

  refused 2 'not of the form SOURCE:VOLUME' volume init seeded
  refused 2 'not of the form SOURCE:VOLUME' volume init https://127.0.0.1/x
  refused 2 'names no volume' volume init "$tree:"
  refused 2 'volume x is named twice' volume init "$tree:x" "$tree:x"
  refused 2 'is of no known kind' volume init ftp://127.0.0.1/a:x
  refused 2 'names no file to download' volume init http://127.0.0.1/:x
  refused 2 'neither a directory nor a file' volume init /dev/null:x
  refused 3 'cannot be read: No such file' volume init "$SCRATCH/none:x"
  refused 2 "'\\.\\.' is not|name" volume init "$tree:.."
  that "no mount and no directory is left" test -z "$(ls -d "${TMPDIR:-/tmp}"/varve-init-* 2>/dev/null)"
  ok daemon stop
}
