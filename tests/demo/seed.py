# SPDX-License-Identifier: GPL-2.0-or-later
"""The oldest question about Python's memory, as a program.

It makes a list of ten million short strings, keeps one in a thousand, deletes
the rest, and stays as large as it was. It answers one-line commands on its
standard input, and ends when that is closed. Each string can be made again
from its number, so that a byte changed by someone else is noticed.

    seed.py [strings [keep]]
"""

import ctypes
import gc
import os
import sys

STRINGS = int(sys.argv[1]) if len(sys.argv) > 1 else 10**7
KEEP = int(sys.argv[2]) if len(sys.argv) > 2 else 1000


def kib():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def build():
    return [f"{number}xxx" for number in range(STRINGS)]


def damaged(strings, step):
    return sum(string != f"{index * step}xxx" for index, string in enumerate(strings))


class Program:
    def __init__(self):
        strings = build()
        self.peak = kib()
        self.kept = strings[::KEEP]

    def check(self):
        bad = damaged(self.kept, KEEP)
        return f"bad {bad} strings are damaged" if bad else f"ok all {len(self.kept)} strings intact"

    def known(self):
        """What a program can do by itself, and everybody recommends."""
        before = kib()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        return f"ok {before} {kib()}"

    def rebuild(self):
        """All of it once more: what was given back must be had again."""
        strings = build()
        peak = kib()
        bad = damaged(strings, 1)
        del strings
        return f"bad {bad} new strings are damaged" if bad else f"ok {peak} {kib()}"


def main():
    program = Program()
    expected = len(program.kept)
    commands = {"check": program.check, "known": program.known, "rebuild": program.rebuild}
    print(program.peak, kib(), flush=True)
    while line := os.read(0, 64):
        command = commands.get(line.decode().strip())
        answer = command() if command else "bad unknown command"
        if len(program.kept) != expected:
            answer = f"bad {len(program.kept)} strings instead of {expected}"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
