#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the figures that docs/performance.md reports and prints one line each.

    figures.py BUILD_DIR [FIGURE ...] [--files 1000,100000] [--runs 30] [--json FILE]

Figures: idle (snapshot, clone, rollback at several sizes), load (snapshot under random writes, beside
btrfs), stall (write latency during a cut), depth (stat under many snapshots), diff, mount, memory.
BUILD_DIR must be configured with -DVARVE_BENCH=ON. Needs root and a quiet machine.
"""
import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time


class Bench:
    """One store in a private directory with its daemon, removed at the end."""

    def __init__(self, build, scratch):
        self.build = os.path.abspath(build)
        self.varve = f"{self.build}/mountd/varve"
        self.helpers = f"{self.build}/tests/bench"
        self.dir = tempfile.mkdtemp(prefix="varve-bench-", dir=scratch)
        self.store = f"{self.dir}/store"
        self.env = dict(os.environ, VARVE_STORE=self.store)
        self.mounts = []

    def run(self, *args, check=True):
        out = subprocess.run([self.varve, *args], env=self.env, stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, timeout=600)
        if check and out.returncode:
            sys.exit(f"varve {' '.join(args)}: {out.stderr.strip()}")
        return out.stdout

    def timed(self, *args):
        start = time.perf_counter()
        self.run(*args)
        return (time.perf_counter() - start) * 1000

    def volume(self, name):
        self.run("volume", "create", "--name", name, "--size", "0")
        return self.mount(name)

    def mount(self, name):
        point = f"{self.dir}/mnt-{name}"
        os.makedirs(point, exist_ok=True)
        self.run("mount", name, point)
        self.mounts.append(point)
        return point

    def umount(self, point):
        self.run("umount", point)
        self.mounts.remove(point)

    def status(self):
        return json.loads(self.run("status", "--json"))

    def daemon_pid(self):
        return int(self.status()["daemon"]["pid"])

    def written_bytes(self):
        """What the daemon has passed to write calls. (write_bytes would count whole folios.)"""
        with open(f"/proc/{self.daemon_pid()}/io") as io:
            return int([l for l in io if l.startswith("wchar")][0].split()[1])

    def make_files(self, point, count, size=100):
        sub = tempfile.mkdtemp(prefix="t", dir=point)
        subprocess.run([f"{self.helpers}/make_files", sub, str(count), str(size)], check=True,
                       stdout=subprocess.DEVNULL)
        self.run("sync")
        return sub

    def close(self):
        for point in list(self.mounts):
            self.run("umount", point, check=False)
        self.run("daemon", "stop", check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


def spread(samples):
    ordered = sorted(samples)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"median": round(statistics.median(ordered), 2), "p99": round(p99, 2),
            "max": round(ordered[-1], 2), "runs": len(ordered)}


def report(results, name, value):
    results[name] = value
    print(f"{name:44} {json.dumps(value)}", flush=True)


def idle(bench, args, results):
    for count in args.files:
        name = f"v{count}"
        point = bench.volume(name)
        start = time.perf_counter()
        bench.make_files(point, count)
        report(results, f"make_files_{count}_s", round(time.perf_counter() - start, 1))
        times = {"snapshot": [], "clone": [], "rollback": []}
        written = {"snapshot": [], "clone": [], "rollback": []}
        for run in range(args.runs):
            with open(f"{point}/changed", "w") as f:
                f.write(str(run))
            steps = {"snapshot": ("snapshot", "create", "--name", f"s{run}", "--volume", name),
                     "clone": ("clone", f"{name}@s{run}", f"{name}-c{run}"),
                     "rollback": ("rollback", name, f"s{run}")}
            for step, command in steps.items():
                before = bench.written_bytes()
                times[step].append(bench.timed(*command))
                written[step].append(bench.written_bytes() - before)
        for step in times:
            report(results, f"{step}_ms_{count}_files", spread(times[step]))
            report(results, f"{step}_written_bytes_{count}_files",
                   round(statistics.median(written[step])))
        bench.umount(point)


def load(bench, args, results):
    point = bench.volume("loaded")
    with Btrfs(bench.dir) as btrfs:
        for label, target, take in (
                ("varve", f"{point}/data",
                 lambda i: [bench.varve, "snapshot", "create", "--name", f"l{i}", "--volume",
                            "loaded"]),
                ("btrfs", f"{btrfs.volume}/data",
                 lambda i: ["btrfs", "subvolume", "snapshot", "-r", btrfs.volume,
                            f"{btrfs.point}/s{i}"])) * args.rounds:
            writer = subprocess.Popen([f"{bench.helpers}/write_load", target, "512",
                                       str(args.seconds), "2", str(args.rate)],
                                      stdout=subprocess.PIPE, text=True)
            time.sleep(3)
            times, until = [], time.time() + args.seconds - 6
            while time.time() < until:
                start = time.perf_counter()
                subprocess.run(take(f"{label}{start}".replace(".", "")), env=bench.env, check=True,
                               stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
                times.append((time.perf_counter() - start) * 1000)
                time.sleep(0.4)
            key = f"snapshot_under_load_ms_{label}"
            results.setdefault(key + "_all", []).extend(times)
            report(results, key, spread(results[key + "_all"]))
            report(results, f"writer_under_load_{label}", json.loads(writer.communicate()[0]))


class Btrfs:
    """A btrfs on a loop device beside the store."""

    def __init__(self, scratch):
        self.image = f"{scratch}/btrfs.img"
        self.point = f"{scratch}/btrfs"

    def __enter__(self):
        os.makedirs(self.point)
        with open(self.image, "w") as image:
            image.truncate(8 << 30)
        subprocess.run(["mkfs.btrfs", "-q", self.image], check=True)
        subprocess.run(["mount", "-o", "loop", self.image, self.point], check=True)
        self.volume = f"{self.point}/v"
        subprocess.run(["btrfs", "subvolume", "create", self.volume], check=True,
                       stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.point], check=False)
        os.remove(self.image)


def stall(bench, args, results):
    """Four writers, 200 MiB dirty: the writes' latency with a snapshot and without."""
    point = bench.volume("stall")
    for snapshots in (False, True) * args.rounds:
        writer = subprocess.Popen([f"{bench.helpers}/write_load", f"{point}/w", "256",
                                   str(args.seconds), "4", str(args.rate)],
                                  stdout=subprocess.PIPE, text=True)
        until = time.time() + args.seconds - 1
        while time.time() < until:
            time.sleep(1)
            if snapshots:
                bench.run("snapshot", "create", "--volume", "stall")
        label = "with" if snapshots else "without"
        report(results, f"write_latency_{label}_snapshots", json.loads(writer.communicate()[0]))


def depth(bench, args, results):
    """stat of an old file, the kernel's caches dropped, under 1 and under many snapshots."""
    point = bench.volume("deep")
    old = bench.make_files(point, 2000)
    names = [f"{old}/d{i // 1000}/f{i}" for i in range(2000)]

    def cold_stat_us():
        samples = []
        for _ in range(5):
            with open("/proc/sys/vm/drop_caches", "w") as drop:
                drop.write("2")
            random.Random(1).shuffle(names)
            start = time.perf_counter()
            for name in names:
                os.stat(name)
            samples.append((time.perf_counter() - start) * 1e6 / len(names))
        return round(statistics.median(samples), 1)

    taken = 0
    for target in (1, args.snapshots // 2, args.snapshots):
        while taken < target:
            with open(f"{point}/changed", "w") as f:
                f.write(str(taken))
            bench.run("snapshot", "create", "--name", f"d{taken}", "--volume", "deep")
            taken += 1
        report(results, f"cold_stat_us_under_{target}_snapshots", cold_stat_us())


def diff(bench, args, results):
    count = max(args.files)
    point = bench.volume("diffed")
    sub = bench.make_files(point, count)
    bench.run("snapshot", "create", "--name", "before", "--volume", "diffed")
    for i in random.Random(2).sample(range(count), 100):
        with open(f"{sub}/d{i // 1000}/f{i}", "a") as f:
            f.write("changed")
    bench.run("snapshot", "create", "--name", "after", "--volume", "diffed")
    bench.run("diff", "diffed@before", "diffed@after")
    times = [bench.timed("diff", "diffed@before", "diffed@after") for _ in range(args.runs)]
    lines = bench.run("diff", "diffed@before", "diffed@after").count("\n")
    report(results, f"diff_100_changes_ms_{count}_files", dict(spread(times), lines=lines))


def mount(bench, args, results):
    count = max(args.files)
    point = bench.volume("mounted")
    bench.make_files(point, count)
    keep = bench.volume("keep")
    times = []
    for _ in range(min(args.runs, 10)):
        bench.umount(point)
        start = time.perf_counter()
        bench.mount("mounted")
        os.listdir(point)
        times.append((time.perf_counter() - start) * 1000)
    report(results, f"mount_ms_{count}_files_daemon_running", spread(times))
    bench.umount(point)
    bench.umount(keep)
    times = []
    for _ in range(min(args.runs, 10)):
        bench.run("daemon", "stop", check=False)
        start = time.perf_counter()
        bench.mount("mounted")
        os.listdir(point)
        times.append((time.perf_counter() - start) * 1000)
        bench.umount(point)
    report(results, f"mount_ms_{count}_files_daemon_started", spread(times))


def memory(bench, args, results):
    """Resident memory of the daemon while GIB are written and many files are held."""
    point = bench.volume("big")
    bench.make_files(point, max(args.files))
    writer = subprocess.Popen(["dd", "if=/dev/urandom", f"of={point}/big", "bs=1M",
                               f"count={args.gib * 1024}"], stderr=subprocess.DEVNULL)
    peak, pid = 0, bench.daemon_pid()
    start = time.time()
    while writer.poll() is None:
        with open(f"/proc/{pid}/status") as status:
            rss = int([l for l in status if l.startswith("VmRSS")][0].split()[1])
        peak = max(peak, rss)
        time.sleep(0.2)
    report(results, f"peak_rss_mib_{args.gib}_gib_written", round(peak / 1024))
    report(results, f"dd_mib_per_s_{args.gib}_gib", round(args.gib * 1024 / (time.time() - start)))


FIGURES = {f.__name__: f for f in (idle, load, stall, depth, diff, mount, memory)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("figures", nargs="*", default=list(FIGURES))
    parser.add_argument("--files", type=lambda s: [int(x) for x in s.split(",")],
                        default=[1000, 100000])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--snapshots", type=int, default=2000)
    parser.add_argument("--gib", type=int, default=20)
    parser.add_argument("--scratch", default="/var/tmp")
    parser.add_argument("--json")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    results = {}
    for name in args.figures:
        if name not in FIGURES:
            sys.exit(f"no figure '{name}'; there are {', '.join(FIGURES)}")
        bench = Bench(args.build, args.scratch)
        try:
            FIGURES[name](bench, args, results)
        finally:
            bench.close()
    if args.json:
        with open(args.json, "w") as out:
            json.dump({k: v for k, v in results.items() if not k.endswith("_all")}, out, indent=1)


if __name__ == "__main__":
    main()
