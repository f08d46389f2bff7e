# SPDX-License-Identifier: GPL-2.0-or-later
"""One stage of scripts/check: runs commands against the clock, keeps a log, counts tests, remembers failures."""

import itertools
import os
import pty
import re
import shlex
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BUILD = TOP / "build"
OUT = BUILD / "check"
TAP = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:-\s*)?(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)")
BEAT = 60  # seconds between signs of life of a long stage
GRACE = 15  # seconds for pytest to write its report when it is told to stop


class Counts:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


class Stage:
    """One run of one stage: a log, a deadline, and what was counted."""

    def __init__(self, name, deadline, verbose):
        self.name, self.verbose = name, verbose
        self.started = self.beat = time.monotonic()
        self.deadline = deadline
        self.counts = Counts()
        self.failures, self.note = [], ""
        self.running = set()
        OUT.mkdir(parents=True, exist_ok=True)
        self.log_path = OUT / f"{name}.log"
        self.log = open(self.log_path, "w", encoding="utf-8", errors="replace")

    def say(self, text):
        self.log.write(text + "\n")
        self.log.flush()
        if self.verbose:
            print(text, flush=True)
        elif time.monotonic() - self.beat > BEAT:
            self.beat = time.monotonic()
            print(f"    {self.name}: {self.beat - self.started:.0f} s, {text.strip()[:100]}", flush=True)

    def run(self, argv, env=None, limit=None, polite=False):
        """Runs a command; returns (exit status, its lines). Status None: out of time, that
        of the stage or its own. @polite: asked to end first, then killed."""
        self.say("+ " + shlex.join(str(a) for a in argv))
        began = time.monotonic()
        deadline = min(self.deadline, began + limit) if limit else self.deadline
        if began >= deadline:
            self.say("! no time left, not begun")
            return None, []
        # A terminal, so that its stdio is line-buffered: a test that forks
        # would otherwise write buffered lines twice.
        master, slave = pty.openpty()
        proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=TOP,
                                env=environment(env), start_new_session=True)
        os.close(slave)
        self.running.add(proc)
        try:
            lines, late = self.read(master, proc, deadline, polite)
        except BaseException:
            kill_group(proc)
            raise
        finally:
            self.running.discard(proc)
            os.close(master)
        stop_stragglers(proc)
        if late:
            self.say(f"! out of time after {time.monotonic() - began:.0f} s, killed")
            return None, lines
        return proc.returncode, lines

    def at_once(self, functions):
        """Calls all of them at the same time, each of which may run() something."""
        with ThreadPoolExecutor(len(functions)) as pool:
            futures = [pool.submit(f) for f in functions]
            try:
                for f in futures:
                    f.result()
            except BaseException:
                self.deadline = 0  # nor may they begin another one
                for proc in list(self.running):
                    kill_group(proc)
                raise

    def read(self, master, proc, deadline, polite):
        lines, rest, late = [], b"", False
        os.set_blocking(master, False)
        while True:
            ended = proc.poll() is not None
            try:
                data = os.read(master, 65536)
            except BlockingIOError:
                data = None
            except OSError:  # EIO: the last writer is gone
                data = b""
            if time.monotonic() > deadline and not ended:
                if not polite:
                    kill_group(proc)
                    return lines, True
                proc.send_signal(signal.SIGINT)
                late, polite, deadline = True, False, time.monotonic() + GRACE
            if data:
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    lines.append(line.decode(errors="replace").rstrip("\r"))
                    self.say(lines[-1])
                continue
            # A daemonized child may keep the terminal open: the command's
            # own end counts, not the terminal's.
            if ended:
                break
            time.sleep(0.02)
        if rest:
            lines.append(rest.decode(errors="replace").rstrip("\r"))
            self.say(lines[-1])
        return lines, late

    def failed(self, what, why="", place=""):
        """Remembers one failure for the end."""
        self.failures.append([what, *(brief(t) for t in (why, place) if t)])

    def one(self, ok, what, why=""):
        self.say(f"{'ok' if ok else 'FAILED'}: {what}")
        if not ok:
            self.failed(what, why)
        self.counts.add(Counts(passed=1) if ok else Counts(failed=1))
        return ok

    def tap(self, status, lines, what, why=lambda lines, i: comments(lines[i + 1:])):
        """Counts a TAP stream. Fewer results than planned, or an exit status that the
        results don't explain, is a failure: the program died. @why: finds what is said
        about the failed test in line i."""
        seen, planned = Counts(), 0
        for i, line in enumerate(lines):
            plan, test = PLAN.match(line), TAP.match(line)
            if plan:
                planned += int(plan.group(1))
            elif test and re.search(r"# SKIP\b", line, re.I):
                seen.skipped += 1
            elif test and test.group(1):
                seen.failed += 1
                self.failed(f"{what}: {test.group(3)}", " ".join(why(lines, i)))
            elif test:
                seen.passed += 1
        missing = planned - seen.passed - seen.failed - seen.skipped
        if missing > 0 or planned == 0 or (status != 0 and seen.failed == 0):
            text = f"{what}: status {status}, {max(missing, 0)} of {planned} planned tests gave no result"
            self.say("FAILED: " + text)
            self.failed(text, next((line for line in reversed(lines) if line.strip()), ""))
            seen.failed += max(missing, 1)
        self.counts.add(seen)

    def junit(self, status, path):
        try:
            root = ET.parse(path).getroot()
        except (OSError, ET.ParseError) as e:
            self.one(False, f"pytest, status {status}, left no report: {e}")
            return
        seen = Counts()
        for suite in root.iter("testsuite"):
            total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            # A test whose teardown fails too counts for one more.
            seen.add(Counts(max(total - failed - skipped, 0), failed, skipped))
        for case in root.iter("testcase"):
            for trouble in [*case.iter("failure"), *case.iter("error")]:
                self.failed(f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}",
                            trouble.get("message"), place_of(trouble.text or ""))
        if status != 0 and seen.failed == 0:
            self.say(f"FAILED: pytest ended with status {status}")
            self.failed(f"pytest ended with status {status}")
            seen.failed += 1
        self.counts.add(seen)

    def finish(self):
        if self.counts.passed + self.counts.failed == 0:
            self.one(False, f"stage {self.name} ran no tests")
        self.log.close()
        self.seconds = time.monotonic() - self.started


def brief(text):
    """Its first line that says something, not too long."""
    line = next((t.strip() for t in text.splitlines() if t.strip()), "")
    return line if len(line) <= 240 else f"{line[:180]} ... {line[-55:]}"


def place_of(traceback):
    """The innermost line of a test's own in it, else its last line."""
    places = re.findall(r"^(?:tests/|test_)\S*\.py:\d+: .*$", traceback, re.M)
    return places[-1] if places else traceback.strip().rpartition("\n")[2]


def comments(lines):
    """The comments at the beginning of @lines of a TAP stream."""
    return [line.lstrip("# ") for line in itertools.takewhile(lambda line: line.startswith("#"), lines)]


def environment(extra):
    """The caller's, without what the make above us would tell the makes below."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")}
    env.update(SETUP="true", LC_ALL="C.UTF-8", RECLAIM_BUILD=str(BUILD))
    env.update(extra or {})
    return env


def kill_group(proc):
    try:
        os.killpg(proc.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    proc.wait()


def stop_stragglers(proc):
    """What a test left running must not disturb the next one."""
    try:
        os.killpg(proc.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
