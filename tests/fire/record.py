# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes what came of fire.py as a page of the documentation.

usage: tests/fire/record.py FILE build/check/fire-SEED.json...

Of a program that is in several of them the last counts; what went wrong in an earlier one is told all the same, and what
it came from, when the file "explained" knows. Two halves (fire.py --only) make one whole."""

import json
import os
import platform
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]
import cpython_record  # noqa: E402
import earlier  # noqa: E402
import figures  # noqa: E402
import judge  # noqa: E402
import tree  # noqa: E402
import trimmer  # noqa: E402

LATENCY_MAX, THROUGHPUT_MIN = 1.1, .97
# Of these a run that doesn't say what it took for a complaint had looked for some all the same, as the page tells.
LISTENED = {"redis", "redis-glibc", "nginx", "postgresql", "gunicorn", "cpython"}
HALVES = {"results": "fire_tally", "turns": "paced_tally"}  # and what only they bring
OTHERS_MAX = .1  # when others use more of all processors a difference says nothing
SECONDS = 120  # of each run, when the whole is meant
# ActionsPerMinute=6 is the daemon's default for all processes together; CooldownSec=10min lets it act on one process
# only once in that time. Here each of these acts falls on one program.
DEFAULT_EVERY = 10
# Said of a process that has just begun, or has ended.
PASSING = {"refused: which malloc it uses can't be told for sure",
           "refused: it shares its memory with process N (vfork?)",
           "refused: it is a zombie (or its main thread has exited)"}

PAGE = """.. SPDX-License-Identifier: GPL-2.0-or-later

========================
Real programs under fire
========================

Written by ``make fire`` (``tests/fire/fire.py``, ``record.py``), not by hand.

{verdict}

.. contents::
   :local:
   :depth: 1

What was done, and what judged
==============================

Each program ran three times with its own load, always begun anew:

* *control*: left alone;
* *fire*: every process of it (workers, backends, helpers, whatever it starts) trimmed once a second by
  ``reclaimctl trim --remedy=trim,purge``, for Python also ``collect``, whether that is predicted to pay or not. Who
  is still being looked at when its second is over is left out of that round;
* *turns*: segments left alone and segments at the daemon's default rate take turns, so that what else the machine does
  falls on both alike. That rate is one action in {default_every} s (``ActionsPerMinute=6``, which is for all
  processes of the machine together), each on the next process of the program. The daemon would act on one process
  only once in 10 minutes (``CooldownSec``), and not at all while it is as busy as here (``IdleSec``, ``IdleCPU``):
  this is more than it does by default.

Same results, no crash, no error: in all three runs every single answer is compared with what is known beforehand; a
program must be alive at the end, without complaint in its log, none of its threads traced or stopped, and end when and
as it is told to. Whatever is on standard error is a complaint; those that say more there than that (``redis``,
``nginx``, ``postgresql``, ``gunicorn``, ``chromium``) must not speak of an error, a crash or a failed check.

* ``redis``, ``memcached``: keys are set, got, deleted in waves; each value follows from its key and version, all are
  compared at the end. ``redis-glibc`` is the same program with the C library's malloc found before jemalloc's.
* ``nginx``: files, compressed on the way. ``gunicorn``: two workers with threads, pages made of thousands of objects;
  what it keeps it compares before it lets go.
* ``postgresql``: ``pgbench``, 4 clients, its own transactions and sorts with a known result. Then: sums of all
  balances, every transaction that was told as done, ``pg_amcheck --heapallindexed``, ``pg_checksums``.
* ``node``, ``openjdk``, ``ruby``, ``perl``: tables of strings, sorted and digested; the digest is known from another
  language.
* ``sqlite``: the shell beside the library in another process, the same statements, which are this test's own; then
  ``integrity_check``. SQLite's own speed test (``speedtest1``) isn't used, since Debian doesn't package it.
* ``git gc`` (``--aggressive``): contents of all objects, ``fsck --full --strict``. ``gcc -O2 -g``: the object file,
  to the bit.
* ``chromium``: headless, a page that a script fills; its DOM and its screenshot, to the bit. Without its sandbox,
  since it runs as root here.
* ``cpython``: its own test suite, which has no load and no turns; see `CPython's own tests`_.

A program passes only when at least one act was *carried out* under fire, and none, in turns either, ended otherwise
than that it gave back, found nothing, was refused, ran out of time, or came too late for a process that had ended:
anything else is a fault of ours. ``redis`` and ``chromium`` have allocators that are refused by design: there each act
must be refused, and for that reason. (What is said of a process that has just begun or has ended doesn't count.)

What wasn't good in one run isn't forgotten because a later one was: it stays named above. ``tests/fire/explained`` has a
line for each such failure that was run down: program, seed, words of the failure, what it came from. One that has none
is *unexplained*. What was undecided and was run again is named too: to run until it is within would be no measurement.

When and where
==============

One line for each run of ``tests/fire/fire.py --seconds=N``, as the run itself wrote it down when it began. *Tree* is git's,
of ``daemon/``; *load*: of the machine, which is shared with other work, at the end.

{where}

Under fire
==========

*Acts* are trims of one process each: *gave back* some, found *nothing* to give back, were *refused*, ran out of *time*,
or *failed*. *Bytes* are what resident size fell by. *Gone*: the process had ended before its turn. *Longest stop* is wall time: on a
machine with other work it contains waiting for a processor.

{fire_table}

Refusals
--------

*In a signal handler*: PostgreSQL up to 15 starts some of its helpers out of a handler, and they never leave it.
*No safe point*: whenever it was looked at, its threads ran, or slept in calls in which nobody is touched (safety.rst).

{reason_table}

Control and fire side by side
=============================

Two runs, one after the other: noise of the machine falls on either. No limit. Where there were fewer than {few}
requests, or jobs, it is the longest instead of p99.9.

{side_table}

At the daemon's default rate
============================

The limits are p99.9 latency at most {latency_max} and throughput at least {throughput_min} of the control's; of jobs only
the throughput has one.

A machine gets faster and slower in minutes by more than these limits, so not all segments of a kind are compared, but
neighbours: each segment with trims beside the mean of the control's before and after it. What is judged is the
*median* of these ratios. Around it, in brackets, is the interval of the sign test, which asks nothing of their
distribution: so many are left out at either end that as many tosses of a coin come out as unequal in at most
{unsure:.0%} of all cases (2 of 12 ratios; fewer than {pairs} have no interval). As neighbours share a control, the interval of 12
holds the true ratio in 94 % of cases rather than 96 %, and lies wholly below it in 3 %.

* *within*: the median keeps the limit; *surely*: the whole interval does;
* *exceeded*: the whole interval is beyond the limit;
* *undecided*: the median is beyond the limit, and the interval isn't, or there is none. And whatever the figure: others
  used more than {others_max:.0%} of all processors (*others*), there were fewer than {few} requests, or no act was carried out;
* *not acted on*: each act was refused, as it must be by design (above). So the two sides are the same thing, nothing is
  judged, and the program isn't counted.

Latency is judged by pairs only when each segment has {few} requests, of which p99.9 is one. Else, and for runs that have
not noted their segments ("-"), it is *pooled*: what all segments of a kind come to together, with as *noise* by how much
the two halves of the control's segments (each second one) differ from each other. It is undecided when the limit isn't
kept, but the control differs from itself by more than that.

{paced_table}
{cpython}"""


@dataclass
class Verdict:
    """Of one limit. @noise: why it decides nothing, or "". @interval: where else the ratio may be, of pairs."""
    what: str
    ratio: float
    limit: float
    interval: tuple = None
    paired: bool = False
    noise: str = ""

    def keeps(self, ratio):
        return ratio <= self.limit if self.limit > 1 else ratio >= self.limit

    @property
    def good(self):
        return self.keeps(self.ratio)

    @property
    def sure(self):
        return self.interval and len({*map(self.keeps, self.interval)}) == 1

    def range(self):
        return f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})" if self.interval else ""


def compare(doc, what, get, limit):
    """By pairs where each segment has a figure of its own: of a tail only when it has enough samples. Else by what
    all segments of a kind come to together; then the control's halves tell of the noise."""
    segments = doc.get("paced_segments", ())
    if what != "throughput" and any(s["count"] < figures.FEW for s in segments):
        segments = ()
    ratios = figures.pairs(segments, get)
    if ratios:
        v = Verdict(what, statistics.median(ratios), limit, figures.interval(ratios), True)
        if not v.good and not v.sure:
            v.noise = f"its interval{v.range()} isn't beyond" if v.interval else f"only {len(ratios)} pairs"
        return v
    v = Verdict(what, get(doc["paced_default"]) / get(doc["paced_control"]), limit)
    spread = spread_of([get(h) for h in doc["paced_halves"] if h])
    if not v.good and spread >= max(v.ratio, 1 / v.ratio):
        v.noise = f"the control's own halves differ by {spread:.2f}"
    return v


def verdicts(doc):
    """[Verdict], latency first. Jobs are too few to have a tail."""
    control, default = doc["paced_control"], doc["paced_default"]
    what = [("throughput", lambda f: f["per_s"], THROUGHPUT_MIN)]
    if not doc["job"]:
        what.insert(0, ("p99.9 latency", figures.tail, LATENCY_MAX))
    out = [compare(doc, *w) for w in what]
    noise = ""
    if not done(doc["paced_tally"]):
        noise = "nothing was done to it meanwhile"
    elif doc["others"] > OTHERS_MAX:
        noise = f"others used {doc['others']:.0%} of the processors"
    elif not doc["job"] and min(control["count"], default["count"]) < figures.FEW:
        noise = f"fewer than {figures.FEW} requests"
    for v in out:
        v.noise = noise or v.noise
    return out


def done(tally):
    return sum(tally["outcomes"].get(k, 0) for k in ("reclaimed", "nothing"))


def faults(doc):
    """Acts that have ended as none may, under fire or in turns, and why; or ""."""
    tallies = [doc[k] for k in ("fire_tally", "paced_tally") if k in doc]
    bad = sum((Counter({k: t["outcomes"][k] for k in set(t["outcomes"]) - trimmer.OUTCOMES}) for t in tallies), Counter())
    why = sorted({r for t in tallies for r in t["reasons"] if r.partition(":")[0] in bad})
    return ", ".join(f"{n:,} acts {k}" for k, n in sorted(bad.items())) + (f" ({'; '.join(why)[:300]})" if why else "")


def wrong(doc):
    """Why it hasn't passed, or "". No act may be a fault of ours, and something must have been carried out; where the
    allocator is refused by design nothing may be, and for that reason alone."""
    tally, refusal = doc.get("fire_tally"), doc["refusal"]
    tallies = [doc[k] for k in HALVES.values() if k in doc]
    bad = [d["module"] for d in doc.get("modules", ()) if d["wrong"]]
    if bad:
        return f"; {len(bad)} of its modules did otherwise than alone: {' '.join(bad)}"
    if faults(doc):
        return f"; {faults(doc)}, which is a fault of ours"
    if not refusal:
        if not tally:
            return ""  # of its turns alone nothing more can be said
        return "" if done(tally) else "; not one act was carried out"
    reasons = {r for t in tallies for r in t["reasons"]}
    refused = {r for r in reasons if r.startswith(f"refused: {refusal}")}
    if not refused or any(map(done, tallies)) or reasons - refused - PASSING:
        return f"; it should have been refused since {refusal}, and for nothing else"
    return ""


def spread_of(two):
    return max(two) / min(two) if len(two) == 2 else 1


def about(args):
    """Of a run that begins: what it runs, and where. Asked later the tree may be another one."""
    return {"seed": args.seed, "seconds": args.seconds, "began": time.time(),
            "version": (judge.told_by(judge.CTL, "--version").split() or ["unknown"])[-1],
            "tree": tree.name("tests/fire"), "kernel": platform.release(), "machine": platform.machine(),
            "libc": platform.libc_ver()[1],
            "processors": os.cpu_count(), "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")}


def save(results, began):
    """@began: what about() said"""
    path = judge.BUILD / "check" / f"fire-{began['seed']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    doc = {"about": {**began, "ended": time.time(), "load": os.getloadavg()}, "results": results}
    path.write_text(json.dumps(doc, indent=1), encoding="utf-8")
    return path


def table(head, rows, widths):
    out = [".. csv-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}", ""]
    out += ["   " + ", ".join(f'"{cell}"' for cell in row) for row in [head, *rows]]
    return "\n".join(out)


def us(value):
    return f"{value / 1000:,.1f} ms" if value >= 10000 else f"{value:,.0f} us"


def size(value):
    return f"{value / 2**20:,.1f} MiB"


def per_s(f):
    return f"{f['per_s']:,.1f}" if f["per_s"] < 100 else f"{f['per_s']:,.0f}"


def fire_rows(results):
    for r in results:
        t = r["fire_tally"]
        o = t["outcomes"]
        other = sum(n for k, n in o.items() if k not in trimmer.OUTCOMES)
        yield [r["name"], r["version"], r["remedies"], f"{r.get('fire_seconds', r['seconds']):.0f}",
               f"{t['acts']:,}",
               ", ".join(f"{o.get(k, 0):,}" for k in ("reclaimed", "nothing", "refused", "timeout")) + f", {other:,}",
               f"{o.get('gone', 0):,}", size(t["bytes"]), us(t["stop_us"]), f"{sum(r['requests']):,}"]


def reason_rows(results):
    for r in results:
        for reason, count in sorted(r["fire_tally"]["reasons"].items(), key=lambda item: -item[1]):
            yield [r["name"], f"{count:,}", reason.replace('"', "'").replace("|", " ").replace("*", " ")]


def side_rows(results):
    for r in results:
        c, f = r["control"], r["fire"]
        get = figures.tail if min(c["count"], f["count"]) >= figures.FEW else lambda x: x["max_us"]
        yield [r["name"], f"{c['count']:,}, {f['count']:,}", us(c["p50_us"]), us(f["p50_us"]), us(get(c)), us(get(f)),
               f"{get(f) / get(c):.2f}", per_s(c), per_s(f), f"{f['per_s'] / c['per_s']:.3f}"]


def judged(doc):
    if doc["refusal"]:
        return "not acted on"  # or it hasn't passed: see wrong()
    all_of = verdicts(doc)
    out = [f"{v.what} {'undecided' if v.noise else '**exceeded**'}" for v in all_of if v.noise or not v.good]
    return ", ".join(out) or ("surely within" if all(v.sure for v in all_of) else "within")


def paced_rows(results):
    for r in results:
        c, d = r["paced_control"], r["paced_default"]
        halves = [h for h in r["paced_halves"] if h]
        vs = {v.what: f"{v.ratio:.3f}{v.range()}" if v.paired else "-" for v in verdicts(r)}
        get = figures.tail
        yield [r["name"], f"{len(r.get('paced_segments', ())) or 2 * r['turns']}", r["paced_tally"]["acts"], us(get(c)),
               us(get(d)), f"{get(d) / get(c):.3f}", f"{spread_of([get(h) for h in halves]):.2f}",
               vs.get("p99.9 latency", "-"), f"{d['per_s'] / c['per_s']:.3f}",
               f"{spread_of([h['per_s'] for h in halves]):.2f}", vs["throughput"], f"{r['others']:.0%}", judged(r)]


def where(docs):
    """A line for each run, of what it said itself: what it said nothing of is unknown."""
    rows = []
    for doc in docs:
        a = {k: "unknown" for k in ("version", "tree", "kernel", "machine", "libc", "processors")} | doc["about"]
        memory = f"{a['memory'] / 2**30:.0f} GiB" if "memory" in a else "unknown"
        rows.append([a["seed"], time.strftime("%Y-%m-%d %H:%M", time.gmtime(a["ended"])), f"{a['seconds']:g}",
                     f"{a['version']}, {a['tree']}",
                     f"{a['kernel'].partition('-')[0]}, {a['machine']}", a["libc"], f"{a['processors']}, {memory}",
                     f"{a['load'][0]:.1f}", " ".join(r["name"].replace(" ", "-") for r in doc["results"])])
    return table(["seed", "ended, UTC", "seconds", "reclaim, tree", "Linux", "glibc", "processors, memory", "load",
                  "programs"], rows, [10, 13, 6, 18, 10, 6, 9, 6, 22])


def verdict(results, failed, missing, before):
    tallies = [r["fire_tally"] for r in results]
    acts = sum(t["acts"] for t in tallies)
    answers = sum(sum(r["requests"]) for r in results)
    bad, were = earlier.lines(before)
    lines = [f"**{len(results)} programs, {acts:,} acts under fire of which {sum(map(done, tallies)):,} were carried out, "
             f"{answers:,} answers compared**: "
             f"{'none' if not (failed or bad or any(map(wrong, results))) else 'but for what is named here none'} "
             "died, complained or gave another answer than it should."]
    if failed:
        why = "; ".join(f"{r['name']} ({' '.join(r['failed'].split())[:120]})" for r in failed)
        lines.append(f"**Failed, and not in the tables**: {why}.")
    lines += were
    if missing:
        lines.append(f"**Not run**: {', '.join(missing)}.")
    deaf = [r["name"] for r in results if not r.get("complaints") and r["name"] not in LISTENED]
    if deaf:
        lines.append(f"**Standard error not looked at in that run**: {', '.join(deaf)}.")
    short = [r["name"] for r in results if r["seconds"] < SECONDS]
    if short:
        lines.append(f"**Shorter than the {SECONDS} s of a whole run**: {', '.join(short)}.")
    lines += [f"**Not passed**: {r['name']}{wrong(r)}." for r in results if wrong(r)]
    return "\n".join(lines + limits([r for r in results if "paced_tally" in r]))


def limits(timed):
    """Those to which nothing may be done keep no limit, since nothing is compared there."""
    idle = [r["name"] for r in timed if r["refusal"]]
    states = {r["name"]: judged(r) for r in timed if not r["refusal"]}
    within = sum("within" in s for s in states.values())
    sure = sum(s == "surely within" for s in states.values())
    line = f"At the daemon's default rate {within} of {len(states)} kept both limits, {sure} of them surely"
    lines = [line + (f"; {len(idle)} more ({', '.join(idle)}) were not acted on, since their allocators are refused by design."
                     if idle else ".")]
    over = [name for name, s in states.items() if "exceeded" in s]
    open_ = [name for name, s in states.items() if "within" not in s and "exceeded" not in s]
    if over:
        lines.append(f"**Beyond a limit**: {', '.join(over)}.")
    if open_:
        lines.append("**Undecided**, since this machine was too busy, or the run too short, to tell: "
                     f"{', '.join(open_)}.")
    return lines


def trouble(doc):
    """Why @doc is one that a better run must not make forgotten, or ""."""
    if "failed" in doc:
        return " ".join(doc["failed"].split())[:120]
    state = judged(doc) if "paced_tally" in doc else ""
    if wrong(doc) or "exceeded" in state:
        return wrong(doc).lstrip("; ") or state
    return earlier.UNDECIDED + "; ".join(f"{v.what}: {v.noise}" for v in verdicts(doc) if v.noise) if "undecided" in state else ""


def half(doc):
    """Which one, of a program of which only one half was run; else None."""
    has = [name for name, brings in HALVES.items() if brings in doc]
    return has[0] if len(has) == 1 and "modules" not in doc else None


def joined(one, other):
    """Two halves; or why they make no whole."""
    differ = [what for what in ("version", "result") if one.get(what) != other.get(what)]
    if differ:
        return {**other, "failed": f"its halves have different {' and '.join(differ)}"}
    heard = one.get("complaints") and other.get("complaints")  # in both
    return {**one, **other, "complaints": heard, "requests": one["requests"] + other["requests"], "wall": one["wall"] + other["wall"],
            "seconds": min(one["seconds"], other["seconds"])}


def beside(parts, doc):
    """What of @parts, a program's earlier ones, counts on beside @doc: the other half, if that is one, or has failed in one."""
    if "failed" not in doc and not half(doc):
        return []
    return [d for d in parts if half(d) and half(d) != half(doc)]


def whole(parts):
    """One of a program's parts that count."""
    failed = [d for d in parts if "failed" in d]
    if failed or len(parts) == 1:
        doc = (failed or parts)[-1]
        return {**doc, "failed": f"only its {half(doc)} were looked at"} if half(doc) else doc
    return joined(*parts)


def gather(docs):
    """(the last of each program, what went wrong with it before that: [(name, seed, why)])"""
    by, before = {}, []
    for doc in docs:
        for r in doc["results"]:
            name = r["name"].replace(" ", "-")
            parts = by.get(name, [])
            by[name] = [*beside(parts, r), r]
            before += [(name, d["seed"], trouble(d)) for d in parts if d not in by[name] and trouble(d)]
    return {name: whole(parts) for name, parts in by.items()}, before


def write(path, paths, wanted=()):
    docs = [json.loads(Path(p).read_text(encoding="utf-8")) for p in paths]
    by, before = gather(docs)
    results = [r for r in by.values() if "failed" not in r]
    timed = [r for r in results if "paced_tally" in r]
    page = PAGE.format(
        verdict=verdict(results, [r for r in by.values() if "failed" in r], [n for n in wanted if n not in by], before),
        where=where(docs), few=figures.FEW, default_every=DEFAULT_EVERY, latency_max=LATENCY_MAX,
        throughput_min=THROUGHPUT_MIN, others_max=OTHERS_MAX, unsure=figures.UNSURE, pairs=figures.PAIRS,
        fire_table=table(["program", "version", "remedies", "seconds", "acts", "gave back, nothing, refused, time, failed",
                          "gone", "bytes", "longest stop", "answers, all runs"], fire_rows(results),
                         [12, 12, 14, 8, 8, 18, 6, 10, 10, 12]),
        reason_table=table(["program", "acts", "why"], list(reason_rows(results)) or [["none", "0", "-"]], [15, 8, 77]),
        side_table=table(["program", "requests", "median", "under fire", "p99.9", "under fire", "ratio", "per second",
                          "under fire", "ratio"], side_rows(timed), [12, 16, 9, 9, 10, 10, 7, 9, 9, 7]),
        paced_table=table(["program", "segments", "acts", "p99.9", "with trims", "pooled", "noise", "of pairs",
                           "throughput, pooled", "noise", "of pairs", "others", "verdict"], paced_rows(timed),
                          [11, 6, 5, 8, 8, 6, 6, 12, 7, 6, 12, 6, 16]),
        cpython=cpython_record.section(next((r for r in results if "modules" in r), None), table))
    path.write_text(page, encoding="utf-8")


def main(argv):
    if len(argv) < 2 or argv[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    from fire import SUBJECTS
    write(Path(argv[0]), argv[1:], SUBJECTS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
