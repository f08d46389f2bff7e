# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures reclaim beside its alternatives, and writes bench.json and bench.md.

Exit status: 0 when everything was measured, whatever came out; 1 when something wasn't; 2 usage.
"""

import argparse
import json
import os
import shutil
import sys
import time

import report
from bounded import bounded
from explained import explain
from idle import idle
from measure import Failure
from subjects import SUBJECTS as TRIMS, Bench

SUBJECTS = {**TRIMS, "explain": explain, "bounded": bounded, "idle": idle}


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure reclaim beside its alternatives.")
    parser.add_argument("--build", default=os.environ.get("O") or "build", help="where the programs are")
    parser.add_argument("--runs", type=int, default=int(os.environ.get("RUNS") or 20), help="rounds (20)")
    parser.add_argument("--only", choices=list(SUBJECTS), action="append", help="only this subject")
    chosen = parser.parse_args()
    if chosen.runs < 1:
        parser.error("at least one round")
    return chosen


def missing(build):
    """What must be there before anything can be measured."""
    files = [f"{build}/reclaimctl", f"{build}/reclaim-worker", f"{build}/reclaimd", f"{build}/bench/bloat", f"{build}/bench/sleeper",
             f"{build}/bench/arenas", f"{build}/bench/peak"]
    lacking = [f"{path}: run 'make bench'" for path in files if not os.access(path, os.X_OK)]
    if not shutil.which("gdb"):
        lacking.append("gdb: run 'scripts/setup bench'")
    try:
        import psutil  # noqa: F401
    except ImportError:
        lacking.append("python3-psutil: run 'scripts/setup bench'")
    return lacking


def measure(bench, names):
    rows, not_measured = [], {}
    for name in names:
        subject = SUBJECTS[name]
        print(f"bench: {subject.__doc__.splitlines()[0]}", file=sys.stderr, flush=True)
        try:
            rows += [report.document(row) for row in subject(bench)]
        except Failure as failure:
            not_measured[name] = str(failure)
            print(f"bench: {name} could not be measured: {failure}", file=sys.stderr, flush=True)
    return rows, not_measured


def main():
    chosen = arguments()
    if lacking := missing(chosen.build):
        for what in lacking:
            print(f"bench: missing {what}", file=sys.stderr)
        return 1

    bench = Bench(chosen.build, chosen.runs)
    names = chosen.only or list(SUBJECTS)
    result = {"format": 1, "machine": report.machine(), "versions": report.versions(bench.ctl), "runs": bench.runs}
    start = time.monotonic()
    result["rows"], result["not_measured"] = measure(bench, names)
    result["seconds"] = round(time.monotonic() - start)

    with open(f"{chosen.build}/bench.json", "w", encoding="utf-8") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    with open(f"{chosen.build}/bench.md", "w", encoding="utf-8") as out:
        out.write(report.markdown(result))

    print(report.terminal(result["rows"]))
    missed = sum(row["reached"] is False for row in result["rows"])
    print(f"\n{missed} of {sum(row['target'] is not None for row in result['rows'])} targets missed; "
          f"{len(result['not_measured'])} subjects not measured; {result['seconds']} s. "
          f"Everything is in {chosen.build}/bench.md and .json.")
    return 1 if result["not_measured"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
