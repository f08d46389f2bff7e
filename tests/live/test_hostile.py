# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets that lie in wait for whoever trims them, as root."""

import os
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
        out, _ = p.communicate("\n", timeout=10)
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
        judge.wait_for("it to sleep", 5, lambda: judge.state(p.pid) == "S")
        argv = [strace, "-ff", "-y", "-o", tmp_path / "calls", "-e", "trace=open,openat,openat2"]
        done = subprocess.run([*argv, judge.CTL, "trim", str(p.pid)], stdout=subprocess.PIPE, text=True, check=False)
        p.kill()
    assert done.returncode == 0, done.stdout
    calls = [line for f in tmp_path.glob("calls.*") for line in f.read_text(encoding="utf-8").splitlines()]
    seen = [line for line in calls if "</dev/zero>" in line]
    assert seen, "the mapping was not even looked at"
    assert all("O_PATH" in line for line in seen), seen


def test_nothing_is_left_behind(start):
    """Workers and readers end with the one who asked, also when that one is killed."""
    v = start("single")
    before = workers()
    for _ in range(20):
        with subprocess.Popen([judge.CTL, "trim", "--timeout=30s", str(v.pid)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as p:
            time.sleep(0.004)
            p.kill()
    judge.wait_for("workers and readers to end", 5, lambda: not workers() - before)
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
        judge.wait_for("it to sleep", 5, lambda: judge.state(p.pid) == "S")
        began = time.monotonic()
        t = judge.trim(p.pid)
        took = time.monotonic() - began
        p.kill()
    assert t.outcome in ("reclaimed", "nothing"), t
    assert took < 2
