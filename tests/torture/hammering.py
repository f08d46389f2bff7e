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
# where the program itself maps and unmaps: ten thousand leaks can't hide in this
SLACK = 24
# What the others map by themselves and keep. heap: its first heap grows (brk). What regs maps for a moment it gives back.
MAPS = {"regs": "nothing", "bloat": "nothing", "single": "heap", "rseq": "heap"}
PATIENCE = 60
GIVES_BACK = 10
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


def mappings_grown(program, before, pid):
    """How many there are more. Of a program that keeps nothing that it maps there is none, and no memory where none was."""
    itself, new, more = MAPS.get(program), [], [0]

    def as_before():
        now = judge.Snapshot(pid)
        more[0] = len(now.maps) - len(before.maps)
        new[:] = before.map_differences(now, quiet=True) if itself else []
        if itself == "heap":
            new[:] = [d for d in new if not d.endswith("[heap]")]
        return not new and more[0] <= (0 if itself else SLACK)
    try:
        judge.wait_for("it to have no more mappings", GIVES_BACK, as_before)
    except AssertionError as e:
        raise AssertionError(f"{e}: {more[0]} more mappings, {new}") from None
    return more[0]


class Running:
    """A victim that has begun, how it looked then, and what is asked of it at its end."""

    def __init__(self, program, args):
        self.program, self.victim = program, begin(program, args)
        # all but its first thread come and go, and others get their numbers
        self.passing = "--mode=threads" in args

    def __enter__(self):
        v = self.victim
        if self.program != "server":
            v.wait_ready()
        if self.program != "bloat":
            v.moves_on(timeout=PATIENCE)
        self.before = judge.Snapshot(v.pid)
        if self.passing:
            self.before.passing = set(self.before.threads) - {v.pid}
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

    def judge(self):
        """All that outlived the last injection; then the victim's own judgement of itself."""
        v = self.victim
        if self.program == "server":
            v.moves_on(timeout=PATIENCE)
            diff = self.before.differences(judge.Snapshot(v.pid), quiet=False)
            assert not diff, diff
        else:
            v.unharmed(self.before, quiet=False, timeout=PATIENCE)
            if self.program == "bloat":
                assert v.command("verify")["bad"] == 0, v.note
            else:
                v.moves_on(timeout=PATIENCE)
        grown = mappings_grown(self.program, self.before, v.pid)
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


def inject(drivers, case, count, seed, limit_ms):
    """@count injections into a new victim; what came of them."""
    with Running(case.program, case.args) as r:
        doc = hammer(drivers, r.victim.pid, [*r.page, f"--count={count}", f"--seed={seed}", f"--limit-ms={limit_ms}",
                                             f"--timeout-ms={case.timeout}", "--pause-us=100", *case.options],
                     limit_ms / 1000 + 2 * PATIENCE)
        doc["eintr"], doc["components"] = r.eintr(), r.components()
        # A signal of the program's own that comes while a chain has a thread's signals blocked makes the kernel wake
        # another one (retarget_shared_pending()), whichever handles it in the end: EINTR where it never restarts.
        assert not doc["eintr"] or SIGNALS in case.args, f"EINTR: {r.victim.note}"
        doc["mappings"] = r.judge()
    # Less when it was told to end, or came last.
    assert doc["calls"] >= min(count, LEAST) or drivers.ended or limit_ms < 1000 * PATIENCE, f"hardly any: {doc}"
    return doc


def kill(drivers, case, count, seed, limit_ms):
    """@count injectors or their readers killed; then it must still be possible to act on it."""
    with Running(case.program, case.args) as r:
        doc = hammer(drivers, r.victim.pid, [*r.page, f"--kills={count}", f"--seed={seed}", f"--limit-ms={limit_ms}",
                                             f"--kill={case.kill}", "--timeout-ms=1000", f"--delay-us={case.delay_us}"],
                     limit_ms / 1000 + 3 * PATIENCE)
        doc["eintr"], doc["components"] = r.eintr(), r.components()
        assert case.counted or not doc["eintr"], f"EINTR: {r.victim.note}"
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
        if len(now.maps) > len(before.maps):
            diff.append(f"mappings {len(before.maps)} -> {len(now.maps)}")
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
