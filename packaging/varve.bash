# SPDX-License-Identifier: Apache-2.0
# Completion of varve(1) for bash: commands and options from its own help, names of volumes and snapshots from a daemon that runs.

_varve_commands() { varve ${1:+"$1"} --help 2>/dev/null | awk '/ommands:$/ { on = 1; next } /^[^ ]/ { on = 0 } on && NF { print $1 }'; }
_varve_options() { varve "$@" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]+' | sort -u; }
_varve_names() {
  [ -S "${VARVE_STORE:-/var/lib/varve}/control.sock" ] || return
  varve volume ls -q 2>/dev/null
  varve snapshot ls --format '{{.Volume}}@{{.Name}}' 2>/dev/null
}

_varve() {
  local word=${COMP_WORDS[COMP_CWORD]} groups='volume snapshot rule daemon' command=()
  [ "$COMP_CWORD" -gt 1 ] && command=("${COMP_WORDS[1]}")
  case " $groups " in *" ${command[0]:- } "*) [ "$COMP_CWORD" -gt 2 ] && command+=("${COMP_WORDS[2]}") ;; esac
  if [ "${#command[@]}" -eq 0 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_varve_commands)" -- "$word")
  elif [ "${#command[@]}" -eq 1 ] && case " $groups " in *" ${command[0]} "*) true ;; *) false ;; esac; then
    mapfile -t COMPREPLY < <(compgen -W "$(_varve_commands "${command[0]}")" -- "$word")
  elif [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_varve_options "${command[@]}")" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -W "$(_varve_names)" -- "$word")
    [ "${#COMPREPLY[@]}" -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -F _varve varve
