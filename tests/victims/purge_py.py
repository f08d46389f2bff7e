#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Python threads that make objects and drop most of them again, checking all; beside them sleepers.

Has the status page of victim.h. Runs on 3.8 and later.

  --spin=N   threads that work without a pause
  --nap=N    threads that work, and sleep in between
  --storm=fork|threads
  --size=N   objects that a thread has at most
"""

import argparse
import ctypes
import mmap
import os
import random
import signal
import struct
import sys
import threading
import time

MAGIC = 0x6D69746369760001
SLOT = {name: 8 * i for i, name in enumerate(
    "magic pid ready stop errors rounds result err elapsed_us t0_us eintr handler_runs".split())}
PROGRESS, DONE, NOTE = 8 * 12, 8 * 28, 8 * 32
PR_SET_NAME = 15


class Page:
    """tests/victims/victim.h, struct vstat. One writer for each word."""

    def __init__(self, path):
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)
        self.lock = threading.Lock()

    def get(self, at):
        return struct.unpack_from("<q", self.map, at)[0]

    def put(self, at, value):
        struct.pack_into("<q", self.map, at, value)

    def complain(self, text):
        with self.lock:
            n = self.get(SLOT["errors"])
            if not n:
                note = text.encode()[:250]
                self.map[NOTE:NOTE + len(note)] = note
            self.put(SLOT["errors"], n + 1)

    @property
    def stop(self):
        return self.get(SLOT["stop"])


def make(ident):
    """An object whose contents follow from its number; most are pymalloc's, some are malloc's."""
    kind = ident % 6
    if kind == 0:
        return ("%d/" % ident) * (1 + ident % 60)
    if kind == 1:
        return (b"%d/" % ident) * (1 + ident % 50)
    if kind == 2:
        return (ident, ident + 0.5, "t%d" % ident)
    if kind == 3:
        return {"k%d" % ident: ident, "l": [ident] * (ident % 20)}
    if kind == 4:
        return [ident + i for i in range(ident % 40)]
    return str(ident) + "xxx"


class Worker:
    def __init__(self, page, index, size, nap):
        self.page, self.index, self.size, self.nap = page, index, size, nap
        self.rng, self.things, self.ident = random.Random(index), {}, index * 10**9
        self.rounds = 0

    def step(self):
        for _ in range(200):
            self.ident += 1
            self.things[self.ident] = make(self.ident)
        if len(self.things) > self.size:
            keep = self.rng.choice((3, 40, 400))
            for i, key in enumerate(list(self.things)):
                thing = self.things[key] if i % keep == 0 else self.things.pop(key)
                if thing != make(key):
                    self.page.complain("object %d is not what it was: %.60r" % (key, thing))
        self.rounds += 1
        self.page.put(PROGRESS + 8 * self.index, self.rounds)

    def run(self):
        try:
            while not self.page.stop:
                self.step()
                if self.nap:
                    time.sleep(self.nap)
            for key, thing in self.things.items():
                if thing != make(key):
                    self.page.complain("object %d is not what it was at last" % key)
        except Exception as e:  # pylint: disable=broad-except
            self.page.complain("thread %d: %r" % (self.index, e))


class Sleeper:
    """Sleeps in one call again and again and looks at what it gives."""

    def __init__(self, page, index, call):
        self.page, self.index, self.call = page, index, call

    def run(self):
        rounds = 0
        try:
            while not self.page.stop:
                rounds += 1
                self.call(rounds)
                self.page.put(PROGRESS + 8 * self.index, rounds)
        except Exception as e:  # pylint: disable=broad-except
            self.page.complain("sleeper %d: %r" % (self.index, e))


def expect(ok, what):
    if not ok:
        raise ValueError(what)


def fork_once():
    pid = os.fork()
    if not pid:
        things = {i: make(i) for i in range(3000)}
        os._exit(0 if all(make(i) == t for i, t in things.items()) else 3)
    expect(os.waitpid(pid, 0)[1] == 0, "child")


def threads_once():
    few = [threading.Thread(target=lambda n=n: [make(n + i) for i in range(500)]) for n in range(4)]
    for t in few:
        t.start()
    for t in few:
        t.join()


def sleeps(storm):
    out, into = os.pipe()
    never, event = threading.Lock(), threading.Event()
    never.acquire()

    def tick(n):
        os.write(into, struct.pack("<Q", n))
        time.sleep(0.02)

    def read(n):
        expect(os.read(out, 8) == struct.pack("<Q", n), "tick")

    def nap(_):
        began = time.monotonic()
        time.sleep(0.015)
        expect(time.monotonic() - began >= 0.015, "slept too short")

    def lock(_):
        expect(not never.acquire(timeout=0.025), "lock")

    def wait(_):
        expect(not event.wait(0.03), "event")
    calls = [tick, read, nap, lock, wait]
    if storm:
        def blow(n):
            if n == 1:
                # inherited by the threads it starts: nobody must miss one of them
                expect(ctypes.CDLL(None).prctl(PR_SET_NAME, b"storm") == 0, "prctl")
            (fork_once if storm == "fork" else threads_once)()
            time.sleep(0.01)
        calls.append(blow)
    return calls


def seed(n, every):
    """Many strings, most of them deleted: what stays is checked in the end."""
    everything = [str(i) + "xxx" for i in range(n)]
    return everything[::every]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--shm", required=True)
    args.add_argument("--storm")
    for name, fallback in (("spin", 1), ("nap", 2), ("size", 20000), ("seed", 200000)):
        args.add_argument("--" + name, type=int, default=fallback)
    args = args.parse_args()
    page = Page(args.shm)
    runs = [0]

    def handler(*_):
        runs[0] += 1
        page.put(SLOT["handler_runs"], runs[0])
    signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGALRM, handler)
    kept = seed(args.seed, 1000)
    jobs = [Worker(page, i, args.size, 0 if i < args.spin else 0.002) for i in range(args.spin + args.nap)]
    jobs += [Sleeper(page, len(jobs) + i, call) for i, call in enumerate(sleeps(args.storm))]
    threads = [threading.Thread(target=j.run, daemon=True) for j in jobs]
    for t in threads:
        t.start()
    page.put(SLOT["pid"], os.getpid())
    page.put(SLOT["magic"], MAGIC)
    while not all(page.get(PROGRESS + 8 * i) for i in range(len(jobs))):
        time.sleep(0.005)
    page.put(SLOT["ready"], 1)
    while not page.stop:
        time.sleep(0.02)
        page.put(SLOT["rounds"], page.get(SLOT["rounds"]) + 1)
    for t, j in zip(threads, jobs):
        if isinstance(j, Worker):
            t.join()
    if kept != [str(i) + "xxx" for i in range(0, args.seed, 1000)]:
        page.complain("the kept strings are not what they were")
    page.put(DONE, 1)
    if page.get(SLOT["errors"]):
        sys.exit(1)
    os._exit(0)


main()
