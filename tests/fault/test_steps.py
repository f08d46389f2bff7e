# SPDX-License-Identifier: GPL-2.0-or-later
"""Each call to the kernel and to the allocator that a worker makes fails in turn in each way in which it can
really fail, takes its time, or is the worker's last (fault build). Every time the target must go on as if
nothing had been, and the caller must get a true answer: what was not done isn't told as done, the bytes are
those that the target has lost, and nothing is said of the target that isn't so.

For make check some steps by chance (RECLAIM_TORTURE_SEED repeats them); RECLAIM_FAULT_MATRIX=1 tries all but
most of the many reads of a heap (RECLAIM_FAULT_READS=0: those too), each until it was reached: plan.py."""

import collections
import contextlib
import errno
import os
import random
import time

import pytest

import judge
import steprecord
from advice import Advice
from plan import Plan, ways_at
from steps import BARRED, GONE, MEMORY, ROLES, Steps

MATRIX = bool(os.environ.get("RECLAIM_FAULT_MATRIX"))
SEED = int(os.environ.get("RECLAIM_TORTURE_SEED") or time.time())
SECONDS = float(os.environ.get("RECLAIM_FAULT_SECONDS", 0.4))  # for each of them, unless all is tried
SAID = os.environ.get("RECLAIM_FAULT_SAID")  # a file, for whoever wants to read all that was said
RUNS = 15  # undisturbed, to know the steps by
# A heap is read in thousands of steps that are all alike: so many of each kind, evenly spread. 0: all of them.
READS = int(os.environ.get("RECLAIM_FAULT_READS", 600))
PAGES = 512 << 10  # of its own, or of the kernel's batches (mm_struct's counters): not ours to tell apart

# Said of the target or of the moment, and true of none of these, which are asleep or go on as they did before.
STATUS = {"failed": (1, 4, 5), "timeout": (1,), "refused": (3,)}
DENIED, VANISHED = 4, 5  # exit statuses


class Bloat:
    """Asleep in poll(): not a byte moves but by us."""

    count, options = 20000, []

    def __init__(self, start, remedy):
        self.v = start("bloat", f"--count={self.count}", "--every=100", *self.options)
        self.remedy = remedy
        self.begin = self.prepare()

    def prepare(self):
        self.v.command("again")
        self.v.wait_asleep()
        self.before = self.v.snapshot()
        self.rss = judge.rss(self.v.pid)
        return self.before

    def act(self, env):
        return judge.trim(self.v.pid, f"--remedy={self.remedy}", "--timeout=1s", env=env)

    def judge(self):
        self.v.unharmed(self.before, quiet=True)
        return self.rss - judge.rss(self.v.pid)

    def eintr(self):
        return 0  # poll() may not be seen to end: it complains

    def check(self, t, lost, steps, kind):
        check_answer(t, lost, steps, kind)

    def finish(self):
        self.v.finish()


class Epoll(Bloat):
    """Asleep in a call that the kernel never restarts: each stop that isn't mended shows."""

    count, options = 5000, ["--sleep=epoll"]

    def prepare(self):
        super().prepare()
        # If it may see EINTR it calls anew, and a register that is no argument has changed meanwhile.
        self.call = self.before.calls.pop(self.v.pid)
        return self.before

    def judge(self):
        lost = super().judge()
        self.v.wait_asleep()
        assert judge.syscall_of(self.v.pid)[0] == self.call[0]
        return lost

    def eintr(self):
        return self.v.get("eintr")


class Busy:
    """Threads that fill and empty heaps beside sleepers, all of which check what they see."""

    argv = None

    def __init__(self, start, remedy):
        self.remedy = remedy
        self.v = self.begin_one(start)
        self.v.moves_on()
        self.begin = self.v.snapshot()

    def begin_one(self, start):
        return start("purge_heap", "--threads=2", "--blocks=800", "--arenas=2", "--throttle-us=20000")

    def prepare(self):
        return self.begin

    def act(self, env):
        return judge.trim(self.v.pid, f"--remedy={self.remedy}", "--timeout=3s", env=env)

    def judge(self):
        judge.wait_for("no tracer", 5, lambda: not self.v.alive() or all(
            judge.status(self.v.pid, t, "TracerPid") in ("0", None) for t in judge.tids(self.v.pid)))
        assert self.v.alive(), self.v.obituary()
        self.v.moves_on(rounds=1)
        self.v.unharmed(self.begin, quiet=False)
        return None

    def eintr(self):
        return self.v.get("eintr")

    def check(self, t, lost, steps, kind):
        check_answer(t, lost, steps, kind)

    def finish(self):
        self.v.finish()


class Python(Busy):
    def begin_one(self, start):
        return start(None, argv=[judge.PYTHON, judge.TOP / "tests/victims/purge_py.py", "--spin=0", "--nap=2",
                                 "--size=2000", "--seed=20000"])


class Told:
    """What reclaimctl explain has said, in the words of a trim."""

    def __init__(self, answer):
        self.answer, self.rc = answer, answer.rc
        self.doc = answer.doc
        self.reason = self.doc.get("reason") or self.doc.get("error")
        self.glibc = next((x for x in self.doc.get("layers", []) if x["layer"] == "glibc"), {"state": "absent"})
        self.outcome = self.glibc["state"]
        self.acted = self.outcome == "read"

    def __repr__(self):
        return f"{self.rc} {self.outcome}: {self.reason} {self.answer.err}"


class Explain(Bloat):
    count = 5000
    truth = None

    def __init__(self, start, remedy):
        super().__init__(start, remedy)
        t = self.act({})
        assert t.acted and not t.glibc["partial"], t
        self.truth = t.glibc, {r["remedy"]: r for r in t.doc["remedies"]}

    def prepare(self):
        if not self.truth:
            super().prepare()

    def act(self, env):
        return Told(judge.ctl("--json", "explain", self.v.pid, "--timeout=3s", env=env))

    def check(self, t, lost, steps, kind):
        assert abs(lost) <= PAGES and t.doc["stopped_us"] == 0
        if t.outcome == "absent":
            assert t.reason, t
            return
        remedies = {r["remedy"]: r for r in t.doc["remedies"]}
        whole = t.outcome == "read" and not t.glibc["partial"] and t.glibc["threads_read"] == t.glibc["threads"]
        # All that is said to have been read is as it was when nothing failed; what isn't, says why.
        if whole and t.glibc != self.truth[0]:
            raise AssertionError({k: (v, t.glibc[k]) for k, v in self.truth[0].items() if v != t.glibc[k]})
        assert t.outcome != "unreadable" or t.glibc["why"], t
        assert t.doc["allocator"] == "glibc", t
        for name, r in remedies.items():
            assert r["possible"] or r["reason"], t
            if r["possible"] and r["predicted"] is not None and whole and self.truth[1][name]["possible"]:
                assert r == self.truth[1][name], t


class Small(Bloat):
    """Each block of it is read several times."""

    count = 5000


class Forked(Bloat):
    """Beside a child with all the same addresses: that its memory is another one only the kernel can tell."""

    def __init__(self, start, remedy):
        self.v, self.remedy = start("sharers", "--mode=fork"), remedy
        self.child = self.v.wait_ready().get("result")
        self.begin = self.prepare()

    def prepare(self):
        self.v.wait_asleep()
        self.before, self.rss = self.v.snapshot(), judge.rss(self.v.pid)
        return self.before

    def judge(self):
        s = judge.status(self.child)
        assert s["State"][0] == "S" and s["TracerPid"] == "0", s
        return super().judge()


TARGETS = {
    "explain": ("explain", Explain),
    "trim": ("trim", Bloat),
    "trim, epoll": ("trim", Epoll),
    "purge": ("purge", Small),
    "purge, busy": ("purge", Busy),
    "purge, Python": ("purge", Python),
    "collect": ("collect", Python),
    "cold": ("cold", Advice),
    "pageout": ("pageout", Advice),
}


class Verdicts:
    """What came of all steps, by kind and outcome."""

    def __init__(self):
        self.counts = collections.Counter()
        self.said = collections.Counter()
        self.wrong, self.harmed = [], 0

    def add(self, role, kind, outcome, what=""):
        self.counts[role, kind, outcome] += 1
        if what:
            self.said[what] += 1

    def save(self, name, plan, began, passed):
        steps = collections.Counter()
        for (role, call, how, outcome, _), n in self.said.items():
            steps[role, call, how, outcome] += n
        steprecord.save(name, began, exhaustive=True, reads=READS, steps=plan.steps, plan=plan.record(),
                    counts=[[*what, n] for what, n in steps.items()], wrong=self.wrong, harmed=self.harmed, passed=passed)

    def tell(self, capsys, name):
        kinds = sorted({(r, k) for r, k, _ in self.counts})
        with capsys.disabled():
            print()
            for role, kind in kinds:
                outcomes = {o: n for (r, k, o), n in sorted(self.counts.items()) if (r, k) == (role, kind)}
                print(f"  {name}: {role} {kind}: {sum(outcomes.values())} steps, {outcomes}")


def kind_of(steps, kind):
    if kind in ("die", "delay"):
        return kind
    return errno.errorcode[steps.error] if steps.error else "short"


# What stops a thread and puts it right again: a worker that is told that one of these has failed knows of no way.
REPAIR = {"interrupt", "waitid", "getregs", "setregs", "detach"}


def eintr_is_ours(steps, role, kind):
    """Was it stopped, and had nothing been put in place yet, when the worker died, or was told that it has lost it?"""
    if role != "injector" or kind == "delay":
        return False
    done = steps.calls("injector")
    if kind != "die":
        return "interrupt" in done and steps.call in REPAIR
    last = max((i for i, op in enumerate(done) if op == "seize"), default=len(done))
    done = done[last:]
    return "interrupt" in done and "setregs" not in done[:-1]


def check_answer(t, lost, steps, kind):
    """Is it true? @lost: bytes that the target has lost, when that can be told."""
    doc, error = t.doc, 0 if kind in ("die", "delay") else steps.error
    assert doc["freed"] == doc["rss_before"] - doc["rss_after"] or not doc["steps"], t
    if t.outcome in ("reclaimed", "nothing"):
        assert t.rc == 0, t
        assert t.outcome == "reclaimed" or doc["freed"] <= 0 or not doc["steps"], t
        if lost is not None:
            assert abs(doc["freed"] - lost) <= PAGES, f"it has lost {lost}, {t}"
        return
    assert t.reason and t.rc in STATUS[t.outcome], t
    # Its memory is gone, or itself, or it may not be traced: only where the kernel has said so.
    assert t.rc != VANISHED or error in GONE or (error == errno.EIO and steps.call in MEMORY), t
    assert t.rc != DENIED or error in BARRED, t


def one(target, steps, role, k, kind, verdicts):
    """True when the step was reached."""
    target.prepare()
    had = target.eintr()
    t = target.act(steps.env(role, k, kind))
    fired = steps.fired
    where = f"{target.remedy}: {role}:{k}:{kind}, {steps.call if fired else 'not reached'}, {t}"
    harmed = True
    try:
        lost = target.judge()
        if target.eintr() > had:
            assert fired and eintr_is_ours(steps, role, kind), "EINTR"
        harmed = False
        target.check(t, lost, steps, kind)
    except AssertionError as e:
        verdicts.wrong.append(f"{where}: {e}")
        # What is said wrong is counted; who is harmed is of no more use.
        verdicts.harmed += harmed
        assert target.v.alive() and not target.v.get("errors"), verdicts.wrong[-1]
    if fired:
        how = kind_of(steps, kind)
        verdicts.add(role, how, t.outcome, (role, steps.call, how, t.outcome, t.reason))
    return fired


def ways(target, steps, role, k, call, verdicts):
    """All that can happen at one step, once."""
    for kind in ways_at(steps, call):
        one(target, steps, role, k, kind, verdicts)


def count_steps(target, steps):
    """(role, k, name) of all steps of an undisturbed run."""
    for _ in range(5):
        target.prepare()
        t = target.act(steps.env())
        target.check(t, target.judge(), steps, "")
        if t.acted:
            return {role: steps.calls(role) for role in ROLES}, t
    raise AssertionError(f"{target.remedy} doesn't work undisturbed: {t}")


def plan_steps(target, steps):
    """One target at a time, where there are no other processes (alone): a worker looks at all of them, so another one's
    would be among its steps, and in others when it is met at another moment."""
    runs = [count_steps(target, steps)[0] for _ in range(RUNS)]
    return Plan(runs, steps, READS)


def sample(calls, seconds, verdicts):
    """By chance, but each kind of call as often as the others; until the time is over, and one was reached, which on a
    busy machine may take longer."""
    rng, end = random.Random(SEED), time.monotonic() + seconds
    counts = {(role, call): calls[role].count(call) for role in ROLES for call in calls[role]}
    kinds = sorted(counts)
    while time.monotonic() < end or not verdicts.counts and time.monotonic() < end + 30:
        role, call = rng.choice(kinds)
        yield role, f"{call}@{rng.randint(1, counts[role, call])}", call


def no_wrong(verdicts):
    assert not verdicts.wrong, f"{len(verdicts.wrong)} wrong: " + "\n".join(verdicts.wrong[:30])


def tell_said(name, verdicts):
    if SAID:
        with open(SAID, "a", encoding="utf-8") as f:
            f.writelines(f"{n}\t{name}\t{' '.join(map(str, what))}\n" for what, n in verdicts.said.most_common())


def some_steps(start, name, capsys):
    remedy, kind = TARGETS[name]
    target, verdicts = kind(start, remedy), Verdicts()
    with contextlib.closing(Steps()) as steps:
        calls, _ = count_steps(target, steps)
        for role, k, call in sample(calls, SECONDS, verdicts):
            ways(target, steps, role, k, call, verdicts)
    verdicts.tell(capsys, name)
    assert verdicts.counts
    no_wrong(verdicts)
    target.finish()
    tell_said(name, verdicts)


def all_steps(start, name, capsys):
    remedy, kind = TARGETS[name]
    began, passed, verdicts = time.time(), False, Verdicts()
    target = kind(start, remedy)
    with contextlib.closing(Steps()) as steps:
        plan = plan_steps(target, steps)
        try:
            while (t := plan.take()) is not None:
                plan.back(t, one(target, steps, t.role, t.step, t.kind, verdicts))
            verdicts.tell(capsys, name)
            no_wrong(verdicts)
            assert not plan.missed(), f"{len(plan.missed())} of {len(plan.all)} never reached: {plan.missed()[:50]}"
            target.finish()
            passed = True
        finally:
            verdicts.save(name, plan, began, passed)
    tell_said(name, verdicts)


@pytest.mark.parametrize("name", TARGETS)
def test_each_step(start, name, capsys):
    (all_steps if MATRIX else some_steps)(start, name, capsys)


def after(call, mark, calls):
    """The first @call after the first @mark."""
    return calls.index(call, calls.index(mark)) + 1


def last(call, calls):
    return len(calls) - calls[::-1].index(call)


# What once was told wrong, or did harm: role, which step, in which way it fails; what must be told.
TOLD = {
    "figures afterwards": ("injector", lambda c: after("openat", "detach", c), 0, "failed", "can't be measured"),
    "who else there is": ("injector", lambda c: after("readdir", "fdopendir", c), 0, "refused", "shares its memory"),
    "whose memory it is": ("injector", lambda c: after("openat", "fdopendir", c), 0, "refused", "Too many open files"),
    "threads to pick": ("injector", lambda c: after("readdir", "send", c), 0, "failed", "Cannot allocate memory"),
    "status of a thread": ("injector", lambda c: c.index("openat", after("recv", "getregs", c)) + 1, 0, "failed",
                           "Too many open files"),
    "its own tracing": ("injector", lambda c: last("interrupt", c), 0, "refused", "would not stop"),
    "registers put back": ("injector", lambda c: last("setregs", c), 1, "reclaimed", None),
    "answer, signal": ("injector", lambda c: last("send", c), 0, "reclaimed", None),
    "answer, no room": ("injector", lambda c: last("send", c), 1, "reclaimed", None),
    "stack written in part": ("injector", lambda c: last("pwrite", c), 0, "reclaimed", None),
    "reader's threads": ("reader", lambda c: after("readdir", "fdopendir", c), 0, "failed", "Cannot allocate memory"),
    "reader's libraries": ("reader", lambda c: after("openat", "fstat", c), 1, "failed", "Cannot allocate memory"),
}


def tell_one(target, steps, calls, what):
    """Runs differ by what they wait for: once more until that very step has failed."""
    role, find, way, outcome, reason = TOLD[what]
    for i in range(20):
        if i:
            calls, _ = count_steps(target, steps)
        k = find(calls[role])
        target.prepare()
        t = target.act(steps.env(role, k, way))
        lost = target.judge()
        check_answer(t, lost, steps, way)
        if t.reason and "too busy" in t.reason:
            continue
        if steps.fired and steps.call == calls[role][k - 1] and find(steps.calls(role)[:k]) == k:
            assert t.outcome == outcome, f"{what}: {t}"
            assert reason is None or reason in t.reason, f"{what}: {t}"
            return
    raise AssertionError(f"{what}: that step is never reached")


def test_told(start):
    target = Bloat(start, "trim")
    with contextlib.closing(Steps()) as steps:
        calls, _ = count_steps(target, steps)
        for what in TOLD:
            tell_one(target, steps, calls, what)
    target.finish()


def test_whose_memory(start):
    """Whether memory is shared the kernel is asked only where the addresses are the same: in no other target's run.
    Who has ended meanwhile (ESRCH) shares nothing any more."""
    target, verdicts = Forked(start, "trim"), Verdicts()
    with contextlib.closing(Steps()) as steps:
        calls, _ = count_steps(target, steps)
        asked = calls["injector"].count("kcmp")
        assert asked
        for n in range(1, asked + 1):
            for kind in ways_at(steps, "kcmp"):
                assert one(target, steps, "injector", f"kcmp@{n}", kind, verdicts), f"kcmp@{n}:{kind} was not reached"
    no_wrong(verdicts)
    outcomes = {(how, outcome) for _, how, outcome in verdicts.counts}
    assert outcomes == {("EPERM", "refused"), ("ESRCH", "nothing"), ("delay", "nothing"), ("die", "failed")}
    target.finish()
