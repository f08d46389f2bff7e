# SPDX-License-Identifier: GPL-2.0-or-later
"""What reads a target's memory is confined before it does. Where a step of that fails, or is its last, it must refuse to
work: not a byte is read, nothing is done to the target, and the caller is told that this is what has failed, and nothing
of the target that isn't so (fault build). RECLAIM_FAULT_MATRIX=1: not only for a trim."""

import errno
import time

import pytest

import steprecord
from steps import Steps
from test_steps import MATRIX, Explain, Small, count_steps

# Root of a user namespace that knows no such user, or may not become it, has no power outside of it. What it has left
# of its own the next steps take from it.
SPARED = {("setgroups", errno.EPERM), ("setresgid", errno.EPERM), ("setresgid", errno.EINVAL),
          ("setresuid", errno.EPERM), ("setresuid", errno.EINVAL)}
IDLE = {"recv", "send", "fcntl"}  # to say so; two fds are moved before either is looked at
SAID = "who looks at it could not be confined first", "the reader failed on its files or memory"


def confining(calls):
    """The steps of that, counted from 1: what is open closed, and from the first after the files are open."""
    closed, user, end = (calls.index(c) for c in ("close_range", "setgroups", "seccomp"))
    assert calls[user - 2:user] == ["open", "write"]  # of oom_score_adj
    return [*range(1, closed + 2), *range(user - 1, end + 2)]


def refused(target, steps, k, kind):
    """(was it reached, in how many ways it can fail)"""
    target.prepare()
    t = target.act(steps.env("reader", k, kind))
    lost = target.judge()
    if not steps.fired:
        return False, 1
    call, ways, error = steps.call, steps.ways, steps.error
    target.check(t, lost, steps, kind)
    after = steps.calls("reader")[k:]
    if kind != "die" and (call, error) in SPARED:
        assert t.acted and {"capset", "seccomp"} <= {*after}, (call, error, after, t)
        return True, ways
    assert not t.acted and any(t.reason.startswith(s) for s in SAID), (k, call, kind, t)
    assert {*after} <= IDLE, (call, kind, after)
    assert t.rc == 1, (call, kind, t)
    return True, ways


@pytest.mark.parametrize("kind, remedy", [(Small, "trim")] + ([(Explain, "explain")] if MATRIX else []))
def test_unconfined_reads_nothing(start, kind, remedy, capsys):
    began, target, steps = time.time(), kind(start, remedy), Steps()
    calls = count_steps(target, steps)[0]["reader"]
    tried = 0
    for k in confining(calls):
        reached, ways = refused(target, steps, k, 0)
        assert reached, (k, calls[k - 1])
        tried += ways
        for way in [*range(1, ways), "die"]:
            assert refused(target, steps, k, way)[0], (k, calls[k - 1], way)
    with capsys.disabled():
        print(f"\n  {remedy}: {len(confining(calls))} steps of the confinement, {tried} ways to fail, and death")
    steps.close()
    target.finish()
    # Where one fails there is no record of it, which is told.
    steprecord.save(f"confined: {remedy}", began, exhaustive=MATRIX, steps=len(confining(calls)), tried=tried, wrong=[],
                harmed=0, passed=True)
