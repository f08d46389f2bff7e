# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs many victims/sleepers.c at once, each in its own system call."""

import subprocess
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import judge

Case = namedtuple("Case", "name kind never_restarts untouched")
Result = namedtuple("Result", "rc errors note result err elapsed_us trim")

# Where nobody is touched, and why: calls that daemon/inject/restart.c doesn't know, or knows to break; all signals that
# could tell of the end in use.
UNKNOWN = "no thread sleeps in a call that is known to be safe"
TAKEN = "SIGURG, SIGWINCH and SIGCHLD are all caught or blocked"
UNTOUCHED = {
    **dict.fromkeys(("futex_lock_pi", "read_tty", "write_full_pipe", "sendmsg_full_socket", "connect", "open_fifo", "splice",
                     "tee", "sendfile", "fcntl_setlkw", "fcntl_ofd_setlkw", "io_uring_submit_and_wait"), UNKNOWN),
    **dict.fromkeys(("sigwaitinfo_urg_winch_chld", "signalfd_urg_winch_chld"), TAKEN),
}


def read_cases():
    """The list comes from the program itself, so that none can be forgotten."""
    program = judge.VICTIMS / "sleepers"
    if not program.exists():
        return []
    out = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Case(n, k, r == "1", UNTOUCHED.get(n)) for n, k, r in (line.split() for line in out.splitlines())]


CASES = read_cases()
NEVER_RESTARTS = {c.name for c in CASES if c.never_restarts}


class Batch:
    def __init__(self, names, ms, threads=0):
        self.names, self.ms, self.threads = names, ms, threads
        self.victims, self.results, self.trims, self.snapshots = {}, {}, {}, {}

    def start(self):
        for n in self.names:
            self.victims[n] = judge.victim("sleepers", f"--case={n}", f"--ms={self.ms}", f"--threads={self.threads}")
        for n in self.names:
            v = self.victims[n].wait_ready()
            v.wait_asleep(tid=v.pid)
            self.snapshots[n] = v.snapshot()

    def trim_all(self, *options, at_once=2):
        def one(name):
            self.trims[name] = judge.trim(self.victims[name].pid, *options)
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(one, self.names))

    def compare(self):
        """What looks different from outside while all still sleep. Whoever was let go a moment ago
        gets time to fall asleep again."""
        def look(v, before):
            try:
                diff = before.differences(v.snapshot(), quiet=not self.threads)
            except (AssertionError, OSError, TypeError):
                diff = ["it ended while we looked"]
            # what has woken up meanwhile is judged by its result
            return [] if v.get("stop") or v.get("errors") else diff

        def settle(v, before, until):
            diff = look(v, before)
            while diff and time.monotonic() < until:
                time.sleep(0.002)
                diff = look(v, before)
            return diff
        until = time.monotonic() + 0.5
        return {n: settle(self.victims[n], self.snapshots[n], until) for n in self.names if self.victims[n].alive()}

    def collect(self):
        for n in self.names:
            v = self.victims[n]
            try:
                rc = v.proc.wait(self.ms / 1000 * 2 + 20)
            except subprocess.TimeoutExpired:
                rc = None
            self.results[n] = Result(rc, v.get("errors"), v.note, v.get("result"), v.get("err"), v.get("elapsed_us"),
                                     self.trims.get(n))

    def kill(self):
        for v in self.victims.values():
            v.kill()
