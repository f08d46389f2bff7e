# SPDX-License-Identifier: GPL-2.0-or-later
"""What the reader sees in a Python from outside is what that Python says of itself, to the block.

Tried on this machine's own Python, and on those that RECLAIM_PYTHONS (paths with colons between) and
RECLAIM_CHROOTS (a folder of other releases' userlands) name."""

import json
import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

import judge

READER = judge.BUILD / "tests" / "test-inspect-cpython"
SCRIPT = judge.TOP / "tests" / "victims" / "pyalloc.py"
PATTERNS = ["fresh", "seed", "gc", "threads", "sizes", "fork"]
PAUSE = 34


def pythons():
    found = {"own": [judge.PYTHON]}
    for path in filter(None, os.environ.get("RECLAIM_PYTHONS", "").split(":")):
        found[path.strip("/").replace("/", "-")[-40:]] = [path]
    chroots = os.environ.get("RECLAIM_CHROOTS")
    for root in sorted(Path(chroots).glob("*/usr/bin/python3")) if chroots else []:
        found[root.parts[-4]] = ["chroot", str(root.parents[2]), "python3"]
    return found


PYTHONS = pythons()


class Alloc:
    """A victim: sleeping in pause(), or churning."""

    def __init__(self, python, pattern, **env):
        self.err = tempfile.TemporaryFile("ab+")
        self.proc = subprocess.Popen(
            [*PYTHONS[python], "-c", SCRIPT.read_text(encoding="utf-8"), pattern], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=self.err, text=True, env={**os.environ, **env})
        line = self.proc.stdout.readline().split()
        assert line and line[0] == "ready", self.stderr()
        self.pid = int(line[1])
        self.asked = 0

    def stderr(self):
        # It writes through the same description: an offset of ours would be moved under our hands.
        return os.pread(self.err.fileno(), 1 << 20, 0).decode()

    def settle(self):
        judge.wait_for("it to sleep in pause()", 20, lambda: judge.state(self.pid) == "S" and (
            judge.syscall_of(self.pid) or [0])[0] == PAUSE)
        judge.wait_for("its threads to sleep", 20, lambda: all(judge.asleep(self.pid, t) for t in judge.tids(self.pid)))

    def statistics(self):
        """As a dict like the reader's, from sys._debugmallocstats()."""
        self.settle()
        self.asked += 1
        os.kill(self.pid, signal.SIGUSR1)
        judge.wait_for("its statistics", 20, lambda: self.stderr().count("# arenas highwater mark") >= self.asked
                       and "Total" in self.stderr().rpartition("# arenas highwater mark")[2])
        self.settle()
        text = self.stderr()
        text = text[text.rindex("class   size"):]
        out = {"classes": {}}
        for m in re.finditer(r"^ +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$", text, re.M):
            out["classes"][m[1]] = [int(m[3]), int(m[4]), int(m[5])]
        out["arenas"] = int(re.search(r"# arenas allocated current += +([\d,]+)", text)[1].replace(",", ""))
        m = re.search(r"^(\d+) unused pools \* (\d+) bytes", text, re.M)
        out["pools_free"], out["pool_size"] = int(m[1]), int(m[2])
        out["in_use"] = int(re.search(r"# bytes in allocated blocks += +([\d,]+)", text)[1].replace(",", ""))
        return out

    def end(self):
        for pid in {self.pid, self.proc.pid}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.proc.wait()
        self.proc.stdout.close()
        self.err.close()


def read(pid, *how):
    r = subprocess.run([READER, "read", str(pid), *how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                       check=False)
    assert r.returncode in (0, 1), f"the reader died: {r}"
    return json.loads(r.stdout)


@pytest.fixture
def alloc():
    running = []

    def go(*args, **env):
        running.append(Alloc(*args, **env))
        return running[-1]
    yield go
    for a in running:
        a.end()


def own_memory(pid):
    """Pages of files may get mapped by a look; that costs nothing."""
    s = judge.status(pid)
    return s["RssAnon"], s["VmSwap"], s["VmPTE"]


def same(victim, *how):
    want = victim.statistics()
    before = own_memory(victim.pid)
    got = read(victim.pid, *how)
    assert own_memory(victim.pid) == before
    assert got.get("error") is None and not got["pymalloc_why"] and "look" not in got, got
    assert {k: v for k, v in got["classes"].items() if v[0]} == want["classes"]
    for key in ("arenas", "pools_free", "pool_size", "in_use"):
        assert got[key] == want[key], f"{key}: {got[key]}, it says {want[key]}"
    assert not got["torn_arenas"] and not got["unknown"] and not got["pools_retired"] and not got["out_of_order"]
    assert got["visited_arenas"] == got["arenas"]
    assert got["visited_free"] + got["visited_virgin"] == got["pools_free"]
    return got


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("python", PYTHONS)
def test_it_says_the_same(alloc, python, pattern):
    v = alloc(python, pattern)
    got = same(v)
    assert not got["invalid_blocks"]
    cheap = same(v, "cheap")
    assert cheap["free_resident_pools"] == got["free_resident_pools"]
    assert got["finalizing"] == 0 and got["gil"] and got["gc_enabled_at"]
    # what is in whole free pages can't be more than what is free, or more than what is there
    assert got["free_resident"] <= got["resident"] <= got["arena_bytes"]
    if pattern == "seed" and got["pool_size"] > 4096:
        assert got["free_resident_blocks"] > 0


@pytest.mark.parametrize("python", PYTHONS)
def test_glance(alloc, python):
    """What ps shows: free pools only, and no more of them than there are."""
    v = alloc(python, "seed")
    v.settle()
    got, glance = read(v.pid), read(v.pid, "glance")
    assert glance["arenas"] == got["arenas"] and glance["pools_free"] == got["pools_free"]
    assert got["free_resident_pools"] * .9 - (1 << 20) <= glance["free_resident"] <= got["free_resident_pools"]
    assert glance["ns"] < 50_000_000


HOLD = "import sys; x = [str(i) + 'xxx' for i in range({})]; del x[{}::3]; print(flush=True); sys.stdin.readline()"


@pytest.mark.parametrize("python", PYTHONS)
def test_roots_of_any_size(python):
    """Whichever arena is in front of whichever list: the roots are found, and always in the same place."""
    places = set()
    for count in (0, 300, 5000, 20000, 40000, 60000, 100000, 200000):
        with subprocess.Popen([*PYTHONS[python], "-c", HOLD.format(count, count // 2)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as p:
            assert p.stdout.readline() == b"\n"
            got = read(p.pid)
            p.stdin.close()
        assert not got["pymalloc_why"] and "look" not in got and not got["torn_arenas"], (count, got)
        # From 3.12 on they are the interpreter's: not in the program's own data.
        places.add((got["arenas_at"] - got["runtime"], got["maxarenas_at"] - got["runtime"])
                   if tuple(map(int, got["version"].split(".")[:2])) < (3, 12) else None)
    assert len(places) == 1, places


@pytest.mark.parametrize("python", PYTHONS)
def test_debug_hooks(alloc, python):
    same(alloc(python, "seed", PYTHONMALLOC="debug"))


@pytest.mark.parametrize("python", PYTHONS)
def test_not_in_use(alloc, python):
    """PYTHONMALLOC=malloc: there is a Python, and nothing in its own allocator."""
    got = read(alloc(python, "fresh", PYTHONMALLOC="malloc").pid)
    assert got.get("error") is None and got["usedpools"] == 0 and "not in use" in got["pymalloc_why"], got


@pytest.mark.parametrize("python", PYTHONS)
def test_while_it_runs(alloc, python):
    """Never a crash, never nonsense; an arena that changes all the time is counted as such."""
    v = alloc(python, "churn")
    good = 0
    for _ in range(12):
        got = read(v.pid)
        assert judge.state(v.pid) in "RS"
        if got.get("error") or not got["usedpools"] or "look" in got:
            assert got.get("error", -74) == -74 and (not got.get("usedpools") or got["look"] == -74), got
            assert got.get("why") or got.get("pymalloc_why") or got["usedpools"], "could not tell, but not why"
            continue
        good += 1
        assert got["pools_used"] + got["pools_full"] + got["pools_free"] <= got["arenas"] * 64
        assert got["in_use"] + got["free"] <= got["arena_bytes"]
    assert good >= 8, good


def test_no_python(start):
    v = start("sleepers", "--case=nanosleep", "--ms=60000")
    got = read(v.pid)
    assert got["error"] == -2 and "no Python" in got["why"]
