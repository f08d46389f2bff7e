# SPDX-License-Identifier: GPL-2.0-or-later
"""Forged allocators and address spaces, in a process of nobody's, looked at and acted on by root.

What a look finds must never harm the target. An action may: whoever spoils its own heap may abort in
malloc_trim as it might in its next free(). But the worker ends in time and says what became of it."""

import time

import pytest

import judge
import workerproto
from hostile import LONG, NOBODY, SEED, Place, Verdict, act, let_go, look, nothing_left, readers

WILD = ["null", "unmapped", "odd", "highest", "noncanonical", "kernel", "last", "low"]
TIMES = 20 if LONG else 3

# name: arguments. Each is looked at and trimmed; --kib leaves enough for an action to be worth it.
HEAPS = {
    "a bin that goes round": ["--how=bin-cycle"],
    "a top as large as can be": ["--how=top-size"],
    "sizes of zero": ["--how=size-zero"],
    "sizes that wrap": ["--how=size-wraps"],
    "blocks that overlap": ["--how=overlap"],
    "100,000 arenas": ["--how=arena-many"],
    "arenas that go round": ["--how=arena-cycle"],
    "an arena larger than the address space": ["--how=system-mem"],
    "heaps that go round": ["--how=heap-cycle"],
    "caches that go round": ["--how=cache-cycle"],
    "millions of blocks": ["--how=millions"],
    "a block of 64 TiB": ["--how=huge-block"],
    "a bin into pages that never come": ["--how=bin-place", "--place=unresolved"],
    "a top in pages that never come": ["--how=top-place", "--place=unresolved"],
    "an arena in pages that never come": ["--how=arena-place", "--place=unresolved"],
    "a stack of pages that never come": ["--how=stack"],
}
SPACES = {
    "a heap that is scribbled over": ["--how=scribble"],
    "mappings that come and go": ["--how=remap"],
    "as many mappings as may be": ["--how=mappings"],
    "8,000 libraries": ["--how=modules"],
    "1 TiB, nearly all of it holes": ["--how=sparse"],
}
WILD_HOWS = ["bin-place", "top-place", "arena-place", "cache-place"]


@pytest.fixture
def forged(place, start):
    def go(*args):
        v = start(None, argv=[place.program("forge"), *args, f"--file={place.program('plain')}", f"--seed={SEED}"],
                  prefix=NOBODY)
        if "--how=scribble" not in args and "--how=remap" not in args:
            judge.wait_for("it to sleep", 30, lambda: judge.asleep(v.pid))
        return v
    yield go


def whole(v, before, quiet):
    """A look has changed nothing."""
    assert v.alive(), v.obituary()
    v.unharmed(before, quiet)


def try_it(name, forged, args, bystanders, capsys, quiet=True):
    verdict, before = Verdict(name, capsys), readers()
    v = forged(*args)
    as_it_was = v.snapshot() if quiet else None
    # The kernel's own account of so many mappings takes reclaimctl, not the worker, some seconds.
    look(verdict, v.pid, more=6 if "mappings" in args[0] else 0)
    if quiet:
        whole(v, as_it_was, quiet)
    assert v.alive()
    act(verdict, v.pid)
    if v.alive():
        let_go(v.pid)
        act(verdict, v.pid, "purge")
    verdict.say("alive" if v.alive() else f"died of {judge.died_of(v.proc)}")
    nothing_left(before)
    bystanders[0].moves_on()
    v.kill()
    verdict.show()


@pytest.mark.parametrize("name", HEAPS)
def test_heap(name, forged, bystanders, capsys):
    try_it(name, forged, HEAPS[name], bystanders, capsys)


@pytest.mark.parametrize("name", SPACES)
def test_space(name, forged, bystanders, capsys):
    try_it(name, forged, SPACES[name], bystanders, capsys, quiet=False)


@pytest.mark.parametrize("place", WILD if LONG else WILD[1:5:2])
@pytest.mark.parametrize("how", WILD_HOWS if LONG else WILD_HOWS[:3])
def test_wild(how, place, start, tmp_path_factory, bystanders, capsys):
    """Pointers to where nothing is, or nothing can be."""
    folder = Place(tmp_path_factory.getbasetemp())
    verdict, before = Verdict(f"{how}, {place}", capsys), readers()
    v = start(None, argv=[folder.program("forge"), f"--how={how}", f"--place={place}"], prefix=NOBODY)
    v.wait_asleep()
    as_it_was = v.snapshot()
    look(verdict, v.pid)
    whole(v, as_it_was, True)
    act(verdict, v.pid)
    verdict.say("alive" if v.alive() else f"died of {judge.died_of(v.proc)}")
    nothing_left(before)
    verdict.show()


@pytest.mark.parametrize("args", [["--how=scribble"], ["--how=remap"]], ids=["heap", "mappings"])
def test_read_while_it_changes(args, forged, bystanders, capsys):
    """Again and again, with another order of events each time."""
    verdict, before, v = Verdict(f"read while it changes, {args[0]}", capsys), readers(), forged(*args)
    codes = {}
    for _ in range(TIMES * 5):
        a = judge.ctl("--json", "explain", "--timeout=2s", v.pid)
        codes[a.rc] = codes.get(a.rc, 0) + 1
        assert a.rc in (0, 1, 3) and v.alive(), a
        assert a.rc or a.doc["pid"] == v.pid
    assert v.get("rounds") > 1000
    nothing_left(before)
    verdict.say(f"explain's exit statuses {codes}")
    verdict.show()


@pytest.mark.parametrize("args", [["--how=arena-many"], ["--how=millions"], ["--how=mappings"], ["--how=huge-block"],
                                  ["--how=stack"]], ids=lambda a: a[0][6:])
def test_worker_ends_by_its_deadline(args, forged, capsys):
    """The worker itself, without a client that would end it: deadline and a tenth."""
    v, took = forged(*args), []
    for us in (300000, 1000000, *((5000000,) if LONG else ())):
        for remedies in (workerproto.TRIM, 1 << 2):
            began = time.monotonic()
            with workerproto.Worker(workerproto.request(v.pid, remedies=remedies, timeout_us=us)) as w:
                w.result(30)
                w.wait(30)
            took.append((time.monotonic() - began, us / 1e6))
            let_go(v.pid)
            if not v.alive():
                break
    verdict = Verdict(f"worker's time, {args[0]}", capsys)
    verdict.say(f"{sum(t < 1.1 * allowed for t, allowed in took)} of {len(took)} within 1.1 of their deadline, "
                f"at most {max(t / allowed for t, allowed in took):.2f} of it")
    verdict.show()
    # A busy machine's share is a second, however long the deadline.
    assert all(t - 1.1 * allowed < 1 for t, allowed in took), took
