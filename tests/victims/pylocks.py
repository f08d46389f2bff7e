#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory to give back, a main thread that reads its input, and one that locks and unlocks a file all the time, or
reads it.

usage: pylocks.py FILE LOG lock|read: the log has a line for each time, or what went wrong."""

import fcntl
import os
import sys
import threading
import time

SIZE = 300000


def lock(fd):
    fcntl.flock(fd, fcntl.LOCK_EX)
    fcntl.flock(fd, fcntl.LOCK_UN)


def read(fd):
    os.lseek(fd, 0, os.SEEK_SET)
    if len(os.read(fd, SIZE)) != SIZE:
        raise OSError("a part of it")


def again(work, path, log):
    fd = os.open(path, os.O_RDONLY)
    while True:
        try:
            work(fd)
        except OSError as e:
            os.write(log, f"error {e}\n".encode())
        os.write(log, b"done\n")
        time.sleep(0.01)


def main(path, log, what):
    words = [str(i) * 20 for i in range(300000)]
    kept = words[::1000]
    del words
    log = os.open(log, os.O_WRONLY | os.O_APPEND)
    threading.Thread(target=again, args=({"lock": lock, "read": read}[what], path, log), daemon=True).start()
    os.read(0, 1)
    return len(kept)


main(*sys.argv[1:])
