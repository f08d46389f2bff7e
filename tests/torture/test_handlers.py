# SPDX-License-Identifier: GPL-2.0-or-later
"""A program's own signals, while build/hammer acts on it all the time: each handled once, in order, and each
that comes while it sleeps in a call interrupts that call, or doesn't, as it does without us. In calls that the
kernel restarts and in those that it never restarts, where EINTR is all that tells us that we have stopped it.

RECLAIM_TORTURE=long: all of those calls. RECLAIM_TORTURE_SEED repeats a run."""

import ctypes
import os
import random
import signal
import subprocess
import threading
import time

import pytest

import judge
from hammering import Drivers, hammer
from test_torture import LONG, PATIENCE, SEED

SECONDS = float(os.environ.get("RECLAIM_HANDLERS_SECONDS", 10 if LONG else 0.3))
MS = 10**7  # until it would wake up by itself, or its timeout ends
BURST = 24
# Of that many EINTR one may be missing, and one more. A call that the kernel runs again after a stop begins a moment after
# that has been decided, and a signal of that moment is handled before it; test_a_stop_alone: whoever stops it.
RARE = 1000
KINDS = [signal.SIGUSR2, signal.SIGRTMIN + 3]  # before and after our notifier, when several are pending
LIBC = ctypes.CDLL(None, use_errno=True)


def never_restarted():
    """The program itself knows which those are."""
    program = judge.VICTIMS / "sleepers"
    if not program.exists():
        return []
    out = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    # One submits again when it calls again; of the others the signals are blocked, by themselves or in the call.
    but = ("io_uring_submit_and_wait", "sigwaitinfo_urg_winch_chld", "epoll_pwait")
    return [n for n, _, never in map(str.split, out.splitlines()) if never == "1" and n not in but]



SHORT = ["epoll_wait", "rt_sigtimedwait", "semtimedop_woken", "recv_rcvtimeo_woken", "io_getevents", "io_uring_enter"]
CASES = [(n, False) for n in (never_restarted() if LONG else SHORT)] + [
    ("epoll_wait", True), ("recv_rcvtimeo_woken", True), ("read_pipe", False), ("read_pipe", True)]


class Storm:
    """Signals that are queued to a victim, each when it sleeps in its call again."""

    def __init__(self, v, shows, seed):
        self.v, self.shows, self.chance = v, shows, random.Random(seed)
        self.sent = self.lost = self.bursts = 0

    def queue(self, sig):
        self.sent += 1
        assert not LIBC.sigqueue(self.v.pid, sig, ctypes.c_void_p(self.sent)), os.strerror(ctypes.get_errno())

    def sleeps(self, rounds):
        """In its call, or stopped by us in it: it went to sleep there, and nothing but a signal wakes it."""
        return self.v.get("rounds") == rounds and judge.state(self.v.pid) == "S"

    def again(self, seen):
        """All are handled, and it sleeps again. False: no call of it was interrupted by that."""
        v = self.v
        judge.wait_for(f"signal {self.sent}", PATIENCE, lambda: v.get("handler_runs") >= self.sent)
        patience = time.monotonic() + 2
        while self.shows and v.get("eintr") == seen:
            if time.monotonic() > patience and self.sleeps(seen + 1):
                return False
        judge.wait_for("it to sleep again", PATIENCE, lambda: self.sleeps(v.get("eintr") + 1))
        return True

    def one(self):
        seen = self.v.get("eintr")
        self.queue(self.chance.choice(KINDS))
        self.lost += not self.again(seen)
        more = self.v.get("eintr") - seen
        assert more <= 1, f"{more} EINTR of one signal"

    def burst(self):
        """Real-time signals are all queued, however many there are."""
        seen = self.v.get("eintr")
        for _ in range(BURST):
            self.queue(KINDS[1])
        self.lost += not self.again(seen)
        self.bursts += 1

    def blow(self, hammerer):
        """Until that one has ended: it wants to see the victim move on."""
        while hammerer.is_alive():
            time.sleep(self.chance.random() * 0.002)
            if self.chance.random() < 0.04:
                self.burst()
            else:
                self.one()


def hammered(v, seconds):
    """Acts on it from another thread; what came of that is in the list when the thread has ended."""
    docs = []
    options = [f"--page={v.shm_path}", f"--count={10**9}", f"--seed={SEED}", f"--limit-ms={int(seconds * 1000)}",
               "--timeout-ms=2000", "--pause-us=100"]
    t = threading.Thread(target=lambda: docs.append(hammer(Drivers(), v.pid, options, PATIENCE)))
    t.start()
    return t, docs


@pytest.mark.parametrize("name, restart", CASES, ids=lambda p: {True: "SA_RESTART", False: "plain"}.get(p, p))
def test_each_once(start, name, restart, capsys):
    v = start("sleepers", f"--case={name}", f"--ms={MS}", "--storm", *(["--restart"] if restart else []))
    shows = not (restart and name == "read_pipe")  # the others have a timeout, or are epoll_wait: signal(7)
    storm, before = Storm(v, shows, SEED), v.snapshot()
    judge.wait_for("it to sleep", PATIENCE, lambda: storm.sleeps(1))
    for _ in range(5):
        hammerer, docs = hammered(v, SECONDS)
        try:
            storm.blow(hammerer)
        finally:
            hammerer.join()
        # Of a call that has been left to end by itself nobody puts back the interruption: safety.rst.
        rare = 1 + v.get("eintr") // RARE
        assert storm.lost <= docs[0]["timeout"] + docs[0]["failed"] + rare, (storm.lost, docs)
        lost, storm.lost = storm.lost, 0
        if docs[0]["calls"]:
            break  # a busy machine may need more time to begin
    doc, eintr = docs[0], v.get("eintr")
    with capsys.disabled():
        print(f"\n  {name}{', SA_RESTART' if restart else ''}: {storm.sent} signals ({storm.bursts} bursts), {eintr} EINTR, {lost} not, "
              f"{doc['calls']} injections, {doc['timeout']} left to end by themselves, seed {SEED}")
    v.unharmed(before, quiet=False)
    assert v.get("handler_runs") == storm.sent and doc["calls"]
    assert shows or not eintr
    if shows:  # else nothing ends its call
        v.set("stop", 1)
        os.kill(v.pid, signal.SIGUSR2)
        assert v.proc.wait(PATIENCE) == 0, v.obituary()


@pytest.mark.skipif(not LONG, reason="a minute for two EINTR that don't come: RECLAIM_TORTURE=long")
def test_a_stop_alone(start, capsys):
    """Somebody stops it and lets it go as it was, no more: that many are missing without us."""
    v = start("sleepers", "--case=read_pipe", f"--ms={MS}", "--storm")
    storm = Storm(v, True, SEED)
    judge.wait_for("it to sleep", PATIENCE, lambda: storm.sleeps(1))
    knocker = subprocess.Popen([judge.VICTIMS / "disturb", "knock", str(v.pid)], stdout=subprocess.PIPE, text=True)
    end = threading.Timer(60, knocker.terminate)
    end.start()
    storm.blow(end)
    stops, _ = knocker.communicate(timeout=PATIENCE)
    with capsys.disabled():
        print(f"\n  stopped {stops.strip()} times by another: {storm.sent} signals, {v.get('eintr')} EINTR, {storm.lost} not")
    assert knocker.returncode == 0 and v.get("handler_runs") == storm.sent
    assert storm.lost <= 1 + v.get("eintr") // RARE
