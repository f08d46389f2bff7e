# SPDX-License-Identifier: GPL-2.0-or-later
"""Many trims of programs that check themselves, and many murders of the worker.

RECLAIM_TORTURE=long, or RECLAIM_TORTURE_N=number of trims and RECLAIM_TORTURE_KILLS=number
of kills for each case; RECLAIM_TORTURE_SEED repeats a run. One line for each case says
what happened.

What is judged is harm. How much was achieved depends on the machine and has wide bounds:
a busy one may starve the worker until it gives up, which it says and which is right."""

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import judge
import workerproto
from hammering import as_it_was
from pyload import Server
from workers import find_worker, is_worker

LONG = os.environ.get("RECLAIM_TORTURE") == "long"
N = int(os.environ.get("RECLAIM_TORTURE_N", 10000 if LONG else 1000))
KILLS = int(os.environ.get("RECLAIM_TORTURE_KILLS", 2000 if LONG else 600))
SEED = int(os.environ.get("RECLAIM_TORTURE_SEED", int(time.time())))

# seconds until a wait is in vain: only a failure takes so long
PATIENCE = 60
# outcome: reclaimctl's exit status
HARMLESS = {"reclaimed": 0, "nothing": 0, "refused": 3, "timeout": 1}


def exit_of(pid):
    """What a zombie child of ours died of, without reaping it."""
    try:
        i = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        i = None
    return f"status {i.si_status}, code {i.si_code}" if i else "nobody knows of what"


class Tally:
    def __init__(self, name, capsys):
        self.name, self.capsys, self.began = name, capsys, time.monotonic()
        self.outcomes, self.stopped, self.freed, self.called, self.starved = {}, 0, 0, 0, 0

    def add(self, t):
        self.outcomes[t.outcome] = self.outcomes.get(t.outcome, 0) + 1
        self.stopped = max(self.stopped, t.doc["stopped_us_max"])
        self.freed += max(t.doc["freed"], 0)
        self.called += t.acted and t.doc["stopped_us_max"] > 0
        self.starved += not t.acted and any(w in t.reason for w in ("took too long", "did not stop in time"))

    @property
    def acted(self):
        return self.outcomes.get("reclaimed", 0) + self.outcomes.get("nothing", 0)

    def must_act(self, share):
        """At least @share of what the machine had time for was done, and it had time for some."""
        n = sum(self.outcomes.values()) - self.starved
        assert self.acted >= n * share and self.acted, f"{self.outcomes}, {self.starved} of them starved, seed {SEED}"

    def verdict(self, text):
        with self.capsys.disabled():
            starved = f", {self.starved} starved" if self.starved else ""
            trims = (f"{' '.join(f'{n} {o}' for o, n in sorted(self.outcomes.items()))}{starved}, "
                     f"{self.called} calls made, "
                     f"{self.freed >> 20} MiB, longest stop {self.stopped} us, ") if self.outcomes else ""
            print(f"\n  {self.name}: {trims}{text}, {time.monotonic() - self.began:.1f} s, seed {SEED}")


def let_go(pid, before, where):
    """At once nobody traces it; soon its signal masks are as before; nothing waits for delivery."""
    s = judge.status(pid)
    assert s and s["State"][0] not in "ZX", f"{where}: dead, {exit_of(pid)}"
    assert s["TracerPid"] == "0", f"{where}: traced by {s['TracerPid']}"
    assert s["State"][0] in "RSD", f"{where}: state {s['State']}"
    last = []

    def same():
        now = {tid: judge.status(pid, tid) for tid in before.threads}
        last[:] = [f"{tid}: {k} {v} -> {now[tid] and now[tid][k]}" for tid, sig in before.threads.items()
                   for k, v in sig.items() if tid == pid and not now[tid] or now[tid] and now[tid][k] != v]
        return not last
    try:
        judge.wait_for("the masks", PATIENCE, same)
    except AssertionError:
        raise AssertionError(f"{where}: {last}") from None


def judge_answer(t, where):
    assert HARMLESS.get(t.outcome) == t.rc, f"{where}: {t}"
    assert t.rc == 0 or t.reason, where


def one_trim(tally, pid, before, i, timeout="2s"):
    t = judge.trim(pid, f"--timeout={timeout}")
    where = f"{tally.name} trim {i} ({t.outcome}), seed {SEED}"
    judge_answer(t, where)
    let_go(pid, before, where)
    tally.add(t)
    return t


# name: victim, arguments, timeout, the share of trims that must act. A thread that sleeps is always
# found, the others are by and by; a call that hasn't returned at the deadline is left to end by itself.
TRIMMED = {
    "idle beside three malloc threads": ("heap3", [], "2s", 0.99),
    "all threads in one arena": ("heap3", ["--no-idle"], "500ms", 0.3),
    "single-threaded malloc loop": ("single", [], "200ms", 0.3),
    "single-threaded, every malloc function, short sleeps": ("single", ["--all", "--sleep-us=300"], "500ms", 0.3),
    "registers in user code": ("regs", ["--mode=spin"], "500ms", 0.3),
    "registers in epoll_wait": ("regs", ["--mode=epoll", "--ms=3"], "2s", 0.9),
    "registers in read": ("regs", ["--mode=read", "--ms=3"], "2s", 0.9),
    "registers in nanosleep": ("regs", ["--mode=nanosleep", "--ms=3"], "2s", 0.9),
    "restartable sequences": ("rseq", [], "500ms", 0.3),
    "threads that come and go": ("targets", ["--mode=threads"], "500ms", 0.3),
    "children that come and go": ("targets", ["--mode=forks"], "500ms", 0.3),
}
# those that "Done when" names get all of them, the others a third; those that take long are in million.py too,
# and make check has hardly any of them here
MAIN_CASES = ("idle beside three malloc threads", "single-threaded malloc loop")
SLOW_CASES = () if LONG else ("all threads in one arena", "restartable sequences")


@pytest.mark.parametrize("name", TRIMMED)
def test_trims(start, name, capsys):
    program, args, timeout, must_act = TRIMMED[name]
    v = start(program, *args)
    v.moves_on()
    before, tally, waits = v.snapshot(), Tally(name, capsys), random.Random(SEED)
    n = N if name in MAIN_CASES else max(N // (30 if name in SLOW_CASES else 3), 30)
    for i in range(n):
        one_trim(tally, v.pid, before, i, timeout)
        assert not v.get("errors"), f"trim {i}, seed {SEED}: {v.note}"
        assert not v.get("eintr"), f"trim {i}, seed {SEED}: {v.note}"
        if i % 10 == 0 or i == n - 1:
            v.moves_on(timeout=PATIENCE)
        time.sleep(waits.random() * 0.003)
    v.unharmed(before, quiet=False, timeout=PATIENCE)
    after = v.snapshot()
    v.finish()
    tally.verdict(f"mappings {len(before.maps)} -> {len(after.maps)}, EINTR 0")
    tally.must_act(must_act)


LEFT = "finishes by itself"  # what is said of a call that wasn't back in time


@pytest.mark.parametrize("program, args", [("single", []), ("heap3", ["--no-idle"])], ids=["single", "heap3"])
def test_abandoned(start, program, args, capsys):
    """Hardly any time: the call is left to end by itself again and again, and the next one must
    not run into it."""
    v = start(program, *args)
    v.moves_on()
    before, tally, chance = v.snapshot(), Tally(f"abandoned, {program}", capsys), random.Random(SEED)
    n, i, left = max(N // (3 if program == "single" else 6), 30), 0, 0
    # Only some get as far as the call, on a busy machine hardly any.
    while i < n or left < 3 and i < 4 * n:
        t = judge.trim(v.pid, f"--timeout={chance.randint(1, 12)}ms")
        where = f"{tally.name} trim {i} ({t.outcome}), seed {SEED}"
        judge_answer(t, where)
        let_go(v.pid, before, where)
        assert not v.get("errors") and not v.get("eintr"), f"{where}: {v.note}"
        tally.add(t)
        left += LEFT in (t.reason or "")
        if i % 10 == 0:
            v.moves_on(timeout=PATIENCE)
        i += 1
    v.moves_on(timeout=PATIENCE)
    v.unharmed(before, quiet=False, timeout=PATIENCE)
    after = v.snapshot()
    v.finish()
    tally.verdict(f"{left} left to themselves, mappings {len(before.maps)} -> {len(after.maps)}")
    assert left >= 3, f"hardly any call was left to itself: {left} of {i}, seed {SEED}"


def test_asyncio_server_under_load(capsys):
    waits = random.Random(SEED)
    with Server() as s:
        s.moves_on()
        before, tally = judge.Snapshot(s.pid), Tally("asyncio server under load", capsys)
        for i in range(N):
            one_trim(tally, s.pid, before, i)
            assert not s.errors, s.errors
            if i % 10 == 0:
                s.moves_on(timeout=PATIENCE)
            time.sleep(waits.random() * 0.003)
        s.moves_on()
        more = as_it_was(s, before, PATIENCE)
        counts = s.finish()
        tally.verdict(f"{counts['requests']} answers all right, slowest {s.slowest * 1000:.0f} ms, "
                      f"{more} mappings more")
        tally.must_act(0.5)


KILLED = {
    "registers in user code": ("regs", ["--mode=spin"], False),
    "registers in epoll_wait": ("regs", ["--mode=epoll", "--ms=5"], True),
    "registers in read": ("regs", ["--mode=read", "--ms=5"], False),
    "registers in timed futex": ("regs", ["--mode=futex", "--ms=5"], False),
    "idle beside three malloc threads": ("heap3", [], True),
    "all threads in one arena": ("heap3", ["--no-idle"], False),
    "single-threaded malloc loop": ("single", ["--sleep-us=500"], False),
}


def traced(pid):
    s = judge.status(pid)
    return s and s["TracerPid"] != "0"


def usual_time(pid):
    """How long a worker takes for @pid when nobody kills it: the median of nine."""
    took = []
    for _ in range(9):
        began = time.monotonic()
        with workerproto.Worker(workerproto.request(pid, timeout_us=1000000)) as w:
            w.wait()
        took.append(time.monotonic() - began)
    return sorted(took)[4]


def wait_attached(fd, worker, seconds):
    """Until the process whose status file is @fd is traced: as fast as Python can look."""
    end = time.monotonic() + seconds
    while b"TracerPid:\t0\n" in os.pread(fd, 512, 0):
        if time.monotonic() > end or worker.poll() is not None:
            return


def murder(pid, chance, usual):
    """Starts a worker on @pid and kills it; returns whether it was still at work."""
    fd = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with workerproto.Worker(workerproto.request(pid, timeout_us=1000000)) as w:
            if chance.random() < 0.5:
                time.sleep(chance.random() * usual)
            else:
                # aimed: once it has the target, up to 0.3 ms more
                wait_attached(fd, w, 0.5)
                until = time.monotonic() + chance.random() * 0.0003
                while time.monotonic() < until:
                    pass
            at_work = w.poll() is None
            w.kill(group=chance.random() < 0.5)
            w.wait()
            return at_work
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", KILLED)
def test_kill_the_worker(start, name, capsys):
    """kill -9 at a random moment: the target lives on as if nothing had been."""
    program, args, counted = KILLED[name]
    v = start(program, *args)
    v.moves_on()
    before, tally, chance = v.snapshot(), Tally(f"worker killed, {name}", capsys), random.Random(SEED)
    n, kills, late, usual = max(KILLS // len(KILLED), 10), 0, 0, usual_time(v.pid)
    while kills < n:
        if murder(v.pid, chance, usual):
            kills += 1
        else:
            late += 1
            assert late < 10 * n, "hardly any kill comes in time"
        where = f"kill {kills}, seed {SEED}"
        assert v.alive(), f"{where}: {v.obituary()}"
        judge.wait_for("no tracer", PATIENCE, lambda: not traced(v.pid))
        let_go(v.pid, before, where)
        assert not v.get("errors"), f"{where}: {v.note}"
        assert counted or not v.get("eintr"), f"{where}: {v.note}"
        v.moves_on(timeout=PATIENCE)
    eintr = v.get("eintr")
    assert eintr <= kills, f"more than one EINTR of a kill, seed {SEED}"
    # and after all that it can still be trimmed
    judge.wait_for("a last trim", PATIENCE, lambda: judge.trim(v.pid, "--timeout=2s").rc == 0)
    v.moves_on()
    v.unharmed(before, quiet=False, timeout=PATIENCE)
    after = v.snapshot()
    v.finish()
    tally.verdict(f"{kills} kills at work ({late} others came too late), EINTR {eintr}, "
                  f"mappings {len(before.maps)} -> {len(after.maps)}")


def fresh(v):
    """Wakes it up and gives it something to trim again; returns how it looks. Whoever was stopped in
    poll() is in restart_syscall() from then on, in which nobody can be trimmed: the next round
    would only be refused."""
    assert v.command("refill")["bad"] == 0
    v.wait_asleep()
    return v.snapshot()


def judge_murdered(v, before, where):
    assert v.alive(), f"{where}: {v.obituary()}"
    judge.wait_for(f"no tracer ({where})", PATIENCE, lambda: not traced(v.pid))
    try:
        v.unharmed(before, timeout=PATIENCE)
    except AssertionError as e:
        raise AssertionError(f"{where}: {e}") from None


def usual_trim(v):
    """How long reclaimctl takes for it in peace: the median of five."""
    took = []
    for _ in range(5):
        fresh(v)
        began = time.monotonic()
        judge.trim(v.pid)
        took.append(time.monotonic() - began)
    return sorted(took)[2]


def test_reclaimctl_killed_or_interrupted(start, capsys):
    """The one who asked dies: by kill -9, SIGINT or SIGTERM."""
    v = start("bloat", "--count=300000", asleep=True)
    tally, chance = Tally("reclaimctl killed", capsys), random.Random(SEED)
    n, at_work, usual = max(KILLS // 6, 10), 0, usual_trim(v)
    for i in range(n):
        before, where = fresh(v), f"reclaimctl killed {i}, seed {SEED}"
        with judge.subprocess.Popen([judge.CTL, "trim", str(v.pid)], stdout=judge.subprocess.DEVNULL,
                                    stderr=judge.subprocess.DEVNULL) as p:
            time.sleep(chance.random() * usual * 1.2)
            at_work += p.poll() is None
            p.send_signal(chance.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM]))
            p.wait(PATIENCE)
        judge_murdered(v, before, where)
    assert v.command("verify")["bad"] == 0
    v.finish()
    tally.verdict(f"{n} times, {at_work} of them at work")
    assert at_work >= n * 0.2


def hang(v, chance, usual):
    """Asks for a trim and stops its worker at some moment; returns the answer and the seconds until it came."""
    argv = [judge.CTL, "--json", "trim", "--timeout=100ms", str(v.pid)]
    with judge.subprocess.Popen(argv, stdout=judge.subprocess.PIPE, stderr=judge.subprocess.PIPE) as p:
        worker = find_worker(p)
        time.sleep(chance.random() * usual)
        if worker and p.poll() is None:
            try:
                os.kill(worker, signal.SIGSTOP)
            except ProcessLookupError:
                pass
        began = time.monotonic()
        out, err = p.communicate(timeout=PATIENCE)
    done = judge.subprocess.CompletedProcess(argv, p.returncode, out, err)
    return judge.Trim(judge.Answer(done), v.pid), time.monotonic() - began


def hang_several(v, seed, rounds):
    """Returns how many of @rounds hung before they were done."""
    chance, hung, usual = random.Random(seed), 0, usual_trim(v)
    for i in range(rounds):
        before, where = fresh(v), f"{v.pid}, hang {i}, seed {SEED}"
        t, took = hang(v, chance, usual)
        # 0.1 s for the trim, 1 s for an answer, 1 s for the worker to die; the rest is for a busy machine
        assert took < 10, f"{where}: {took:.1f} s, {t}"
        judge_answer(t, where)
        hung += t.outcome == "timeout"
        judge_murdered(v, before, where)
    assert v.command("verify")["bad"] == 0
    v.finish()
    return hung


def test_worker_hangs(start, capsys):
    """The worker stops dead (SIGSTOP) at a random moment: the asker gives up in time and kills it,
    and the target goes on."""
    tally = Tally("worker hangs", capsys)
    # mostly waiting, so several at once
    victims = [start("bloat", "--count=100000", asleep=True) for _ in range(4)]
    with ThreadPoolExecutor(len(victims)) as pool:
        hung = sum(pool.map(lambda v: hang_several(v, SEED + v.pid, 4), victims))
    tally.verdict(f"{4 * len(victims)} times, {hung} of them before it was done")
    assert hung


def test_worker_stopped_at_birth(start, capsys):
    """Stopped as soon as it is there, when it is still a copy of reclaimctl about to become the worker."""
    v = start("bloat", "--count=100000", asleep=True)
    tally, early = Tally("worker stopped at birth", capsys), 0
    for i in range(4):
        before, where, began = fresh(v), f"stopped at birth {i}, seed {SEED}", time.monotonic()
        with judge.subprocess.Popen([judge.CTL, "trim", "--timeout=100ms", str(v.pid)],
                                    stdout=judge.subprocess.DEVNULL, stderr=judge.subprocess.DEVNULL) as p:
            children = None
            while not children and p.poll() is None:
                with open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="ascii") as f:
                    children = f.read().split()
            if children:
                os.kill(int(children[0]), signal.SIGSTOP)
                early += not is_worker(int(children[0]))
            try:
                p.wait(20)
            except judge.subprocess.TimeoutExpired:
                p.kill()
                if children:
                    os.kill(int(children[0]), signal.SIGKILL)
                raise AssertionError(f"{where}: reclaimctl hangs in its start") from None
        assert time.monotonic() - began < 20, where
        judge_murdered(v, before, where)
    assert v.command("verify")["bad"] == 0
    v.finish()
    tally.verdict(f"4 times, {early} of them before it was the worker")


def test_two_at_once(start, capsys):
    """Two askers for one target: one works, the other is refused or comes after it."""
    v = start("bloat", "--count=100000", asleep=True)
    tally, n = Tally("two askers at once", capsys), max(N // 10, 10)
    outcomes = []
    for i in range(n):
        before, where = fresh(v), f"two askers {i}, seed {SEED}"
        workers = [workerproto.Worker(workerproto.request(v.pid)) for _ in range(2)]
        try:
            results = [w.result(PATIENCE) for w in workers]
        finally:
            for w in workers:
                w.close()
        for r in results:
            assert r and r.outcome in (workerproto.RECLAIMED, workerproto.NOTHING, workerproto.REFUSED,
                                       workerproto.TIMEOUT), f"{where}: {r}"
            assert r.outcome in (workerproto.RECLAIMED, workerproto.NOTHING) or r.reason, f"{where}: {r}"
        judge_murdered(v, before, where)
        outcomes += [r.outcome for r in results]
    assert v.command("verify")["bad"] == 0
    v.finish()
    acted = sum(o in (workerproto.RECLAIMED, workerproto.NOTHING) for o in outcomes)
    tally.verdict(f"{acted} of {2 * n} trimmed, no harm")
    assert acted >= n * 0.8, outcomes
    assert outcomes.count(workerproto.TIMEOUT) <= n * 0.1, outcomes
