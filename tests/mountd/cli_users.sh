# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Unprivileged users, and many commands at once.

section_privileges() {
  can_mount || return
  local home=$SCRATCH/home user=65534
  command -v setpriv >/dev/null || { fail 'not run: needs setpriv'; return; }
  mkdir -p "$home/mnt" "$SCRATCH/foreign"
  chown -R $user:$user "$home"

  # root's store is closed to others, daemon or not
  ok volume create v
  as_user "env VARVE_STORE=$VARVE_STORE $VARVE volume ls"
  status_is 6 'another user has no permission'
  ok daemon run
  as_user "env VARVE_STORE=$VARVE_STORE $VARVE volume ls"
  status_is 6 'another user has no permission'
  as_user "env VARVE_STORE=$VARVE_STORE $VARVE daemon stop"
  status_is 6 'another user cannot stop the daemon'
  ok daemon stop

  # a store of one's own in the usual place, made on first use
  as_user "$VARVE volume create mine && $VARVE volume ls -q"
  status_is 0 'a user has a store'
  that 'it is in the data directory' test -e "$home/data/varve/FORMAT"
  same 'for its user alone' 700 "$(stat -c %a "$home/data/varve")"
  as_user "unset XDG_DATA_HOME; $VARVE volume create mine"
  that 'or below the home directory' test -e "$home/.local/share/varve/FORMAT"

  # mounting through fusermount3, with a /dev/fuse that users may open
  that 'a user mounts and works' in_namespace "
    mknod -m 666 $SCRATCH/fuse c 10 229 && mount --bind $SCRATCH/fuse /dev/fuse || exit 1
    $(declare -f as_user_run)
    as_user_run $home $user '
      $VARVE mount mine $home/mnt || exit 2
      echo text >$home/mnt/file && test \"\$(cat $home/mnt/file)\" = text || exit 3
      test \"\$(stat -c %u $home/mnt)\" = $user || exit 4
      $VARVE snapshot create mine@s || exit 5
      echo changed >$home/mnt/file
      $VARVE rollback mine@s && test \"\$(cat $home/mnt/file)\" = text || exit 6
      $VARVE mount mine@s $SCRATCH/foreign 2>/dev/null
      test \$? -eq 6 || exit 7
      pid=\$($VARVE status --json | python3 -c \"import json, sys; print(json.load(sys.stdin)[\\\"daemon\\\"][\\\"pid\\\"])\")
      kill -KILL \$pid && test \"\$(cat $home/mnt/file)\" = text && echo later >$home/mnt/file || exit 10
      $VARVE upgrade >/dev/null && test \"\$(cat $home/mnt/file)\" = later || exit 11
      $VARVE umount mine || exit 8
      $VARVE mount mine $home/mnt -o allow_other 2>/dev/null && exit 9
      $VARVE daemon stop'"
}

# as_user SCRIPT: as an unprivileged user with a home of its own; status in $STATUS
as_user() {
  as_user_run "$SCRATCH/home" 65534 "$1" >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
  STATUS=$?
  OUT=$(cat "$SCRATCH/out") ERR=$(cat "$SCRATCH/err")
}
as_user_run() {
  env -u VARVE_STORE HOME="$1" XDG_DATA_HOME="$1/data" timeout 60 \
    setpriv --reuid="$2" --regid="$2" --clear-groups bash -c "$3"
}
status_is() {
  if [ "$STATUS" -eq "$1" ]; then pass; else fail "$2: wanted status $1"; fi
}

# Many commands at once, without a daemon and with one: each is carried out once.
section_crowd() {
  crowd alone
  ok daemon run
  crowd served
  ok daemon stop
  same 'all are there afterwards' 16 "$(varve volume ls -q | wc -l)"
}

crowd() {
  local jobs=() i failed=0 created=0
  for i in $(seq 8); do
    varve volume create "$1-$i" >/dev/null 2>>"$SCRATCH/crowd" &
    jobs+=($!)
  done
  for i in "${jobs[@]}"; do wait "$i" || failed=$((failed + 1)); done
  OUT=$(cat "$SCRATCH/crowd") same "commands at once ($1)" 0 "$failed"
  jobs=()
  for i in $(seq 8); do
    varve snapshot create --volume "$1-1" --name same >/dev/null 2>&1 &
    jobs+=($!)
  done
  for i in "${jobs[@]}"; do wait "$i" && created=$((created + 1)); done
  same "one of eight equal names wins ($1)" 1 "$created"
}
