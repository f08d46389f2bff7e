#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes what the last run of each fuzzer came to as a page of the documentation, from the logs of scripts/fuzz.

usage: tests/fuzz/record.py FILE [DIRECTORY [MACHINES]]

The logs are those of build/fuzz when no DIRECTORY is given. A fuzzer of which there is no log keeps the row that the
page has. Above the table is how many ran on the code that they are built of at HEAD, which the linker's map in
build/fuzz and the compiler's dependencies tell (make fuzzers), and how many on other code. One whose run failed, or was
shorter than half an hour, or that has neither log nor row, is named there and isn't in it.

MACHINES, build/check, is where scripts/vm leaves what came of the module's own: tests/vm/hostile.c for half an hour, in
make vm-debug, or scripts/vm --deadline=2500 --tag=vm-debug-requests SUITE "hostile 5 1800"."""

import calendar
import csv
import json
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
EXACTLY = WHEN + ":%S"
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

The kernel module
=================

{module}

``tests/vm/hostile.c`` asks the module's netlink family at random, in a machine of ``scripts/vm``. No sanitizer watches it but
in ``make vm-debug``, whose kernel is built with them (then *kernel* says so); the kernel's log must be clean. *Replies*
are messages about processes, *done* are requests with no error, *refused* those with one that the family's
documentation names (netlink/reclaim.rst); another one is a failure, and so is none within 20 s. *Tree*: of ``kmod/``.

{module_table}

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


def untouched(paths, row):
    """Whether the last commit to one of them is older than when the run of @row began. An end without seconds is as early
    as it can have been."""
    ended = time.strptime(row[-2], EXACTLY if row[-2].count(":") > 1 else WHEN)
    when = judge.told_by("git", "log", "-1", "--format=%ct", "--", *sorted(paths))
    return bool(when) and int(when) <= calendar.timegm(ended) - int(row[2])


def same_code(row):
    """Are they what they were in the run that @row tells of? What can't be told is not."""
    name, at = row[0].strip("`"), row[-1]
    sources = built_of(name)
    if not sources or not re.fullmatch("[0-9a-f]{16}", at) or "changed" in tree.name(*sources):
        return False
    elsewhere = {s for s in sources if not s.startswith("daemon/")} | {f"tests/fuzz/corpus/{name}", f"tests/fuzz/seeds/{name}"}
    return untouched(elsewhere, row) and judge.told_by("git", "cat-file", "-t", at) == "tree" and not judge.told_by(
        "git", "diff", "--name-only", at, "HEAD:daemon", "--", *sorted(s[7:] for s in sources if s.startswith("daemon/")))


def module_run(machines):
    """What the last half hour of hostile.c came to: a row, why it has none, or "not run"."""
    runs = []
    for path in machines.glob("*.json"):
        doc = json.loads(path.read_text(encoding="utf-8"))
        machine = doc.get("machine", {}) if isinstance(doc, dict) else {}
        asked = [doc["hostile"]["seconds"]] if "hostile" in doc else \
            [int(t.split()[2]) for t in machine.get("tests", ()) if re.fullmatch(r"hostile \d+ \d+", t)]
        if machine and asked and max(asked) >= SECONDS:
            runs.append((machine["ended"], machine, doc.get("hostile")))
    if not runs:
        return "not run"
    ended, machine, told_by_it = max(runs, key=lambda run: run[0])
    if machine["failures"] or not told_by_it:
        return f"failed, {machine['failures']} results aren't good"
    refused = sum(n for what, n in told_by_it.items() if what.startswith("E"))
    return ["``module``", f"{told_by_it['requests']:,}", str(told_by_it["seconds"]),
            *(f"{n:,}" for n in (told_by_it["replies"], told_by_it["done"], refused)),
            machine["kernel"] + (", debug" if machine.get("suite") == "debug" else ""),
            time.strftime(EXACTLY, time.gmtime(ended)), machine["tree"]]


def module_same(row):
    beside = ["include/uapi", "tests/vm/hostile.c", "tests/vm/lib", "tests/vm/tap.h"]
    return row[-1] == judge.told_by("git", "rev-parse", "--short=16", "HEAD:kmod") and untouched(beside, row) and \
        not judge.told_by("git", "status", "--porcelain", "kmod", *beside)


def module(machines, before):
    """What the page says of it: the verdict, and its row."""
    row = module_run(machines)
    if row == "not run":
        row = before.get("module", row)
    if not isinstance(row, list):
        return f"**It was not asked for half an hour without a finding**: {row}.", ["none", *COLUMNS * "-"]
    same = module_same(row)
    return (f"**It was asked {row[1]} times in half an hour, on "
            f"{'the code that there is' if same else 'what it was before'}, and each time it answered as documented.**",
            [*row, "as it is" if same else "changed since"])


def table(head, rows, widths):
    out = [".. csv-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    return "\n".join(out + ["   " + ", ".join(f'"{cell}"' for cell in row) for row in [head, *rows]])


def main(argv):
    if not 1 <= len(argv) <= 3 or argv[0].startswith("-"):
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
    said, row = module(Path(argv[2]) if len(argv) > 2 else TOP / "build/check", before)
    asked = ["what", "requests", "seconds", "replies", "done", "refused", "kernel", "ended, UTC", "tree", "code"]
    Path(argv[0]).write_text(PAGE.format(
        verdict="\n".join(verdict), table=table(head, rows, "11 14 8 8 8 9 8 16 18 13"), module=said,
        module_table=table(asked, [row], "8 12 8 10 10 12 20 16 18 13"), kernel=platform.release().partition("-")[0],
        machine=platform.machine(), processors=os.cpu_count(), libc=platform.libc_ver()[1]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
