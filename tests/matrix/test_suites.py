# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets with other C libraries and Pythons, from other Debian releases, in a chroot and mount
namespace of their own: glibc 2.31 with CPython 3.9, 2.41 with 3.13, and what forky has.

The chroots are made once, in build/chroot, and need the package mirror. RECLAIM_CHROOTS names a folder
with others; one that is there and has what is needed is used as it is, and nothing is written into it."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import judge

CHROOTS = Path(os.environ.get("RECLAIM_CHROOTS", judge.BUILD / "chroot"))
TOOL = judge.TOP / "scripts" / "chroot"
FILL = Path(__file__).with_name("fill.py")
SUITES = ["bullseye", "bookworm", "trixie", "forky"]
MIB = 1 << 20


PACKAGES = ["python3"]


def is_ready(suite):
    try:
        has = (CHROOTS / suite / ".reclaim-chroot").read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return False
    return {suite, *PACKAGES} <= set(has)


def make(suite):
    return subprocess.run([TOOL, "create", suite, CHROOTS / suite, *PACKAGES], check=False, text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.fixture(scope="session")
def made():
    """Makes all that are missing, two at once: that is waiting for the mirror, then for dpkg."""
    missing = [s for s in SUITES if not is_ready(s)]
    CHROOTS.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(missing, pool.map(make, missing)))


@pytest.fixture(scope="module", params=SUITES)
def suite(request, made):
    done = made.get(request.param)
    assert not done or done.returncode == 0, done.stderr
    return CHROOTS / request.param


class Filled:
    def __init__(self, root, mode):
        self.proc = subprocess.Popen([TOOL, "run", "--bind", FILL.parent, "/mnt", root,
                                      "python3", f"/mnt/{FILL.name}", mode], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.proc.stdout.readline() == "ready\n"
        self.pid = judge.wait_for("the program itself", 30, self.find)

    def find(self):
        """The tool may stay in between: the process whose command is our script."""
        todo = [self.proc.pid]
        while todo:
            pid = todo.pop()
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if len(command) > 1 and command[0].endswith(b"python3") and FILL.name.encode() in command[1]:
                return pid
            todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())
        return None

    def ask(self, what):
        self.proc.stdin.write(what + "\n")
        self.proc.stdin.flush()
        return self.proc.stdout.readline().strip()

    def end(self):
        self.proc.kill()
        self.proc.wait()


@pytest.fixture
def fill(suite):
    running = []

    def go(mode):
        running.append(Filled(suite, mode))
        return running[-1]
    yield go
    for f in running:
        os.kill(f.pid, 9)
        f.end()


@pytest.mark.parametrize("mode", ["alone", "threads"])
def test_asleep(fill, mode):
    f = fill(mode)
    if mode == "alone":
        judge.wait_for("it to sleep", 30, lambda: judge.state(f.pid) == "S")
    before = judge.rss(f.pid)
    t = judge.trim(f.pid)
    assert t.outcome == "reclaimed", t
    assert before - judge.rss(f.pid) > 60 * MIB, t
    assert judge.status(f.pid)["TracerPid"] == "0"
    assert f.ask("verify") == "intact"


def test_busy(fill):
    """Many times in the middle of an interpreter that allocates: at a proven safe point, or not at all."""
    f = fill("busy")
    trims = [judge.trim(f.pid, "--timeout=3s") for _ in range(100)]
    outcomes = [t.outcome for t in trims]
    # timeout: of a call that a busy machine hasn't given the time to return
    assert set(outcomes) <= {"reclaimed", "nothing", "refused", "timeout"}, [t for t in trims if t.outcome == "failed"]
    assert outcomes.count("refused") + outcomes.count("timeout") < 50, outcomes
    judge.wait_for("it to work on", 30, lambda: judge.state(f.pid) == "R")
    assert judge.status(f.pid)["TracerPid"] == "0"
