#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Checks what the compiler does not: layers, homes of third-party headers, licence lines, file sizes.
#
#   tests/check_layers.sh            prints each breach with file and line; status 1 if there is any
set -uo pipefail
# `report` is the end of pipelines and counts in this shell.
shopt -s lastpipe
cd "$(dirname "$0")/.." || exit 2

breaches=0

# report "rule" < lines
report() {
  local lines
  lines=$(cat)
  [ -z "$lines" ] && return
  breaches=$((breaches + $(wc -l <<<"$lines")))
  printf '%s:\n' "$1"
  printf '  %s\n' "${lines//$'\n'/$'\n'  }"
}

# Every file of this project, tracked or about to be; all files where this is no git checkout. Listed once.
all_files=$(
  if git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
    git -c safe.directory='*' ls-files --cached --others --exclude-standard -z | sort -zu |
      xargs -0 -r stat --printf '%F\t%n\n' 2>/dev/null | sed -n 's/^regular \(empty \)\{0,1\}file\t//p'
  else
    find . -type f -not -path './build*' -not -path './.git/*' | sed 's|^\./||' | sort
  fi
)

# The files below `path...`.
files() {
  local path
  for path in "$@"; do
    if [ "$path" = . ]; then echo "$all_files"; else awk -v under="$path/" 'index($0, under) == 1' <<<"$all_files"; fi
  done
}

# search PATTERN PATH...: file:line:text of each match
search() {
  local pattern=$1
  shift
  files "$@" | xargs -r -d '\n' grep -nHE -- "$pattern" 2>/dev/null
}

# code PATTERN PATH...: like search, in C++ without comments
code() {
  search "$@" | grep -E '^[^:]+\.(h|cc|cpp):' | grep -vE '^[^:]+:[0-9]+:[[:space:]]*(//|\*)'
}

# --- The layers: mountd -> fs -> snapshot -> store. Includes never run up, nor from the code into the tests.

no_include() { # folder, then what it must not include
  local folder=$1 upper
  shift
  for upper in "$@"; do code "^[[:space:]]*#[[:space:]]*include[[:space:]]*[\"<]$upper/" "$folder"; done
}
{
  no_include store snapshot fs mountd tests
  no_include snapshot fs mountd tests
  no_include fs mountd tests
  no_include mountd tests
} | report "an include runs up the layers (mountd -> fs -> snapshot -> store)"

code '^[[:space:]]*#[[:space:]]*include[[:space:]]*"(\.|[^/"]*")' store snapshot fs mountd |
  report 'an include is not written from the top of the repository'

# --- Third parties, each at its one home.

code '#[[:space:]]*include[[:space:]]*[<"](sqlite3|openssl/|zstd|curl/|xxh)' snapshot fs mountd |
  report "a header of the disk layer's libraries outside store/"
code '#[[:space:]]*include[[:space:]]*[<"](fuse|CLI/|nlohmann/|boost/(asio|beast|filesystem))' store snapshot fs |
  report "a header of libfuse, the command line or JSON outside mountd/"
code '\b(sqlite3_[a-z]|EVP_|ZSTD_)' snapshot fs mountd | report "a call to the disk layer's libraries outside store/"

# --- Disk calls that a test must be able to fail.

code '(^|[^A-Za-z0-9_.>])(::)?(pread|pwrite|preadv|pwritev|pwritev2|fsync|fdatasync|sync_file_range|fallocate|ftruncate)\(' store |
  grep -v '^store/base/' | grep -E '::(pread|pwrite|preadv|pwritev|pwritev2|fsync|fdatasync|sync_file_range|fallocate|ftruncate)\(' |
  report "a raw disk call outside store/base/"

# --- Locks are the annotated ones.

code '\bstd::(mutex|shared_mutex|recursive_mutex|condition_variable|lock_guard|unique_lock|scoped_lock)\b' store snapshot fs mountd |
  grep -v '^store/base/mutex\.h:' | report "a lock that the thread-safety analysis does not see (use store/base/mutex.h)"

# --- Every file.

sources() { files . | grep -E '(\.(h|cc|cpp|sh|py|cmake)|(^|/)CMakeLists\.txt|^\.ci/run)$'; }

# each_of PROGRAM: runs an awk program over all the files on standard input at once.
each_of() { xargs -r -d '\n' awk "$1"; }

# lacks N PATTERN: an awk program that names each file none of whose first N lines matches, the empty ones too.
lacks() {
  printf '%s' "BEGIN { for (i = 1; i < ARGC; i++) missing[ARGV[i]] } FNR <= $1 && /$2/ { delete missing[FILENAME] }
    END { for (file in missing) print file }"
}

sources | each_of "$(lacks 4 'SPDX-License-Identifier: Apache-2\.0')" | report "no SPDX line at the top"

sources | each_of 'FNR == 601 { print FILENAME ": more than 600 lines" }' | report "more than 600 lines"

files . | grep -E '\.h$' | each_of "$(lacks 1000000 '^#pragma once$')" | report "no #pragma once"

search '(^|[^A-Za-z0-9_.])/(wor[k]|roo[t])/|\b(deb|security|registry|snapshot)\.[a-z]+\.(org|com)\b' . |
  grep -v '^docs/seeds\.md:' | report "a path of one machine, or a package registry's host"

search '\b(TOD[O]|FIXM[E]|XX[X])\b' store snapshot fs mountd tests examples cmake .ci |
  grep -vE '\b(TOD[O]|FIXM[E])\(#[0-9]+\)|mktemp|XXXX' | report "a mark of unfinished work without an issue number"

code 'GTEST_SKI[P]|DISABLE[D]_|EXPECT_TRUE\(true\)|\b(sleep_for|sleep_until|usleep)\(' tests | grep -v '^tests/bench/' |
  grep -vE 'GTEST_SKI[P]\(\) << "(the kernel|this libfuse) lacks ' | report "a test that may not test, or that waits on the clock"

files . | grep -E '(\.sh|\.py|^\.ci/run)$' | each_of 'FNR == 1 && /^#!/ { print FILENAME }' |
  while read -r file; do [ -x "$file" ] || echo "$file"; done | report "a program without its executable bit"

if [ "$breaches" -eq 0 ]; then
  echo "layers: $(sources | wc -l) files, no breach"
else
  echo "layers: $breaches breaches"
  exit 1
fi
