# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Every command that docs/cli.md and docs/control-api.md show runs.

section_documents() {
  can_mount || return
  local document
  mkdir -p "$SCRATCH/documents" "$SCRATCH/path"
  ln -sfn "$VARVE" "$SCRATCH/path/varve"
  for document in cli control-api; do
    awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$root/docs/$document.md" >"$SCRATCH/$document.sh"
    that "docs/$document.md shows commands" test -s "$SCRATCH/$document.sh"
    cd "$SCRATCH/documents" || return
    OUT=$(PATH=$SCRATCH/path:$PATH timeout 120 bash -e -u -o pipefail -x "$SCRATCH/$document.sh" 2>&1 </dev/null)
    STATUS=$? ERR=
    if [ "$STATUS" -eq 0 ]; then pass; else
      OUT=$(tail -n 12 <<<"$OUT")
      fail "the commands of docs/$document.md"
    fi
    cd "$SCRATCH" || return
  done
}
