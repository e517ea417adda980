# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Volumes and snapshots by name; each part runs without a daemon and with one.

section_names_alone() { names; }
section_names_served() {
  ok daemon run
  names
  ok daemon stop
}

names() {
  # the default size, the columns, and the JSON of the Hyper command line
  prints vol1 volume create --name vol1
  prints vol2 volume create vol2 --size 512MB --label team=web --label a=b=c
  prints vol3 volume create --size=0 --name=vol3
  like '^DRIVER +VOLUME NAME +SIZE +CONTAINER$' volume ls
  like '^varve +vol1 +10 GB$' volume ls
  like '^varve +vol2 +512 MB$' volume ls
  like '^varve +vol3 +unlimited$' volume ls
  prints "$(printf 'vol1\nvol2\nvol3')" volume ls -q
  prints "$(printf 'vol1\nvol2\nvol3')" volume ls --quiet
  json 'isinstance(j, list) and j[0]["Name"] == "vol1" and j[0]["Driver"] == "varve"' volume inspect vol1
  json 'j[0]["Mountpoint"] == "" and j[0]["Labels"] == {"container": "", "size": "10", "snapshot": ""}' volume inspect vol1
  json 'list(j[0])[:4] == ["Name", "Driver", "Mountpoint", "Labels"]' volume inspect vol1
  json 'j[0]["Size"] == 10**10 and j[0]["Used"] == 0 and j[0]["Inodes"] == 1' volume inspect vol1
  json 'j[0]["Labels"]["team"] == "web" and j[0]["Labels"]["a"] == "b=c" and j[0]["Labels"]["size"] == "0.512"' volume inspect vol2
  json '[v["Name"] for v in j] == ["vol2", "vol1"]' volume inspect vol2 vol1
  prints 'vol1 varve 10' volume inspect --format '{{.Name}} {{.Driver}} {{.Labels.size}}' vol1
  prints '"512000000"' volume inspect -f '"{{json .Size}}"' vol2

  # a generated name, and its prefix
  run volume create
  local generated=$OUT
  that "a generated name is 64 hexadecimal digits" grep -qxE '[0-9a-f]{64}' <<<"$generated"
  json 'j[0]["Name"] == "'"$generated"'"' volume inspect "${generated:0:8}"
  prints "$generated" volume rm "${generated:0:4}"

  # filters and templates
  prints vol2 volume ls -q --filter label=team
  prints vol2 volume ls -q -f label=team=web
  prints '' volume ls -q -f label=team=db
  prints vol3 volume ls -q -f name=3
  prints "$(printf 'vol1\nvol2\nvol3')" volume ls -q -f dangling=true
  prints '' volume ls -q -f dangling=false
  prints 'vol1/10 GB' volume ls --format '{{.Name}}/10 GB' -f name=1
  json 'len(j) == 3' volume ls --json

  # set
  ok volume set vol1 --size 20 --label x=y --protect
  json 'j[0]["Size"] == 2 * 10**10 and j[0]["Labels"]["x"] == "y" and j[0]["Protected"]' volume inspect vol1
  ok volume set vol1 --no-protect --remove-label x --size 0
  json 'j[0]["Size"] == 0 and "x" not in j[0]["Labels"] and not j[0]["Protected"]' volume inspect vol1
  ok volume set vol1 --size 10

  # snapshots
  prints mybackup snapshot create --name mybackup --volume vol1
  prints second snapshot create vol1@second --label why=test -f
  run snapshot create -v vol1
  local unnamed=$OUT
  that "a snapshot without a name gets one" test -n "$unnamed"
  like '^Snapshot Name +Volume +Size$' snapshot ls
  like '^mybackup +vol1 +10 GB$' snapshot ls
  prints "$(printf 'mybackup\nsecond\n%s' "$unnamed")" snapshot ls -q
  prints "$(printf 'mybackup\nsecond\n%s' "$unnamed")" snapshot ls -q vol1
  prints '' snapshot ls -q vol2
  prints second snapshot ls -q -f volume=vol1 -f label=why
  prints second snapshot ls -q --filter name=eco
  prints '' snapshot ls -q --filter volume=none
  json 'j[0]["Name"] == "mybackup" and j[0]["Volume"] == "vol1" and j[0]["Size"] == 10**10' snapshot inspect mybackup
  json '[s["Name"] for s in j] == ["second", "mybackup"]' snapshot inspect vol1@second mybackup
  json 'j[0]["Labels"] == {"varve.taken": "offline", "why": "test"}' snapshot inspect second
  prints 'vol1 mybackup' snapshot inspect --format '{{.Volume}} {{.Name}}' mybackup
  json 'j[0]["Snapshots"][:2] == ["mybackup", "second"]' volume inspect vol1
  prints 'mybackup' snapshot create --name mybackup --volume vol2
  like '^vol2@mybackup$' snapshot ls -q
  like '^vol1@mybackup$' snapshot ls -q

  # clones
  prints clone1 volume create --name clone1 --snapshot vol1@mybackup
  json 'j[0]["Labels"]["snapshot"] == "mybackup" and j[0]["Source"] == "vol1@mybackup" and j[0]["Size"] == 10**10' \
    volume inspect clone1
  prints clone2 clone second clone2 --size 30 --label c=d
  json 'j[0]["Labels"]["size"] == "30" and j[0]["Labels"]["c"] == "d"' volume inspect clone2
  prints clone3 clone vol2 --name clone3
  json 'j[0]["Size"] == 512000000 and j[0]["Source"].startswith("vol2@")' volume inspect clone3
  prints clone4 clone vol1@second clone4 --size 0 --protect
  json 'j[0]["Size"] == 0 and j[0]["Protected"]' volume inspect clone4

  # rollback keeps what came later and the present state
  run rollback vol1@mybackup
  local before=$OUT
  that "rollback prints the snapshot taken first" grep -qE '^before-rollback' <<<"$before"
  like "^$before\$" snapshot ls -q vol1
  like '^second$' snapshot ls -q vol1
  ok rollback vol1 second
  ok rollback vol1 vol1@mybackup
  ok rollback "vol1@$before"

  # diff of equal states
  prints '' diff vol1@mybackup vol1@second
  prints '' diff vol1@mybackup vol1
  prints '' diff vol1@mybackup
  json 'j == []' diff --json vol1@mybackup vol1

  # a clone outlives its snapshot and its volume
  prints 'vol1@mybackup' snapshot rm vol1@mybackup
  like '^varve +clone1 ' volume ls
  unlike 'vol1@mybackup' snapshot ls -q
  prints "$(printf 'second\n%s' "$unnamed")" snapshot rm second "$unnamed"
  for name in $(varve snapshot ls -q vol1); do ok snapshot rm "$name"; done
  prints vol1 volume rm vol1
  json 'j[0]["Name"] == "clone1"' volume inspect clone1
  json 'j[0]["Name"] == "clone2"' volume inspect clone2
}

section_trash_alone() { trash; }
section_trash_served() {
  ok daemon run
  trash
  ok daemon stop
}

trash() {
  local FINGERPRINT=1
  prints test volume create test
  prints snap snapshot create --name snap --volume test
  refused 4 'Volume\(test\) has \(1\) snapshots' volume rm test
  prints snap2 snapshot create --name snap2 --volume test
  refused 4 'Volume\(test\) has \(2\) snapshots' volume rm test
  prints "$(printf 'snap\nsnap2')" snapshot rm snap snap2
  ok volume set test --protect
  refused 4 'protected' volume rm test
  ok volume set test --no-protect
  prints test volume rm test
  prints '' volume ls -q
  prints test volume ls --trash -q
  like '^varve +test +10 GB +20[0-9-]+T' volume ls --trash
  refused 3 'test' volume inspect test
  refused 3 'test' volume rm test
  prints test volume restore test
  prints test volume ls -q
  prints '' volume ls --trash -q
  refused 3 'test' volume restore test
  prints test volume rm test
  prints test volume create test --size 7
  refused 4 'test' volume restore test
  prints test volume rm test
  prints test volume restore test
  json 'j[0]["Labels"]["size"] == "7"' volume inspect test
  prints 'purged 0 volume(s)' volume purge --older-than 1d
  prints test volume ls --trash -q
  prints 'purged 1 volume(s)' volume purge
  prints '' volume ls --trash -q
  prints 'purged 0 volume(s)' volume purge
  refused 2 'age' volume purge --older-than yesterday
  refused 2 'age' volume purge --older-than 7
  refused 2 'age' volume purge --older-than -1d
}
