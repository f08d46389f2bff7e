# SPDX-License-Identifier: GPL-2.0-or-later
"""churn.py SECONDS SEED OBJECTS: allocates and frees at random, checks all contents, and is purged in between.

Runs on Python 3.8 and later. Prints one line of JSON with its figures; any wrong byte ends it with an error.
"""

import gc
import json
import random
import sys
import time

from purger import from_environment, rss


def make(rng, ident):
    """An object of a random small size whose contents follow from its number."""
    kind = ident % 5
    if kind == 0:
        return ("%d/" % ident) * (1 + ident % 60)
    if kind == 1:
        return (b"%d/" % ident) * (1 + ident % 50)
    if kind == 2:
        return (ident, ident + 0.5, "t%d" % ident)
    if kind == 3:
        return {"k%d" % ident: ident, "l": [ident] * (ident % 20)}
    return [ident + i for i in range(ident % 40)]


def good(ident, thing):
    return make(None, ident) == thing


class Churn:
    def __init__(self, seed, most):
        self.rng, self.most, self.things, self.ident = random.Random(seed), most, {}, 0
        self.checked = 0

    def grow(self, n):
        for _ in range(n):
            self.ident += 1
            self.things[self.ident] = make(self.rng, self.ident)

    def shrink(self, n):
        keys = list(self.things)
        how = self.rng.randrange(3)
        if how == 0:
            self.rng.shuffle(keys)
        elif how == 1:
            keep = self.rng.choice((7, 50, 400, 3000))
            keys = [k for i, k in enumerate(keys) if i % keep]
        for k in keys[:n]:
            del self.things[k]

    def check(self, everything):
        items = list(self.things.items())
        if not everything and len(items) > 200:
            items = self.rng.sample(items, 200)
        for ident, thing in items:
            if not good(ident, thing):
                raise SystemExit("object %d is not what it was: %r" % (ident, thing))
        self.checked += len(items)

    def step(self):
        have = len(self.things)
        if have < self.most and self.rng.random() < 0.55:
            self.grow(self.rng.randrange(1, self.most // 4 + 2))
        else:
            self.shrink(self.rng.randrange(have // 2 + 1) if self.rng.random() < 0.5 else have)


def options(rng, poison):
    small = rng.random() < 0.2
    return {
        "deep": rng.random() < 0.6,
        "reserve": rng.choice((0, 0, 1, 5, 64, 1000, (1 << 64) - 1)),
        "max_retired": rng.choice((1 << 62, 1 << 62, 1 << 20, 0)),
        "poison": poison and rng.random() < 0.6,
        "max_writes": rng.choice((20, 60, 300)) if small else 0,
        "max_ranges": rng.choice((16, 64)) if small else 0,
        "max_reads": rng.choice((100, 1000)) if small else 0,
        "max_rounds": rng.choice((1, 2, 5)) if rng.random() < 0.2 else 0,
    }


def main():
    seconds, seed, most = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    purger, churn = from_environment(), Churn(seed, most)
    rng = random.Random(seed + 1)
    sums, sweeps, poisoned, best = {}, 0, 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        churn.step()
        how = options(rng, poison=seed % 2)
        before = rss()
        got = purger.sweep(**how)
        best = max(best, before - rss())
        sweeps += 1
        poisoned += bool(how["poison"])
        for k, v in got.items():
            sums[k] = sums.get(k, 0) + v
        if got["lists_torn"]:
            raise SystemExit("the planner calls the lists torn: %r" % got)
        if got["torn"] and how["max_rounds"] == 0:
            raise SystemExit("the planner calls an arena torn: %r" % got)
        churn.check(sweeps % 10 == 0)
        if sweeps % 25 == 0:
            gc.collect()
            sys._debugmallocstats()
    churn.check(True)
    churn.things.clear()
    churn.grow(most)
    churn.check(True)
    print(json.dumps({"version": sys.version.split()[0], "sweeps": sweeps, "poisoned": poisoned,
                      "checked": churn.checked, "best": best, "sums": sums}))


if __name__ == "__main__":
    main()
