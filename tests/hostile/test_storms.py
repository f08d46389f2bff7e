# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets that are anything but still: threads by the thousand, stops, execs, exits, their own tracers, and
numbers that belong to somebody else a moment later."""

import os
import random
import signal
import subprocess
import threading
import time

import pytest

import judge
import workerproto
from hostile import LONG, NOBODY, SEED, Verdict, act, let_go, look, nothing_left, readers

TIMES = 60 if LONG else 6
# A stop that the kernel forgets is waited for in vain: a few in a hundred is what a busy machine does.
FORGOTTEN = "did not stop in time"


def stops(v, over):
    pace = random.Random(SEED)
    while not over.is_set():
        v.proc.send_signal(pace.choice((signal.SIGSTOP, signal.SIGTSTP, signal.SIGCONT, signal.SIGCONT)))
        time.sleep(pace.random() * 0.003)
    v.proc.send_signal(signal.SIGCONT)


def queued(v, over):
    """Bursts of signals none of which may get lost: storm.c counts them, and test_storm compares. The kernel itself
    loses what doesn't fit into the queue (ulimit -i), so some thousands wait there at most."""
    pace = random.Random(SEED)
    while not over.is_set():
        for _ in range(500 if v.sent - v.get("handler_runs") < 2000 else 0):
            os.kill(v.pid, signal.SIGRTMIN)
            v.sent += 1
        time.sleep(pace.random() * 0.003)


# name: arguments of storm.c, what goes on outside, outcomes that are right
STORMS = {
    "1,000 threads a second": (["--how=threads"], None),
    "5,000 threads": (["--how=many"], None),
    "SIGSTOP, SIGTSTP and SIGCONT": (["--how=idle"], stops),
    "real-time signals by the hundred": (["--how=queued"], queued),
    "execs": (["--how=execs"], None),
    "execs of another thread": (["--how=exec-thread"], None),
    "forks": (["--how=forks"], None),
    "a child that traces it, and lets go": (["--how=traced"], None),
    "it traces its child": (["--how=tracer"], None),
    "it attaches to whoever traces it": (["--how=strike-back"], None),
    "prctl: names, dumpable, keepcaps": (["--how=prctl"], None),
    "no memory may become executable": (["--how=mdwe"], None),
    "its threads change their user": (["--how=setuid"], None),
}


@pytest.mark.parametrize("name", STORMS)
def test_storm(name, start, place, bystanders, capsys):
    args, outside = STORMS[name]
    verdict, before, over, outcomes, late = Verdict(name, capsys), readers(), threading.Event(), {}, 0
    v = start(None, argv=[place.program("storm"), *args, f"--seed={SEED}"],
              prefix=[] if "--how=setuid" in args else NOBODY)
    v.sent = 0
    blow = threading.Thread(target=outside, args=(v, over)) if outside else None
    if blow:
        blow.start()
    try:
        for i in range(TIMES * (4 if name == "execs" else 1)):
            t = act(verdict, v.pid, ("trim", "purge")[i % 2], timeout=0.2 if name == "execs" else 0.5)
            late += FORGOTTEN in (t.reason or "")
            outcomes[t.outcome] = outcomes.get(t.outcome, 0) + 1
            assert v.alive(), f"{t}: {v.obituary()}"
            assert not v.get("errors"), v.note
        # Where the stacks of 5,000 threads are, reclaimctl asks the kernel, not the worker.
        look(verdict, v.pid, more=10 if "--how=many" in args else 0)
    finally:
        over.set()
        if blow:
            blow.join()
    let_go(v.pid)
    assert v.alive(), v.obituary()
    assert late <= 1, f"{late} times: {FORGOTTEN}"
    if v.sent:
        judge.wait_for("each signal to be handled", 30, lambda: v.get("handler_runs") >= v.sent)
        assert v.get("handler_runs") == v.sent
    rounds = v.get("rounds")
    if rounds:
        judge.wait_for("it to get on", 30, lambda: v.get("rounds") > rounds or v.get("done"))
    nothing_left(before)
    bystanders[0].moves_on()
    v.finish()
    verdict.said = [" ".join(f"{n} {o}" for o, n in sorted(outcomes.items()))] + ([f"{v.sent} signals"] if v.sent else [])
    verdict.show()


def in_namespace(place):
    """storm --how=reuse as pid 1 of its own pid namespace, which decides what number its children get."""
    return ["unshare", "-p", "-f", "--mount-proc", "--kill-child", place.program("storm"), "--how=reuse"]


def test_pid_reuse(place, start, capsys):
    """A number that belongs to another program every few milliseconds. Each of them counts how often it was
    stopped: whoever was asked for by start time is the only one that may have been."""
    verdict, before = Verdict("pids that are used again at once", capsys), readers()
    v = start(None, argv=in_namespace(place))
    init = judge.wait_for("the namespace", 30, lambda: [int(c) for c in open(f"/proc/{v.pid}/task/{v.pid}/children",
                                                                             encoding="ascii").read().split()])[0]
    enter = ["nsenter", "-t", str(init), "-p", "-m"]
    codes, began = {}, time.monotonic()
    while time.monotonic() - began < (60 if LONG else 2):
        a = judge.ctl("--json", "trim", "--remedy=trim", "--timeout=300ms", v.get("result"), prefix=enter)
        codes[a.rc] = codes.get(a.rc, 0) + 1
        assert a.rc in (0, 3, 5), a
    assert v.alive() and not v.get("errors"), v.note
    lives = v.get("rounds")
    nothing_left(before)
    verdict.said = [f"{lives} processes with one number, exit statuses {codes}"]
    verdict.show()
    assert lives > 50


def test_wrong_start_time_is_never_stopped(place, start, capsys):
    """The same with the start time of one that has gone: nobody is touched, ever."""
    verdict = Verdict("start times of the dead", capsys)
    v = start(None, argv=[place.program("storm"), "--how=idle"], prefix=NOBODY)
    v.wait_asleep()
    switches, own = judge.switches(v.pid), int(open(f"/proc/{v.pid}/stat", encoding="ascii", errors="replace")
                                                .read().rpartition(")")[2].split()[19])
    for off in (-1, 1, 100):
        for _ in range(10):
            with workerproto.Worker(workerproto.request(v.pid, start_time=own + off)) as w:
                assert w.result().outcome == workerproto.GONE
    assert judge.switches(v.pid) == switches
    v.finish()
    verdict.said = ["30 times"]
    verdict.show()


def test_names(place, start, bystanders, capsys):
    """Names of programs, threads, files and mappings that would be commands to a terminal, or the end of a string."""
    verdict, before = Verdict("names", capsys), readers()
    evil = place.dir / "a\n\x1b]0;x\x07\x1b[2J\"}],\\ (deleted)"
    if not evil.exists():
        os.link(place.program("storm"), evil)
    v = start(None, argv=[evil, "--how=names"], prefix=NOBODY)
    v.wait_asleep()
    look(verdict, v.pid)
    act(verdict, v.pid)
    for args in (["explain", v.pid], ["regions", v.pid], ["ps", v.pid], ["trim", v.pid], ["--json", "regions", v.pid],
                 ["--json", "ps", v.pid]):
        a = judge.ctl(*args)
        assert a.rc in (0, 3), a
        assert "\x1b" not in a.out + a.err and "\x07" not in a.out + a.err, args
        if args[0] == "--json":
            assert a.doc
    v.finish()
    nothing_left(before)
    verdict.show()


def test_exit_in_the_middle(place, start, capsys):
    """kill -9 of the target at a random moment."""
    verdict, before, chance, codes = Verdict("killed in the middle", capsys), readers(), random.Random(SEED), {}
    for i in range(TIMES * 3):
        v = start(None, argv=[place.program("storm"), "--how=idle"], prefix=NOBODY)
        timer = threading.Timer(chance.random() * 0.02, v.proc.kill)
        timer.start()
        t = act(verdict, v.pid, ("trim", "purge")[i % 2])
        timer.join()
        codes[t.rc] = codes.get(t.rc, 0) + 1
        assert t.rc in (0, 3, 5), t
        v.kill()
    nothing_left(before)
    verdict.said = [f"exit statuses {codes}"]
    verdict.show()


def test_seccomp_of_each_kind(place, start, capsys):
    """What a filter would answer to the calls of ours decides, and the filter itself never learns of it."""
    for answer, want in (("allow", "acted"), ("errno", "either"), ("kill", "refused"), ("trap", "refused"),
                         ("notify", "refused"), ("trace", "refused"), ("log", "acted")):
        verdict = Verdict(f"seccomp: madvise and brk {answer}", capsys)
        v = start(None, argv=[place.program("storm"), "--how=seccomp", f"--answer={answer}"], prefix=NOBODY)
        v.wait_asleep()
        before = v.snapshot()
        t = act(verdict, v.pid)
        assert want == "either" or t.acted == (want == "acted"), (answer, t)
        assert t.acted or t.outcome == "refused" and "seccomp" in t.reason, t
        v.unharmed(before, quiet=False)
        v.finish()
        verdict.show()


def test_started_and_gone(capsys):
    """Processes that hardly live."""
    verdict, codes = Verdict("short lives", capsys), {}
    for _ in range(TIMES * 3):
        with subprocess.Popen(["/bin/true"]) as p:
            t = judge.trim(p.pid, "--timeout=500ms")
        codes[t.rc] = codes.get(t.rc, 0) + 1
        assert t.rc in (0, 3, 5), t
    verdict.said = [f"exit statuses {codes}"]
    verdict.show()
