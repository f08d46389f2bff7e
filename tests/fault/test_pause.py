# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker is stopped (SIGSTOP) before and after each single operation on a
tracee, in turn, and goes on a moment later (fault build). The target must be
none the worse for it, and the work must be done in the end."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import judge
import workerproto as w

LIMIT = int(os.environ.get("RECLAIM_FAULT_LIMIT", 600))
PAUSE = float(os.environ.get("RECLAIM_FAULT_PAUSE", 0.05))

TARGETS = {
    "registers in read": ("regs", ["--mode=read", "--ms=10"]),
    "idle beside malloc": ("heap3", ["--threads=2"]),
}


class Waker(threading.Thread):
    """Lets the worker that stops itself go on, once."""

    def __init__(self, ctl_pid):
        super().__init__(daemon=True)
        self.ctl_pid, self.woken, self.ended = ctl_pid, 0, threading.Event()

    def children(self, pid):
        try:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        except OSError:
            return []
        found = [int(c) for c in text.split()]
        return found + [g for c in found for g in self.children(c)]

    def run(self):
        while not self.ended.wait(0.002):
            for pid in self.children(self.ctl_pid):
                if judge.state(pid) == "T":
                    time.sleep(PAUSE)
                    os.kill(pid, signal.SIGCONT)
                    self.woken += 1


def paused_trim(victim, when, k):
    # our own children: reclaimctl is one while it runs
    waker = Waker(os.getpid())
    waker.children = lambda pid, find=waker.children: [c for c in find(pid) if c != victim.pid]
    waker.start()
    try:
        return judge.trim(victim.pid, "--remedy=trim", "--timeout=5s", env={"RECLAIM_FAULT": f"{when}:{k}"}), waker
    finally:
        waker.ended.set()
        waker.join()


@pytest.mark.parametrize("when", ["pause", "pause-after"])
@pytest.mark.parametrize("name", TARGETS)
def test_paused(start, name, when, capsys):
    program, args = TARGETS[name]
    v = start(program, *args)
    v.moves_on()
    before, k, paused = v.snapshot(), 1, 0
    while k < LIMIT:
        t, waker = paused_trim(v, when, k)
        where = f"{when}:{k}, {t}"
        assert v.alive(), f"{where}: {v.obituary()}"
        v.moves_on(rounds=2)
        v.unharmed(before, quiet=False)
        assert not v.get("eintr"), where
        assert t.acted or t.outcome == "refused", where
        if not waker.woken:
            break
        paused += 1
        k += 1
    with capsys.disabled():
        print(f"\n  {name}, {when}: paused at {paused} operations")
    assert 5 < paused < LIMIT - 1
    v.finish()


# Its second thread executes another program as soon as it is told to, which says so. The first is of no use: it waits
# in a write().
EXECUTES = """
import os, sys, threading
def other():
    os.read(0, 1)
    os.execv("/bin/echo", ["echo", "executed"])
threading.Thread(target=other).start()
print("ready", flush=True)
_, full = os.pipe()
os.write(full, bytes(65537))
"""


def test_executes_while_seized():
    """A thread that executes a program after it was seized, and before it was asked to stop, becomes the leader, and
    stops there. Nobody but the worker can let it go on, which must not go on looking for threads meanwhile."""
    with subprocess.Popen([judge.PYTHON, "-ISc", EXECUTES], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as target:
        assert target.stdout.readline() == b"ready\n"
        other, = [t for t in judge.tids(target.pid) if t != target.pid]
        judge.wait_for("it to read and to write", 10, lambda: all(
            (judge.syscall_of(target.pid, tid) or "?")[0] == nr for tid, nr in ((other, 0), (target.pid, 1))))
        answers = []
        trim = threading.Thread(target=lambda: answers.append(
            judge.trim(target.pid, "--remedy=trim", "--timeout=5s", env={"RECLAIM_FAULT": "pause-after:1"})))
        trim.start()
        worker = int(judge.wait_for("it to be seized", 10, lambda: (
            t := judge.status(target.pid, other, "TracerPid")) != "0" and t))
        judge.wait_for("the worker to pause", 10, lambda: judge.state(worker) == "T")
        target.stdin.write(b"x")
        target.stdin.flush()
        judge.wait_for("it to be the leader", 10, lambda: judge.state(target.pid) == "t")
        os.kill(worker, signal.SIGCONT)
        began = time.monotonic()
        assert target.stdout.readline() == b"executed\n"
        took = time.monotonic() - began
        trim.join()
    assert took < 1, f"it stood still for {took:.2f} s"
    assert answers[0].rc == 5 and "ran another program" in answers[0].reason, answers[0]
    assert not target.returncode


# By which signal the victim changes which of its user ids
IDS = {"real": signal.SIGUSR1, "effective": signal.SIGUSR2, "saved": signal.SIGALRM}


@pytest.mark.parametrize("which", IDS)
def test_changes_hands(start, which):
    """A process that is its owner's when it is looked at, and not wholly when it is stopped: let go as it is."""
    v = start("targets", "--mode=newuser", asleep=True)
    with w.Worker(w.request(v.pid, owner=os.getuid(), timeout_us=10000000), env={"RECLAIM_FAULT": "pause:1"}) as worker:
        judge.wait_for("the worker to pause", 10, lambda: judge.state(worker.pid) == "T")
        os.kill(v.pid, IDS[which])
        judge.wait_for("another user", 10, lambda: "1" in judge.status(v.pid, field="Uid").split()[:3])
        v.wait_asleep()
        before = v.snapshot()
        os.kill(worker.pid, signal.SIGCONT)
        r = worker.result()
    assert r.outcome == w.DENIED and "another user's" in r.reason, r
    assert r.stopped_us_max and r.freed < 1 << 20, r
    v.unharmed(before)
    v.finish()
