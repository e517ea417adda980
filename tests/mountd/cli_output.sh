# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Help, version, figures, and what scripts read.

section_output_alone() { output; }
section_output_served() {
  ok daemon run
  output
  json 'j["daemon"]["pid"] > 1 and j["mounts"] == []' status --json
  like '^daemon: +pid [0-9]+$' status
  ok daemon stop
}

output() {
  local command
  prints "varve $(sed -n 's/^project(varve VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")" version
  like '^varve [0-9]' --version
  like '^Usage:  varve ' --help
  like "^Run 'varve COMMAND --help' for more information on a command$" help
  like '^Usage:  varve volume \[OPTIONS\] \[COMMAND\]$' volume --help
  like '^  create                   Create a volume$' volume --help
  like '^  inspect                  Return low-level information on a volume$' volume --help
  like '^  ls                       List volumes$' volume --help
  like '^  rm                       Remove a volume$' volume --help
  like "^Run 'varve volume COMMAND --help' for more information on a command$" volume --help
  like '^Usage:  varve snapshot ' snapshot --help
  like '^Usage:  varve daemon ' help daemon
  for command in 'volume create' 'volume inspect' 'volume ls' 'volume rm' 'volume set' 'volume restore' 'volume purge' \
    'snapshot create' 'snapshot inspect' 'snapshot ls' 'snapshot rm' 'daemon run' 'daemon stop' init mount umount clone \
    rollback diff df status sync scrub fsck repair version; do
    # shellcheck disable=SC2086  # two words
    like "^Usage:  varve $command \[OPTIONS\]" $command --help
    # shellcheck disable=SC2086
    like '^ +--store PATH' $command -h
  done

  ok volume create one --size 1
  ok volume create two --size 0
  like '^VOLUME +SIZE +USED +AVAILABLE +USE% +INODES$' df
  like '^one +1 GB +0 B +.* 0% +1$' df
  like '^two +unlimited +0 B +.* - +1$' df two
  unlike '^one ' df two
  like "^Store $VARVE_STORE takes " df
  json '[v["volume"] for v in j["volumes"]] == ["one", "two"] and j["store"]["path"] == "'"$VARVE_STORE"'"' df --json
  json 'len(j["volumes"]) == 2 and j["volumes"][0]["volume"] == "two"' df two one --json
  like "^store: +$VARVE_STORE$" status
  like '^state: +read and write$' status
  json 'j["store"]["path"] == "'"$VARVE_STORE"'" and j["volumes"] == 2 and not j["read_only"]' status --json
  json '0 < j["journal"]["bytes"] <= j["journal"]["file_bytes"] <= j["journal"]["capacity_bytes"] and j["dirty_bytes"] >= 0 and "hits" in j["cache"] and j["pending_deletions"] >= 0' status --json
  ok sync

  # the store is chosen by the option before the variable, before or after the command
  prints '' --store "$SCRATCH/other-$SECTION" volume ls -q
  prints here volume create here --store "$SCRATCH/other-$SECTION"
  prints here --store="$SCRATCH/other-$SECTION" volume ls -q
  (cd "$SCRATCH" && varve --store "other-$SECTION" volume ls -q) >"$SCRATCH/out"
  same 'a relative store' here "$(cat "$SCRATCH/out")"
  unlike '^here$' volume ls -q

  # a full or closed output is an error, not a success
  STATUS=0
  varve volume ls >/dev/full 2>"$SCRATCH/err" || STATUS=$?
  same 'a full output is a failure' 1 "$STATUS"
}
