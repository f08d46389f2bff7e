# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker dies, or is stopped for a while, before and after each call to the kernel of a cold (fault build): nobody
is stopped for it, so nobody is ever left stopped, and what was done stays done."""

import os
import signal

import pytest

import judge
import workerproto as w
from advised import Advised

MIB = 1 << 20
SIZE = 96 * MIB


def cold(v, fault):
    """The result, or None when the worker died."""
    message = w.request(v.pid, remedies=w.COLD, idle=w.AGES, ranges=[v.range()], idle_us=1, timeout_us=20000000)
    with w.Worker(message, env={"RECLAIM_FAULT": fault} if fault else None) as worker:
        if fault and fault.startswith("pause"):
            judge.wait_for("it to stop", 20, lambda: worker.poll() is not None or judge.state(worker.pid) == "T")
            v.untouched()
            v.intact()
            if worker.poll() is None:
                os.kill(worker.pid, signal.SIGCONT)
        r = worker.result(30)
        worker.wait(30)
        return r


@pytest.mark.parametrize("when", ["kill", "kill-after", "pause"])
def test_sweep(when):
    with Advised(SIZE) as v:
        died = 0
        for k in range(1, 100):
            r = cold(v, f"{when}:{k}")
            died += r is None
            v.untouched()
            if k % 4 == 0:
                v.intact()
            # A call takes 2 MiB at first and 16 at most.
            if r and when != "pause":
                break
            if when == "pause" and k == 12:
                break
            assert not r or when == "pause"
        assert when == "pause" or died >= SIZE / MIB // 16, died
        r = cold(v, None)
        assert r and r.steps[0].detail.startswith("96.0MiB deactivated"), r
        v.untouched()
        v.intact()
