#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps everybody from its mappings once the file that it maps doesn't answer.

usage: pymapped.py FILE, and SIGUSR1: a thread reads the mapping through /proc/self/mem, which the kernel does with
the lock of the mappings in its hand; another one wants to change them, so nobody gets that lock any more."""

import mmap
import os
import signal
import sys
import threading
import time


def main(path):
    with open(path, "rb") as f:
        mapped = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
    with open("/proc/self/maps", encoding="utf-8") as f:
        at = next(int(line.split("-")[0], 16) for line in f if path in line)
    mem = os.open("/proc/self/mem", os.O_RDONLY)

    def hold(*_):
        threading.Thread(target=os.pread, args=(mem, 1, at + (1 << 20)), daemon=True).start()
        time.sleep(0.3)
        mmap.mmap(-1, 4096)
    signal.signal(signal.SIGUSR1, hold)
    os.read(0, 1)
    return len(mapped)


main(*sys.argv[1:])
