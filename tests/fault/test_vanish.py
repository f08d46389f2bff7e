# SPDX-License-Identifier: GPL-2.0-or-later
"""The target exits, or becomes another program, before each single operation on it in turn: the worker stops itself
there (fault build) until that has happened. What comes then must be told as what it is, and the other program,
which has the pid, must not notice."""

import os
import signal
import subprocess
import time

import pytest

import judge

LIMIT = 300
PATIENCE = 30
GONE = 5  # reclaimctl's exit status
BEYOND = 5  # runs differ by what they wait for: after so many that ended before the operation there are no more
SOON = 1.2  # seconds: searches go on for 2 s


class Victim:
    def __init__(self, start, fifo, then):
        os.mkfifo(fifo)
        self.v = start("heap3", "--threads=1", f"--fifo={fifo}", f"--then={then}")
        self.fifo, self.then = fifo, then
        self.v.moves_on()

    def waits(self):
        """Opens the other end, once its thread is there."""
        try:
            os.close(os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK))
            return True
        except OSError:
            return False

    def vanish(self):
        """How often it has lived before, and whether that life is over."""
        lives = self.v.get("helper_ready")
        judge.wait_for("its thread", PATIENCE, self.waits)
        # The kernel waits until its tracer has seen a thread's end, unless that is the first one's: perhaps for us.
        end = time.monotonic() + 2
        while not self.vanished(lives) and time.monotonic() < end:
            time.sleep(0.001)
        return lives, self.vanished(lives)

    def is_over(self, lives):
        """The same as its parent sees it."""
        if self.then == "exit":
            return os.waitid(os.P_PID, self.v.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return self.vanished(lives)

    def vanished(self, lives):
        if self.then == "exit":
            return judge.state(self.v.pid) in (None, "Z", "X")
        return self.v.get("helper_ready") > lives


def stopped_worker(p):
    """Its pid, when it has stopped itself; "done" when there is nothing to wait for any more."""
    if p.poll() is not None:
        return "done"
    try:
        return next((c for c in judge.children(p.pid) if judge.state(c) == "T"), None)
    except OSError:
        return None


def vanish_at(victim, k):
    """The answer, and what vanish() has said; None: the operation was never reached."""
    argv = [judge.CTL, "--json", "trim", "--remedy=trim", "--timeout=3s", str(victim.v.pid)]
    env, how = {**os.environ, "RECLAIM_FAULT": f"pause:{k}"}, None
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as p:
        worker = judge.wait_for("the worker's stop", PATIENCE, lambda: stopped_worker(p))
        if worker != "done":
            how = victim.vanish()
            os.kill(worker, signal.SIGCONT)
            began = time.monotonic()
            judge.wait_for("its end", PATIENCE, lambda: victim.is_over(how[0]))
            took = time.monotonic() - began
            # A thread that dies under the worker's stop is reaped by it, and nobody waits for the worker's own end.
            assert took < SOON, f"{victim.then} took {took:.1f} s once the worker went on"
        out, err = p.communicate(timeout=PATIENCE)
    return judge.Trim(judge.Answer(subprocess.CompletedProcess(argv, p.returncode, out, err)), victim.v.pid), how


@pytest.mark.parametrize("then", ["exit", "exec"])
def test_vanish(start, tmp_path, then, capsys):
    victim = Victim(start, tmp_path / "0", then)
    said, beyond = {}, 0
    for k in range(1, LIMIT):
        t, how = vanish_at(victim, k)
        if how is None:
            assert t.acted or t.outcome == "refused", t
            beyond += 1
            if beyond > BEYOND:
                break
            continue
        lives, over = how
        where = f"{then} before operation {k}: {t}"
        # Also where all was done: what is measured then is nothing, or another program's.
        assert not over or (t.outcome, t.rc, t.doc["freed"]) == ("failed", GONE, 0) and t.reason, where
        said.setdefault((t.rc, t.outcome, t.reason, "" if over else "in vain"), []).append(k)
        judge.wait_for(f"its end ({where})", PATIENCE, lambda n=lives: victim.vanished(n))
        if then == "exit":
            assert victim.v.proc.wait(PATIENCE) == 0, where
            victim = Victim(start, tmp_path / str(k), then)
            continue
        assert judge.status(victim.v.pid, field="TracerPid") == "0", where
        victim.v.moves_on()
        assert not victim.v.get("errors") and not victim.v.get("eintr"), f"{where}: {victim.v.note}"
    with capsys.disabled():
        for what, ks in said.items():
            print(f"\n  {then}: {what} at {ks}", end="")
        print()
    assert any(not in_vain for *_, in_vain in said), said
    victim.v.finish()
