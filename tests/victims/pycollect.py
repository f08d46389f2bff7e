#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes garbage that only the collector finds, and sleeps or works as it is told.

Answers lines on its standard input: "say" prints what has become of it as JSON; "more"
makes garbage anew. Checks what it keeps all the time. Runs on 3.8 and later."""

import ctypes
import gc
import itertools
import json
import os
import signal
import struct
import sys
import threading
import time

GARBAGE = 3000
finalized = [0]
raised = [0]
signals = [0]
errors = []
progress = {}


class Node:
    def __init__(self, raising=None):
        self.raising = raising

    def __del__(self):
        finalized[0] += 1
        if self.raising:
            raised[0] += 1
            raise self.raising("of a destructor")


def litter(raising=None):
    for _ in range(GARBAGE // 2):
        a, b = Node(raising), Node()
        a.other, b.other = b, a


def fill_free_lists():
    """Tuples, lists and dicts that the types keep for themselves when they are freed."""
    everything = [[tuple(range(n)) for n in range(1, 20)] for _ in range(300)] + [{1: n} for n in range(200)]
    everything += [float(n) for n in range(1000, 3000)]
    del everything


def worker(name, nap):
    """Works on data of its own, checks it, and sleeps in between."""
    data = {}
    n = 0
    while True:
        n += 1
        data[n % 500] = ("%d-" % n) * (n % 30)
        for key in list(data)[:3]:
            value = data[key]
            if value and value[-1] != "-":
                errors.append("%s: %r" % (name, value))
        a = Node()
        a.me = a
        progress[name] = n
        if nap:
            time.sleep(nap)


def start(n, nap):
    for i in range(n):
        threading.Thread(target=worker, args=("worker%d" % i, nap), daemon=True).start()


def tamper():
    """Names of the program that hide what a careless intruder would count on."""
    main = sys.modules["__main__"].__dict__
    for name in ("__import__", "BaseException", "Exception", "KeyboardInterrupt", "exec", "gc"):
        main[name] = 5
    sys.modules["gc"] = None


def mode_alone():
    pass


def mode_nogc():
    gc.disable()


def mode_threads():
    for _ in range(3):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def mode_working():
    start(4, 0.001)


def mode_contended():
    """Two that never sleep, so that the GIL is always taken; the main thread sleeps."""
    start(2, 0)


def mode_held():
    """The main thread sleeps and keeps the GIL; the others wait for it."""
    start(2, 0.01)
    threading.Timer(0.3, print, ("never printed",)).daemon = True
    ctypes.PyDLL(None).pause()  # until a signal


def forbid(call):
    """A filter for all threads to come, and this one, that kills for one system call."""
    code = b"".join(struct.pack("HBBI", *op) for op in (
        (0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, 0x80000000), (0x06, 0, 0, 0x7fff0000)))
    room = ctypes.create_string_buffer(code, len(code))
    prog = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(room))
    libc = ctypes.CDLL(None)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, prog, 0, 0):
        errors.append("no filter")


def hog(seconds):
    """One call into C after the other that keeps the GIL for so long."""
    n = 10**6
    while True:
        began = time.monotonic()
        sum(itertools.repeat(1, n))
        took = time.monotonic() - began
        progress["hog"] = progress.get("hog", 0) + 1
        n = min(int(n * seconds / took) + 1, 8 * n)
        time.sleep(0.01)


def mode_filtered():
    """restart_syscall() is deadly, and the GIL is rarely to be had."""
    forbid(219)
    threading.Thread(target=hog, args=(2.5,), daemon=True).start()


def mode_tampered():
    gc.disable()
    tamper()


def mode_raising():
    litter(SystemExit)
    litter(KeyboardInterrupt)


def mode_fork():
    if os.fork():
        os.wait()
        os._exit(0)


def report():
    return json.dumps({
        "finalized": finalized[0], "raised": raised[0], "errors": errors, "signals": signals[0],
        "full": sum(1 for _ in full), "enabled": collector.isenabled(), "progress": progress,
        "blocks": sys.getallocatedblocks(), "names": sorted(n for n in globals() if n not in known)})


full = []  # one entry for each full collection
collector = gc
known = set()


def main(mode):
    signal.signal(signal.SIGUSR1, lambda *args: signals.__setitem__(0, signals[0] + 1))
    gc.set_threshold(10**9)  # only who is asked to collect collects
    gc.collect()
    if hasattr(gc, "callbacks"):
        gc.callbacks.append(lambda phase, info: full.append(1) if phase == "stop" and info["generation"] == 2
                            else None)
    litter()
    fill_free_lists()
    known.update(globals())
    if mode != "held":
        globals()["mode_" + mode]()
    print("ready %d" % os.getpid(), flush=True)
    if mode == "held":
        mode_held()
    known.update(globals())
    for line in sys.stdin:
        if line == "say\n":
            print(report(), flush=True)
        elif line == "more\n":
            litter()
            fill_free_lists()
            print("done", flush=True)


main(sys.argv[1])
