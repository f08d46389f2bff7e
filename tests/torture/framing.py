# SPDX-License-Identifier: GPL-2.0-or-later
"""Our unwinder against gdb's: tests/frames/compare.py for some programs."""

import json
import os
import subprocess
from collections import namedtuple

import hammering
import judge

COMPARE = judge.TOP / "tests/frames/compare.py"
PATIENCE = 600  # and so long for each thousand stops
LEAST_SAME = 0.9  # of all stacks, to the outermost frame

Subject = namedtuple("Subject", "name program args")

SUBJECTS = [
    Subject("every malloc function, one thread", "single", ["--all"]),
    Subject("epoll_wait beside three malloc threads", "heap3", ["--throttle-us=1000"]),
    Subject("four kinds of sleep, SIGALRM each ms on alternate stacks", "purge_heap",
            [*hammering.HEAP, "--itimer-us=1000", "--alt"]),
    Subject("registers in user code", "regs", ["--mode=spin"]),
    Subject("Python, six kinds of sleep", "python", hammering.PYTHON),
]


def compare(drivers, subject, stops, seed):
    """What came of @stops of a new victim; raises when any stack differs."""
    env = {**os.environ, "RECLAIM_FRAMES": str(judge.BUILD / "frames"), "RECLAIM_FRAMES_STOPS": str(stops),
           "RECLAIM_FRAMES_SEED": str(seed)}
    with hammering.Running(subject.program, subject.args) as r:
        p = drivers.start(["gdb", "-nx", "-batch", "-x", COMPARE],
                          env={**env, "RECLAIM_FRAMES_PID": str(r.victim.pid)}, stderr=subprocess.STDOUT)
        out, _ = drivers.finish(p, PATIENCE * (1 + stops / 1000))
        lines = [line for line in out.splitlines() if line.startswith("{")]
        assert lines, f"gdb ended with {p.returncode}: {out[-2000:]}"
        doc = json.loads(lines[-1])
        assert not doc["different"], f"{doc['different']} of {doc['stacks']} stacks differ: {doc['differ']}"
        assert doc["stops"] == stops and doc["same"] + doc["shorter"] + doc["longer"] == doc["stacks"], doc
        # it would be easy never to differ by never saying anything
        assert doc["same"] >= LEAST_SAME * doc["stacks"], doc
        assert r.victim.alive(), r.victim.obituary()
        assert not r.victim.get("errors"), r.victim.note
    return doc
