#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The load of survive.py, a program of its own: it may run inside a container.

    tests/crash/survive_load.py ROOT SEED

Reads words, a line each (longest, check, wait, go), and writes a line of JSON for each: {"said": ...}, or {"wrong": ...}.
"""

import ctypes
import ctypes.util
import fcntl
import json
import mmap
import multiprocessing
import os
import random
import signal
import struct
import sys
import time

C = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
C.opendir.restype = ctypes.c_void_p
C.readdir.restype = ctypes.c_void_p
C.readdir.argtypes = C.closedir.argtypes = [ctypes.c_void_p]
AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400


class Wrong(Exception):
    """What a program saw is not what it did."""


def expect(found, expected, what):
    if found != expected:
        raise Wrong(f"{what}: {found!r} instead of {expected!r}")


class Part:
    """One program of the load. step() makes a few calls; check() compares everything; both raise on any error."""

    def __init__(self, root, seed):
        self.root = root
        self.random = random.Random(seed)
        os.mkdir(root)

    def path(self, name):
        return os.path.join(self.root, name)

    def step(self):
        raise NotImplementedError

    def check(self):
        """What must still hold after a remount, too."""


class Appender(Part):
    """Every line once and in order."""

    def __init__(self, root, seed):
        super().__init__(root, seed)
        self.file = os.open(self.path("log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        self.lines = 0

    def step(self):
        line = f"{self.lines:08d} {'x' * self.random.randrange(200)}\n".encode()
        expect(os.write(self.file, line), len(line), "append")
        self.lines += 1
        if self.lines % 100 == 0:
            os.fsync(self.file)

    def check(self):
        with open(self.path("log"), "rb") as file:
            numbers = [int(line[:8]) for line in file]
        expect(numbers == list(range(self.lines)), True, f"{len(numbers)} lines, {self.lines} were written")


class Names(Part):
    """Creates, links, renames and removals: each would fail if it happened twice."""

    def __init__(self, root, seed):
        super().__init__(root, seed)
        self.made = 0
        self.names = {}

    def step(self):
        kind = self.random.randrange(8)
        if kind <= 2 or not self.names:
            self.made += 1
            name = f"f{self.made}"
            file = os.open(self.path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            os.write(file, name.encode())
            os.close(file)
            self.names[name] = name
            return
        name = self.random.choice(sorted(self.names))
        self.made += 1
        to = f"n{self.made}"
        if kind == 3:
            os.rename(self.path(name), self.path(to))
            self.names[to] = self.names.pop(name)
        elif kind == 4:
            before = os.stat(self.path(name)).st_nlink
            os.link(self.path(name), self.path(to))
            expect(os.stat(self.path(name)).st_nlink, before + 1, "links")
            self.names[to] = self.names[name]
        elif kind == 5:
            os.symlink(name, self.path(to))
            os.unlink(self.path(to))
        elif kind == 6:
            other = self.random.choice(sorted(self.names))
            if not os.path.samefile(self.path(name), self.path(other)):
                os.rename(self.path(name), self.path(other))
                self.names[other] = self.names.pop(name)
        elif len(self.names) > 50:
            os.unlink(self.path(name))
            del self.names[name]

    def check(self):
        expect(sorted(os.listdir(self.root)), sorted(self.names), "names")
        for name, content in self.names.items():
            with open(self.path(name), encoding="ascii") as file:
                expect(file.read(), content, name)


class Directories(Part):
    """mkdir and rmdir; the link count of the parent tells a doubled one."""

    def __init__(self, root, seed):
        super().__init__(root, seed)
        self.made = 0
        self.names = []

    def step(self):
        if len(self.names) < 20 or self.random.random() < 0.5:
            self.made += 1
            os.mkdir(self.path(f"d{self.made}"))
            self.names.append(f"d{self.made}")
        else:
            os.rmdir(self.path(self.names.pop(self.random.randrange(len(self.names)))))
        expect(os.stat(self.root).st_nlink, 2 + len(self.names), "links of the directory")

    def check(self):
        expect(sorted(os.listdir(self.root)), sorted(self.names), "directories")


class Attributes(Part):
    """Attributes made with XATTR_CREATE and removed: both refuse to happen twice."""

    def __init__(self, root, seed):
        super().__init__(root, seed)
        with open(self.path("f"), "x", encoding="ascii"):
            pass
        self.values = {}
        self.made = 0

    def step(self):
        if len(self.values) < 10:
            self.made += 1
            key, value = f"user.k{self.made}", self.random.randbytes(30)
            os.setxattr(self.path("f"), key, value, os.XATTR_CREATE)
            self.values[key] = value
        else:
            key = self.random.choice(sorted(self.values))
            os.removexattr(self.path("f"), key)
            del self.values[key]
        mode = self.random.randrange(0o400, 0o1000)
        os.chmod(self.path("f"), mode)
        expect(os.stat(self.path("f")).st_mode & 0o777, mode, "mode")

    def check(self):
        found = {key: os.getxattr(self.path("f"), key) for key in os.listxattr(self.path("f"))}
        expect(found, self.values, "attributes")


class Data(Part):
    """Writes anywhere, cuts and holes in one file that stays open; read back through another descriptor."""

    SIZE = 1 << 20

    def __init__(self, root, seed):
        super().__init__(root, seed)
        self.file = os.open(self.path("f"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self.content = bytearray()

    def step(self):
        kind = self.random.randrange(10)
        if kind == 0:
            size = self.random.randrange(self.SIZE)
            os.ftruncate(self.file, size)
            self.content = self.content[:size] + bytes(max(0, size - len(self.content)))
        elif kind < 6:
            data = self.random.randbytes(1 + self.random.randrange(40_000))
            offset = self.random.randrange(self.SIZE)
            expect(os.pwrite(self.file, data, offset), len(data), "write")
            if len(self.content) < offset:
                self.content.extend(bytes(offset - len(self.content)))
            self.content[offset:offset + len(data)] = data
        else:
            os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_DONTNEED)
            offset = self.random.randrange(self.SIZE)
            size = self.random.randrange(100_000)
            expect(os.pread(self.file, size, offset) == self.content[offset:offset + size], True, f"bytes at {offset}")

    def check(self):
        with open(self.path("f"), "rb") as file:
            expect(file.read() == self.content, True, f"{len(self.content)} bytes")


class Map(Part):
    """A shared memory map that is written and flushed."""

    PAGES = 64

    def __init__(self, root, seed):
        super().__init__(root, seed)
        self.file = os.open(self.path("map"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        os.ftruncate(self.file, self.PAGES * mmap.PAGESIZE)
        self.map = mmap.mmap(self.file, self.PAGES * mmap.PAGESIZE)
        self.values = [0] * self.PAGES

    def step(self):
        page = self.random.randrange(self.PAGES)
        at = page * mmap.PAGESIZE
        expect(struct.unpack_from("<Q", self.map, at)[0], self.values[page], f"page {page}")
        self.values[page] += 1
        struct.pack_into("<Q", self.map, at, self.values[page])
        if self.random.random() < 0.2:
            self.map.flush()

    def check(self):
        with open(self.path("map"), "rb") as file:
            data = file.read()
        expect([struct.unpack_from("<Q", data, page * mmap.PAGESIZE)[0] for page in range(self.PAGES)], self.values, "pages")


class Locks(Part):
    """A lock is held all the time; another process must be refused, before and after each kill."""

    def __init__(self, root, seed):
        super().__init__(root, seed)
        self.file = os.open(self.path("lock"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self.flock = os.open(self.path("flock"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(self.flock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def step(self):
        other = os.open(self.path("flock"), os.O_RDWR)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise Wrong("a lock is held twice (flock)")
        except BlockingIOError:
            pass
        finally:
            os.close(other)
        child = os.fork()
        if child == 0:
            try:
                fcntl.lockf(os.open(self.path("lock"), os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
                os._exit(1)
            except BlockingIOError:
                os._exit(0)
            except OSError:
                os._exit(2)
        expect(os.waitpid(child, 0)[1], 0, "another process asks for the lock")
        time.sleep(0.005)


class Stream(Part):
    """A directory stream that stays open while names come and go: what stays is listed exactly once."""

    def __init__(self, root, seed):
        super().__init__(root, seed)
        self.stay = {f"stays-{index:04d}" for index in range(600)}
        for name in self.stay:
            with open(self.path(name), "x", encoding="ascii"):
                pass
        self.stream = None
        self.seen = []
        self.made = 0

    def step(self):
        if self.stream is None:
            self.stream = C.opendir(self.root.encode())
            expect(bool(self.stream), True, f"opendir (errno {ctypes.get_errno()})")
            self.seen = []
        for _ in range(20):
            ctypes.set_errno(0)
            entry = C.readdir(self.stream)
            if not entry:
                expect(ctypes.get_errno(), 0, "errno of readdir")
                C.closedir(self.stream)
                self.stream = None
                stayed = [name for name in self.seen if name.startswith("stays-")]
                expect(len(stayed), len(self.stay), "entries of a stream")
                expect(set(stayed), self.stay, "entries of a stream")
                return
            self.seen.append(ctypes.string_at(entry + 19).decode())
        self.made += 1
        with open(self.path(f"comes-{self.made}"), "x", encoding="ascii"):
            pass
        os.unlink(self.path(f"comes-{self.made}"))

    def check(self):
        expect(set(os.listdir(self.root)), self.stay, "names")


class Nameless(Part):
    """Files that are open and have no name live; one of them gets a name now and then."""

    def __init__(self, root, seed):
        super().__init__(root, seed)
        self.files = []
        self.made = 0
        self.named = {}

    def step(self):
        self.made += 1
        content = self.random.randbytes(5000)
        if self.made % 2:
            file = os.open(self.root, os.O_TMPFILE | os.O_RDWR, 0o600)
        else:
            file = os.open(self.path("x"), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            os.unlink(self.path("x"))
        expect(os.write(file, content), len(content), "write")
        expect(os.fstat(file).st_nlink, 0, "links of a file without a name")
        self.files.append((file, content))
        if self.made % 10 == 1:
            name = f"named{self.made}"
            done = C.linkat(AT_FDCWD, f"/proc/self/fd/{file}".encode(), AT_FDCWD, self.path(name).encode(), AT_SYMLINK_FOLLOW)
            expect((done, ctypes.get_errno() if done else 0), (0, 0), "link of a file without a name")
            self.named[name] = content
        if len(self.files) > 10:
            file, content = self.files.pop(self.random.randrange(10))
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            expect(os.pread(file, 6000, 0) == content, True, "content of a file without a name")
            os.close(file)

    def check(self):
        expect(sorted(os.listdir(self.root)), sorted(self.named), "names")
        for name, content in self.named.items():
            with open(self.path(name), "rb") as file:
                expect(file.read() == content, True, name)


class Pulse(Part):
    """Measures: the longest time that one call took since the last question."""

    def __init__(self, root, seed):
        super().__init__(root, seed)
        self.file = os.open(self.path("beat"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self.longest = 0.0

    def step(self):
        began = time.monotonic()
        expect(os.pwrite(self.file, b"beat", 0), 4, "write")
        self.longest = max(self.longest, time.monotonic() - began)
        time.sleep(0.002)


PARTS = [Appender, Names, Names, Directories, Attributes, Data, Map, Locks, Stream, Nameless, Pulse]


def run_part(kind, root, seed, pipe):
    """Works until it is told to check; says what is wrong as soon as something is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    steps = 0
    try:
        part = kind(root, seed)
        pipe.send(("ready", ""))
        while True:
            while not pipe.poll():
                part.step()
                steps += 1
            word = pipe.recv()
            if word == "longest":
                pipe.send(("longest", part.longest))
                part.longest = 0.0
            elif word == "check":
                part.check()
                pipe.send(("checked", steps))
            elif word == "wait":  # for the mount to come back; nothing may be open
                for value in vars(part).values():
                    if isinstance(value, mmap.mmap):
                        value.close()
                for number in range(3, 200):
                    if number != pipe.fileno():
                        try:
                            os.close(number)
                        except OSError:
                            pass
                pipe.send(("closed", steps))
                pipe.recv()
                part.check()
                pipe.send(("checked", steps))
                return
    except BaseException as error:  # pylint: disable=broad-except
        pipe.send(("wrong", f"{kind.__name__} after {steps} steps: {type(error).__name__}: {error}"))


class Parts:
    """The processes of the load, in the process that has started them."""

    def __init__(self, root, rng):
        context = multiprocessing.get_context("fork")
        self.parts = []
        for index, kind in enumerate(PARTS):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=run_part, daemon=True,
                args=(kind, os.path.join(root, f"{index}-{kind.__name__}"), rng.randrange(1 << 40), theirs))
            process.start()
            theirs.close()
            self.parts.append((kind, ours, process))
        for part in self.parts:
            self.answer(part)

    def answer(self, part):
        kind, pipe, _ = part
        if not pipe.poll(60):
            raise Wrong(f"{kind.__name__}: a call hangs")
        word, text = pipe.recv()
        if word == "wrong":
            raise Wrong(text)
        return text

    def raise_if_wrong(self):
        for kind, pipe, process in self.parts:
            if pipe.poll():
                self.answer((kind, pipe, process))
            if not process.is_alive():
                raise Wrong(f"{kind.__name__} has died")

    def ask_all(self, word):
        for _, pipe, _ in self.parts:
            pipe.send(word)
        return sum(self.answer(part) for part in self.parts)

    def longest(self):
        self.raise_if_wrong()
        part = self.parts[-1]
        part[1].send("longest")
        return self.answer(part)

    def end(self):
        for _, _, process in self.parts:
            process.kill()
            process.join(20)


def serve_load(root, seed):
    """The load as a program of its own: a word a line comes in, a line of JSON says what came of it."""
    parts = None
    try:
        parts = Parts(root, random.Random(seed))
        print(json.dumps({"said": "ready"}), flush=True)
        for word in sys.stdin:
            word = word.strip()
            said = parts.longest() if word == "longest" else parts.ask_all(word)
            print(json.dumps({"said": said}), flush=True)
    except Wrong as error:
        print(json.dumps({"wrong": str(error)}), flush=True)
    finally:
        if parts is not None:
            parts.end()


if __name__ == "__main__":
    serve_load(sys.argv[1], int(sys.argv[2]))
