# SPDX-License-Identifier: GPL-2.0-or-later
"""Frees nearly all of what it took, says "ready", then answers "verify" on its standard input."""

import sys

SIZE, COUNT, KEEP = 2000, 40000, 500


def block(i):
    return bytes([i % 251]) * (SIZE + i % 50)


blocks = [block(i) for i in range(COUNT)]
kept = {i: blocks[i] for i in range(0, COUNT, KEEP)}
del blocks
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "verify":
        print("intact" if all(b == block(i) for i, b in kept.items()) else "damaged", flush=True)
