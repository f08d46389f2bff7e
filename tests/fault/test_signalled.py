# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker dies after each single operation in turn while the program gets signals (fault build): between the look at a
stop and what lets the thread go on as well. A signal that the thread was stopped for is the program's: it is handled,
whatever becomes of the worker."""

import collections
import ctypes
import os
import signal
import threading
import time

import pytest

import judge
from steps import Steps
from test_fault import die_at

LIBC = ctypes.CDLL(None, use_errno=True)
NUMBER = signal.SIGRTMIN + 3
BURST, PAUSE = 12, 0.0004
LIMIT = int(os.environ.get("RECLAIM_FAULT_LIMIT", 600))
BEYOND = 4  # runs differ by what they wait for: after so many in a row that came through there are no more operations
ROUNDS = 3  # more, until each of these has been its last
MUST = {"interrupt", "wait", "cont", "detach"}
PATIENCE = 20


class Queued:
    """Each signal has the next number, and is handled in order: the victim looks."""

    def __init__(self, start):
        self.v, self.sent = start("signalled", "--how=queued", asleep=True), 0

    def send(self):
        assert not LIBC.sigqueue(self.v.pid, NUMBER, ctypes.c_void_p(self.sent + 1)), os.strerror(ctypes.get_errno())
        self.sent += 1

    def burst(self):
        for _ in range(BURST):
            self.send()

    def more(self):
        """The kernel itself loses what doesn't fit into the queue (ulimit -i)."""
        if self.sent - self.v.get("handler_runs") < 500:
            self.send()

    def judge(self):
        judge.wait_for(f"{self.sent} signals to be handled", PATIENCE,
                       lambda: self.v.get("handler_runs") >= self.sent or self.v.get("errors"))
        assert not self.v.get("errors"), self.v.note
        assert self.v.get("handler_runs") == self.sent


class Setxid:
    """Its second thread signals the first all the time, and waits for it."""

    def __init__(self, start):
        self.v = start("signalled", "--how=setxid")

    def burst(self):
        pass

    def more(self):
        pass

    def judge(self):
        self.v.moves_on(timeout=PATIENCE)


KINDS = {"queued": Queued, "setxid": Setxid}


class Meanwhile(threading.Thread):
    """Lets the worker go on as soon as the first thread has a signal to be stopped for; more of them until its end."""

    def __init__(self, target, steps):
        super().__init__(daemon=True)
        self.target, self.steps, self.ended, self.stood = target, steps, threading.Event(), False

    def run(self):
        while not self.ended.wait(PAUSE):
            if self.steps.held:
                self.target.burst()
                # Stopped by the worker before, or by the signal now.
                end = time.monotonic() + 0.1
                while not self.stood and time.monotonic() < end:
                    self.stood = judge.state(self.target.v.pid, self.target.v.pid) == "t"
                self.steps.go_on()
            elif self.stood:
                self.target.more()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        self.steps.go_on()
        self.join()


def kill(target, steps, hold, k, tmp_path):
    """(the operation at which the worker died, None: it didn't; was the thread stopped while it was held)"""
    env, log = die_at("kill-after", k, tmp_path)
    with Meanwhile(target, steps) as meanwhile:
        t = judge.trim(target.v.pid, "--timeout=2s", env={**env, **steps.env(hold=hold)})
    ops = log.read_text(encoding="ascii").split() if log.exists() else []
    try:
        assert target.v.alive(), target.v.obituary()
        judge.wait_for("no tracer", PATIENCE, lambda: all(
            judge.status(target.v.pid, tid, "TracerPid") in ("0", None) for tid in judge.tids(target.v.pid)))
        target.judge()
    except AssertionError as e:
        raise AssertionError(f"killed after {k}, {ops[-4:]}, {t}: {e}") from None
    if t.outcome == "failed":
        assert t.rc == 1 and "signal 9" in t.reason, t
        return ops[-1], meanwhile.stood
    assert t.acted or t.outcome in ("refused", "timeout"), t
    return None, meanwhile.stood


def sweep(target, steps, hold, tmp_path):
    """(operation, was there a signal before) of each death"""
    k, beyond = 1, 0
    while beyond < BEYOND:
        op, stood = kill(target, steps, hold, k, tmp_path)
        if op:
            yield op, stood
        k, beyond = (k + 1, 0) if op else (k, beyond + 1)
        assert k < LIMIT, "the sweep doesn't end"


@pytest.mark.parametrize("hold", ["interrupt", "setregs"])
@pytest.mark.parametrize("name", KINDS)
def test_killed(start, name, hold, tmp_path, capsys):
    target, steps, died, stood = KINDS[name](start), Steps(), collections.Counter(), 0
    before = target.v.snapshot()
    for i in range(4 * ROUNDS):
        if i >= ROUNDS and MUST <= set(died):
            break
        for op, was in sweep(target, steps, hold, tmp_path):
            died[op] += 1
            stood += was and op == "wait"
    with capsys.disabled():
        print(f"\n  {name}, signals from {hold} on: killed {sum(died.values())} times at {dict(died)}, {stood} with one")
    assert stood >= ROUNDS and MUST <= set(died), (stood, died)
    steps.close()
    target.v.unharmed(before, quiet=False)
    target.v.finish()
