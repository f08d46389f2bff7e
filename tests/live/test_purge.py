# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl trim --remedy=purge: pages that malloc holds free, given back under malloc's own locks.

What malloc_trim() leaves is tried with other releases' C libraries too, if RECLAIM_CHROOTS names some."""

import json
import os
import subprocess

import pytest

import judge
from test_glibc_reader import CHROOT, SUITES

MIB = 1 << 20


def tops(start, suite):
    if not SUITES[suite]:
        return start("tops", asleep=True)
    # 2.31 has pthread_create in a library of its own; its symbol is bound to no library in particular.
    v = judge.Bloat(["/mnt/tops"], prefix=[CHROOT, "run", "--bind", judge.VICTIMS, "/mnt", SUITES[suite],
                                           "env", "LD_PRELOAD=libpthread.so.0"])
    return v.wait_ready().wait_asleep()


def purge(v, *options):
    return judge.trim(v.pid, "--remedy=purge", *options)


def step(t):
    return next(s for s in t.doc["steps"] if s["remedy"] == "purge")


@pytest.mark.parametrize("suite", SUITES)
def test_tops_of_thread_arenas(start, suite, capsys):
    """What malloc_trim(0) never gives back: two threads' tops of 39 MiB each."""
    v = tops(start, suite)
    held = v.command("rss")["rss_kib"]
    own = v.command("self-trim")["rss_kib"]
    assert held > 78 * 1024 and own > 78 * 1024, (held, own)
    v.wait_asleep()
    before = v.snapshot()
    t = purge(v)
    left = judge.rss(v.pid) >> 10
    with capsys.disabled():
        print(f"\n  tops, {suite}: {held} KiB, {own} after its own malloc_trim, {left} after ours; {step(t)['detail']}")
    assert t.acted and t.outcome == "reclaimed", t
    v.unharmed(before)
    assert left < own - 2 * 38 * 1024
    assert abs(t.doc["freed"] - (own - left) * 1024) < MIB
    # the threads use that memory again, find their data, and it can be purged again
    assert v.command("refill")["bad"] == 0
    assert v.command("rss")["rss_kib"] > 78 * 1024
    v.wait_asleep()
    assert purge(v).doc["freed"] > 70 * MIB
    assert v.command("verify")["bad"] == 0
    v.finish()


def test_as_good_as_malloc_trim(start, capsys):
    """The interiors of free chunks, all of them in rounds: within 2 % of malloc_trim(0)."""
    twin = start("bloat")
    twin.command("self-trim")
    own = judge.rss(twin.pid)
    twin.finish()
    v = start("bloat", asleep=True)
    before, full = v.snapshot(), judge.rss(v.pid)
    t = purge(v)
    left = judge.rss(v.pid)
    predicted = step(t)["predicted"]
    with capsys.disabled():
        print(f"\n  bloat: {full >> 10} -> {left >> 10} KiB ({own >> 10} with malloc_trim), predicted "
              f"{predicted >> 10}, freed {t.doc['freed'] >> 10} KiB; {step(t)['detail']}, stopped "
              f"{t.doc['stopped_us_max']} us, took {step(t)['duration_us']} us")
    assert t.acted and t.outcome == "reclaimed", t
    v.unharmed(before)
    assert left <= own * 1.02 + MIB
    assert abs(predicted - t.doc["freed"]) <= 0.02 * t.doc["freed"] + MIB
    assert v.command("verify")["bad"] == 0
    assert v.command("refill")["errors"] == 0
    v.wait_asleep()
    again = purge(v)
    assert again.acted
    v.finish()


@pytest.fixture
def huge_pages():
    path = "/proc/sys/vm/nr_hugepages"
    with open(path, encoding="ascii") as f:
        before = f.read()
    try:
        with open(path, "w", encoding="ascii") as f:
            f.write(str(int(before) + 64))
    except PermissionError:
        pytest.skip("only root has huge pages set aside")
    yield
    with open(path, "w", encoding="ascii") as f:
        f.write(before)


def test_hugetlb(start, huge_pages):
    """A heap in hugetlbfs has no pages that can be dropped: none is tried, none is promised."""
    env = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=2"}
    v = start("bloat", "--count=10000", asleep=True, env=env)
    with open(f"/proc/{v.pid}/maps", encoding="ascii") as f:
        if "anon_hugepage" not in f.read():
            pytest.skip("this glibc or machine gives no huge pages to malloc")
    t = purge(v)
    assert all(s["detail"].startswith("0 rounds") for s in t.doc["steps"]), t
    assert sum(s["predicted"] for s in t.doc["steps"]) < 256 << 10, t
    assert v.command("verify")["bad"] == 0
    v.finish()


def test_nothing_left_to_do(start):
    v = start("bloat", "--count=300000", asleep=True)
    assert purge(v).outcome == "reclaimed"
    t = purge(v)
    assert t.acted and abs(t.doc["freed"]) < MIB, t
    assert step(t)["predicted"] < MIB
    v.finish()


def test_dry_run_predicts(start):
    v = start("bloat", "--count=300000", asleep=True)
    rss = judge.rss(v.pid)
    t = purge(v, "--dry-run")
    assert t.outcome == "nothing" and "dry run" in t.reason and judge.rss(v.pid) >= rss
    predicted = step(t)["predicted"]
    done = purge(v)
    assert abs(predicted - done.doc["freed"]) <= 0.02 * done.doc["freed"] + MIB // 2
    v.finish()


def test_many_groups(start):
    """A status file beyond 8 KiB: what stands behind the list of groups is read all the same."""
    v = start("bloat", asleep=True, prefix=["setpriv", f"--groups={','.join(str(10**9 + i) for i in range(1000))}"])
    before = v.snapshot()
    t = purge(v)
    assert t.acted and t.outcome == "reclaimed", t
    v.unharmed(before)
    v.finish()


@pytest.mark.parametrize("advice", ["dontneed", "free"])
def test_advice(start, advice):
    v = start("bloat", "--count=300000", asleep=True)
    before = v.snapshot()
    t = purge(v, f"--advice={advice}")
    assert t.acted, t
    v.unharmed(before)
    with open(f"/proc/{v.pid}/smaps_rollup", encoding="ascii") as f:
        lazy = int(next(line.split()[1] for line in f if line.startswith("LazyFree:")))
    # MADV_FREE leaves the pages until somebody needs them
    assert (lazy > 100 * 1024) == (advice == "free")
    assert ("resident until" in step(t)["detail"]) == (advice == "free"), t
    assert v.command("verify")["bad"] == 0
    assert v.command("refill")["errors"] == 0
    v.finish()


def test_beside_threads_that_allocate(start, capsys):
    """Rounds under the arenas' locks while other threads work on their blocks without a pause."""
    v = start("bloat", "--count=300000", "--threads=3", asleep=True)
    before, results = v.snapshot(), []
    for _ in range(15):
        t = purge(v)
        assert t.rc in (0, 3), t
        results.append(t)
        assert not v.get("errors"), v.note
        v.moves_on()
        v.command("refill")
        v.wait_asleep()
    acted = [t for t in results if t.acted]
    with capsys.disabled():
        print(f"\n  beside threads: {len(acted)} of {len(results)} acted, "
              f"stopped at most {max(t.doc['stopped_us_max'] for t in results)} us; {json.dumps(step(acted[-1]))}")
    assert len(acted) >= 10
    v.unharmed(before, quiet=False)
    assert v.command("verify")["bad"] == 0
    v.finish()


SHARED = """
import os, sys
strings = [str(i) * 2 for i in range(600000)]
kept = strings[::1000]
del strings
out, into = os.pipe()
child = os.fork()
if not child:
    os.close(into)
    os.read(out, 1)
    os._exit(0 if kept == [str(i) * 2 for i in range(0, 600000, 1000)] else 3)
print("ready", child, flush=True)
if sys.stdin.readline():
    more = [str(i) * 2 for i in range(300000)]
    good = kept == [str(i) * 2 for i in range(0, 600000, 1000)] and more[-1] == "299999299999"
    os.close(into)
    print("good" if good and os.waitpid(child, 0)[1] == 0 else "damaged", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("depth", ["normal", "deep"])
def test_shared_after_fork(start, depth):
    """Pages that a child still shares: the parent's go, the child's stay as they were."""
    v = start(None, argv=[judge.PYTHON, "-c", SHARED], page=False, ready=False, stdout=subprocess.PIPE)
    word, child = v.proc.stdout.readline().split()
    assert word == b"ready"
    v.wait_asleep()
    before, held = v.snapshot(), judge.rss(int(child))
    t = purge(v, f"--depth={depth}")
    assert t.acted and t.doc["freed"] > 15 * MIB, t
    assert abs(step(t)["predicted"] - t.doc["freed"]) <= 0.02 * t.doc["freed"] + MIB // 2, t
    v.unharmed(before)
    assert judge.rss(int(child)) >= held - MIB
    v.proc.stdin.write(b"use\n")
    v.proc.stdin.flush()
    assert v.proc.stdout.readline() == b"good\n"
    v.finish()
