# SPDX-License-Identifier: GPL-2.0-or-later
"""A thread asleep in each of many system calls while its process is trimmed:
result, errno and duration must be as without us."""

import time

import pytest

import judge
from sleeping import CASES, UNTOUCHED, Batch

MS = 3000
# calls with a relative timeout may start it again, nothing else may
BOUND = {"event": 1.01, "abs": 1.01, "rel": 2.0}
# how many sleep at once: all must be trimmed well before the first wakes up
WAVE = 24


class Everything:
    """What came of all the waves."""

    def __init__(self):
        self.results, self.outside = {}, {}
        self.final = {}  # the same where it was tried again


def on_time(r, case, ms=MS, more=0.0):
    return r.elapsed_us <= ms * 1000 * (BOUND[case.kind] + more)


def well(r):
    """It woke up by itself, with the right result."""
    assert r.rc is not None, f"never woke up; trim said {r.trim}"
    assert r.rc == 0 and not r.errors, f"{r.note}; trim said {r.trim}"


def alone(name, ms=MS, threads=0, timeout="400ms"):
    """The result of one sleeper by itself."""
    b = Batch([name], ms, threads)
    try:
        b.start()
        b.trim_all(f"--timeout={timeout}")
        outside = b.compare().get(name)
        assert not outside, outside
        b.collect()
        return b.results[name]
    finally:
        b.kill()


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


def tried(everything, case):
    """What came of it; once more where its turn came when it had slept enough, or the machine was too busy."""
    r = everything.final.get(case.name, everything.results[case.name])
    for _ in range(3):
        if r.trim.acted or case.untouched and r.trim.rc != 5:
            break
        r = alone(case.name)
        well(r)
    everything.final[case.name] = r
    return r


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
    well(r)
    assert not batch.outside.get(case.name), f"{batch.outside[case.name]}; trim said {r.trim}"
    r = tried(batch, case)
    if r.trim.acted:
        assert r.trim.doc["freed"] > 0 and not case.untouched
    else:
        assert r.trim.rc == 3 and case.untouched and case.untouched in r.trim.reason, r.trim
    # A busy machine wakes anybody late, but not again and again.
    for _ in range(3):
        if on_time(r, case):
            break
        r = alone(case.name)
        well(r)
    assert on_time(r, case), f"took {r.elapsed_us} us; trim said {r.trim}"


def test_who_is_touched(batch, capsys):
    """Exactly those that may be: neither a refusal nor an action creeps in."""
    final = {c.name: tried(batch, c).trim for c in CASES}
    acted = {n for n, t in final.items() if t.acted}
    with capsys.disabled():
        print(f"\n  sleepers: {len(acted)} of {len(final)} trimmed asleep, refused: {sorted(set(final) - acted)}")
    assert set(UNTOUCHED) <= set(final)
    assert acted == set(final) - set(UNTOUCHED), {n: final[n].reason for n in set(final) - acted - set(UNTOUCHED)}


SHARED = ["epoll_wait", "epoll_wait_timed_woken", "futex_wait", "read_pipe", "recv_rcvtimeo_woken", "poll", "accept4",
          "semtimedop_woken", "nanosleep", "clock_nanosleep_abs"]


@pytest.mark.parametrize("name", SHARED)
def test_with_a_busy_thread_beside(name):
    """The sleeper is one of two threads; the other is in malloc and free all the time."""
    case = next(c for c in CASES if c.name == name)
    for _ in range(3):
        r = alone(name, 1500, threads=1, timeout="500ms")
        well(r)
        # two busy programs on a small machine: this is about results, the batch above about time
        if r.trim.acted and on_time(r, case, 1500, more=0.1):
            return
    pytest.fail(f"took {r.elapsed_us} us; trim said {r.trim}")


def test_several_trims_of_one_sleep(start):
    """Up to ten trims during one sleep: still the one result at the right time."""
    names = ("epoll_wait", "read_pipe", "clock_nanosleep_abs", "futex_wait")
    for _ in range(3):
        late = {n: us for n, us in several_trims(start, names).items() if us > MS * 1000 * BOUND["event"]}
        if not late:
            return
        names = list(late)
    pytest.fail(f"three times late: {late}")


def several_trims(start, names):
    """Sleepers that all sleep at once; how long each took, but for the longest stop."""
    until = time.monotonic() + MS / 1000 * 0.6
    victims = {n: start("sleepers", f"--case={n}", f"--ms={MS}", asleep=True) for n in names}
    before, longest, rounds = {n: v.snapshot() for n, v in victims.items()}, dict.fromkeys(names, 0), 0
    while rounds < 10 and time.monotonic() < until:
        for n, v in victims.items():
            longest[n] = max(longest[n], judge.trim(v.pid).doc["stopped_us_max"])
            v.unharmed(before[n], timeout=1)
        rounds += 1
    assert rounds > 1, "too slow to trim anything twice"
    for v in victims.values():
        judge.wait_for("the end", 30, lambda v=v: not v.alive())
        assert v.proc.returncode == 0, v.note
    # the event may fall into the last stop
    return {n: v.get("elapsed_us") - longest[n] for n, v in victims.items()}
