#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocates in a pattern, then sleeps; at each SIGUSR1 says on stderr what its allocator says of itself.

Between the statistics and the sleep it allocates nothing, so that whoever looks at
it from outside sees exactly the state that they describe. Runs on 3.8 and later."""

import gc
import os
import signal
import sys
import threading


def text(i):
    return "%d-%s" % (i, "x" * (i % 40))


def pattern_fresh():
    return None


def pattern_seed():
    """The classic: very many small objects, all but a few deleted."""
    everything = [text(i) for i in range(400000)]
    kept = everything[::1000]
    del everything
    return kept


def pattern_gc():
    class Node:
        pass
    for _ in range(30000):
        a, b = Node(), Node()
        a.other, b.other = b, a
    del a, b
    gc.collect()
    return [Node() for _ in range(100)]


def pattern_threads():
    """Others that sleep, with objects of their own."""
    def work(n):
        mine = [{j: text(j)} for j in range(n)]
        del mine[::2]
        done.release()
        forever.acquire()
    done, forever = threading.Semaphore(0), threading.Lock()
    forever.acquire()
    for n in range(8):
        threading.Thread(target=work, args=(1000 * n,), daemon=True).start()
    for n in range(8):
        done.acquire()
    return [bytes(i % 500) for i in range(20000)]


def pattern_sizes():
    """Every size class, some of it freed in every way that blocks can lie."""
    blocks = [bytes(i * 7919 % 480) for i in range(200000)]
    kept = [b for i, b in enumerate(blocks) if i * 2654435761 >> 7 & 7 == 0]
    del blocks
    return kept + [bytes(100) for _ in range(3000)]


def pattern_fork():
    blocks = [text(i) for i in range(100000)]
    del blocks[::3]
    if os.fork():
        os.wait()
        os._exit(0)
    return blocks


def pattern_churn():
    """Never asleep."""
    print("ready %d" % os.getpid(), flush=True)
    blocks = {}
    i = 0
    while True:
        i += 1
        key = i * 2654435761 % 50000
        blocks[key] = [bytes(key % 500) for _ in range(key % 20)]
        if i % 200000 == 0:
            blocks.clear()


def main(name):
    kept = globals()["pattern_" + name]()
    signal.signal(signal.SIGUSR1, lambda *args: None)
    print("ready %d" % os.getpid(), flush=True)
    pause, stats = signal.pause, sys._debugmallocstats
    while True:
        pause()
        stats()
    return kept


main(sys.argv[1])
