#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the daemon again and again under programs that must not notice, and measures how long they wait.

    tests/crash/survive.py BUILD_DIR [--kills N] [--upgrades N] [--seed N] [--podman]

The keeper holds the mount, so no call of the load may fail, be lost or happen twice over `kill -9` of the daemon (and
over `varve upgrade`). The load, each part a process of its own with a directory of its own: appends with O_APPEND,
exclusive creates and temporary files that get a name, renames and links (a repeated one would say EEXIST or ENOENT),
makes and removals of directories, extended attributes, a memory map, locks of both kinds, a directory stream that is
read on and on, files that are open and have no name, fsync, and reads of what was written. At the end each directory is
compared with what its program believes, also after a remount, and the store is checked. With --podman all of the load
runs inside a container.
"""

import argparse
import json
import os
import random
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time


class Wrong(Exception):
    """What a program saw is not what it did."""


def expect(found, expected, what):
    if found != expected:
        raise Wrong(f"{what}: {found!r} instead of {expected!r}")


class Load:
    """That program, seen from here: in this system or inside a container."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.answer()

    def answer(self):
        if not select.select([self.process.stdout], [], [], 120)[0]:
            raise Wrong("the load hangs")
        line = self.process.stdout.readline()
        if not line:
            raise Wrong("the load has ended")
        found = json.loads(line)
        if "wrong" in found:
            raise Wrong(found["wrong"])
        return found["said"]

    def ask(self, word):
        self.process.stdin.write(word + "\n")
        return self.answer()

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()


def load_command(store, seed, podman):
    """The mount's directory may come and go inside the container, too."""
    words = ["python3", os.path.join(os.path.dirname(os.path.abspath(__file__)), "survive_load.py")]
    if not podman:
        return [*words, store.mount_point, str(seed)]
    work = os.path.join(store.scratch, "podman")
    os.mkdir(work)
    with open(os.path.join(work, "containers.conf"), "x", encoding="ascii") as conf:
        conf.write('[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n')
    return ["env", f"CONTAINERS_CONF={work}/containers.conf", "podman", "--root", f"{work}/root", "--runroot", f"{work}/run",
            "--tmpdir", f"{work}/tmp", "--runtime", "runc", "run", "--rm", "-i", "--network", "none",
            "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
            "-v", f"{os.path.dirname(store.mount_point)}:/data:rslave", "--rootfs", "/:O",
            *words, "/data/mnt", str(seed)]


class Store:
    def __init__(self, build, mount_options, podman):
        self.program = os.path.join(build, "mountd", "varve")
        if not os.access(self.program, os.X_OK):
            sys.exit(f"there is no program {self.program}: build first")
        self.scratch = tempfile.mkdtemp(prefix="varve-survive-")
        self.environment = dict(os.environ, VARVE_STORE=os.path.join(self.scratch, "store"), VARVE_KEEPER="yes")
        shared = os.path.join(self.scratch, "shared")
        self.mount_point = os.path.join(shared, "mnt")
        os.makedirs(self.mount_point)
        if podman:
            subprocess.run(["mount", "--bind", shared, shared], check=True)
            subprocess.run(["mount", "--make-shared", shared], check=True)
        self.mount_options = mount_options

    def varve(self, *arguments, check=True):
        done = subprocess.run([self.program, *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode != 0:
            raise Wrong(f"varve {' '.join(arguments)}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def status(self):
        return json.loads(self.varve("status", "--json"))

    def log(self):
        try:
            with open(os.path.join(self.scratch, "store", "daemon.log"), encoding="utf-8") as file:
                return "".join(file.readlines()[-40:])
        except OSError:
            return ""

    def end(self):
        self.varve("daemon", "stop", "--force", check=False)
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            left = [line.split()[1] for line in mounts if line.split()[1].startswith(self.scratch + "/")]
        for path in reversed(left):
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(self.scratch, ignore_errors=True)


def wait_for_takeover(store, before):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            status = store.status()
            if status["keeper"]["takeovers"] > before and status["keeper"]["last_pause_ms"] is not None:
                return status
        except (Wrong, json.JSONDecodeError, TypeError, KeyError):
            pass
        time.sleep(0.01)
    raise Wrong("nobody took the mount over")


def kill_successors(keeper, rng):
    """Up to three, at any moment of their takeover."""
    for _ in range(rng.randrange(1, 4)):
        time.sleep(rng.uniform(0.0, 0.15))
        with open(f"/proc/{keeper}/task/{keeper}/children", encoding="ascii") as children:
            for pid in children.read().split():
                os.kill(int(pid), signal.SIGKILL)


def one_death(store, load, rng, upgrade):
    """Returns how long the mount was not served, and how long a program waited, in ms."""
    before = store.status()
    time.sleep(rng.uniform(0.3, 0.8))
    load.ask("longest")
    if upgrade:
        store.varve("upgrade", store.program)
    else:
        os.kill(before["daemon"]["pid"], signal.SIGKILL)
        if rng.random() < 0.3:
            kill_successors(before["keeper"]["pid"], rng)
    status = wait_for_takeover(store, before["keeper"]["takeovers"])
    expect(status["mounts"][0]["kept"], True, "the mount is kept")
    return status["keeper"]["last_pause_ms"], load.ask("longest") * 1000


def survive(store, arguments, rng):
    store.varve("volume", "create", "--name", "v", "--size", "0")
    store.varve("mount", *store.mount_options, "v", store.mount_point)
    load = Load(load_command(store, rng.randrange(1 << 40), arguments.podman))
    pauses, waits = [], []
    deaths = [False] * arguments.kills + [True] * arguments.upgrades
    rng.shuffle(deaths)
    try:
        for number, upgrade in enumerate(deaths):
            pause, wait = one_death(store, load, rng, upgrade)
            pauses.append(pause)
            waits.append(wait)
            if number % 10 == 9:
                load.ask("check")
            if arguments.verbose:
                print(f"{'upgrade' if upgrade else 'kill'} {number + 1}: {pause:.0f} ms, a call took {wait:.0f} ms", flush=True)
        load.ask("check")
        load.ask("wait")
        store.varve("umount", store.mount_point)
        store.varve("mount", *store.mount_options, "v", store.mount_point)
        steps = load.ask("go")
    finally:
        load.end()
    store.varve("umount", store.mount_point)
    store.varve("daemon", "stop")
    store.varve("fsck")
    return steps, pauses, waits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--upgrades", type=int, default=2)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--option", action="append", default=[], help="a mount option")
    parser.add_argument("--podman", action="store_true", help="the load runs inside a container")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    rng = random.Random(arguments.seed)
    store = Store(arguments.build, [word for option in arguments.option for word in ("-o", option)], arguments.podman)
    began = time.monotonic()
    try:
        steps, pauses, waits = survive(store, arguments, rng)
    except Wrong as error:
        print(f"WRONG, seed {arguments.seed}: {error}\n{store.log()}")
        return 1
    finally:
        store.end()
    print(f"{arguments.kills} kills and {arguments.upgrades} upgrades, {steps} steps without an error, "
          f"not served for {statistics.median(pauses):.0f} ms (median), {max(pauses):.0f} ms at most; "
          f"the longest call took {statistics.median(waits):.0f} ms (median), {max(waits):.0f} ms at most; "
          f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
