# SPDX-License-Identifier: GPL-2.0-or-later
"""Wants so many MiB, bit by bit, and uses all of it again and again: hungry.py MIB"""

import mmap
import os
import select
import sys

STEP = 4 << 20
page = os.urandom(4080)
held = []
for number in range(int(sys.argv[1]) * 1048576 // STEP):
    block = mmap.mmap(-1, STEP)
    for at in range(0, STEP, 4096):
        block[at:at + 16] = number.to_bytes(8, "little") + at.to_bytes(8, "little")
        block[at + 16:at + 4096] = page
    held.append(block)
    select.select([], [], [], 0.2)
print("ready", flush=True)
while sys.stdin.readline():
    bad = sum(block[at:at + 16] != number.to_bytes(8, "little") + at.to_bytes(8, "little")
              for number, block in enumerate(held) for at in range(0, STEP, 4096))
    print(f"bad {bad} pages" if bad else f"ok {len(held) * STEP >> 20} MiB intact", flush=True)
