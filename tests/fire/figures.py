# SPDX-License-Identifier: GPL-2.0-or-later
"""Latencies and throughput of segments: what is made of samples (end in ns, duration in ns), and how segments of two
kinds that took turns compare."""

import bisect
import math
import os
import resource
import time
from array import array

FEW = 1000  # of fewer samples a thousandth is none: the longest is told
UNSURE = .05  # how often an interval may miss what it is of
PAIRS = 6  # of fewer there is no such interval


def load(path):
    """Samples that client.py wrote: [(end, duration)], by their end."""
    numbers = array("Q")
    numbers.frombytes(path.read_bytes())
    return sorted(zip(numbers[::2], numbers[1::2]))


def within(samples, segments):
    """What ended in one of @segments, (begin, end) in ns."""
    out = []
    for begin, end in segments:
        out += samples[bisect.bisect_left(samples, (begin, 0)):bisect.bisect_left(samples, (end, 0))]
    return out


def percentile(durations, part):
    """By nearest rank; @durations are sorted."""
    return durations[max(math.ceil(part * len(durations)) - 1, 0)]


def figures(samples, segments):
    """Of all of @segments together; None when nothing ended in them."""
    some = within(samples, segments)
    if not some:
        return None
    return summary(sorted(d for _, d in some), sum(end - begin for begin, end in segments) / 1e9)


def summary(durations, seconds):
    """@durations: sorted, in ns, of what was done in @seconds"""
    return {"count": len(durations), "seconds": seconds, "per_s": len(durations) / seconds,
            "p50_us": percentile(durations, .5) / 1e3, "p999_us": percentile(durations, .999) / 1e3,
            "max_us": durations[-1] / 1e3}


def of_jobs(durations):
    """The same of jobs that were run one after the other, whose durations are all there is."""
    return summary(sorted(durations), sum(durations) / 1e9) if durations else None


def tail(f):
    """The figure that has a limit: p99.9, or of few the longest."""
    return f["p999_us"] if f["count"] >= FEW else f["max_us"]


def pairs(segments, get):
    """get() of each segment with trims beside the mean of the control's before and after it: what drifts by and by, or
    changes at once for good, falls on both. @segments: [{"kind", ...}], in turns."""
    out = []
    for i, s in enumerate(segments):
        beside = [get(c) for c in segments[max(i - 1, 0):i + 2] if c["kind"] == "control"]
        if s["kind"] != "control" and sum(beside):
            out.append(get(s) * len(beside) / sum(beside))
    return out


def interval(values):
    """Where the median is that @values are drawn around, whatever their distribution (the sign test): so many are left
    out at either end that as many tosses of a coin come out as unequal in at most UNSURE of all cases. None when they
    are too few."""
    n, tail, cut = len(values), 0, 0
    while n and 2 * (tail + math.comb(n, cut)) <= UNSURE * 2**n:
        tail += math.comb(n, cut)
        cut += 1
    ordered = sorted(values)
    return (ordered[cut - 1], ordered[n - cut]) if cut else None


def busy():
    """(clock, seconds of all processors that anybody has used, those of ours that have ended)"""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    spent = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return time.monotonic(), (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK"), spent


def others(before):
    """The part of all processors that others have used since."""
    began, all_before, ours_before = before
    now, all_now, ours_now = busy()
    return max(all_now - all_before - (ours_now - ours_before), 0) / ((now - began) * os.cpu_count())
