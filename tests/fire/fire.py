#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs at work, trimmed all the while, beside themselves left alone: same results, no crash, no error; and
what that costs in latency and throughput. One line for each verdict (TAP), and a record for the documentation.

usage: tests/fire/fire.py [--seconds=N] [--seed=N] [--only=results|turns] [--record=FILE] [PROGRAM...]

For each program three runs: a control of N seconds; fire, as long, all its processes trimmed once a second; and one of
2 N seconds in which segments with and without trims at the most that the daemon does by default take turns, so that
what else the machine does falls on both alike; each with trims is judged by the two beside it. Only these turns want a
quiet machine: --only does one half, and record.py joins two of one seed. cpython, which is CPython's own test suite,
has no such runs: see cpython.py. Wants to be root."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import cpython  # noqa: E402
import figures  # noqa: E402
import judge  # noqa: E402
import programs  # noqa: E402
import record  # noqa: E402
import servers  # noqa: E402
import trimmer  # noqa: E402
from subjects import Broken, Job  # noqa: E402

SUBJECTS = {s.name.replace(" ", "-"): s for s in (
    servers.Redis, servers.RedisGlibc, servers.Memcached, servers.Nginx, servers.Postgres, servers.Gunicorn,
    programs.Node, programs.Java, programs.Ruby, programs.Perl, programs.Sqlite, programs.Git, programs.Gcc,
    programs.Chromium, cpython.Suite)}
FIRE_EVERY = 1  # seconds
SEGMENT = 10


def options(argv):
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=float, default=record.SECONDS)
    p.add_argument("--seed", type=int, default=int(time.time()))
    p.add_argument("--only", choices=record.HALVES)
    p.add_argument("--record", type=Path)
    p.add_argument("program", nargs="*", metavar="PROGRAM", help=" ".join(SUBJECTS))
    args = p.parse_args(argv)
    unknown = set(args.program) - set(SUBJECTS)
    if unknown:
        p.error(f"unknown: {' '.join(sorted(unknown))}; known: {' '.join(SUBJECTS)}")
    return args


class Run:
    """Segments of one run of one subject: [(kind, begin, end)], what was done to it, what came of it."""

    def __init__(self, subject, segments, trims):
        self.subject, self.plan, self.trims = subject, segments, trims
        self.segments, self.samples, self.requests, self.results = [], [], 0, set()
        self.others = 0.0

    def go(self):
        for t in self.trims.values():
            t.start()
        busy = figures.busy()
        try:
            if isinstance(self.subject, Job):
                self.jobs()
            else:
                self.serve()
        finally:
            for t in self.trims.values():
                t.end()
            self.subject.kill()
        for t in self.trims.values():
            if t.tally.broken:
                raise Broken(f"a trim failed: {t.tally.broken[0]}")
        self.others = figures.others(busy)
        return self

    def serve(self):
        s = self.subject
        s.start()
        load = s.load(s, sum(seconds for _, seconds in self.plan) + .5 * len(self.plan) + 2)
        try:
            load.begin()
            for kind, seconds in self.plan:
                self.segment(kind, seconds, load)
            self.samples, self.requests = load.end()
        finally:
            load.kill()
        self.whole(s.pids())
        s.look()
        s.stop()

    def segment(self, kind, seconds, load):
        trim = self.trims.get(kind)
        begin = time.monotonic_ns()
        if trim:
            trim.work()
        end = begin + int(seconds * 1e9)
        while time.monotonic_ns() < end:
            if not load.alive() or not self.subject.alive():
                load.end()  # which tells why
                raise Broken("it ended before its time")
            time.sleep(min(.2, max(end - time.monotonic_ns(), 0) / 1e9))
        self.segments.append((kind, begin, time.monotonic_ns()))
        if trim:
            trim.rest()

    @staticmethod
    def whole(pids):
        wrong = trimmer.untouched(pids)
        if wrong:
            raise Broken(f"left behind: {'; '.join(wrong[:3])}")

    def jobs(self):
        """Each kind in turn until it has had its time and its jobs; what the plan ends with, at the end."""
        wanted, spent, left = {}, {}, {}
        for kind, seconds in self.plan:
            wanted[kind] = wanted.get(kind, 0) + seconds
            left[kind] = min(left.get(kind, 0) + 1, figures.PAIRS)
        spent = dict.fromkeys(wanted, 0)
        while any(spent[kind] < wanted[kind] or left[kind] > 0 for kind in wanted):
            for kind in wanted:
                spent[kind] += self.job(kind) / 1e9
                left[kind] -= 1
        if self.segments[-1][0] != self.plan[-1][0]:
            self.job(self.plan[-1][0])

    def job(self, kind):
        took, result = self.subject.once(self.trims.get(kind))
        self.segments.append((kind, took, result))
        self.results.add(result)
        return took

    def of(self, kind, part=None):
        """Figures of all segments of @kind, or of each second one of them from @part on."""
        some = [s[1:] for s in self.segments if s[0] == kind]
        some = some if part is None else some[part::2]
        if isinstance(self.subject, Job):
            return figures.of_jobs([took for took, _ in some])
        return figures.figures(self.samples, some)

    def each(self):
        """Figures of each segment, in turn."""
        out = []
        for kind, *what in self.segments:
            f = figures.of_jobs(what[:1]) if isinstance(self.subject, Job) else figures.figures(self.samples, [what])
            out.append({"kind": kind, **(f or {"count": 0, "per_s": 0})})
        return out

    def tally(self, kind):
        return self.trims[kind].tally.doc()


class Fire:
    def __init__(self, args):
        self.args, self.n, self.failed, self.results = args, 0, 0, []
        self.place = Path(tempfile.mkdtemp(prefix="reclaim-fire-"))
        self.place.chmod(0o755)
        self.about = record.about(args)

    def told(self, good, text, more="", skip=""):
        self.n += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.n} - {text}{f' # SKIP {skip}' if skip else ''}", flush=True)
        for line in more.splitlines():
            print(f"# {line}", flush=True)

    def trims(self, subject):
        return {"fire": trimmer.Trimmer(subject.pids, subject.remedies, FIRE_EVERY),
                "default": trimmer.Trimmer(subject.pids, "trim,purge", record.DEFAULT_EVERY, in_turn=True)}

    def run(self, subject, plan):
        kinds = {kind for kind, _ in plan}
        return Run(subject, plan, {k: t for k, t in self.trims(subject).items() if k in kinds}).go()

    def under_fire(self, subject, seconds):
        control = self.run(subject, [("control", seconds)])
        fire = self.run(subject, [("fire", seconds)])
        return [control, fire], {"control": control.of("control"), "fire": fire.of("fire"),
                                 "fire_tally": fire.tally("fire")}

    def turns(self, subject, seconds):
        turns = max(round(seconds / SEGMENT), 2)
        both = [("control", seconds / turns), ("default", seconds / turns)]
        paced = self.run(subject, turns * both + both[:1])  # each with trims is between two without
        return [paced], {"turns": turns, "paced_control": paced.of("control"), "paced_default": paced.of("default"),
                         "paced_halves": [paced.of("control", 0), paced.of("control", 1)],
                         "paced_tally": paced.tally("default"), "paced_segments": paced.each(), "others": paced.others}

    def program(self, kind):
        """Its three runs, or those of one half, and what they say; a dict for the record."""
        seconds, subject = self.args.seconds, kind(self.place, self.args.seed)
        subject.ready()
        runs, doc = [], {}
        for half, work in (("results", self.under_fire), ("turns", self.turns)):
            if self.args.only in (None, half):
                more, said = work(subject, seconds)
                runs += more
                doc |= said
        results = set().union(*(r.results for r in runs))
        if len(results) > 1:
            raise Broken(f"{len(results)} different results: {sorted(results)}")
        return {"name": subject.name, "version": subject.version(), "seed": self.args.seed, "seconds": seconds,
                "job": isinstance(subject, Job), "remedies": subject.remedies,
                "complaints": subject.complaints, "result": sorted(map(str, results)),
                "requests": [r.requests or len(r.segments) for r in runs], **doc}

    def suite(self, kind):
        seconds = self.args.seconds  # of each run; the others have four of them
        doc = kind(self.place, self.args.seed).run(0 if seconds >= record.SECONDS else 4 * seconds)
        return {**doc, "seconds": seconds}

    def one(self, name, kind):
        began = time.monotonic()
        try:
            doc = self.suite(kind) if kind is cpython.Suite else self.program(kind)
        except Exception as e:  # whatever it is, it is this program's verdict, and the others go on
            self.results.append({"name": name, "failed": f"{type(e).__name__}: {e}"[:1000], "seed": self.args.seed})
            self.told(False, f"{name}: same results, no crash, no error", f"{e}\n{traceback.format_exc()}")
            return
        doc.update(wall=time.monotonic() - began, refusal=kind.refusal)
        self.results.append(doc)
        tally, wrong = doc.get("fire_tally") or doc["paced_tally"], record.wrong(doc)
        self.told(not wrong, f"{name}: same results, no crash, no error; {tally['acts']} acts, "
                  f"{tally['outcomes']}, {tally['bytes'] >> 20} MiB, longest stop {tally['stop_us']} us{wrong}",
                  "\n".join(f"{count} x {reason}" for reason, count in tally["reasons"].items()))
        if "paced_tally" not in doc:
            return
        for v in record.verdicts(doc):
            self.limit(name, v, doc["refusal"])

    def limit(self, name, v, refusal):
        """What is beyond a limit hasn't kept it, surely or not. A figure that only seems to keep it is skipped."""
        text = f"{name}: {v.what} {v.ratio:.3f} of the control's{v.range()}"
        if refusal:
            self.told(True, text, skip=f"not acted on: {refusal}, which is refused by design")
        elif v.noise and not v.good:
            self.told(False, f"{text}: undecided, since {v.noise}")
        else:
            self.told(v.good, text, skip=v.noise)

    def run_all(self):
        for name in self.args.program or SUBJECTS:
            self.one(name, SUBJECTS[name])
            path = record.save(self.results, self.about)
        print(f"1..{self.n}", flush=True)
        print(f"# {path}")
        if self.args.record:
            record.write(self.args.record, [path], SUBJECTS)
            print(f"# {self.args.record}")
        return 1 if self.failed else 0


def main(argv):
    args = options(argv)
    if os.geteuid():
        print("fire: only root may start programs as others and trim them", file=sys.stderr)
        return 1
    if not judge.CTL.exists():
        print(f"fire: {judge.CTL} isn't built", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    fire = Fire(args)
    try:
        return fire.run_all()
    finally:
        shutil.rmtree(fire.place, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
