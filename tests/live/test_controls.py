# SPDX-License-Identifier: GPL-2.0-or-later
"""Proof that these tests can fail: every kind of harm done on purpose, by the
careless tool in victims/disturb.c, must be noticed by the same judge that the
other tests use."""

import ctypes
import signal
import struct
import subprocess
import time

import pytest

import judge
from sleeping import NEVER_RESTARTS, CASES, Batch


def finds_harm(check, *args):
    with pytest.raises(AssertionError) as e:
        check(*args)
    return str(e.value)


def test_mere_attach_breaks_never_restarting_calls():
    """Stop and let go, no injection: each of these calls fails with EINTR, and no other does."""
    batch = Batch([c.name for c in CASES], ms=3000)
    try:
        batch.start()
        for name in batch.names:
            assert judge.disturb("touch", batch.victims[name].pid) == 0
        batch.collect()
    finally:
        batch.kill()
    broken = {n for n in batch.names if batch.results[n].errors}
    assert broken == NEVER_RESTARTS
    for name in broken:
        r = batch.results[name]
        assert "errno 4" in r.note or "errno 61" in r.note, r.note


@pytest.mark.parametrize("whom", [0, 1], ids=["busy", "asleep"])
def test_a_stop_of_a_bystander_is_noticed(start, whom):
    """As short as can be, and nothing is done in it."""
    two = start("single"), start("plain", asleep=True)
    before = [judge.switches(v.pid) for v in two]
    two[0].moves_on(rounds=100)
    judge.undisturbed(*two, before)
    assert judge.disturb("touch", two[whom].pid) == 0
    assert "a bystander" in finds_harm(judge.undisturbed, *two, before)


def test_eintr_in_any_call_is_noticed(start):
    v = start("sleepers", "--case=read_pipe", "--ms=60000", asleep=True)
    assert judge.disturb("errno", v.pid) == 0
    judge.wait_for("the victim's end", 30, lambda: not v.alive())
    assert v.proc.returncode == 1 and "errno 4" in v.note


def test_blind_call_ruins_registers(start):
    """A call with only the general registers saved, no red zone skipped."""
    v = start("regs", "--mode=spin", "--spin=200000")
    for _ in range(200):
        if judge.disturb("blind", v.pid) or not v.alive() or v.get("errors"):
            break
    assert not v.alive() or v.get("errors"), "200 blind calls left no trace"


def test_blind_call_kills_single_threaded_malloc(start):
    """Where it happens to be stopped decides; on a machine that is busy it may be in the same place many times."""
    harmed, rounds, until = False, 0, time.monotonic() + 60
    while time.monotonic() < until:
        rounds += 1
        v = start("single")
        for _ in range(20):
            if judge.disturb("blind", v.pid) or not v.alive() or v.get("errors"):
                break
        harmed = harmed or not v.alive() or bool(v.get("errors"))
        v.kill()
        if harmed:
            return
    pytest.fail(f"blind calls left no trace in {rounds} programs")


def test_blocked_signals_are_noticed(start):
    v = start("plain", asleep=True)
    before = v.snapshot()
    assert judge.disturb("deaf", v.pid) == 0
    text = finds_harm(lambda: v.unharmed(before, timeout=0.3))
    assert "SigBlk" in text
    # and by the victim itself
    finds_harm(v.finish)
    assert "signal mask" in v.note


def test_tracer_is_noticed(start):
    v = start("plain", asleep=True)
    before = v.snapshot()
    with subprocess.Popen([judge.VICTIMS / "disturb", "hold", str(v.pid)], stdout=subprocess.PIPE) as tracer:
        assert tracer.stdout.readline() == b"ok\n"
        assert "TracerPid" in finds_harm(lambda: v.unharmed(before, timeout=0.3))
        tracer.kill()
    v.unharmed(before)
    v.finish()


def test_stop_is_noticed(start):
    v = start("plain", asleep=True)
    before = v.snapshot()
    v.proc.send_signal(19)
    assert "state S -> T" in finds_harm(lambda: v.unharmed(before, timeout=0.3))


LEAKER = """
import ctypes, mmap, os, sys
file = os.open(sys.executable, os.O_RDONLY)
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.buffer.raw.read(1)
keep = %s
sys.stdin.buffer.raw.read(1)
"""
# what it leaks, and what is said of that
LEAKS = {
    "memory": ("mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)", "new memory"),
    "file": ("ctypes.CDLL(None).mmap(None, 4096, 1, 2, file, 0)", "new mapping"),
    "descriptor": ("os.open('/', os.O_RDONLY)", "descriptors"),
}
# of a program that does nothing by itself, and of one that works
QUIET = pytest.mark.parametrize("quiet", [True, False], ids=["quiet", "busy"])


def told_to_change(start, script):
    """A Python that sleeps and looks as before, and then is told to do what its script does."""
    v = start(None, argv=[judge.PYTHON, "-c", script], page=False, ready=False, stdout=subprocess.PIPE)
    assert v.proc.stdout.readline() == b"ready\n"
    v.wait_asleep()
    before = v.snapshot()
    v.unharmed(before)
    v.proc.stdin.write(b"x")
    v.proc.stdin.flush()
    return v, before


@QUIET
@pytest.mark.parametrize("what", LEAKS)
def test_leaked_mapping_is_noticed(start, what, quiet):
    how, said = LEAKS[what]
    v, before = told_to_change(start, LEAKER % how)
    judge.wait_for("the leak", 30, lambda: judge.mappings(v.pid) != before.maps or v.snapshot().fds != before.fds)
    v.wait_asleep()
    assert said in finds_harm(lambda: v.unharmed(before, quiet, timeout=0.3))


HELPER = """
import sys, threading
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.buffer.raw.read(1)
threading.Thread(target=threading.Event().wait, daemon=True).start()
sys.stdin.buffer.raw.read(1)
"""


@QUIET
def test_new_thread_is_noticed(start, quiet):
    v, before = told_to_change(start, HELPER)
    judge.wait_for("the thread", 30, lambda: len(judge.tids(v.pid)) == 2)
    v.wait_asleep()
    assert "new thread" in finds_harm(lambda: v.unharmed(before, quiet, timeout=0.3))


def test_damaged_heap_is_noticed(start):
    """One byte changed in a kept block from outside."""
    v = start("bloat", "--count=20000")
    heap = next(m for m in judge.mappings(v.pid) if m[3] == "[heap]")
    with open(f"/proc/{v.pid}/mem", "r+b", buffering=0) as mem:
        mem.seek(heap[0])
        data = mem.read(heap[1] - heap[0])
        at = data.find(bytes([8]) * 64)  # the pattern of kept block 1
        assert at > 0
        mem.seek(heap[0] + at + 10)
        mem.write(b"\xff")
    finds_harm(v.finish)
    assert "damaged" in v.note


# victim.h, CANARY_HEAD; behind it size and seed
CANARY_HEAD = struct.pack("<Q", 0xFEEDFACECAFE0001)


def slots_of(v):
    """Where the longest row of pointers to live blocks is in a victim that stands still: its slots."""
    rows, row = [], []
    with open(f"/proc/{v.pid}/mem", "rb", buffering=0) as mem:
        memory = {}
        for start, end, perms, _ in judge.mappings(v.pid):
            if perms.startswith("rw-p"):
                mem.seek(start)
                memory[start] = mem.read(end - start)
    heads = {start + at for start, data in memory.items()
             for at in range(0, len(data), 16) if data.startswith(CANARY_HEAD, at)}
    for data in memory.values():
        for word, in struct.iter_unpack("<Q", data):
            if word in heads:
                row.append(word)
            elif row:
                rows.append(row)
                row = []
    return max(rows, key=len)


@pytest.mark.parametrize("name, args", [
    ("single", []), ("heap3", []), ("heap3", ["--no-idle"]), ("rseq", []),
    ("purge_heap", ["--threads=2", "--blocks=800"]), ("bloat", ["--count=1000", "--threads=2"])],
    ids=lambda p: p if isinstance(p, str) else "".join(p))
def test_damaged_block_that_remains_is_noticed(start, name, args):
    """One byte of a block, right before the end: hardly any block is replaced any more."""
    v = start(name, *args)
    v.moves_on(rounds=40)
    v.proc.send_signal(signal.SIGSTOP)
    judge.wait_for("the stop", 30, lambda: all(judge.state(v.pid, t) == "T" for t in judge.tids(v.pid)))
    slots = slots_of(v)
    assert len(slots) > 20, slots
    with open(f"/proc/{v.pid}/mem", "r+b", buffering=0) as mem:
        at = slots[len(slots) // 2] + 24
        mem.seek(at)
        byte = mem.read(1)[0]
        mem.seek(at)
        mem.write(bytes([byte ^ 1]))
    v.set("stop", 1)
    v.proc.send_signal(signal.SIGCONT)
    assert "damaged" in finds_harm(v.finish)


def test_deadlock_is_noticed(start):
    v = start("heap3", "--threads=1")
    v.moves_on()
    libc = ctypes.CDLL(None, use_errno=True)
    workers = [t for t in judge.tids(v.pid) if t != v.pid]
    for t in workers:
        libc.syscall(234, v.pid, t, 19)  # tgkill SIGSTOP stops all: nothing counts any more
    finds_harm(lambda: v.moves_on(timeout=0.5))
