# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl trim --remedy=collect: a Python in which a thread sleeps finds its garbage, or is left alone with a
reason. For those that never sleep see test_collect_busy.py.

Tried on this machine's own Python, and on those that RECLAIM_PYTHONS and RECLAIM_CHROOTS name
(see test_cpython_reader.py)."""

import os
import random
import re
import signal
import subprocess
import time

import pytest

import judge
from talking import Talking, collect, fixture
from test_cpython_reader import PAUSE, PYTHONS, read

SCRIPT = judge.TOP / "tests" / "victims" / "pycollect.py"
GARBAGE = 3000


class Littered(Talking):
    def __init__(self, python, mode, *options):
        super().__init__([*PYTHONS[python], *options, "-c", SCRIPT.read_text(encoding="utf-8"), mode])

    def settle(self):
        judge.wait_for("it to sleep", 20, lambda: judge.asleep(self.pid))
        return self

    def say(self):
        said = super().say()
        self.settle()
        return said


littered = fixture(Littered, "littered")


@pytest.mark.parametrize("mode", ["alone", "nogc", "threads", "working", "contended", "tampered", "fork"])
@pytest.mark.parametrize("python", PYTHONS)
def test_it_collects(littered, python, mode):
    v = littered(python, mode).settle()
    before = v.say()
    assert not before["full"] and (mode in ("working", "contended") or not before["finalized"])
    t = collect(v.pid)
    assert t.acted, t
    after = v.say()
    v.unharmed()
    if mode == "tampered":
        return  # gc can't even be imported in it: all that counts is that nobody noticed
    assert after["full"] == 1, after
    assert after["finalized"] >= GARBAGE and after["enabled"] == before["enabled"]
    assert after["names"] == before["names"] == []
    assert not v.stderr()
    if mode in ("alone", "nogc", "fork"):
        assert after["finalized"] == GARBAGE
        # garbage: instances, their dicts; and what the free lists held
        assert before["blocks"] - after["blocks"] > GARBAGE
    if mode == "nogc":
        assert "disabled" in t.doc["steps"][0]["detail"] and not after["enabled"]


@pytest.mark.parametrize("python", PYTHONS)
def test_tampered_is_silent(littered, python):
    """Names hidden, gc not importable: nothing is printed, nothing raised, and it goes on."""
    v = littered(python, "tampered").settle()
    assert collect(v.pid).rc == 0
    assert v.say()["full"] == 0
    assert not v.stderr()


@pytest.mark.parametrize("python", PYTHONS)
def test_destructors_that_raise(littered, python):
    """SystemExit and KeyboardInterrupt of a destructor end there, as they do in any collection."""
    v = littered(python, "raising").settle()
    t = collect(v.pid)
    assert t.acted, t
    assert v.say()["raised"] == GARBAGE
    assert "ignored" in v.stderr()


@pytest.mark.parametrize("python", PYTHONS)
def test_the_gil_is_held(littered, python):
    """The main thread sleeps in C with the GIL, the others wait for it: nobody may be used."""
    v = littered(python, "held").settle()
    time.sleep(0.2)  # the others arrive at the GIL
    for _ in range(3):
        t = collect(v.pid, "--timeout=1s")
        # whichever of its threads was looked at last
        assert t.outcome == "refused" and re.search("global lock|holds the GIL|locks it may hold", t.reason), t
    v.unharmed()
    os.kill(v.pid, signal.SIGSTOP)
    seen = read(v.pid)["threads"]
    os.kill(v.pid, signal.SIGCONT)
    assert sorted(why for why in seen if why) == ["it holds the GIL"] and len(seen) == 3, seen

    def woken():
        """A signal may be given to any of its threads; the main one is needed."""
        os.kill(v.pid, signal.SIGUSR1)
        time.sleep(0.01)
        return (judge.syscall_of(v.pid) or [PAUSE])[0] != PAUSE
    judge.wait_for("its main thread to leave pause()", 10, woken)
    v.settle()
    said = v.say()
    assert said["signals"] >= 1 and said["full"] == 0
    assert judge.wait_for("its threads to work", 5, lambda: v.say()["progress"].get("worker1", 0) >
                          said["progress"].get("worker1", 0))


@pytest.mark.parametrize("python", PYTHONS)
def test_the_gil_is_not_to_be_had(littered, python):
    """The call waits for it in a futex with a timeout, until its time is up. Who stops it there makes the kernel go on
    in restart_syscall(), for which this one's filter kills."""
    v = littered(python, "filtered")
    timeouts = 0
    for _ in range(12):
        t = collect(v.pid, "--timeout=700ms")
        assert v.proc.poll() is None, f"{t}: {v.stderr()}"
        timeouts += t.outcome == "timeout"
        judge.wait_for("its turn", 30, lambda n=v.say()["progress"].get("hog", 0): v.say()["progress"]["hog"] > n)
        if timeouts > 2:
            break
    assert timeouts > 2, t
    v.unharmed()


@pytest.mark.parametrize("python", PYTHONS)
def test_who_holds_the_gil(littered, python):
    """Asleep: all have released it. At work: exactly one has not, at any moment."""
    v = littered(python, "threads").settle()
    judge.wait_for("all of its threads to sleep", 5, lambda: read(v.pid)["threads"] == [""] * 5)
    v = littered(python, "contended").settle()
    for _ in range(10):
        os.kill(v.pid, signal.SIGSTOP)
        judge.wait_for("it to stop", 5, lambda: all(judge.state(v.pid, t) == "T" for t in judge.tids(v.pid)))
        seen = read(v.pid)["threads"]
        os.kill(v.pid, signal.SIGCONT)
        time.sleep(0.01)
        assert len(seen) == 3 and seen.count("it holds the GIL") <= 1, seen
        assert all(why in ("", "it holds the GIL", "who holds the GIL can't be told") for why in seen), seen
    assert v.say()["full"] == 0


def test_not_python(start):
    v = start("sleepers", "--case=nanosleep", "--ms=60000", asleep=True)
    t = collect(v.pid)
    assert t.outcome == "refused" and "no Python" in t.reason, t


def test_own_allocator_off(littered):
    """PYTHONMALLOC=malloc makes no difference to the collector."""
    v = littered("own", "alone", "-X", "dev").settle()
    assert collect(v.pid).acted
    assert v.say()["finalized"] == GARBAGE


def test_dry_run(littered):
    v = littered("own", "alone").settle()
    t = collect(v.pid, "--dry-run")
    assert t.rc == 0 and t.doc["steps"][0]["predicted"] is None
    assert v.say()["full"] == 0


def test_again_and_again(littered):
    """Four threads work, allocate and check; every collection is one, and none of them stumbles."""
    v = littered("own", "working")
    done = refused = 0
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        t = collect(v.pid, "--timeout=2s")
        assert t.outcome in ("reclaimed", "nothing", "refused"), t
        done += t.acted
        refused += t.outcome == "refused"
        os.kill(v.pid, signal.SIGUSR1)
    said = v.say()
    v.unharmed()
    assert done >= 5, (done, refused)
    # a collection is not begun while another one runs
    assert 0 < said["full"] <= done and said["signals"] > 0
    judge.wait_for("every thread to go on", 5, lambda: all(
        n > said["progress"][k] for k, n in v.say()["progress"].items()))


def test_killed_at_any_moment(littered):
    """All of ours killed somewhere in it: either nothing has happened, or it ends by itself."""
    v = littered("own", "working")
    rng = random.Random(4)
    for _ in range(40):
        p = subprocess.Popen([judge.CTL, "--json", "trim", "--remedy=collect", str(v.pid)], start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 0.03))
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        # That was reclaimctl; its worker was killed with it, and what it traced goes on when that one has died.
        judge.wait_for("it to be let go", 5, lambda: judge.state(v.pid) in "RS")
    v.settle()
    said = v.say()
    judge.wait_for("its masks to be as before", 5, lambda: all(
        int(judge.status(v.pid, t)["SigBlk"], 16) == 0 for t in judge.tids(v.pid)))
    judge.wait_for("every thread to go on", 5, lambda: all(
        n > said["progress"][k] for k, n in v.say()["progress"].items()))
