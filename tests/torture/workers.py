# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker as reclaimctl starts it: found, and killed while it works."""

import os
import random
import signal
import subprocess
import time
from collections import Counter

import judge
from hammering import PATIENCE, Running, as_it_was

LATE = 20  # tries for each kill that comes in time


def is_worker(pid):
    """It runs the worker's program by now, and isn't a copy of reclaimctl that is about to."""
    try:
        return os.path.samefile(f"/proc/{pid}/exe", judge.WORKER)
    except OSError:
        return False


def find_worker(p):
    """The pid of @p's worker, or None when there is none any more."""
    children = f"/proc/{p.pid}/task/{p.pid}/children"

    def look():
        if p.poll() is not None:
            return "none"
        with open(children, encoding="ascii") as f:
            return [int(pid) for pid in f.read().split() if is_worker(pid)]
    found = judge.wait_for("the worker", PATIENCE, look)
    return None if found == "none" else found[0]


def usual_time(pid):
    """From the worker's begin to its end when nobody kills it: the median of nine."""
    took = []
    for _ in range(9):
        with subprocess.Popen([judge.CTL, "trim", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
            find_worker(p)
            began = time.monotonic()
            p.wait(PATIENCE)
            took.append(time.monotonic() - began)
    return sorted(took)[4]


def murder(pid, delay):
    """A trim whose worker is killed after @delay seconds; what reclaimctl says of it."""
    argv = [judge.CTL, "--json", "trim", "--remedy=trim", "--timeout=1s", str(pid)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        worker = find_worker(p)
        time.sleep(delay)
        try:
            # Not reaped before reclaimctl has its status: the number is still the worker's, or nobody's.
            if worker and p.poll() is None:
                os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            pass
        out, err = p.communicate(timeout=PATIENCE)
    return judge.Trim(judge.Answer(subprocess.CompletedProcess(argv, p.returncode, out, err)), pid)


def kill_workers(drivers, case, count, seed, limit_ms):
    """@count workers killed before they had an answer; then it must still be possible to act on it."""
    chance, said, end = random.Random(seed), Counter(), time.monotonic() + limit_ms / 1000
    with Running(case.program, case.args) as r:
        v, usual = r.victim, usual_time(r.victim.pid)
        while said["failed"] < count and not drivers.ended and time.monotonic() < end:
            t = murder(v.pid, chance.random() * usual)
            said[t.outcome] += 1
            assert t.outcome != "failed" or t.rc == 1 and "killed" in t.reason, t
            assert said.total() < LATE * (count + 10), f"hardly any kill comes in time: {said}"
            assert not v.get("errors"), v.note
            v.moves_on(timeout=PATIENCE, rounds=1)
            as_it_was(v, r.before, PATIENCE)
        eintr, kills = r.eintr(), said["failed"]
        assert eintr <= (kills if case.counted else 0), f"{eintr} EINTR of {kills} kills: {v.note}"
        judge.wait_for("a last trim", PATIENCE, lambda: judge.trim(v.pid, "--timeout=2s").rc == 0)
        mappings = r.judge()
    return {"kills": kills, "late": said.total() - kills, "eintr": eintr, "mappings": mappings}
