# SPDX-License-Identifier: GPL-2.0-or-later
"""malloc_trim in rounds, beside malloc_trim itself, while the target's threads go on allocating."""

import json
import time

import targets
from measure import Failure, alternate, run_ok
from subjects import NOBODY, Row, Target, column

SIZES = [(1024, 5), (4096, 3), (12288, 1)]  # MiB, and of how many rounds (of 20)
QUIET_S = 1
WAIT_P99, WAIT_MAX = 3000, 20000  # us


def _on_arenas(bench, act, **options):
    """A fragmented heap, four threads that allocate, and somebody who gives it back."""
    with targets.Arenas(bench.build, **options) as target:
        time.sleep(QUIET_S)
        target.waits()
        before = target.rss()
        sample = act(target)
        sample["waits"], sample["wait_p99"], sample["wait_max"], sample["call_max"] = target.waits()
        sample["rss_before"], sample["rss_after"] = before, target.rss()
        target.ask("check")
        return sample


def _purge(bench, target):
    done = run_ok([bench.ctl, "--json", "trim", "--remedy=purge", "--timeout=5min", str(target.pid)])
    told = json.loads(done.out)[0]
    return {"us": done.us, "work_us": told["steps"][0]["duration_us"], "stopped_us": told["stopped_us_max"]}


def _trim_itself(target):
    call_us = int(target.ask("trim")[1])
    return {"us": call_us, "work_us": call_us}


def _quiet(_target):
    time.sleep(QUIET_S)
    return {"us": 0, "work_us": 0}


def _bounded_rows(mib, arenas, samples):
    ours, own, nobody = "reclaimctl trim --remedy=purge", "the program's own malloc_trim(0)", NOBODY
    what = f"{mib >> 10} GiB, {arenas} arena{'s' if arenas > 1 else ''}, 4 threads"
    row_id = f"{mib}-{arenas}"

    def row(name, title, unit, key, target, controls=None):
        return Row(f"bounded-{name}-{row_id}", f"{what}: {title}", unit, column(samples, ours, key), own,
                   column(samples, own, key), target, controls or {}, ours_name=ours)

    return [
        row("yield", "RSS afterwards", "bytes", "rss_after", Target("above", 0.02),
            {"before": column(samples, ours, "rss_before")}),
        row("time", "time in all", "us", "work_us", Target("ratio", 1 / 3),
            {"whole command": column(samples, ours, "us")}),
        row("p99", "99th percentile of the waits of its threads", "us", "wait_p99", Target("max", WAIT_P99),
            {NOBODY: column(samples, nobody, "wait_p99")}),
        row("max", "longest wait of its threads", "us", "wait_max", Target("max", WAIT_MAX),
            {NOBODY: column(samples, nobody, "wait_max"), "our own account": column(samples, ours, "stopped_us"),
             "longest call": column(samples, ours, "call_max"),
             NOBODY + ", longest call": column(samples, nobody, "call_max")}),
    ]


def bounded(bench):
    """Large heaps of threads that go on allocating: malloc_trim in rounds, beside malloc_trim."""
    rows = []
    for mib, of_twenty in SIZES:
        if targets.available_memory() < (mib * 5 // 4) << 20:
            raise Failure(f"less than {mib * 5 // 4} MiB of memory available")
        for arenas in (1, 16):
            options = {"mib": mib, "arenas": arenas}
            samples, _ = alternate(max(bench.runs * of_twenty // 20, 1), {
                "reclaimctl trim --remedy=purge":
                    lambda o=options: _on_arenas(bench, lambda t: _purge(bench, t), **o),
                "the program's own malloc_trim(0)": lambda o=options: _on_arenas(bench, _trim_itself, **o),
                NOBODY: lambda o=options: _on_arenas(bench, _quiet, **o),
            }, warm=mib < 4096)
            rows += _bounded_rows(mib, arenas, samples)
    return rows
