# SPDX-License-Identifier: GPL-2.0-or-later
"""The first of a million injections and of 20,000 kills (make million, million.py): that it works at all."""

import os
import sys
import time

import pytest

import judge
from hammering import CASES, KILLS, Drivers, Running, hammer, inject, kill, sleep

sys.path.insert(0, str(judge.TOP / "tests" / "live"))
from sleeping import CASES as SLEEPERS, UNKNOWN  # noqa: E402

SEED = int(os.environ.get("RECLAIM_TORTURE_SEED", int(time.time())))
SOME = [c for c in CASES if c.name in ("registers in user code", "idle beside three malloc threads that rest",
                                       "all threads in one arena")]
KILLED = [k for k in KILLS if k.name == "registers in epoll_wait"]


@pytest.mark.parametrize("case", SOME, ids=lambda c: c.name)
def test_some(case, capsys):
    doc = inject(Drivers(), case, 400, SEED, 20000)
    with capsys.disabled():
        print(f"\n  hammer, {case.name}: {doc}")
    # a busy machine may starve it
    assert doc["calls"] >= 100


@pytest.mark.parametrize("case", KILLED, ids=lambda c: c.name)
def test_some_kills(case, capsys):
    doc = kill(Drivers(), case, 40, SEED, 20000)
    with capsys.disabled():
        print(f"\n  hammer, kills, {case.name}: {doc}")
    assert doc["kills"] >= 10 and doc["kills_at_work"] >= 5


# What an injector does that nobody has killed: what must be said of it
WRONG = {"abort": "ended by itself: signal 6", "fail": "given up by itself: on purpose",
         "hang": "hangs since its reader was killed"}


@pytest.mark.parametrize("spoil", WRONG)
def test_injector_that_goes_wrong_is_noticed(spoil):
    case = KILLED[0]
    with Running(case.program, case.args) as r, pytest.raises(AssertionError, match=WRONG[spoil]):
        hammer(Drivers(), r.victim.pid, [*r.page, "--kills=1000", f"--seed={SEED}", f"--kill={case.kill}",
                                         f"--spoil={spoil}", "--end-ms=300"], 60)


@pytest.mark.parametrize("program, args", [("regs", ["--mode=read", "--ms=3"]), ("single", ["--sleep-us=300"])])
def test_memory_that_was_not_there_is_noticed(program, args):
    with Running(program, args) as r, pytest.raises(AssertionError, match="new memory|mappings"):
        r.before.maps = [m for m in r.before.maps if m[3] != "[stack]"]
        r.judge()


def test_touched_where_nobody_may_be_is_noticed():
    """One sleep of each kind, taken for the other."""
    touched, refused = (next(c for c in SLEEPERS if c.name == name) for name in ("poll", "tee"))
    with pytest.raises(AssertionError, match="somebody is touched"):
        sleep(Drivers(), touched._replace(untouched=UNKNOWN), 600, SEED)
    with pytest.raises(AssertionError, match="three times"):
        sleep(Drivers(), refused._replace(untouched=None), 600, SEED)
