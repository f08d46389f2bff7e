# SPDX-License-Identifier: GPL-2.0-or-later
"""The code that a call needs is gone, and doesn't come, just between the plan and the stop (fault build)."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

import judge

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "hostile"))
import elves  # noqa: E402
from hostile import Fuse, Place, let_go, nothing_left, readers  # noqa: E402

LIBC = Path("/usr/lib/x86_64-linux-gnu/libc.so.6")


@pytest.fixture
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("hang"))


def page_of(function):
    """Where in the file its code is."""
    elf = elves.Elf(LIBC.read_bytes())
    _, names = elf.named(b".dynstr")
    for name, _, _, _, value, _ in elf.symbols():
        at = names["offset"] + name
        if elf.data[at:elf.data.index(0, at)] == function:
            return next(p["offset"] + value - p["vaddr"] for p in elf.segments(elves.PT_LOAD)
                        if p["vaddr"] <= value < p["vaddr"] + p["filesz"]) & ~4095
    raise KeyError(function)


def sleeps(pid):
    call = judge.syscall_of(pid)
    return call and call[0] == 0 and int(call[1][0], 16) == 0


def test_code_hangs(place, capsys):
    """The first operation on a thread is PTRACE_SEIZE. The worker waits there, after the plan and the first proof, while
    the page of the function that it is going to call leaves memory: what is to be hung in is the reader."""
    before, page = set(readers()), page_of(b"malloc_trim")
    with Fuse(place, LIBC, "/usr/bin/env", "LD_PRELOAD={}", place.program("forge"), flags=["--other"]) as f:
        judge.wait_for("it to sleep", 30, lambda: sleeps(f.pid))
        assert any(path.endswith("/mount/f") and "x" in perms for _, _, perms, path in judge.mappings(f.pid))
        done = []
        t = threading.Thread(target=lambda: done.append(
            judge.trim(f.pid, "--timeout=5s", env={"RECLAIM_FAULT": "pause:1"})))
        t.start()
        worker = judge.wait_for("the worker to wait", 10, lambda: [
            pid for pid, s in readers().items() if pid not in before and s == "T"])
        assert f.tell("hang", "read", str(page), str(page + 4096)) == "ok"
        os.kill(worker[0], signal.SIGCONT)
        t.join(30)
        assert done, "it hangs"
        assert done[0].outcome == "refused" and "proof of a safe point" in done[0].reason, done[0]
        assert f.tell("held") != "0", "nobody has hung"
        nothing_left(before)
        let_go(f.pid)
        assert f.tell("answer") == "ok"
        judge.wait_for("it to sleep again", 10, lambda: sleeps(f.pid))
        # It can be done once the code is there.
        again = judge.trim(f.pid)
        assert again.outcome in ("reclaimed", "nothing"), again
    with capsys.disabled():
        print(f"\n  code hangs: {done[0].outcome} ({done[0].reason})")
