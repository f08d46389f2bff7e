# SPDX-License-Identifier: GPL-2.0-or-later
"""One bloated program, and all that people do about it: what stays, how long it takes, how long the program waits."""

import json
import time
from pathlib import Path

import targets
from measure import Failure, run_ok
from results import Contestant, table
from subjects import BARE_NAME, BIG, GDB, GDB_BARE, GDB_NAME, Target

MIB = 1 << 20
QUIET_S = 0.2  # long enough to see how busy the machine is
SETTLE_S = 10  # for allocators that give back by and by
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
THRESHOLD = {"MALLOC_TRIM_THRESHOLD_": "65536"}
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
CHANGES, RESTARTS = "program changed", "restart"
COLUMNS = [("rss", "resident afterwards", "bytes"), ("us", "takes", "us"), ("gap", "a thread stands still", "us")]
AFTERWARDS = [("rss", "resident afterwards", "bytes"), ("us", "takes", "us")]
# What was asked for, in MiB, by how many are kept: depth normal, deep.
LIMITS = {1000: (210, 100), 5000: (160, 36), 100000: (30, 18)}


def need_memory(mib):
    if targets.available_memory() < mib * MIB:
        raise Failure(f"less than {mib} MiB of memory available")


def trim_told(bench, pid, *options):
    """reclaimctl trim, which must have done something."""
    done = run_ok([bench.ctl, "--json", "trim", "--timeout=5min", *options, str(pid)])
    told = json.loads(done.out)[0]
    if told["outcome"] != "reclaimed":
        raise Failure(f"reclaimctl trim: {told['outcome']}: {told.get('reason')}")
    return {"us": done.us, "stopped_us": told["stopped_us_max"], "freed": told["freed"]}


def gdb_call(bench, program, pid):
    """The debugger's one line, where it is able to make a call."""
    if not bench.gdb_calls():
        raise Failure(f"can't call a function of a program on this machine: {bench.gdb_fails}")
    return {"us": bench.gdb(pid, program).us}


def preload():
    if not Path(JEMALLOC).exists():
        raise Failure("libjemalloc2 is missing: run 'scripts/setup report'")
    return {"LD_PRELOAD": JEMALLOC}


def settle(_target):
    time.sleep(SETTLE_S)
    return {}


def nothing(_target):
    time.sleep(QUIET_S)
    return {}


def own(command):
    """The program does it itself: the thread that does stands still for as long as that takes, and doesn't note it."""
    def run(target):
        took = int(target.ask(command)[-1])
        return {"us": took, "still": took}
    return run


def on_strings(bench, act, env=None, **options):
    """One measurement on a fresh Python program, whose strings must stay."""
    with targets.Strings(bench.python, env() if callable(env) else env, **options) as target:
        target.gap()
        sample = act(target)
        sample["gap"] = max(target.gap(), sample.get("still", 0))
        sample["rss"] = targets.rss(target.pid)
        sample["made_us"] = int(target.ask("made")[0])
        target.ask("check")
        return sample


def on_bloat(bench, act, env=None, **options):
    """The same of the C program."""
    with targets.Bloat(bench.build, env() if callable(env) else env, **options) as target:
        target.gaps()
        sample = act(target)
        sample["gap"] = max(target.gaps()[0], sample.get("still", 0))
        sample["rss"] = target.rss()
        target.ask("check")
        return sample


def on_arenas(bench, act, env=None, **options):
    """And of the one with threads that go on allocating; a wait is what one of them spends asleep in malloc."""
    with targets.Arenas(bench.build, env() if callable(env) else env, **options) as target:
        target.waits()
        sample = act(target)
        sample["gap"] = target.waits()[2]
        sample["rss"] = target.rss()
        target.ask("check")
        return sample


def collect_and_trim(target):
    took = int(target.ask("collect")[0]) + int(target.ask("trim")[0])
    return {"us": took, "still": took}


def restarted(make):
    """A program that was ended and started anew, without what it had done: how long until it is there again."""
    start = time.perf_counter_ns()
    with make() as target:
        return {"us": (time.perf_counter_ns() - start) / 1000, "rss": targets.rss(target.pid)}


def _gdbs(bench, on):
    return {
        GDB_NAME + ": call malloc_trim(0)": Contestant(lambda: on(lambda t: gdb_call(bench, GDB, t.pid)),
                                                       "gdb -nx -batch -p PID -ex 'call (int)malloc_trim(0)'"),
        BARE_NAME + ": the same": Contestant(lambda: on(lambda t: gdb_call(bench, GDB_BARE, t.pid))),
    }


def _seed(bench, keep):
    """All of them on the list of ten million strings."""
    def on(act, env=None, **options):
        return on_strings(bench, act, env, **{"keep": keep, **options})

    normal, deep = LIMITS[keep]
    debugger, *_ = _gdbs(bench, on).items()
    return {
        "nothing": Contestant(lambda: on(nothing)),
        "gc.collect()": Contestant(lambda: on(own("collect")), note=CHANGES),
        "gc.collect() and malloc_trim(0)": Contestant(lambda: on(collect_and_trim), note=CHANGES),
        debugger[0]: debugger[1],
        "MALLOC_TRIM_THRESHOLD_ before exec": Contestant(lambda: on(nothing, THRESHOLD), "MALLOC_TRIM_THRESHOLD_=65536 python3 ...", note=RESTARTS),
        "MALLOC_ARENA_MAX before exec": Contestant(lambda: on(nothing, ONE_ARENA), "MALLOC_ARENA_MAX=1 python3 ...", note=RESTARTS),
        "malloc for all objects, malloc_trim(0)": Contestant(
            lambda: on(own("trim"), {"PYTHONMALLOC": "malloc"}), "PYTHONMALLOC=malloc python3 ...", note=f"{RESTARTS}, {CHANGES}"),
        "jemalloc for all objects, 10 s later": Contestant(
            lambda: on(settle, lambda: {**preload(), "PYTHONMALLOC": "malloc"}),
            "LD_PRELOAD=libjemalloc.so.2 PYTHONMALLOC=malloc python3 ...", note=RESTARTS),
        "a child process does it": Contestant(lambda: on(nothing, pool="fork"), "ProcessPoolExecutor(1).submit(...).result()", note=CHANGES),
        "restart, all is lost": Contestant(lambda: restarted(lambda: targets.Strings(bench.python, strings=0)), note=RESTARTS),
        "reclaimctl trim --depth=normal": Contestant(lambda: on(lambda t: trim_told(bench, t.pid, "--depth=normal")),
                                                     "reclaimctl trim --depth=normal PID", True,
                                                     targets={"rss": Target("max", normal * MIB)}),
        "reclaimctl trim --depth=deep": Contestant(lambda: on(lambda t: trim_told(bench, t.pid, "--depth=deep")),
                                                   "reclaimctl trim --depth=deep PID", True,
                                                   targets={"rss": Target("max", deep * MIB)}),
    }


def python_peers(bench):
    """python: ten million strings, and everybody who might get their memory back"""
    need_memory(2000)
    made = [table("python-1000", "Python, one of 1000 strings kept", COLUMNS, _seed(bench, 1000), bench.few, ("rss",))]
    for keep in (5000, 100000):
        some = {name: who for name, who in _seed(bench, keep).items()
                if who.ours or name in ("nothing", "gc.collect() and malloc_trim(0)")}
        made.append(table(f"python-{keep}", f"Python, one of {keep} strings kept", COLUMNS, some, 1))
    return made


def _again(act):
    """Afterwards all of it is built, checked and deleted once more."""
    def run(target):
        act(target)
        took, peak, stays = map(int, target.ask("rebuild"))
        return {"us": took, "peak": peak * 1024, "stays": stays * 1024}
    return run


def python_again(bench):
    """again: what was given back is needed again"""
    need_memory(2000)
    columns = [("us", "building it again takes", "us"), ("peak", "resident with the whole list", "bytes"),
               ("stays", "after deleting it", "bytes")]

    def again(act):
        return lambda: on_strings(bench, _again(act))

    def trim(*options):
        return lambda target: trim_told(bench, target.pid, *options)

    return [table("python-again", "Python, the whole list built and deleted once more", columns, {
        "never trimmed": Contestant(again(nothing)),
        "gc.collect() and malloc_trim(0)": Contestant(again(collect_and_trim)),
        "reclaimctl trim --depth=normal": Contestant(again(trim("--depth=normal")), "reclaimctl trim --depth=normal PID", True),
        "reclaimctl trim --depth=deep": Contestant(again(trim("--depth=deep")), "reclaimctl trim --depth=deep PID", True),
    }, 1)]


def c_peers(bench):
    """c: a C program that frees 499 in 500 of its entries, and everybody who might get their memory back"""
    need_memory(2000)

    def on(act, env=None):
        return on_bloat(bench, act, env, blocks=BIG, beat=1)

    return [table("c", "C, 1 GiB of small blocks, 499 in 500 freed", COLUMNS, {
        "nothing": Contestant(lambda: on(nothing)),
        "its own malloc_trim(0)": Contestant(lambda: on(own("trim")), note=CHANGES),
        **_gdbs(bench, on),
        "MALLOC_TRIM_THRESHOLD_ before exec": Contestant(lambda: on(nothing, THRESHOLD), "MALLOC_TRIM_THRESHOLD_=65536 program", note=RESTARTS),
        "MALLOC_ARENA_MAX before exec": Contestant(lambda: on(nothing, ONE_ARENA), "MALLOC_ARENA_MAX=1 program", note=RESTARTS),
        "jemalloc": Contestant(lambda: on(nothing, preload), "LD_PRELOAD=libjemalloc.so.2 program", note=RESTARTS),
        "jemalloc, 10 s later": Contestant(lambda: on(settle, preload), "LD_PRELOAD=libjemalloc.so.2 program", note=RESTARTS),
        "restart, all is lost": Contestant(lambda: restarted(lambda: targets.Bloat(bench.build, blocks=1)), note=RESTARTS),
        "restart, until all is there again": Contestant(
            lambda: restarted(lambda: targets.Bloat(bench.build, blocks=BIG)), note=RESTARTS),
        "reclaimctl trim": Contestant(lambda: on(lambda t: trim_told(bench, t.pid)), "reclaimctl trim PID", True),
        "reclaimctl trim --max-stop=2ms": Contestant(lambda: on(lambda t: trim_told(bench, t.pid, "--max-stop=2ms")),
                                                     "reclaimctl trim --max-stop=2ms PID", True),
    }, bench.few, ("rss", "gap"))]


def thread_peers(bench):
    """arenas: sixteen arenas, and four threads that go on allocating"""
    need_memory(2000)

    def on(act, env=None):
        return on_arenas(bench, act, env, mib=1024, arenas=16)

    columns = [*AFTERWARDS, ("gap", "a thread waits in malloc", "us")]
    return [table("threaded", "C, 1 GiB in 16 arenas, four threads at work", columns, {
        "nothing": Contestant(lambda: on(nothing)),
        "its own malloc_trim(0)": Contestant(lambda: on(own("trim")), note=CHANGES),
        "MALLOC_TRIM_THRESHOLD_ before exec": Contestant(lambda: on(nothing, THRESHOLD), "MALLOC_TRIM_THRESHOLD_=65536 program", note=RESTARTS),
        "one arena (as MALLOC_ARENA_MAX=1)": Contestant(lambda: on_arenas(bench, nothing, mib=1024, arenas=1), note=RESTARTS),
        "jemalloc, 10 s later": Contestant(lambda: on(settle, preload), "LD_PRELOAD=libjemalloc.so.2 program", note=RESTARTS),
        "reclaimctl trim": Contestant(lambda: on(lambda t: trim_told(bench, t.pid)), "reclaimctl trim PID", True),
        "reclaimctl trim --remedy=purge": Contestant(lambda: on(lambda t: trim_told(bench, t.pid, "--remedy=purge")),
                                                     "reclaimctl trim --remedy=purge PID", True),
    }, bench.few, ("rss",))]
