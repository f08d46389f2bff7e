# SPDX-License-Identifier: GPL-2.0-or-later
"""Workers that are had by connecting to a socket: the same answers, and nobody is left when either side goes."""

import contextlib
import os
import select
import signal
import subprocess
import time

import pytest

import judge
import workerproto as w
from daemon import Daemon
from door import Client, Door


@pytest.fixture
def door(tmp_path):
    with Door(tmp_path) as d:
        yield d.serve()


def ended(pidfd, timeout=10):
    return bool(select.select([pidfd], [], [], timeout)[0])


def test_trim_and_explain(start, door):
    v = start("plain", asleep=True)
    before = v.snapshot()
    said = judge.ctl("--json", "explain", v.pid, env=door.env)
    assert said.rc == 0 and said.doc["layers"], said
    t = judge.trim(v.pid, env=door.env)
    assert t.acted and t.doc["freed"] > 0, t
    v.unharmed(before)
    judge.wait_for("the workers' end", 10, lambda: not door.workers())
    v.finish()


def test_a_worker_for_each(start, door):
    """Beside each other, and one after the other."""
    victims = [start("plain", asleep=True) for _ in range(3)]
    running = [subprocess.Popen([judge.CTL, "--json", "trim", "--remedy=trim", str(v.pid)], stdout=subprocess.PIPE,
                                env={**os.environ, **door.env}) for v in victims]
    assert [p.communicate(timeout=60)[0].count(b'"reclaimed"') for p in running] == [1, 1, 1]
    for _ in range(100):
        assert Client(door.path).hello()
    judge.wait_for("the workers' end", 10, lambda: not door.workers())
    for v in victims:
        v.finish()


def seen_held(v, pidfd):
    """Whether its worker was caught with the target, before it ended."""
    while not ended(pidfd, 0):
        if judge.status(v.pid)["TracerPid"] != "0":
            return True
    return False


def goes_with_a_target(door, v, wait):
    """A client asks, waits, and hangs up: its worker ends, and leaves the target. Returns what wait() did."""
    client = Client(door.path, w.request(v.pid))
    _, pidfd = client.hello()
    said = wait(pidfd)
    client.socket.close()
    assert ended(pidfd)
    os.close(pidfd)
    assert judge.status(v.pid)["TracerPid"] == "0"
    return said


def test_client_goes(start, door):
    """It may be before it was asked, or with a target in its hands."""
    client = Client(door.path)
    pid, pidfd = client.hello()
    assert pid in door.workers() and not ended(pidfd, 0.2)
    client.socket.close()
    assert ended(pidfd)
    os.close(pidfd)

    v = start("single")
    for rounds in range(40):
        goes_with_a_target(door, v, lambda _: time.sleep(rounds / 10000))
    # With luck alone it may never be caught with its target: how long it takes to come there depends on the machine.
    assert any(goes_with_a_target(door, v, lambda pidfd: seen_held(v, pidfd)) for _ in range(100))
    v.moves_on()
    v.finish()


def test_gone_before_it_came(start, tmp_path):
    """What a client asked for and didn't wait for isn't done later."""
    v = start("plain", asleep=True)
    switches = judge.switches(v.pid)
    with Door(tmp_path) as door:
        for _ in range(20):
            Client(door.path, w.request(v.pid)).socket.close()
        door.serve()
        assert Client(door.path).hello()
        judge.wait_for("the workers' end", 10, lambda: not door.workers())
    assert judge.switches(v.pid) == switches
    v.finish()


@pytest.mark.parametrize("whom", ["worker", "server"])
def test_killed(start, door, whom):
    """In the middle of it, which is a matter of luck: until it was."""
    v = start("single")
    for _ in range(50):
        with subprocess.Popen([judge.CTL, "--json", "trim", "--remedy=trim", str(v.pid)], stdout=subprocess.PIPE,
                              env={**os.environ, **door.env}) as running:
            while running.poll() is None and not (workers := door.workers()):
                pass
            if running.returncode is None and whom == "worker":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[0], signal.SIGKILL)
            elif running.returncode is None:
                door.stop()
                door.serve()
            out = running.communicate(timeout=20)[0]
        if running.returncode:
            assert b"without an answer" in out or b"no worker came" in out, out
        if b"without an answer" in out:
            break
    else:
        pytest.fail("the worker had always answered")
    v.moves_on()
    v.finish()
    assert Client(door.path).hello()


def test_nobody_serves(start, tmp_path):
    v = start("plain", asleep=True)
    with Door(tmp_path) as door:
        began = time.monotonic()
        said = judge.ctl("--json", "trim", "--timeout=1s", v.pid, env=door.env)
        assert said.rc and "no worker came" in said.doc[0]["reason"] and time.monotonic() - began < 10, said
    v.finish()


def test_strangers(tmp_path):
    """Whatever the mode of the socket: nobody else is served."""
    tmp_path.chmod(0o755)
    for d in tmp_path.parents[:2]:
        d.chmod(0o755)
    with Door(tmp_path, 0o666) as door:
        door.serve()
        pid = os.fork()
        if not pid:
            try:
                os.setuid(65534)
                os._exit(0 if Client(door.path, w.request(os.getppid())).hello() is None else 1)
            except ConnectionError:
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitpid(pid, 0)[1] == 0


def test_started_otherwise():
    for env in ({}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}):
        p = subprocess.run([judge.WORKER, "--serve"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=20,
                           env={**os.environ, **env}, check=False)
        assert p.returncode == 2 and b"listening socket" in p.stderr, p


def test_daemon(tmp_path, door):
    """The daemon's whole way through the door; killed while one is at work, it leaves nobody behind."""
    d = Daemon(tmp_path)
    d.configure()
    victims = []
    try:
        d.start(**door.env)
        for _ in range(2):
            v = judge.Bloat([d.program("bloat"), "blocks=200000"])
            victims.append(v)
            v.wait_ready().wait_asleep()
            before = v.snapshot()
            if len(victims) == 1:
                d.wait("its action", lambda pid=v.pid: d.records("action", pid))
                assert d.records("action", v.pid)[0].reason == "reclaimed"
            else:
                d.wait("its beginning", lambda pid=v.pid: d.records("begin", pid))
                d.kill()
                judge.wait_for("the workers' end", 10, lambda: not door.workers())
                assert judge.status(v.pid)["TracerPid"] == "0"
            v.unharmed(before)
            v.finish()
    finally:
        d.kill()
        d.show()
        for v in victims:
            v.kill()
