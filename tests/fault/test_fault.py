# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker dies before and after each single operation on a tracee, in turn
(fault build). The target must survive intact every time.

One thing is known to be beyond repair: when we die after having stopped a
thread in one of the calls that the kernel never restarts, and before the frame
is in place, that call returns EINTR. It is counted, and allowed nowhere else."""

import collections
import os
import random
import subprocess

import pytest

import judge

# more than any run can have: a sweep that gets here never ends
LIMIT = int(os.environ.get("RECLAIM_FAULT_LIMIT", 600))
# Runs differ by what they wait for: after so many in a row that came through there are no more operations.
BEYOND = 6
REFUSALS = 20  # of runs for the same operation
# Each of them must have been a worker's last, and its last but one: some are met by chance, so there may be more sweeps.
MUST = {"seize", "interrupt", "wait", "getregs", "read", "get_syscall_user_dispatch", "getsigmask", "getregset", "write",
        "setregs", "setsigmask", "tgkill", "cont", "detach"}
SWEEPS = 20

# name: victim, arguments, may the program see EINTR
TARGETS = {
    "registers in user code": ("regs", ["--mode=spin"], False),
    "registers in read": ("regs", ["--mode=read", "--ms=10"], False),
    "registers in epoll_wait": ("regs", ["--mode=epoll", "--ms=10"], True),
    "registers in nanosleep": ("regs", ["--mode=nanosleep", "--ms=10"], False),
    "registers in timed futex": ("regs", ["--mode=futex", "--ms=10"], False),
    "idle beside malloc": ("heap3", ["--threads=2"], True),
    "sleep within malloc loop": ("single", ["--sleep-us=2000", "--all"], False),
}


class Sweep:
    def __init__(self, victim, before, counted):
        self.victim, self.before, self.counted = victim, before, counted
        self.threads = len(judge.tids(victim.pid)) > 1
        self.killed, self.eintr_at, self.reached = collections.Counter(), [], 0

    def step(self, when, k, tmp_path):
        """What became of a worker that was to die at operation k: "died" there, or it came "through", or was "refused"."""
        had = self.victim.get("eintr")
        env, log = die_at(when, k, tmp_path)
        t = judge.trim(self.victim.pid, "--timeout=5s", env=env)
        self.judge(f"{when}:{k}, {t}")
        if self.victim.get("eintr") > had:
            self.eintr_at.append(k)
            # several threads' idle one may notice only after its step
            assert self.threads or stop_showed(log, when), f"EINTR at {when}:{k}: {log.read_text('ascii').split()}"
        if t.acted:
            return "through"
        if t.outcome == "refused":
            return "refused"
        assert t.outcome == "failed" and t.rc == 1 and t.reason, t
        self.killed[last_of(log)] += 1
        return "died"

    def sweep(self, when, tmp_path):
        k, came = 1, collections.Counter()
        while came["through"] < BEYOND:
            what = self.step(when, k, tmp_path)
            came[what] += 1
            if what == "died":
                self.reached = max(self.reached, k)
                k, came = k + 1, collections.Counter()
            assert k < LIMIT, "the sweep doesn't end"
            assert came["refused"] < REFUSALS, f"operation {k} is never reached"

    def judge(self, where):
        v = self.victim
        try:
            judge.wait_for("no tracer", 5, lambda: not v.alive() or judge.status(v.pid)["TracerPid"] == "0")
            assert v.alive(), v.obituary()
            v.moves_on(rounds=2)
            v.unharmed(self.before, quiet=False)
            assert self.counted or not v.get("eintr"), "EINTR"
        except AssertionError as e:
            raise AssertionError(f"killed at {where}: {e}") from None


@pytest.mark.parametrize("when", ["kill", "kill-after"])
@pytest.mark.parametrize("name", TARGETS)
def test_sweep(start, name, when, tmp_path, capsys):
    program, args, counted = TARGETS[name]
    v = start(program, *args)
    v.moves_on()
    s = Sweep(v, v.snapshot(), counted)
    for _ in range(SWEEPS):
        s.sweep(when, tmp_path)
        if MUST <= set(s.killed):
            break
    tell(capsys, f"{name}, {when}", s.killed, s.reached, s.eintr_at)
    assert MUST <= set(s.killed), f"never the last: {sorted(MUST - set(s.killed))}; is this the fault build?"
    v.moves_on()
    v.unharmed(s.before, quiet=False)
    v.finish()


def trim_locked(v, when, k, tmp_path):
    """While somebody keeps the thread stopped that has the arena's lock. The answer, and the operations."""
    env, log = die_at(when, k, tmp_path)
    with subprocess.Popen([judge.VICTIMS / "disturb", "brk", str(judge.tids(v.pid)[1])],
                          stdout=subprocess.PIPE) as owner:
        assert owner.stdout.readline() == b"ok\n"
        t = judge.trim(v.pid, "--remedy=trim", "--timeout=2s", env=env)
        owner.kill()
    return t, log.read_text(encoding="ascii").split()


def steps_of(ops):
    """
    What is done once its registers are known and set for us, each with how often it was done before: and its number.
    Waits come in any number.
    """
    first = ops.index("setregs") if "setregs" in ops else len(ops)
    return {(op, ops[first:i].count(op)): i + 1 for i, op in enumerate(ops) if i >= first and op != "wait"}


def detached(ops):
    """When the first that was called back is let go."""
    return ops.index("detach", ops.index("tgkill")) + 1 if "tgkill" in ops else 0


def numbers(first, end, must, met, seen):
    """All of a try in turn; then for what is missing those that it had in other tries, by the waits before it."""
    yield from range(first, end)
    for _ in range(SWEEPS * end):
        missing = sorted(must - met)
        if not missing:
            return
        yield random.choice(seen[random.choice(missing)])


@pytest.mark.parametrize("when", ["kill", "kill-after"])
def test_sweep_called_back(start, when, tmp_path, capsys):
    """The lock is not to be had, so the thread is called back from its wait. Each step of the first try, from then on."""
    v = start("heap3", "--arenas=1", "--threads=1")
    v.moves_on()
    before, killed, met = v.snapshot(), collections.Counter(), set()
    # to go on; into the chain, out of the call, into its own code
    t, ops = judge.wait_for("one that is called back", 60, lambda: (
        lambda t, ops: t.outcome == "refused" and "lock" in t.reason and
        {("setregs", 3), ("cont", 1)} <= set(steps_of(ops[:detached(ops)])) and (t, ops))(*trim_locked(v, when, 0, tmp_path)))
    first, end = ops.index("setregs") + 1, detached(ops)
    seen = collections.defaultdict(list, {step: [number] for step, number in steps_of(ops[:end]).items()})
    must = set(seen)
    for k in numbers(first, end + 1, must, met, seen):
        t, done = trim_locked(v, when, k, tmp_path)
        if t.outcome == "failed":
            killed[done[-1]] += 1
            met |= set(list(steps_of(done))[-1:]) if done[-1] != "wait" else set()
        for step, number in steps_of(done).items():
            seen[step].append(number)
        try:
            judge.wait_for("no tracer", 5, lambda: judge.status(v.pid, field="TracerPid") == "0")
            v.moves_on(rounds=2)
            v.unharmed(before, quiet=False)
            assert not v.get("errors"), v.note
        except AssertionError as e:
            raise AssertionError(f"{when}:{k} {done[-3:]}, {t}: {e}") from None
    tell(capsys, f"called back, {when}", killed, end - first, [])
    assert must <= met and killed["wait"], f"never the last: {sorted(must - met)}, {killed}"
    v.finish()


SLEEPS = ["read_pipe", "recv_rcvtimeo_woken", "epoll_wait", "rt_sigsuspend", "pause", "futex_wait", "semop",
          "clock_nanosleep_abs", "poll", "accept4", "wait4"]


@pytest.mark.parametrize("when", ["kill", "kill-after"])
@pytest.mark.parametrize("name", SLEEPS)
def test_sweep_one_sleep(start, name, when, tmp_path, capsys):
    """All the kills fall into one and the same sleep, as long as it lasts, and it ends as it should."""
    never_restarts = name in ("recv_rcvtimeo_woken", "epoll_wait", "semop")
    ms, killed, eintr_at, k, v, beyond, sweeps = 4000, collections.Counter(), [], 1, None, 0, 0
    while k < LIMIT:
        if v is None:
            v = start("sleepers", f"--case={name}", f"--ms={ms}", asleep=True)
            before = v.snapshot()
        env, log = die_at(when, k, tmp_path)
        t = judge.trim(v.pid, "--timeout=1s", env=env)
        v_settled(v, before, f"{when}:{k}")
        if over(v):
            judge.wait_for("its end", 5, lambda v=v: not v.alive())
            regular, note = v.proc.returncode == 0, v.note
            v = None
            if regular:
                continue  # its time was up: this step again, in a new one
            assert never_restarts and "errno 4" in note, f"killed at {when}:{k}: {note}"
            assert stop_showed(log, when), f"EINTR at {when}:{k}: {log.read_text(encoding='ascii').split()}"
            eintr_at.append(k)
        elif t.acted:
            beyond += 1
            if beyond < BEYOND:
                continue
            sweeps += 1
            if MUST <= set(killed) or sweeps == SWEEPS:
                break
            k = 1
            continue
        elif t.outcome == "refused":
            # A stop turns poll() into restart_syscall() inside the kernel, and nobody can
            # see any more what that will do: only a fresh sleep can be tried again.
            assert t.rc == 3 and judge.syscall_of(v.pid)[0] == judge.RESTART_SYSCALL, t
            finish_sleep(v)
            v, ms = None, 500
            continue
        assert t.outcome == "failed" and t.rc == 1, t
        killed[last_of(log)] += 1
        k, beyond = k + 1, 0
    tell(capsys, f"asleep in {name}, {when}", killed, k - 1, eintr_at)
    assert MUST <= set(killed), f"never the last: {sorted(MUST - set(killed))}"
    finish_sleep(v)
    assert v.get("elapsed_us") <= ms * 1000 * 1.1  # did not begin anew; a busy machine wakes it late


def over(v):
    return not v.alive() or v.get("done") or v.get("errors")


def tell(capsys, what, killed, operations, eintr_at):
    with capsys.disabled():
        at = f"at {eintr_at[0]}-{eintr_at[-1]}" if eintr_at else ""
        print(f"\n  {what}: killed {sum(killed.values())} times at {operations} operations of {len(killed)} kinds, "
              f"EINTR {len(eintr_at)} {at}")


def die_at(when, k, tmp_path):
    """The environment of a worker that dies at operation k, and the file that will hold its operations."""
    log = tmp_path / "operations"
    log.unlink(missing_ok=True)
    return {"RECLAIM_FAULT": f"{when}:{k}", "RECLAIM_FAULT_LOG": str(log)}, log


def last_of(log):
    """The operation that the worker died before, or after."""
    return log.read_text(encoding="ascii").split()[-1]


def stop_showed(log, when):
    """Did the worker die after it had stopped a thread, and before the thread's call was one that goes on, which is
    done before anything is asked about it? Only then may the program see that it was stopped."""
    ops = log.read_text(encoding="ascii").split() if log.exists() else []
    done = ops[:-1] if when == "kill" else ops
    last = max((i for i, op in enumerate(done) if op == "seize"), default=len(done))
    done = done[last:]
    return "interrupt" in done and set(done) <= {"seize", "interrupt", "wait", "getregs"}


def finish_sleep(v):
    judge.wait_for("its end", 10, lambda: not v.alive())
    assert v.proc.returncode == 0, v.note


def v_settled(v, before, where):
    """Asleep again in the same call, or at its regular end."""
    last = []

    def same():
        if over(v):
            return True
        try:
            last[:] = before.differences(v.snapshot())
        except (AssertionError, OSError, TypeError):
            return False  # it ended while we looked
        return not last
    try:
        judge.wait_for("it to look as before", 5, same)
    except AssertionError:
        raise AssertionError(f"killed at {where}: {'; '.join(last)}") from None
