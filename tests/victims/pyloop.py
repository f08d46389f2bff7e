#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many strings in a list, most of them deleted: the classic interpreter that stays big.

Commands on stdin: verify, use, quit. Each is answered with one line."""

import sys
import threading
import time

KEEP_EVERY = 1000


def make(n):
    strings = [f"string number {i} " * 40 for i in range(n)]  # over 512 bytes: malloc's
    small = [f"s{i}" for i in range(n)]  # pymalloc's
    return strings[::KEEP_EVERY], small[::KEEP_EVERY]


def main():
    n, threads = int(sys.argv[1]), int(sys.argv[2])
    kept, small = make(n)
    beats = [0] * threads
    stop = threading.Event()

    def beat(i):
        while not stop.is_set():
            time.sleep(0.005)
            beats[i] += len([b"x" * 2000 for _ in range(20)]) // 20

    pool = [threading.Thread(target=beat, args=(i,), daemon=True) for i in range(threads)]
    for t in pool:
        t.start()
    print("ready", flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "use":
            make(n // 10)
        good = (all(s == f"string number {i * KEEP_EVERY} " * 40 for i, s in enumerate(kept))
                and all(s == f"s{i * KEEP_EVERY}" for i, s in enumerate(small)))
        print(f"{word} {'good' if good else 'damaged'} {' '.join(map(str, beats))}", flush=True)
        if word == "quit":
            break
    stop.set()
    for t in pool:
        t.join()


main()
