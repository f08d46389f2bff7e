# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes what came of one or more runs of million.py as a page of the documentation.

usage: tests/torture/record.py FILE build/check/million-SEED.json..."""

import datetime
import json
import os
import platform
import re
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import hammering  # noqa: E402
import judge  # noqa: E402
import tree  # noqa: E402
import varies  # noqa: E402

PAGE = """.. SPDX-License-Identifier: GPL-2.0-or-later

====================
The record of a soak
====================

Written by ``make million`` (``tests/torture/million.py``, ``record.py``), not by hand.

**{injections:,} injections, {kills:,} kills, {stops:,} stops.** {verdict}

.. contents::
   :local:
   :depth: 1

What was counted, and what judged
=================================

An *injection* is a chain of signal frames that a thread of the target has entered and come back from: found,
proven, stopped, checked, committed, waited for, put back. ``build/hammer`` does that again and again in one process,
with the worker's own code and its sandboxed reader; only the worker's start is saved. A purge or a collection counts
for each of its rounds. *Refused* is what ended with a reason and without an injection, mostly since no thread was at
a safe point in time; *left* are calls that had not come back at their deadline and ended by themselves. Pauses of
random length lie between.

After each one: the target's first thread is neither traced nor stopped, and its own account of itself is without
complaint. After each 32: the same of all its threads, and their signal masks are as before. After each 256: all its
threads go on counting. At its end it must be what it was (threads, masks, pending signals, handlers, mappings of files),
check everything once more and end with 0. It must have the threads and descriptors that it had, no mapping more, and
no memory where none was, but that its first heap may grow by some MiB where it allocates. So it is with {still}.
The others map and unmap all the time: Python, and who starts threads all the time, which are not compared either. They
may have {mappings} mappings and {memory} MiB more than at the begin (``tests/varies.py``), which no more than that many
leaks could hide in, {memory} MiB / 4 KiB when each is a page beside the last. *Mappings more*: what it was.

What the programs check by themselves:

* ``single``, ``heap3``, ``purge_heap``, ``bloat``: every live block has contents that follow from its number or seed,
  from its first byte to its last. Each is compared whole when it is replaced, and those that remain at the end: a
  byte that has changed then can't be overlooked (``live/test_controls.py``:
  ``test_damaged_block_that_remains_is_noticed``).
* ``regs``: all general, vector and x87 registers, flags, red zone, results and durations of system calls.
* ``targets``, ``sleepers``, ``purge_heap``: results, ``errno``, alternate stack, signal mask, name of each thread.
* ``python``, ``server``: objects whose contents follow from a number; answers with checksums, all of them compared.
* everywhere: EINTR where there may be none, that is, where no handler has run in the thread that got it.

When and where
==============

{runs}

{where}

Injections
==========

*EINTR* can only be where the program handles signals: one that comes while a chain has a thread's signals blocked
makes the kernel wake another thread for it, whichever handles it in the end, and where that one sleeps in a call which
the kernel never restarts it returns EINTR, though no handler may have run in it. Counted are those, and more than
{alone} in each four minutes (it was up to 9 without us, safety.rst) and one in {share} injections are a failure. In all
other programs one is.

{injection_table}

Injections into sleeps
======================

One sleep in each of {sleeps} system calls, injected into for most of the time that it lasted. Afterwards, still asleep, it
must look as before: the same call and arguments, masks, descriptors, mappings, memory. It must end as without us:
result, ``errno``, never early. In {untouched} of them nobody may be touched (safety.rst): there each try must be refused, for
the reason that is given; in all others there must be at least {least} injections.

{sleep_table}

Kills
=====

The injector, alone or with its reader, by SIGKILL at a random moment of injections that follow each other without a
pause; *at work*: in between the begin and the end of one. *Readers besides*: only the reader was killed, which harms
nobody and isn't among the kills. After each: not traced, not stopped, masks as before, all threads go
on; and the injector died by that signal, or gave up since its reader was killed (*gave up*). One that ends in any
other way, or hangs, is a failure, but for a purge's that its own guard ends (*guard*). *EINTR*: in calls that the kernel
itself never restarts, when the injector dies between the stop and its first change, which nobody can mend (safety.rst):
one for each kill at most, those of readers, after which the injector ends too, among them; in all other programs one is a
failure.

{kill_table}

Kills of the worker itself
==========================

The injectors above are copies of ``build/hammer``. Here ``reclaimctl trim`` runs as it always does, and the
``reclaim-worker`` that it has started is killed at a random moment until it would have ended. Counted are those that had
not answered, as reclaimctl says (*failed*: the worker was killed by signal 9); *late*: those that had. After each the
program must be as it was: threads, descriptors, masks, mappings. {worker_kills:,} of the {kills:,} kills.

{worker_table}

Our unwinder and gdb's
======================

The process stopped by gdb at random moments, the stacks of all its threads as gdb walks them and as
``inspect/unwind.c`` does, compared frame by frame: program counter, stack pointer, whether it is a signal's. *Same*:
to the outermost frame. *Given up*: the same up to where the call frame information of files ends (the kernel's vDSO
is none); gdb goes on, ours refuses. *Beyond*: the same up to where gdb stops. None differed.

{stop_table}
"""


class Result:
    def __init__(self, kind, name, program, seed):
        self.kind, self.name, self.program, self.seed = kind, name, program, seed
        self.doc, self.seconds = {}, 0.0

    def line(self):
        """The verdict on one line."""
        d = self.doc
        parts = [f"{d[k]} {k}" for k in ("calls", "refused", "timeout", "kills", "kills_at_work", "eintr", "stops",
                                         "stacks", "same", "shorter", "longer") if d.get(k)]
        if d.get("stop_us_max"):
            parts.append(f"longest stop {d['stop_us_max']} us")
        return f"{self.kind}, {self.name}: {', '.join([*parts, f'{self.seconds:.0f} s'])}, seed {self.seed}"


def table(head, rows, widths):
    """A line for each row: there are many."""
    out = [".. csv-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}", ""]
    out += ["   " + ", ".join(f'"{cell}"' for cell in row) for row in [head, *rows]]
    return "\n".join(out)


def number(n):
    return f"{n:,}"


def injection_rows(results):
    for r in results:
        d = r.doc
        yield [r.name, f"``{r.program}``", number(d["calls"]), f"{number(d['purge'])}, {number(d['collect'])}",
               f"{number(d['refused'])}, {number(d['timeout'])}",
               f"{d['stop_us_mean']}, {d['stop_us_max'] / 1000:.0f} ms", number(d["eintr"]), d["mappings"],
               f"{r.seconds:.0f}", r.seed]


def kill_rows(results):
    for r in results:
        d = r.doc
        yield [r.name, f"``{r.program}``", number(d["kills"]),
               " + ".join(number(d[f"kills_{who}"]) for who in ("injector", "both")), number(d["kills_reader"]),
               number(d["kills_at_work"]), f"{number(d['spent'])}, {number(d['guarded'])}", number(d["calls"]),
               number(d["eintr"]), d["mappings"], f"{r.seconds:.0f}", r.seed]


def worker_rows(results):
    for r in results:
        d = r.doc
        yield [r.name, f"``{r.program}``", number(d["kills"]), number(d["late"]), number(d["eintr"]), d["mappings"],
               f"{r.seconds:.0f}", r.seed]


def sleep_rows(results):
    for r in results:
        d = r.doc
        yield [f"``{r.name}``", number(d["calls"]), f"{number(d['refused'])}, {number(d['timeout'])}", d["untouched"] or ""]


def stop_rows(results):
    for r in results:
        d = r.doc
        yield [r.name, f"``{r.program}``", *(number(d[k]) for k in (
            "stops", "stacks", "frames", "signals", "same", "shorter", "longer")), r.seed]


def version(text):
    found = re.search(r"\d+\.[\d.]*\d", text)
    return found[0] if found else "unknown"


# Intel's manual, volume 1, 13.1: bits of XCR0
COMPONENTS = {0: "x87", 1: "SSE", 2: "AVX", 5: "AVX-512 masks", 6: "upper halves of ZMM0 to 15", 7: "ZMM16 to 31"}


def components(results):
    """Those that each regs has compared."""
    masks = [r.doc.get("components", 0) for r in results if r.program == "regs"]
    seen = [name for bit, name in COMPONENTS.items() if masks and all(m >> bit & 1 for m in masks)]
    return ", ".join(seen) or "not recorded"


def where(runs, results):
    """The machine and what ran on it: versions, nobody's names. Of our sources the content's own name."""
    trees = {r["tree"] for r in runs}
    loads = ", ".join(f"{r['load'][0]:.1f}" for r in runs)
    return table(["what", "which"], [
        ["reclaim", f"{version(judge.told_by(judge.CTL, '--version'))}, git tree of ``daemon/``: "
                    f"{', '.join(sorted(trees))}"],
        ["kernel", f"Linux {version(platform.release())}, {platform.machine()}"],
        ["processors", f"{os.cpu_count()}, shared with other work; load at the end: {loads}"],
        ["state compared by ``regs``", components(results)],
        ["C library", f"glibc {platform.libc_ver()[1]}"],
        ["compiler", f"gcc {version(judge.told_by('gcc', '-dumpfullversion'))}"],
        ["Python", version(judge.told_by(judge.PYTHON, "--version"))],
        ["gdb", version(judge.told_by("gdb", "--version").partition("\n")[0].rpartition(" ")[2])],
    ], [20, 80])


def run_rows(runs):
    for r in runs:
        yield [f"{stamp(r['began'])} to {stamp(r['ended'])} UTC", f"{(r['ended'] - r['began']) / 60:.0f}",
               ", ".join(f"{r[k]:,} {k}" for k in ("injections", "kills", "stops") if r[k]), r["jobs"], r["seed"]]


def stamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M")


def shortcomings(runs, reached):
    """What this record lacks, as sentences."""
    out = [f"{r['cut']}." for r in runs if r["cut"]]
    failed = sum(r["failed"] for r in runs)
    if failed:
        out.append(f"{failed} cases failed and are not in the tables.")
    for kind, n in reached.items():
        wanted = sum(r[kind] for r in runs)
        if n < wanted:
            out.append(f"{n:,} of {wanted:,} {kind} were reached.")
    return out


def verdict(lacks):
    if lacks:
        return f"**Incomplete**: {' '.join(lacks)}"
    return ("No target died, hung, was damaged, was left traced,\nstopped or deaf to signals, or kept a mapping of ours as "
            "far as that can be told (below); no call returned EINTR but\nthose that are counted below.")


def sources():
    return tree.name("tests/hammer", "tests/torture", "tests/frames", "tests/victims")


def still():
    """The programs that map nothing by themselves."""
    names = [f"``{name}``" for name in [*varies.maps_nothing(), "regs", "bloat", "sleepers"]]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def most():
    """What those may have more of that map all the time."""
    loose = [v for _, _, v in varies.KNOWN if v.memory]
    return {"mappings": max(v.mappings for v in loose), "memory": max(v.memory for v in loose)}


def save(results, about):
    """Keeps a run for a page that is made later; its path."""
    path = judge.BUILD / "check" / f"million-{about['seed']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {**about, "ended": time.time(), "load": os.getloadavg()}
    path.write_text(json.dumps({"about": about, "results": [vars(r) for r in results]}, default=str), encoding="utf-8")
    return path


def load(paths):
    """(what is known of each run, all results by their kind)"""
    runs, by = [], {kind: [] for kind in ("injections", "sleeps", "kills", "workers", "stops")}
    for path in paths:
        doc = json.loads(Path(path).read_text(encoding="utf-8"))
        runs.append(doc["about"])
        for fields in doc["results"]:
            r = Result(fields["kind"], fields["name"], fields["program"], fields["seed"])
            r.doc, r.seconds = fields["doc"], fields["seconds"]
            by[r.kind].append(r)
    return runs, by


def write(path, paths):
    runs, by = load(paths)
    reached = {"injections": sum(r.doc["calls"] for r in by["injections"] + by["sleeps"]),
               "kills": sum(r.doc["kills"] for r in by["kills"] + by["workers"]),
               "stops": sum(r.doc["stops"] for r in by["stops"])}
    page = PAGE.format(
        **reached, verdict=verdict(shortcomings(runs, reached)), sleeps=len(by["sleeps"]), still=still(),
        **most(), alone=hammering.EINTR_ALONE, share=hammering.EINTR_SHARE,
        worker_kills=sum(r.doc["kills"] for r in by["workers"]), least=hammering.LEAST_ASLEEP, untouched=sum(bool(r.doc["untouched"]) for r in by["sleeps"]),
        where=where(runs, by["injections"] + by["kills"]),
        runs=table(["when", "minutes", "asked for", "programs at a time", "seed"], run_rows(runs),
                   [36, 10, 32, 10, 12]),
        injection_table=table(["case", "program", "injections", "of them purge, collect", "refused, left",
                               "stop: mean us, longest", "EINTR", "mappings more", "seconds", "seed"],
                              injection_rows(by["injections"]), [22, 12, 11, 11, 11, 12, 7, 9, 8, 11]),
        sleep_table=table(["call", "injections", "refused, left", "why nobody is touched"], sleep_rows(by["sleeps"]),
                          [30, 12, 14, 44]),
        kill_table=table(["case", "program", "kills", "injector + both", "readers besides", "at work", "gave up, guard",
                          "injections meanwhile", "EINTR", "mappings more", "seconds", "seed"], kill_rows(by["kills"]),
                         [22, 11, 8, 12, 8, 8, 9, 11, 7, 9, 8, 11]),
        worker_table=table(["case", "program", "kills", "late", "EINTR", "mappings more", "seconds", "seed"],
                           worker_rows(by["workers"]), [30, 11, 8, 8, 8, 9, 8, 11]),
        stop_table=table(["case", "program", "stops", "stacks", "frames", "with a signal's", "same", "given up",
                          "beyond", "seed"], stop_rows(by["stops"]), [26, 11, 8, 9, 10, 9, 9, 8, 8, 11]))
    path.write_text(page, encoding="utf-8")


def main(argv):
    if len(argv) < 2 or argv[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    write(Path(argv[0]), argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
