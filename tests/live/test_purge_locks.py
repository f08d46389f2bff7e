# SPDX-License-Identifier: GPL-2.0-or-later
"""Threads that wait for each other in ways that a purge of Python must not get into."""

import mmap
import os
import struct
import subprocess
import threading
import time

import pytest

import judge

FRAGMENTS = """
import mmap, os, sqlite3, sys, threading, time
page = mmap.mmap(int(sys.argv[1]), 4096)
def tick(i=[0]):
    i[0] += 1
    page[:8] = i[0].to_bytes(8, "little")
def fragments():
    a = [str(i) * 2 for i in range(1500000)]
    k = a[::200]
    del a
    return k
keep = fragments()
"""

# The main thread never lets go of the GIL in os.seteuid(), and glibc makes every other thread answer.
SETEUID = FRAGMENTS + """
for _ in range(2):
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
print("ready", flush=True)
last = time.monotonic()
while True:
    os.seteuid(os.geteuid())
    tick()
    if time.monotonic() - last > 1:
        keep = fragments()
        last = time.monotonic()
"""

# One thread sleeps in sqlite's busy handler and owns the connection's mutex; the other wants that
# mutex with the GIL held: it gets it when the first one's time is up, unless that waits for the GIL.
SQLITE = FRAGMENTS + """
first = sqlite3.connect(sys.argv[2], isolation_level=None)
first.execute("create table t(a)")
shared = sqlite3.connect(sys.argv[2], check_same_thread=False, isolation_level=None, timeout=4)
first.execute("begin exclusive")
def insert():
    try:
        shared.execute("insert into t values(1)")
    except sqlite3.OperationalError:
        pass
threading.Thread(target=insert, daemon=True).start()
time.sleep(0.5)
print("ready", flush=True)
time.sleep(1)
print("wants it", flush=True)
shared.cursor().execute("select ?", (5,))
print("has it", flush=True)
sys.stdin.read()
"""

# A thread that keeps the GIL for longer than a purge waits for it, and lets go for a while.
HOARDS = FRAGMENTS + """
import ctypes
def hoard():
    while True:
        ctypes.PyDLL(None).usleep(500000)
        tick()
        time.sleep(0.3)
threading.Thread(target=hoard, daemon=True).start()
print("ready", flush=True)
while True:
    time.sleep(3600)
"""


class Python:
    def __init__(self, code, *args):
        fd = os.memfd_create("page")
        os.ftruncate(fd, 4096)
        self.page = mmap.mmap(fd, 4096)
        self.proc = subprocess.Popen(["/usr/bin/python3", "-c", code, str(fd), *map(str, args)], pass_fds=[fd],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        os.close(fd)
        # One that is stuck must not keep the test waiting.
        self.timer = threading.Timer(90, self.proc.kill)
        self.timer.start()
        self.says("ready")

    def says(self, word):
        assert self.proc.stdout.readline() == word + "\n"

    def ticks(self):
        return struct.unpack_from("<Q", self.page)[0]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.timer.cancel()
        self.proc.kill()
        self.proc.communicate()


@pytest.mark.parametrize("depth", ["normal", "deep"])
def test_setuid_with_the_gil_held(depth):
    with Python(SETEUID) as p:
        for i in range(8):
            t = judge.trim(p.proc.pid, "--remedy=purge", f"--depth={depth}", "--timeout=3s")
            assert t.outcome in ("reclaimed", "nothing", "refused", "timeout"), t
            before = p.ticks()
            judge.wait_for(f"the program to go on after purge {i} ({t})", 20, lambda b=before: p.ticks() > b + 10)


def test_a_mutex_of_a_library(tmp_path):
    with Python(SQLITE, tmp_path / "db") as p:
        began = time.monotonic()
        judge.trim(p.proc.pid, "--remedy=purge", "--timeout=3s")
        p.says("wants it")
        p.says("has it")
        # four seconds of sqlite's own, and what the machine adds
        assert time.monotonic() - began < 40


def test_the_gil_kept_for_long():
    """Half a second without the GIL ends nothing; and what isn't all of it isn't told as if it were."""
    with Python(HOARDS) as p:
        t = judge.trim(p.proc.pid, "--remedy=purge", "--depth=normal", "--timeout=20s")
        # A busy machine may stop it at anything; that is said then.
        assert t.outcome == "reclaimed" or (t.outcome in ("timeout", "refused") and t.reason), t
        for step in t.doc["steps"]:
            assert t.reason or step["freed"] > 0.8 * step["predicted"], t
            assert not t.reason or t.outcome != "reclaimed" or "not all of it came back" in t.answer.err, t
        before = p.ticks()
        judge.wait_for("the program to go on", 20, lambda: p.ticks() > before + 2)
