# SPDX-License-Identifier: GPL-2.0-or-later
"""The classic advice: do the large work in a child process and let that end. What it costs, beside not doing so."""

import json

import targets
from measure import Failure, run_ok
from peers import need_memory, nothing, trim_told
from results import Contestant, Curve, gather, series, table

METHODS = ("fork", "spawn", "forkserver")
RESULTS = [10**4, 10**6, 10**7]
STRINGS = 10**7

# How long it takes to have a worker and to ask it for nothing, in a program that already holds some memory.
START = """
import json, multiprocessing, sys, time
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    held = bytearray(int(sys.argv[2]) << 20)
    held[::4096] = b"x" * len(held[::4096])
    start = time.perf_counter_ns()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(sys.argv[1])) as pool:
        pool.submit(int).result()
        asked = time.perf_counter_ns()
        for _ in range(100):
            pool.submit(int).result()
        again = (time.perf_counter_ns() - asked) / 100
    print(json.dumps({"us": (asked - start) / 1000, "again_us": again / 1000}))
"""


def _start(bench, method, mib):
    done = run_ok([bench.python, "-I", "-c", START, method, str(mib)])
    try:
        return json.loads(done.out)
    except ValueError as error:
        raise Failure(f"the program said: {done.out[:100]}") from error


def _made(bench, act, **options):
    """How long until the program has its result, and what it and its child took at most."""
    with targets.Strings(bench.python, strings=STRINGS, **options) as target:
        took, peak, child = map(int, target.ask("made"))
        sample = {"us": took, "peak": (peak + (child if "pool" in options else 0)) * 1024, **_after(act, target)}
        sample["us"] = took + sample.pop("trim_us", 0)
        target.ask("check")
        return sample


def _after(act, target):
    told = act(target)
    return {"rss": targets.rss(target.pid), "trim_us": told.get("us", 0)}


def _ways(bench, keep):
    here, trimmed = "in the program itself", "in the program itself, then reclaimctl trim"
    ways = {
        here: Contestant(lambda: _made(bench, nothing, keep=keep)),
        trimmed: Contestant(lambda: _made(bench, lambda t: trim_told(bench, t.pid), keep=keep), "reclaimctl trim PID", True),
    }
    for method in METHODS[:2]:
        ways[f"in a child, by {method}"] = Contestant(
            lambda m=method: _made(bench, nothing, keep=keep, pool=m),
            f"ProcessPoolExecutor(1, mp_context=get_context({method!r})).submit(...).result()")
    return ways


def child(bench):
    """child: the large work in a ProcessPoolExecutor: start-up, transfer, memory"""
    need_memory(3000)
    starts = {f"{method}, of a program of {mib} MiB": Contestant(lambda m=method, s=mib: _start(bench, m, s))
              for method in METHODS for mib in (16, 1024)}
    made = [table("child-start", "A child process for the work: until its first answer, and for each further one",
                  [("us", "first answer", "us"), ("again_us", "each further one", "us")], starts, bench.few)]

    measured, ways = {}, {}
    for count in bench.sizes(RESULTS):
        ways = _ways(bench, STRINGS // count)
        measured[count] = gather(1, {name: way.run for name, way in ways.items()})
    for key, title, heading, unit in (
            ("us", "Until the program has its result", "takes", "us"),
            ("rss", "What the program holds afterwards", "resident", "bytes"),
            ("peak", "The most that it and its child held", "resident", "bytes")):
        made.append(Curve(f"child-{key}", f"{title}, by how many of {STRINGS // 10**6} million strings that is", "strings kept",
                          "", heading, unit, series(ways, measured, key)))
    return made
