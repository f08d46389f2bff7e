# SPDX-License-Identifier: GPL-2.0-or-later
"""The first of a million injections and of 20,000 kills (make million, million.py): that it works at all."""

import os
import sys
import time

import pytest

import judge
from hammering import CASES, HEAP, KILLS, PYTHON, SIGNALS, WORKERS, Drivers, Running, hammer, inject, kill, sleep
from workers import kill_workers

sys.path.insert(0, str(judge.TOP / "tests" / "live"))
from sleeping import CASES as SLEEPERS, UNKNOWN  # noqa: E402

SEED = int(os.environ.get("RECLAIM_TORTURE_SEED", int(time.time())))
SOME = [c for c in CASES if c.name in ("registers in user code", "idle beside three malloc threads that rest",
                                       "all threads in one arena")]
WORKERS_KILLED = [k for k in WORKERS if k.name == "registers in epoll_wait"]
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


@pytest.mark.parametrize("case", WORKERS_KILLED, ids=lambda c: c.name)
def test_some_kills_of_workers(case, capsys):
    doc = kill_workers(Drivers(), case, 10, SEED, 60000)
    with capsys.disabled():
        print(f"\n  hammer, workers killed, {case.name}: {doc}")
    assert doc["kills"] == 10


# What an injector does that nobody has killed: what must be said of it
WRONG = {"abort": "ended by itself: signal 6", "fail": "given up by itself: on purpose",
         "hang": "hangs since its reader was killed"}


@pytest.mark.parametrize("spoil", WRONG)
def test_injector_that_goes_wrong_is_noticed(spoil):
    case = KILLED[0]
    with Running(case.program, case.args) as r, pytest.raises(AssertionError, match=WRONG[spoil]):
        hammer(Drivers(), r.victim.pid, [*r.page, "--kills=1000", f"--seed={SEED}", f"--kill={case.kill}",
                                         f"--spoil={spoil}", "--end-ms=300"], 60)


# What somebody could leave behind in a program that is at work, and what is said of it. Taken from what was there before
LEFT = {
    "memory": (lambda b: setattr(b, "maps", [m for m in b.maps if m[3] != "[stack]"]), "new memory"),
    "thread": (lambda b: b.threads.popitem(), "new thread"),
    "descriptor": (lambda b: b.fds.remove("0"), "descriptors"),
}


@pytest.mark.parametrize("what", LEFT)
@pytest.mark.parametrize("program, args", [
    ("regs", ["--mode=read", "--ms=3"]), ("single", ["--sleep-us=300"]), ("heap3", ["--throttle-us=5000"]),
    ("purge_heap", HEAP)], ids=lambda p: p if isinstance(p, str) else "")
def test_what_was_not_there_is_noticed(program, args, what):
    take, said = LEFT[what]
    with Running(program, args) as r, pytest.raises(AssertionError, match=said):
        take(r.before)
        r.judge(patience=0.5)


def test_memory_is_noticed_where_mappings_come_and_go():
    """A thread's stack, where no place is compared: by the sum."""
    with Running("python", PYTHON) as r, pytest.raises(AssertionError, match="MiB more memory"):
        r.before.maps.remove(next(m for m in r.before.maps if m[2] == "rw-p" and not m[3] and m[1] - m[0] == 8 << 20))
        r.victim.may = r.victim.may._replace(memory=1)
        r.judge(patience=0.5)


def test_eintr_of_each_injection_is_noticed(monkeypatch):
    case = next(c for c in CASES if SIGNALS in c.args)
    monkeypatch.setattr(Running, "eintr", lambda self: 100)
    with pytest.raises(AssertionError, match="100 EINTR"):
        inject(Drivers(), case, 100, SEED, 20000)


def test_more_eintr_than_kills_are_noticed(monkeypatch):
    monkeypatch.setattr(Running, "eintr", lambda self: 100)
    with pytest.raises(AssertionError, match="100 EINTR"):
        kill(Drivers(), KILLED[0], 10, SEED, 20000)


def test_touched_where_nobody_may_be_is_noticed():
    """One sleep of each kind, taken for the other."""
    touched, refused = (next(c for c in SLEEPERS if c.name == name) for name in ("poll", "tee"))
    with pytest.raises(AssertionError, match="somebody is touched"):
        sleep(Drivers(), touched._replace(untouched=UNKNOWN), 600, SEED)
    with pytest.raises(AssertionError, match="three times"):
        sleep(Drivers(), refused._replace(untouched=None), 600, SEED)
