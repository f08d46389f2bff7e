# SPDX-License-Identifier: GPL-2.0-or-later
"""Which steps of a worker are to fail, in which ways, and which of them were reached. A step is known by its name and
by how often that came before it, whatever came between: runs differ in how long they wait, and in what they find.

*Common* are the steps that at least half of some undisturbed runs have: each must be reached, in each way. The others
are *rare*: they are tried as well, some of each call, and may be met by none."""

import collections
import math

from steps import INWARD, ROLES

READING = ("pread_mem", "ioctl")
RARE = 16  # steps of each call
TRIES = {True: 60, False: 3}  # at most; of common ones, and of rare ones


def spread(first, last, most):
    """At most so many of those numbers, evenly; 0: all."""
    every = max(1, math.ceil((last - first + 1) / most)) if most else 1
    return range(first + every - 1, last + 1, every)


def ways_at(steps, call):
    """All that can happen at a step."""
    return [*range(steps.ways_of(call)), *(() if call in INWARD else ("die", "delay"))]


class Try:
    """One step, in one way."""

    def __init__(self, role, call, nth, kind, common):
        self.role, self.call, self.nth, self.kind, self.common = role, call, nth, kind, common
        self.tries, self.reached = 0, False

    @property
    def step(self):
        return f"{self.call}@{self.nth}"

    def __repr__(self):
        return f"{self.role}:{self.step}:{self.kind}"


class Plan:
    """What was not reached comes again, after all others."""

    def __init__(self, runs, steps, reads):
        """@runs: the steps' names of each undisturbed run, by role."""
        self.steps, self.runs = {}, len(runs)
        counted = [{role: collections.Counter(run[role]) for role in ROLES} for run in runs]
        self.all = []
        for role in ROLES:
            self.steps[role] = 0
            for call in sorted({call for run in counted for call in run[role]}):
                counts = sorted(run[role][call] for run in counted)
                common = counts[len(counts) // 2]
                self.steps[role] += common
                self.add(steps, role, call, spread(1, common, reads if call in READING else 0), True)
                self.add(steps, role, call, spread(common + 1, counts[-1], RARE), False)
        self.waiting = collections.deque(self.all)

    def add(self, steps, role, call, numbers, common):
        self.all += [Try(role, call, nth, kind, common) for nth in numbers for kind in ways_at(steps, call)]

    def take(self):
        """The next, or None when there is nothing left to try."""
        return self.waiting.popleft() if self.waiting else None

    def back(self, t, reached):
        t.tries += 1
        t.reached = reached
        if not reached and t.tries < TRIES[t.common]:
            self.waiting.append(t)

    def missed(self, common=True):
        return [t for t in self.all if t.common == common and not t.reached]

    def record(self):
        """Of common and of rare ones: how many there are, and were reached."""
        out = {}
        for name, common in (("common", True), ("rare", False)):
            those = [t for t in self.all if t.common == common]
            out[name] = len(those), len(those) - len(self.missed(common))
        never = {(t.role, t.call) for t in self.all} - {(t.role, t.call) for t in self.all if t.reached}
        tries = max(t.tries for t in self.all if t.common)
        return {**out, "runs": self.runs, "tries": tries, "never": sorted(never)}
