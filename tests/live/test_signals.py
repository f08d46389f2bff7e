# SPDX-License-Identifier: GPL-2.0-or-later
"""The program's own signals while it is trimmed: those that stop it, and those that it forgets.
Handlers are in tests/torture/test_handlers.py."""

import collections
import os
import random
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import judge


def child_events(pid):
    """What the parent sees: the stops and continues since last asked."""
    seen = []
    while r := os.waitid(os.P_PID, pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG):
        seen.append({os.CLD_STOPPED: "stopped", os.CLD_CONTINUED: "continued"}.get(r.si_code, r.si_code))
    return seen


# What a stop makes of a trim: before the look at it, of its thread, in the call
STOPPED = ("it is stopped (state T): continue it first", "it is stopped by a signal",
           "it was stopped by a signal meanwhile; malloc_trim ends when it is continued")
# Of a busy machine: that proves nothing, and does no harm
LATE = re.compile(r"no safe point in time|.*: the machine is too busy$|malloc_trim had not returned in time")


def came_to(t):
    if t.acted:
        return "acted"
    if t.reason in STOPPED:
        assert t.outcome == ("timeout" if t.reason == STOPPED[2] else "refused"), t
        return "stopped"
    assert t.outcome in ("refused", "timeout") and LATE.match(t.reason), t
    return "late"


def stop_and_go(v, pool, wait):
    """A trim, with a stop that comes after so long and lasts until that is over."""
    trim = pool.submit(judge.trim, v.pid, "--timeout=300ms")
    time.sleep(wait)
    v.proc.send_signal(signal.SIGSTOP)
    t = trim.result(20)
    judge.wait_for(f"the stop ({t})", 30, lambda: judge.state(v.pid) == "T")
    assert child_events(v.pid) == ["stopped"], t
    v.proc.send_signal(signal.SIGCONT)
    judge.wait_for(f"it to run again ({t})", 30, lambda: judge.state(v.pid) in "SR")
    return came_to(t)


@pytest.mark.parametrize("name, args", [("plain", []), ("regs", ["--mode=epoll", "--ms=5"])], ids=["sleeper", "epoll"])
def test_job_control(start, name, args):
    """SIGSTOP and SIGCONT at any moment of a trim: they do what they always do, the parent sees
    them, and nothing else. Some stops come too late for the trim, and some do not."""
    v = start(name, *args)
    before, chance, seen = v.snapshot(), random.Random(11), collections.Counter()
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        assert judge.trim(v.pid, "--timeout=5s").acted
        takes = time.monotonic() - began
        for i in range(400):
            if i >= 40 and seen["acted"] >= 5 and seen["stopped"] >= 5:
                break
            seen[stop_and_go(v, pool, chance.random() * 2 * takes)] += 1
            if name == "regs":
                v.moves_on()
            assert child_events(v.pid) == ["continued"], i
            v.unharmed(before, quiet=False)
    assert seen["acted"] >= 5 and seen["stopped"] >= 5, seen
    # regs may count one EINTR: epoll_wait itself returns it after a real stop and continue
    v.finish()


@pytest.mark.parametrize("mode", ["epoll", "cond"])
def test_signals_reset_meanwhile(start, mode):
    """The signal by which a chain reports its end can be thrown away by the target. Then the thread
    is back without our knowing: whatever it does by then, it must not be put where it was before."""
    v = start("forgets", f"--mode={mode}")
    outcomes = [judge.trim(v.pid, "--remedy=trim", "--timeout=2s").outcome for _ in range(10)]
    assert v.get("eintr") == 0, v.note
    if mode == "cond":
        v.moves_on(rounds=20)
    assert set(outcomes) <= {"reclaimed", "nothing"}, outcomes
    v.finish()


@pytest.mark.parametrize("args, happens", [([], True), (["--apart"], False)])
def test_eintr_without_us(start, args, happens):
    """What safety.rst says of its second window: the kernel itself returns EINTR in a thread that has run no handler,
    when another one takes the signal for which that one was woken; never where only one of them may take it."""
    v = start("stolen", *args)
    assert v.proc.wait(30) == 0, v.note
    assert (v.get("result") > 0) is happens
    assert not v.get("eintr") or happens
