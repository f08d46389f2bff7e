# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl record and report, on real processes: what happened is in the file, whatever ended the recording."""

import itertools
import json
import os
import re
import signal
import subprocess
import time
import xml.etree.ElementTree
from pathlib import Path

import pytest

import judge
from cli import CONTROL, HOSTILE, as_json, named, one_line, sleeper  # noqa: F401
from test_explain import PINNED, python  # noqa: F401

MIB = 1 << 20
SVG = "{http://www.w3.org/2000/svg}"
# Grows when it is told to, and becomes another program at the end.
STEPS = """
import os, sys
keep = []
for line in sys.stdin:
    if line == "grow\\n":
        keep.append(b"x" * (40 << 20))
    elif line == "shrink\\n":
        keep.clear()
    else:
        os.execv("/bin/sleep", ["sleep", "1000"])
    print(flush=True)
"""


@pytest.fixture
def recorder(tmp_path):
    """recorder(ARGS): a recording that runs, 10 samples a second; .file, .stop()."""
    running = []

    class Recorder:
        def __init__(self, *args):
            self.file = tmp_path / "a.rec"
            argv = [judge.CTL, "--json", "record", "-o", self.file, "-i", "100ms", "--cpu=50", *map(str, args)]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE)
            running.append(self.process)
            judge.wait_for("a look", 30, self.looked)

        def process_of(self, number=0):
            r = judge.ctl("--json", "report", self.file)
            return r.doc["processes"][number] if r.rc == 0 and r.doc["processes"] else None

        def sample(self):
            """The newest one. The file is read while it is written."""
            p = self.process_of() if self.file.exists() else None
            return p["samples"][-1] if p and p["samples"] else {"layers": None, "offer": None}

        def looked(self):
            """The newest sample with a look: not each has one."""
            p = self.process_of() if self.file.exists() else None
            return next((s for s in reversed(p["samples"]) if s["layers"]), None) if p else None

        def events(self):
            return [e["event"] for e in self.process_of()["events"]]

        def wait_event(self, name):
            judge.wait_for(f"event {name}", 30, lambda: name in self.events())

        def stop(self, how=signal.SIGINT):
            self.process.send_signal(how)
            out, err = self.process.communicate(timeout=60)
            return self.process.returncode, json.loads(out) if out else None, err.decode()

    yield Recorder
    for p in running:
        if p.poll() is None:
            p.kill()
        p.communicate()


def report(path, *options):
    r = judge.ctl("--json", "report", path, *options)
    assert r.rc == 0, r.err
    return r


def test_growth_exec_exit(recorder):
    with subprocess.Popen([judge.PYTHON, "-ISc", STEPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        def tell(word):
            p.stdin.write(f"{word}\n".encode())
            p.stdin.flush()

        judge.wait_for("it to sleep", 10, lambda: judge.asleep(p.pid))
        rec = recorder(p.pid)
        tell("grow")
        rec.wait_event("growth")
        tell("shrink")
        rec.wait_event("drop")
        tell("exec")
        rec.wait_event("exec")
        p.kill()
    # It ends by itself when there is nobody left.
    out, err = rec.process.communicate(timeout=30)
    assert rec.process.returncode == 0 and err == b"", err
    doc = report(rec.file).doc
    target, = doc["processes"]
    assert doc["ending"] == "ended" and target["exited"] and target["pid"] == p.pid
    assert json.loads(out)["samples"] == target["sampled"] == len(target["samples"])
    events = target["events"]
    # A sample in the middle of it makes two of one, or leaves less than is worth a mark.
    assert [name for name, _ in itertools.groupby(e["event"] for e in events)] == ["growth", "drop", "exec", "exit"]
    for name, sign in (("growth", 1), ("drop", -1)):
        assert 16 * MIB <= sign * sum(e["bytes"] for e in events if e["event"] == name) < 60 * MIB
    assert [e["words"] for e in events if e["event"] == "exec"] == [os.path.realpath("/bin/sleep")]
    times = [s["at_us"] for s in target["samples"]]
    assert times == sorted(times) and max(times) <= doc["duration_us"]


def test_returned(recorder, python):  # noqa: F811
    """A trim by hand: what was free and held is gone, and it is known that it was that."""
    pid = python(PINNED)
    rec = recorder(pid, "--mark=1M")
    before = rec.looked()
    trimmed = judge.ctl("--json", "trim", pid, "--timeout=60s")
    assert trimmed.rc == 0 and trimmed.doc[0]["freed"] > 4 * MIB, trimmed
    rec.wait_event("returned")
    # A look that came in the middle of it has seen the half of it.
    judge.wait_for("a look behind it", 30, lambda: rec.looked()["layers"]["cpython-free"] <
                   before["layers"]["cpython-free"] - 4 * MIB)
    rc, doc, err = rec.stop()
    assert rc == 0 and err == ""
    target, = report(rec.file).doc["processes"]
    after = [s for s in target["samples"] if s["layers"]][-1]
    assert before["layers"]["cpython-free"] - after["layers"]["cpython-free"] > 4 * MIB
    assert before["offer"] > after["offer"] + 4 * MIB
    assert -sum(e["bytes"] for e in target["events"] if e["event"] == "returned") > 3 * MIB
    assert doc["looks"] == target["looked"] and doc["size"] == rec.file.stat().st_size


def test_same_as_explain(recorder, python):  # noqa: F811
    pid = python(PINNED)
    rec = recorder(pid)
    explained = judge.ctl("--json", "explain", pid).doc
    switches = judge.switches(pid)
    rec.stop(signal.SIGTERM)
    # Never stopped, never woken.
    assert judge.switches(pid) == switches and judge.status(pid)["TracerPid"] == "0"
    s = [s for s in report(rec.file).doc["processes"][0]["samples"] if s["layers"]][-1]
    kernel, glibc, py = [next(l for l in explained["layers"] if l["layer"] == n) for n in ("kernel", "glibc", "cpython")]
    # Pages of files come and go as others read them.
    assert abs(sum(s["layers"].values()) - sum(a["resident"] for a in kernel["accounts"])) < MIB
    assert s["layers"]["cpython-free"] == py["free_resident"]
    assert s["layers"]["glibc-free"] == glibc["free_resident"] and s["layers"]["glibc-cached"] == glibc["cached"]
    assert s["anon"] == explained["anon"] and s["swap"] == explained["swap"]


def test_killed_and_cut(recorder, sleeper, tmp_path):  # noqa: F811
    rec = recorder(sleeper(), sleeper())
    judge.wait_for("some samples", 30, lambda: len(rec.process_of(1)["samples"]) >= 5)
    rec.stop(signal.SIGKILL)
    whole = report(rec.file)
    one_line(whole.err, "not ended")
    assert whole.doc["ending"] == "cut" and len(whole.doc["processes"]) == 2
    raw = rec.file.read_bytes()
    cut = tmp_path / "cut"
    last = 0
    for size in range(40, len(raw), max(len(raw) // 10, 1)):
        cut.write_bytes(raw[:size])
        n = sum(len(p["samples"]) for p in report(cut).doc["processes"])
        assert n >= last
        last = n
    # In the second block: the first one has a head of 40 bytes before it, and says how long it is.
    at = 40 + 7 + raw[41] + 256 * raw[42] + 5
    cut.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:])
    r = judge.ctl("--json", "report", cut)
    assert r.rc == 1 and r.doc["ending"] == "damaged" and len(r.doc["processes"]) == 1
    one_line(r.err, "damaged at byte")


def test_command(tmp_path):
    """A command's options are its own, its status is told, and what it writes is left alone."""
    path = tmp_path / "a.rec"
    r = judge.ctl("--json", "record", "-o", path, "-i", "100ms", "--", "sh", "-c", "sleep .5; exit 7", "--json")
    assert r.rc == 0 and r.doc["file"] == str(path), r.err
    target, = report(path).doc["processes"]
    assert [(e["event"], e["words"]) for e in target["events"] if e["event"] == "exit"] == [("exit", "status 7")]
    # The recording that was there is kept.
    before = path.read_bytes()
    r = judge.ctl("record", "-o", path, "-d", "300ms", "--", "sleep", "1")
    assert r.rc == 0 and "runs on" in r.err and (tmp_path / "a.rec.old").read_bytes() == before
    assert (tmp_path / "a.rec").stat().st_mode & 0o777 == 0o600


def test_command_that_begins_with_a_digit(tmp_path):
    program, path = tmp_path / "7z", tmp_path / "a.rec"
    program.write_text('#!/bin/sh\nsleep .5\n[ "$*" = "a -- -o" ] && exit 7\n')
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    r = judge.ctl("record", "-i", "100ms", "-o", path, "--", "7z", "a", "--", "-o", env=env)
    assert r.rc == 0, r.err
    assert [e["words"] for e in report(path).doc["processes"][0]["events"] if e["event"] == "exit"] == ["status 7"]
    for args, rc, why in (
            (["record", "--", "123cmd"], 1, "failed to run 123cmd: No such file or directory"),
            # A "--" that only ends the options of the line
            (["--", "record", "999999999"], 5, "no such process"),
            (["record", os.getpid(), "--", "7z"], 2, "process ids or a command, and all of a command after --")):
        r = judge.ctl(*args, env=env)
        assert r.rc == rc, (args, r)
        one_line(r.err, why)


def test_options(sleeper, tmp_path):  # noqa: F811
    pid, path = sleeper(), tmp_path / "a.rec"
    began = time.monotonic()
    r = judge.ctl("record", pid, "-n3", "-i100ms", "-o", path)
    assert r.rc == 0 and r.out.startswith(f"{path}: 3 samples and 0 events in ")
    r = judge.ctl("record", pid, "-d250ms", "-i100ms", "-o", path)
    assert r.rc == 0 and time.monotonic() - began < 60 and re.search(r": [123] samples", r.out), r
    r = judge.ctl("report", path)
    assert r.rc == 0 and f"(pid {pid})" in r.out and "resident" in r.out and "PER HOUR" in r.out
    for options, why in ((["-i1ms"], "--interval"), (["-d0"], "--duration"), (["--cpu=101"], "--cpu"),
                         (["--cpu=0"], "--cpu"), (["-n0"], "--count")):
        r = judge.ctl("record", pid, *options, "-o", tmp_path / "b.rec")
        assert r.rc == 2 and why in r.err and not (tmp_path / "b.rec").exists()


def test_errors(sleeper, tmp_path):  # noqa: F811
    pid, mine = sleeper(), tmp_path / "mine"
    mine.write_text("mine")
    os.mkfifo(tmp_path / "fifo")
    for args, rc, why in (
            (["record", "999999999", "-o", tmp_path / "x"], 5, "no such process"),
            (["record", pid, "-o", mine], 1, "isn't a recording, and is left alone: name another file"),
            (["record", pid, "-o", tmp_path / "no" / "x"], 1, "No such file"),
            (["record", pid, "-o", tmp_path / "fifo"], 1, "left alone"),
            (["record", "-o", tmp_path / "x", "--", "/no/such/program"], 1, "failed to run"),
            (["record"], 2, "needs more arguments"),
            (["record", pid, "word", "-o", tmp_path / "x"], 2, "not a process id"),
            (["report", mine], 1, "not a recording"),
            (["report", tmp_path], 1, "directory"),
            (["report", tmp_path / "fifo"], 1, "not a recording"),
            (["report", tmp_path / "none"], 1, "no such file: 'reclaimctl record' makes one")):
        r = judge.ctl(*args)
        assert r.rc == rc and r.out == "", (args, r)
        one_line(r.err, why)
    assert mine.read_text() == "mine" and not (tmp_path / "x").exists()
    if judge.ctl("record", 2, "-n1", "-o", tmp_path / "x").rc == 3:
        assert not (tmp_path / "x").exists()


def test_hostile_names(named, tmp_path):  # noqa: F811
    pid, exe = named
    path, page, svg = tmp_path / "a.rec", tmp_path / "page.html", tmp_path / "plot.svg"
    assert judge.ctl("record", pid, "-n2", "-i100ms", "-o", path).rc == 0
    doc = report(path, f"--html={page}", f"--svg={svg}").doc
    assert doc["processes"][0]["comm"] == as_json(HOSTILE) and doc["processes"][0]["exe"] == as_json(exe)
    assert not CONTROL.search(judge.ctl("report", path).out)
    text = "".join(xml.etree.ElementTree.parse(svg).getroot().itertext())
    assert not CONTROL.search(text.replace("\n", "")) and "\ufffd" in text
    assert page.read_text().count("<script") == 2
    for written in (page, svg):
        assert written.stat().st_mode & 0o777 == 0o600


def test_pictures(python, tmp_path):  # noqa: F811
    pid, path, svg = python(PINNED), tmp_path / "a.rec", tmp_path / "plot.svg"
    assert judge.ctl("record", pid, "-n3", "-i100ms", "--cpu=100", "-o", path).rc == 0
    r = judge.ctl("report", path, f"--svg={svg}")
    assert r.rc == 0 and r.out == "" and r.err == ""
    root = xml.etree.ElementTree.parse(svg).getroot()
    layers = {e.get("data-layer") for e in root.iter(SVG + "path") if e.get("data-layer")}
    assert {"cpython-free", "cpython-in-use", "glibc-in-use", "files"} <= layers
    r = judge.ctl("report", path, f"--svg={tmp_path}")
    assert r.rc == 1 and "left alone" in r.err


def test_denied(sleeper, tmp_path):  # noqa: F811
    """Who may not look in gets what the kernel tells everybody, and is told so."""
    if os.geteuid():
        pytest.skip("not root: nobody else's process to be had")
    pid = sleeper()
    tmp_path.chmod(0o777)
    Path(tmp_path.parent).chmod(0o755)
    place = Path("/tmp") / f"reclaim-denied-{os.getpid()}.rec"
    r = judge.ctl("record", pid, "-n2", "-i100ms", "-o", place, prefix=("setpriv", "--reuid=65534", "--clear-groups"))
    try:
        assert r.rc == 4 and "not permitted to look inside" in r.err, r
        target, = report(place).doc["processes"]
        assert target["looked"] == 0 and target["sampled"] == 2 and target["samples"][0]["rss"] > 0
    finally:
        place.unlink(missing_ok=True)
