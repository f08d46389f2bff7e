#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""purge_seed.py KEEP STRINGS: very many strings, one in KEEP stays. Runs on 3.8 and later.

Answers lines on its standard input with what has become of them and the bytes resident:
"verify" looks at those that stayed, "rebuild" makes as many once more and drops them."""

import gc
import os
import sys

TAIL = "xxxxxxxx"


def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def make(i):
    return str(i) + TAIL[:3]


def main(keep, n):
    strings = [make(i) for i in range(n)]
    full = rss()
    kept = strings[::keep]
    del strings
    gc.collect()
    print("ready %d %d" % (full, rss()), flush=True)
    for line in sys.stdin:
        peak = 0
        if line == "rebuild\n":
            strings = [make(i) for i in range(n)]
            good = all(strings[i] == make(i) for i in range(0, n, 997))
            peak = rss()
            del strings
            gc.collect()
        else:
            good = True
        good = good and all(s == make(i * keep) for i, s in enumerate(kept))
        print("%s %d %d" % ("good" if good else "damaged", peak, rss()), flush=True)


main(int(sys.argv[1]), int(sys.argv[2]))
