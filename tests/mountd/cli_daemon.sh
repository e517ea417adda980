# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The daemon's life: start, end, idleness, crashes, and who may speak to it.

section_daemon() {
  local pid other
  # init
  prints "$VARVE_STORE" init
  refused 4 "$VARVE_STORE" init
  prints "$SCRATCH/second" init "$SCRATCH/second"
  refused 2 'twice' --store "$SCRATCH/third" init "$SCRATCH/fourth"
  that 'nothing was made' test ! -e "$SCRATCH/third" -a ! -e "$SCRATCH/fourth"
  like '^daemon: +none$' status
  refused 3 'no daemon' daemon stop

  # start and stop
  ok daemon run
  pid=$(daemon_pid)
  that 'it runs' is_running "$pid"
  that 'its socket is its own' test "$(stat -c %a "$VARVE_STORE/control.sock")" = 600
  that 'its log is there' grep -q 'serves store' "$VARVE_STORE/daemon.log"
  refused 4 'already' daemon run
  refused 4 'already' daemon run --foreground
  refused 4 'daemon' repair
  ok daemon stop
  that 'it has ended' wait_gone "$pid"
  that 'its socket is gone' test ! -e "$VARVE_STORE/control.sock"
  like 'opens and is clean' repair
  ok daemon run
  that 'the daemon has none of our descriptors' test -z "$(find "/proc/$(daemon_pid)/fd" -lname "$SCRATCH/out" 2>/dev/null)"

  # commands reach it, and each other
  ok volume create v
  ok snapshot create v@s
  ok daemon stop
  prints s snapshot ls -q
  ok daemon run
  prints s snapshot ls -q

  # kill -9: the next command recovers by itself, the stale socket is replaced
  kill_daemon
  prints s snapshot ls -q
  that 'the stale socket is still there' test -S "$VARVE_STORE/control.sock"
  ok daemon run
  prints s snapshot ls -q

  # SIGTERM ends it in order
  pid=$(daemon_pid)
  kill -TERM "$pid"
  that 'it ends at SIGTERM' wait_gone "$pid"
  that 'and says so' grep -q 'has ended' "$VARVE_STORE/daemon.log"

  # idleness
  ok daemon run --idle-exit 1
  pid=$(daemon_pid)
  that 'it ends when idle' wait_gone "$pid"
  refused 2 'whole number' daemon run --idle-exit soon
  refused 2 'whole number' daemon run --idle-exit -1

  # in the foreground
  timeout 60 "$VARVE" daemon run --foreground 2>"$SCRATCH/foreground" </dev/null &
  other=$!
  for _ in $(seq 100); do [ -S "$VARVE_STORE/control.sock" ] && break; sleep 0.1; done
  prints s snapshot ls -q
  ok daemon stop
  wait "$other"
  same 'it ends with success' 0 $?
  that 'it logs to standard error' grep -q 'serves store' "$SCRATCH/foreground"

  # one daemon however many start it
  local starters=()
  for _ in 1 2 3 4 5 6; do
    varve mount none "$SCRATCH" >/dev/null 2>&1 &
    starters+=($!)
    varve volume ls >/dev/null 2>"$SCRATCH/err" &
    starters+=($!)
  done
  wait "${starters[@]}"
  prints v volume ls -q

  # a path too long for a socket address
  local deep=$SCRATCH i
  for i in 1 2 3 4; do deep=$deep/$(printf 'd%.0s' $(seq 60)); done
  mkdir -p "$deep"
  VARVE_STORE=$deep/store
  ok volume create deep
  ok daemon run
  prints deep volume ls -q
  ok daemon stop
  prints deep volume ls -q

  # the raw API
  ok daemon run
  if command -v curl >/dev/null; then
    local socket=$SCRATCH/control
    ln -sfn "$VARVE_STORE" "$socket"
    curl_is 200 '"ApiVersion"|"api_version"' "$socket" /v1/version
    curl_is 404 '"code":"not_found"' "$socket" /v1/none
    curl_is 404 '"code":"not_found"' "$socket" /v1/volumes/none
    curl_is 400 '"code":"invalid"' "$socket" /v1/volumes -d '{"name":"a/b"}'
    curl_is 400 '"code":"invalid"' "$socket" /v1/volumes -d '[1]'
    curl_is 400 '"code":"invalid"' "$socket" /v1/volumes -d 'nonsense'
    curl_is 200 '"Name":"chunked"' "$socket" /v1/volumes -H 'Transfer-Encoding: chunked' -d '{"name":"chunked"}'
    head -c 1100000 /dev/zero | tr '\0' x >"$SCRATCH/big"
    curl_is 413 '"code":"too_large"' "$socket" /v1/volumes --data-binary "@$SCRATCH/big" -H 'Expect:'
    prints "$(printf 'chunked\ndeep')" volume ls -q
  fi
  ok daemon stop
}

# curl_is STATUS REGEX DIRECTORY PATH [CURL OPTIONS...]
curl_is() {
  local wanted=$1 regex=$2 directory=$3 path=$4
  shift 4
  OUT=$(curl --silent --max-time 30 --unix-socket "$directory/control.sock" -w '\n%{http_code}' "$@" "http://varve$path" 2>&1)
  ERR= STATUS=$(tail -n 1 <<<"$OUT")
  if [ "$STATUS" = "$wanted" ] && grep -qE -- "$regex" <<<"$OUT"; then pass; else fail "curl $path: wanted $wanted"; fi
}
