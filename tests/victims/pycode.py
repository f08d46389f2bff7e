#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory to give back, a main thread that reads its input, and one that sleeps in a system call whose instruction lies
in a mapping of FILE.

usage: pycode.py FILE: nanosleep() is in its last page."""

import ctypes
import os
import sys
import threading

PAGE = 4096
READ_EXEC, SHARED = 1 | 4, 1


def sleep(path):
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_size_t
    size = os.stat(path).st_size
    at = libc.mmap(None, ctypes.c_size_t(size), READ_EXEC, SHARED, os.open(path, os.O_RDONLY), ctypes.c_size_t(0))
    ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(at + size - PAGE)((ctypes.c_int64 * 2)(1000, 0), None)


def main(path):
    words = [str(i) * 20 for i in range(300000)]
    kept = words[::1000]
    del words
    threading.Thread(target=sleep, args=(path,), daemon=True).start()
    os.read(0, 1)
    return len(kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
