# SPDX-License-Identifier: GPL-2.0-or-later
"""cold and pageout: what the kernel is asked to do from outside. The target is never stopped, its memory is what it
was, and nothing is done to memory of which nobody knows that it is idle."""

import os
import re
import shutil
import signal
import time

import pytest

import judge
import workerproto as w
from advised import HUGE, Advised, counter, memory, mib

MIB = 1 << 20
NO_SWAP = memory("SwapTotal") == 0


def deactivated(r):
    """MiB, of a cold that was done."""
    # A page more or less is the kernel's own doing.
    assert r.outcome in (w.NOTHING, w.RECLAIMED) and r.nsteps == 1 and r.steps[0].remedy == w.COLD, r
    assert r.steps[0].has_predicted and r.steps[0].predicted == 0 and r.steps[0].stopped_us == 0, r
    return mib(re.match(r"(\S+) deactivated; \d+ calls, the longest took ", r.steps[0].detail).group(1))


@pytest.mark.parametrize("how", [[], ["huge"]], ids=["small pages", "huge pages"])
def test_cold(how):
    with Advised(64 * MIB, *how) as v:
        before = counter("pgdeactivate"), judge.rss(v.pid)
        r = v.cold()
        v.untouched()
        assert deactivated(r) == 64 and abs(r.freed) < MIB and r.steps[0].swapped == 0, r
        # Without the multi-generational LRU the kernel counts them.
        if counter("pgdeactivate") > before[0]:
            assert counter("pgdeactivate") - before[0] >= 64 * MIB // 4096
        assert abs(judge.rss(v.pid) - before[1]) < MIB
        v.intact()


def test_cold_only_there():
    """What isn't said to be idle isn't touched, and neither is a part of a huge page."""
    with Advised(64 * MIB) as v:
        lo, hi = v.range()
        r = v.cold(ranges=[(lo + 4096, lo + 8 * HUGE - 4096), (hi - 5 * HUGE, hi - 4 * HUGE)])
        assert deactivated(r) == 14, r
        r = v.cold(ranges=[(lo - 4096 * MIB, lo - 2048 * MIB)])
        assert r.outcome == w.REFUSED and "idle for long enough" in r.reason, r
        r = v.cold(ranges=[])
        assert r.outcome == w.REFUSED and "none of its memory has been idle" in r.reason, r
        r = v.cold(max_bytes=8 * MIB)
        assert 8 <= deactivated(r) <= 32 and "as much as may be moved" in r.steps[0].detail, r
        v.untouched()
        v.intact()


def test_cold_splits():
    """Huge pages that have lost a part, by the program itself: RSS doesn't show it, but what they had lost is free."""
    gains = []
    # Others allocate and free meanwhile.
    while not gains or (max(gains) < 150 * MIB and len(gains) < 5):
        with Advised(256 * MIB, "torn") as v:
            before = counter("thp_split_page"), memory("MemFree")
            r = v.cold()
            v.untouched()
            gains.append(memory("MemFree") - before[1])
            if counter("thp_fault_alloc") == 0:
                pytest.skip("huge pages are off")
            assert 0.4 < deactivated(r) <= 1 and abs(r.freed) < MIB, r
            assert counter("thp_split_page") - before[0] >= 100
            v.intact()
    assert max(gains) > 150 * MIB, gains


@pytest.mark.parametrize("how, words", [("locked", "64.0MiB is locked into memory"),
                                        ("shared", "64.0MiB is shared with other processes")])
def test_nothing_to_move(how, words):
    with Advised(64 * MIB, how) as v:
        r = v.cold()
        assert r.outcome == w.REFUSED and not r.nsteps and words in r.reason, r
        v.intact()


def test_needs_proof():
    with Advised(4 * MIB) as v:
        r = v.ask(w.COLD)
        assert r.outcome == w.REFUSED and "nobody can tell for how long" in r.reason, r
        r = v.cold(idle_us=0)
        assert r.outcome == w.REFUSED and "nobody can tell for how long" in r.reason, r
        r = v.ask(w.COLD, idle=w.QUIET, idle_us=60000000, cpu_ticks=v.ticks())
        assert r.outcome == w.REFUSED and "only the kernel module" in r.reason, r
        v.untouched()
        v.intact()


@pytest.mark.skipif(not NO_SWAP, reason="there is swap")
def test_pageout_without_swap():
    with Advised(4 * MIB) as v:
        for how in ({}, {"idle": w.AGES, "ranges": [v.range()], "idle_us": 1},
                    {"idle": w.QUIET, "idle_us": 1, "cpu_ticks": v.ticks()}):
            r = v.ask(w.PAGEOUT, **how)
            assert r.outcome == w.REFUSED and r.reason == "there is no swap that its memory could be moved to", r
        a = judge.ctl("--json", "trim", v.pid, "--remedy=pageout", "--idle=10ms")
        assert a.rc == 3 and "no swap" in a.doc[0]["reason"], a
        rows = {r["remedy"]: r for r in judge.ctl("--json", "explain", v.pid).doc["remedies"]}
        assert not rows["pageout"]["possible"] and "no swap" in rows["pageout"]["reason"]
        assert rows["cold"]["possible"] and rows["cold"]["predicted"] == 0
        v.untouched()
        v.intact()


def test_both_are_refused_in_order():
    """Among others: what was done before stays done, and the reason is the last one's."""
    with Advised(4 * MIB) as v:
        r = v.ask(w.TRIM | w.COLD, idle=w.QUIET, idle_us=1, cpu_ticks=v.ticks())
        assert r.outcome == w.REFUSED and [s.remedy for s in r.steps] == [w.TRIM] and "module" in r.reason, r
        v.intact()


def test_stopped_target():
    """Nobody has to run for it."""
    with Advised(16 * MIB) as v:
        os.kill(v.pid, signal.SIGSTOP)
        judge.wait_for("it to stop", 5, lambda: judge.state(v.pid) == "T")
        assert deactivated(v.cold()) == 16
        assert judge.state(v.pid) == "T"
        os.kill(v.pid, signal.SIGCONT)
        v.intact()


def test_exited_target():
    with Advised(4 * MIB) as v:
        start = {"start_time": 1}
        assert v.cold(**start).outcome == w.GONE
        v.proc.kill()
        judge.wait_for("its end", 5, lambda: judge.state(v.pid) == "Z")
        r = v.cold()
        assert r.outcome == w.REFUSED and "zombie" in r.reason, r


@pytest.mark.skipif(os.geteuid() != 0, reason="changes users")
def test_not_permitted(tmp_path):
    """Another's page tables are nobody else's business, and even one's own need CAP_SYS_NICE from here."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    for program in (judge.CTL, judge.WORKER):
        shutil.copy(program, tmp_path)
    with Advised(4 * MIB) as v:
        a = judge.ctl("--json", "trim", v.pid, "--remedy=pageout", "--idle=10ms", program=tmp_path / judge.CTL.name,
                      prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        assert a.rc == 4, a
        v.untouched()


def test_no_cpu_is_a_proof_only_while_it_holds():
    """By hand it is watched first. One that has used the CPU since is left alone."""
    with Advised(4 * MIB, "busy") as v:
        ticks = v.ticks()
        v.intact()
        judge.wait_for("it to have used the CPU", 10, lambda: v.ticks() > ticks or v.intact())
        r = v.ask(w.PAGEOUT, idle=w.QUIET, idle_us=60000000, cpu_ticks=ticks)
        assert r.outcome == w.REFUSED and ("woken up" in r.reason or NO_SWAP), r
        began = time.monotonic()
        a = judge.ctl("--json", "trim", v.pid, "--remedy=cold", "--idle=700ms")
        assert 0.7 <= time.monotonic() - began < 5
        assert a.rc == 3 and (os.path.exists("/sys/kernel/reclaim") or "module" in a.doc[0]["reason"]), a
