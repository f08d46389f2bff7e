# SPDX-License-Identifier: GPL-2.0-or-later
"""seed.py STRINGS KEEP DEPTH [RESERVE]: many strings, one in KEEP stays; what a sweep gives back, what comes of growth.

DEPTH is none, normal or deep. Prints one line of JSON: resident and address space after each step.
"""

import json
import sys
import time

from purger import from_environment, rss, vsz


def build(n):
    return [str(i) * 2 for i in range(n)]


def verify(strings, step):
    for k, s in enumerate(strings):
        if s != str(k * step) * 2:
            raise SystemExit("string %d is not what it was" % (k * step))


def peak():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def main():
    n, keep, depth = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    reserve = int(sys.argv[4]) if len(sys.argv) > 4 else 1024
    out = {"version": sys.version.split()[0], "strings": n, "keep": keep, "depth": depth, "reserve": reserve,
           "rss": {}, "vsz": {}}
    purger = from_environment()

    def note(step):
        out["rss"][step], out["vsz"][step] = rss(), vsz()

    note("start")
    strings = build(n)
    note("built")
    kept = strings[::keep]
    del strings
    note("deleted")
    if depth != "none":
        out["predicted"] = purger.predict(reserve=reserve)
        t0 = time.monotonic()
        out["sweep"] = purger.sweep(deep=depth == "deep", reserve=reserve, budget_ns=2000000)
        out["sweep_s"] = round(time.monotonic() - t0, 3)
        note("swept")
        out["again"] = purger.sweep(deep=depth == "deep", reserve=reserve)
        note("swept again")
    verify(kept, keep)
    t0 = time.monotonic()
    strings = build(n)
    out["regrow_s"] = round(time.monotonic() - t0, 3)
    note("regrown")
    out["peak"] = peak()
    verify(strings, 1)
    verify(kept, keep)
    del strings
    note("freed")
    verify(kept, keep)
    if depth != "none":
        purger.sweep(deep=depth == "deep", reserve=reserve)
        note("swept at last")
    del kept
    note("all freed")
    print(json.dumps(out))


if __name__ == "__main__":
    main()
