# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures everything that the page of benchmarks shows, and makes the page.

Each subject's results are kept in build/bench-report; a run that was ended goes on behind the last one. They are measured
anew when the programs have changed or had fewer rounds than are asked for, with --fresh, or when --only names them.

Exit status: 0 when everything of ours was measured; 1 when something wasn't, or with --check when the page isn't what the
results make; 2 usage.
"""

import argparse
import datetime
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import debugger
import idle
import page
import report
import results
from bench import SUBJECTS as ROWS
from bench import missing
from child import child
from measure import Failure
from peers import c_peers, python_again, python_peers, thread_peers
from scale import daemon, heaps, processes, threads
from sensing import glances, live, one_look
from subjects import Bench

TABLES = {"python": python_peers, "again": python_again, "c": c_peers, "threaded": thread_peers, "child": child,
          "heaps": heaps, "threads": threads, "look": one_look, "processes": processes, "live": live, "daemon": daemon}
# The one that takes longest is the last.
SUBJECTS = sorted([*TABLES, *ROWS], key=lambda name: name == "bounded")
DOCUMENTS = Path(__file__).resolve().parents[2] / "Documentation"
RESULTS = DOCUMENTS / page.FOLDER / "results.json"


class Whole(Bench):
    """How much of everything."""

    def __init__(self, build, runs, quick):
        super().__init__(build, runs or (2 if quick else 5))
        self.few = max((self.runs + 1) // 2, 1)
        self.quick = quick

    def sizes(self, all_of_them):
        return all_of_them[:2] if self.quick else all_of_them


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench-report", description="Measure everything, and make the page of it.")
    parser.add_argument("--build", default=os.environ.get("O") or "build", help="where the programs are")
    parser.add_argument("--runs", type=int, help="rounds (5); half of that where one takes seconds")
    parser.add_argument("--only", choices=SUBJECTS, action="append", help="only this subject, anew, for the next whole run; the page isn't touched")
    parser.add_argument("--quick", action="store_true", help="few rounds of small sizes, for who changes this; the page isn't touched")
    parser.add_argument("--fresh", action="store_true", help="anew, whatever has been measured")
    parser.add_argument("--page", action="store_true", help="measure nothing: make the page from the committed results")
    parser.add_argument("--check", action="store_true", help="measure nothing: is the page what they make?")
    return parser.parse_args()


def digest(bench):
    """What results depend on: the programs, and how large everything is."""
    seen = hashlib.sha256(f"{bench.quick}".encode())
    for name in ("reclaimctl", "reclaim-worker", "reclaimd"):
        seen.update(Path(bench.build, name).read_bytes())
    return seen.hexdigest()


def _measured(bench, name):
    rows, made, why = [], [], ""
    try:
        if name in TABLES:
            made = [results.document(one) for one in TABLES[name](bench)]
        else:
            rows = [report.document(row) for row in ROWS[name](bench)]
    except Failure as failure:
        why = str(failure)
        print(f"bench: {name} could not be measured: {failure}", file=sys.stderr, flush=True)
    for row in rows:
        for series in [row["ours"], row.get("peer"), *row["controls"]]:
            if series:
                del series["samples"]
    return rows, made, why


def subject(bench, name, keep, anew):
    """From what has been kept, or measured now."""
    path, of = keep / f"{name}.json", digest(bench)
    if not anew and path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["of"] == of and kept["runs"] >= bench.runs and not kept["why"]:
            return kept
    print(f"bench: {name}", file=sys.stderr, flush=True)
    began, load, start = datetime.datetime.now(datetime.timezone.utc), os.getloadavg()[0], time.monotonic()
    rows, made, why = _measured(bench, name)
    kept = {"name": name, "of": of, "runs": bench.runs, "began": began.strftime("%Y-%m-%d %H:%M"), "seconds": round(time.monotonic() - start),
            "load": [load, os.getloadavg()[0]], "rows": rows, "made": made, "why": why}
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(kept), encoding="utf-8")
    fresh.replace(path)
    return kept


def versions(bench):
    def of_glances():
        try:
            argv, env = glances()
        except Failure:
            return None
        return report.first_line(["env", *(f"{key}={value}" for key, value in (env or {}).items()), *argv, "--version"])

    def earlyoom():
        found = idle.earlyoom()
        return report.first_line([found, "-v"]) if found else None

    others = {"gdb": debugger.version_command(), "jemalloc": ["dpkg-query", "-W", "-f", "${Version}", "libjemalloc2"],
              "htop": ["htop", "--version"], "procps": ["ps", "--version"]}
    return {**report.versions(bench.ctl), **{name: report.first_line(argv) for name, argv in others.items()},
            "glances": of_glances(), "earlyoom": earlyoom()}


def rounded(value):
    """Four digits are more than any of this repeats; and what is left is small enough to be committed."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) < 10000 else round(value)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def write_results(whole):
    """A line for each thing that was measured, so that changes can be looked at."""
    def lines(items):
        return ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)

    head = {key: value for key, value in whole.items() if key != "subjects"}
    subjects = []
    for one in whole["subjects"]:
        short = {key: value for key, value in one.items() if key not in ("rows", "made", "of")}
        subjects.append(f'{json.dumps(short)[:-1]}, "rows": [\n{lines(one["rows"])}\n], "made": [\n{lines(one["made"])}\n]}}')
    text = f'{json.dumps(head)[:-1]}, "subjects": [\n' + ",\n".join(subjects) + "\n]}\n"
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")


def made():
    with open(RESULTS, encoding="utf-8") as file:
        return page.files(json.load(file))


def write_page():
    files = made()
    for old in RESULTS.parent.glob("*.svg"):
        if f"{page.FOLDER}/{old.name}" not in files:
            old.unlink()
    for name, text in files.items():
        (DOCUMENTS / name).write_text(text, encoding="utf-8")
    return 0


def check_page():
    """What differs, a line for each file."""
    files, r = made(), 0
    present = {f"{page.FOLDER}/{path.name}" for path in RESULTS.parent.glob("*.svg")} | {"benchmarks.rst"}
    for name in sorted(files.keys() | present):
        path = DOCUMENTS / name
        if name not in files or not path.exists() or path.read_text(encoding="utf-8") != files[name]:
            print(f"Documentation/{name}: isn't what the results make; run 'scripts/bench-report --page'")
            r = 1
    return r


def ours_failed(subjects):
    """What of ours has no figures."""
    for one in subjects:
        if one["why"]:
            yield f"{one['name']}: {one['why']}"
        for table in one["made"]:
            for line in table.get("lines", []):
                if line["ours"] and line["why"]:
                    yield f"{one['name']}: {line['name']}: {line['why']}"
            for series in table.get("series", []):
                if series["ours"]:
                    yield from (f"{one['name']}: {series['name']}: {point['why']}" for point in series["why"])


def measure(chosen):
    if lacking := missing(chosen.build):
        for what in lacking:
            print(f"bench: missing {what}", file=sys.stderr)
        return 1
    bench = Whole(chosen.build, chosen.runs, chosen.quick)
    debugger.ensure(bench)
    keep = Path(chosen.build, "bench-report")
    keep.mkdir(exist_ok=True)
    subjects = [subject(bench, name, keep, chosen.fresh or chosen.only) for name in chosen.only or SUBJECTS]
    whole = rounded({"format": 1, "licence": "SPDX-License-Identifier: GPL-2.0-or-later",
                     "machine": report.machine(), "versions": versions(bench), "subjects": subjects})
    if chosen.only or chosen.quick:
        print(page.page(whole))
    else:
        write_results(whole)
        write_page()
        print("bench: Documentation/benchmarks.rst is made anew", file=sys.stderr)
    failed = list(ours_failed(subjects))
    for what in failed:
        print(f"bench: not measured: {what}", file=sys.stderr)
    return 1 if failed else 0


def main():
    chosen = arguments()
    if chosen.check:
        return check_page()
    return write_page() if chosen.page else measure(chosen)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
