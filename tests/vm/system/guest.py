# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests in a machine with systemd share: results as TAP, commands, units, the journal."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

CTL = "/usr/local/bin/reclaimctl"


class Tap:
    """Results; the plan comes last. `with Tap() as tap` tells what went wrong when a test dies."""

    def __init__(self):
        self.n = self.bad = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and kind is not SystemExit:
            where = trace
            while where.tb_next:
                where = where.tb_next
            self.check(False, f"died: {kind.__name__}: {value}",
                       f"line {where.tb_lineno} of {where.tb_frame.f_code.co_filename}")
        print(f"1..{self.n}", flush=True)
        sys.exit(1 if self.bad else 0)

    def check(self, good, what, *why):
        self.n += 1
        self.bad += not good
        print(f"{'' if good else 'not '}ok {self.n} - {what}", flush=True)
        for text in () if good else why:
            comment(text)
        return bool(good)


def comment(text):
    for line in str(text).splitlines():
        print(f"#   {line}", flush=True)


def run(*argv, check=True, timeout=120, **how):
    """A command's output; with check=False its CompletedProcess"""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", timeout=timeout, **how)
    if not check:
        return done
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-600:]
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.returncode}: {said}")
    return done.stdout.strip()


def ctl(*args):
    """What reclaimctl says, as JSON; its exit status doesn't matter here."""
    return json.loads(run(CTL, "--json", *args, check=False).stdout or "null")


def journal(*args):
    """Entries of this boot, as dicts"""
    run("journalctl", "--sync")
    out = run("journalctl", "-b", "-o", "json", "--no-pager", "--all", *args)
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def show(unit, name):
    return run("systemctl", "show", "--value", "-p", name, unit)


def main_pid(unit):
    return int(show(unit, "MainPID"))


def wait_for(what, seconds, every=0.5):
    """Calls @what until it gives something true, or time is up; returns the last it gave."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got or time.monotonic() >= end:
            return got
        time.sleep(every)


def status(pid, key):
    """A field of /proc/PID/status; sizes in bytes"""
    for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            value = value.strip()
            return int(value.split()[0]) << 10 if value.endswith(" kB") else value
    return None


def module_loaded():
    return Path("/sys/module/reclaim").exists()


def uptime():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Victim:
    """A program as a unit of its own. Its commands go through a pipe, its answers to a file."""

    def __init__(self, name, *argv, properties=()):
        self.unit = f"{name}.service"
        self.dir = Path("/run/victims")
        self.dir.mkdir(exist_ok=True)
        self.fifo, self.out = self.dir / f"{name}.in", self.dir / f"{name}.out"
        os.mkfifo(self.fifo)
        self.out.write_text("")
        self.pipe = os.open(self.fifo, os.O_RDWR)
        run("systemd-run", "--quiet", f"--unit={self.unit}", f"--property=StandardInput=file:{self.fifo}",
            f"--property=StandardOutput=append:{self.out}", "--property=OOMScoreAdjust=0",
            *(f"--property={p}" for p in properties), *argv)
        self.answers = 0
        self.ready = self.answer(240)
        self.pid = main_pid(self.unit)

    def answer(self, seconds=60):
        lines = wait_for(lambda: self.out.read_text().splitlines()[self.answers:], seconds, 0.1)
        if not lines:
            raise RuntimeError(f"{self.unit}: no answer: {run('systemctl', 'status', self.unit, check=False).stdout}")
        self.answers += 1
        return lines[0]

    def ask(self, command):
        os.write(self.pipe, command.encode() + b"\n")
        return self.answer()

    def rss(self):
        return status(self.pid, "VmRSS")

    def stop(self):
        run("systemctl", "stop", self.unit, check=False)
        os.close(self.pipe)
