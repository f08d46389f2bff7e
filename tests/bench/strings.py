# SPDX-License-Identifier: GPL-2.0-or-later
"""A Python program that makes a list of many short strings, keeps one in some of them, and deletes the rest.

It answers one-line commands on its standard input, and ends when that is closed. A second thread wakes up a thousand
times a second and notes the longest time for which it couldn't.

    strings.py [strings=N] [keep=K] [pool=METHOD]

pool: the list is made in a child process, started by METHOD (fork, spawn, forkserver), which sends what is kept.
"""

import ctypes
import gc
import os
import resource
import sys
import threading
import time

PERIOD = 0.001


def build(strings):
    return [f"{number}xxx" for number in range(strings)]


def kept_of(strings, keep):
    return build(strings)[::keep]


def damaged(strings, step):
    return sum(string != f"{index * step}xxx" for index, string in enumerate(strings))


def kib(key="VmRSS:"):
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))


def in_a_child(method, strings, keep):
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        return pool.submit(kept_of, strings, keep).result()


class Program:
    def __init__(self, strings=10**7, keep=1000, pool=None):
        self.strings, self.keep = int(strings), int(keep)
        start = time.perf_counter_ns()
        self.kept = in_a_child(pool, self.strings, self.keep) if pool else kept_of(self.strings, self.keep)
        self.made_us = (time.perf_counter_ns() - start) // 1000
        self.expected = len(self.kept)
        self.longest = 0

    def beat_for_ever(self):
        last = time.perf_counter_ns()
        while True:
            time.sleep(PERIOD)
            now = time.perf_counter_ns()
            self.longest = max(self.longest, now - last)
            last = now

    def beat(self):
        longest, self.longest = self.longest, 0
        return f"ok {longest // 1000}"

    def made(self):
        """How long it took to have the list; the most that was resident here and in a child, in KiB."""
        return f"ok {self.made_us} {kib('VmHWM:')} {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}"

    def check(self):
        bad = damaged(self.kept, self.keep)
        if bad or len(self.kept) != self.expected:
            return f"bad {bad} of {len(self.kept)} strings are damaged"
        return f"ok {len(self.kept)} strings intact"

    @staticmethod
    def timed(call):
        start = time.perf_counter_ns()
        call()
        return f"ok {(time.perf_counter_ns() - start) // 1000}"

    def collect(self):
        return self.timed(gc.collect)

    def trim(self):
        libc = ctypes.CDLL(None)
        return self.timed(lambda: libc.malloc_trim(0))

    def rebuild(self):
        """All of it once more: how long that took, the peak in KiB, and what stays."""
        start = time.perf_counter_ns()
        strings = build(self.strings)
        took = (time.perf_counter_ns() - start) // 1000
        peak = kib()
        bad = damaged(strings, 1)
        del strings
        return f"bad {bad} new strings are damaged" if bad else f"ok {took} {peak} {kib()}"


def main():
    program = Program(**dict(argument.split("=", 1) for argument in sys.argv[1:]))
    threading.Thread(target=program.beat_for_ever, daemon=True).start()
    commands = {name: getattr(program, name) for name in ("beat", "made", "check", "collect", "trim", "rebuild")}
    print("ready", flush=True)
    while line := os.read(0, 64):
        command = commands.get(line.decode().strip())
        print(command() if command else "bad unknown command", flush=True)


if __name__ == "__main__":
    main()
