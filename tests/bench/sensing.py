# SPDX-License-Identifier: GPL-2.0-or-later
"""Who else tells how much memory processes hold: once, and live."""

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import targets
from measure import Failure, run, run_ok
from results import Contestant, table
from subjects import COLUMNS, CROWD, Target

TOOL = Path(__file__).resolve().parents[2] / "scripts/tool"
SUM = "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Rss:/ { n += $2; lines++ } END { print lines + 0 }'"
GLANCES = "glances"
SETTLE_S, WINDOW_S = 4, 12


def glances():
    """How it is started: its package would start a server, so it is unpacked only."""
    found = shutil.which(GLANCES)
    if found:
        return [found], None
    done = subprocess.run([TOOL, "path", GLANCES], stdout=subprocess.PIPE, text=True, check=False)
    folder = done.stdout.strip()
    if not folder:
        raise Failure("glances is missing: 'scripts/tool fetch glances' gets it")
    return ["/usr/bin/python3", "-m", GLANCES], {"PYTHONPATH": os.path.dirname(folder)}


def _counted(done, least, count):
    if count < least:
        raise Failure(f"it told of {count} processes, not {least}")
    return {"us": done.us, "cpu_us": done.cpu_us}


def _lines(argv, least):
    done = run_ok(argv)
    return _counted(done, least, done.out.count("\n"))


def _shell(least):
    done = run_ok(["sh", "-c", SUM])
    return _counted(done, least, int(done.out))


def _psutil(bench, least, *args):
    sample = bench.peer(*args)
    if sample["rows"] < least:
        raise Failure(f"it told of {sample['rows']} processes, not {least}")
    return sample


def _glances(least):
    argv, env = glances()
    done = run(["env", *(f"{key}={value}" for key, value in (env or {}).items()), *argv,
                "--stdout", "processcount.total", "--stop-after", "1", "--time", "1"])
    told = [int(word) for word in done.out.replace(":", " ").split() if word.isdigit()]
    if done.status:
        raise Failure(f"glances ended with status {done.status}: {(done.err or done.out).strip()[-100:]}")
    return _counted(done, least, max(told, default=0))


def sensors(bench, least):
    """One look at all processes."""
    return {
        "reclaimctl ps --all": Contestant(lambda: _lines([bench.ctl, "ps", "--all", COLUMNS], least), "reclaimctl ps --all " + COLUMNS, True),
        "psutil, the same columns": Contestant(lambda: _psutil(bench, least), "tests/bench/psutil_ps.py"),
        "psutil, without what takes a list of mappings": Contestant(lambda: _psutil(bench, least, "--no-maps"),
                                                                    "tests/bench/psutil_ps.py --no-maps"),
        "shell, sum over smaps_rollup": Contestant(lambda: _shell(least), SUM),
        "ps -e -o pid,user,rss,... (procps)": Contestant(
            lambda: _lines(["ps", "-e", "-o", "pid,user,rss,size,thcount,comm"], least), "ps -e -o pid,user,rss,size,thcount,comm"),
        "glances, one look, no columns": Contestant(lambda: _glances(least), "glances --stdout processcount.total --stop-after 1 --time 1"),
    }


def one_look(bench):
    """look: who holds what, among 500 processes"""
    columns = [("us", "takes", "us"), ("cpu_us", "CPU time", "us")]
    with targets.Crowd(bench.build, [[f"heap={16384 if i % 10 == 0 else 64}"] for i in range(CROWD)]):
        return [table("look", f"A list of all processes, {CROWD} more of them", columns, sensors(bench, CROWD), bench.runs, ("us",))]


class Screen:
    """A program on a terminal of 80 columns and 24 lines, which is read all the time."""

    def __init__(self, argv, env=None):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.master = master
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        env={**os.environ, "TERM": "xterm-256color", "LINES": "24", "COLUMNS": "80", **(env or {})})
        os.close(slave)
        self.shown = 0

    def watch(self, seconds):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                break
            try:
                self.shown += len(os.read(self.master, 65536))
            except OSError as error:
                raise Failure(f"it ended with status {self.process.wait()}") from error

    def cpu_us(self):
        # clock_getcpuclockid(3): the process's own clock, threads that have ended included
        return time.clock_gettime_ns(~self.process.pid << 3 | 2) / 1000

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.close(self.master)


def _live(start):
    screen = Screen(*start())
    try:
        screen.watch(SETTLE_S)
        began, cpu, shown = time.monotonic(), screen.cpu_us(), screen.shown
        screen.watch(WINDOW_S)
        seconds = time.monotonic() - began
        used = screen.cpu_us() - cpu
        if not screen.shown:
            raise Failure("it showed nothing")
        return {"share": used / 1e6 / seconds * 100, "rss": targets.rss(screen.process.pid), "bytes": (screen.shown - shown) / seconds}
    finally:
        screen.close()


def _installed(name, *args):
    def start():
        if not shutil.which(name):
            raise Failure(f"{name} is missing: run 'scripts/setup report'")
        return [[name, *args]]
    return start


def live(bench):
    """live: a live view of 500 processes, at the interval that each has by default"""
    columns = [("share", "of a CPU", "percent"), ("rss", "its own memory", "bytes"), ("bytes", "to the terminal, in a second", "bytes")]
    who = {
        "reclaimctl top": Contestant(lambda: _live(lambda: [[bench.ctl, "top"]]), "reclaimctl top", True, targets={"share": Target("max", 1)}),
        "top (procps)": Contestant(lambda: _live(_installed("top")), "top"),
        "htop": Contestant(lambda: _live(_installed("htop")), "htop"),
        "glances": Contestant(lambda: _live(glances), "glances"),
    }
    with targets.Crowd(bench.build, [["heap=1024", f"fork={CROWD}"]]):
        return [table("live", f"A live view of {CROWD} more processes, 80x24", columns, who, min(bench.few, 3), ("share",))]
