# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker that never goes on, and that nobody kills: its own timer ends it (fault build). It holds at each of these
steps of the injector for good: before, under and after the stop. No client is there, whose deadline comes first."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import judge
import workerproto
from steps import Steps

HOLDS = ["fdopendir", "seize", "getregs", "setregs", "cont", "detach"]
# The timer is 0.7 s late: from a deadline of 7 s on that is within a tenth.
DEADLINE = 8
TRIES = 3  # on a busy machine its parent may be late to see it
PATIENCE = 30


def held(v, hold):
    """Seconds from the request to the worker's end."""
    steps = Steps()
    v.command("again")
    v.wait_asleep()
    before = v.snapshot()
    message = workerproto.request(v.pid, remedies=workerproto.TRIM, timeout_us=DEADLINE * 1000000)
    with workerproto.Worker(None, env=steps.env(hold=hold)) as worker:
        # Its start is none of its time.
        judge.wait_for("it to wait for a request", PATIENCE, lambda: judge.state(worker.pid) == "S")
        began = time.monotonic()
        worker.socket.send(message)
        judge.wait_for(f"it to hold at {hold}", DEADLINE, lambda: steps.held)
        status = worker.wait(PATIENCE)
        took = time.monotonic() - began
        assert status == -signal.SIGALRM, f"{hold}: {status} after {took:.2f} s"
        assert worker.result() is None
    assert steps.held and took >= DEADLINE, f"{hold}: after {took:.2f} s"
    steps.close()
    judge.wait_for("no tracer", PATIENCE, lambda: judge.status(v.pid, field="TracerPid") == "0")
    v.unharmed(before, quiet=True)
    return took


def held_in_time(v, hold):
    took = []
    while len(took) < TRIES and not any(t < 1.1 * DEADLINE for t in took):
        took.append(held(v, hold))
    return took


def test_held(start, capsys):
    victims = [start("bloat", "--count=5000", "--every=100", asleep=True) for _ in HOLDS]
    with ThreadPoolExecutor(len(HOLDS)) as pool:
        took = dict(zip(HOLDS, pool.map(held_in_time, victims, HOLDS)))
    with capsys.disabled():
        print(f"\n  held for good, {DEADLINE} s: ended after", ", ".join(f"{h} {t[-1]:.2f} s" for h, t in took.items()))
    assert all(min(t) < 1.1 * DEADLINE for t in took.values()), f"later than a tenth: {took}"
    for v in victims:
        v.finish()
