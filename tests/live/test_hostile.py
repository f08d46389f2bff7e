# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets that lie in wait for whoever trims them, as root."""

import os
import re
import signal
import subprocess
import time

import pytest

import judge

PREPARED = judge.VICTIMS / "hooked"


def workers():
    """Running workers and readers of this build."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.samefile(f"/proc/{pid}/exe", judge.WORKER) and judge.state(int(pid)) not in (None, "Z"):
                found.add(int(pid))
        except OSError:
            pass
    return found


def test_sandbox_stays(tmp_path):
    """A filter that lets malloc_trim through is in force while it runs: nobody is freed of a sandbox."""
    place = tmp_path / "escaped"
    with subprocess.Popen([PREPARED, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout.readline() == "ready\n"
        t = judge.trim(p.pid)
        out, _ = p.communicate("\n", timeout=30)
    assert t.outcome in ("reclaimed", "nothing"), t
    assert out == "confined\n", out
    assert not place.exists()


def test_device_mapped_executable(special, tmp_path):
    """Root looks at a file before it opens it: mapping a device makes nobody open it."""
    code = "import mmap,sys; f=open('/dev/zero','r+b'); m=mmap.mmap(f.fileno(), 4096, mmap.MAP_PRIVATE, 5)\n" \
           "print('ready', flush=True); sys.stdin.read()"
    strace = special.tool("strace", "strace")
    with subprocess.Popen([judge.PYTHON, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == b"ready\n"
        judge.wait_for("it to sleep", 30, lambda: judge.state(p.pid) == "S")
        argv = [strace, "-ff", "-y", "-o", tmp_path / "calls", "-e", "trace=open,openat,openat2"]
        # a leak check can't be made under strace
        env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        done = subprocess.run([*argv, judge.CTL, "trim", str(p.pid)], stdout=subprocess.PIPE, text=True, env=env,
                              check=False)
        p.kill()
    assert done.returncode == 0, done.stdout
    calls = [line for f in tmp_path.glob("calls.*") for line in f.read_text(encoding="utf-8").splitlines()]
    seen = [line for line in calls if "</dev/zero>" in line]
    assert seen, "the mapping was not even looked at"
    assert all("O_PATH" in line for line in seen), seen


@pytest.mark.parametrize("mode", ["read", "epoll"])
def test_traced_worker(start, special, tmp_path, mode):
    """Whoever traces it stops the worker at each of its calls, also between a stop of the target and its end: the target
    stands still for longer, and that is all."""
    strace = special.tool("strace", "strace")
    v = start("regs", f"--mode={mode}", "--ms=5")
    before, calls = v.snapshot(), tmp_path / "calls"
    # a leak check can't be made under strace
    env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    acted = 0
    for _ in range(40):
        t = judge.trim(v.pid, "--timeout=5s", prefix=[strace, "-f", "-A", "-o", calls], env=env)
        v.moves_on()
        v.unharmed(before, quiet=False)
        assert not v.get("eintr"), v.note
        acted += t.acted
        if acted == 5:
            break
        assert t.acted or t.outcome == "refused" and ("too busy" in t.reason or "no safe point in time" in t.reason), t
    assert acted == 5, t
    seen = calls.read_text(encoding="utf-8", errors="replace")
    assert all(re.search(rf"ptrace\({what}, {v.pid}", seen) for what in ("PTRACE_SEIZE", "PTRACE_SETREGS", "PTRACE_DETACH"))
    v.finish()


def test_nothing_is_left_behind(start):
    """Workers and readers end with the one who asked, also when that one is killed."""
    v = start("single")
    before = workers()
    for _ in range(20):
        with subprocess.Popen([judge.CTL, "trim", "--timeout=30s", str(v.pid)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as p:
            time.sleep(0.004)
            p.kill()
    judge.wait_for("workers and readers to end", 15, lambda: not workers() - before)
    v.moves_on()


@pytest.mark.parametrize("mib", [64])
def test_sparse_file_with_a_huge_table(tmp_path, mib):
    """A forged file that is all holes makes no memory of ours: it isn't parsed."""
    forged = tmp_path / "forged"
    forged.write_bytes(open(judge.VICTIMS / "plain", "rb").read(64))
    os.truncate(forged, mib << 20)
    code = f"import mmap,sys; f=open({str(forged)!r},'rb'); m=mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, 5)\n" \
           "print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([judge.PYTHON, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == b"ready\n"
        judge.wait_for("it to sleep", 30, lambda: judge.state(p.pid) == "S")
        began = time.monotonic()
        t = judge.trim(p.pid)
        took = time.monotonic() - began
        p.kill()
    assert t.outcome in ("reclaimed", "nothing"), t
    assert took < 5


# --- programs that mean no harm, and that a naive injection hurts

class Odd:
    def __init__(self, mode):
        self.proc = subprocess.Popen([judge.VICTIMS / "odd", mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.proc.pid
        os.set_blocking(self.proc.stdout.fileno(), False)

    def lines(self):
        try:
            return (os.read(self.proc.stdout.fileno(), 1 << 16) or b"").decode().split()
        except BlockingIOError:
            return []

    def gets_on(self):
        self.lines()
        assert judge.wait_for("it to get on", 30, self.lines)
        assert self.proc.poll() is None


@pytest.fixture
def odd():
    running = []

    def go(mode):
        running.append(Odd(mode))
        judge.wait_for("its first line", 30, running[-1].lines)
        return running[-1]
    yield go
    for o in running:
        o.proc.kill()
        o.proc.wait()
        o.proc.stdin.close()
        o.proc.stdout.close()


@pytest.mark.parametrize("mode, times", [("filter", 10), ("info", 3), ("stw", 40)])
def test_gets_on(odd, mode, times):
    """A filter of one thread only; malloc_info; a world that is stopped by signals."""
    v = odd(mode)
    for _ in range(times):
        t = judge.trim(v.pid, "--timeout=1s")
        assert t.outcome in ("reclaimed", "nothing", "refused"), t
        v.gets_on()


def test_sent_trap(odd):
    """SIGTRAP that somebody sends during the call is the program's own: handled once, and nothing is undone."""
    v = odd("sent")
    pidfd = os.pidfd_open(v.pid)
    with subprocess.Popen([judge.CTL, "--json", "trim", str(v.pid)], stdout=subprocess.PIPE) as p:
        judge.wait_for("the call", 30, lambda: int(judge.status(v.pid)["SigBlk"], 16) or p.poll() is not None)
        signal.pidfd_send_signal(pidfd, signal.SIGTRAP)
        p.wait(timeout=30)
    os.close(pidfd)
    assert p.returncode == 0
    v.lines()
    v.proc.stdin.write(b"?\n")
    v.proc.stdin.flush()
    assert judge.wait_for("its answer", 30, v.lines) == ["1"]


def holder(v):
    """Somebody's debugger, which keeps the thread that allocates stopped where it holds the arena's lock."""
    _, worker, _ = judge.tids(v.pid)
    return subprocess.Popen([judge.VICTIMS / "disturb", "brk", str(worker)], stdout=subprocess.PIPE)


@pytest.mark.parametrize("remedy", ["trim", "purge"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_owner_of_the_lock_is_stopped(start, remedy, when):
    """Neither reclaim nor the thread that it has chosen waits for that: it is told, the sleeper wakes up as always,
    and when the owner goes on all is as it was."""
    v = start("heap3", "--arenas=1", "--threads=1")
    v.moves_on()
    before = v.snapshot()
    with holder(v) as h:
        try:
            if when == "before":
                assert h.stdout.readline() == b"ok\n"
            began, rounds = time.monotonic(), v.get("rounds")
            for _ in range(5):
                t = judge.trim(v.pid, f"--remedy={remedy}", "--timeout=300ms")
                if "too busy" not in str(t.reason):
                    break
            assert time.monotonic() - began < 10, t
            assert t.acted and when == "meanwhile" or t.reason, t
            if when == "before":
                # A sleeper that gets no CPU when it is called back is left to wait, as its owner is told.
                refused = t.outcome == "refused" and ("lock" in t.reason or "too busy" in t.reason)
                assert refused or t.outcome == "timeout" and t.rc == 1, t
            else:
                assert h.stdout.readline() == b"ok\n"
            if t.outcome != "timeout":
                judge.wait_for("the sleeper to wake up", 5, lambda: v.get("rounds") > rounds)
        finally:
            h.kill()
    v.moves_on()
    judge.wait_for("a trim", 30, lambda: judge.trim(v.pid, "--timeout=2s").acted)
    v.unharmed(before, quiet=False)
    assert not v.get("eintr"), v.note
    v.finish()
