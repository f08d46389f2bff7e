# SPDX-License-Identifier: GPL-2.0-or-later
"""What the reader sees of a heap from outside is what its own malloc_info() and mallinfo2() say, to
the byte; what it predicts of malloc_trim() is what that returns, to the page.

On this machine's own glibc, and on those of other releases' userlands when RECLAIM_CHROOTS names a
folder with some (bullseye, bookworm, trixie, forky, ...)."""

import json
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import judge

READER = judge.BUILD / "tests" / "test-inspect-glibc"
CHROOT = judge.TOP / "scripts" / "chroot"
PATTERNS = ("fresh small sparse all large mixed tcache fast fasttop foreign mapped dynamic aligned huge scattered "
            "arenas threads64 heaps tops fork").split()
# Settings that change where things are; what a release doesn't know it ignores.
TUNED = [("mixed", "hugetlb=1"), ("mixed", "hugetlb=2"), ("arenas", "hugetlb=2"), ("arenas", "arena_max=2"),
         ("mixed", "tcache_count=0"), ("mixed", "tcache_count=100"), ("large", "tcache_max=4000000"),
         ("fast", "mxfast=0"), ("large", "trim_threshold=100000000")]
PAGE = 4096


def suites():
    folder = os.environ.get("RECLAIM_CHROOTS")
    roots = sorted(Path(folder).glob("*/.reclaim-chroot")) if folder else []
    return {"own": None, **{r.parent.name: r.parent for r in roots}}


SUITES = suites()


class Heap:
    """A victim that obeys lines on its standard input."""

    def __init__(self, pattern, suite="own", tunables=None, asleep=True):
        self.suite = suite
        env = {"GLIBC_TUNABLES": f"glibc.malloc.{tunables}"} if tunables else {}
        program = judge.VICTIMS / "heaps"
        if SUITES[suite]:
            # 2.31 has pthread_create and dlsym in libraries of their own; its symbols are bound to none in particular.
            env["LD_PRELOAD"] = "libpthread.so.0 libdl.so.2"
            argv = [CHROOT, "run", "--bind", program.parent, "/mnt", SUITES[suite],
                    "env", *(f"{k}={v}" for k, v in env.items()), "/mnt/heaps", pattern]
        else:
            argv = [program, pattern]
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     env={**os.environ, **env})
        line = self.proc.stdout.readline().split()
        assert line and line[0] == "ready", f"{pattern} ended with {self.proc.wait()}"
        self.pid = self.proc.pid
        if pattern == "fork":
            self.pid = int(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii"))
        if asleep:
            judge.wait_for("the heap's owner to sleep", 30, lambda: judge.asleep(self.pid))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()

    def say(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()

    def do(self, line):
        self.say(line)
        assert self.proc.stdout.readline() == "done\n"
        judge.wait_for("the heap's owner to sleep", 30, lambda: judge.asleep(self.pid))

    def info(self):
        """malloc_info and mallinfo2 (mallinfo before 2.33), as dicts."""
        self.say("info")
        lines = []
        while not lines or lines[-1] != "end\n":
            lines.append(self.proc.stdout.readline())
            assert lines[-1], "it died"
        xml, rest = "".join(lines).split("</malloc>\n")
        arenas = []
        for heap in ET.fromstring(xml + "</malloc>").findall("heap"):
            total = {e.get("type"): e for e in heap.findall("total")}
            arenas.append({
                "fastbins": int(total["fast"].get("size")) if "fast" in total else 0,
                "rest": int(total["rest"].get("size")),
                "free_blocks": int(total["rest"].get("count")) - 1,  # the top is one of them
                "system": int(heap.find("system[@type='current']").get("size")),
            })
        assert SUITES[self.suite] or "mallinfo2" in rest
        return arenas, {k: int(v) for k, v in re.findall(r"(\w+)=(-?\d+)", rest)}

    def rss(self):
        return int(judge.status(self.pid)["RssAnon"].split()[0]) * 1024


def run(heap, *args, **kw):
    r = subprocess.run([READER, str(heap.pid), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       check=False, timeout=120, **kw)
    assert r.returncode == 0, (r.returncode, r.stdout, r.stderr)
    return [json.loads(line) for line in r.stdout.splitlines()]


def look(heap):
    return run(heap)[0]


def agree(facts, heap):
    """Compares, and returns the bytes in use that aren't the victim's own blocks: libc's, and foreign."""
    arenas, info = heap.info()
    assert not facts["torn"] and not facts["partial"] and facts["unknown"] == 0
    assert len(arenas) == len(facts["arenas"])
    for mine, theirs in zip(facts["arenas"], arenas):
        for key in ("system", "fastbins", "free_blocks"):
            assert mine[key] == theirs[key], (key, mine, theirs)
        # malloc_info() adds flags to sizes: 1, and 4 for some free chunks of a thread's arena.
        flags = theirs["rest"] - mine["free"] - theirs["free_blocks"]
        assert 0 <= flags <= (0 if mine["is_main"] else 4 * theirs["free_blocks"]) and flags % 4 == 0, (mine, theirs)
        assert mine["in_use"] + mine["cached"] + mine["free"] == mine["system"]
        assert mine["in_runs"] == mine["free_resident"]
        assert mine["kept_by_little"] <= mine["free_resident"] - mine["top_resident"]
    # mallinfo2() of up to 2.42 has joined the fast bins with the free chunks when it counts.
    assert facts["free"] + facts["fastbins"] == info["fordblks"]
    assert facts["system"] == info["arena"]
    assert facts["in_use"] + facts["tcaches"] == info["uordblks"]
    assert facts["mmapped"] == info["hblkhd"] and facts["mmapped_blocks"] == info["hblks"]
    assert facts["arenas"][0]["top"] <= info["keepcost"]
    assert facts["threads"] == facts["threads_read"] == len(judge.tids(heap.pid))
    assert facts["ranges_bad"] == 0
    assert facts["ranges_resident"] - facts["cached_resident"] == facts["free_resident"]
    assert facts["pinned"] == facts["free_resident"] - sum(a["top_resident"] for a in facts["arenas"])
    return facts["in_use"] - info["live"]


def check(pattern, suite, tunables=None):
    with Heap(pattern, suite, tunables) as heap:
        before = look(heap)
        agree(before, heap)
        heap.do("next")
        facts = look(heap)
        # Its own books say to the byte what is live, so what is cached is known too: of all that is
        # counted in use only libc's own few blocks are left (a cache of 640 or 760 bytes per thread,
        # an arena's header), and what others got by sbrk().
        own = agree(facts, heap) - facts["foreign"]
        assert 0 <= own <= 3000 * (len(facts["arenas"]) + facts["threads"]), own
        rss = heap.rss()
        assert facts["trim_lower"] == facts["trim"] == facts["trim_upper"]
        heap.do("trim")
        got = rss - heap.rss()
        # khugepaged may be at work where huge pages are asked for; nobody else changes the RSS of a sleeper.
        slack = 2 << 20 if pattern == "huge" or tunables == "hugetlb=1" else 0
        assert abs(facts["trim"] - got) <= slack, (facts["trim"], got)
        left = look(heap)
        assert left["trim"] == 0 or slack
        return facts


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_agrees(pattern, suite):
    facts = check(pattern, suite)
    if pattern == "foreign":
        assert 45000 < facts["foreign"] < 46000  # what the victim took by sbrk(), and the fences around
    if pattern == "tops":
        # Deeper than malloc_trim() goes: the tops of threads' arenas.
        assert sum(a["top_resident"] for a in facts["arenas"] if not a["is_main"]) > 40 << 20
    if pattern == "dynamic":
        assert facts["dynamic"] and facts["mmap_threshold"] > 30 << 20
        assert facts["trim_threshold"] == 2 * facts["mmap_threshold"]
    if pattern == "threads64":
        # Seven blocks each of thirty sizes, all in the caches of 64 threads.
        assert facts["tcaches"] == 64 * 7 * sum(max(32, (24 + i * 16 + 8 + 15) & ~15) for i in range(30))


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("pattern,tunables", TUNED)
def test_agrees_with_tunables(pattern, tunables, suite):
    check(pattern, suite, tunables)


@pytest.mark.parametrize("suite", SUITES)
def test_knows_the_version(suite):
    with Heap("arenas", suite) as heap:
        facts = look(heap)
        own = subprocess.run(["chroot", SUITES[suite] or "/", "ldd", "--version"], stdout=subprocess.PIPE, text=True,
                             check=True)
        assert facts["version"] == own.stdout.splitlines()[0].split()[-1]
        assert facts["locks"] == 2  # used: it has threads
        assert int(facts["lock_wait"], 16)
    with Heap("small", suite) as heap:
        assert look(heap)["locks"] == (0 if facts["version"] == "2.31" else 1)


@pytest.mark.parametrize("suite", SUITES)
def test_busy(suite):
    """Four threads that never rest: never a crash or a hang, at worst an estimate; then all is exact again."""
    with Heap("busy", suite, asleep=False) as heap:
        r = subprocess.run([READER, str(heap.pid), "look", "25"], stdout=subprocess.PIPE, text=True, check=False,
                           timeout=120)
        looks = [json.loads(line) for line in r.stdout.splitlines()]
        assert r.returncode in (0, 1) and len(looks) == 25
        told = [f for f in looks if "error" not in f]
        assert all(f["errno"] in (11, 74) for f in looks if "error" in f)  # EAGAIN, EBADMSG: could not tell
        assert len(told) >= 15
        for f in told:
            assert f["in_use"] + f["cached"] + f["free"] + f["unknown"] == f["system"]
            assert f["unknown"] < f["system"] // 2 and f["free_resident"] <= f["system"]
            assert not f["unknown"] or f["torn"]
        run(heap, "cheap", "25")
        heap.do("next")
        agree(look(heap), heap)


def test_cheap():
    for pattern in ("large", "arenas", "tops", "sparse"):
        with Heap(pattern) as heap:
            heap.do("next")
            full, cheap = look(heap), run(heap, "cheap", "1")[0]
            assert cheap["partial"] and cheap["system"] == full["system"] and cheap["mmapped"] == full["mmapped"]
            assert cheap["free"] <= full["free"] and cheap["free_resident"] <= full["free_resident"]
            # What it leaves out it calls unknown, and there may be all that it hasn't found.
            assert full["free_resident"] <= cheap["free_resident"] + cheap["unknown"]
            assert cheap["in_use"] + cheap["cached"] + cheap["free"] + cheap["unknown"] == cheap["system"]
            if full["free_blocks"] < 500:
                assert cheap["free_resident"] == full["free_resident"] and not cheap["unknown"]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("pattern", ["sparse", "large", "mixed", "huge", "heaps", "tops"])
def test_candidates(pattern, suite):
    """The purge engine's candidates are all that is droppable, all of them hold under the lock, and none without."""
    with Heap(pattern, suite) as heap:
        heap.do("next")
        facts = look(heap)
        assert facts["free_resident"] > 0
        for args in (("500", "0"), ("64", "65536")):
            got = run(heap, "check", *args)[0]
            assert got["wrong"] == 0 and got["good"] == got["candidates"] > 0
            assert got["resident"] == facts["free_resident"]
            assert got["unlocked"] == len(facts["arenas"])
        agree(look(heap), heap)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("pattern", ["sparse", "large", "mixed", "heaps", "tops"])
def test_stale_candidates(pattern, suite):
    """Candidates that have been handed out since then, with their old headers left as content, don't hold."""
    with Heap(pattern, suite) as heap:
        heap.do("next")
        with subprocess.Popen([READER, str(heap.pid), "stale", "500", "0"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout.readline() == "go\n"
            heap.do("refill")
            out, _ = reader.communicate("\n", timeout=60)
        got = json.loads(out)
        assert got["wrong"] == 0 and got["candidates"] > 0
        if pattern in ("sparse", "large", "mixed"):
            assert got["good"] < got["candidates"]


@pytest.mark.parametrize("library", ["libjemalloc.so.2", "libtcmalloc_minimal.so.4"])
def test_unused(library, special):
    """glibc's malloc is in every process; when another one serves, it says that it is not used."""
    path = special.library(library, library)
    with subprocess.Popen([judge.VICTIMS / "heaps", "fresh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "LD_PRELOAD": str(path)}) as proc:
        try:
            assert proc.stdout.readline().startswith("ready")
            r = subprocess.run([READER, str(proc.pid)], stdout=subprocess.PIPE, text=True, check=False)
            facts = json.loads(r.stdout)
            assert facts["unused"] == 1 and facts["system"] == 0 and len(facts["arenas"]) == 1
        finally:
            proc.kill()
