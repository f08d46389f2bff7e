# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of reclaimctl's own behaviour share: a fake worker and quiet processes.

The fake worker is a script that writes down what it was asked and answers what
the test wants. Test modules import the fixtures that they use.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import judge

OUTCOMES = dict(reclaimed=1, nothing=2, refused=3, failed=4, timeout=5, denied=6, gone=7, would=8)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # everything but the end of a line
HOSTILE = b"\n\x1b[2J\xff)\"\\\xc2\x9b"

FAKE = r'''#!/usr/bin/python3 -IS
import json, os, socket, struct, time
sock = socket.socket(fileno=3)
magic, version, pid, flags, start, remedies, _, timeout, stop, owner, _, *more, _ = struct.unpack(
    "=IIiIQIIQQIIIIQQQQ4096s", sock.recv(8192))
idle, ranges, idle_us, ticks, _, keep = more
how = json.loads(os.environ["FAKE"])
how = {**how, **how.get(str(pid), {})}
with open(os.environ["FAKE_LOG"], "a") as log:
    about = dict(idle=idle, ranges=ranges, idle_us=idle_us, ticks=ticks, keep=keep) if idle else {}
    json.dump(dict(pid=pid, flags=flags, start=start, remedies=remedies, timeout=timeout, stop=stop, owner=owner,
                   worker=os.getpid(), **about), log)
    log.write("\n")
print("noise that must not reach the document", flush=True)
time.sleep(how.get("sleep", 0))
steps = b"".join(struct.pack("=IIQqqqQQQ256s", s["remedy"], s["predicted"] is not None, s["predicted"] or 0,
                             s["freed"], s.get("swapped", 0), s.get("zeroes", 0), s["stopped"], s["duration"], 0,
                             s["detail"].encode("latin-1"))
                 for s in how.get("steps", []))
sock.send(struct.pack("=IIiIQQQqQII256s256s2560s", magic, version, pid, how["outcome"], start, how.get("before", 0),
                      how.get("after", 0), how.get("before", 0) - how.get("after", 0), how.get("stopped", 0),
                      len(how.get("steps", [])), how.get("torn", 0), how.get("comm", "").encode("latin-1"),
                      how.get("reason", "").encode("latin-1"), steps))
'''


class Fake:
    def __init__(self, tmp):
        self.path, self.log = tmp / "worker", tmp / "log"
        self.path.write_text(FAKE)
        self.path.chmod(0o755)

    def env(self, outcome="reclaimed", **how):
        how["outcome"] = OUTCOMES[outcome]
        return {"RECLAIM_WORKER": str(self.path), "FAKE_LOG": str(self.log), "FAKE": json.dumps(how)}

    def requests(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def fake(tmp_path):
    return Fake(tmp_path)


@pytest.fixture
def sleeper():
    """sleeper(argv): a process that does nothing until the test ends."""
    running = []

    def go(*argv, **kw):
        p = subprocess.Popen(argv or ["sleep", "1000"], stdin=subprocess.DEVNULL, **kw)
        running.append(p)
        judge.wait_for("it to sleep", 10, lambda: judge.asleep(p.pid))
        return p.pid
    yield go
    for p in running:
        p.kill()
        p.wait()


@pytest.fixture
def holder():
    """A Python that holds 30 MB in many mappings and in its heap, asleep."""
    code = "import time; a = [bytearray(1 << 20) for _ in range(20)]; b = [bytes(600) for _ in range(25000)]; " \
           "print(flush=True); time.sleep(1000)"
    with subprocess.Popen([judge.PYTHON, "-ISc", code], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as p:
        assert p.stdout.readline() == b"\n"
        judge.wait_for("it to sleep", 10, lambda: judge.asleep(p.pid))
        yield p.pid
        p.kill()


@pytest.fixture
def named(tmp_path):
    """A process whose comm and exe hold whatever may not reach a terminal or spoil JSON."""
    code = f"import ctypes, time; ctypes.CDLL(None).prctl(15, {HOSTILE!r}); print(flush=True); time.sleep(1000)"
    exe = os.path.join(os.fsencode(tmp_path), b"a\n\x1b]0;x\x07\xff\"\\ b")
    shutil.copy(judge.PYTHON, exe)
    with subprocess.Popen([exe, "-Ic", code], stdout=subprocess.PIPE, env={"PYTHONHOME": "/usr"}) as p:
        assert p.stdout.readline() == b"\n"
        judge.wait_for("it to sleep", 10, lambda: judge.asleep(p.pid))
        yield p.pid, exe
        p.kill()


def without(place, *args, **kw):
    """reclaimctl where an empty directory is mounted over @place."""
    script = 'mount -t tmpfs none "$0" && exec "$@"'
    if subprocess.run(["unshare", "-m", "sh", "-c", script, place, judge.CTL, "--version"], check=False,
                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        pytest.skip(f"nothing can be mounted over {place}, or this build can't start without it")
    return judge.ctl(*args, prefix=("unshare", "-m", "sh", "-c", script, place), **kw)


def as_json(raw):
    """Our rule: valid UTF-8 as it is, every other byte is U+FFFD."""
    return re.sub("[\udc80-\udcff]", "\ufffd", raw.decode("utf-8", "surrogateescape"))


def one_line(text, *parts):
    assert text.startswith("reclaimctl: ") and text.endswith("\n") and text.count("\n") == 1, text
    for part in parts:
        assert part in text, text


def start_time(pid):
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()[19])
