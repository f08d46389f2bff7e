# SPDX-License-Identifier: GPL-2.0-or-later
"""Timing of whole commands, and figures from samples."""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass


class Failure(Exception):
    """A measurement that gave no valid figure; the text says why."""


@dataclass
class Command:
    """What one run of a command took and said."""

    us: float
    cpu_us: float
    status: int
    out: str
    err: str


def _text(fd):
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0).decode(errors="replace")


def run(argv):
    """Runs a command from start to end.

    posix_spawn and files in memory keep our own part small and the same for
    everyone: no fork of a big interpreter, no thread that empties pipes.
    """
    out, err = os.memfd_create("out"), os.memfd_create("err")
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_DUP2, err, 2),
        ]
        start = time.perf_counter_ns()
        pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        end = time.perf_counter_ns()
        return Command(
            us=(end - start) / 1000,
            cpu_us=(usage.ru_utime + usage.ru_stime) * 1e6,
            status=os.waitstatus_to_exitcode(status),
            out=_text(out),
            err=_text(err),
        )
    except OSError as error:
        raise Failure(f"{os.path.basename(argv[0])}: {error.strerror}") from error
    finally:
        os.close(out)
        os.close(err)


def run_ok(argv):
    """Same; a command that fails gives no figure."""
    done = run(argv)
    if done.status != 0:
        said = (done.err or done.out).strip().splitlines()
        raise Failure(f"{os.path.basename(argv[0])} ended with status {done.status}: {said[-1] if said else ''}")
    return done


def peak(build, argv):
    """Bytes that the largest process of a command had at most; in a run of its own."""
    with tempfile.NamedTemporaryFile("r", prefix="reclaim-bench-") as told:
        run_ok([f"{build}/bench/peak", told.name, *argv])
        return int(told.read()) * 1024


def alternate(runs, contestants, warm=True):
    """Measures all contestants in the same rounds, another one first each time.

    contestants: name -> function that returns a dict of figures. One round
    before the first warms caches and doesn't count, unless warm is false. A measurement may fail in
    one round of ten at most: more than that is no result.
    Returns name -> list of dicts, and name -> reasons of failures.
    """
    names = list(contestants)
    samples = {name: [] for name in names}
    failures = {name: [] for name in names}
    for turn in range(-1 if warm else 0, runs):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            try:
                sample = contestants[name]()
            except Failure as failure:
                failures[name].append(str(failure))
                if len(failures[name]) > runs // 10 + 1:
                    raise Failure(f"{name}: {failure}") from failure
                continue
            if turn >= 0:
                samples[name].append(sample)
    for name, some in samples.items():
        if not some:
            raise Failure(f"{name}: {failures[name][-1]}")
    return samples, failures


def figures(values):
    """Median and spread."""
    if len(values) > 1:
        cuts = statistics.quantiles(values, n=10, method="inclusive")
    else:
        cuts = [values[0]] * 9
    return {
        "n": len(values),
        "median": statistics.median(values),
        "p10": cuts[0],
        "p90": cuts[8],
        "min": min(values),
        "max": max(values),
    }
