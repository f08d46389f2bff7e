# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in another Debian's Python: frees nearly all of what it took, then sleeps or keeps busy.

Answers on its standard input: "verify" checks what was kept and says "intact"."""

import sys
import threading

SIZE, COUNT, KEEP = 2000, 40000, 500


def block(i):
    return bytes([i % 251]) * (SIZE + i % 50)


def busy():
    words = []
    while True:
        words.append("x" * (len(words) % 900))
        if len(words) > 1000:
            words = []


def main(mode):
    if mode == "threads":
        for _ in range(3):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    blocks = [block(i) for i in range(COUNT)]
    kept = {i: blocks[i] for i in range(0, COUNT, KEEP)}
    del blocks
    print("ready", flush=True)
    if mode == "busy":
        busy()
    for line in sys.stdin:
        if line.strip() == "verify":
            print("intact" if all(b == block(i) for i, b in kept.items()) else "damaged", flush=True)


main(sys.argv[1])
