# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The protocol over the socket, with no engine: what engines send, and what nobody should.

section_plugin() {
  part 'protocol: the calls of an engine' 60 plugin_calls
  part 'protocol: mistakes have a status and a sentence' 60 plugin_mistakes
  part 'protocol: keep-alive, chunks, 100-continue' 60 plugin_transport
  part 'protocol: 200 creates at once' 120 "$here/plugin_load.py" "$SOCKET" creates
  part 'protocol: 50 mounts at once' 120 "$here/plugin_load.py" "$SOCKET" mounts
  part 'protocol: List and Get beside a busy volume' 120 plugin_latency
  part 'protocol: kill -9 between mount and unmount' 60 plugin_killed
  part 'protocol: another boot voids the counts' 60 plugin_reboot
  part 'protocol: an orderly end leaves no directories' 60 plugin_directories
  part 'protocol: a missing plugin directory' 30 plugin_no_directory
  part 'rules: options by name' 60 plugin_rules
  part 'owners: one snapshot with two maps at once' 60 plugin_two_maps
}

# replies STATUS PART METHOD [JSON]
replies() {
  local status=$1 wanted=$2
  shift 2
  call "$@"
  [ "$STATUS" = "$status" ] && grep -qF -- "$wanted" <<<"$REPLY_BODY" ||
    { echo "$*: $STATUS $REPLY_BODY, not $status '$wanted'" >&2; return 1; }
}

plugin_calls() {
  local point
  replies 200 '{"Implements":["VolumeDriver"]}' Plugin.Activate || return 1
  replies 200 '"Scope":"local"' VolumeDriver.Capabilities '{}' || return 1
  replies 500 'no such volume' VolumeDriver.Get '{"Name":"v"}' || return 1
  replies 200 '"Err":""' VolumeDriver.Create '{"Name":"v","Opts":null}' || return 1
  replies 200 '"Err":""' VolumeDriver.Create '{"Name":"v","Opts":{}}' || return 1
  replies 500 'size=10 GB' VolumeDriver.Create '{"Name":"v","Opts":{"size":"5"}}' || return 1
  replies 200 '"Name":"v"' VolumeDriver.List || return 1
  replies 200 '"Name":"v"' VolumeDriver.List '{}' || return 1
  replies 200 '/volumes/v"' VolumeDriver.Mount '{"Name":"v","ID":"a"}' || return 1
  point=$(python3 -c 'import json,sys; print(json.load(sys.stdin)["Mountpoint"])' <<<"$REPLY_BODY")
  is_mounted "$point" || { echo "nothing is mounted at $point" >&2; return 1; }
  replies 200 "$point" VolumeDriver.Mount '{"Name":"v","ID":"a"}' || return 1
  replies 200 "$point" VolumeDriver.Path '{"Name":"v"}' || return 1
  [ -z "$(ls -A "$point")" ] || { echo 'a new volume lists as not empty' >&2; return 1; }
  replies 500 'in use by mount a' VolumeDriver.Remove '{"Name":"v"}' || return 1
  refuses 'used by containers' varve daemon stop || return 1
  refuses 'used by containers' varve umount "$point" || return 1
  replies 200 '' VolumeDriver.Unmount '{"Name":"v","ID":"a"}' || return 1
  is_mounted "$point" || { echo 'unmounted too early' >&2; return 1; }
  replies 200 '' VolumeDriver.Unmount '{"Name":"v","ID":"b"}' || return 1
  replies 200 '' VolumeDriver.Unmount '{"Name":"v","ID":"a"}' || return 1
  ! is_mounted "$point" || { echo 'still mounted' >&2; return 1; }
  replies 200 '"Mountpoint":""' VolumeDriver.Path '{"Name":"v"}' || return 1
  replies 200 '' VolumeDriver.Remove '{"Name":"v"}' || return 1
  replies 200 '' VolumeDriver.Remove '{"Name":"v"}' || return 1
  varve volume restore v >/dev/null && replies 200 '"root_digest":"' VolumeDriver.Get '{"Name":"v"}'
}

plugin_mistakes() {
  local name
  replies 400 'not JSON' VolumeDriver.Get '{' || return 1
  replies 400 'needs the text' VolumeDriver.Get '{"name":"v"}' || return 1
  replies 404 'no call' VolumeDriver.Frob '{}' || return 1
  replies 500 'unknown' VolumeDriver.Create '{"Name":"x","Opts":{"sizze":"1"}}' || return 1
  replies 500 'golden' VolumeDriver.Create '{"Name":"x","Opts":{"from":"golden@v1"}}' || return 1
  for name in '' . .. ../x a/b a@b '-v' 'a b' 'ä' "$(printf 'n%.0s' $(seq 256))"; do
    replies 500 'Err' VolumeDriver.Create "{\"Name\":\"$name\"}" || return 1
  done
  replies 200 '' VolumeDriver.Create "{\"Name\":\"$(printf 'n%.0s' $(seq 255))\"}" || return 1
  expect 405 curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" http://x/VolumeDriver.List || return 1
  head -c 2000000 /dev/zero >"$WORK/large"
  expect '413' curl -s -o "$WORK/reply" -w '%{http_code}' --unix-socket "$SOCKET" --data-binary "@$WORK/large" \
    http://x/VolumeDriver.List || return 1
  grep -q '"Err":"' "$WORK/reply" || { cat "$WORK/reply" >&2; return 1; }
}

plugin_transport() {
  expect '200200' curl -s -o /dev/null -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" -d '{}' \
    http://x/VolumeDriver.List http://x/VolumeDriver.List || return 1
  expect 200 curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" -H 'Transfer-Encoding: chunked' \
    -H 'Host: unix:///run/x.sock' -d '{}' http://x/VolumeDriver.List || return 1
  expect 200 curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCKET" -H 'Expect: 100-continue' -d '{}' \
    http://x/VolumeDriver.List
}

plugin_latency() {
  local point
  call VolumeDriver.Create '{"Name":"busy","Opts":{"size":"0"}}'
  call VolumeDriver.Mount '{"Name":"busy","ID":"a"}'
  point=$(python3 -c 'import json,sys; print(json.load(sys.stdin)["Mountpoint"])' <<<"$REPLY_BODY")
  "$here/plugin_load.py" "$SOCKET" latency "$point" || return 1
  rm -f "$point/busy"
  replies 200 '' VolumeDriver.Unmount '{"Name":"busy","ID":"a"}'
}

# The keeper, if there is one, starts the next daemon; without it, it is started here.
plugin_killed() {
  replies 200 '' VolumeDriver.Create '{"Name":"k"}' && replies 200 '' VolumeDriver.Mount '{"Name":"k","ID":"a"}' || return 1
  replies 200 '' VolumeDriver.Mount '{"Name":"k","ID":"b"}' || return 1
  kill -KILL "$(daemon_pid)" || return 1
  eventually 20 plugin_answers || return 1
  replies 200 '/volumes/k' VolumeDriver.Path '{"Name":"k"}' || return 1
  replies 500 'in use by mount a, b' VolumeDriver.Remove '{"Name":"k"}' || return 1
  replies 200 '' VolumeDriver.Unmount '{"Name":"k","ID":"a"}' && replies 200 '' VolumeDriver.Unmount '{"Name":"k","ID":"b"}' || return 1
  replies 200 '"Mountpoint":""' VolumeDriver.Path '{"Name":"k"}' && replies 200 '' VolumeDriver.Remove '{"Name":"k"}'
}
plugin_answers() {
  call Plugin.Activate
  [ "$STATUS" = 200 ] && return 0
  start_varve >/dev/null 2>&1
  return 1
}

plugin_reboot() {
  replies 200 '' VolumeDriver.Create '{"Name":"r","Opts":{"backing":"local"}}' || return 1
  replies 200 '' VolumeDriver.Mount '{"Name":"r","ID":"a"}' && replies 500 'for one container' VolumeDriver.Mount '{"Name":"r","ID":"b"}' ||
    return 1
  varve daemon stop --force || return 1
  VARVE_BOOT_ID=another start_varve || return 1
  replies 200 '"mounts":[]' VolumeDriver.Get '{"Name":"r"}' || return 1
  replies 200 '' VolumeDriver.Mount '{"Name":"r","ID":"b"}' && replies 200 '' VolumeDriver.Unmount '{"Name":"r","ID":"a"}' || return 1
  replies 200 '"mounts":["b"]' VolumeDriver.Get '{"Name":"r"}' && replies 200 '' VolumeDriver.Unmount '{"Name":"r","ID":"b"}'
}

plugin_directories() {
  local id
  id=$(varve status --json | jq -r .store.id)
  replies 200 '' VolumeDriver.Create '{"Name":"dir"}' && replies 200 "/run/varve/$id/volumes/dir" VolumeDriver.Mount '{"Name":"dir","ID":"x"}' || return 1
  varve daemon stop --force && [ ! -e "/run/varve/$id" ] || { echo "/run/varve/$id is left" >&2; return 1; }
  start_varve && replies 200 '' VolumeDriver.Unmount '{"Name":"dir","ID":"x"}' && replies 200 '' VolumeDriver.Remove '{"Name":"dir"}'
}

plugin_no_directory() {
  refuses "there is no directory $WORK/nowhere" varve --store "$WORK/other" daemon run --plugin-socket "$WORK/nowhere/p.sock" &&
    refuses 'listens on' varve --store "$WORK/other" daemon run --plugin-socket "$SOCKET"
}

plugin_rules() {
  varve volume create golden >/dev/null && varve snapshot create golden@v1 >/dev/null || return 1
  expect 'ping3-*-vol' varve rule add 'ping3-*-vol' --from golden@v1 -o size=3 || return 1
  refuses 'already' varve rule add 'ping3-*-vol' -o size=4 || return 1
  replies 200 '' VolumeDriver.Create '{"Name":"ping3-1-vol"}' || return 1
  replies 200 '"source":"golden@v1"' VolumeDriver.Get '{"Name":"ping3-1-vol"}' || return 1
  varve rule ls | grep -q 'ping3-\*-vol  *from=golden@v1 size=3' || { varve rule ls >&2; return 1; }
  varve rule rm 'ping3-*-vol' >/dev/null && refuses 'no rule' varve rule rm 'ping3-*-vol'
}

plugin_two_maps() {
  varve volume create --mode 777 owned >/dev/null && varve_mount owned || return 1
  (umask 022 && echo data >"$MOUNT/file") && chown 10:20 "$MOUNT/file" && varve_umount "$MOUNT" || return 1
  varve snapshot create owned@s >/dev/null && mkdir -p "$WORK/one" "$WORK/two" || return 1
  varve mount owned@s "$WORK/one" -o uidmap=10:1000:1,gidmap=20:1000:1 || return 1
  varve mount owned@s "$WORK/two" -o uidmap=0:5000:100,gidmap=0:6000:100 || return 1
  expect '1000:1000' stat -c %u:%g "$WORK/one/file" && expect '5010:6020' stat -c %u:%g "$WORK/two/file" || return 1
  expect '65534' stat -c %u "$WORK/one" || return 1
  # The maps outlive the daemon.
  kill -KILL "$(daemon_pid)" && eventually 20 plugin_answers || return 1
  expect '5010:6020' stat -c %u:%g "$WORK/two/file" && expect '1000:1000' stat -c %u:%g "$WORK/one/file" || return 1
  varve_umount "$WORK/one" && varve_umount "$WORK/two" && varve_mount owned && expect '10:20' stat -c %u:%g "$MOUNT/file" &&
    varve_umount "$MOUNT"
}
