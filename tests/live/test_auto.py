# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl trim without --remedy: what pays is chosen, each step is measured, nothing is done for nothing."""

import os
import signal
import subprocess
import time

import pytest

import judge

MIB = 1 << 20


def auto(v, *options, **kw):
    return judge.trim(v.pid, "--remedy=auto", *options, **kw)


def remedies(t):
    return [s["remedy"] for s in t.doc["steps"]]


def test_auto_is_the_default(start):
    v = start("bloat", "--count=300000", asleep=True)
    r = judge.ctl("--json", "trim", v.pid)
    t = judge.Trim(r, v.pid)
    assert t.outcome == "reclaimed" and remedies(t)[0] == "trim", t
    assert v.command("verify")["bad"] == 0
    v.finish()


def test_trim_then_what_it_leaves(start):
    """Fragmented main heap: trim. Predicted within 2 % of what came back, step by step."""
    v = start("bloat", asleep=True)
    t = auto(v)
    assert t.outcome == "reclaimed" and remedies(t)[0] == "trim", t
    for s in t.doc["steps"]:
        assert abs(s["predicted"] - s["freed"]) <= 0.02 * abs(s["freed"]) + MIB, s
    assert t.doc["freed"] == sum(s["freed"] for s in t.doc["steps"])
    v.finish()


def test_tops_need_a_purge(start):
    """Nothing for malloc_trim here: auto goes straight to what helps."""
    v = start("tops", asleep=True)
    t = auto(v)
    assert remedies(t) == ["purge"] and t.doc["freed"] > 70 * MIB, t
    v.finish()


def test_nothing_to_do(start):
    """A second time there is nothing, and the process isn't even stopped."""
    v = start("bloat", "--count=300000", asleep=True)
    auto(v)
    before = judge.switches(v.pid)
    t = auto(v)
    assert t.outcome == "nothing" and t.rc == 0 and not t.doc["steps"], t
    assert "nothing to give back" in t.reason
    assert judge.switches(v.pid) == before
    v.finish()


def test_dry_run_adds_up(start):
    v = start("tops", asleep=True)
    rss = judge.rss(v.pid)
    t = auto(v, "--dry-run")
    assert t.outcome == "nothing" and judge.rss(v.pid) >= rss
    promised = sum(s["predicted"] for s in t.doc["steps"])
    done = auto(v)
    assert abs(promised - done.doc["freed"]) <= 0.02 * done.doc["freed"] + MIB
    v.finish()


def test_refused_with_the_reason_of_trim(start, special):
    v = start("plain", argv=[special.static_stripped()])
    t = auto(v)
    assert t.outcome == "refused" and t.rc == 3 and "statically linked" in t.reason, t
    v.finish()


SEED = """
import sys
n, k = int(sys.argv[1]), int(sys.argv[2])
l = [str(i) for i in range(n)]
kept = l[::k]
del l
print("ready", flush=True)
for line in sys.stdin:
    print(all(s == str(i * k) for i, s in enumerate(kept)), flush=True)
"""


@pytest.fixture
def seeded():
    with subprocess.Popen(["/usr/bin/python3", "-c", SEED, "2000000", "1000"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout.readline() == "ready\n"
        yield p
        p.kill()


def test_python(seeded, capsys):
    """What gc.collect() and malloc_trim() leave behind: 120 MiB, of which 2000 strings are alive."""
    full = judge.rss(seeded.pid)
    t = judge.trim(seeded.pid, "--remedy=auto")
    left = judge.rss(seeded.pid)
    with capsys.disabled():
        print(f"\n  python: {full >> 20} -> {left >> 20} MiB; {t.doc['steps']}")
    assert t.outcome == "reclaimed" and remedies(t)[-1] == "purge", t
    assert full > 110 * MIB and left < 45 * MIB
    seeded.stdin.write("verify\n")
    seeded.stdin.flush()
    assert seeded.stdout.readline() == "True\n"


@pytest.mark.parametrize("mode", ["poll", "nanosleep"])
def test_a_sleep_that_was_stopped_before(start, mode):
    """After a stop by anybody the kernel calls poll() restart_syscall(): it can be used all the same,
    again and again."""
    v = start("bloat", "--count=100000", f"--sleep={mode}", asleep=True)
    os.kill(v.pid, signal.SIGSTOP)
    judge.wait_for("the stop", 10, lambda: judge.state(v.pid) == "T")
    os.kill(v.pid, signal.SIGCONT)
    judge.wait_for("restart_syscall", 10,
                   lambda: mode != "poll" or (judge.syscall_of(v.pid) or [0])[0] == judge.RESTART_SYSCALL)
    for _ in range(4):
        t = judge.trim(v.pid, "--remedy=trim")
        assert t.acted, t
        time.sleep(0.01)
    assert v.command("verify")["bad"] == 0
    assert not v.get("errors"), v.note
    v.finish()


# Much free memory in the first arena, and the lock of the second one held on to until it is told to let go.
HELD = """
import ctypes, sys, threading
HEAP_MAX = 64 << 20  # malloc/arena.c
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_size_t
blocks = [libc.malloc(1000) for _ in range(50000)]
for block in blocks:
    ctypes.memset(block, 1, 1000)
for i, block in enumerate(blocks):
    if i % 100:
        libc.free(ctypes.c_size_t(block))
other, over = [], threading.Event()
def second():
    other.append(libc.malloc(1000))
    over.wait()
thread = threading.Thread(target=second)
thread.start()
while not other:
    pass
lock = ctypes.c_int.from_address(ctypes.c_size_t.from_address(other[0] & -HEAP_MAX).value)
assert lock.value == 0
lock.value = 1
print("ready", flush=True)
sys.stdin.read(1)
lock.value = 0
libc.syscall(202, ctypes.byref(lock), 129, 1 << 30, 0, 0, 0)  # futex(), wake all
over.set()
thread.join()
print("end", flush=True)
"""


@pytest.mark.parametrize("options", [["--remedy=trim"], ["--remedy=auto"]])
def test_first_arena_only(options):
    """malloc_trim() goes from arena to arena. What it has done before it was called back from a lock that is held on to
    is told, and is no refusal; the next remedy's figures don't hide it."""
    with subprocess.Popen([judge.PYTHON, "-ISc", HELD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == b"ready\n"
        had = judge.rss(p.pid)
        t = judge.trim(p.pid, "--timeout=3s", *options)
        less = had - judge.rss(p.pid)
        assert p.communicate(b"x", 30) == (b"end\n", None)
    assert p.returncode == 0
    assert t.outcome == "reclaimed" and t.rc == 0, t
    step, = [s for s in t.doc["steps"] if s["remedy"] == "trim"]
    assert step["freed"] > 30 * MIB and "holds a lock" in step["detail"], t.doc
    assert abs(t.doc["freed"] - less) < 4 * MIB, (t.doc, less)
    assert options[0] != "--remedy=trim" or "holds a lock" in t.reason, t
