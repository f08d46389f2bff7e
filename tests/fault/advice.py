# SPDX-License-Identifier: GPL-2.0-or-later
"""Cold and pageout, asked of the worker itself, in which each call fails in turn: test_steps.py."""

import errno
import re
import tempfile

import judge
import workerproto
from advised import Advised
from steps import BARRED, GONE, MEMORY

OUTCOMES = [None, "reclaimed", "nothing", "refused", "failed", "timeout", "denied", "gone"]  # enum worker_outcome


class Answered:
    """What the worker has answered, or that it has not."""

    def __init__(self, result):
        self.result = result
        self.outcome = OUTCOMES[result.outcome] if result else "no answer"
        self.reason = result.reason if result else None
        self.detail = result.steps[0].detail if result and result.steps else ""
        self.acted = self.outcome == "nothing" and bool(self.detail)

    def __repr__(self):
        return f"{self.outcome}: {self.reason} {self.detail}"


class Advice:
    """To the kernel, from outside: nobody is stopped, or made to do anything. It sleeps, and is all idle."""

    size, looks = 24 << 20, 8

    def __init__(self, start, remedy):
        self.remedy = remedy
        self.v, self.rounds = self, 0
        self.victim = Advised(self.size)
        self.argv = [judge.WORKER]
        if remedy == "pageout":
            self.pretend_swap()
        self.pid = self.victim.pid

    def pretend_swap(self):
        """Where there is none, nothing is moved: that has to be told as well."""
        self.files = []
        script = 'exec "$@"'
        for name, text in (("meminfo", "SwapTotal: 8388604 kB\nSwapFree: 4194304 kB\n"),
                           ("swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 8388604 0 -2\n")):
            self.files.append(tempfile.NamedTemporaryFile("w", prefix="reclaim-swap-"))
            self.files[-1].write(text)
            self.files[-1].flush()
            script = f"mount --bind {self.files[-1].name} /proc/{name}; {script}"
        self.argv = ["unshare", "-m", "sh", "-ec", script, "sh", judge.WORKER]

    def alive(self):
        return self.victim.proc.poll() is None

    def get(self, _):
        return 0

    def prepare(self):
        pass

    def act(self, env):
        remedies = {"cold": workerproto.COLD, "pageout": workerproto.PAGEOUT}[self.remedy]
        message = workerproto.request(self.pid, remedies=remedies, idle=workerproto.AGES, idle_us=60000000,
                                      ranges=[self.victim.range()], timeout_us=2000000)
        with workerproto.Worker(message, env=env, argv=self.argv) as worker:
            r = worker.result(30)
            worker.wait(30)
            return Answered(r)

    def judge(self):
        self.victim.untouched()
        self.rounds += 1
        if self.rounds % self.looks == 0:
            self.victim.intact()

    def eintr(self):
        return 0

    def check(self, t, lost, steps, kind):
        error = 0 if kind in ("", "die", "delay") else steps.error
        if t.outcome == "no answer":
            assert kind == "die" or (kind != "" and steps.fired), t
            return
        assert t.outcome in ("nothing", "refused", "failed", "timeout", "denied", "gone"), t
        if t.outcome == "nothing":
            moved = judge_moved(t.detail)
            assert moved <= self.size >> 20 if self.remedy == "cold" else moved == 0, t
            assert moved == self.size >> 20 or self.remedy == "pageout" or "; not all: " in t.detail or \
                "had changed" in t.detail, t
            return
        assert t.reason, t
        assert t.outcome != "gone" or error in GONE or (error == errno.EIO and steps.call in MEMORY), t
        assert t.outcome != "denied" or error in BARRED, t

    def finish(self):
        self.victim.intact()
        self.victim.close()


def judge_moved(detail):
    """MiB, of "24.0MiB deactivated; ..."."""
    size = re.match(r"([\d.]+)(B|KiB|MiB) (deactivated|moved to swap, not freed); ", detail)
    assert size, detail
    return float(size[1]) / {"B": 1 << 20, "KiB": 1 << 10, "MiB": 1}[size[2]]
