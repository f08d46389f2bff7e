# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets with other C libraries and Pythons, from other Debian releases, in a chroot and mount
namespace of their own: glibc 2.31 with CPython 3.9, 2.41 with 3.13, and what forky has.

The chroots are made once, in build/chroot (RECLAIM_CHROOTS), and need the package mirror."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import judge

CHROOTS = Path(os.environ.get("RECLAIM_CHROOTS", judge.BUILD / "chroot"))
TOOL = judge.TOP / "scripts" / "chroot"
FILL = Path(__file__).with_name("fill.py")
SUITES = ["bullseye", "bookworm", "trixie", "forky"]
MIB = 1 << 20


@pytest.fixture(scope="module", params=SUITES)
def suite(request):
    root = CHROOTS / request.param
    CHROOTS.mkdir(parents=True, exist_ok=True)
    subprocess.run([TOOL, "create", request.param, root, "python3"], check=True, stdout=subprocess.DEVNULL)
    shutil.copy(FILL, root / "tmp" / FILL.name)
    return root


class Filled:
    def __init__(self, root, mode):
        self.proc = subprocess.Popen([TOOL, "run", root, "python3", f"/tmp/{FILL.name}", mode], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.proc.stdout.readline() == "ready\n"
        self.pid = judge.wait_for("the program itself", 5, self.find)

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
        judge.wait_for("it to sleep", 5, lambda: judge.state(f.pid) == "S")
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
    assert set(outcomes) <= {"reclaimed", "nothing", "refused"}, [t for t in trims if t.outcome == "failed"]
    assert outcomes.count("refused") < 50, outcomes
    assert judge.state(f.pid) == "R" and judge.status(f.pid)["TracerPid"] == "0"
