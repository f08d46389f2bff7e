# SPDX-License-Identifier: GPL-2.0-or-later
"""Trims the processes of a subject at a steady rate, from a thread of its own, and counts what came of it."""

import itertools
import json
import os
import re
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import judge

TIMEOUT = 60
AT_ONCE = 8
GONE = 5  # reclaimctl's exit status: it ended before its turn, or meanwhile
# An act that ends otherwise is a fault of ours.
OUTCOMES = {"reclaimed", "nothing", "refused", "timeout", "gone"}


def parents():
    """{pid: (parent, session)} of all processes."""
    out = {}
    # Not by glob("*/stat"), which asks for each file whether it is there, and fails when its process ends just then.
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        out[pid] = (int(fields[1]), int(fields[3]))
    return out


def family(root):
    """The pids of @root and of all below it or in its session, zombies too."""
    known = parents()
    found = {pid for pid, (_, session) in known.items() if session == root or pid == root}
    while True:
        more = {pid for pid, (parent, _) in known.items() if parent in found} - found
        if not more:
            return sorted(found & set(known))
        found |= more


class Tally:
    """What came of trims, each of one process."""

    def __init__(self):
        self.acts, self.bytes, self.stop_us, self.rounds = 0, 0, 0, 0
        self.outcomes, self.reasons, self.programs = Counter(), Counter(), Counter()
        self.broken = []

    def add(self, doc, status):
        for one in doc:
            reason = re.sub(r"\d+", "N", one["reason"] or "")
            if one["outcome"] == "failed" and status == GONE:
                self.outcomes["gone"] += 1
                continue
            self.acts += 1
            self.outcomes[one["outcome"]] += 1
            self.programs[one["comm"]] += 1
            if one["outcome"] not in ("reclaimed", "nothing"):
                self.reasons[f"{one['outcome']}: {reason}"] += 1
            self.bytes += max(one["freed"], 0) if one["outcome"] == "reclaimed" else 0
            self.stop_us = max(self.stop_us, one["stopped_us_max"])

    def merge(self, more):
        self.acts, self.bytes, self.rounds = self.acts + more.acts, self.bytes + more.bytes, self.rounds + more.rounds
        self.stop_us = max(self.stop_us, more.stop_us)
        for name in ("outcomes", "reasons", "programs"):
            getattr(self, name).update(getattr(more, name))
        self.broken += more.broken

    def doc(self):
        return {"acts": self.acts, "rounds": self.rounds, "bytes": self.bytes, "stop_us": self.stop_us,
                "outcomes": dict(self.outcomes), "reasons": dict(self.reasons), "programs": dict(self.programs),
                "broken": self.broken}


class Trimmer(threading.Thread):
    """@every: seconds of time at work between two rounds; a round is all processes, or with @in_turn the next one. Each
    is trimmed by itself, and is left out of a round while it still is. @remedies: of all rounds, or options of the
    first, the second, ... and again of the first."""

    def __init__(self, pids, remedies, every, in_turn=False):
        super().__init__(daemon=True)
        self.hows = itertools.cycle([[f"--remedy={remedies}"]] if isinstance(remedies, str) else remedies)
        self.pids, self.every, self.in_turn = pids, every, in_turn
        self.tally, self.turn = Tally(), 0
        self.due, self.since, self.ended = every / 2, None, False
        self.wake, self.pool, self.busy = threading.Condition(), ThreadPoolExecutor(AT_ONCE), set()

    def work(self):
        with self.wake:
            self.since = time.monotonic()
            self.wake.notify_all()

    def rest(self):
        """Returns when nothing is being trimmed any more."""
        with self.wake:
            if self.since is not None:
                self.due = max(self.due - (time.monotonic() - self.since), 0)
                self.since = None
            if not self.wake.wait_for(lambda: not self.busy, TIMEOUT):
                self.tally.broken.append(f"trims of {sorted(self.busy)} don't end")

    def end(self):
        if not self.is_alive():
            return
        self.rest()
        with self.wake:
            self.ended = True
            self.wake.notify_all()
        self.join(TIMEOUT)
        self.pool.shutdown()

    def run(self):
        with self.wake:
            while not self.ended:
                left = None if self.since is None else self.since + self.due - time.monotonic()
                if left is None or left > 0:
                    self.wake.wait(left)
                    continue
                # A little late: the next one is in time again. What was missed isn't made up for; and where a look at
                # all processes takes longer than a period, others must come to the lock all the same.
                self.since, self.due = time.monotonic(), max(self.every + left, self.every / 2)
                self.round()

    def round(self):
        """Under the lock, so that rest() sees all or nothing of it."""
        try:
            pids = self.pids()
        except OSError as e:
            self.tally.broken.append(str(e))
            return
        if self.in_turn and pids:
            self.turn += 1
            pids = [pids[self.turn % len(pids)]]
        self.tally.rounds += 1
        how = next(self.hows)
        for pid in pids:
            if pid not in self.busy:
                self.busy.add(pid)
                self.pool.submit(self.one, pid, how)

    def one(self, pid, how):
        doc, status, wrong = [], None, None
        try:
            out = subprocess.run([judge.CTL, "--json", "trim", *how, str(pid)], stdin=subprocess.DEVNULL,
                                 capture_output=True, text=True, timeout=TIMEOUT, check=False)
            status = out.returncode
            if status not in (0, 1, 3, GONE):
                wrong = f"reclaimctl ended with {status}: {out.stderr.strip()}"
            else:
                doc = json.loads(out.stdout)
        except Exception as e:
            wrong = f"{type(e).__name__}: {e}"
        with self.wake:
            self.tally.add(doc, status)
            if wrong:
                self.tally.broken.append(wrong[:500])
            self.busy.discard(pid)
            self.wake.notify_all()


def untouched(pids):
    """What is wrong with @pids afterwards: nobody may be left traced or stopped."""
    out = []
    for pid in pids:
        for tid in judge.tids(pid):
            s = judge.status(pid, tid)
            if s and s.get("TracerPid", "0") != "0":
                out.append(f"{s['Name']} {tid} is traced by {s['TracerPid']}")
            if s and s["State"][0] in "Tt":
                out.append(f"{s['Name']} {tid} is stopped")
    return out
