# SPDX-License-Identifier: GPL-2.0-or-later
"""The program's own signals while it is trimmed: each handled once, with the
effect on its system call that it has without us."""

import os
import random
import threading
import time

import pytest

import judge

SECONDS = 3


def signal_storm(v):
    """Sends the next signal only when the last was handled; returns how many."""
    end, sent, pace = time.monotonic() + SECONDS, 0, random.Random(7)
    while time.monotonic() < end:
        v.proc.send_signal(10)
        sent += 1
        judge.wait_for(f"handler run {sent}", 30, lambda n=sent: v.get("handler_runs") >= n)
        time.sleep(pace.random() * 0.003)
    return sent


def trim_until(v, stop, tally):
    while not stop.is_set():
        t = judge.trim(v.pid, "--timeout=1s")
        tally[t.outcome] = tally.get(t.outcome, 0) + 1


@pytest.mark.parametrize("mode", ["sigs-restart", "sigs-norestart"])
def test_handlers_run_once(start, mode, capsys):
    v = start("targets", f"--mode={mode}", asleep=True)
    before = v.snapshot()
    stop, tally = threading.Event(), {}
    trimmer = threading.Thread(target=trim_until, args=(v, stop, tally))
    trimmer.start()
    try:
        sent = signal_storm(v)
    finally:
        stop.set()
        trimmer.join(30)
    v.unharmed(before, quiet=False)
    assert v.get("handler_runs") == sent
    eintr = v.get("eintr")
    with capsys.disabled():
        print(f"\n  {mode}: {sent} signals, {eintr} EINTR, trims {tally}")
    assert sum(n for o, n in tally.items() if o in ("reclaimed", "nothing")) > 0, tally
    if mode == "sigs-restart":
        assert eintr == 0
    else:
        # One handled while we held the thread finds no system call to interrupt: the call is
        # begun again afterwards, as if the signal had come just before it. Never one too many;
        # how many, that depends on how long a busy machine makes the stops.
        assert eintr <= sent
        assert eintr >= sent * 0.5, f"{sent - eintr} of {sent} signals didn't interrupt the read"
    v.finish()


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
