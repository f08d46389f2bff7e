#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes what came of an exhaustive run of test_steps.py and test_confined.py as a page of the documentation.

usage: tests/fault/steprecord.py FILE [DIRECTORY]

They leave a file for each target in RECLAIM_FAULT_RECORD; build/check/fault-matrix when no DIRECTORY is given. A target
that failed, or has no file, is named above the tables."""

import collections
import json
import os
import platform
import re
import sys
import textwrap
import time
from pathlib import Path

sys.dont_write_bytecode = True
TOP = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/fault")]
import judge  # noqa: E402
import plan  # noqa: E402
import tree  # noqa: E402

WHERE = os.environ.get("RECLAIM_FAULT_RECORD")  # set by scripts/check when everything is to be tried
# What a whole run has: TARGETS of test_steps.py, and what test_confined.py tries.
WHOLE = ("explain", "trim", "trim, epoll", "purge", "purge, busy", "purge, Python", "collect", "cold", "pageout",
         "confined: trim", "confined: explain")

PAGE = """.. SPDX-License-Identifier: GPL-2.0-or-later

======================
The record of failures
======================

Written by ``make fault-matrix`` (``tests/fault/test_steps.py``, ``test_confined.py``, ``steprecord.py``), not by hand.

{verdict}

A *step* is a call that the worker, or a library of it, makes of the kernel or of the allocator, in the *injector*, which
alone touches the target, or in its *reader*, which is confined. Each fails in turn in each way in which it can really
fail (an error, *short*: fewer bytes than were asked for), is the worker's last (*die*, by SIGKILL before it), or takes
60 ms (*delay*). {reads}

After each: the target must be alive, not traced, not stopped, its threads, masks, registers and memory as they were, its
own checks without complaint; and the answer must be true: what was not done isn't told as done, the bytes are those that
the target has lost, and nothing is said of it that isn't so.

{about}

Targets
=======

*Steps* are the common ones. *Wrong* are answers that were not true, *harmed* targets that were not as before.

{targets}

How they ended
==============

{outcomes}

Which were reached
==================

A step is known by its name and by how often that came before it in the same run. *Common* are those that at least half
of {runs} undisturbed runs have. Each of them must have been reached in each way, in a later run if not in the first, or
the target has failed: at most {common_tries} times. *Rare* are the others that any of those runs has: of each call at
most {rare}, each tried at most {rare_tries} times. *Ways* are steps times the ways of each; *tries* is how often the one
was tried that took most. Two targets are at it beside each other, neither of which sees the other's processes.

{reached}

{never}

Steps
=====

How often each was made to fail, and how; over all targets.

{calls}

Before anything is read
=======================

What reads a target's memory is confined first. Each step of that failed in each way, and was the reader's last; not a byte
may be read then.

{confined}
"""


def save(name, began, **doc):
    """What came of one target, for a page that is made when all are through."""
    if not WHERE:
        return
    path = Path(WHERE) / f"{name.replace(': ', '-').replace(', ', '-').replace(' ', '-')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": name, "began": began, "ended": time.time(),
                                "tree": tree.name("tests/fault", "tests/victims"), **doc}), encoding="utf-8")


def table(head, rows, widths):
    out = [".. csv-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}", ""]
    return "\n".join(out + ["   " + ", ".join(f'"{cell}"' for cell in row) for row in [head, *rows]])


def is_step(doc):
    return not doc["name"].startswith("confined")


def tried(doc):
    return sum(n for *_, n in doc["counts"]) if is_step(doc) else doc["tried"]


def minutes(doc):
    return f"{(doc['ended'] - doc['began']) / 60:.0f}"


def by_way(counts):
    """{way: how often} of (role, call, way, outcome, n), errors first."""
    ways = collections.Counter()
    for *_, way, _, n in counts:
        ways[way] += n
    return dict(sorted(ways.items(), key=lambda item: (not item[0].isupper(), item[0])))


def target_rows(docs):
    for d in docs:
        ways = by_way(d["counts"])
        errors = sum(n for way, n in ways.items() if way.isupper())
        yield [d["name"], *(f"{d['steps'][role]:,}" for role in ("injector", "reader")), f"{errors:,}",
               *(f"{ways.get(way, 0):,}" for way in ("short", "die", "delay")), len(d["wrong"]),
               d["harmed"], minutes(d)]


def reached_rows(docs):
    for d in docs:
        row = [d["name"]]
        for which in ("common", "rare"):
            ways, reached = d["plan"][which]
            row += [f"{n:,}" for n in (ways, reached, ways - reached)]
        yield [*row, d["plan"]["tries"]]


def never(docs):
    """The calls of which nothing was reached where some run had them, and those that no run has."""
    found = [f"{d['name']}: ``{call}`` of the {role}" for d in docs for role, call in d["plan"]["never"]]
    made = {call for d in docs for _, call, *_ in d["counts"]}
    steps = re.findall(r'\] = \{ "(\w+)"', (TOP / "tests/fault/steps.c").read_text(encoding="utf-8"))
    out = [f"No step at all was reached of {'; '.join(found)}."] if found else []
    unmade = ", ".join(f"``{call}``" for call in steps if call not in made)
    out += [f"Calls that could fail, but that no target's run has: {unmade}."]
    return "\n\n".join(textwrap.fill(line, 116) for line in out)


def outcome_rows(docs, outcomes):
    for d in docs:
        count = collections.Counter()
        for *_, outcome, n in d["counts"]:
            count[outcome] += n
        yield [d["name"], *(f"{count[o]:,}" for o in outcomes)]


def call_rows(docs):
    by = collections.defaultdict(list)
    for d in docs:
        for role, call, *rest in d["counts"]:
            by[role, call].append((role, call, *rest))
    for (role, call), counts in sorted(by.items()):
        ways = by_way(counts)
        yield [f"``{call}``", role, f"{sum(ways.values()):,}", ", ".join(f"{way} {n:,}" for way, n in ways.items())]


def verdict(docs):
    missing = [name for name in WHOLE if name not in {d["name"] for d in docs}]
    failed = [d["name"] for d in docs if not d["passed"]]
    wrong, harmed = sum(len(d["wrong"]) for d in docs), sum(d["harmed"] for d in docs)
    out = [f"**{sum(map(tried, docs)):,} failures: {harmed or 'no'} targets harmed, {wrong or 'no'} answers wrong.**"]
    out += [f"**Not so**: {name} (failed)." for name in failed]
    out += [f"**Incomplete**: {name} (not run)." for name in missing]
    return "\n".join(out)


def about(docs):
    first, last = min(d["began"] for d in docs), max(d["ended"] for d in docs)
    when = [time.strftime("%Y-%m-%d %H:%M", time.gmtime(t)) for t in (first, last)]
    return table(["what", "which"], [
        ["when", f"{when[0]} to {when[1]} UTC, {(last - first) / 60:.0f} minutes"],
        ["tree", f"git's of ``daemon/``: {'; '.join(sorted({d['tree'] for d in docs}))}"],
        ["kernel", f"Linux {platform.release().partition('-')[0]}, {platform.machine()}"],
        ["processors", os.cpu_count()],
        ["C library", f"glibc {platform.libc_ver()[1]}"],
        ["Python", judge.told_by(judge.PYTHON, "--version").rpartition(" ")[2]],
    ], [20, 80])


def page(docs):
    steps, confined = [d for d in docs if is_step(d)], [d for d in docs if not is_step(d)]
    outcomes = sorted({c[3] for d in steps for c in d["counts"]})
    reads = {d["reads"] for d in steps}
    return PAGE.format(
        verdict=verdict(docs), about=about(docs),
        reads="Of the thousands of reads of a heap, which are all alike, so many of each kind: "
              f"{', '.join(str(n or 'all') for n in sorted(reads))}.",
        targets=table(["target", "steps: injector", "reader", "errors", "short", "die", "delay", "wrong", "harmed", "minutes"],
                      target_rows(steps), [20, 10, 10, 10, 9, 9, 9, 8, 8, 8]),
        reached=table(["target", "common: ways", "reached", "never", "rare: ways", "reached", "never", "tries"],
                      reached_rows(steps), [20, 12, 12, 10, 12, 12, 10, 8]),
        never=never(steps), rare=plan.RARE, common_tries=plan.TRIES[True], rare_tries=plan.TRIES[False],
        runs=", ".join(str(n) for n in sorted({d["plan"]["runs"] for d in steps})),
        outcomes=table(["target", *outcomes], outcome_rows(steps, outcomes), [20] + [10] * len(outcomes)),
        calls=table(["call", "of", "times", "ways"], call_rows(steps), [24, 12, 12, 52]),
        confined=table(["for", "steps", "ways to fail", "minutes"], (
            [d["name"].partition(": ")[2], d["steps"], d["tried"], minutes(d)] for d in confined), [40, 20, 20, 20]))


def main(argv):
    if not 1 <= len(argv) <= 2 or argv[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    where = Path(argv[1]) if len(argv) > 1 else TOP / "build/check/fault-matrix"
    docs = [json.loads(f.read_text(encoding="utf-8")) for f in where.glob("*.json")]
    docs.sort(key=lambda d: WHOLE.index(d["name"]))
    if not docs or not all(d["exhaustive"] for d in docs):
        print(f"{where}: not of a run that tried everything", file=sys.stderr)
        return 1
    Path(argv[0]).write_text(page(docs), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
