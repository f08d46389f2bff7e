# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets that are anything but still: threads by the thousand, stops, execs, exits, their own tracers, and
numbers that belong to somebody else a moment later."""

import os
import random
import re
import signal
import subprocess
import threading
import time

import pytest

import judge
import workerproto
from hostile import LONG, NOBODY, SEED, Verdict, act, let_go, look, nothing_left, readers

TIMES = 60 if LONG else 6


def stops(v, over):
    pace = random.Random(SEED)
    while not over.is_set():
        number = pace.choice((signal.SIGSTOP, signal.SIGTSTP, signal.SIGCONT, signal.SIGCONT))
        v.proc.send_signal(number)
        # Now and then long enough for an act to get through.
        time.sleep(pace.random() * (0.1 if number == signal.SIGCONT and pace.random() < 0.2 else 0.003))
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


# Outcomes and reasons. What the machine adds: whoever has to wait too long for it.
BUSY = r"timeout |refused \(.*(too busy|no safe point in time)"
STOPPED = r"refused \(it is stopped "
TRACED = r"refused \(.*traced by "
# Seen while one program gives way to the next, or has only begun: neither is whole.
ELSEWHERE = r"refused |failed \((it exited or ran|it ran another|it has exited)"
# name: arguments of storm.c, what goes on outside, what else may come of it. Some must get through.
STORMS = {
    "1,000 threads a second": (["--how=threads"], None, None),
    "5,000 threads": (["--how=many"], None, None),
    "SIGSTOP, SIGTSTP and SIGCONT": (["--how=idle"], stops, STOPPED),
    "real-time signals by the hundred": (["--how=queued"], queued, None),
    "execs": (["--how=execs"], None, ELSEWHERE),
    "execs of another thread": (["--how=exec-thread"], None, ELSEWHERE),
    "forks": (["--how=forks"], None, None),
    "a child that traces it, and lets go": (["--how=traced"], None, TRACED),
    "it traces its child": (["--how=tracer"], None, None),
    "it attaches to whoever traces it": (["--how=strike-back"], None, None),
    "prctl: names, dumpable, keepcaps": (["--how=prctl"], None, None),
    "no memory may become executable": (["--how=mdwe"], None, None),
    "its threads change their user": (["--how=setuid"], None, None),
}
OFTEN = 4  # more often, where a few in a row may have bad luck
LUCK = ["execs", "execs of another thread", "SIGSTOP, SIGTSTP and SIGCONT", "a child that traces it, and lets go"]


def storm(name, v, verdict):
    """Acts on it again and again: outcomes, each with its reason, and how often."""
    outcomes = {}
    for i in range(TIMES * (OFTEN if name in LUCK else 1)):
        t = act(verdict, v.pid, ("trim", "purge")[i % 2], timeout=0.2 if "execs" in name else 0.5)
        said = f"{t.outcome} ({t.reason})" if t.outcome not in ("reclaimed", "nothing") else t.outcome
        outcomes[said] = outcomes.get(said, 0) + 1
        assert v.alive(), f"{t}: {v.obituary()}"
        assert not v.get("errors"), v.note
    assert outcomes.get("reclaimed", 0) + outcomes.get("nothing", 0), f"{outcomes}: none got through"
    others = {said: n for said, n in outcomes.items() if said not in ("reclaimed", "nothing")
              and not (STORMS[name][2] and re.match(STORMS[name][2], said))}
    wrong = [said for said in others if not re.match(BUSY, said)]
    assert not wrong and sum(others.values()) <= 1, f"{outcomes}: wrong, or the machine was busy more than once"
    return outcomes


@pytest.mark.parametrize("name", STORMS)
def test_storm(name, start, place, bystanders, capsys):
    args, outside, _ = STORMS[name]
    verdict, before, over = Verdict(name, capsys), readers(), threading.Event()
    v = start(None, argv=[place.program("storm"), *args, f"--seed={SEED}"],
              prefix=[] if "--how=setuid" in args else NOBODY)
    if v.get("err"):
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    v.sent = 0
    blow = threading.Thread(target=outside, args=(v, over)) if outside else None
    if blow:
        blow.start()
    try:
        outcomes = storm(name, v, verdict)
        if "--how=strike-back" in args:
            until(verdict, v, "handler_runs")
        # Where the stacks of 5,000 threads are, reclaimctl asks the kernel, not the worker.
        look(verdict, v.pid, more=10 if "--how=many" in args else 0)
    finally:
        over.set()
        if blow:
            blow.join()
    let_go(v.pid)
    assert v.alive(), v.obituary()
    if v.sent:
        judge.wait_for("each signal to be handled", 30, lambda: v.get("handler_runs") >= v.sent)
        assert v.get("handler_runs") == v.sent
    goes_on(v)
    nothing_left(before)
    bystanders[0].moves_on()
    v.finish()
    verdict.said = [", ".join(f"{n} {o}" for o, n in sorted(outcomes.items()))] + ([f"{v.sent} signals"] if v.sent else [])
    verdict.show()


def until(verdict, v, what, timeout=0.5):
    """It has to be quick to see a stop of a millisecond."""
    judge.wait_for(f"{what} of {v.argv}", 60, lambda: v.get(what) or not act(verdict, v.pid, timeout=timeout))
    assert v.alive() and not v.get("errors"), v.note


def goes_on(v):
    rounds = v.get("rounds")
    if rounds:
        judge.wait_for("it to get on", 30, lambda: v.get("rounds") > rounds or v.get("done"))


def test_strikes_back(start, place, bystanders, capsys):
    """The same user's: it may attach to the worker that traces it, and stops it for good. The client ends the worker in
    time, and whoever was in its hands comes home by itself."""
    verdict, before = Verdict("it attaches to its tracer, and may", capsys), readers()
    v = start(None, argv=[place.program("storm"), "--how=strike-back"])
    for i in range(TIMES * OFTEN):
        t = act(verdict, v.pid, ("trim", "purge")[i % 2], timeout=0.2)
        assert v.alive() and not v.get("errors"), f"{t}: {v.note or v.obituary()}"
        # For each of them a second is waited.
        if v.get("result") >= TIMES:
            break
    until(verdict, v, "result", 0.2)
    let_go(v.pid)
    goes_on(v)
    nothing_left(before)
    bystanders[0].moves_on()
    verdict.said = [f"{v.get('result')} workers caught"]
    v.finish()
    verdict.show()


def in_namespace(place):
    """storm --how=reuse as pid 1 of its own pid namespace, which decides what number its children get."""
    return ["unshare", "-p", "-f", "--mount-proc", "--kill-child", place.program("storm"), "--how=reuse"]


def test_pid_reuse(place, start, capsys):
    """A number that belongs to another program every few milliseconds, and is all that we are asked by. Whoever has it
    checks its heap and that no call of its was cut short, and ends with 0; storm.c counts those that didn't."""
    verdict, before = Verdict("pids that are used again at once", capsys), readers()
    v = start(None, argv=in_namespace(place))
    init = judge.wait_for("the namespace", 30, lambda: [int(c) for c in open(f"/proc/{v.pid}/task/{v.pid}/children",
                                                                             encoding="ascii").read().split()])[0]
    enter = ["nsenter", "-t", str(init), "-p", "-m"]
    codes, began = {}, time.monotonic()
    while time.monotonic() - began < (60 if LONG else 2 if codes.get(0) else 30):
        a = judge.ctl("--json", "trim", "--remedy=trim", "--timeout=300ms", v.get("result"), prefix=enter)
        codes[a.rc] = codes.get(a.rc, 0) + 1
        assert a.rc in (0, 3, 5), a
    assert v.alive() and not v.get("errors"), v.note
    assert codes.get(0), f"{codes}: none got through"
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
