# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon among hostile processes: who hangs, lies or storms is given up in time, everybody else is served."""

import sys
import time
from pathlib import Path

import pytest

import judge
from hostile import LIVES, LONG, NOBODY, SPINS, Fuse, Verdict, Whole, let_go, own_trim, readers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "live"))
from daemon import Daemon  # noqa: E402

TURNS = 4  # daemon/inspect/target.c
COUNT = "--count=100000"
LARGE = "--kib=49152"
# Of these malloc_trim(0) may be the death, without us too; nothing is wrong with the others.
FORGED = ["--how=arena-many", "--how=bin-cycle", "--how=scribble"]
LIES = [*FORGED, "--how=millions", "--how=remap", "--how=mappings"]
CHANGES, MANY = ["--how=scribble", "--how=remap"], ["--how=remap", "--how=mappings"]


@pytest.fixture
def daemon(place, tmp_path_factory):
    top = place.dir / f"daemon{time.monotonic_ns()}"
    top.mkdir(mode=0o755)
    d = Daemon(top)
    d.bin.chmod(0o755)
    d.configure(interval="1s", idle="0", cooldown="2s", more=f"IdleCPU=100%\nTimeoutSec=1s\nExe={d.bin}/*")
    yield d
    d.kill()
    if d.log.exists():
        d.show()


@pytest.fixture
def bloats(daemon):
    running = []

    def go(n):
        for i in range(n):
            v = judge.Bloat([daemon.program(f"good{i}"), COUNT])
            running.append(v)
            v.wait_ready()
        return running
    yield go
    for v in running:
        v.kill()


def asked(daemon):
    """How long the daemon takes to answer a question."""
    began = time.monotonic()
    a = judge.ctl("--json", "status", env={"RECLAIM_BUS": f"{daemon.dir}/bus", "RECLAIM_STATE_DIR": str(daemon.state)})
    assert a.rc == 0, a
    return time.monotonic() - began


def done(daemon, pid):
    return sum(r.reason == "reclaimed" for r in daemon.records("action", pid))


def served(daemon, good, rounds, slowest):
    """Each good one is acted on once more, @rounds times, while the daemon answers."""
    for n in range(1, rounds + 1):
        for v in good:
            daemon.wait(f"action {n} on a good one", lambda v=v, n=n: done(daemon, v.pid) >= n, timeout=40)
            slowest[0] = max(slowest[0], asked(daemon))
            v.command("again")


def test_hung_target(daemon, bloats, place, capsys):
    """A file system under a library of one process hangs for good."""
    verdict, before, slowest = Verdict("daemon, a target hangs", capsys), readers(), [0.0]
    good = bloats(2)
    with Fuse(place, place.program("plain"), daemon.program("hung", judge.VICTIMS / "forge"), "--how=modules",
              "--count=2", "--file={}", LARGE, flags=["--other"]) as f:
        judge.wait_for("it to sleep", 30, lambda: (judge.syscall_of(f.pid) or "?")[0] == 0)
        assert f.tell("hang", "all") == "ok"
        daemon.start()
        daemon.wait("a look at it", lambda: daemon.records("look", f.pid), timeout=40)
        served(daemon, good, 4 if LONG else 2, slowest)
        stuck = [p for p, s in readers().items() if s == "D" and p not in before]
        assert stuck and len(stuck) <= TURNS, stuck
        looks = len(daemon.records("look", f.pid))
        assert not daemon.records("action", f.pid)
        assert daemon.stop() == 0
    judge.wait_for("readers to end", 10, lambda: not set(readers()) - set(before))
    for v in good:
        assert v.command("verify")["bad"] == 0
        v.finish()
    verdict.said = [f"{looks} looks at it, {len(stuck)} readers hang, the daemon answered after {slowest[0]:.2f} s at most"]
    verdict.show()
    assert slowest[0] < 2


def liar(program, how, place):
    v = judge.Victim([program, how, LARGE, f"--file={place.program('plain')}"], prefix=NOBODY).wait_ready()
    return v if how in CHANGES else v.wait_asleep()


def own_fate(how, place):
    """What its own malloc_trim(0) does to it."""
    if how not in FORGED:
        return LIVES
    with liar(place.program("forge"), how, place) as twin:
        return own_trim(twin, 20 if how in CHANGES else 1)


def harmed_by_nobody_else(v, how, whole, own):
    """As it was, or as malloc_trim(0) leaves it anyhow."""
    if own == LIVES:
        whole.check()
        v.finish()
        return
    assert own != SPINS or v.alive(), f"{how}: {v.obituary()}"
    let_go(v.pid)


def test_liars(daemon, bloats, place, capsys):
    """Six processes with forged heaps and address spaces, of nobody's, beside two good ones."""
    verdict, before, slowest = Verdict("daemon, among liars", capsys), readers(), [0.0]
    own = {how: own_fate(how, place) for how in LIES}
    good = bloats(2)
    liars = {}
    try:
        for i, how in enumerate(LIES):
            liars[how] = liar(daemon.program(f"liar{i}", judge.VICTIMS / "forge"), how, place)
        whole = {how: Whole(v, how not in CHANGES, how not in MANY) for how, v in liars.items()}
        daemon.start()
        served(daemon, good, 4 if LONG else 2, slowest)
        for v in liars.values():
            daemon.wait("a look at each", lambda v=v: daemon.records(pid=v.pid), timeout=40)
        assert daemon.stop() == 0
        judge.wait_for("workers to end", 10, lambda: not set(readers()) - set(before))
        for how, v in liars.items():
            harmed_by_nobody_else(v, how, whole[how], own[how])
    finally:
        for v in liars.values():
            v.kill()
    for v in good:
        assert v.command("verify")["bad"] == 0
        v.finish()
    reasons = {how[6:]: sorted({r.reason for r in daemon.records(pid=v.pid) if r.kind in ("look", "action")})
               for how, v in liars.items()}
    verdict.said = [f"{reasons}, the daemon answered after {slowest[0]:.2f} s at most"]
    verdict.show()
    assert slowest[0] < 2
