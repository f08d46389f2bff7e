#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes what the last run of each fuzzer came to as a page of the documentation, from the logs of scripts/fuzz.

usage: tests/fuzz/record.py FILE [DIRECTORY]

The logs are those of build/fuzz when no DIRECTORY is given. A fuzzer of which there is no log keeps the row that the
page has. Above the table is how many ran on the code that they are built of at HEAD, which the linker's map in
build/fuzz and the compiler's dependencies tell (make fuzzers), and how many on other code. One whose run failed, or was
shorter than half an hour, or that has neither log nor row, is named there and isn't in it."""

import calendar
import csv
import os
import platform
import re
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path.insert(0, str(TOP / "tests"))
import judge  # noqa: E402
import tree  # noqa: E402

BUILT = TOP / "build/fuzz"
WHEN = "%Y-%m-%d %H:%M"
SECONDS = 1800  # of a whole run
COLUMNS = 9  # that a run itself tells of

PAGE = """.. SPDX-License-Identifier: GPL-2.0-or-later

====================
What the fuzzers ran
====================

Written by ``make fuzz SECONDS=1800`` (``scripts/fuzz``, ``tests/fuzz/record.py``), not by hand.

{verdict}

libFuzzer with AddressSanitizer, UndefinedBehaviorSanitizer and leak detection; an input that takes 20 s, or 2 GiB, is
a finding too. testing.rst says what each of them reads, and what they have found.

*Seconds* are of wall time, *of a processor* how much of one that was: what it shares the machine with takes the rest.
*Edges* and *features* are libFuzzer's: branches that were taken, and how often, in our code and the fuzzer's own;
*inputs kept* those that reach one which no other does. *Tree* is git's, of ``daemon/``. *Code*: whether a single one
of the sources that this fuzzer is built of now, its own among them, is another one than it was in that run.

{table}

On Linux {kernel}, {machine}, {processors} processors; glibc {libc}.
"""


def last(pattern, text):
    found = re.findall(pattern, text, re.M)
    return found[-1] if found else None


def run_of(name, log):
    """What @log tells of a whole run, or why it tells of none."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    status, done = last(r"^status: (\d+)$", text), last(r"^Done (\d+) runs in (\d+) second", text)
    if status is None:
        return "not run"
    if status != "0" or not done:
        return f"failed, status {status}"
    if int(done[1]) < SECONDS:
        return f"{done[1]} s only"
    user, kernel = last(r"^processor: ([\d.]+) ([\d.]+)$", text)
    reached = last(r"^#\d+\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)", text)
    ended = time.strftime(WHEN, time.gmtime(int(last(r"^ended: (\d+)$", text))))
    return [f"``{name}``", f"{int(done[0]):,}", done[1], f"{float(user) + float(kernel):,.0f}",
            *(f"{int(n):,}" for n in reached), ended, last(r"^tree: (.*)$", text)]


def told(page):
    """{name: row} of what @page says already."""
    lines = page.read_text(encoding="utf-8").splitlines() if page.exists() else []
    rows = csv.reader((line.strip() for line in lines if line.startswith('   "``')), skipinitialspace=True)
    return {row[0].strip("`"): row[:COLUMNS] for row in rows}


def built_of(name):
    """The sources of it, as the linker's map and the compiler's lists have them. None: it isn't built."""
    linked = BUILT / f"fuzz-{name}.map"
    if not linked.exists():
        return None
    objects = {BUILT / f"tests/fuzz/fuzz-{name}.o"}
    for archive, member in re.findall(r"^build/fuzz/([\w-]+)\.a\(([\w.-]+\.o)\)", linked.read_text(encoding="utf-8"), re.M):
        room = BUILT / ("tests/unit" if archive == "unit-helpers" else f"daemon/{archive}")
        objects.update(room.rglob(member))
    words = {word for o in objects for word in o.with_suffix(".d").read_text(encoding="utf-8").split()}
    return {word for word in words if word.startswith(("daemon/", "include/", "tests/")) and not word.endswith(":")}


def same_code(row):
    """Are they what they were in the run that @row tells of? What can't be told is not."""
    name, ended, at = row[0].strip("`"), row[-2], row[-1]
    sources = built_of(name)
    if not sources or not re.fullmatch("[0-9a-f]{16}", at) or "changed" in tree.name(*sources):
        return False
    elsewhere = {s for s in sources if not s.startswith("daemon/")} | {f"tests/fuzz/corpus/{name}", f"tests/fuzz/seeds/{name}"}
    when = judge.told_by("git", "log", "-1", "--format=%ct", "--", *sorted(elsewhere))
    if not when or int(when) > calendar.timegm(time.strptime(ended, WHEN)):
        return False
    return judge.told_by("git", "cat-file", "-t", at) == "tree" and not judge.told_by(
        "git", "diff", "--name-only", at, "HEAD:daemon", "--", *sorted(s[7:] for s in sources if s.startswith("daemon/")))


def main(argv):
    if not 1 <= len(argv) <= 2 or argv[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    logs = Path(argv[1]) if len(argv) > 1 else TOP / "build/fuzz"
    names = sorted(f.stem.removeprefix("fuzz-") for f in HERE.glob("fuzz-*.c"))
    before = told(Path(argv[0]))
    runs = {name: run_of(name, logs / f"{name}.log") for name in names}
    runs = {name: before.get(name, r) if r == "not run" else r for name, r in runs.items()}
    rows = [r for r in runs.values() if isinstance(r, list)]
    inputs = sum(int(r[1].replace(",", "")) for r in rows)
    rows = [[*r, "as it is" if same_code(r) else "changed since"] for r in rows]
    now = sum(r[-1] == "as it is" for r in rows)
    verdict = [f"**{now} of {len(names)} fuzzers ran for half an hour each, without a finding, on the code that they are "
               f"built of (tree {tree.name()}), and {len(rows) - now} on what it was before; over {inputs:,} inputs in all.**"]
    verdict += [f"**Not so**: ``{name}`` ({r})." for name, r in runs.items() if not isinstance(r, list)]
    head = ["fuzzer", "inputs", "seconds", "of a processor", "edges", "features", "inputs kept", "ended, UTC", "tree", "code"]
    table = [".. csv-table::", "   :header-rows: 1", "   :widths: 11 14 8 8 8 9 8 16 18 13", ""]
    table += ["   " + ", ".join(f'"{cell}"' for cell in row) for row in [head, *rows]]
    Path(argv[0]).write_text(PAGE.format(
        verdict="\n".join(verdict), table="\n".join(table), kernel=platform.release().partition("-")[0],
        machine=platform.machine(), processors=os.cpu_count(), libc=platform.libc_ver()[1]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
