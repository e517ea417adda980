# SPDX-License-Identifier: Apache-2.0
"""Writers and checkers for full_disk.sh. They know nothing of Varve.

  full_disk_load.py fill DIRECTORY LOG SEED     files of many sizes until ENOSPC; each that was accepted goes to LOG
  full_disk_load.py names DIRECTORY LOG         small files until ENOSPC
  full_disk_load.py cached DIRECTORY LOG SEED   as fill, and fsync says what was accepted
  full_disk_load.py closed DIRECTORY LOG SEED   as fill, and close says what was accepted
  full_disk_load.py check DIRECTORY LOG         every file of LOG has its size and digest
  full_disk_load.py put DIRECTORY NAME MIB      one file; status 1 and the errno's name when it does not fit
"""

import errno
import hashlib
import os
import random
import sys

SIZES = [100, 5_000, 70_000, 131_072, 1_000_000, 3_000_000]


def write_all(fd, data):
    """Bytes accepted, and the errno that ended it (0: none)."""
    done = 0
    while done < len(data):
        try:
            done += os.write(fd, data[done:])
        except OSError as error:
            return done, error.errno
    return done, 0


def note(log, name, data):
    print(name, len(data), hashlib.sha256(data).hexdigest(), file=log, flush=True)


def fill(directory, log_path, seed, told_by):
    """Ends at the third ENOSPC in a row, which the call `told_by` may return beside write; any other error is a failure."""
    chance = random.Random(int(seed))
    refused = 0
    bytes_accepted = 0
    with open(log_path, "a") as log:
        for number in range(100_000):
            name = f"{seed}-{number}"
            data = chance.randbytes(chance.choice(SIZES))
            try:
                fd = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    sys.exit(f"create: {error}")
                refused += 1
                if refused == 3:
                    break
                continue
            done, failure = write_all(fd, data)
            if not failure and told_by == "fsync":
                try:
                    os.fsync(fd)
                except OSError as error:
                    failure = error.errno
                    done = -1  # which bytes are there is not known
            try:
                os.close(fd)
            except OSError as error:
                if told_by != "close":
                    sys.exit(f"close: {error}")
                failure = failure or error.errno
                done = -1
            if failure not in (0, errno.ENOSPC):
                sys.exit(f"write: {os.strerror(failure)}")
            if done >= 0:
                note(log, name, data[:done])
                bytes_accepted += done
            refused = refused + 1 if failure else 0
            if refused == 3:
                break
        else:
            sys.exit("the disk never became full")
    print(f"note: {bytes_accepted >> 20} MiB were accepted in {number} files")


def names(directory, log_path):
    refused = 0
    with open(log_path, "a") as log:
        for number in range(2_000_000):
            name = f"name-{number}"
            try:
                os.close(os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    sys.exit(f"create: {error}")
                refused += 1
                if refused == 3:
                    return
                continue
            note(log, name, b"")
            if number == 20_000:
                return  # room for names is left; that is no fault


def check(directory, log_path):
    bad = count = 0
    with open(log_path) as log:
        for line in log:
            name, size, digest = line.split()
            count += 1
            try:
                with open(f"{directory}/{name}", "rb") as file:
                    data = file.read()
            except OSError as error:
                print(f"{name}: {error}")
                bad += 1
                continue
            if len(data) != int(size) or hashlib.sha256(data).hexdigest() != digest:
                print(f"{name}: {len(data)} bytes instead of {size}, or other content")
                bad += 1
    if bad or not count:
        sys.exit(f"{bad} of {count} files are not what was accepted")


def put(directory, name, mib):
    fd = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for _ in range(int(mib)):
        _, failure = write_all(fd, os.urandom(1 << 20))
        if failure:
            sys.exit(errno.errorcode[failure])
    os.close(fd)


def main(words):
    if words[0] == "fill":
        fill(*words[1:], told_by="write")
    elif words[0] == "cached":
        fill(*words[1:], told_by="fsync")
    elif words[0] == "closed":
        fill(*words[1:], told_by="close")
    elif words[0] == "names":
        names(*words[1:])
    elif words[0] == "check":
        check(*words[1:])
    else:
        put(*words[1:])


try:
    main(sys.argv[1:])
except OSError as failure:
    sys.exit(errno.errorcode.get(failure.errno, str(failure)))
