# SPDX-License-Identifier: GPL-2.0-or-later
"""What hostile targets have in common: they belong to nobody, we are root, and everybody else is watched meanwhile."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import judge

LONG = os.environ.get("RECLAIM_HOSTILE") == "long"
SEED = int(os.environ.get("RECLAIM_TORTURE_SEED", int(time.time())))
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
FUSEFS = Path(__file__).with_name("fusefs.py")
FUSE_REFUSED = 77
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Beyond a deadline: until a worker notices, and what a busy machine adds. It ends itself after 0.7 s more, and whoever
# started it ends it after a second.
LATE = 1.5
# The promise is a tenth of a deadline; only where that is long can it be told from what a busy machine does.
TIMEOUT = 10.0 if LONG else 1.0
OUTCOMES = ("reclaimed", "nothing", "refused", "failed", "timeout")
# What becomes of a victim that calls malloc_trim(0) itself, and until when it is known that the call never returns.
LIVES, SPINS = "lives", "never comes back"
OWN_S = 2


def readers():
    """Workers and readers of this build that are no zombies, by state."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            # The link's text: to follow it would ask a file system that hangs.
            if os.readlink(f"/proc/{pid}/exe") == str(judge.WORKER):
                found[int(pid)] = judge.state(int(pid))
        except OSError:
            pass
    return {pid: s for pid, s in found.items() if s and s not in "ZX"}


class Place:
    """A folder that nobody may use, and programs in it."""

    def __init__(self, tmp):
        self.dir = tmp
        for d in [tmp, *tmp.parents]:
            if d in (Path("/tmp"), Path("/")):
                break
            d.chmod(0o755)

    def program(self, name, source=None):
        path = self.dir / name
        if not path.exists():
            shutil.copy(source or judge.VICTIMS / name, path)
            path.chmod(0o755)
        return path


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def pair():
    """The two bystanders, and how often each had been switched from when they were ready."""
    with judge.victim("single") as busy, judge.victim("plain") as idle:
        busy.wait_ready()
        idle.wait_ready().wait_asleep()
        before, switches = idle.snapshot(), (judge.switches(busy.pid), judge.switches(idle.pid))
        yield busy, idle, switches
        idle.unharmed(before)
        idle.finish()
        busy.moves_on()
        busy.finish()


@pytest.fixture(autouse=True)
def bystanders(pair):
    """One that allocates all the time and checks itself, and one that sleeps and that nobody may wake."""
    busy, idle, switches = pair
    yield busy, idle
    busy.moves_on()
    judge.undisturbed(busy, idle, switches)


class Verdict:
    """One line for each case."""

    def __init__(self, name, capsys):
        self.name, self.capsys, self.said, self.worst = name, capsys, [], 0.0

    def took(self, seconds, timeout):
        self.worst = max(self.worst, seconds - timeout)

    def say(self, text):
        self.said.append(text)

    def show(self):
        with self.capsys.disabled():
            late = f"{max(self.worst, 0) * 1000:.0f} ms after its deadline at worst"
            print(f"\n  {self.name}: {', '.join(self.said)}; {late}, seed {SEED}")


def limit_of(timeout, more=0):
    """How long it may take; @more: seconds for what reclaimctl does, not the worker."""
    return (1.1 * timeout if timeout >= 10 else timeout + LATE) + more


def look(verdict, pid, timeout=TIMEOUT, more=0, env=None):
    """explain: ends in time, with facts or a reason that a terminal may be shown."""
    began = time.monotonic()
    a = judge.ctl("--json", "explain", f"--timeout={int(timeout * 1000)}ms", pid, env=env)
    took = time.monotonic() - began
    verdict.took(took, timeout)
    assert took < limit_of(timeout, more), f"explain took {took:.2f} s of {timeout} s"
    assert a.rc in (0, 1, 3, 5), a
    assert not CONTROL.search(a.err.rstrip("\n")) and a.err.count("\n") <= 1, a.err
    if a.rc in (0, 3):
        assert a.doc["pid"] == pid
    verdict.say(f"explain {(a.doc['reason'] or 'gives facts') if a.rc == 0 else a.err.split(': ', 1)[1].strip()}")
    return a


def act(verdict, pid, remedy="trim", timeout=TIMEOUT):
    """trim: ends in time, and says how it went."""
    began = time.monotonic()
    t = judge.trim(pid, f"--remedy={remedy}", f"--timeout={int(timeout * 1000)}ms")
    took = time.monotonic() - began
    verdict.took(took, timeout)
    assert took < limit_of(timeout), f"{remedy} took {took:.2f} s of {timeout} s: {t}"
    assert t.outcome in OUTCOMES and (t.reason or t.outcome in ("reclaimed", "nothing")), t
    assert not CONTROL.search(t.reason or ""), t
    verdict.say(f"{remedy} {t.outcome}" + (f" ({t.reason})" if t.reason else ""))
    return t


def let_go(pid):
    """Neither traced nor stopped, or gone."""
    s = judge.wait_for("it to be let go", 10, lambda: (judge.status(pid) or {"TracerPid": "0", "State": "X"})
                       if (judge.status(pid) or {"TracerPid": "0"})["TracerPid"] == "0" else None)
    assert s["State"][0] != "T" and s["State"][0] != "t", s["State"]


def tell(v, byte):
    """forge.c obeys a byte. False: it doesn't come back from that."""
    before = v.get("handler_runs")
    v.proc.stdin.write(byte)
    v.proc.stdin.flush()
    end = time.monotonic() + OWN_S
    while v.alive() and v.get("handler_runs") == before and time.monotonic() < end:
        time.sleep(0.002)
    return not v.alive() or v.get("handler_runs") > before


def own_trim(v, times=1):
    """What malloc_trim(0) does to it without us."""
    for _ in range(times):
        if not tell(v, b"t"):
            return SPINS
        if not v.alive():
            return f"dies of {judge.died_of(v.proc) or v.proc.returncode}"
    tell(v, b"c")
    return f"is damaged: {v.note}" if v.get("errors") else LIVES


class Whole:
    """Alive and unharmed, as forge.c was when this was made. @quiet: it does nothing by itself. @maps: its mappings
    stay."""

    def __init__(self, v, quiet=True, maps=True):
        self.v, self.quiet, self.before = v, quiet, v.snapshot()
        if not maps:
            self.before.map_differences = lambda now, may: []

    def seen(self):
        let_go(self.v.pid)
        self.v.unharmed(self.before, self.quiet)

    def check(self):
        """As seen from outside, and by itself: its blocks too."""
        self.seen()
        assert tell(self.v, b"c") and self.v.alive() and not self.v.get("errors"), self.v.obituary()
        # It calls read() anew, with what happens to be in the registers that this takes nothing from.
        if self.quiet:
            self.before.calls = self.v.wait_asleep().snapshot().calls


def purge(verdict, v, check):
    """Whatever it is: nobody may be harmed by that. @check: how that is told."""
    t = act(verdict, v.pid, "purge")
    assert t.outcome != "failed", t
    check()


def trim(verdict, v, whole, own):
    """It may do to @v what its own malloc_trim(0) does, and no more."""
    t = act(verdict, v.pid)
    verdict.say(f"by itself it {own}")
    if own == LIVES:
        assert t.outcome != "failed", t
        whole.check()
        v.finish()
        return
    let_go(v.pid)
    if t.outcome == "refused":
        whole.seen()
    if own == SPINS:
        assert v.alive() and t.outcome != "failed", f"{t}: {v.obituary()}"
    elif v.alive() and "damaged" not in own:
        # A fault was caught: its thread is as it was.
        whole.seen()
    verdict.say("alive" if v.alive() else f"died of {judge.died_of(v.proc)}")


def nothing_left(before=()):
    """No worker and no reader outlives its work."""
    judge.wait_for("workers and readers to end", 10, lambda: not set(readers()) - set(before))


class Fuse:
    """fusefs.py and the program that it has started."""

    def __init__(self, place, source, *argv, flags=(), prefix=("unshare", "-m")):
        folder = place.dir / "mount"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        if subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
            pytest.skip("no such namespaces can be had here (in a chroot the kernel makes none for users)")
        server = place.program("fusefs", FUSEFS)
        self.server = subprocess.Popen([*prefix, sys.executable, server, *flags, source, folder, *map(str, argv)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.server.stdout.readline()
        if not line:
            status = self.server.wait()
            assert status == FUSE_REFUSED, f"{self.server.args} ended with {status}"
            pytest.skip("no file system can be mounted through /dev/fuse here")
        self.pid = int(line)

    def tell(self, *words):
        self.server.stdin.write(" ".join(words) + "\n")
        self.server.stdin.flush()
        return self.server.stdout.readline().strip()

    def close(self):
        """What waits in it fails, and whoever waited can die."""
        self.server.stdin.close()
        self.server.wait(30)
        self.server.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
