# SPDX-License-Identifier: GPL-2.0-or-later
"""A thread asleep in each of many system calls while its process is trimmed:
result, errno and duration must be as without us."""

import pytest

import judge
from sleeping import CASES, Batch

MS = 3000
# calls with a relative timeout may start it again, nothing else may
BOUND = {"event": 1.01, "abs": 1.01, "rel": 2.0}
# at least so many calls must really have been worked on, not merely refused
MUST_ACT = 25


# how many sleep at once: all must be trimmed well before the first wakes up
WAVE = 24


class Everything:
    """What came of all the waves."""

    def __init__(self):
        self.results, self.trims, self.outside = {}, {}, {}


def wave(names, everything):
    b = Batch(names, MS)
    try:
        b.start()
        b.trim_all("--timeout=400ms")
        everything.outside.update(b.compare())
        b.collect()
    finally:
        b.kill()
    everything.results.update(b.results)
    everything.trims.update(b.trims)


@pytest.fixture(scope="module")
def batch():
    everything, names = Everything(), [c.name for c in CASES]
    for i in range(0, len(names), WAVE):
        wave(names[i:i + WAVE], everything)
    return everything


def test_there_are_cases():
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_result_as_without_us(batch, case):
    r = batch.results[case.name]
    assert r.rc is not None, f"never woke up; trim said {r.trim}"
    assert r.rc == 0 and not r.errors, f"{r.note}; trim said {r.trim}"
    assert r.elapsed_us <= MS * 1000 * BOUND[case.kind], f"took {r.elapsed_us} us; trim said {r.trim}"
    assert not batch.outside.get(case.name), f"{batch.outside[case.name]}; trim said {r.trim}"
    if r.trim.acted:
        assert r.trim.doc["freed"] > 0
    else:
        assert r.trim.rc == 3 and r.trim.reason, r.trim


def test_most_are_really_trimmed(batch, capsys):
    acted = sorted(n for n, t in batch.trims.items() if t.acted)
    refused = {n: t.reason for n, t in batch.trims.items() if not t.acted}
    with capsys.disabled():
        print(f"\n  sleepers: {len(acted)} of {len(batch.trims)} trimmed asleep, refused: {sorted(refused)}")
    assert len(acted) >= MUST_ACT, refused
    # the calls that fail on mere attach are the point of the whole thing
    for name in ("epoll_wait", "rt_sigtimedwait", "semtimedop", "recv_rcvtimeo", "io_getevents"):
        assert name in acted, refused.get(name)


SHARED = ["epoll_wait", "epoll_wait_timed_woken", "futex_wait", "read_pipe", "recv_rcvtimeo_woken", "poll", "accept4",
          "semtimedop_woken", "nanosleep", "clock_nanosleep_abs"]


@pytest.mark.parametrize("name", SHARED)
def test_with_a_busy_thread_beside(name):
    """The sleeper is one of two threads; the other is in malloc and free all the time."""
    b = Batch([name], 1500, threads=1)
    try:
        b.start()
        b.trim_all("--timeout=500ms")
        assert not b.compare()[name]
        b.collect()
        r = b.results[name]
        kind = next(c.kind for c in CASES if c.name == name)
        assert r.rc == 0 and not r.errors, f"{r.note}; trim said {r.trim}"
        # two busy programs on a small machine: this is about results, the batch above about time
        assert r.elapsed_us <= 1500 * 1000 * (BOUND[kind] + 0.1)
        assert r.trim.acted, r.trim
    finally:
        b.kill()


def test_several_trims_of_one_sleep(start):
    """Ten trims during one sleep: still the one result at the right time."""
    for name in ("epoll_wait", "read_pipe", "clock_nanosleep_abs", "futex_wait"):
        v = start("sleepers", f"--case={name}", "--ms=3000", asleep=True)
        before, longest = v.snapshot(), 0
        for _ in range(10):
            t = judge.trim(v.pid)
            longest = max(longest, t.doc["stopped_us_max"])
            v.unharmed(before)
        judge.wait_for("the end", 10, lambda v=v: not v.alive())
        assert v.proc.returncode == 0, v.note
        # the event may fall into the last stop
        assert v.get("elapsed_us") <= 3000 * 1000 * 1.01 + longest
