# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker dies, or is stopped for a while, before and after each operation of a collection in a Python that
works without a pause (fault build). No exception may reach it, it goes on, and the next collection finds
whatever was left: what is not done, is queued, or is half written."""

import os
import sys

import pytest

import judge
from talking import collect, fixture
from test_fault import die_at
from test_purge_fault import Waker

sys.path.insert(0, str(judge.TOP / "tests" / "live"))
from test_collect_busy import GARBAGE, Busy  # noqa: E402

LIMIT = int(os.environ.get("RECLAIM_FAULT_LIMIT", 48))  # runs; a run has some 25 operations, more with each look
MUST = {"seize", "interrupt", "write", "setregs", "cont", "detach"}
TARGETS = [("kill", "alone"), ("kill", "threads"), ("kill-after", "nogc")]


busy = fixture(Busy, "busy")


def untouched(v, where):
    try:
        v.unharmed()
        v.moves_on()
        assert not v.stderr()
    except AssertionError as e:
        raise AssertionError(f"{where}: {e}") from None


def kill(v, when, k, killed, tmp_path):
    """True while operation @k is still reached."""
    env, log = die_at(when, k, tmp_path)
    had = v.say()["full"]
    t = judge.trim(v.pid, "--remedy=collect", "--timeout=5s", env=env)
    where = f"{when}:{k}, {t}"
    untouched(v, where)
    if t.outcome == "failed":
        assert t.rc == 1 and "signal 9" in t.reason, where
        name = log.read_text(encoding="ascii").split()[-1]
        killed[name] = killed.get(name, 0) + 1
        return True
    assert t.acted or t.outcome == "refused", where
    assert not t.acted or v.say()["full"] > had, where
    return False


@pytest.mark.parametrize(("when", "mode"), TARGETS)
def test_killed(busy, when, mode, tmp_path, capsys):
    victims, killed, k, runs = [], {}, 0, 0
    # No two runs are the same: from the beginning again until each kind of operation has been met. A new
    # process each time: the first run writes the object, later ones only take its mark away.
    while runs < LIMIT or (not MUST <= set(killed) and runs < 15 * LIMIT):
        if k == 0:
            victims.append(busy("own", mode))
        k, runs = k + 1, runs + 1
        if not kill(victims[-1], when, k, killed, tmp_path):
            k = 0
    with capsys.disabled():
        print(f"\n  collect in {mode}, {when}: killed {sum(killed.values())} times at {killed}")
    assert MUST <= set(killed), killed
    for v in victims:
        judge.wait_for("a collection", 20, lambda v=v: collect(v.pid).acted)
        assert v.say()["finalized"] == GARBAGE and not v.stderr()


@pytest.mark.parametrize("mode", ["threads"])
def test_paused(busy, mode):
    """For longer than anybody should have to wait: the thread that was stopped stands still meanwhile, no more."""
    v = busy("own", mode)
    with Waker({v.pid}) as waker:
        for k in range(1, 40, 3):
            t = judge.trim(v.pid, "--remedy=collect", "--timeout=5s", env={"RECLAIM_FAULT": f"pause:{k}"})
            assert t.acted or t.outcome in ("refused", "timeout"), f"pause:{k}, {t}"
            untouched(v, f"pause:{k}")
    assert waker.woken >= 7
    assert collect(v.pid).acted and v.say()["finalized"] == GARBAGE
