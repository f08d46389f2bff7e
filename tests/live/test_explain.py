# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl explain, regions, and what ps shows from inside, on real processes."""

import json
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

import judge
import workerproto
from cli import CONTROL, HOSTILE, as_json, fake, named, one_line, sleeper, start_time  # noqa: F401

MIB = 1 << 20
TOP_KEYS = "pid comm exe rss anon file shmem swap lazyfree layers remedies notes".split()
GLIBC_KEYS = ("layer version system in_use cached free free_resident trim_threshold mmap_threshold mmapped "
              "arenas").split()
ARENA_KEYS = "address system in_use cached free free_resident top".split()
PYTHON_KEYS = "layer version arenas pools_used pools_free in_use free free_resident".split()
REMEDY_KEYS = "remedy possible reason predicted lower upper deep".split()
BOUNDS = "predicted lower upper".split()
REGION_KEYS = "start end perms kind size resident anon swap thp lazyfree locked referenced accessed idle_us idle_60s name".split()

# Strings of pymalloc's size, one in a thousand kept; and what the C heap keeps, in a thread's arena.
PINNED = """
import time
strings = [str(i) for i in range(400000)]
kept = strings[::1000]
del strings
print(flush=True)
time.sleep(1000)
"""
TOP = """
import ctypes, threading, time
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free(libc.malloc(30 << 20))
ready = threading.Event()
blocks = (ctypes.c_void_p * 2500)()
def work(n=len(blocks)):
    # A list that grows would leave blocks of its own between these.
    for i in range(n):
        blocks[i] = libc.malloc(16000)
        libc.memset(blocks[i], 1, 16000)
    for i in reversed(range(n)):
        libc.free(blocks[i])
    ready.set()
    time.sleep(1000)
threading.Thread(target=work, daemon=True).start()
ready.wait()
print(flush=True)
time.sleep(1000)
"""


@pytest.fixture
def python():
    """python(code): a Python that has said that it is ready and sleeps."""
    running = []

    def go(code, **kw):
        p = subprocess.Popen([judge.PYTHON, "-ISc", code], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, **kw)
        running.append(p)
        assert p.stdout.readline() == b"\n"
        judge.wait_for("it to sleep", 10, lambda: all(judge.asleep(p.pid, t) for t in judge.tids(p.pid)))
        return p.pid
    yield go
    for p in running:
        p.kill()
        p.wait()


def explain(pid, *args, **kw):
    r = judge.ctl("--json", "explain", pid, *args, **kw)
    assert r.rc == 0, r.err
    return r.doc


def layer(doc, name):
    found = [x for x in doc["layers"] if x["layer"] == name]
    assert len(found) == 1, [x["layer"] for x in doc["layers"]]
    return found[0]


def has(keys, d):
    assert set(keys) <= set(d), set(keys) - set(d)


# ---------------------------------------------------------------- the document

def test_document(python):
    pid = python(PINNED)
    switches = judge.switches(pid)
    doc = explain(pid)
    # Nobody stopped it: it has not run, not even to be put to sleep again.
    assert judge.switches(pid) == switches and judge.status(pid)["TracerPid"] == "0"
    has(TOP_KEYS, doc)
    assert doc["pid"] == pid and doc["start_time"] == start_time(pid) and doc["comm"] == "python3"
    assert doc["rss"] == doc["anon"] + doc["file"] + doc["shmem"] and doc["stopped_us"] == 0
    # Reading what it maps of files gives it pages of the page cache, some for each file: nothing of its own.
    status = judge.status(pid)
    assert int(status["RssAnon"].split()[0]) * 1024 == doc["anon"] and abs(judge.rss(pid) - doc["rss"]) <= MIB
    assert doc["allocator"] == "glibc" and doc["runtime"] == "cpython"
    glibc, py = layer(doc, "glibc"), layer(doc, "cpython")
    has(GLIBC_KEYS, glibc)
    has(PYTHON_KEYS, py)
    for a in glibc["arenas"]:
        has(ARENA_KEYS, a)
        assert int(a["address"], 16) > 4096
    for key in ("system", "in_use", "cached", "free", "free_resident"):
        assert glibc[key] == sum(a[key] for a in glibc["arenas"])
    assert glibc["system"] == glibc["in_use"] + glibc["cached"] + glibc["free"] + glibc["unknown"]
    assert glibc["free_resident"] <= glibc["free"]
    version = subprocess.run([judge.PYTHON, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"],
                             stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    assert py["version"] == version and py["state"] == "read"
    assert py["free_resident"] <= py["free"] and py["in_use"] + py["free"] <= py["arena_bytes"]
    for r in doc["remedies"]:
        has(REMEDY_KEYS, r)
        assert r["possible"] is (r["reason"] is None)
    trim, = [r for r in doc["remedies"] if r["remedy"] == "trim"]
    assert trim["possible"] and trim["lower"] <= trim["predicted"] <= trim["upper"]


def test_predictions(python):
    """Each says how sure it is, and all of them what a look of their own says: a dry run's."""
    pid = python(PINNED)
    remedies = {r["remedy"]: r for r in explain(pid)["remedies"]}
    # How much of it is garbage only a collection can tell.
    assert remedies["collect"]["possible"] and [remedies["collect"][k] for k in BOUNDS] == [None, None, None]
    assert all(r["deep"] is None for n, r in remedies.items() if n != "purge")
    purge = remedies["purge"]
    assert 4 * MIB < purge["predicted"] == purge["lower"] == purge["upper"]
    for depth, expect in (("normal", purge["predicted"]), ("deep", purge["predicted"] + (purge["deep"] or 0))):
        dry = judge.ctl("--json", "trim", "--dry-run", "--remedy=purge", f"--depth={depth}", pid)
        assert dry.doc[0]["steps"][0]["predicted"] == expect, depth


def test_every_page_is_accounted_for(python):
    pid = python(PINNED)
    doc = explain(pid)
    kernel = layer(doc, "kernel")
    regions, accounts = kernel["regions"], {a["account"]: a for a in kernel["accounts"]}
    for r in regions:
        has([*REGION_KEYS, "owner"], r)
        assert r["owner"] in ("glibc", "pymalloc", "stack", None)
    resident = sum(r["resident"] for r in regions)
    assert sum(a["resident"] for a in accounts.values()) == resident
    for key in ("anon", "swap", "thp", "lazyfree"):
        assert sum(a[key] for a in accounts.values()) == sum(r[key] for r in regions)
    # Counters of status are exact to some pages for each thread.
    assert abs(resident - doc["rss"]) <= 1 * MIB
    py = layer(doc, "cpython")
    assert py["arena_bytes"] > 20 * MIB
    assert abs(accounts["pymalloc arenas"]["resident"] - py["resident"]) <= MIB
    heap, = [r for r in regions if r["kind"] == "heap"]
    assert heap["owner"] == "glibc" and accounts["glibc heaps"]["resident"] >= heap["resident"]
    assert accounts["other anonymous"]["resident"] < 2 * MIB


def test_pinned_arenas(python):
    doc = explain(python(PINNED))
    py = layer(doc, "cpython")
    assert py["free"] > 15 * MIB and py["free_resident"] > py["arena_bytes"] / 2
    assert any("pin" in n and "arenas of CPython" in n for n in doc["notes"]), doc["notes"]
    assert any("free and resident" in n for n in doc["notes"])


def test_thread_arena_top(python):
    doc = explain(python(TOP))
    glibc = layer(doc, "glibc")
    main, other = glibc["arenas"]
    assert main["main"] and not other["main"]
    assert 36 * MIB < other["top"] < 44 * MIB and other["free_resident"] > 36 * MIB
    assert glibc["trim_threshold"] > 59 * MIB and glibc["mmap_threshold"] >= 30 * MIB and glibc["dynamic"] is True
    notes = "\n".join(doc["notes"])
    assert re.search(r"top of thread arena 1 is (3[6-9]|4[0-4])\.\dMiB that malloc_trim never touches", notes), notes
    assert "dynamic trim threshold has risen to 60.0MiB because a 30.0MiB block was freed" in notes
    trim, = [r for r in doc["remedies"] if r["remedy"] == "trim"]
    assert trim["predicted"] < 8 * MIB
    accounts = {a["account"]: a for a in layer(doc, "kernel")["accounts"]}
    assert accounts["glibc heaps"]["resident"] > 36 * MIB
    # A thread that sleeps shows where its stack is.
    assert accounts["thread stacks"]["mapped"] >= MIB


# Free runs of known lengths in a thread's arena, each between two blocks that stay; one of them with a hole.
RUNS = """
import ctypes, sys, threading, time
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
# Wherever such a block begins, it has this many whole pages or one fewer.
lengths = [3] * 100 + [6] * 80 + [12] * 60 + [24] * 40
blocks = (ctypes.c_void_p * len(lengths))()
pins = (ctypes.c_void_p * len(lengths))()
ready = threading.Event()
def work(n=len(lengths)):
    for i in range(n):
        blocks[i] = libc.malloc(lengths[i] * 4096 + 2048)
        libc.memset(blocks[i], 1, lengths[i] * 4096 + 2048)
        pins[i] = libc.malloc(24)
    for i in range(n):
        libc.free(blocks[i])
    # The last one's 12th or 13th page goes: two runs of about 11 are left.
    libc.madvise((blocks[n - 1] + 12 * 4096) // 4096 * 4096, 4096, 4)
    ready.set()
    time.sleep(1000)
threading.Thread(target=work, daemon=True).start()
ready.wait()
print(flush=True)
time.sleep(1000)
"""


def test_page_runs(python):
    """Free pages by how many of them lie in a row, and what keeps them."""
    doc = explain(python(RUNS))
    arenas = layer(doc, "glibc")["arenas"]
    for a in arenas:
        assert sum(r["bytes"] for r in a["page_runs"]) == a["free_resident"] and not a["estimate"]
        for r in a["page_runs"]:
            assert r["count"] * r["pages_from"] * 4096 <= r["bytes"] < r["count"] * r["pages_from"] * 8192
    _, other = arenas
    got = {r["pages_from"]: r["count"] for r in other["page_runs"]}
    # The top is a run as well; and a pin that found room elsewhere leaves two blocks joined.
    want = {2: 100, 4: 80, 8: 60 + 2, 16: 40 - 1}
    assert all(abs(got.get(k, 0) - want.get(k, 0)) <= 4 for k in {*got, *want}), got
    pins = other["pinned"]
    megabytes = (100 * 3 + 80 * 6 + 60 * 12 + 40 * 24) * 4096 / MIB
    assert megabytes <= pins["stretches"] <= megabytes * 1.2 + 2
    assert 280 <= pins["live_blocks"] <= 320 and pins["live_bytes"] < 20000
    assert pins["free_resident"] <= other["free_resident"] - other["top_resident"]
    assert pins["free_resident"] > 8 * MIB


def test_page_runs_in_words(python):
    out = judge.ctl("explain", python(RUNS)).out
    assert re.search(r"^  +by pages in a row .*2-3: \S+, 4-7: \S+, 8-15: \S+, 16-63: \S+", out, re.M), out
    assert re.search(r"^  +kept by little +\S+MiB +of it in \d+ MiB by \d+ live blocks, \S+ in all$", out, re.M), out


def calls(tmp_path, special, *args):
    """The system calls of everything that reclaimctl starts, but for those that can do nothing to others."""
    strace = special.tool("strace", "strace")
    log = tmp_path / "calls"
    r = subprocess.run([strace, "-f", "-qq", "-o", log, "-e",
                        "trace=ptrace,process_vm_writev,process_madvise,kill,tkill,tgkill,pidfd_send_signal,open,openat",
                        judge.CTL, *map(str, args)], stdout=subprocess.PIPE, check=False,
                       env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    assert r.returncode == 0
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


@pytest.mark.parametrize("verb", ["explain", "ps", "regions", "dry-run"])
def test_never_stops(python, special, tmp_path, verb):
    """Nobody traces it, signals it, writes to it or advises on it; nothing of it is opened for writing."""
    pid = python(PINNED)
    args = {"explain": ["explain", pid], "ps": ["ps", "--deep", pid], "regions": ["regions", pid],
            "dry-run": ["trim", "--dry-run", pid]}[verb]
    got = calls(tmp_path, special, *args)
    assert len(got) > 10
    for line in got:
        assert not re.search(r"\b(ptrace|process_vm_writev|process_madvise)\(", line), line
        assert not re.search(rf"\b(kill|tkill|tgkill|pidfd_send_signal)\(-?{pid}\b", line), line
        assert verb == "dry-run" or not re.search(r'"(mem|pagemap|clear_refs)", O_(RDWR|WRONLY)', line), line
    # The same look at what does stop it sees that.
    assert any("ptrace(" in line for line in calls(tmp_path, special, "trim", "--remedy=trim", pid))

def test_nothing_to_say(sleeper):
    """An ordinary small process gets figures, and no sentence."""
    doc = explain(sleeper())
    assert doc["notes"] == [] and doc["allocator"] == "glibc" and doc["runtime"] is None
    assert [x["layer"] for x in doc["layers"]] == ["kernel", "glibc"]


def test_other_allocators(special, sleeper):
    lib = special.library("libjemalloc.so.*", "libjemalloc2")
    pid = sleeper(judge.PYTHON, "-ISc", "import time; a = [bytes(1000) for _ in range(100)]; time.sleep(1000)",
                  env={"LD_PRELOAD": str(lib)})
    doc = explain(pid)
    assert doc["allocator"] == "jemalloc" and any("jemalloc" in n for n in doc["notes"])
    trim, = [r for r in doc["remedies"] if r["remedy"] == "trim"]
    assert not trim["possible"] and "jemalloc" in trim["reason"] and trim["predicted"] is None
    row, = judge.ctl("--json", "ps", pid).doc
    assert row["allocator"] == "jemalloc" and row["runtime"] == "cpython"


# ---------------------------------------------------------------- for people

def test_text(python):
    pid = python(PINNED)
    utf8 = judge.ctl("explain", pid, env={"LC_ALL": "C.UTF-8"})
    plain = judge.ctl("explain", pid, env={"LC_ALL": "C"})
    assert utf8.rc == plain.rc == 0 and not utf8.err and not plain.err
    assert "\u2588" in utf8.out and "\u2591" in utf8.out
    assert plain.out.isascii() and re.search(r"^  pymalloc arenas +\S+MiB .*  #+$", plain.out, re.M)
    for text in ("Kernel", "glibc 2.", "CPython 3.", "Findings", "Remedies", "in use", "RSS "):
        assert text in plain.out
    assert re.match(rf"{pid} \(python3\): /usr/bin/python3", plain.out)
    assert "\x1b" not in utf8.out + plain.out and not CONTROL.search(plain.out)
    color = judge.ctl("--color=always", "explain", pid).out
    assert "\x1b[1mKernel\x1b[0m" in color


def test_arenas_shown(python):
    code = TOP.replace("threading.Thread(target=work, daemon=True).start()\nready.wait()", """
for i in range(8):
    ready = threading.Event()
    threading.Thread(target=work, daemon=True).start()
    ready.wait()
""").replace("n=len(blocks)", "n=50")
    pid = python(code)
    total = len(layer(explain(pid), "glibc")["arenas"])
    assert total > 5
    row = re.compile(r"^  (?:main|arena \d+) +[\d.]+", re.M)
    few, every = judge.ctl("explain", pid).out, judge.ctl("explain", pid, "--all").out
    assert len(row.findall(few)) == 5 and f"the largest 5 of {total} arenas" in few
    assert len(row.findall(every)) == total and "the largest 5" not in every


def test_hostile_names(named):
    pid, exe = named
    doc = explain(pid)
    assert doc["comm"] == as_json(HOSTILE) and doc["exe"] == as_json(exe)
    for argv in (["explain", pid], ["regions", pid]):
        r = judge.ctl(*argv)
        assert r.rc == 0 and not CONTROL.search(r.out) and "x\\x07\\xff" in r.out.replace("\\\\", "\\")
    names = [r["name"] for r in judge.ctl("--json", "regions", pid).doc if r["name"]]
    assert any("]0;x" in n for n in names)


# ---------------------------------------------------------------- when it can't be told

def test_no_such_process():
    gone = subprocess.Popen(["true"])
    gone.wait()
    for verb in ("explain", "regions"):
        r = judge.ctl("--json", verb, gone.pid)
        assert r.rc == 5 and r.doc["exit_status"] == 5
        one_line(r.err, f"pid {gone.pid}", "no such process")


@pytest.mark.parametrize("args, part", [
    (["explain"], "needs more arguments"), (["explain", "1", "2"], "unexpected argument '2'"),
    (["explain", "x"], "not a process id"), (["explain", "1", "--timeout=0"], "between 1ms and 1h"),
    (["regions"], "needs more arguments"), (["regions", "0"], "not a process id"),
    (["regions", "1", "--min=x"], "a size such as 64M"), (["explian", "1"], "did you mean 'explain'")], ids=str)
def test_usage(args, part):
    r = judge.ctl("--json", *args)
    assert r.rc == 2 and part in r.doc["error"]
    one_line(r.err, part)


def test_zombie_and_kernel_thread():
    with subprocess.Popen(["true"]) as p:
        judge.wait_for("a zombie", 10, lambda: judge.state(p.pid) == "Z")
        doc = explain(p.pid)
        assert "zombie" in doc["reason"] and any("zombie" in n for n in doc["notes"])
        assert layer(doc, "kernel")["regions"] == []
        assert judge.ctl("explain", p.pid).rc == judge.ctl("regions", p.pid).rc == 0
    threads = [int(d) for d in os.listdir("/proc") if d.isdigit() and judge.status(d) and
               judge.status(d)["PPid"] == "2" and "VmSize" not in judge.status(d)]
    if threads:  # none are seen in a container
        doc = explain(threads[0])
        assert any("kernel thread" in n for n in doc["notes"]) and doc["remedies"] == []


def test_no_worker(sleeper):
    """What the kernel says is there all the same."""
    pid = sleeper()
    r = judge.ctl("--json", "explain", pid, env={"RECLAIM_WORKER": "/nonexistent"})
    assert r.rc == 1 and layer(r.doc, "kernel")["regions"] and r.doc["remedies"] == []
    one_line(r.err, f"pid {pid} (sleep)", "can't start /nonexistent", "No such file", "doctor")
    r = judge.ctl("--json", "ps", pid, env={"RECLAIM_WORKER": "/nonexistent"})
    assert r.rc == 0 and r.doc[0]["allocator"] is None and r.doc[0]["free_resident"] is None
    one_line(r.err, "can't start /nonexistent")
    r = judge.ctl("--json", "explain", pid, env={"RECLAIM_WORKER": "/bin/true"})
    assert r.rc == 1
    one_line(r.err, "without an answer")


def test_not_permitted(sleeper, tmp_path):
    pid = sleeper()
    shutil.copy(judge.CTL, tmp_path)
    shutil.copy(judge.WORKER, tmp_path)
    for d in (tmp_path, *tmp_path.parents):
        if d != Path("/tmp") and d != Path("/"):
            d.chmod(0o755)
    r = subprocess.run([tmp_path / "reclaimctl", "--json", "explain", str(pid)], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, user=65534, group=65534, extra_groups=[], check=False)
    assert r.returncode == 4
    doc = json.loads(r.stdout)
    assert abs(doc["rss"] - judge.rss(pid)) <= MIB and "tracing it needs root" in doc["reason"]
    one_line(r.stderr.decode(), "not permitted to look inside", "doctor")
    r = subprocess.run([tmp_path / "reclaimctl", "regions", str(pid)], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, user=65534, group=65534, extra_groups=[], check=False)
    assert r.returncode == 4
    one_line(r.stderr.decode(), "Permission denied")


def test_fake_worker_is_not_believed(fake, sleeper):
    """The answer of another operation isn't facts."""
    r = judge.ctl("--json", "explain", sleeper(), env=fake.env("reclaimed"))
    assert r.rc == 1 and r.doc["remedies"] == []
    one_line(r.err, "the worker sent an answer of the wrong length")


@pytest.mark.parametrize("op, remedies, rc", [(1, workerproto.TRIM, 2), (2, workerproto.TRIM, 2), (3, 0, 2),
                                              (3, workerproto.TRIM, 2), (0, 0, 2), (1, 0, 0), (2, 0, 0)])
def test_requests(op, remedies, rc, sleeper):
    """Who asks for facts names no remedy: a worker that doesn't know the question refuses it."""
    message = bytearray(workerproto.request(sleeper(), remedies=remedies))
    struct.pack_into("<I", message, 28, op)
    with workerproto.Worker(bytes(message)) as w:
        w.socket.settimeout(20)
        data = w.socket.recv(65536)
        assert w.wait() == rc and bool(data) == (rc == 0)
        if data:
            assert struct.unpack_from("<I", data)[0] == 0x6E6C7078


# ---------------------------------------------------------------- regions

def test_regions(python):
    pid = python(PINNED)
    docs = judge.ctl("--json", "regions", pid).doc
    assert all(list(d) == REGION_KEYS for d in docs)
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    assert [f"{int(d['start'], 16):x}-{int(d['end'], 16):x} {d['perms']}" for d in docs] == \
        [f"{int(m[1], 16):x}-{int(m[2], 16):x} {m[3]}" for m in (re.match(r"(\w+)-(\w+) (\S+)", x) for x in lines)]
    assert {d["kind"] for d in docs} >= {"file", "heap", "stack", "anon", "special"}
    rollup = dict(re.findall(r"^(\w+): +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M))
    for key, field in (("resident", "Rss"), ("anon", "Anonymous"), ("swap", "Swap"), ("thp", "AnonHugePages")):
        assert sum(d[key] for d in docs) == int(rollup[field]) * 1024
    assert all(d["idle_us"] is None and d["idle_60s"] is None and d["accessed"] is None for d in docs)
    large = judge.ctl("--json", "regions", pid, "--min=1M").doc
    assert large == [d for d in docs if d["resident"] >= MIB]
    table = judge.ctl("regions", pid).out.splitlines()
    assert table[0].split() == "START PERM KIND SIZE RESIDENT ANON SWAP THP LAZYFREE IDLE BAR NAME".split()
    assert len(table) == len(docs) + 1


# ---------------------------------------------------------------- ps

def test_ps_from_inside(python, sleeper):
    pid, small = python(PINNED), sleeper()
    row, = judge.ctl("--json", "ps", pid).doc
    py = layer(explain(pid), "cpython")
    assert row["allocator"] == "glibc" and row["runtime"] == "cpython"
    # All that explain finds, since it was asked about.
    assert not row["free_at_least"] and py["free_resident"] <= row["free_resident"] <= py["free_resident"] + 8 * MIB

    def rows(*args):
        return {d["pid"]: d for d in judge.ctl("--json", "ps", *args).doc}
    quick = rows()[pid]
    assert quick["allocator"] == "glibc" and quick["free_at_least"]
    # Whole free pools, not the pages between live blocks: these are unseen.
    assert py["free_resident_pools"] / 2 <= quick["free_resident"] < py["free_resident"]
    assert quick["free_resident"] + quick["unseen"] >= py["free_resident"]
    everybody = rows("--all")
    assert everybody[pid]["allocator"] is None and everybody[small]["allocator"] is None
    assert rows(pid, small)[small]["allocator"] == "glibc"
    assert rows("--min=1")[pid]["runtime"] == "cpython" and rows("--min=1")[small]["allocator"] is None
    named_column = rows("--min=1", "-o", "pid,allocator")
    assert named_column[small]["allocator"] == "glibc"
    assert rows("--all", "--deep")[small]["allocator"] == "glibc"
    order = [d["pid"] for d in judge.ctl("--json", "ps", pid, small, "--sort=free_resident").doc]
    assert order == [pid, small]
