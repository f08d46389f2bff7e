# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds so many MiB of memory of its own and sleeps over it: hold.py MIB"""

import mmap
import os
import sys

size = int(sys.argv[1]) << 20
page = os.urandom(4080)
held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, size, 4096):
    held[at:at + 4096] = at.to_bytes(16, "little") + page
print("ready", flush=True)
while sys.stdin.readline():
    bad = sum(held[at:at + 4096] != at.to_bytes(16, "little") + page for at in range(0, size, 4096))
    print(f"bad {bad} pages" if bad else f"ok {size >> 20} MiB intact", flush=True)
