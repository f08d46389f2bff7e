#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Works without a pause, in the way that it is told, and answers lines on its standard input in between.

"say" prints what has become of it as JSON. Whatever exception reaches it that is not its own ends
it. Runs on 3.8 and later."""

import gc
import json
import os
import random
import re
import signal
import sys
import threading

GARBAGE = 2000
finalized = [0]
caught = [0]
traced = [0]
turns = [0]
errors = []
progress = {}
buffer = [b""]


class Plain:
    pass


class Node(Plain):
    def __del__(self):
        finalized[0] += 1


class Raising(Plain):
    def __del__(self):
        finalized[0] += 1
        raise KeyboardInterrupt("of a destructor")


def litter(kind):
    for _ in range(GARBAGE // 2):
        a, b = kind(), kind()
        a.other, b.other = b, a


def full():
    """How often the oldest generation has been collected; no code of ours runs to count it."""
    return gc.get_stats()[2]["collections"] - full_before


def report():
    return json.dumps({
        "finalized": finalized[0], "full": full(), "errors": errors, "caught": caught[0], "turns": turns[0],
        "traced": traced[0], "enabled": gc.isenabled(), "progress": progress, "pid": os.getpid(),
        "names": sorted(n for n in globals() if n not in known)})


def answer():
    turns[0] += 1
    try:
        buffer[0] += os.read(0, 4096)
    except BlockingIOError:
        return
    while b"\n" in buffer[0]:
        line, _, buffer[0] = buffer[0].partition(b"\n")
        if line == b"say":
            os.write(1, report().encode() + b"\n")


data = {}


def work(n=300):
    """On data of its own, which it checks."""
    turn = turns[0]
    data[turn % 100] = ("%d-" % turn) * (turn % 30)
    for key in list(data)[:3]:
        if data[key] and data[key][-1] != "-":
            errors.append(repr(data[key]))
    if sum(range(n)) != n * (n - 1) // 2:
        errors.append("sum")


def spin(name):
    n = 0
    while True:
        n += 1
        sum(range(500))
        progress[name] = n


def start(n):
    for i in range(n):
        threading.Thread(target=spin, args=("spinner%d" % i,), daemon=True).start()


def loop(*steps):
    while True:
        for step in steps:
            step()
        answer()


def mode_alone():
    loop(work)


def mode_nogc():
    gc.disable()
    loop(work)


def mode_threads():
    start(3)
    loop(work)


def mode_traced():
    def tracer(*args):
        traced[0] += 1
        return tracer
    sys.settrace(tracer)
    loop(work)


def mode_generator():
    def endless():
        while True:
            try:
                yield work()
            finally:
                progress["generator"] = progress.get("generator", 0) + 1
    for _ in endless():
        answer()


def mode_diving():
    """At the recursion limit all the time: whoever needs one frame more doesn't get it."""
    def dive():
        try:
            dive()
        except RecursionError:
            progress["dives"] = progress.get("dives", 0) + 1
    sys.setrecursionlimit(150)
    loop(dive, work)


def mode_raising():
    litter(Raising)
    loop(work)


def mode_sorting():
    """Most of the time in C, which holds the GIL."""
    rng = random.Random(1)
    many = [rng.random() for _ in range(600000)]
    loop(lambda: sorted(many), lambda: [work() for _ in range(20)])


def mode_matching():
    pattern = re.compile("(?:a|aa)+$")
    loop(lambda: pattern.match("a" * 31 + "b"), lambda: [work() for _ in range(20)])


def mode_interrupted():
    """Tells of each interrupt that reaches it; answers nothing, since what it reads might get lost."""
    armed, late = [False], [0]

    def handler(*_):
        if not armed[0]:
            late[0] += 1
            return
        armed[0] = False
        raise KeyboardInterrupt
    def endless():
        # 3.12 and later: a "try" around the loop itself would not cover its jump back
        while not late[0]:
            work()
    signal.signal(signal.SIGINT, handler)
    os.write(1, b"armed\n")
    while True:
        try:
            armed[0] = True
            endless()
            armed[0] = False
            late[0] -= 1
        except KeyboardInterrupt:
            pass
        caught[0] += 1
        os.write(1, b"caught %d %d\n" % (caught[0], full()))


def mode_full():
    """From within a pending call: no other is made meanwhile, and there is no room for more."""
    import ctypes
    nothing = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda _: 0)
    add = ctypes.pythonapi.Py_AddPendingCall

    def busy(_):
        while add(nothing, None) == 0:
            progress["filled"] = progress.get("filled", 0) + 1
        while not progress.get("enough"):
            work()
            answer()
            if turns[0] > 100000:
                progress["enough"] = 1
        return 0
    held = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(busy)
    add(held, None)
    loop(work)


def fork(*_):
    if os.fork() == 0:
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        progress["child"] = 1
        for _ in range(3000):
            work()
        os.write(1, report().encode() + b"\n")
        os._exit(0)


def execute(*_):
    os.execv(sys.executable, [sys.executable, "-c", "import time\nprint('executed', flush=True)\nwhile True: pass"])


known = set()
full_before = 0


def main(mode):
    global full_before
    gc.set_threshold(10**9)  # only who is asked to collect collects
    os.set_blocking(0, False)
    signal.signal(signal.SIGUSR1, execute)
    signal.signal(signal.SIGUSR2, fork)
    gc.collect()
    litter(Plain if mode in ("diving", "interrupted", "raising") else Node)
    known.update(globals())
    full_before = gc.get_stats()[2]["collections"]
    os.write(1, b"ready %d\n" % os.getpid())
    globals()["mode_" + mode]()


main(sys.argv[1])
