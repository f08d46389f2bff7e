# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured. Each subject gives rows: ours, the peer's, and controls, from the same rounds."""

import json
import os
import re
import sys
import time
from dataclasses import dataclass, field

import targets
from measure import Failure, alternate, run_ok

SMALL = 8192  # blocks of 64 to 960 bytes: 4 MiB
BIG = 2000000  # 1 GiB
CROWD = 500
MAPPINGS = 5000
CANDIDATE = 10 << 20  # what "ps" without --all leaves out
COLUMNS = "--output=pid,user,rss,anon,file,shmem,heap,mmap,swap,thr,unit,exe,comm"

# Where debuginfod is configured gdb would ask the network. Where debug files of
# libc are installed it reads them while the target stands still: so a second gdb
# is kept from finding them, which makes it several times faster.
GDB = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off"]
GDB_BARE = [*GDB, "-iex", "set debug-file-directory /nonexistent"]
GDB_CALL = ["-ex", "call (int)malloc_trim(0)"]

OURS = "reclaimctl"
GDB_NAME = "gdb"
BARE_NAME = "gdb, no debug files"
# gdb 13 can't write registers back on processors with AMX: "Couldn't write extended state status: Bad address".
# Attaching and detaching it can, which is a part of its call: who is so much faster than the part is so than the whole.
NO_CALL = " (attaches and detaches only: it can't call here)"
BARE_CONTROL = "gdb, no debug files, attach and detach only"
NOBODY = "nobody"


@dataclass
class Target:
    """To be reached: "ratio" at least, "max" at most, "within" so much of the peer, so much "above" it at most."""

    kind: str
    value: float


@dataclass
class Row:
    """One line of the result."""

    id: str
    title: str
    unit: str  # "us", "bytes" or "times"
    ours: list
    peer_name: str
    peer: list
    target: Target = None
    controls: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)
    ours_name: str = OURS


class Bench:
    """What every subject needs."""

    def __init__(self, build, runs):
        self.build = build
        self.runs = runs
        self.ctl = f"{build}/reclaimctl"
        self.python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else "python3"
        self.gdb_fails = None

    def gdb_calls(self):
        """Whether gdb is able to call a function of a target on this machine; tried three times, once."""
        if self.gdb_fails is None:
            self.gdb_fails = ""
            for _ in range(3):
                try:
                    on_target(self, lambda t: _command(self.gdb(t.pid, GDB)), blocks=SMALL)
                    self.gdb_fails = ""
                    break
                except Failure as failure:
                    self.gdb_fails = str(failure)
            if self.gdb_fails:
                print(f"bench: only attaches and detaches, since it fails to call: {self.gdb_fails}", file=sys.stderr)
        return not self.gdb_fails

    def trim(self, pid):
        return run_ok([self.ctl, "trim", str(pid)])

    def trim_json(self, pid):
        """What reclaimctl itself says about a trim."""
        done = run_ok([self.ctl, "--json", "trim", str(pid)])
        try:
            told = json.loads(done.out)[0]
            step = told["steps"][0]
        except (ValueError, LookupError) as error:
            raise Failure(f"reclaimctl --json trim gave no step: {done.out[:200]}") from error
        outside = re.search(r"(\d+(?:\.\d+)?) ?us outside", step["detail"] or "")
        return {
            "us": done.us,
            "cpu_us": done.cpu_us,
            "stopped_us": told["stopped_us_max"],
            "outside_us": float(outside[1]) if outside else None,
            "told_freed": told["freed"],
        }

    @staticmethod
    def gdb(pid, program, call=True):
        done = run_ok([*program, "-p", str(pid), *(GDB_CALL if call else [])])
        if call and "$1 = " not in done.out:
            raise Failure(f"gdb made no call: {done.err.strip()[-200:]}")
        return done

    def peer(self, *args):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "psutil_ps.py")
        done = run_ok([self.python, "-I", script, *args])
        loop_us, rows = done.err.split()[-2:]
        return {"us": done.us, "cpu_us": done.cpu_us, "loop_us": int(loop_us), "rows": int(rows)}


def column(samples, name, key):
    """One figure of all of a contestant's samples."""
    values = [sample[key] for sample in samples[name] if sample.get(key) is not None]
    if not values:
        raise Failure(f"{name} gave no {key}")
    return values


def on_target(bench, act, trims=True, **options):
    """One measurement on a fresh target, which must lose its memory and nothing else."""
    with targets.Bloat(bench.build, **options) as target:
        before = target.rss()
        target.gaps()
        sample = act(target)
        sample["gap_us"], sample["second_gap_us"] = target.gaps()
        sample["rss_before"], sample["rss_after"] = before, target.rss()
        if trims and sample["rss_after"] > before * 0.7:
            raise Failure(f"the target kept {sample['rss_after']} of {before} bytes")
        target.ask("check")
        return sample


def _command(done):
    return {"us": done.us, "cpu_us": done.cpu_us}


def _own_trim(target):
    _, call_us = target.ask("trim")
    return {"call_us": int(call_us)}


def _nothing(_target):
    time.sleep(0.05)
    return {}


def _trimmers(bench, **options):
    """The contestants of a trim on a target with these options."""
    call = bench.gdb_calls()

    def gdb(program):
        return on_target(bench, lambda t: _command(bench.gdb(t.pid, program, call)), trims=call, **options)

    return {
        OURS: lambda: on_target(bench, lambda t: bench.trim_json(t.pid), **options),
        GDB_NAME: lambda: gdb(GDB),
        BARE_NAME: lambda: gdb(GDB_BARE),
    }


def _controls(bench, **options):
    """gdb that attaches and detaches, and nobody at all."""
    return {
        "gdb, attach and detach only": lambda: on_target(
            bench, lambda t: _command(bench.gdb(t.pid, GDB, call=False)), trims=False, **options
        ),
        BARE_CONTROL: lambda: on_target(
            bench, lambda t: _command(bench.gdb(t.pid, GDB_BARE, call=False)), trims=False, **options
        ),
        NOBODY: lambda: on_target(bench, _nothing, trims=False, **options),
    }


def _rows_vs_gdb(bench, samples, failures, key, row_id, title, ratio=None):
    """Two rows: against gdb as found, and against gdb that reads no debug files."""
    shared = {
        name: column(samples, name, key)
        for name in samples
        if name not in (OURS, GDB_NAME, BARE_NAME) and any(key in sample for sample in samples[name])
    }
    return [
        Row(
            id=row_id + suffix,
            title=title,
            unit="us",
            ours=column(samples, OURS, key),
            peer_name=peer if bench.gdb_calls() else peer + NO_CALL,
            peer=column(samples, peer, key),
            target=Target("ratio", ratio) if ratio else None,
            controls={} if suffix else shared,
            failures={} if suffix else failures,
        )
        for suffix, peer in (("", GDB_NAME), ("-bare", BARE_NAME))
    ]


def small_command(bench):
    """Whole command, small heap."""
    options = {"blocks": SMALL}
    contestants = _trimmers(bench, **options)
    contestants[OURS] = lambda: on_target(bench, lambda t: _command(bench.trim(t.pid)), **options)
    contestants.update(_controls(bench, **options))
    del contestants[NOBODY]
    contestants["starting /bin/true"] = lambda: _command(run_ok(["/bin/true"]))
    samples, failures = alternate(bench.runs, contestants)
    return _rows_vs_gdb(bench, samples, failures, "us", "trim-small", "trim PID, 4 MiB heap: whole command", 20)


def small_stop(bench):
    """How long the thread that makes the call stands still, small heap; and our own account of it."""
    options = {"blocks": SMALL, "beat": 1}
    samples, failures = alternate(bench.runs, {**_trimmers(bench, **options), **_controls(bench, **options)})
    rows = _rows_vs_gdb(bench, samples, failures, "gap_us", "gap-small",
                        "trim PID, 4 MiB heap: longest gap of the target")
    rows[0].controls["reclaimctl's own account (stopped_us)"] = column(samples, OURS, "stopped_us")
    rows.append(
        Row(
            id="stop-outside",
            title="trim PID, 4 MiB heap: stop outside malloc_trim itself",
            unit="us",
            ours=column(samples, OURS, "outside_us"),
            peer_name=BARE_CONTROL,
            peer=column(samples, BARE_CONTROL, "gap_us"),
            target=Target("max", 300),
        )
    )
    return rows


def other_thread(bench):
    """How long a thread that has nothing to do with the call stands still."""
    options = {"blocks": SMALL, "spin": 1}
    samples, failures = alternate(bench.runs, {**_trimmers(bench, **options), **_controls(bench, **options)})
    title = "trim PID: longest gap of another, busy thread"
    return _rows_vs_gdb(bench, samples, failures, "second_gap_us", "gap-other", title)


def big_heap(bench):
    """1 GiB: total stop, whole command, and what comes back."""
    if targets.available_memory() < 1500 << 20:
        raise Failure("less than 1.5 GiB of memory available")
    options = {"blocks": BIG, "beat": 1}
    own = "the program's own malloc_trim(0)"
    contestants = _trimmers(bench, **options)
    contestants[own] = lambda: on_target(bench, _own_trim, **options)
    samples, failures = alternate(bench.runs, contestants)

    outside = {name: samples[name] for name in (OURS, GDB_NAME, BARE_NAME)}
    gaps = _rows_vs_gdb(bench, outside, failures, "gap_us", "gap-big",
                        "trim PID, 1 GiB heap: longest gap of the target")
    gaps[0].controls = {
        "reclaimctl's own account (stopped_us)": column(samples, OURS, "stopped_us"),
        own + ", the call alone": column(samples, own, "call_us"),
    }
    command = _rows_vs_gdb(bench, outside, {}, "us", "trim-big", "trim PID, 1 GiB heap: whole command")
    yields = [
        Row("stop-outside-big", "trim PID, 1 GiB heap: stop outside malloc_trim itself", "us",
            column(samples, OURS, "outside_us"), None, None, Target("max", 300)),
        Row("yield", "RSS after the trim, of 1 GiB", "bytes", column(samples, OURS, "rss_after"),
            own, column(samples, own, "rss_after"), Target("within", 0.02),
            {"before": column(samples, OURS, "rss_before"),
             **({GDB_NAME: column(samples, GDB_NAME, "rss_after")} if bench.gdb_calls() else {})}),
        Row("freed", "freed, as reported and as /proc says", "bytes", column(samples, OURS, "told_freed"),
            "/proc/PID/smaps_rollup", [s["rss_before"] - s["rss_after"] for s in samples[OURS]],
            Target("within", 0.01)),
    ]
    return gaps + command + yields


def ps_crowd(bench):
    """ps over 500 more processes, one in ten with a heap worth looking at."""
    members = [[f"heap={16384 if i % 10 == 0 else 64}"] for i in range(CROWD)]

    def ours(least, *args):
        done = run_ok([bench.ctl, "ps", *args])
        if done.out.count("\n") < least:
            raise Failure(f"reclaimctl ps showed {done.out.count(chr(10))} lines, not {least}")
        return _command(done)

    def peer(least, *args):
        sample = bench.peer(*args)
        if sample["rows"] < least:
            raise Failure(f"the psutil script showed {sample['rows']} processes, not {least}")
        return sample

    full, few = "psutil script", "psutil script, only from 10 MiB up"
    ours_few, cheap = "reclaimctl ps", "psutil script, without anon/file/shmem/heap/swap"
    with targets.Crowd(bench.build, members):
        samples, failures = alternate(bench.runs, {
            OURS: lambda: ours(CROWD, "--all", COLUMNS),
            full: lambda: peer(CROWD),
            cheap: lambda: peer(CROWD, "--no-maps"),
            ours_few: lambda: ours(CROWD // 10, COLUMNS),
            few: lambda: peer(CROWD // 10, f"--min={CANDIDATE}"),
        })

    def row(row_id, title, name, peer_name, target, controls=None):
        own = {
            "CPU time, reclaimctl": column(samples, name, "cpu_us"),
            "CPU time, " + peer_name: column(samples, peer_name, "cpu_us"),
            peer_name + ", without loading Python and psutil": column(samples, peer_name, "loop_us"),
        }
        return Row(row_id, title, "us", column(samples, name, "us"), peer_name, column(samples, peer_name, "us"),
                   target, {**own, **(controls or {})})

    rows = [
        row("ps", f"ps --all, {CROWD} more processes", OURS, full, Target("ratio", 10),
            {cheap: column(samples, cheap, "us")}),
        row("ps-candidates", f"ps from 10 MiB up, {CROWD} more processes", ours_few, few, None),
    ]
    rows[0].failures = failures
    return rows


def dry_run(bench):
    """What it costs to ask first."""
    options = {"blocks": SMALL, "beat": 1}
    dry = "reclaimctl trim --dry-run"

    def ask(target):
        return _command(run_ok([bench.ctl, "trim", "--dry-run", str(target.pid)]))

    samples, failures = alternate(bench.runs, {
        dry: lambda: on_target(bench, ask, trims=False, **options),
        "reclaimctl trim": lambda: on_target(bench, lambda t: _command(bench.trim(t.pid)), **options),
        NOBODY: lambda: on_target(bench, _nothing, trims=False, **options),
    })
    return [
        Row("dry-run", "trim --dry-run PID, 4 MiB heap: whole command", "us", column(samples, dry, "us"),
            "reclaimctl trim", column(samples, "reclaimctl trim", "us"), failures=failures),
        Row("dry-run-gap", "trim --dry-run PID: longest gap of the target", "us", column(samples, dry, "gap_us"),
            NOBODY, column(samples, NOBODY, "gap_us")),
    ]


def ps_mappings(bench):
    """ps of one process with many mappings."""
    with targets.Crowd(bench.build, [[f"maps={MAPPINGS}"]]) as crowd:
        pid = str(crowd.pids[0])
        with open(f"/proc/{pid}/maps", "rb") as maps:
            count = maps.read().count(b"\n")
        if count < MAPPINGS:
            raise Failure(f"the target has only {count} mappings")
        samples, failures = alternate(bench.runs, {
            OURS: lambda: _command(run_ok([bench.ctl, "ps", pid])),
            "psutil script": lambda: bench.peer(pid),
        })
    return [Row("ps-mappings", f"ps PID, {MAPPINGS} mappings", "us", column(samples, OURS, "us"), "psutil script",
                column(samples, "psutil script", "us"), None,
                {"psutil script, without loading Python and psutil": column(samples, "psutil script", "loop_us")},
                failures)]


SUBJECTS = {
    "small": small_command,
    "stop": small_stop,
    "thread": other_thread,
    "ps": ps_crowd,
    "dry": dry_run,
    "maps": ps_mappings,
    "big": big_heap,
}
