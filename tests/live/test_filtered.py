# SPDX-License-Identifier: GPL-2.0-or-later
"""We ourselves are under a seccomp filter, as in a container: a clear answer, and the target never notices."""

import os
import platform
from pathlib import Path

import pytest

import judge

FILTERED = Path(__file__).with_name("filtered.py")
# asm/unistd_64.h
PTRACE, VM_READV, VM_WRITEV, KCMP = 101, 310, 311, 312
PIDFD_OPEN, PIDFD_GETFD, PROCESS_MADVISE = 434, 438, 440
# prctl() with PR_SET_SECCOMP, and with PR_SET_NO_NEW_PRIVS; capset(); setrlimit(), which is prlimit64(), of RLIMIT_FSIZE
SANDBOX = {"filter": "157:0=22", "no new privileges": "157:0=38", "capabilities": 126, "limits": "302:1=1"}

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")


# The sanitizer looks for leaks by ptrace().
NO_LEAK_CHECK = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def under(answer, *calls):
    return [judge.PYTHON, FILTERED, answer, ",".join(map(str, calls))]


def trim_under(v, answer, *calls, stops=False, **kw):
    """What comes of it, and that nobody has been woken but for a trim, or, if it @stops, to look at it."""
    before, switches = v.snapshot(), judge.switches(v.pid)
    t = judge.trim(v.pid, "--timeout=2s", prefix=under(answer, *calls), env=NO_LEAK_CHECK, **kw)
    v.unharmed(before)
    assert t.acted or stops or judge.switches(v.pid) == switches, t
    return t


@pytest.mark.parametrize("answer, rc, outcome, words", [
    ("EPERM", 4, "failed", "seccomp filter, which may forbid it"),
    ("ENOSYS", 4, "failed", "seccomp filter, which may forbid it"),
    ("kill", 1, "failed", "killed by signal 31"),
])
def test_no_ptrace(start, answer, rc, outcome, words):
    v = start("plain", asleep=True)
    t = trim_under(v, answer, PTRACE)
    assert (t.rc, t.outcome) == (rc, outcome) and words in t.reason, t
    assert judge.trim(v.pid).acted
    v.finish()


@pytest.mark.parametrize("answer", ["EPERM", "ENOSYS", "kill"])
def test_no_access_to_others_memory(start, answer):
    """process_vm_readv and its kin, which we don't need: memory is read through /proc, where rights are asked for once."""
    v = start("plain", asleep=True)
    assert trim_under(v, answer, VM_READV, VM_WRITEV).acted
    v.finish()


@pytest.mark.parametrize("answer", ["EPERM", "ENOSYS"])
def test_nobody_tells_who_shares_memory(start, answer):
    """Whether another process runs on the same heap is asked before anything is done; no answer is no permission."""
    for mode in ("child", "fork"):
        v = start("sharers", f"--mode={mode}", asleep=True)
        before = v.snapshot()
        t = trim_under(v, answer, KCMP)
        assert (t.rc, t.outcome) == (3, "refused") and "whether it shares its memory" in t.reason, t
        v.unharmed(before)
        v.finish()
    v = start("plain", asleep=True)
    assert trim_under(v, answer, KCMP).acted  # nobody has stack and heap where it has them
    v.finish()


@pytest.mark.parametrize("answer", ["EPERM", "ENOSYS", "kill"])
@pytest.mark.parametrize("part", SANDBOX)
def test_no_sandbox(start, part, answer):
    """A reader that can't shut itself in parses nothing."""
    v = start("plain", asleep=True)
    before, switches = v.snapshot(), judge.switches(v.pid)
    for verb in (["trim", "--remedy=trim"], ["explain"]):
        a = judge.ctl("--json", *verb, v.pid, prefix=under(answer, SANDBOX[part]), env=NO_LEAK_CHECK)
        assert a.rc == 1 and ("could not be confined" if answer != "kill" else "reader failed") in a.err, a
    v.unharmed(before)
    assert judge.switches(v.pid) == switches
    v.finish()


def test_filters_of_others_are_not_readable(start):
    """Who is under a filter may not read another's, so a target that has one is refused; one without is served."""
    v = start("filtered", "--kill=reboot,ptrace", asleep=True)
    t = trim_under(v, "EPERM", PROCESS_MADVISE, stops=True)
    assert (t.rc, t.outcome) == (3, "refused") and "filters can't be read" in t.reason, t
    v.finish()
    v = start("plain", asleep=True)
    assert trim_under(v, "EPERM", PROCESS_MADVISE, PIDFD_OPEN, PIDFD_GETFD).acted
    v.finish()
