# SPDX-License-Identifier: GPL-2.0-or-later
"""The program's own signals while it is trimmed: those that stop it, and those that it forgets.
Handlers are in tests/torture/test_handlers.py."""

import os
import random
import threading
import time

import pytest

import judge


def child_events(pid):
    """What the parent sees: the stops and continues since last asked."""
    seen = []
    while r := os.waitid(os.P_PID, pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG):
        seen.append({os.CLD_STOPPED: "stopped", os.CLD_CONTINUED: "continued"}.get(r.si_code, r.si_code))
    return seen


@pytest.mark.parametrize("name, args", [("plain", []), ("regs", ["--mode=epoll", "--ms=5"])], ids=["sleeper", "epoll"])
def test_job_control(start, name, args):
    """SIGSTOP and SIGCONT at any moment of a trim: they do what they always do, the parent sees
    them, and nothing else."""
    v = start(name, *args)
    before, chance = v.snapshot(), random.Random(11)
    for i in range(40):
        trimmer = threading.Thread(target=judge.trim, args=(v.pid, "--timeout=300ms"))
        trimmer.start()
        time.sleep(chance.random() * 0.012)
        v.proc.send_signal(19)
        trimmer.join(20)
        judge.wait_for(f"the stop ({i})", 30, lambda: judge.state(v.pid) == "T")
        assert child_events(v.pid) == ["stopped"]
        v.proc.send_signal(18)
        judge.wait_for("it to run again", 30, lambda: judge.state(v.pid) in "SR")
        if name == "regs":
            v.moves_on()
        assert child_events(v.pid) == ["continued"]
        v.unharmed(before, quiet=False)
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
