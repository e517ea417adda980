#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A SQLite writer that says what it committed, and the check that all of it is there.

    sqlite_load.py write DATABASE MODE WRITER COUNT ACKNOWLEDGED   MODE: wal or delete
    sqlite_load.py check DATABASE ACKNOWLEDGED...
    sqlite_load.py checkpoint DATABASE

`write` appends "WRITER NUMBER" to the file ACKNOWLEDGED (on another filesystem) after each commit, and ends quietly
when the filesystem goes away under it. `check` fails unless the database is sound, has every acknowledged row with
the right content, and no half transaction.
"""
import os
import sqlite3
import sys

ROWS_A_TRANSACTION = 7


def content(writer, number, row):
    return f"{writer}-{number}-{row}-" + "x" * ((number * 37 + row) % 900)


def connect(database):
    connection = sqlite3.connect(database, timeout=60, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def write(database, mode, writer, count, acknowledged):
    connection = connect(database)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("CREATE TABLE IF NOT EXISTS load"
                       "(writer INTEGER, number INTEGER, row INTEGER, content TEXT, PRIMARY KEY(writer, number, row))")
    with open(acknowledged, "a", encoding="utf-8") as log:
        for number in range(count):
            try:
                connection.execute("BEGIN IMMEDIATE")
                for row in range(ROWS_A_TRANSACTION):
                    connection.execute("INSERT INTO load VALUES(?,?,?,?)",
                                       (writer, number, row, content(writer, number, row)))
                connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                print(f"writer {writer} ends after {number} transactions: {error}")
                return
            log.write(f"{writer} {number}\n")
            log.flush()


def check(database, acknowledged):
    connection = connect(database)
    result = connection.execute("PRAGMA integrity_check").fetchall()
    if result != [("ok",)]:
        sys.exit(f"integrity_check: {result[:5]}")
    found = {}
    for writer, number, row, text in connection.execute("SELECT writer, number, row, content FROM load"):
        if text != content(writer, number, row):
            sys.exit(f"writer {writer}, transaction {number}, row {row}: wrong content")
        found[(writer, number)] = found.get((writer, number), 0) + 1
    torn = [key for key, rows in found.items() if rows != ROWS_A_TRANSACTION]
    if torn:
        sys.exit(f"half transactions: {torn[:5]}")
    promised = 0
    for name in acknowledged:
        with open(name, encoding="utf-8") as log:
            for line in log:
                promised += 1
                writer, number = line.split()
                if (int(writer), int(number)) not in found:
                    sys.exit(f"acknowledged but gone: writer {writer}, transaction {number}")
    print(f"note: {len(found)} transactions found, {promised} acknowledged")
    if not promised:
        sys.exit("nothing was acknowledged: the test tested nothing")


def checkpoint(database):
    busy, _, _ = connect(database).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        sys.exit("the checkpoint was kept from finishing")
    if os.path.exists(database + "-wal") and os.path.getsize(database + "-wal"):
        sys.exit("the log is not empty after a TRUNCATE checkpoint")


def main(arguments):
    command, database, rest = arguments[0], arguments[1], arguments[2:]
    if command == "write":
        mode, writer, count, acknowledged = rest
        write(database, mode, int(writer), int(count), acknowledged)
    elif command == "check":
        check(database, rest)
    else:
        checkpoint(database)


if __name__ == "__main__":
    main(sys.argv[1:])
