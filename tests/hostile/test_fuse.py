# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and memory on a file system in user space that stops answering.

Who waits in it can't be killed before it answers, by anybody. So what is judged is that the worker itself
ends in time, that only so many wait, that others are served meanwhile, and that all is over when the file
system is."""

import os
import signal

import pytest

import judge
from hostile import LONG, NOBODY, Fuse, Verdict, act, let_go, look, nothing_left, readers

TURNS = 4  # daemon/inspect/target.c
READ, NANOSLEEP, FLOCK = 0, 35, 73
CODE_AT = 1 << 20  # beyond what is read ahead of the file's beginning
SLEEP = b"\xb8\x23\x00\x00\x00\x0f\x05\xc3"  # mov $__NR_nanosleep,%eax; syscall; ret
OWN = [*NOBODY, "unshare", "-U", "-r", "-m"]

# name: what hangs, how it is mounted, the program; {} is the file
CASES = {
    "program, all hangs": ("all", ["--other"], ["{}"]),
    "program, reads hang": ("read", ["--other"], ["{}"]),
    "program, reads hang inside": ("read", ["--other", "--sync"], ["{}"]),
    "memory behind an arena": ("read", ["--other"], ["forge", "--how=arena-place", "--place=file", "--file={}"]),
    "memory behind a bin": ("read", ["--other", "--sync"], ["forge", "--how=bin-place", "--place=file", "--file={}"]),
    "a library": ("all", ["--other"], ["forge", "--how=modules", "--file={}"]),
}
if LONG:
    CASES |= {
        "program, attributes hang": ("getattr", ["--other"], ["{}"]),
        "program, opening hangs": ("open", ["--other"], ["{}"]),
        "memory behind the top": ("read", ["--other", "--sync"], ["forge", "--how=top-place", "--place=file",
                                                                  "--file={}"]),
        "memory behind caches": ("read", ["--other", "--sync"], ["forge", "--how=cache-place", "--place=file",
                                                                 "--file={}"]),
    }
# A user's own mount, which the kernel keeps root out of.
PRIVATE = {
    "own program, all hangs": ("all", [], ["{}"]),
    "own memory behind an arena": ("read", [], ["forge", "--how=arena-place", "--place=file", "--file={}"]),
}


def reads_input(pid):
    call = judge.syscall_of(pid)
    return call and call[0] == 0 and int(call[1][0], 16) == 0


@pytest.fixture
def hung(place):
    opened = []
    source = place.dir / "large"
    if not source.exists():
        source.write_bytes(place.program("forge").read_bytes() + bytes(8 << 20))
        source.chmod(0o755)

    def go(hangs, flags, argv, own=False, source=source):
        argv = [str(place.program("forge")) if a == "forge" else str(a) for a in argv]
        opened.append(Fuse(place, source, *argv, flags=flags, prefix=OWN if own else ("unshare", "-m")))
        # Once it reads its input it is ready.
        judge.wait_for("it to sleep", 30, lambda: reads_input(opened[-1].pid))
        assert not hangs or opened[-1].tell("hang", hangs) == "ok"
        return opened[-1]
    yield go
    for f in opened:
        f.close()


@pytest.mark.parametrize("name", [*CASES, *PRIVATE])
def test_hangs(name, hung, bystanders, capsys):
    verdict, before = Verdict(name, capsys), readers()
    f = hung(*(CASES.get(name) or PRIVATE[name]), own=name in PRIVATE)
    look(verdict, f.pid)
    act(verdict, f.pid)
    if name in PRIVATE and "program" in name:
        assert judge.trim(f.pid).outcome == "refused"
    left = set(readers()) - set(before)
    assert len(left) <= 2, left
    let_go(f.pid)
    bystanders[0].moves_on()
    held = int(f.tell("held"))
    # What is of a mount that we are kept out of may never be asked for.
    assert held or name in PRIVATE, "nobody has come to where it hangs"
    verdict.say(f"{held} requests hang, and {len(left)} readers in them")
    f.close()
    nothing_left(before)
    verdict.show()


def test_only_so_many(hung, capsys):
    """One reader after another would hang: the next is refused at once, with the reason."""
    verdict, before = Verdict("many looks", capsys), readers()
    f = hung("all", ["--other"], ["{}"])
    # One whose time is up before it gets that far doesn't hang.
    judge.wait_for("as many as may to hang", 30, lambda: len(set(readers()) - set(before)) == TURNS
                   or act(verdict, f.pid, timeout=0.1).outcome not in ("timeout", "refused"))
    verdict.said.clear()
    for _ in range(3):
        t = act(verdict, f.pid, timeout=10)
        assert t.outcome == "refused" and "never answer" in t.reason, t
    # The one that was refused last may be about to end.
    judge.wait_for("no more than may to hang", 5, lambda: len(set(readers()) - set(before)) == TURNS)
    f.close()
    nothing_left(before)
    verdict.show()


def waiting(hung, log, what, nr, flags):
    """A program whose second thread waits for the file system, in a way that can be interrupted. It and that thread."""
    log.touch()
    f = hung(what, ["--other", *flags], [judge.PYTHON, judge.TOP / "tests/victims/pylocks.py", "{}", log, what])
    other, = judge.wait_for("its other thread", 10, lambda: [t for t in judge.tids(f.pid) if t != f.pid])
    judge.wait_for("it to wait", 10, lambda: (judge.syscall_of(f.pid, other) or "?")[0] == nr
                   and judge.state(f.pid, other) == "S")
    return f, other


def goes_on(f, log):
    """Once the file system answers, without an error."""
    before = log.read_text()
    assert f.tell("answer") == "ok"
    judge.wait_for("it to go on", 10, lambda: log.read_text() != before)
    assert "error" not in log.read_text()
    let_go(f.pid)


def test_stops_late(hung, tmp_path, capsys):
    """A thread that can be interrupted when it is chosen and no more when it is asked to stop: a lock of the file
    system's. It stops as soon as that answers, so the worker ends instead of trying other ways with other threads."""
    verdict, before, log = Verdict("a thread that stops late", capsys), readers(), tmp_path / "log"
    f, late = waiting(hung, log, "lock", FLOCK, ["--locks"])
    others = judge.switches(f.pid)
    for remedies in (["--remedy=trim"], []):
        t = judge.trim(f.pid, "--timeout=10s", *remedies)
        assert t.outcome == "refused" and ("would not stop" in t.reason or "state D" in t.reason), t
        assert judge.state(f.pid, late) == "D" and judge.status(f.pid, late, "TracerPid") == "0"
        assert judge.switches(f.pid) == others, "another thread of it was tried"
        nothing_left(before)
        verdict.say(t.reason)
    goes_on(f, log)
    assert judge.trim(f.pid).outcome == "reclaimed"
    f.close()
    verdict.show()


def test_reads_a_file(hung, tmp_path, capsys):
    """Who waits for a file's content is left alone: what is interrupted there may be cut short."""
    verdict, log = Verdict("a thread that reads a file", capsys), tmp_path / "log"
    f, reader = waiting(hung, log, "read", READ, ["--sync"])
    switches = judge.switches(f.pid)
    assert act(verdict, f.pid, timeout=10).outcome == "reclaimed"
    assert judge.state(f.pid, reader) == "S" and judge.switches(f.pid) != switches
    goes_on(f, log)
    f.close()
    verdict.show()


def test_code_that_is_not_there(hung, place, capsys):
    """A thread that sleeps in restart_syscall(), and the code in front of that, which tells the call that it has made,
    is in a file that has hung since. Nobody has been there before: it is the reader who hangs, and never the worker."""
    verdict, before, source = Verdict("code that is not there", capsys), readers(), place.dir / "code"
    source.write_bytes(bytes(CODE_AT) + SLEEP.ljust(4096, b"\0"))
    f = hung("", ["--other"], [judge.PYTHON, judge.TOP / "tests/victims/pycode.py", "{}"], source=source)
    other, = judge.wait_for("its other thread", 10, lambda: [t for t in judge.tids(f.pid) if t != f.pid])
    judge.wait_for("it to sleep", 10, lambda: (judge.syscall_of(f.pid, other) or "?")[0] == NANOSLEEP)
    os.kill(f.pid, signal.SIGSTOP)
    judge.wait_for("it to stop", 10, lambda: judge.state(f.pid, other) == "T")
    os.kill(f.pid, signal.SIGCONT)
    judge.wait_for("it to go on", 10, lambda: (judge.syscall_of(f.pid, other) or "?")[0] == judge.RESTART_SYSCALL)
    assert f.tell("hang", "read", str(CODE_AT)) == "ok"
    act(verdict, f.pid)
    left = set(readers()) - set(before)
    assert f.tell("held") == "1" and len(left) == 1, left
    let_go(f.pid)
    f.close()
    nothing_left(before)
    verdict.show()


def test_locked_mappings(hung, capsys):
    """Nobody can look at its mappings, the kernel least: who asks for them gives up in time, and can be killed."""
    verdict, before = Verdict("locked mappings", capsys), readers()
    f = hung("read", ["--other"], [judge.PYTHON, judge.TOP / "tests/victims/pymapped.py", "{}"])
    os.kill(f.pid, signal.SIGUSR1)
    judge.wait_for("it to wait for its own mappings", 10, lambda: judge.state(f.pid) == "D")
    # What looks for leaks stops all threads, and this one can't be stopped.
    quiet = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    a = look(verdict, f.pid, more=1.5, env=quiet)
    assert a.rc == 1 and "timed out" in a.err, a
    t = act(verdict, f.pid)
    assert t.outcome in ("timeout", "refused"), t
    nothing_left(before)
    f.close()
    verdict.show()
