# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Checks of one command each, for tests/mountd/cli.sh. A check runs `varve`, looks at status, output and errors, and counts.

# run WORDS...: varve with its output in $OUT, its errors in $ERR and its exit status in $STATUS.
run() {
  varve "$@" >"$SCRATCH/out" 2>"$SCRATCH/err"
  STATUS=$?
  OUT=$(cat "$SCRATCH/out")
  ERR=$(cat "$SCRATCH/err")
}

pass() { PASSED=$((PASSED + 1)); }

# fail WHAT WORDS...: counts and shows the last run.
fail() {
  FAILED=$((FAILED + 1))
  FAILED_PARTS+=("$SECTION: $*")
  printf 'FAIL  %s: %s\n' "$SECTION" "$*"
  printf '      status %s\n' "${STATUS:-}"
  printf '%s\n' "${OUT:-}" | head -n 12 | sed 's/^/      out | /'
  printf '%s\n' "${ERR:-}" | head -n 12 | sed 's/^/      err | /'
}

# ok WORDS...: succeeds and says nothing on standard error.
ok() {
  unchanged
  run "$@"
  if [ "$STATUS" -eq 0 ] && [ -z "$ERR" ]; then pass; else fail "ok: $*"; fi
}

# prints TEXT WORDS...: succeeds with exactly this output.
prints() {
  local wanted=$1
  shift
  unchanged
  run "$@"
  if [ "$STATUS" -eq 0 ] && [ "$OUT" = "$wanted" ] && [ -z "$ERR" ]; then pass; else fail "prints '$wanted': $*"; fi
}

# like REGEX WORDS...: succeeds and one line of the output fits.
like() {
  local wanted=$1
  shift
  run "$@"
  if [ "$STATUS" -eq 0 ] && grep -qE -- "$wanted" <<<"$OUT"; then pass; else fail "like '$wanted': $*"; fi
}

# ends STATUS REGEX WORDS...: ends with this status and one line of the output fits.
ends() {
  local status=$1 wanted=$2
  shift 2
  unchanged
  run "$@"
  if [ "$STATUS" -eq "$status" ] && grep -qE -- "$wanted" <<<"$OUT"; then pass; else fail "ends with $status, '$wanted': $*"; fi
}

# unlike REGEX WORDS...: succeeds and no line of the output fits.
unlike() {
  local unwanted=$1
  shift
  run "$@"
  if [ "$STATUS" -eq 0 ] && ! grep -qE -- "$unwanted" <<<"$OUT"; then pass; else fail "unlike '$unwanted': $*"; fi
}

# refused STATUS REGEX WORDS...: fails with this status and one line that fits; nothing changes (see unchanged).
refused() {
  local status=$1 wanted=$2
  shift 2
  [ -z "${FINGERPRINT:-}" ] || [ -n "$BASE" ] || BASE=$(fingerprint)
  REFUSED=$((REFUSED + 1))
  run "$@"
  if [ "$STATUS" -ne "$status" ]; then
    fail "refused with $status: $*"
  elif [ "$(wc -l <<<"$ERR")" -ne 1 ] || ! grep -qE -- "^varve: .*($wanted)" <<<"$ERR"; then
    fail "says '$wanted': $*"
  else
    pass
  fi
  [ $((REFUSED % 25)) -ne 0 ] || unchanged
}

# Checks that the refused commands since the last command that may change something changed nothing.
BASE= REFUSED=0
unchanged() {
  [ -n "$BASE" ] || return 0
  local now
  now=$(fingerprint)
  ERR= STATUS= OUT=$(diff <(echo "$BASE") <(echo "$now"))
  if [ -z "$OUT" ]; then pass; else fail 'refused commands changed something'; fi
  BASE=
}

# What the store of the section holds.
fingerprint() {
  varve volume ls --json 2>&1 | grep -v '"Used"'
  varve volume ls --trash --json 2>&1
  varve snapshot ls --json 2>&1
}

# that WHAT COMMAND...: the command succeeds.
that() {
  local what=$1
  shift
  OUT=$("$@" 2>&1)
  STATUS=$?
  ERR=
  if [ "$STATUS" -eq 0 ]; then pass; else fail "$what"; fi
}

# same WHAT WANTED GOT
same() {
  OUT=$3 ERR= STATUS=
  if [ "$2" = "$3" ]; then pass; else fail "$1: wanted '$2'"; fi
}

# json EXPRESSION WORDS...: succeeds, the output is JSON, and the Python expression over it (as j) is true.
json() {
  local expression=$1
  shift
  run "$@"
  if [ "$STATUS" -eq 0 ] && python3 -c 'import json,sys; j=json.load(sys.stdin); sys.exit(not ('"$expression"'))' \
    <"$SCRATCH/out" 2>"$SCRATCH/err"; then
    pass
  else
    ERR=$(cat "$SCRATCH/err")
    fail "json $expression: $*"
  fi
}

# fresh_store: a new store for what follows.
STORES=0
fresh_store() {
  STORES=$((STORES + 1))
  VARVE_STORE=$SCRATCH/store$STORES
  export VARVE_STORE
}

# section NAME: runs section_NAME with a store of its own; what it mounted and started is taken down.
section() {
  local before_passed=$PASSED before_failed=$FAILED started=$SECONDS mount
  SECTION=$1
  FINGERPRINT= BASE=
  fresh_store
  if declare -F "section_$1" >/dev/null; then
    cd "$SCRATCH" || exit 2
    "section_$1"
    unchanged
  else
    STATUS= OUT= ERR=
    fail "there is no such section"
  fi
  while read -r mount; do
    umount -l "$mount" 2>/dev/null || fusermount3 -uz "$mount" 2>/dev/null
  done < <(awk -v under="$SCRATCH/" 'index($2, under) == 1 && $3 == "fuse.varve" { print $2 }' /proc/self/mounts)
  varve daemon stop --force >/dev/null 2>&1
  printf 'ok    %-18s %4d passed, %d failed %6d s\n' "$1" $((PASSED - before_passed)) $((FAILED - before_failed)) \
    $((SECONDS - started))
}

# can_mount: true where a volume can be mounted; else the section counts as failed.
can_mount() {
  [ -c /dev/fuse ] && [ "$(id -u)" -eq 0 ] && return 0
  STATUS= OUT= ERR=
  fail "not run: needs root and /dev/fuse"
  return 1
}
