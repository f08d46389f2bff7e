# SPDX-License-Identifier: GPL-2.0-or-later
"""Purges of programs that check themselves, and murders of those who purge or collect: the worker, its reader, both.

RECLAIM_TORTURE_KILLS=number of kills in all (RECLAIM_TORTURE=long: 5,000); RECLAIM_TORTURE_SEED repeats a run."""

import os
import random
import resource
import signal
import threading
import time

import pytest

import judge
import workerproto
from test_torture import LONG, PATIENCE, SEED, Tally, judge_answer, let_go

KILLS = int(os.environ.get("RECLAIM_TORTURE_KILLS", 5000 if LONG else 100))
PURGES = int(os.environ.get("RECLAIM_TORTURE_N", 1000 if LONG else 60))

COLLECT, PURGE = 1 << 0, 1 << 2
NAMES = {COLLECT: "collect", PURGE: "purge"}
NORMAL, DEEP = 1 << 3, 1 << 4
GONE = 5  # reclaimctl's exit status

HEAP = ["--threads=4", "--blocks=1500"]

# name: victim, arguments, remedy and flags of the request
KILLED = {
    "purge, four threads, one arena": ("heap", [*HEAP, "--arenas=1"], PURGE, 0),
    "purge, four threads, three arenas": ("heap", [*HEAP, "--arenas=3"], PURGE, 0),
    "purge, Python at work, normal": ("python", ["--spin=1", "--nap=3"], PURGE, NORMAL),
    "purge, Python at work, deep": ("python", ["--spin=1", "--nap=3"], PURGE, DEEP),
    "purge, Python that sleeps, deep": ("python", ["--spin=0", "--nap=4"], PURGE, DEEP),
    "collect, Python at work": ("python", ["--spin=1", "--nap=3"], COLLECT, 0),
    "collect, Python that sleeps": ("python", ["--spin=0", "--nap=4"], COLLECT, 0),
}


def begin(start, kind, args, **how):
    if kind == "heap":
        return start("purge_heap", *args, **how)
    return start(None, argv=[judge.PYTHON, judge.TOP / "tests/victims/purge_py.py", *args], **how)


def request(pid, remedy, flags, timeout_us=3000000):
    return workerproto.request(pid, flags=flags, remedies=remedy, timeout_us=timeout_us)


def usual_time(pid, *what):
    """How long a worker takes when nobody kills it: the median of five."""
    took = []
    for _ in range(5):
        began = time.monotonic()
        with workerproto.Worker(request(pid, *what)) as w:
            w.wait(PATIENCE)
        took.append(time.monotonic() - began)
    return sorted(took)[2]


def reader_of(worker):
    try:
        with open(f"/proc/{worker}/task/{worker}/children", encoding="ascii") as f:
            return [int(pid) for pid in f.read().split()]
    except OSError:
        return []


def kill_some(w, who):
    """kill -9 of the worker, of its reader, or of both in either order."""
    reader = reader_of(w.pid)
    order = {"worker": [w.pid], "reader": reader, "reader first": [*reader, w.pid],
             "worker first": [w.pid, *reader]}[who]
    for pid in order:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def tracers(pid):
    return [s["TracerPid"] for s in (judge.status(pid, t) for t in judge.tids(pid)) if s and s["TracerPid"] != "0"]


def traced_thread(fds):
    return any(b"TracerPid:\t0\n" not in os.pread(fd, 512, 0) for fd in fds)


def wait_attached(pid, worker, seconds):
    """Until one of its threads is traced, as fast as Python can look."""
    fds = []
    try:
        for tid in judge.tids(pid):
            try:
                fds.append(os.open(f"/proc/{pid}/task/{tid}/status", os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                pass
        end = time.monotonic() + seconds
        while time.monotonic() < end and worker.poll() is None:
            try:
                if traced_thread(fds):
                    return
            except OSError:
                return
    finally:
        for fd in fds:
            os.close(fd)


def murder(pid, what, chance, usual):
    """Starts a purge and kills it; who was killed, None when it was done already."""
    who = chance.choice(["worker", "worker", "reader", "reader first", "worker first"])
    with workerproto.Worker(request(pid, *what)) as w:
        time.sleep(chance.random() * usual)
        if chance.random() < 0.6:
            # aimed at a round: the thread has just been stopped, the next millisecond has all of it
            wait_attached(pid, w, 0.5)
            until = time.monotonic() + chance.random() * 0.0015
            while time.monotonic() < until:
                pass
        at_work = w.poll() is None
        if at_work:
            kill_some(w, who)
        w.wait(PATIENCE)
    return who if at_work else None


def judge_victim(v, before, where):
    assert v.alive(), f"{where}: {v.obituary()}"
    try:
        judge.wait_for("no tracer", PATIENCE, lambda: not tracers(v.pid))
        let_go(v.pid, before, where)
        v.moves_on(timeout=PATIENCE, rounds=1)
    except AssertionError as e:
        raise AssertionError(f"{where}: {e}: {stuck(v)}") from None
    assert not v.get("errors"), f"{where}: {v.note}"


def stuck(v):
    return {t: (judge.state(v.pid, t), judge.syscall_of(v.pid, t)) for t in judge.tids(v.pid)}


@pytest.mark.parametrize("name", KILLED)
def test_kill(start, name, capsys):
    kind, args, *what = KILLED[name]
    v = begin(start, kind, args)
    v.moves_on()
    before, tally, chance = v.snapshot(), Tally(f"killed, {name}", capsys), random.Random(SEED)
    n, kills, late, usual, killed = max(KILLS // len(KILLED), 10), 0, 0, usual_time(v.pid, *what), {}
    slowest = 0
    while kills < n:
        who = murder(v.pid, what, chance, usual)
        if who:
            kills += 1
            killed[who] = killed.get(who, 0) + 1
        else:
            late += 1
            assert late < 10 * n, "hardly any kill comes in time"
        began = time.monotonic()
        judge_victim(v, before, f"kill {kills} of the {who}, seed {SEED}")
        slowest = max(slowest, time.monotonic() - began)
    eintr = v.get("eintr")
    assert eintr <= kills, f"more than one EINTR of a kill, seed {SEED}"
    # and after all that it can still be done
    judge.wait_for("a last one", PATIENCE,
                   lambda: judge.trim(v.pid, f"--remedy={NAMES[what[0]]}", "--timeout=3s").acted)
    v.moves_on(timeout=PATIENCE)
    v.unharmed(before, quiet=False, timeout=PATIENCE)
    after = v.snapshot()
    v.finish()
    tally.verdict(f"{kills} kills at work ({', '.join(f'{c} {w}' for w, c in killed.items())}; {late} too late), "
                  f"usually {usual * 1000:.0f} ms, EINTR {eintr}, all moved on after {slowest:.1f} s at most, "
                  f"mappings {len(before.maps)} -> {len(after.maps)}")
    # Python maps by itself: not even every second kill may have left one
    assert len(after.maps) <= len(before.maps) + max(kills // 2, 6), f"seed {SEED}"


def usr1(v, stop):
    while not stop.wait(0.0005):
        v.proc.send_signal(signal.SIGUSR1)


def stops(v, stop):
    pace = random.Random(SEED)
    while not stop.is_set():
        v.proc.send_signal(signal.SIGSTOP)
        time.sleep(pace.random() * 0.01)
        v.proc.send_signal(signal.SIGCONT)
        time.sleep(pace.random() * 0.05)


def limit_space():
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))


SMALL = ["--threads=3", "--blocks=1500"]
PYTHON = ["--spin=0", "--nap=3"]

# name: victim, arguments, what goes on meanwhile, options of Popen, does it stay the program it was
STORMS = {
    "mlockall": ("heap", [*SMALL, "--lock"], None, {}, True),
    "sleepers with 64 KiB of stack": ("heap", [*SMALL, "--stack-kib=64"], None, {}, True),
    "SIGALRM every ms": ("heap", [*SMALL, "--itimer-us=1000"], None, {}, True),
    "SIGALRM every ms, alternate stacks": ("heap", [*SMALL, "--itimer-us=1000", "--alt"], None, {}, True),
    "SIGUSR1": ("heap", [*SMALL, "--signals"], usr1, {}, True),
    "forks": ("heap", [*SMALL, "--storm=fork"], None, {}, True),
    "threads that come and go": ("heap", [*SMALL, "--storm=threads"], None, {}, True),
    "execs": ("heap", [*SMALL, "--exec-ms=150"], None, {}, False),
    "SIGSTOP and SIGCONT": ("heap", SMALL, stops, {}, True),
    "ulimit -v": ("heap", SMALL, None, {"preexec_fn": limit_space}, True),
    "Python, SIGUSR1": ("python", PYTHON, usr1, {}, True),
    "Python, forks": ("python", [*PYTHON, "--storm=fork"], None, {}, True),
    "Python, threads that come and go": ("python", [*PYTHON, "--storm=threads"], None, {}, True),
    "Python, SIGSTOP and SIGCONT": ("python", PYTHON, stops, {}, True),
    "Python, ulimit -v": ("python", PYTHON, None, {"preexec_fn": limit_space}, True),
}


def one_purge(tally, v, i, stays):
    t = judge.trim(v.pid, "--remedy=purge", "--timeout=3s", f"--depth={('normal', 'deep')[i % 2]}")
    where = f"{tally.name} purge {i} ({t.outcome}: {t.reason}), seed {SEED}"
    if stays or t.rc != GONE:
        judge_answer(t, where)
    tally.add(t)
    assert v.alive(), f"{where}: {v.obituary()}"
    assert not v.get("errors"), f"{where}: {v.note}"
    return t


def count_mappings(v):
    """The fewest and the most of several looks: it maps and unmaps by itself."""
    counts = []
    for _ in range(10):
        counts.append(len(judge.mappings(v.pid)))
        time.sleep(0.002)
    return min(counts), max(counts)


@pytest.mark.parametrize("name", STORMS)
def test_storm(start, name, capsys):
    """Purges again and again while the target's state is anything but quiet."""
    kind, args, storm, how, stay = STORMS[name]
    v = begin(start, kind, args, **how)
    v.moves_on()
    before, tally, stop = v.snapshot(), Tally(name, capsys), threading.Event()
    blow = threading.Thread(target=storm, args=(v, stop)) if storm else None
    try:
        if blow:
            blow.start()
        _, maps = count_mappings(v)
        done = [one_purge(tally, v, i, stay) for i in range(max(PURGES // 10, 6))]
        maps_after, _ = count_mappings(v)
    finally:
        stop.set()
        if blow:
            blow.join()
    v.proc.send_signal(signal.SIGCONT)
    v.moves_on(timeout=PATIENCE)
    if stay:
        v.unharmed(before, quiet=False)
        # not even one of every second purge may have been left behind; threads come with stacks of their own
        slack = v.may.mappings if "--storm=threads" in args else len(done) // 2
        assert maps_after <= maps + slack, f"mappings {maps} -> {maps_after}, seed {SEED}"
    if name == "mlockall":
        # locked pages can't be dropped, and nobody may say that they were
        assert {t.outcome for t in done} == {"refused"} and all("locked" in t.reason for t in done), done
    handled = v.get("handler_runs")
    v.finish()
    tally.verdict(f"{handled} signals handled, mappings {maps} -> {maps_after}")


@pytest.mark.parametrize("kind", ["heap", "python"])
def test_target_exits(start, kind, capsys):
    """It is killed in the middle of a purge: that is told as what it is."""
    tally, chance = Tally(f"target exits, {kind}", capsys), random.Random(SEED)
    for i in range(max(PURGES // 10, 6)):
        v = begin(start, kind, SMALL if kind == "heap" else PYTHON)
        timer = threading.Timer(0.005 + chance.random() * 0.2, v.proc.kill)
        timer.start()
        t = judge.trim(v.pid, "--remedy=purge", "--timeout=3s")
        timer.join()
        tally.add(t)
        assert t.rc in (0, 3, GONE), f"{i}, seed {SEED}: {t}"
        v.kill()
    tally.verdict("it was killed each time")
