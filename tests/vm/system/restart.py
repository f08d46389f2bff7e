# SPDX-License-Identifier: GPL-2.0-or-later
"""Units that are restarted or changed while a worker is inside a program: the program isn't harmed, who asked for it is
told, and work goes on.

Owners ask for their programs here. The worker is stopped as soon as it holds one, so that all this happens then.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from guest import CTL, Tap, Victim, comment, journal, main_pid, run, show, status, wait_for

UNIT, WORKERS = "reclaimd.service", "reclaim-worker.service"
OWNER = "games"
BLOAT = ["/tests/bloat", "blocks=200000"]
# It only answers here.
CONF = """[Daemon]
Mode=observe
IntervalSec=2s
StopBudgetSec=1min
[Reclaim]
MinAnon=24M
MaxStopSec=10s
TimeoutSec=60s
"""


class Request:
    """An owner's, which goes through the daemon; under way"""

    def __init__(self, victim):
        self.proc = subprocess.Popen(
            ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups", CTL, "--json", "trim",
             "--max-stop=10s", "--timeout=60s", str(victim.pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def result(self, seconds=100):
        """(what it says of the program, all that was said)"""
        out, err = self.proc.communicate(timeout=seconds)
        try:
            got = json.loads(out)
            return (got[0] if isinstance(got, list) else got), f"{out}{err}"
        except (ValueError, IndexError):
            return {}, f"{out}{err}"


def workers():
    group = Path("/sys/fs/cgroup" + show(WORKERS, "ControlGroup")) / "cgroup.procs"
    server = main_pid(WORKERS)
    return [p for p in map(int, group.read_text().split()) if p != server]


def send(number, pids):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def inside(victim, seconds=60):
    """Stops the worker that holds the program and all that belong to it; their pids. None: it was done too soon."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tracer = int(status(victim.pid, "TracerPid"))
        if tracer:
            send(signal.SIGSTOP, [tracer])
            held = workers()
            send(signal.SIGSTOP, held)
            if tracer in held and int(status(victim.pid, "TracerPid")) == tracer:
                return held
            send(signal.SIGCONT, held)
        time.sleep(0.0005)
    return None


def intact(tap, how, victim):
    """It goes on by itself, and all it has is what it was."""
    free = wait_for(lambda: status(victim.pid, "TracerPid") == "0" and status(victim.pid, "State")[0] in "SR", 20)
    answer = victim.ask("check") if free else "it is held"
    tap.check(free and answer.startswith("ok"), f"{how}: the program goes on: {answer}", status(victim.pid, "State"))


def begin(tap, name):
    """A program, and a request whose worker is inside of it"""
    victim = Victim(name, *BLOAT, properties=[f"User={OWNER}", "TimeoutStopSec=10s"])
    request = Request(victim)
    held = inside(victim)
    if not tap.check(held, f"{name}: a worker is inside", *([] if held else request.result())):
        raise RuntimeError("no worker was met")
    return victim, request, held


def serves(tap, how):
    """The next one is served."""
    victim = Victim(f"next-{how.replace(' ', '-')}", *BLOAT, properties=[f"User={OWNER}"])
    got, said = Request(victim).result()
    tap.check(got.get("outcome") == "reclaimed", f"{how}: the next program is served", said)
    intact(tap, how, victim)
    victim.stop()


def workers_are_restarted(tap):
    how = "workers restarted"
    victim, request, _ = begin(tap, "under-workers")
    daemon, server = main_pid(UNIT), main_pid(WORKERS)
    run("systemctl", "restart", WORKERS)
    got, said = request.result()
    why = got.get("reason")
    tap.check(got.get("outcome") == "failed" and why, f"{how}: who asked is told: {why}", said)
    intact(tap, how, victim)
    tap.check(main_pid(UNIT) == daemon and main_pid(WORKERS) not in (0, server), f"{how}: the daemon is the same")
    told = journal(f"_SYSTEMD_UNIT={UNIT}", "RECLAIM_KIND=action", f"RECLAIM_UNIT={victim.unit}")
    tap.check([e for e in told if e["RECLAIM_REASON"] == "failed"], f"{how}: the journal tells of it", told)
    serves(tap, how)
    victim.stop()


def units_are_changed(tap):
    how = "units changed"
    victim, request, held = begin(tap, "under-change")
    before = main_pid(UNIT), main_pid(WORKERS)
    for unit, line in ((UNIT, "MemoryMax=200M"), (WORKERS, "MemoryMax=900M")):
        folder = Path(f"/etc/systemd/system/{unit}.d")
        folder.mkdir(parents=True)
        (folder / "50-test.conf").write_text(f"[Service]\n{line}\n")
    run("systemctl", "daemon-reload")
    tap.check((main_pid(UNIT), main_pid(WORKERS)) == before, f"{how}: nobody was restarted for it")
    send(signal.SIGCONT, held)
    got, said = request.result()
    tap.check(got.get("outcome") == "reclaimed", f"{how}: what was under way is done", said)
    intact(tap, how, victim)
    run("systemctl", "restart", UNIT)
    tap.check(show(UNIT, "MemoryMax") == str(200 << 20) and show(WORKERS, "MemoryMax") == str(900 << 20),
              f"{how}: the change holds", show(UNIT, "MemoryMax"), show(WORKERS, "MemoryMax"))
    serves(tap, how)
    victim.stop()
    for unit in (UNIT, WORKERS):
        Path(f"/etc/systemd/system/{unit}.d/50-test.conf").unlink()
    run("systemctl", "daemon-reload")


def daemon_is_restarted(tap):
    how = "daemon restarted"
    victim, request, held = begin(tap, "under-daemon")
    daemon = main_pid(UNIT)
    run("systemctl", "restart", "--no-block", UNIT)
    time.sleep(3)
    send(signal.SIGCONT, held)
    again = wait_for(lambda: show(UNIT, "ActiveState") == "active" and main_pid(UNIT) not in (0, daemon), 60)
    got, said = request.result()
    tap.check(again and said.strip(), f"{how}: who asked is told: {got.get('outcome')} {got.get('reason')}", said)
    intact(tap, how, victim)
    records = json.loads(run(CTL, "--json", "history", str(victim.pid)))
    kinds = [r["kind"] for r in records if r["kind"] in ("begin", "action")]
    tap.check(kinds == ["begin", "action"], f"{how}: what was begun has an end: {kinds}", records)
    serves(tap, how)
    victim.stop()


def program_is_restarted(tap):
    """Nobody holds the worker here: it has to let go by itself."""
    how = "program restarted"
    victim, request, held = begin(tap, "under-itself")
    send(signal.SIGCONT, held)
    began = time.monotonic()
    run("systemctl", "restart", victim.unit)
    took = time.monotonic() - began
    tap.check(took < 10, f"{how}: in {took:.1f} s")
    got, said = request.result()
    tap.check(got.get("outcome"), f"{how}: who asked is told: {got.get('outcome')} {got.get('reason')}", said)
    victim.answer(60)
    victim.pid = main_pid(victim.unit)
    intact(tap, how, victim)
    tap.check(wait_for(lambda: not workers(), 20), f"{how}: no worker is left", workers())
    serves(tap, how)
    victim.stop()


def main():
    conf = Path("/etc/reclaim/reclaimd.conf.d/50-test.conf")
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text(CONF)
    with Tap() as tap:
        run("systemctl", "reload", "dbus")
        run("systemctl", "restart", UNIT)
        for part in (workers_are_restarted, units_are_changed, daemon_is_restarted, program_is_restarted):
            part(tap)
        failed = run("systemctl", "--failed", "--no-legend", "--plain")
        tap.check(not failed, "no unit has failed", failed)
        if tap.bad:
            comment(run("journalctl", "-u", UNIT, "-u", WORKERS, "--no-pager")[-4000:])
        run("systemctl", "stop", UNIT)
        conf.unlink()


main()
