# SPDX-License-Identifier: GPL-2.0-or-later
"""The same figures over the size of a heap, the number of processes, the number of threads."""

import json
import tempfile
import time
from pathlib import Path

import targets
from idle import OTHER as EARLYOOM
from idle import OURS as DAEMON
from idle import PEER as LOOP
from idle import measure_idle
from measure import Failure, run_ok
from peers import gdb_call, need_memory, on_bloat, own, trim_told
from results import Contestant, Curve, Line, Table, gather, series
from sensing import sensors
from subjects import GDB, GDB_NAME, SMALL, Target

HEAPS = [16, 64, 256, 1024, 4096, 8192]  # MiB
PER_MIB = 2000  # entries
PROCESSES = [10, 100, 500, 1000, 5000]
THREADS = [1, 10, 100, 1000]
PAGE = 5000000  # bytes
OURS, BOUNDED, OWN = "reclaimctl trim", "reclaimctl trim --max-stop=2ms", "the program's own malloc_trim(0)"
EXPLAIN, ROLLUP, ATTACH = "reclaimctl explain", "reading smaps_rollup", "gdb, attach and detach"


def _sensed(bench, pid, looks, failures):
    """What it costs to look, before anybody has changed anything."""
    rollup = time.perf_counter_ns()
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        file.read()
    rollup = (time.perf_counter_ns() - rollup) / 1000
    looks[ROLLUP].append({"look_us": rollup})
    for name, look in ((EXPLAIN, lambda: run_ok([bench.ctl, "explain", str(pid)])), (ATTACH, lambda: bench.gdb(pid, GDB, call=False))):
        try:
            looks[name].append({"look_us": look().us})
        except Failure as failure:
            failures[name].append(str(failure))


def _picture(bench, pid):
    """Size of the page that shows a heap, and how long it takes to make."""
    if "--html" not in run_ok([bench.ctl, "explain", "--help"]).out:
        return {}
    with tempfile.TemporaryDirectory(prefix="reclaim-bench-") as folder:
        page = Path(folder, "page.html")
        done = run_ok([bench.ctl, "explain", f"--html={page}", str(pid)])
        return {"page": page.stat().st_size, "page_us": done.us}


def _errors(bench, target, act):
    """How far the prediction was from what came."""
    picture = _picture(bench, target.pid)
    predicted = trim_predicted(bench, target.pid)
    before = targets.rss(target.pid)
    sample = act(target)
    freed = before - targets.rss(target.pid)
    return {**sample, **picture, "predicted": predicted, "freed": freed, "error": abs(predicted - freed) / freed * 100}


def trim_predicted(bench, pid):
    told = json.loads(run_ok([bench.ctl, "--json", "trim", "--dry-run", str(pid)]).out)[0]
    return sum(step["predicted"] or 0 for step in told["steps"])


def _heap_contestants(bench, mib, looks, failures):
    def on(act):
        return lambda: on_bloat(bench, act, blocks=mib * PER_MIB, beat=1)

    def looked(target):
        _sensed(bench, target.pid, looks, failures)
        target.gaps()
        return _errors(bench, target, lambda t: trim_told(bench, t.pid))

    return {
        OURS: Contestant(on(looked), "reclaimctl trim PID", True),
        BOUNDED: Contestant(on(lambda t: trim_told(bench, t.pid, "--max-stop=2ms")), "reclaimctl trim --max-stop=2ms PID", True),
        OWN: Contestant(on(own("trim"))),
        GDB_NAME: Contestant(on(lambda t: gdb_call(bench, GDB, t.pid))),
    }


def heaps(bench):
    """heaps: trim and explain from 16 MiB to 8 GiB"""
    acts, looks, contestants = {}, {}, {}
    for mib in bench.sizes(HEAPS):
        runs = bench.few if mib < 1024 else 1
        looks[mib] = tuple({name: [] for name in (EXPLAIN, ROLLUP, ATTACH)} for _ in range(2))
        contestants = _heap_contestants(bench, mib, *looks[mib])
        try:
            need_memory(mib * 5 // 4)
            acts[mib] = gather(runs, {name: who.run for name, who in contestants.items()})
        except Failure as failure:
            acts[mib] = {}, {name: [str(failure)] for name in contestants}
    lookers = {EXPLAIN: Contestant(None, "reclaimctl explain PID", True), ROLLUP: Contestant(None, "cat /proc/PID/smaps_rollup"),
               ATTACH: Contestant(None, "gdb -nx -batch -p PID")}
    return [
        Curve("heap-time", "The whole command, by size of the heap", "heap", "MiB", "takes", "us", series(contestants, acts, "us")),
        Curve("heap-gap", "How long a thread stands still, by size of the heap", "heap", "MiB", "longest gap", "us",
              series(contestants, acts, "gap")),
        Curve("heap-look", "What it takes to look, by size of the heap", "heap", "MiB", "takes", "us",
              series(lookers, looks, "look_us")),
        _predictions(acts),
        *_pictures(acts),
    ]


def _pictures(acts):
    lines = [Line(f"{mib} MiB", {key: [s[key] for s in samples[OURS]] for key in ("page", "page_us")}, True,
                  "reclaimctl explain --html=FILE PID", targets={"page": Target("max", PAGE)})
             for mib, (samples, _) in acts.items() if samples.get(OURS) and "page" in samples[OURS][0]]
    if lines:
        yield Table("picture", "The picture of a heap, as one page", [("page", "size of the page", "bytes"), ("page_us", "takes", "us")], lines)


def _predictions(acts):
    lines = [Line(f"{mib} MiB", {key: [s[key] for s in samples[OURS]] for key in ("predicted", "freed", "error")}, True,
                  targets={"error": Target("max", 2)})
             for mib, (samples, _) in acts.items() if samples.get(OURS)]
    return Table("predicted", "What trim --dry-run promised, and what came",
                 [("predicted", "promised", "bytes"), ("freed", "came", "bytes"), ("error", "apart", "percent")], lines)


def processes(bench):
    """processes: who holds what, among 10 to 5,000 processes"""
    measured, who = {}, {}
    for count in bench.sizes(PROCESSES):
        with targets.Crowd(bench.build, [["heap=64", f"fork={count}"]]):
            who = sensors(bench, count)
            measured[count] = gather(bench.few if count < 5000 else 1, {name: one.run for name, one in who.items()})
    return [Curve(f"processes-{key}", f"A list of all processes{what}, by how many there are", "processes", "", title, "us",
                  series(who, measured, key))
            for key, what, title in (("us", "", "takes"), ("cpu_us", ": CPU time", "CPU time"))]


def daemon(bench):
    """daemon: what watching costs, among 10 to 5,000 large processes of which nothing is to be had"""
    contestants = {DAEMON: Contestant(None, "reclaimd, IntervalSec=1s", True), LOOP: Contestant(None, "cat /proc/[0-9]*/smaps_rollup"),
                   EARLYOOM: Contestant(None, "earlyoom --dryrun -r 0")}
    by_count = {}
    for count in bench.sizes(PROCESSES[::2]):
        samples = measure_idle(bench, 80 << 10, count, 1)
        found = {name: [s[name] for s in samples if name in s] for name in contestants}
        by_count[count] = found, {name: ["not installed"] for name in contestants if not found[name]}
    return [Curve("daemon-cpu", "CPU time of a look at all processes each second, by how many there are", "processes", "",
                  "CPU in a second", "us", series(contestants, by_count, "cpu")),
            Curve("daemon-memory", "Memory of who watches, by how many processes there are", "processes", "", "resident", "bytes",
                  series(contestants, by_count, "rss"))]


def threads(bench):
    """threads: a trim of a program of 1 to 1,000 threads"""
    measured, contestants = {}, {}
    for count in bench.sizes(THREADS):
        def on(act, count=count):
            return lambda: on_bloat(bench, act, blocks=SMALL, beat=1, idle=count - 1)

        contestants = {
            OURS: Contestant(on(lambda t: trim_told(bench, t.pid)), "reclaimctl trim PID", True),
            OWN: Contestant(on(own("trim"))),
            ATTACH: Contestant(on(lambda t: {"us": bench.gdb(t.pid, GDB, call=False).us}), "gdb -nx -batch -p PID"),
            GDB_NAME: Contestant(on(lambda t: gdb_call(bench, GDB, t.pid))),
        }
        measured[count] = gather(bench.runs, {name: who.run for name, who in contestants.items()})
    return [Curve("thread-time", "The whole command, 4 MiB heap, by number of threads", "threads", "", "takes", "us",
                  series(contestants, measured, "us")),
            Curve("thread-gap", "How long a thread stands still, 4 MiB heap, by number of threads", "threads", "",
                  "longest gap", "us", series(contestants, measured, "gap"))]
