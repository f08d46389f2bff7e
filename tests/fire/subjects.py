# SPDX-License-Identifier: GPL-2.0-or-later
"""What is set on fire: a server with clients that check its answers, a program that is asked through pipes, or a job
that is done again and again and must come to the same each time."""

import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import figures
import judge
import trimmer

HERE = Path(__file__).resolve().parent
NOBODY = pwd.getpwnam("nobody")
END = 120  # seconds for a program to be ready, to end, or for a client to look at everything once more


class Broken(Exception):
    """A subject ended, complained, or was left in a state that isn't its own."""


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def output(*argv, **more):
    out = subprocess.run([*map(str, argv)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, errors="replace", check=False, **more)
    if out.returncode:
        raise Broken(f"{argv[0]} ended with {out.returncode}: {out.stdout.strip()[-500:]}")
    return out.stdout.strip()


def version(*argv):
    """The first thing in a program's answer that looks like one."""
    try:
        found = re.search(r"\d+(\.\d+)+", output(*argv))
    except (OSError, Broken):
        return "unknown"
    return found[0] if found else "unknown"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def no_complaint(pattern, words):
    bad = re.search(pattern, words, re.M)
    if bad:
        raise Broken(f"its log says: {words[bad.start():][:300]}")


class Clients:
    """The load on a server: client.py, some at once."""

    def __init__(self, subject, seconds):
        del seconds  # until it is told to end
        self.subject, self.all, self.paths = subject, [], []

    def begin(self):
        for i, (protocol, address, fds) in enumerate(self.subject.clients()):
            path = self.subject.dir / f"samples{i}"
            self.paths.append(path)
            self.all.append(subprocess.Popen(
                [judge.PYTHON, HERE / "client.py", protocol, address, f"--seed={self.subject.seed + i}",
                 f"--samples={path}"], stdout=subprocess.PIPE, text=True, pass_fds=fds, start_new_session=True))
            for fd in fds:
                os.close(fd)
        for c in self.all:
            line = c.stdout.readline()
            if line != "ready\n":
                raise Broken(f"a client wasn't ready: {line.strip()[:500]}")

    def alive(self):
        return all(c.poll() is None for c in self.all)

    def end(self):
        """(samples, number of requests); Broken for a wrong answer."""
        samples, requests, wrong = [], 0, []
        for c in self.all:
            c.send_signal(signal.SIGTERM)
        for c, path in zip(self.all, self.paths):
            text, _ = c.communicate(timeout=END)
            if c.returncode not in (0, 1) or not text:
                raise Broken(f"a client ended with {c.returncode}")
            doc = json.loads(text)
            requests += doc["requests"]
            wrong += doc["wrong"]
            samples += figures.load(path)
        if wrong:
            raise Broken(f"{len(wrong)} wrong answers: {wrong[0]}")
        return sorted(samples), requests

    def kill(self):
        for c in self.all:
            if c.poll() is None:
                c.kill()
                c.wait()


class Subject:
    """Something that runs while it is trimmed. @dir belongs to whoever runs it."""

    remedies = "trim,purge"
    user = "nobody"
    load = Clients
    complaints = r"\S"  # what must not be in its log: anything, unless it has more to say than complaints
    refusal = None  # why none of it may be touched, where its allocator is one that we don't know
    ending = signal.SIGTERM

    def __init__(self, place, seed):
        self.dir, self.seed, self.proc = place / self.name, seed, None

    def ready(self):
        """Once, before all runs."""
        self.dir.mkdir()
        shutil.chown(self.dir, self.user, pwd.getpwnam(self.user).pw_gid)

    def start(self):
        raise NotImplementedError

    def launch(self, argv, **more):
        self.log = self.dir / "log"
        with open(self.log, "wb") as log:
            more.setdefault("stdin", subprocess.DEVNULL)
            more.setdefault("stdout", log)
            if self.user != "root":
                more.update(user=self.user, group=pwd.getpwnam(self.user).pw_gid, extra_groups=[])
            self.proc = subprocess.Popen([*map(str, argv)], stderr=log, cwd=self.dir, start_new_session=True, **more)

    def there(self, path):
        judge.wait_for(f"{self.name}: {path}", END, lambda: self.proc.poll() is not None or path.exists())
        if self.proc.poll() is not None:
            raise Broken(f"{self.name} didn't start: {self.words()[-500:]}")

    def words(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def pids(self):
        return trimmer.family(self.proc.pid) if self.proc and self.proc.poll() is None else []

    def alive(self):
        return self.proc.poll() is None

    def look(self):
        """Whether all that it holds is right, before it ends."""

    def stop(self):
        """Ends it as one does; Broken when it had ended before, complained, or ends otherwise."""
        if not self.alive():
            raise Broken(f"it has ended with {self.proc.returncode}: {self.words()[-500:]}")
        no_complaint(self.complaints, self.words())
        self.proc.send_signal(self.ending)
        self.ended(good=(0, -self.ending))

    def ended(self, good):
        status = self.proc.wait(END)
        if status not in good:
            raise Broken(f"told to end it ended with {status}: {self.words()[-500:]}")

    def kill(self):
        kill_all(self.pids())
        if self.proc:
            self.proc.wait()


class Piped(Subject):
    """A program that reads a line and answers with one."""

    protocol = "pipe"

    def command(self):
        raise NotImplementedError

    def start(self):
        read_by_it, self.to = os.pipe()
        self.back, written_by_it = os.pipe()
        self.launch(self.command(), stdin=read_by_it, stdout=written_by_it)
        os.close(read_by_it)
        os.close(written_by_it)

    def clients(self):
        return [(self.protocol, f"{self.to},{self.back}", (self.to, self.back))]

    def stop(self):
        """It ends by itself when there is nothing more to read, and has nothing to complain of at its end either."""
        self.ended(good=(0,))
        no_complaint(self.complaints, self.words())


class Job:
    """Done again and again; do() begins it, result() is what must be the same each time."""

    remedies = "trim,purge"
    complaints = r"\S"  # what it must not say on its standard error
    refusal = None

    def __init__(self, place, seed):
        self.dir, self.seed, self.procs = place / self.name, seed, []

    def ready(self):
        self.dir.mkdir()

    def before(self):
        """What doesn't count for its duration."""

    def do(self):
        raise NotImplementedError

    def result(self):
        raise NotImplementedError

    def call(self, argv, **more):
        """Runs a command to its end; its output."""
        path = self.dir / "errors"
        with open(path, "wb") as errors:
            proc = subprocess.Popen([HERE / "orphans.py", *map(str, argv)], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=errors, cwd=self.dir, **more)
            self.procs = [proc]
            out, _ = proc.communicate(timeout=1800)
        words = path.read_text(encoding="utf-8", errors="replace")
        if proc.returncode:
            raise Broken(f"{argv[0]} ended with {proc.returncode}: {words[-500:]}")
        no_complaint(self.complaints, words)
        return out

    def pids(self):
        """All but orphans.py itself."""
        return [pid for p in self.procs if p.poll() is None for pid in trimmer.family(p.pid) if pid != p.pid]

    def once(self, trim):
        """(duration in ns, result)"""
        self.before()
        began = time.monotonic_ns()
        if trim:
            trim.work()
        try:
            self.do()
        finally:
            took = time.monotonic_ns() - began
            if trim:
                trim.rest()
        return took, self.result()

    def kill(self):
        kill_all(self.pids())
