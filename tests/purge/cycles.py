# SPDX-License-Identifier: GPL-2.0-or-later
"""cycles.py DEPTH RESERVE CYCLES STAYING [STRINGS]: grows, shrinks, is swept, again and again; the price in addresses.

Each cycle builds STRINGS strings and drops all but STAYING of them, spread evenly. With STAYING 0 one in 1000 stays,
until ten cycles later. Prints one line of JSON.
"""

import json
import sys

from purger import from_environment, rss, vsz


def main():
    depth, reserve, cycles, staying = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    n = int(sys.argv[5]) if len(sys.argv) > 5 else 1000000
    purger, kept = from_environment(), []
    peak = {"rss": 0, "vsz": 0}
    history = []
    for cycle in range(cycles):
        strings = [str(cycle * n + i) * 2 for i in range(n)]
        peak = {"rss": max(peak["rss"], rss()), "vsz": max(peak["vsz"], vsz())}
        step = n // staying if staying else 1000
        kept.append((cycle, step, strings[::step]))
        del strings
        if not staying and len(kept) > 10:
            del kept[0]
        if depth != "none":
            purger.sweep(deep=depth == "deep", reserve=reserve, budget_ns=2000000)
        history.append((rss() >> 20, vsz() >> 20))
        for c, s, strings in kept:
            if any(t != str(c * n + k * s) * 2 for k, t in enumerate(strings)):
                raise SystemExit("a string is not what it was")
        del strings
    print(json.dumps({"version": sys.version.split()[0], "depth": depth, "reserve": reserve, "staying": staying,
                      "peak_rss": peak["rss"] >> 20, "peak_vsz": peak["vsz"] >> 20, "last": history[-1],
                      "middle": history[len(history) // 2], "history": history}))


if __name__ == "__main__":
    main()
