# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker dies, or is stopped for a while, before each single operation of a purge in turn (fault build).
The target must go on as if nothing had been: no damaged block, no stuck lock, no thread that stays behind.

Before the next operation is just after the last one: nothing of ours happens in between. RECLAIM_TORTURE=long
tries both all the same, and goes on to the end of the purge, where short goes through its first rounds."""

import itertools
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import judge
from test_fault import die_at, stop_showed

LONG = os.environ.get("RECLAIM_TORTURE") == "long"
# operations; a round has some 26, more while it waits
LIMIT = int(os.environ.get("RECLAIM_FAULT_LIMIT", 600 if LONG else 64))
# longer than the worker's guard allows while a thread is stopped, or holds a lock
PAUSE = float(os.environ.get("RECLAIM_FAULT_PAUSE", 1.0 if LONG else 0.3))
WHEN = ["kill", "kill-after"] if LONG else ["kill"]
PAUSED = ["pause", "pause-after"] if LONG else ["pause"]
TIMEOUT = "--timeout=3s"

TARGETS = {
    "one arena": ("heap", ["--threads=4", "--blocks=1500", "--arenas=1", "--throttle-us=20000"], []),
    "three arenas": ("heap", ["--threads=4", "--blocks=1500", "--arenas=3", "--throttle-us=20000"], []),
    "Python, normal": ("python", ["--spin=0", "--nap=2"], ["--depth=normal"]),
    "Python, deep": ("python", ["--spin=0", "--nap=2"], ["--depth=deep"]),
}
MAIN = ["three arenas", "Python, deep"]
MUST = {"seize", "interrupt", "wait", "getregs", "write", "setregs", "cont", "detach"}
NAMES = list(TARGETS) if LONG else MAIN


def begin(start, name):
    kind, args, options = TARGETS[name]
    if kind == "heap":
        v = start("purge_heap", *args)
    else:
        v = start(None, argv=[judge.PYTHON, judge.TOP / "tests/victims/purge_py.py", *args])
    v.moves_on()
    return v, ["--remedy=purge", TIMEOUT, *options]


def settled(v, before, where):
    """Nobody traces it, and all of its threads move on with the masks they had."""
    try:
        judge.wait_for("no tracer", 5, lambda: not v.alive() or not traced(v.pid))
        assert v.alive(), v.obituary()
        v.moves_on(rounds=1)
        v.unharmed(before, quiet=False)
    except AssertionError as e:
        raise AssertionError(f"{where}: {e}") from None


def traced(pid):
    return [t for t in judge.tids(pid) if judge.status(pid, t, "TracerPid") not in ("0", None)]


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("name", NAMES)
def test_killed(start, name, when, tmp_path, capsys):
    v, options = begin(start, name)
    before, killed, eintr_at, k, runs, done = v.snapshot(), {}, [], 0, 0, 0
    # No two runs are the same: on, from the beginning where they were too short, until each kind has been met.
    while runs < LIMIT or (not MUST <= set(killed) and runs < 4 * LIMIT):
        k, runs = k + 1, runs + 1
        had, (env, log) = v.get("eintr"), die_at(when, k, tmp_path)
        t = judge.trim(v.pid, *options, env=env)
        where = f"{when}:{k}, {t}"
        settled(v, before, where)
        if v.get("eintr") > had:
            eintr_at.append(k)
            assert stop_showed(log, when), f"EINTR at {where}: {log.read_text(encoding='ascii').split()}"
        if t.outcome == "failed":
            assert t.rc == 1 and "signal 9" in t.reason, where
            name_of = log.read_text(encoding="ascii").split()[-1]
            killed[name_of] = killed.get(name_of, 0) + 1
            done = 0
            continue
        assert t.outcome in ("reclaimed", "nothing", "refused", "timeout") and t.rc in (0, 1, 3), where
        done += 1
        if done == 5:
            k = done = 0
    with capsys.disabled():
        print(f"\n  purge of {name}, {when}: killed {sum(killed.values())} times at {killed}, EINTR at {eintr_at}")
    assert MUST <= set(killed), killed
    judge.wait_for("a purge", 20, lambda: judge.trim(v.pid, *options).acted)
    v.finish()


class Waker(threading.Thread):
    """Lets workers that have stopped themselves go on, after PAUSE."""

    def __init__(self, but):
        super().__init__(daemon=True)
        self.but, self.ended, self.since, self.woken = but, threading.Event(), {}, 0

    def children(self, pid):
        found = []
        for tid in judge.tids(pid):
            try:
                text = Path(f"/proc/{pid}/task/{tid}/children").read_text(encoding="ascii")
            except OSError:
                continue
            found += [int(c) for c in text.split()]
        return found + [g for c in found if c not in self.but for g in self.children(c)]

    def run(self):
        while not self.ended.wait(0.005):
            for pid in self.children(os.getpid()):
                if pid in self.but or judge.state(pid) != "T":
                    self.since.pop(pid, None)
                elif time.monotonic() - self.since.setdefault(pid, time.monotonic()) > PAUSE:
                    os.kill(pid, signal.SIGCONT)
                    self.woken += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        self.join()


def pause_some(v, options, when, turns):
    """Its share of the sweep; what came of it, by outcome, and how often the guard has ended a paused worker."""
    before, outcomes, guarded = v.snapshot(), {}, 0
    for k in turns:
        t = judge.trim(v.pid, *options, env={"RECLAIM_FAULT": f"{when}:{k}"})
        where = f"{when}:{k}, {t}"
        settled(v, before, where)
        outcomes[t.outcome] = outcomes.get(t.outcome, 0) + 1
        if t.outcome == "failed":
            # the guard: a paused worker that keeps a thread stopped is ended by the kernel
            assert t.rc == 1 and "signal 9" in t.reason, where
            guarded += 1
        else:
            assert t.outcome in ("reclaimed", "nothing", "refused", "timeout"), where
    return outcomes, guarded


@pytest.mark.parametrize("when", PAUSED)
@pytest.mark.parametrize("name", NAMES)
def test_paused(start, name, when, capsys):
    """Mostly waiting, so three victims share the sweep."""
    victims = [begin(start, name) for _ in range(3)]
    turns = itertools.count(1)
    most = 300 if LONG else 48

    def share():
        while True:
            k = next(turns)
            if k > most:
                return
            yield k
    with Waker({v.pid for v, _ in victims}) as waker, ThreadPoolExecutor(len(victims)) as pool:
        done = list(pool.map(lambda one: pause_some(*one, when, share()), victims))
    with capsys.disabled():
        print(f"\n  purge of {name}, {when} for {PAUSE} s: {waker.woken} woken, {sum(g for _, g in done)} ended by "
              f"their guard, {[o for o, _ in done]}")
    assert waker.woken + sum(g for _, g in done) >= 20, done
    for v, options in victims:
        judge.wait_for("a purge", 20, lambda v=v, options=options: judge.trim(v.pid, *options).acted)
        v.finish()
