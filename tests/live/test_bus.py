# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl and others at the daemon's socket, as root, as owner, as stranger, with real processes."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import judge
from daemon import Daemon

ROOT, OWNER, STRANGER = 0, 1, 2
PYTHON = """
import ctypes, os, signal, sys, time
everything = ["%d-%s" % (i, "x" * (i % 40)) for i in range(300000)]
kept = everything[::1000]
del everything
if sys.argv[1:] == ["undumpable"]:
    assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0
if sys.argv[1:2] == ["exec"]:
    signal.signal(signal.SIGUSR1, lambda *_: os.execv(sys.argv[2], [sys.argv[2], "-ISc", sys.argv[3]]))
print(flush=True)
time.sleep(1000)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")


@contextmanager
def running(**env):
    """In a folder that everybody may enter; nothing in it is acted on by itself."""
    top = Path(tempfile.mkdtemp(prefix="reclaim-bus-"))
    top.chmod(0o755)
    shutil.copy(judge.CTL, top / "reclaimctl")
    d = Daemon(top)
    d.configure(interval="1s", idle="1h", cooldown="1s")
    d.state.chmod(0o750)
    d.start(**env)
    judge.wait_for("its socket", 10, (top / "bus").exists)
    yield d
    assert d.stop() == 0, d.said()
    assert not (top / "bus").exists()
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def daemon():
    with running() as d:
        yield d


def set_user_id(daemon):
    """A Python that becomes root."""
    exe = daemon.dir / "set-user-id"
    shutil.copy(judge.PYTHON, exe)
    exe.chmod(0o4755)
    return exe


def as_user(uid):
    return [] if uid == 0 else ["setpriv", f"--reuid={uid}", "--clear-groups", "--inh-caps=-all"]


@pytest.fixture
def ctl(daemon):
    def run(uid, *args, **kw):
        return judge.ctl(*args, prefix=as_user(uid), program=daemon.dir / "reclaimctl",
                         env={"RECLAIM_BUS": f"{daemon.dir}/bus", "RECLAIM_STATE_DIR": str(daemon.state),
                              "RECLAIM_WORKER": str(judge.BUILD / "reclaim-worker")}, **kw)
    return run


@pytest.fixture
def python(daemon):
    """python(uid, ...): one of that user's, with much that is free."""
    started = []

    def go(uid, *args, exe=judge.PYTHON):
        p = subprocess.Popen([*as_user(uid), exe, "-ISc", PYTHON, *args], stdout=subprocess.PIPE,
                             stdin=subprocess.DEVNULL)
        started.append(p)
        assert p.stdout.readline() == b"\n"
        judge.wait_for("it to sleep", 10, lambda: judge.asleep(p.pid))
        return p.pid
    yield go
    for p in started:
        p.kill()
        p.wait()


def busctl(daemon, uid, method, *args):
    """What busctl gets, as the documentation shows it."""
    return subprocess.run([*as_user(uid), "busctl", "--json=short", f"--address=unix:path={daemon.dir}/bus", "call",
                           "org.reclaim1", "/org/reclaim1", "org.reclaim1.Manager", method, *map(str, args)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=20, text=True)


def test_trim_by_the_daemon(ctl, python):
    """Owner and root; the stranger is refused and nothing happens to the process."""
    pid = python(OWNER)
    before, anon = judge.rss(pid), judge.status(pid)["RssAnon"]
    no = ctl(STRANGER, "--json", "trim", pid)
    assert no.rc == 4 and no.doc[0]["outcome"] == "failed" and "reclaimd: " in no.doc[0]["reason"]
    assert judge.status(pid)["RssAnon"] == anon and judge.asleep(pid)
    yes = ctl(OWNER, "--json", "trim", pid, "--remedy=purge,trim")
    assert yes.rc == 0, yes
    assert yes.doc[0]["outcome"] == "reclaimed" and yes.doc[0]["freed"] > 4 << 20
    assert [s["remedy"] for s in yes.doc[0]["steps"]] == ["trim", "purge"]
    assert judge.rss(pid) < before - (4 << 20) and judge.asleep(pid)


def test_dry_run_and_missing(ctl, python):
    pid = python(OWNER)
    dry = ctl(OWNER, "--json", "trim", pid, "--dry-run")
    assert dry.rc == 0 and dry.doc[0]["outcome"] == "nothing" and dry.doc[0]["steps"], dry
    assert ctl(OWNER, "trim", 2 ** 22 - 2).rc == 5


def figures(layer):
    return {k: v for k, v in layer.items() if not isinstance(v, list)}


def test_explain_by_the_daemon(ctl, python):
    """The same facts as by our own worker, and none for a stranger."""
    pid = python(OWNER)
    mine, roots = ctl(OWNER, "--json", "explain", pid), ctl(ROOT, "--json", "explain", pid)
    assert mine.rc == roots.rc == 0, mine
    for key in ("pid", "start_time", "comm", "exe", "anon", "allocator", "runtime", "remedies", "stopped_us"):
        assert mine.doc[key] == roots.doc[key], key
    # What is resident of files comes and goes with the page cache.
    assert [figures(layer) for layer in mine.doc["layers"]] == [figures(layer) for layer in roots.doc["layers"]]
    no = ctl(STRANGER, "--json", "explain", pid)
    assert no.rc == 4 and "reclaimd: " in no.doc["reason"]
    assert [layer["layer"] for layer in no.doc["layers"]] == ["kernel"]


def test_whose_it_is(daemon, ctl, python):
    """Started by a user, but not theirs: what is set-user-id, what may not be looked into."""
    pid = python(OWNER, "undumpable")
    assert judge.status(pid)["Uid"].split() == ["1"] * 4
    assert ctl(OWNER, "trim", pid).rc == 4
    assert ctl(ROOT, "trim", pid).rc == 0
    pid = python(OWNER, exe=set_user_id(daemon))
    assert judge.status(pid)["Uid"].split()[:2] == ["1", "0"]
    assert "another user's" in busctl(daemon, OWNER, "Trim", "ia{sv}", pid, 0).stderr
    assert judge.asleep(pid)


# Between the daemon's look at whose it is and the worker's.
HELD = """#!/bin/sh
touch "$HELD/held"
until [ -e "$HELD/go" ]; do sleep 0.02; done
exec "$HELD/worker"
"""


def test_whose_it_becomes(tmp_path):
    """Theirs when they ask, root's when the worker comes: it isn't even stopped."""
    worker = tmp_path / "held-worker"
    worker.write_text(HELD)
    worker.chmod(0o755)
    (tmp_path / "worker").symlink_to(judge.BUILD / "reclaim-worker")
    with running(RECLAIM_WORKER=str(worker), HELD=str(tmp_path)) as d:
        p = subprocess.Popen([*as_user(OWNER), judge.PYTHON, "-ISc", PYTHON, "exec", set_user_id(d), PYTHON],
                             stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            becomes(d, p, tmp_path)
        finally:
            p.kill()
            p.wait()


def becomes(d, p, held):
    def ready():
        assert p.stdout.readline() == b"\n"
        judge.wait_for("it to sleep", 10, lambda: judge.asleep(p.pid))
    ready()
    asker = subprocess.Popen([*as_user(OWNER), d.dir / "reclaimctl", "--json", "trim", str(p.pid), "--timeout=20s"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             env={**os.environ, "RECLAIM_BUS": f"{d.dir}/bus"})
    judge.wait_for("the worker", 10, (held / "held").exists)
    p.send_signal(signal.SIGUSR1)
    ready()
    assert judge.status(p.pid)["Uid"].split()[:3] == ["1", "0", "0"]
    before, switches = judge.rss(p.pid), judge.switches(p.pid)
    (held / "go").touch()
    out, _ = asker.communicate(timeout=30)
    assert judge.rss(p.pid) == before and judge.switches(p.pid) == switches
    assert asker.returncode == 4 and json.loads(out)[0]["outcome"] == "failed", out
    action, = d.records("action", p.pid)
    assert action.reason == "denied" and "another user's" in action.words, action
    # Root may.
    assert judge.ctl("--json", "trim", p.pid).doc[0]["outcome"] == "reclaimed"


def test_status(daemon, ctl, python):
    pids = {uid: python(uid) for uid in (ROOT, OWNER, STRANGER)}

    def listed(uid):
        doc = ctl(uid, "--json", "status").doc
        assert doc["mode"] == "enforce" and doc["interval_us"] == 1000000 and doc["source"] in ("procfs", "netlink")
        return {p["pid"] for p in doc["processes"]}
    # Each of them is above MinAnon, or nobody would be listed.
    daemon.wait("a sweep that sees them", lambda: set(pids.values()) <= listed(ROOT))
    assert listed(OWNER) & set(pids.values()) == {pids[OWNER]}
    assert listed(STRANGER) & set(pids.values()) == {pids[STRANGER]}
    text = ctl(OWNER, "status")
    assert text.rc == 0 and text.out.startswith("mode ") and f"{pids[OWNER]} " in text.out


def test_history_of_ones_own(ctl, python):
    pid, other = python(OWNER), python(STRANGER)
    assert ctl(OWNER, "trim", pid).rc == 0
    assert ctl(STRANGER, "trim", other).rc == 0
    mine = ctl(OWNER, "--json", "history").doc
    assert {r["uid"] for r in mine} == {OWNER}
    assert [r["kind"] for r in mine if r["pid"] == pid and r["kind"] in ("begin", "action")] == ["begin", "action"]
    assert not [r for r in ctl(OWNER, "--json", "history", other).doc]
    assert {pid, other} <= {r["pid"] for r in ctl(ROOT, "--json", "history").doc}


def test_watch(daemon, python):
    """Root hears all, others of their own."""
    pid = python(OWNER)
    watchers = {}
    for uid in (ROOT, OWNER, STRANGER):
        watchers[uid] = subprocess.Popen([*as_user(uid), daemon.dir / "reclaimctl", "--json", "watch"],
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                         env={**os.environ, "RECLAIM_BUS": f"{daemon.dir}/bus"})
    time.sleep(1)
    assert busctl(daemon, OWNER, "Trim", "ia{sv}", pid, 1, "remedies", "as", 1, "trim").returncode == 0
    time.sleep(1)
    heard = {}
    for uid, p in watchers.items():
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=10)
        assert p.returncode == -signal.SIGINT and not err
        heard[uid] = [r["kind"] for r in map(json.loads, out.splitlines()) if r["pid"] == pid and r["kind"] != "leave"]
    assert heard[OWNER] == heard[ROOT] == ["begin", "action"]
    assert not heard[STRANGER]


def test_record(daemon, ctl, python):
    """What the daemon does is in the recording of who may hear of it."""
    pid, place = python(OWNER), daemon.dir / "records"
    place.mkdir()
    os.chown(place, OWNER, OWNER)

    def told(key):
        r = judge.ctl("--json", "report", place / "a.rec")
        return r.doc["processes"][0][key] if r.rc == 0 and r.doc["processes"] else None
    argv = [*as_user(OWNER), daemon.dir / "reclaimctl", "record", str(pid), "-o", place / "a.rec", "--cpu=100"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "RECLAIM_BUS": f"{daemon.dir}/bus"}) as p:
        # By the daemon too, since the owner may not look inside.
        judge.wait_for("a look", 30, lambda: told("looked"))
        assert ctl(OWNER, "trim", pid, "--remedy=purge,trim", "--timeout=30s").rc == 0
        judge.wait_for("the event", 30, lambda: "trim" in [e["event"] for e in told("events")])
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=30)
        assert p.returncode == 0 and not err and out.startswith(str(place))
    event, = [e for e in told("events") if e["event"] == "trim"]
    assert event["bytes"] < -4 << 20 and f"{pid}" in event["words"]


def test_watch_ends(tmp_path):
    """With the daemon, and says so."""
    d = Daemon(tmp_path)
    d.configure()
    d.start()
    judge.wait_for("its socket", 10, (tmp_path / "bus").exists)
    with subprocess.Popen([judge.CTL, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "RECLAIM_BUS": f"{tmp_path}/bus"}) as p:
        time.sleep(0.5)
        assert d.stop() == 0
        out, err = p.communicate(timeout=10)
        assert p.returncode == 1 and "the daemon has gone" in err, (out, err)


def test_by_hand(daemon):
    """The call of the documentation; Reload is root's; a wrong configuration is told and changes nothing."""
    assert json.loads(busctl(daemon, ROOT, "ListProcesses", "a{sv}", 0).stdout)["type"] == "aa{sv}"
    assert "another user's" in busctl(daemon, STRANGER, "ListProcesses", "a{sv}", 1, "everyone", "b", "true").stderr
    assert "only root" in busctl(daemon, OWNER, "Reload").stderr
    assert busctl(daemon, ROOT, "Reload").returncode == 0
    good = (daemon.conf / "reclaimd.conf").read_text()
    (daemon.conf / "reclaimd.conf").write_text(good + "[Daemon]\nIntervalSec=soon\n")
    bad = busctl(daemon, ROOT, "Reload").stderr
    assert "reclaimd.conf:" in bad and "the old settings stay" in bad
    (daemon.conf / "reclaimd.conf").write_text(good)
    assert busctl(daemon, ROOT, "Reload").returncode == 0


def test_askers_who_die(daemon, ctl, python):
    """In mid-call, twenty times; the process is unharmed and the next one is served."""
    pid = python(OWNER)
    for i in range(20):
        p = subprocess.Popen([*as_user(OWNER), daemon.dir / "reclaimctl", "trim", str(pid)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env={**os.environ, "RECLAIM_BUS": f"{daemon.dir}/bus"})
        time.sleep(0.005 * i)
        p.kill()
        p.wait()
    judge.wait_for("it to be free again", 20, lambda: ctl(OWNER, "trim", pid).rc == 0)
    assert judge.asleep(pid) and judge.status(pid)["TracerPid"] == "0"


def test_no_daemon(tmp_path):
    """Said so, exit status 1; trim does it by itself."""
    env = {"RECLAIM_BUS": str(tmp_path / "none"), "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
    for verb in ("status", "watch"):
        a = judge.ctl(verb, env=env)
        assert a.rc == 1 and "reclaimd isn't running" in a.err and "systemctl start reclaimd" in a.err
        assert judge.ctl("--json", verb, env=env).doc["exit_status"] == 1
