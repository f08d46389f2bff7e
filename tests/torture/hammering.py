# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that check themselves while build/hammer acts on them a thousand times a second, or kills many who do.

One Running is one victim from its start to its own last word."""

import json
import subprocess
import threading
from collections import namedtuple

import judge
from pyload import Server

HAMMER = judge.BUILD / "hammer"
PATIENCE = 60
# EINTR where a program's own signals bring it about. Without us: 2, 9, 1 and 4 in four minutes on a busy machine
# (safety.rst, windows that remain). A chain has one thread's signals blocked, so it adds occasions, but few of all.
EINTR_ALONE = 10  # in each four minutes that have begun
EINTR_SHARE = 100  # and one in so many injections
LEAST = 100  # injections of a case that had the time for them
LEAST_ASLEEP = 20  # into one sleep in a call in which somebody is touched

# share: of all injections, of all kills. timeout in ms. counted: victims that sleep in a call which the kernel itself
# never restarts; a tracer that dies before it could mend that shows as EINTR, which they count.
Case = namedtuple("Case", "name program args timeout share options")
Kill = namedtuple("Kill", "name program args kill delay_us share counted")

PURGES = ["--purge-every=200"]
PYTHON = ["--spin=0", "--nap=2", "--size=4000"]
SIGNALS = "--itimer-us=1000"
HEAP = ["--threads=2", "--blocks=800", "--throttle-us=20000"]

CASES = [
    Case("single-threaded malloc loop", "single", ["--work=50"], 200, 0.01, []),
    Case("single-threaded, every malloc function, short sleeps", "single", ["--all", "--sleep-us=300"], 500, 0.05, []),
    Case("idle beside three malloc threads", "heap3", [], 2000, 0.02, PURGES),
    Case("idle beside three malloc threads that rest", "heap3", ["--throttle-us=10000"], 2000, 0.13, PURGES),
    Case("all threads in one arena", "heap3", ["--no-idle"], 2000, 0.02, PURGES),
    Case("registers in user code", "regs", ["--mode=spin"], 500, 0.10, []),
    Case("registers in epoll_wait", "regs", ["--mode=epoll", "--ms=3"], 2000, 0.10, []),
    Case("registers in read", "regs", ["--mode=read", "--ms=3"], 2000, 0.10, []),
    Case("registers in nanosleep", "regs", ["--mode=nanosleep", "--ms=3"], 2000, 0.09, []),
    Case("registers in a timed futex", "regs", ["--mode=futex", "--ms=3"], 2000, 0.09, []),
    Case("registers in poll", "regs", ["--mode=poll", "--ms=3"], 2000, 0.03, []),
    Case("restartable sequences", "rseq", ["--work=500"], 500, 0.02, []),
    Case("threads that come and go", "targets", ["--mode=threads"], 500, 0.01, []),
    Case("children that come and go", "targets", ["--mode=forks"], 500, 0.02, []),
    Case("asyncio server under load", "server", [], 2000, 0.06, []),
    Case("heaps, sleepers of four kinds", "purge_heap", HEAP, 2000, 0.06, PURGES),
    Case("the same, SIGALRM each ms, alternate stacks", "purge_heap", [*HEAP, SIGNALS, "--alt"], 2000, 0.02,
         PURGES),
    Case("the same, forks", "purge_heap", [*HEAP, "--storm=fork"], 2000, 0.01, PURGES),
    Case("the same, short-lived threads", "purge_heap", [*HEAP, "--storm=threads"], 2000, 0.01, PURGES),
    Case("Python, six kinds of sleep", "python", PYTHON, 3000, 0.02, ["--purge-every=200", "--collect-every=100"]),
    Case("kept blocks, asleep in read", "bloat", ["--count=30000", "--sleep=read"], 2000, 0.01, PURGES),
    Case("kept blocks, asleep in epoll_wait", "bloat", ["--count=30000", "--sleep=epoll"], 2000, 0.01, PURGES),
    Case("kept blocks, asleep in poll", "bloat", ["--count=30000", "--sleep=poll"], 2000, 0.01, PURGES),
]
# what is missing in the end is made up with these
FAST = ["registers in user code", "registers in epoll_wait", "registers in read", "registers in a timed futex"]

KILLS = [
    Kill("registers in user code", "regs", ["--mode=spin"], "trim", 4000, 0.16, False),
    Kill("registers in epoll_wait", "regs", ["--mode=epoll", "--ms=5"], "trim", 4000, 0.16, True),
    Kill("registers in read", "regs", ["--mode=read", "--ms=5"], "trim", 4000, 0.16, False),
    Kill("registers in a timed futex", "regs", ["--mode=futex", "--ms=5"], "trim", 4000, 0.16, False),
    Kill("idle beside three malloc threads", "heap3", ["--throttle-us=5000"], "trim", 4000, 0.12, True),
    Kill("all threads in one arena", "heap3", ["--no-idle"], "trim", 8000, 0.04, False),
    Kill("single-threaded malloc loop", "single", ["--sleep-us=500"], "trim", 4000, 0.08, False),
    Kill("heaps, sleepers of four kinds", "purge_heap", HEAP, "purge", 30000, 0.06, True),
    Kill("Python, six kinds of sleep", "python", PYTHON, "purge", 90000, 0.03, False),
    Kill("Python, six kinds of sleep, collected", "python", PYTHON, "collect", 30000, 0.03, False),
]
# Of these the worker itself is killed, as reclaimctl starts it: a tenth of all kills, in equal parts
WORKERS = [k for k in KILLS if k.name in ("registers in epoll_wait", "registers in a timed futex",
                                          "idle beside three malloc threads", "single-threaded malloc loop")]
WORKERS_SHARE = 0.1


class Ended(Exception):
    """Somebody has told all of it to end."""


class Drivers:
    """The programs that are at work, so that they can be told to end."""

    def __init__(self):
        self.lock, self.running, self.ended = threading.Lock(), set(), False

    def start(self, argv, **how):
        with self.lock:
            if self.ended:
                raise Ended
            p = subprocess.Popen([str(a) for a in argv], **{
                "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how})
            self.running.add(p)
        return p

    def finish(self, p, timeout):
        try:
            out, err = p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            raise AssertionError("the hammer hangs") from None
        finally:
            with self.lock:
                self.running.discard(p)
        return out, err

    def end(self):
        with self.lock:
            self.ended = True
            for p in self.running:
                p.terminate()


def begin(program, args):
    if program == "server":
        return Server(size=3000, clients=2, pause=0.01)
    if program == "python":
        v = judge.Victim([judge.PYTHON, judge.TOP / "tests/victims/purge_py.py", *args])
    else:
        v = judge.victim(program, *args)
    return v


def as_it_was(v, before, patience):
    """How many mappings more it has than @before, when all that can be compared is as it was."""
    last = []

    def same():
        now = judge.Snapshot(v.pid)
        last[:] = [len(now.maps) - len(before.maps), *before.differences(now, quiet=False, may=v.may)]
        return len(last) == 1
    try:
        judge.wait_for("it to look as before", patience, same)
    except AssertionError as e:
        raise AssertionError(f"{e}: {last[1:]}") from None
    return last[0]


class Running:
    """A victim that has begun, how it looked then, and what is asked of it at its end."""

    def __init__(self, program, args):
        self.program, self.victim = program, begin(program, args)

    def __enter__(self):
        v = self.victim
        if self.program != "server":
            v.wait_ready()
        if self.program != "bloat":
            v.moves_on(timeout=PATIENCE)
        self.before = judge.Snapshot(v.pid)
        return self

    def __exit__(self, *exc):
        self.victim.kill()

    @property
    def page(self):
        return [] if self.program == "server" else [f"--page={self.victim.shm_path}"]

    def components(self):
        """What regs keeps in registers and compares, by the bits of XCR0: as much as this processor has."""
        return self.victim.get("elapsed_us") if self.program == "regs" else 0

    def eintr(self):
        return 0 if self.program == "server" else self.victim.get("eintr")

    def judge(self, patience=PATIENCE):
        """All that outlived the last injection; then the victim's own judgement of itself."""
        v = self.victim
        if self.program == "bloat":
            assert v.command("verify")["bad"] == 0, v.note
        else:
            v.moves_on(timeout=PATIENCE)
        grown = as_it_was(v, self.before, patience)
        v.finish()
        return grown


def hammer(drivers, pid, options, limit):
    """One run of the driver; what it counted. @limit: seconds after which it is taken to hang."""
    p = drivers.start([HAMMER, f"--pid={pid}", *options])
    out, err = drivers.finish(p, limit)
    assert out.startswith("{"), f"the hammer ended with {p.returncode}: {err.strip()}"
    doc = json.loads(out)
    assert not doc["harm"] and p.returncode == 0, f"{doc['harm']}; {doc}"
    return doc


def eintr_alone(case, doc):
    """How many may be the program's own."""
    return EINTR_ALONE * (1 + doc["ms"] // 240000) + doc["calls"] // EINTR_SHARE if SIGNALS in case.args else 0


def inject(drivers, case, count, seed, limit_ms):
    """@count injections into a new victim; what came of them."""
    with Running(case.program, case.args) as r:
        doc = hammer(drivers, r.victim.pid, [*r.page, f"--count={count}", f"--seed={seed}", f"--limit-ms={limit_ms}",
                                             f"--timeout-ms={case.timeout}", "--pause-us=100", *case.options],
                     limit_ms / 1000 + 2 * PATIENCE)
        doc["eintr"], doc["components"] = r.eintr(), r.components()
        # A signal of the program's own that comes while a chain has a thread's signals blocked makes the kernel wake
        # another one (retarget_shared_pending()), whichever handles it in the end: EINTR where it never restarts.
        assert doc["eintr"] <= eintr_alone(case, doc), f"{doc['eintr']} EINTR: {r.victim.note}"
        doc["mappings"] = r.judge()
    # Less when it was told to end, or came last.
    assert doc["calls"] >= min(count, LEAST) or drivers.ended or limit_ms < 1000 * PATIENCE, f"hardly any: {doc}"
    return doc


def kill(drivers, case, count, seed, limit_ms):
    """@count injectors killed, alone or with their readers, and some readers besides; then it must still be possible to
    act on it."""
    with Running(case.program, case.args) as r:
        doc = hammer(drivers, r.victim.pid, [*r.page, f"--kills={count}", f"--seed={seed}", f"--limit-ms={limit_ms}",
                                             f"--kill={case.kill}", "--timeout-ms=1000", f"--delay-us={case.delay_us}"],
                     limit_ms / 1000 + 3 * PATIENCE)
        doc["eintr"], doc["components"] = r.eintr(), r.components()
        # A kill leaves one at most. Where only the reader was killed, its injector is in the end, too.
        may = doc["kills"] + doc["kills_reader"] if case.counted else 0
        assert doc["eintr"] <= may, f"{doc['eintr']} EINTR, and {may} kills that may leave one: {r.victim.note}"
        judge.wait_for("a last trim", PATIENCE, lambda: judge.trim(r.victim.pid, "--timeout=2s").rc == 0)
        doc["mappings"] = r.judge()
    return doc


def asleep_as_before(v, before):
    """Compared from outside while it still sleeps? What has woken up meanwhile is judged by its result."""
    diff = []

    def same():
        if v.get("stop") or v.get("errors") or not v.alive():
            return "woken"
        try:
            now = v.snapshot()
        except (AssertionError, OSError, TypeError):
            return "woken"  # it ended while we looked
        diff[:] = before.differences(now)
        return not diff and "same"
    try:
        return judge.wait_for("it to look as before", PATIENCE, same) == "same"
    except AssertionError as e:
        raise AssertionError(f"{e}: {diff}") from None


def sleep_once(drivers, case, ms, seed):
    with judge.victim("sleepers", f"--case={case.name}", f"--ms={ms}") as v:
        v.wait_ready()
        v.wait_asleep(tid=v.pid)
        before = v.snapshot()
        doc = hammer(drivers, v.pid, [f"--page={v.shm_path}", f"--count={10**9}", f"--seed={seed}",
                                      f"--limit-ms={ms * 7 // 10}", "--timeout-ms=200", "--pause-us=100"], PATIENCE)
        doc["compared"] = asleep_as_before(v, before)
        try:
            rc = v.proc.wait(2 * ms / 1000 + PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it never woke up: {judge.syscall_of(v.pid)}") from None
        assert rc == 0 and not v.get("errors"), v.note
    return doc


def sleep(drivers, case, ms, seed):
    """One sleep of victims/sleepers.c, injected into for most of the time that it lasts, and compared from outside before
    it ends; another one where a busy machine left no time for either."""
    for _ in range(3):
        doc = sleep_once(drivers, case, ms, seed)
        assert not (case.untouched and doc["calls"]), f"somebody is touched in it: {doc}"
        doc["untouched"] = case.untouched
        enough = [*doc["reasons"]] == [case.untouched] if case.untouched else doc["calls"] >= LEAST_ASLEEP
        if drivers.ended or doc["compared"] and enough:
            return doc
    raise AssertionError(f"three times not compared, too few, or refused for another reason: {doc}")
