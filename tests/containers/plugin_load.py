#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many calls of the volume plugin at once: plugin_load.py SOCKET creates|mounts|latency [BUSY_DIRECTORY]

creates   200 parallel Create calls
mounts    50 concurrent Mount calls of 50 volumes, then as many Unmount calls
latency   List and Get while BUSY_DIRECTORY, another volume, is written to as fast as possible
Prints a line with the times; fails when a call fails or takes 5 s (1 s for List and Get)."""
import http.client
import json
import os
import socket
import sys
import threading
import time


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("varve", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def call(path, method, body):
    begun = time.monotonic()
    connection = Connection(path)
    connection.request("POST", "/VolumeDriver." + method, json.dumps(body))
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    if reply.status != 200:
        raise RuntimeError(f"{method} {body}: {reply.status} {text!r}")
    return time.monotonic() - begun


def together(path, calls, limit):
    """Runs the calls at once; the longest time."""
    times, failures = [], []

    def run(method, body):
        try:
            times.append(call(path, method, body))
        except Exception as failure:  # noqa: BLE001 - reported below
            failures.append(str(failure))

    threads = [threading.Thread(target=run, args=each) for each in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"{len(failures)} of {len(threads)} calls failed: {failures[0]}")
    if max(times) > limit:
        sys.exit(f"a call took {max(times):.2f} s")
    return max(times)


def latency(path, directory):
    stop = threading.Event()

    def write():
        block = os.urandom(1 << 20)
        with open(os.path.join(directory, "busy"), "wb") as file:
            while not stop.is_set():
                if file.tell() > 256 << 20:
                    file.seek(0)
                file.write(block)
                os.fsync(file.fileno())

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        slowest = 0.0
        for i in range(200):
            slowest = max(slowest, call(path, "List", {}), call(path, "Get", {"Name": f"load-{i}"}))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    if slowest > 1:
        sys.exit(f"List or Get took {slowest:.2f} s beside a busy volume")
    return slowest


def main():
    path, what = sys.argv[1:3]
    if what == "creates":
        longest = together(path, [("Create", {"Name": f"load-{i}"}) for i in range(200)], 5)
    elif what == "mounts":
        names = [f"load-{i}" for i in range(50)]
        longest = together(path, [("Mount", {"Name": name, "ID": "load"}) for name in names], 5)
        longest = max(longest, together(path, [("Unmount", {"Name": name, "ID": "load"}) for name in names], 5))
    else:
        longest = latency(path, sys.argv[3])
    print(f"note: {what}: the longest call took {longest * 1000:.0f} ms")


main()
