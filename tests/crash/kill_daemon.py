#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the daemon again and again under writers, and checks that everything acknowledged is there.

    tests/crash/kill_daemon.py BUILD_DIR [--kills N] [--seed N] [--writers N]

Each writer changes a directory of its own on one mount and remembers, outside of it, every call that returned. The
daemon is killed at a random moment, the dead mount is taken away, the volume is mounted again, and each directory must
show exactly what was acknowledged; the one call that was under way may have happened or not. Snapshots whose command
returned must be there, with their content. Nothing is flushed but by chance: this is about kill -9, not power cuts.
"""

import argparse
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

# What a call on a mount without a daemon may say.
GONE = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ESTALE, errno.EINTR, errno.ENODEV}
NAMES = 14
PAGE = 4096
LARGEST_WRITE = 16 * 1024
FILE_BYTES = 96 * 1024


class Inode:
    """A file or symbolic link as the writer knows it."""

    def __init__(self, target=None):
        self.target = target
        self.data = bytearray()
        self.xattrs = {}

    def copy(self):
        other = Inode(self.target)
        other.data = bytearray(self.data)
        other.xattrs = dict(self.xattrs)
        return other


class Tree:
    """Names of one directory, with one level of directories below; the root is ''."""

    def __init__(self):
        self.directories = {""}
        self.files = {}

    def copy(self):
        other = Tree()
        other.directories = set(self.directories)
        copies = {}
        for path, inode in self.files.items():
            copies.setdefault(id(inode), inode.copy())
            other.files[path] = copies[id(inode)]
        return other

    def dump(self):
        links = {}
        for inode in self.files.values():
            links[id(inode)] = links.get(id(inode), 0) + 1
        out = {path: ("directory",) for path in self.directories if path}
        for path, inode in self.files.items():
            if inode.target is not None:
                out[path] = ("link", inode.target, links[id(inode)])
            else:
                out[path] = ("file", bytes(inode.data), sorted(inode.xattrs.items()), links[id(inode)])
        return out


def dump_of(root):
    """The same of a directory on the disk."""
    out = {}
    for directory, subdirectories, names in os.walk(root):
        below = os.path.relpath(directory, root)
        prefix = "" if below == "." else below + "/"
        for name in subdirectories:
            out[prefix + name] = ("directory",)
        for name in names:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if os.path.islink(path):
                out[prefix + name] = ("link", os.readlink(path), status.st_nlink)
                continue
            with open(path, "rb") as file:
                data = file.read()
            attributes = [(key, os.getxattr(path, key)) for key in os.listxattr(path) if key.startswith("user.")]
            out[prefix + name] = ("file", data, sorted(attributes), status.st_nlink)
    return out


def difference(found, expected):
    for path in sorted(set(found) | set(expected)):
        if path not in found:
            return f"{path} is missing"
        if path not in expected:
            return f"{path} should not be there"
        if found[path] != expected[path]:
            kind = found[path][0]
            if kind == "file" and expected[path][0] == "file":
                return f"{path}: {len(found[path][1])} bytes, {found[path][2:]} instead of {len(expected[path][1])} bytes, {expected[path][2:]}"
            return f"{path}: {found[path][:2]} instead of {expected[path][:2]}"
    return ""


class Writer(threading.Thread):
    """Makes calls until one fails because the daemon is gone."""

    def __init__(self, root, tree, seed):
        super().__init__(daemon=True)
        self.root = root
        self.tree = tree
        self.random = random.Random(seed)
        self.maybe = None  # the tree if the call under way has happened
        self.partly = []  # the trees if it has happened in part: a write is several requests, cut at pages
        self.calls = 0
        self.problem = ""

    def path(self, name):
        return os.path.join(self.root, name)

    def any_name(self):
        directory = self.random.choice(sorted(self.tree.directories))
        name = f"f{self.random.randrange(NAMES)}"
        return f"{directory}/{name}" if directory else name

    def any_file(self):
        names = sorted(self.tree.files)
        return self.random.choice(names) if names else None

    def run(self):
        while True:
            call, change = self.pick()
            if call is None:
                continue
            self.maybe = self.tree.copy()
            change(self.maybe)
            self.partly = [self.tree_with(part) for part in getattr(change, "parts", [])]
            try:
                call()
            except OSError as error:
                if error.errno not in GONE:
                    self.problem = f"a call failed: {error}"
                return
            self.tree = self.maybe
            self.maybe = None
            self.partly = []
            self.calls += 1

    def tree_with(self, part):
        tree = self.tree.copy()
        part(tree)
        return tree

    def pick(self):
        kind = self.random.choices(
            ["create", "write", "truncate", "rename", "unlink", "link", "symlink", "mkdir", "rmdir", "xattr", "fsync"],
            [16, 40, 6, 10, 8, 5, 4, 3, 2, 6, 1])[0]
        return getattr(self, "pick_" + kind)()

    def pick_create(self):
        name = self.any_name()
        if name in self.tree.files:
            return None, None
        def call():
            os.close(os.open(self.path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        return call, lambda tree: tree.files.__setitem__(name, Inode())

    def plain_file(self):
        name = self.any_file()
        return None if name is None or self.tree.files[name].target is not None else name

    def pick_write(self):
        name = self.plain_file()
        if name is None:
            return None, None
        data = self.random.randbytes(1 + self.random.randrange(self.random.choice([100, 5000, LARGEST_WRITE])))
        offset = self.random.randrange(FILE_BYTES)
        if self.random.random() < 0.3:
            offset = len(self.tree.files[name].data)
        def put(tree, at, part):
            content = tree.files[name].data
            if len(content) < at:
                content.extend(bytes(at - len(content)))
            content[at:at + len(part)] = part
        def call():
            file = os.open(self.path(name), os.O_WRONLY)
            try:
                done = os.pwrite(file, data, offset)
                if done < len(data):  # two requests, and the daemon died between them
                    put(self.tree, offset, data[:done])
                    os.pwrite(file, data[done:], offset + done)
            finally:
                close_quietly(file)
        def change(tree):
            put(tree, offset, data)
        end = offset + len(data)
        cuts = {(offset // PAGE + 1) * PAGE, end // PAGE * PAGE}
        change.parts = [lambda tree, at=at: put(tree, offset, data[:at - offset]) for at in cuts if offset < at < end]
        return call, change

    def pick_truncate(self):
        name = self.plain_file()
        if name is None:
            return None, None
        size = self.random.choice([0, self.random.randrange(FILE_BYTES)])
        def change(tree):
            content = tree.files[name].data
            tree.files[name].data = content[:size] + bytes(max(0, size - len(content)))
        return lambda: os.truncate(self.path(name), size), change

    def pick_rename(self):
        name, to = self.any_file(), self.any_name()
        if name is None or self.tree.files.get(to) is self.tree.files[name]:
            return None, None
        def change(tree):
            tree.files[to] = tree.files.pop(name)
        return lambda: os.rename(self.path(name), self.path(to)), change

    def pick_unlink(self):
        name = self.any_file()
        if name is None:
            return None, None
        return lambda: os.unlink(self.path(name)), lambda tree: tree.files.pop(name)

    def pick_link(self):
        name, to = self.any_file(), self.any_name()
        if name is None or to in self.tree.files:
            return None, None
        def change(tree):
            tree.files[to] = tree.files[name]
        return lambda: os.link(self.path(name), self.path(to), follow_symlinks=False), change

    def pick_symlink(self):
        name = self.any_name()
        if name in self.tree.files:
            return None, None
        target = f"target-{self.random.randrange(1000)}"
        return lambda: os.symlink(target, self.path(name)), lambda tree: tree.files.__setitem__(name, Inode(target))

    def pick_mkdir(self):
        name = f"d{self.random.randrange(4)}"
        if name in self.tree.directories:
            return None, None
        return lambda: os.mkdir(self.path(name)), lambda tree: tree.directories.add(name)

    def pick_rmdir(self):
        empty = [d for d in sorted(self.tree.directories) if d and not any(f.startswith(d + "/") for f in self.tree.files)]
        if not empty:
            return None, None
        name = self.random.choice(empty)
        return lambda: os.rmdir(self.path(name)), lambda tree: tree.directories.remove(name)

    def pick_xattr(self):
        name = self.plain_file()
        if name is None:
            return None, None
        key, value = f"user.k{self.random.randrange(3)}", self.random.randbytes(self.random.randrange(200))
        return (lambda: os.setxattr(self.path(name), key, value),
                lambda tree: tree.files[name].xattrs.__setitem__(key, value))

    def pick_fsync(self):
        name = self.plain_file()
        if name is None:
            return None, None
        def call():
            file = os.open(self.path(name), os.O_WRONLY)
            try:
                os.fsync(file)
            finally:
                close_quietly(file)
        return call, lambda tree: None


def close_quietly(file):
    try:
        os.close(file)
    except OSError:
        pass  # the mount is gone; what matters was said before


class Store:
    """A private store with one volume and one mount."""

    def __init__(self, build):
        self.program = os.path.join(build, "mountd", "varve")
        if not os.access(self.program, os.X_OK):
            sys.exit(f"there is no program {self.program}: build first")
        self.scratch = tempfile.mkdtemp(prefix="varve-kill-")
        self.environment = dict(os.environ, VARVE_STORE=os.path.join(self.scratch, "store"), VARVE_KEEPER="no")
        self.mount_point = os.path.join(self.scratch, "mnt")
        os.mkdir(self.mount_point)

    def varve(self, *arguments, check=True):
        done = subprocess.run([self.program, *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
        if check and done.returncode != 0:
            raise RuntimeError(f"varve {' '.join(arguments)}: status {done.returncode}: {done.stderr.strip()}")
        return done

    def daemon(self):
        return json.loads(self.varve("status", "--json").stdout)["daemon"]["pid"]

    def is_mounted(self, path):
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            return any(line.split()[1] == path for line in mounts)

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 20
        # A killed process is a zombie while its other threads still end.
        while os.path.isdir(f"/proc/{pid}") and not self.has_ended(pid):
            if time.monotonic() > end:
                raise RuntimeError(f"process {pid} does not end")
            time.sleep(0.005)

    @staticmethod
    def has_ended(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                state = stat.read().rpartition(")")[2].split()[0]
            return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1
        except OSError:
            return True

    def unmount_dead(self):
        if self.is_mounted(self.mount_point):
            if subprocess.run(["umount", "-l", self.mount_point], stderr=subprocess.DEVNULL, check=False).returncode != 0:
                subprocess.run(["fusermount3", "-uz", self.mount_point], check=True)

    def end(self):
        for path in (self.mount_point, os.path.join(self.scratch, "view")):
            if self.is_mounted(path):
                self.varve("umount", path, check=False)
        self.varve("daemon", "stop", check=False)
        self.unmount_dead()
        shutil.rmtree(self.scratch, ignore_errors=True)


def check_snapshots(store, taken, rng):
    """Each one that was acknowledged exists; the content of a random one is right."""
    listed = json.loads(store.varve("snapshot", "ls", "--json").stdout)
    names = {row["Name"] for row in listed}
    missing = [name for name in taken if name not in names]
    if missing:
        return f"snapshots are gone: {missing}"
    if not taken:
        return ""
    name = rng.choice(sorted(taken))
    view = os.path.join(store.scratch, "view")
    os.makedirs(view, exist_ok=True)
    store.varve("mount", f"v@{name}", view)
    try:
        for index, expected in enumerate(taken[name]):
            found = dump_of(os.path.join(view, f"w{index}"))
            if found != expected:
                return f"snapshot {name}, writer {index}: {difference(found, expected)}"
    finally:
        store.varve("umount", view)
    return ""


def one_life(store, trees, rng, life, taken):
    """Writers until the kill; then everything is checked. Returns the trees, the calls made and a problem."""
    writers = [Writer(os.path.join(store.mount_point, f"w{index}"), tree, rng.randrange(1 << 40))
               for index, tree in enumerate(trees)]
    pid = store.daemon()
    if life % 10 == 5:  # while nobody writes: then its content is known
        name = f"s{life}"
        store.varve("snapshot", "create", "--name", name, "--volume", "v")
        taken[name] = [tree.dump() for tree in trees]
    for writer in writers:
        writer.start()
    time.sleep(rng.uniform(0.005, 0.6))
    store.kill(pid)
    for writer in writers:
        writer.join(30)
        if writer.is_alive():
            return trees, 0, "a call hangs after the daemon's death"
    store.unmount_dead()
    store.varve("mount", "v", store.mount_point)
    out = []
    for index, writer in enumerate(writers):
        if writer.problem:
            return trees, 0, f"writer {index}: {writer.problem}"
        found = dump_of(writer.root)
        for tree in (writer.tree, writer.maybe, *writer.partly):
            if tree is not None and found == tree.dump():
                out.append(tree)
                break
        else:
            return trees, 0, f"writer {index}: {difference(found, writer.tree.dump())}"
    return out, sum(writer.calls for writer in writers), ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--writers", type=int, default=4)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    rng = random.Random(arguments.seed)
    store = Store(arguments.build)
    calls = 0
    began = time.monotonic()
    try:
        store.varve("volume", "create", "--name", "v", "--size", "0")
        store.varve("mount", "v", store.mount_point)
        trees, taken = [], {}
        for index in range(arguments.writers):
            os.mkdir(os.path.join(store.mount_point, f"w{index}"))
            trees.append(Tree())
        for life in range(arguments.kills):
            trees, done, problem = one_life(store, trees, rng, life, taken)
            if not problem and life % 10 == 9:
                problem = check_snapshots(store, taken, rng)
            if problem:
                print(f"LOST after kill {life + 1}, seed {arguments.seed}: {problem}")
                return 1
            calls += done
        store.varve("umount", store.mount_point)
        store.varve("mount", "v", store.mount_point)
        for index, tree in enumerate(trees):
            found = dump_of(os.path.join(store.mount_point, f"w{index}"))
            if found != tree.dump():
                print(f"LOST after a clean remount, writer {index}: {difference(found, tree.dump())}")
                return 1
    finally:
        store.end()
    print(f"{arguments.kills} kills survived, {calls} acknowledged calls, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
