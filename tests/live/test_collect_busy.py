# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl trim --remedy=collect of a Python that works without a pause: its main thread collects by itself,
through its queue of pending calls, and nothing else of it changes.

Tried on all Pythons of test_collect.py."""

import json
import os
import random
import re
import select
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import judge
from talking import Talking, collect, fixture
from test_cpython_reader import PYTHONS, read

SCRIPT = judge.TOP / "tests" / "victims" / "pybusy.py"
GARBAGE = 2000
MODES = ["alone", "nogc", "threads", "traced", "generator", "diving", "raising"]


class Busy(Talking):
    def __init__(self, python, mode, *options):
        super().__init__([*PYTHONS[python], *options, "-c", SCRIPT.read_text(encoding="utf-8"), mode])

    def say(self):
        said = super().say()
        assert not said["names"], said
        return said

    def moves_on(self):
        """Whatever counted before goes on counting."""
        before = self.say()

        def moved():
            now = self.say()
            return now["turns"] > before["turns"] and all(n > before["progress"][k] for k, n in
                                                          now["progress"].items() if k.startswith("spinner"))
        judge.wait_for("all of its threads to go on", 20, moved)


busy = fixture(Busy, "busy")


def collected(v):
    """A busy machine may look at the wrong moments for as long as it has; nothing else may keep it from that."""
    for _ in range(5):
        t = collect(v.pid)
        v.unharmed()
        if t.outcome != "refused" or "no safe point" not in t.reason:
            break
    return t


def minor(pid):
    return tuple(map(int, read(pid)["version"].split(".")[:2]))


def anonymous(pid):
    """Private memory of its own with no name, in the form of the lines of maps."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        return {line.split()[0] for line in f if len(line.split()) == 5 and " rw-p " in line}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("python", PYTHONS)
def test_it_collects(busy, python, mode):
    v = busy(python, mode)
    v.moves_on()
    old = mode == "nogc" and minor(v.pid) == (3, 8)
    before = anonymous(v.pid)
    for n in (1, 2):
        t = collected(v)
        if old:
            assert t.outcome == "refused" and "gc.collect() was not found" in t.reason, t
            return
        assert t.acted and "queued by thread" in t.doc["steps"][0]["detail"], t
        said = v.say()
        assert said["full"] == n, said
        # once, and no more: an object is not finalized twice
        assert said["finalized"] == (0 if mode == "diving" else GARBAGE), said
        assert said["enabled"] == (mode != "nogc")
    v.moves_on()
    if mode == "alone":
        assert len(anonymous(v.pid) - before) <= 1  # an arena of its own, perhaps; nothing of ours
    if mode == "raising":
        assert v.stderr().count("KeyboardInterrupt: of a destructor") == GARBAGE
    else:
        assert not v.stderr()


@pytest.mark.parametrize("mode", ["sorting", "matching"])
@pytest.mark.parametrize("python", PYTHONS)
def test_long_in_c(busy, python, mode):
    """No moment at which it could collect comes for long: it is queued, said to be, and queued only once."""
    v = busy(python, mode)
    waited = 0
    for i in range(40):
        had = v.say()["full"]
        # long enough to queue it, and not so long that it comes back to Python meanwhile: that depends on the machine
        t = collect(v.pid, f"--timeout={50 * 1.25 ** (i % 13):.0f}ms")
        v.unharmed()
        assert t.outcome in ("timeout", "nothing", "reclaimed", "refused"), t
        if t.outcome == "refused":
            assert v.say()["full"] == had
        elif t.outcome != "timeout":
            assert v.say()["full"] == had + 1
        elif "queued" in t.reason:
            waited += 1
            again = collect(v.pid)
            assert again.acted or again.outcome == "refused", again
            judge.wait_for("what was queued to be done", 20, lambda had=had: v.say()["full"] > had)
            # one for both; two when the first was done before the second was asked for
            assert had + 1 <= v.say()["full"] <= had + 2
        if waited:
            break
    assert waited, "it was never found in C for long"
    assert v.say()["finalized"] == GARBAGE and not v.stderr()


@pytest.mark.parametrize("python", PYTHONS)
def test_interrupts_arrive(busy, python):
    """Each KeyboardInterrupt reaches the program itself, whatever it was doing for us."""
    v = busy(python, "interrupted")
    assert v.line() == b"armed\n"
    sent, acted, full = 0, 0, 0
    with ThreadPoolExecutor(1) as pool:
        for _ in range(10):
            running = pool.submit(collect, v.pid)
            while not running.done():
                os.kill(v.pid, signal.SIGINT)
                sent += 1
                ready, _, _ = select.select([v.proc.stdout], [], [], 20)
                assert ready, f"interrupt {sent} was lost"
                word, count, full = v.line().split()
                assert word == b"caught" and int(count) == sent
            t = running.result()
            assert t.outcome in ("nothing", "reclaimed", "refused"), t
            acted += t.acted
    v.unharmed()
    assert acted and int(full) >= acted - 1 and not v.stderr()


@pytest.mark.parametrize("python", PYTHONS)
def test_several_at_once(busy, python):
    v = busy(python, "threads")
    acted = 0
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for t in pool.map(lambda _: collect(v.pid), range(4)):
                assert t.acted or t.outcome == "refused", t
                acted += t.acted
    v.unharmed()
    v.moves_on()
    assert acted >= 5 and v.say()["full"] >= 1 and v.say()["finalized"] == GARBAGE and not v.stderr()


@pytest.mark.parametrize("python", PYTHONS)
def test_full(busy, python):
    """It has 32 calls of its own waiting: there is no room, and that is said."""
    for _ in range(5):
        v = busy(python, "full")
        judge.wait_for("its queue to be full", 10, lambda v=v: v.say()["progress"].get("filled"))
        t = collect(v.pid, "--timeout=3s")
        v.unharmed()
        # On a busy machine it may be done with them by then.
        if not t.acted:
            break
    # the stack of a callback of ctypes can't be followed everywhere
    assert t.outcome == "refused" and re.search("is full|no safe point", t.reason), t
    judge.wait_for("it to be done with them", 60, lambda: v.say()["progress"].get("enough"))
    assert v.say()["full"] == 0
    t = collected(v)
    assert t.acted and v.say()["full"] == 1, t


def queued(v):
    """In C, and a collection waits for the end of that."""
    told = []
    for _ in range(100):  # a busy machine needs as long to read its files
        t = collect(v.pid, "--timeout=200ms")
        if t.outcome == "timeout" and "queued" in t.reason:
            return
        told.append(f"{t.outcome}: {t.reason}")
    raise AssertionError(f"it was never found in C: {told}")


@pytest.mark.parametrize("python", PYTHONS)
def test_fork_meanwhile(busy, python):
    """A child has the queue as well: both collect."""
    v = busy(python, "sorting")
    for _ in range(10):
        had = v.say()["full"]
        queued(v)
        os.kill(v.pid, signal.SIGUSR2)
        child = json.loads(v.line())
        assert child["progress"].get("child") and not child["errors"], child
        judge.wait_for("the collection", 20, lambda had=had: v.say()["full"] > had)
        if child["full"] > had:
            break
    assert not v.stderr()
    v.unharmed()


@pytest.mark.parametrize("python", PYTHONS)
def test_exec_meanwhile(busy, python):
    v = busy(python, "sorting")
    with ThreadPoolExecutor(1) as pool:
        queued(v)
        running = pool.submit(collect, v.pid)
        os.kill(v.pid, signal.SIGUSR1)
        assert v.line() == b"executed\n"
        t = running.result()
    # of the new program, when it was looked at late
    assert t.outcome in ("gone", "failed", "refused", "nothing", "reclaimed"), t
    assert not v.stderr()
    judge.wait_for("the new program to work", 10, lambda: judge.state(v.pid) == "R")


@pytest.mark.parametrize("python", PYTHONS)
def test_end_meanwhile(busy, python):
    v = busy(python, "sorting")
    with ThreadPoolExecutor(1) as pool:
        queued(v)
        running = pool.submit(collect, v.pid)
        time.sleep(0.15)
        os.kill(v.pid, signal.SIGKILL)
        t = running.result()
    assert t.rc and t.outcome in ("gone", "failed", "refused") or t.acted, t


@pytest.mark.parametrize("mode", ["alone", "nogc", "threads"])
@pytest.mark.parametrize("python", PYTHONS)
def test_killed_at_any_moment(busy, python, mode):
    """All of ours killed somewhere in it: it goes on, and the next collection finds what was left."""
    v = busy(python, mode)
    rng = random.Random(5)
    for _ in range(25):
        p = subprocess.Popen([judge.CTL, "--json", "trim", "--remedy=collect", str(v.pid)], start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.05, 0.17))
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        v.unharmed()
    v.moves_on()
    had = v.say()["full"]
    if mode == "nogc" and minor(v.pid) == (3, 8):
        assert collect(v.pid).outcome == "refused"
        return
    judge.wait_for("a collection", 20, lambda: collect(v.pid).acted)
    assert v.say()["full"] > had and v.say()["finalized"] == GARBAGE
    assert not v.stderr()


def test_dry_run_writes_nothing(busy):
    v = busy("own", "alone")
    assert collect(v.pid, "--dry-run").rc == 0 and v.say()["full"] == 0
