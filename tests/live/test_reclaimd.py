# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimd, end to end: whom it acts on and whom it doesn't, how often, and what it leaves behind when it is killed."""

import contextlib
import os
import random
import re
import signal
import subprocess
import time

import pytest

import judge
from daemon import DAEMON, Daemon

SECOND = 1000000
MISCONFIGURED = os.EX_CONFIG
COUNT = "--count=200000"  # some 100 MiB
PYTHON = """
import time
everything = ["%d-%s" % (i, "x" * (i % 40)) for i in range(900000)]
kept = everything[::1000]
del everything
print(flush=True)
time.sleep(1000)
"""


@pytest.fixture
def daemon(tmp_path):
    d = Daemon(tmp_path)
    yield d
    d.kill()
    d.show()


@pytest.fixture
def python(daemon):
    """A Python full of holes, asleep."""
    exe = daemon.program("python", judge.PYTHON)
    with subprocess.Popen([exe, "-ISc", PYTHON], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          env={"PYTHONHOME": "/usr"}) as p:
        assert p.stdout.readline() == b"\n"
        judge.wait_for("it to sleep", 10, lambda: judge.asleep(p.pid))
        yield p.pid
        p.kill()


@pytest.fixture
def bloat(daemon):
    """bloat(name, *args): victims/bloat.c by that name, full of holes; asleep unless told otherwise."""
    running = []

    def go(name, *args, asleep=True):
        v = judge.Bloat([daemon.program(name), *(args or (COUNT,))])
        running.append(v)
        v.wait_ready()
        return v.wait_asleep() if asleep else v
    yield go
    for v in running:
        v.kill()


def rss(pid):
    return judge.rss(pid) >> 20


def traced_by_gdb(pid):
    gdb = subprocess.Popen(["gdb", "-q", "-nx", "-p", str(pid)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    judge.wait_for("gdb to attach", 30, lambda: judge.status(pid)["TracerPid"] == str(gdb.pid))
    return gdb


def test_who_is_acted_on(daemon, bloat, python):
    """Idle and bloated ones within two intervals; not who is at work, spared, small or debugged. Why is written down."""
    idle = bloat("idle")
    # Our own work in it takes more than a tick of the clock, and it is large afterwards too.
    large = bloat("large", "--count=600000", "--every=20")
    hot = bloat("hot", COUNT, "--sleep=spin", asleep=False)
    spared = bloat("spared")
    small = bloat("small", "--count=45000")
    debugged = bloat("debugged")
    left = {"busy": hot, "never": spared, "small": small, "traced": debugged}
    before = {v.pid: rss(v.pid) for v in left.values()}
    switches = judge.switches(spared.pid), judge.switches(small.pid)
    idle_before, python_before = rss(idle.pid), rss(python)
    gdb = traced_by_gdb(debugged.pid)
    try:
        daemon.configure(more=f"IdleCPU=0%\n[Rule spared]\nExe={daemon.bin}/spared\nNever=yes")
        daemon.start()
        for pid in (idle.pid, python, large.pid):
            daemon.wait("an action", lambda pid=pid: daemon.records("action", pid))
        acted = time.monotonic()
        for reason, v in left.items():
            daemon.wait(f"'{reason}' to be written down", lambda r=reason, v=v: r in daemon.reasons(v.pid))
        # Two sweeps later what it did for us isn't taken for its own.
        time.sleep(max(0, acted + 4.5 - time.monotonic()))
        assert rss(large.pid) > 32 and "busy" not in daemon.reasons(large.pid)
    finally:
        gdb.kill()
        gdb.wait()
    began, = daemon.records("start")
    for pid in (idle.pid, python):
        act, = daemon.records("action", pid)
        assert act.reason == "reclaimed" and act.freed > 16 << 20, act
        begin, = daemon.records("begin", pid)
        # Looking takes its time on a busy machine, and starting too.
        look = daemon.records("look", pid)[0]
        assert begin.boot_us - began.boot_us - look.duration_us <= 5 * SECOND, "not within two intervals"
        # What was promised came.
        assert abs(act.freed - begin.predicted) <= begin.predicted * 0.2, (begin, act)
    assert rss(idle.pid) < idle_before / 4 and rss(python) < python_before * 0.8
    for reason, v in left.items():
        assert not [r for r in daemon.records(pid=v.pid) if r.kind in ("look", "would", "begin", "action")]
        assert set(daemon.reasons(v.pid)) == {reason}
        assert abs(rss(v.pid) - before[v.pid]) <= 1
    assert (judge.switches(spared.pid), judge.switches(small.pid)) == switches
    assert daemon.stop() == 0
    assert [r.kind for r in daemon.records()][-1] == "stop"
    for v in (idle, large, spared, small):
        assert v.command("verify")["bad"] == 0
        v.finish()


@pytest.mark.parametrize("mode", ["observe", "advise"])
def test_modes_that_do_nothing(daemon, bloat, mode):
    v = bloat("idle")
    before, switches = rss(v.pid), judge.switches(v.pid)
    daemon.configure(mode=mode, interval="1s", idle="1s")
    daemon.start()
    would = daemon.wait("it to say what it would do", lambda: daemon.records("would", v.pid))[0]
    assert would.reason == "mode" and would.predicted > 50 << 20
    sweeps = time.monotonic() + 2
    while time.monotonic() < sweeps:
        assert not daemon.records("begin") and not daemon.records("action")
        time.sleep(0.2)
    assert rss(v.pid) == before and judge.switches(v.pid) == switches
    assert daemon.stop() == 0
    v.finish()


def test_regrowth_backs_off(daemon, bloat):
    """Whoever takes its memory back each time is acted on ever more rarely."""
    v = bloat("regrows", "--count=100000")
    daemon.configure(interval="1s", idle="0", cooldown="1s", more=f"IdleCPU=100%\nExe={daemon.bin}/regrows")
    daemon.start()
    for n in range(1, 5):
        daemon.wait(f"action {n}", lambda n=n: len(daemon.records("action", v.pid)) >= n)
        v.command("again")
    begun = [r.boot_us for r in daemon.records("begin", v.pid)]
    gaps = [(b - a) / SECOND for a, b in zip(begun, begun[1:])]
    # The cooldown, then twice and four times as long.
    assert all(gap >= least for gap, least in zip(gaps, (1, 2, 4))), gaps
    daemon.wait("that to be written down", lambda: "backoff" in daemon.reasons(v.pid))
    assert daemon.stop() == 0
    v.finish()


def test_reload_all_or_nothing(daemon, bloat):
    v = bloat("idle")
    spared = f"[Rule spared]\nExe={daemon.bin}/idle\nNever=yes\n"
    daemon.configure(interval="1s", idle="0", more=spared)
    daemon.start()
    daemon.wait("it to be left alone", lambda: daemon.reasons(v.pid) == ["never"])

    # Without the rule, but with a mistake: all of it stays as it was.
    daemon.configure(interval="1s", idle="0", more="MinAnon=often")
    daemon.proc.send_signal(signal.SIGHUP)
    bad = daemon.wait("the reload", lambda: daemon.records("reload"))[0]
    assert bad.reason == "failed" and "reclaimd.conf:" in bad.words and "MinAnon" in bad.words
    where = [line for line in daemon.said().splitlines() if f"{daemon.conf}/reclaimd.conf:" in line]
    assert where and "MinAnon" in where[0]
    time.sleep(1.5)
    assert not daemon.records("begin") and daemon.proc.poll() is None

    daemon.configure(interval="1s", idle="0")
    daemon.proc.send_signal(signal.SIGHUP)
    daemon.wait("the action", lambda: daemon.records("action", v.pid))
    assert [r.reason for r in daemon.records("reload")] == ["failed", "loaded"]
    assert daemon.stop() == 0
    v.finish()


def test_wrong_at_start(daemon):
    daemon.configure(more="Cooldown=sometimes\nCooldownSec=sometimes")
    daemon.start(wait=False)
    assert daemon.proc.wait(10) == MISCONFIGURED
    assert "reclaimd.conf:" in daemon.said() and "CooldownSec" in daemon.said()


def directives(key):
    """Of the unit as it is shipped."""
    unit = (judge.TOP / "daemon/units/reclaimd.service.in").read_text(encoding="utf-8")
    return re.findall(rf"^{key}=(.*)$", unit, re.M)


def test_reload_by_the_unit(daemon):
    """systemctl reload runs these one after the other, and fails with the first that does."""
    commands = directives("ExecReload")
    assert len(commands) == 2

    def reload():
        for command in commands:
            argv = command.replace("@SBINDIR@/reclaimd", str(DAEMON)).replace("$MAINPID", str(daemon.proc.pid)).split()
            if argv[0] == str(DAEMON):
                argv.append(f"--config={daemon.conf}")
            done = subprocess.run(argv, stderr=subprocess.PIPE, text=True, check=False, timeout=20)
            if done.returncode:
                break
        return done.returncode, done.stderr
    daemon.configure()
    daemon.start()
    assert reload() == (0, "")
    daemon.wait("the reload", lambda: [r.reason for r in daemon.records("reload")] == ["loaded"])
    daemon.configure(more="MinAnon=often\nIdleCPU=so\n[Daemon]\nNonsense=1")
    status, said = reload()
    assert status == MISCONFIGURED
    where = f"{daemon.conf}/reclaimd.conf:"
    assert [line.partition(where)[2].partition(":")[0].isdigit() for line in said.splitlines()] == [True] * 3, said
    # It has heard nothing of that.
    assert daemon.proc.poll() is None and len(daemon.records("reload")) == 1
    daemon.configure()
    assert reload() == (0, "")
    daemon.wait("the reload", lambda: [r.reason for r in daemon.records("reload")] == ["loaded", "loaded"])
    assert daemon.stop() == 0


def test_not_again(tmp_path):
    """What would end the same way the next time isn't started again by systemd."""
    never, = directives("RestartPreventExitStatus")
    assert set(map(int, never.split())) == {2, MISCONFIGURED}
    nowhere = f"--config={tmp_path}/nowhere"
    for argv, status in (([nowhere], MISCONFIGURED), (["--check", nowhere], MISCONFIGURED), (["--nonsense"], 2)):
        done = subprocess.run([DAEMON, *argv], stderr=subprocess.PIPE, text=True, check=False, timeout=20)
        assert done.returncode == status and done.stderr, argv


def test_one_at_a_time(daemon):
    """Two daemons would not know of each other's actions."""
    daemon.configure()
    daemon.start()
    first = daemon.proc
    daemon.start(wait=False)
    assert daemon.proc.wait(10) == 1 and "another reclaimd" in daemon.said()
    daemon.proc = first
    assert daemon.stop() == 0


def check_history(daemon, cooldown):
    records = daemon.records()
    assert [r.seq for r in records] == list(range(records[0].seq, records[0].seq + len(records)))
    begun = {}
    for r in records:
        if r.kind == "begin":
            before = begun.get((r.pid, r.start_time))
            assert not before or r.boot_us - before >= cooldown, "acted on twice in its cooldown"
            begun[r.pid, r.start_time] = r.boot_us
    return records


def descendants(pid):
    found = []
    for child in judge.children(pid):
        found += [child, *descendants(child)]
    return found


def kill_a_worker(rng, daemon):
    """Or its reader. Returns whether there was one."""
    with contextlib.suppress(OSError, IndexError):
        os.kill(rng.choice(descendants(daemon.proc.pid)), signal.SIGKILL)
        return True
    return False


def test_killed_at_random(daemon, bloat):
    """The daemon and its workers: no target stopped, traced or damaged, history whole, nothing done twice in its
    cooldown. RECLAIM_DAEMON_KILLS=number of daemons."""
    seed = int(os.environ.get("RECLAIM_TORTURE_SEED", time.time()))
    rng = random.Random(seed)
    rounds = int(os.environ.get("RECLAIM_DAEMON_KILLS", "15"))
    print(f"RECLAIM_TORTURE_SEED={seed}")
    # What they take straight back must not keep it from them: each start is to find something to do.
    daemon.configure(interval="1s", idle="0", cooldown="2s", more="IdleCPU=100%\n[Daemon]\nBackoffMaxSec=2s")
    busy = bloat("victim-busy", "--count=90000", "--threads=1", asleep=False)
    victims = [busy, *(bloat(f"victim{i}", "--count=90000") for i in range(3))]
    n = killed_at_work = workers = 0
    # How long an action takes depends on the machine: until some were cut off.
    while n < rounds or (killed_at_work < 2 and n < 6 * rounds):
        n += 1
        begun = len(daemon.records("begin"))
        daemon.start(wait=False)
        if n % 3:
            # In the middle of an action, if there is one to come.
            until = time.monotonic() + 1.5
            while len(daemon.records("begin")) == begun and time.monotonic() < until:
                time.sleep(0.001)
        time.sleep(rng.choice([0, rng.uniform(0, 0.02), rng.uniform(0, 0.3)]))
        if n % 2 and kill_a_worker(rng, daemon):
            # Sometimes the daemon sees it, and goes on; sometimes it doesn't come to that.
            workers += 1
            time.sleep(rng.choice([0, rng.uniform(0, 0.5)]))
        daemon.proc.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        daemon.ended()
        killed_at_work += any(r.kind in ("begin", "look") for r in daemon.records()[-1:])
        rng.choice(victims).command("again")
        for v in victims:
            # Its worker dies with it, and that lets the target go.
            judge.wait_for("the target to be let go", 5, lambda v=v: judge.status(v.pid)["TracerPid"] == "0"
                           and judge.state(v.pid) in "RSD")
    records = check_history(daemon, 2 * SECOND)
    print(f"{n} killed, and {workers} workers; {killed_at_work} with nothing written since a look or a begin, "
          f"{sum(r.reason == 'interrupted' for r in records)} actions interrupted of "
          f"{sum(r.kind == 'begin' for r in records)}")
    assert killed_at_work > 1 and workers and any(r.kind == "action" for r in records), [r.kind for r in records]
    # The next one goes on from there.
    for v in victims:
        v.command("again")
    daemon.start()
    done = sum(r.reason == "reclaimed" for r in records)
    daemon.wait("another action", lambda: sum(r.reason == "reclaimed" for r in daemon.records("action")) > done)
    assert daemon.stop() == 0
    check_history(daemon, 2 * SECOND)
    busy.moves_on()
    for v in victims:
        assert v.command("verify")["bad"] == 0
        v.finish()


def test_options():
    """Each option is in the help and in the manual page; what isn't one is a mistake of the caller's."""
    shown = subprocess.run([DAEMON, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    manual = (judge.TOP / "Documentation/man/reclaimd.8.rst").read_text(encoding="utf-8")
    options = re.findall(r"^ +(--[a-z-]+)", shown, re.M)
    assert len(options) >= 5
    assert set(options) == set(re.findall(r"(--[a-z-]+)(?:=[A-Z]+)?  ", manual))
    version = subprocess.run([DAEMON, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert re.fullmatch(r"reclaimd \d+\.\d+\.\d+\n", version)
    for wrong in (["--nonsense"], ["--config"], ["start"], ["--config=/nowhere"] * 17):
        r = subprocess.run([DAEMON, *wrong], stderr=subprocess.PIPE, text=True, check=False)
        assert r.returncode == 2 and r.stderr, wrong
