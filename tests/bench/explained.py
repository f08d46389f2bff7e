# SPDX-License-Identifier: GPL-2.0-or-later
"""What it takes to say where a process's memory is, beside what else can say some of it."""

import os
import subprocess
import time

import targets
from measure import Failure, alternate, peak, run_ok
from subjects import BIG, GDB, NOBODY, Row, Target, column, on_target

EXPLAIN_US, EXPLAIN_BYTES = 300000, 30 << 20
STRINGS, KEEP = 10**7, 1000
WALK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gdb_heap.py")
OURS, PEER_C, PEER_PYTHON = "reclaimctl explain", "gdb that walks the heap", "sys._debugmallocstats() in the program"

# The seed experiment. "stats": how long its own account takes, which stops it meanwhile.
SEED = f"""
import os, sys, time
strings = [str(i) + "xxx" for i in range({STRINGS})]
kept = strings[::{KEEP}]
del strings
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter_ns()
    sys._debugmallocstats()
    print((time.perf_counter_ns() - start) // 1000, flush=True)
"""


def _explain(bench, pid, needed):
    argv = [bench.ctl, "explain", str(pid)]
    done = run_ok(argv)
    if needed not in done.out:
        raise Failure(f"reclaimctl explain said nothing of {needed}")
    return {"us": done.us, "cpu_us": done.cpu_us, "bytes": peak(bench.build, argv)}


def _walk(bench, pid):
    argv = [*GDB, "-p", str(pid), "-x", WALK]
    done = run_ok(argv)
    if "free: " not in done.out:
        raise Failure(f"gdb walked no heap: {(done.err or done.out).strip()[-200:]}")
    return {"us": done.us, "cpu_us": done.cpu_us, "bytes": peak(bench.build, argv)}


def _rows(name, what, samples, peer):
    cost = [Row(f"explain-{name}", f"explain {what}: whole command", "us", column(samples, OURS, "us"), peer,
                column(samples, peer, "us"), Target("max", EXPLAIN_US), ours_name=OURS)]
    if any("bytes" in sample for sample in samples[peer]):
        memory = peer, column(samples, peer, "bytes")
    else:
        memory = None, None
    cost.append(Row(f"explain-{name}-memory", f"explain {what}: memory of its largest process", "bytes",
                    column(samples, OURS, "bytes"), *memory, Target("max", EXPLAIN_BYTES), ours_name=OURS))
    return cost


def _of_glibc(bench):
    options = {"blocks": BIG, "beat": 1}
    samples, _ = alternate(bench.runs, {
        OURS: lambda: on_target(bench, lambda t: _explain(bench, t.pid, "glibc"), trims=False, **options),
        PEER_C: lambda: on_target(bench, lambda t: _walk(bench, t.pid), trims=False, **options),
        NOBODY: lambda: on_target(bench, lambda t: time.sleep(0.05) or {}, trims=False, **options),
    })
    what = "1 GiB of C's heap"
    return [*_rows("glibc", what, samples, PEER_C),
            Row("explain-glibc-gap", f"explain {what}: longest gap of the target", "us",
                column(samples, OURS, "gap_us"), PEER_C, column(samples, PEER_C, "gap_us"), None,
                {NOBODY: column(samples, NOBODY, "gap_us")}, ours_name=OURS)]


def _of_python(bench):
    argv = [bench.python, "-I", "-c", SEED]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        def ask():
            program.stdin.write("stats\n")
            program.stdin.flush()
            return {"us": int(program.stdout.readline())}

        try:
            if program.stdout.readline() != "ready\n":
                raise Failure("the Python program did not begin")
            samples, _ = alternate(bench.runs, {OURS: lambda: _explain(bench, program.pid, "CPython"),
                                                PEER_PYTHON: ask})
        finally:
            program.kill()
    return _rows("cpython", f"{STRINGS // 10**6} million strings, 1 in {KEEP} kept", samples, PEER_PYTHON)


def explain(bench):
    """What it takes to explain a large heap."""
    if targets.available_memory() < 1500 << 20:
        raise Failure("less than 1.5 GiB of memory available")
    return _of_glibc(bench) + _of_python(bench)
