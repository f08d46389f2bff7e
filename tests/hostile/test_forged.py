# SPDX-License-Identifier: GPL-2.0-or-later
"""Forged allocators and address spaces, in a process of nobody's, looked at and acted on by root.

What a look finds must never harm the target, nor a purge. A trim may: whoever spoils its own heap may abort in
malloc_trim. But only who does so too when it calls that itself; and the worker ends in time and says what became of it."""

import time

import pytest

import judge
import workerproto
from hostile import (LIVES, LONG, NOBODY, SEED, Place, Verdict, Whole, act, let_go, look, nothing_left, own_trim,
                     purge, readers, trim)

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
# Root's userfaultfd also catches what the kernel itself touches: ours, when it reads for us.
HEAPS |= {f"{name}, root's": args for name, args in HEAPS.items() if "never come" in name}
SPACES = {
    "a heap that is scribbled over": ["--how=scribble"],
    "mappings that come and go": ["--how=remap"],
    "as many mappings as may be": ["--how=mappings"],
    "8,000 libraries": ["--how=modules"],
    "1 TiB, nearly all of it holes": ["--how=sparse"],
}
# Nothing is wrong with these: they may not die, and their own malloc_trim() isn't even asked.
SOUND = ["millions of blocks", *[n for n in HEAPS if n.startswith("a stack of")], *list(SPACES)[1:]]
CHANGES = ["--how=scribble", "--how=remap"]
MANY = ["--how=remap", "--how=mappings", "--how=modules"]  # that change by themselves, or take minutes to compare
WILD_HOWS = ["bin-place", "top-place", "arena-place", "cache-place"]


@pytest.fixture
def forged(place, start):
    def go(*args, prefix=NOBODY):
        v = start(None, argv=[place.program("forge"), *args, f"--file={place.program('plain')}", f"--seed={SEED}"],
                  prefix=prefix)
        # As many as a process may have, unless this machine lets it have a million.
        assert args[0] != "--how=mappings" or v.get("result") > 65000, v.get("result")
        if args[0] not in CHANGES:
            judge.wait_for("it to sleep", 30, lambda: judge.asleep(v.pid))
        return v
    yield go


def try_it(name, victim, bystanders, capsys, own=None, quiet=True, maps=True, more=0):
    """@own: what its own malloc_trim(0) may do to it, None: see. @more: seconds that a look may take longer."""
    verdict, before = Verdict(name, capsys), readers()
    if not own:
        twin = victim()
        # What changes by itself may be lucky once.
        own = own_trim(twin, 1 if quiet else 20)
        twin.kill()
    v = victim()
    whole = Whole(v, quiet, maps)
    look(verdict, v.pid, more=more)
    whole.seen()
    purge(verdict, v, whole.check)
    trim(verdict, v, whole, own)
    nothing_left(before)
    bystanders[0].moves_on()
    v.kill()
    verdict.show()


@pytest.mark.parametrize("name", HEAPS)
def test_heap(name, forged, bystanders, capsys):
    prefix = [] if name.endswith("root's") else NOBODY
    try_it(name, lambda: forged(*HEAPS[name], prefix=prefix), bystanders, capsys, LIVES if name in SOUND else None)


@pytest.mark.parametrize("name", SPACES)
def test_space(name, forged, bystanders, capsys):
    how = SPACES[name][0]
    # The kernel's own account of so many mappings takes reclaimctl, not the worker, some seconds.
    try_it(name, lambda: forged(how), bystanders, capsys, LIVES if name in SOUND else None,
           quiet=how not in CHANGES, maps=how not in MANY, more=6 if how == "--how=mappings" else 0)


@pytest.mark.parametrize("place", WILD if LONG else WILD[1:5:2])
@pytest.mark.parametrize("how", WILD_HOWS if LONG else WILD_HOWS[:3])
def test_wild(how, place, start, tmp_path_factory, bystanders, capsys):
    """Pointers to where nothing is, or nothing can be."""
    folder = Place(tmp_path_factory.getbasetemp())

    def victim():
        return start(None, argv=[folder.program("forge"), f"--how={how}", f"--place={place}"],
                     prefix=NOBODY).wait_asleep()
    try_it(f"{how}, {place}", victim, bystanders, capsys)


@pytest.mark.parametrize("pieces", [True, False], ids=["pieces", "one"])
def test_split_stack(pieces, special, start, bystanders, capsys):
    """What looks like the rest of a stack is the rest of a piece, behind which others lie: the thread is left alone. The
    same program with its stack in one piece is acted on."""
    special.tool("ld.gold", "binutils")
    verdict, before = Verdict(f"a stack of {'pieces' if pieces else 'one piece'}", capsys), readers()
    flags, room = (["-fsplit-stack", "-fuse-ld=gold"], 1 << 16) if pieces else ([], 1 << 20)
    v = start(None, argv=[special.cc(f"split-{pieces}", *flags, source="split.c"), f"--stack={room}"], prefix=NOBODY)
    tid = v.get("sleeper_tid")
    v.wait_asleep(tid=tid)
    piece = int(judge.syscall_of(v.pid, tid)[2], 16)
    assert (abs(v.get("result") - piece) > room) == pieces, "it sleeps in another kind of stack than it should"
    whole = Whole(v)
    for remedy in ("purge", "trim"):
        t = act(verdict, v.pid, remedy)
        assert t.outcome == "refused" and "bounds of its stack" in t.reason if pieces else t.acted, t
        whole.seen()
    v.finish()
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
    # A busy machine's share, and the 0.7 s after which the worker's own timer ends it.
    assert all(t - 1.1 * allowed < 1 for t, allowed in took), took


@pytest.mark.skipif(not LONG, reason="ten seconds each: RECLAIM_HOSTILE=long")
@pytest.mark.parametrize("args", [["--how=arena-many"], ["--how=bin-place", "--place=unresolved"]], ids=["busy", "waits"])
def test_worker_of_ten_seconds(args, forged, capsys):
    """A call that never returns, and a deadline whose tenth is more than the worker's own 0.7 s: a tenth, and no more."""
    v, began = forged(*args), time.monotonic()
    with workerproto.Worker(workerproto.request(v.pid, remedies=workerproto.TRIM, timeout_us=10000000)) as w:
        w.result(30)
        w.wait(30)
    took = time.monotonic() - began
    let_go(v.pid)
    verdict = Verdict(f"worker's time, {args[0]}", capsys)
    verdict.said = [f"{took:.2f} s of 10 s"]
    verdict.show()
    assert 10 <= took < 11, "it is late, or it never had to give up"
