# SPDX-License-Identifier: GPL-2.0-or-later
"""The first of a million injections and of 20,000 kills (make million, million.py): that it works at all."""

import os
import time

import pytest

from hammering import CASES, KILLS, Drivers, Running, hammer, inject, kill

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
