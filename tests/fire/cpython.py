# SPDX-License-Identifier: GPL-2.0-or-later
"""CPython's own test suite (Debian's libpython3.11-testsuite) while all its processes are trimmed, collected and purged
ten times a second: each single test must end as it does when left alone.

A module is a process of its own, run by the suite's own runner. Where a test ends differently the module is run again
without us; what comes to that other end there too does so by itself. If none does, it is run without us once more with a
thread of its own that collects: gc.collect() beside a collection in another thread returns at once, and destructors run
in that one. Nothing else is forgiven."""

import os
import random
import re
import shutil
import subprocess
import time
import xml.etree.ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import figures
import judge
import trimmer
from subjects import Broken, kill_all, version

EVERY = .1  # seconds
HOWS = (["--remedy=purge", "--depth=normal"], ["--remedy=trim"], ["--remedy=purge", "--depth=deep"],
        ["--remedy=collect"])
ACTS = 3  # carried out in each module, or it has run so many times:
RUNS = 4
RERUNS = 5
# A sleep begins anew after a trim (safety.rst): what sleeps for longer than a tenth of a second would never end. So what
# has taken so many times as long as alone is let be.
PATIENCE = 4
LIMIT = 900  # seconds; none needs a third of it
# A thread asleep beside the one that works: without one, a busy Python's global lock can't be had.
DRIVER = ("import _thread, time; _thread.start_new_thread(time.sleep, (10**6,)); "
          "from test import libregrtest; libregrtest.main()")
COLLECTING = """import _thread, gc, time
def collect(collect=gc.collect, sleep=time.sleep):
    while True:
        sleep(.1)
        collect()
_thread.start_new_thread(collect, ())
from test import libregrtest
libregrtest.main()
"""
LARGE = "test_asyncio"
LEFT_OUT = {"test_gdb": "gdb itself wants to trace the process, and only one can"}


class Run:
    """One module in a process of its own."""

    def __init__(self, module, place, user, driver=DRIVER):
        self.module, self.dir, self.user, self.driver, self.proc = module, place / module, user, driver, None

    def go(self, trim=None, enough=LIMIT):
        """@enough: seconds after which it is let be."""
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir()
        began = time.monotonic()
        self.start()
        try:
            self.wait(trim, enough)
        finally:
            self.seconds = time.monotonic() - began
            kill_all(self.pids())
            self.proc.wait()
        self.text = (self.dir / "log").read_text(encoding="utf-8", errors="replace")
        self.tests = results(self.dir / "results")
        shutil.rmtree(self.dir, ignore_errors=True)
        return self

    def start(self):
        as_user = {"user": self.user, "group": "nogroup", "extra_groups": []} if self.user else {}
        if self.user:
            shutil.chown(self.dir, self.user, "nogroup")
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": self.dir, "TMPDIR": self.dir,
               "PYTHONHASHSEED": "1"}
        with open(self.dir / "log", "wb") as log:
            self.proc = subprocess.Popen(
                [judge.PYTHON, "-X", "faulthandler", "-c", self.driver, f"--tempdir={self.dir}",
                 f"--junit-xml={self.dir}/results", self.module],
                cwd=self.dir, env=env, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                **as_user)

    def wait(self, trim, enough):
        if trim:
            trim.start()
            trim.work()
        try:
            try:
                self.status = self.proc.wait(enough)
            except subprocess.TimeoutExpired:
                if trim:
                    trim.rest()
                self.status = self.proc.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.status = f"no end in {LIMIT} s"
        finally:
            if trim:
                trim.end()

    def pids(self):
        return trimmer.family(self.proc.pid) if self.proc else []

    def ends(self):
        """{what: how it has ended} of all that is compared."""
        return {"the runner": self.status, **self.tests}


def results(path):
    """{test, and how often it had run before: how it has ended} as the suite's own runner has written it down."""
    out, seen = {}, Counter()
    if not path.exists():
        return out
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        name = re.sub(r"0x[0-9a-f]+", "0x", case.get("name", "?"))
        bad = next((c for c in case if c.tag in ("error", "failure")), None)
        skipped = case.find("skipped") is not None
        end = f"{bad.tag} {bad.get('type')}" if bad is not None else "skipped" if skipped else case.get("result", "?")
        out[f"{name} {seen[name]}" if seen[name] else name] = end
        seen[name] += 1
    return out


def differences(want, got):
    return {t: (want.get(t), got.get(t)) for t in {**want, **got} if want.get(t) != got.get(t)}


class Module:
    """One module without us, then under fire until enough was done to it."""

    def __init__(self, name, place, user=None, acts=ACTS, runs=RUNS):
        self.name, self.place, self.user = name, place, user
        self.tally, self.wrong, self.runs = trimmer.Tally(), [], 0
        self.own, self.collected = {}, {}  # tests that end otherwise without us: alone, beside a thread that collects
        self.seconds = 0
        self.controls = [Run(name, place, user).go()]
        want = self.controls[0]
        if not isinstance(want.status, int) or want.status < 0:
            self.wrong.append(f"it doesn't even end when left alone: {want.status}: {want.text[-500:]}")
            return
        while self.ran() and self.runs < runs and self.done() < acts and not self.wrong:
            self.fire()

    def tests(self):
        return self.controls[0].tests

    def ran(self):
        """Of one that is made of doctests only the runner tells how it has ended."""
        return bool(self.tests()) or "1 test OK." in self.controls[0].text

    def done(self):
        return sum(self.tally.outcomes[k] for k in ("reclaimed", "nothing"))

    def fire(self):
        run = Run(self.name, self.place, self.user)
        trim = trimmer.Trimmer(run.pids, HOWS, EVERY)
        trim.tally = self.tally
        run.go(trim, max(PATIENCE * self.controls[0].seconds, PATIENCE))
        self.runs += 1
        self.seconds += run.seconds
        for outcome in set(self.tally.outcomes) - trimmer.OUTCOMES:
            self.wrong.append(f"{self.tally.outcomes[outcome]} acts {outcome}: {dict(self.tally.reasons)}")
        self.wrong += self.tally.broken
        other = self.unexplained(run, self.controls, self.own)
        for driver, found in ((DRIVER, self.own), (COLLECTING, self.collected)):
            controls = self.controls if driver is DRIVER else []
            for _ in range(RERUNS):
                if not other:
                    break
                controls.append(Run(self.name, self.place, self.user, driver).go())
                other = self.unexplained(run, controls, found, other)
        if other:
            self.wrong.append(f"{len(other)} end differently, which they never do in {len(self.controls)} runs "
                              f"without us, nor in {RERUNS} beside a thread that collects: "
                              f"{dict(list(other.items())[:5])}: {run.text[-2000:]}")

    def unexplained(self, run, controls, found, among=None):
        """What has ended as it has in none of @controls, of those @among; what has goes to @found."""
        want, got, wants = self.controls[0].ends(), run.ends(), [c.ends() for c in controls]
        out = {}
        for test in differences(want, got) if among is None else among:
            if any(w.get(test) == got.get(test) for w in wants):
                found[test] = f"{want.get(test)}, {got.get(test)}"
            else:
                out[test] = (want.get(test), got.get(test))
        return out

    def doc(self):
        ends, first = Counter(end.split()[0] for end in self.tests().values()), self.controls[0]
        bad = ends["error"] + ends["failure"]
        why = re.search(r"^test\S+ skipped -- (.*)$|^(\w+Error: .*)$", first.text, re.M)
        return {"module": self.name, "tests": len(self.tests()), "skipped": ends["skipped"], "bad": bad,
                "ok": len(self.tests()) - ends["skipped"] - bad, "status": first.status, "fire_seconds": self.seconds,
                "runs": self.runs, "controls": len(self.controls), "done": self.done(), "tally": self.tally.doc(),
                "why": "" if self.ran() else (why[1] or why[2]) if why else first.text[-200:].strip(),
                "own": self.own, "collected": self.collected, "wrong": self.wrong}


def modules():
    """All that the suite itself lists. The largest, which is a package and takes minutes, in its parts."""
    parts = f"import pkgutil, test.{LARGE} as p; print(*[m.name for m in pkgutil.iter_modules(p.__path__)])"
    said = []
    for argv in (["-m", "test", "--list-tests"], ["-c", parts]):
        done = subprocess.run([judge.PYTHON, *argv], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=False)
        if done.returncode:
            raise Broken("CPython's test suite is missing (Debian package libpython3.11-testsuite)")
        said.append(done.stdout.split())
    return [n for n in said[0] if n != LARGE] + [f"test.{LARGE}.{n}" for n in said[1] if n.startswith("test_")]


class Suite:
    """All of it, or for @seconds less than a whole run's those modules that there is time for."""

    name = "cpython"
    refusal = None

    def __init__(self, place, seed):
        self.place, self.seed = place / self.name, seed
        self.place.mkdir()
        self.place.chmod(0o755)
        names = modules()
        self.left_out = {n: why for n, why in LEFT_OUT.items() if n in names}
        self.names = [n for n in names if n not in self.left_out]
        random.Random(seed).shuffle(self.names)

    def one(self, name, until):
        if until and time.monotonic() > until:
            return None
        done = Module(name, self.place, "nobody")
        for wrong in done.wrong:
            print(f"# {name}: {wrong}".replace("\n", "\n# "), flush=True)
        return done

    def run(self, seconds):
        """A dict for the record."""
        until = seconds and time.monotonic() + seconds
        busy = figures.busy()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            done = [m for m in pool.map(lambda name: self.one(name, until), self.names) if m]
        tally = trimmer.Tally()
        for m in done:
            tally.merge(m.tally)
        docs = [m.doc() for m in sorted(done, key=lambda m: m.name)]
        return {"name": self.name, "version": version(judge.PYTHON, "--version"), "seed": self.seed,
                "remedies": "purge,trim,collect", "fire_tally": tally.doc(), "modules": docs,
                "left_out": self.left_out, "limits": {"acts": ACTS, "runs": RUNS, "reruns": RERUNS, "patience": PATIENCE},
                "listed": len(self.names) + len(self.left_out),
                "fire_seconds": sum(d["fire_seconds"] for d in docs),
                "requests": [d["tests"] * (d["runs"] + d["controls"]) for d in docs], "others": figures.others(busy)}
