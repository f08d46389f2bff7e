# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker by itself: wrong requests, and a pid that belongs to somebody else by now."""

import os
import subprocess
import time

import pytest

import judge
import workerproto as w


def start_time(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return int(f.read().rpartition(")")[2].split()[19])


def test_good_request(start):
    v = start("plain", asleep=True)
    before = v.snapshot()
    with w.Worker(w.request(v.pid, start_time=start_time(v.pid))) as worker:
        r = worker.result()
        assert r and r.magic == w.MAGIC and r.version == w.VERSION and r.pid == v.pid
        assert r.outcome == w.RECLAIMED and r.freed > 0 and r.comm == "plain" and r.nsteps == 1, r
        assert r.start_time == start_time(v.pid)
        assert worker.wait(20) == 0
    v.unharmed(before)
    v.finish()


@pytest.mark.parametrize("off", [-1, 1, 1000])
def test_reused_pid(start, off):
    """The pid is there, but it isn't the process that was looked at."""
    v = start("plain", asleep=True)
    before, switches = v.snapshot(), judge.switches(v.pid)
    with w.Worker(w.request(v.pid, start_time=start_time(v.pid) + off)) as worker:
        r = worker.result()
    assert r and r.outcome == w.GONE and r.reason, r
    assert judge.switches(v.pid) == switches, "it was stopped"
    v.unharmed(before)
    v.finish()


def test_whose_it_is(start):
    """Asked for on behalf of somebody whose it isn't: not touched, and nothing of it is told."""
    v = start("plain", asleep=True)
    before, switches = v.snapshot(), judge.switches(v.pid)
    for flags in (0, w.DRY_RUN, w.FORCE):
        with w.Worker(w.request(v.pid, owner=os.getuid() + 1, flags=flags)) as worker:
            r = worker.result()
        assert r and r.outcome == w.DENIED and "another user's" in r.reason, r
    with w.Worker(w.request(v.pid, owner=os.getuid() + 1, remedies=0, op=w.EXPLAIN)) as worker:
        head = worker.head()
    assert head == (v.pid, w.DENIED)
    assert judge.switches(v.pid) == switches, "it was stopped"
    v.unharmed(before)
    with w.Worker(w.request(v.pid, owner=os.getuid(), remedies=0, op=w.EXPLAIN)) as worker:
        assert worker.head() == (v.pid, w.NOTHING)
    with w.Worker(w.request(v.pid, owner=os.getuid())) as worker:
        assert worker.result().outcome == w.RECLAIMED
    v.unharmed(before)
    v.finish()


BAD = {
    "magic": {"magic": 0},
    "version": {"version": w.VERSION + 1},
    "pid 0": {"pid": 0},
    "pid -1": {"pid": -1},
    "no remedy": {"remedies": 0},
    "unknown remedy": {"remedies": 1 << 20},
    "unknown flag": {"flags": 1 << 9},
    "a whole glance that is none": {"flags": 1 << 8},
    "something reserved": {"reserved": 1},
    "no time": {"timeout_us": 0},
    "too much time": {"timeout_us": 1 << 62},
    "unknown idleness": {"idle": 3},
    "ranges of no age": {"idle": w.QUIET, "ranges": [(4096, 8192)]},
    "too many ranges": {"idle": w.AGES, "ranges": [(4096 * i, 4096 * i + 4096) for i in range(257)]},
    "ranges in no order": {"idle": w.AGES, "ranges": [(8192, 12288), (4096, 8192)]},
    "ranges that overlap": {"idle": w.AGES, "ranges": [(4096, 12288), (8192, 16384)]},
    "an empty range": {"idle": w.AGES, "ranges": [(4096, 4096)]},
    "half a page": {"idle": w.AGES, "ranges": [(4096, 6144)]},
}


@pytest.mark.parametrize("what", BAD)
def test_bad_request(start, what):
    v = start("plain", asleep=True)
    before, switches = v.snapshot(), judge.switches(v.pid)
    with w.Worker(w.request(**{"pid": v.pid, **BAD[what]})) as worker:
        r = worker.result()
        status = worker.wait(20)
    assert status > 0 or (r and r.outcome in (w.FAILED, w.REFUSED, w.GONE) and r.reason), (status, r)
    assert judge.switches(v.pid) == switches
    v.unharmed(before)
    v.finish()


@pytest.mark.parametrize("size", [0, 1, w.REQUEST.size - 1, w.REQUEST.size + 1, 8192], ids=lambda n: f"{n} bytes")
def test_message_of_wrong_length(start, size):
    v = start("plain", asleep=True)
    switches = judge.switches(v.pid)
    message = (w.request(v.pid) + bytes(8192))[:size]
    with w.Worker(message) as worker:
        r = worker.result()
        status = worker.wait(20)
    assert status > 0 or (r and r.outcome in (w.FAILED, w.REFUSED) and r.reason), (status, r)
    assert judge.switches(v.pid) == switches
    v.finish()


def test_nobody_asks():
    """The other end is closed: it ends by itself."""
    with w.Worker(None) as worker:
        worker.socket.close()
        began = time.monotonic()
        assert worker.wait(10) != 0
        assert time.monotonic() - began < 10


def test_asker_dies_meanwhile(start):
    """Nobody waits for the result any more: the target is let go all the same."""
    v = start("bloat", "--count=200000", asleep=True)
    before = v.snapshot()
    for i in range(20):
        with w.Worker(w.request(v.pid)) as worker:
            time.sleep(0.0007 * i)
            worker.socket.close()
            worker.wait(20)
    v.unharmed(before)
    v.finish()


def test_no_worker_is_an_error(start):
    v = start("plain", asleep=True)
    a = judge.ctl("--json", "trim", v.pid, env={"RECLAIM_WORKER": "/nonexistent/reclaim-worker"})
    assert a.rc == 1 and "/nonexistent" in a.err, a
    v.finish()


@pytest.mark.parametrize("program, words", [("/bin/true", "worker"), ("/bin/cat", "worker")])
def test_broken_worker(start, program, words):
    v = start("plain", asleep=True)
    a = judge.ctl("--json", "trim", "--timeout=200ms", v.pid, env={"RECLAIM_WORKER": program})
    assert a.rc == 1, a
    t = judge.Trim(a, v.pid)
    assert t.outcome in ("failed", "timeout") and t.reason, t
    assert words in a.err or words in t.reason, a
    v.finish()


def test_no_file_descriptor_of_ours_reaches_far(start):
    """What the caller has open isn't handed on to the worker's work."""
    v = start("plain", asleep=True)
    fd = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        assert judge.trim(v.pid).acted
    finally:
        os.close(fd)
    v.finish()


# Whoever is orphaned beneath it becomes its child.
BOOKED = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1)
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
try:
    print("left behind:", os.waitpid(-1, 0))
except ChildProcessError:
    print("all reaped")
"""


@pytest.mark.parametrize("verb", ["ps", "explain"])
def test_what_a_look_costs_is_booked(start, verb):
    """The reader, which does the work, is reaped by the worker: or top's budget wouldn't know what looks cost."""
    done = subprocess.run([judge.PYTHON, "-ISc", BOOKED, judge.CTL, verb,
                           str(start("plain", asleep=True).pid)], check=True, timeout=60,
                          stdout=subprocess.PIPE)
    assert done.stdout == b"all reaped\n"
