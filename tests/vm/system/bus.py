# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may ask the daemon for what: root, the owner of a process, a stranger; by its socket and by the system bus."""

import json
from pathlib import Path

from guest import CTL, Tap, Victim, comment, main_pid, run, wait_for

UNIT = "reclaimd.service"
OWNER, STRANGER = "games", "daemon"
BLOAT = ["/tests/bloat", "blocks=100000"]
# It only answers here.
CONF = """[Daemon]
Mode=observe
IntervalSec=2s
StopBudgetSec=1min
[Reclaim]
MinAnon=24M
MaxStopSec=10s
"""
DENIED = 4
SOCKET = Path("/run/reclaimd/bus")


def reclaimctl(user, *args):
    """(exit status, document, what it said on stderr)"""
    done = run("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", CTL, "--json", *args, check=False)
    try:
        return done.returncode, json.loads(done.stdout), done.stderr
    except ValueError:
        return done.returncode, None, done.stdout + done.stderr


def seen(user):
    """Pids that status shows"""
    _, doc, said = reclaimctl(user, "status")
    return {p["pid"] for p in doc["processes"]} if doc and "processes" in doc else said


def trim(tap, user, way, victim, may):
    before = victim.rss()
    rc, doc, said = reclaimctl(user, "trim", "--max-stop=10s", str(victim.pid))
    freed = before - victim.rss()
    what = f"{way}: {user} trims {victim.unit}"
    if may:
        tap.check(rc == 0 and freed > 4 << 20, f"{what}: {freed >> 20} MiB", said, json.dumps(doc))
    else:
        tap.check(rc == DENIED and not freed, f"{what}: is denied: {said.strip()}", rc, freed, json.dumps(doc))


def main():
    conf = Path("/etc/reclaim/reclaimd.conf.d/50-test.conf")
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text(CONF)
    with Tap() as tap:
        run("systemctl", "reload", "dbus")
        roots = Victim("roots", *BLOAT)
        # One for each way: who was acted on a moment ago isn't again.
        first, second = (Victim(f"theirs-{n}", *BLOAT, properties=[f"User={OWNER}"]) for n in (1, 2))
        run("systemctl", "restart", UNIT)
        got = wait_for(lambda: "org.reclaim1" in run("busctl", "list", "--acquired", "--no-legend"), 20)
        tap.check(got, "it owns its name on the system bus", run("journalctl", "-u", UNIT, "--no-pager"))
        wait_for(lambda: {roots.pid, first.pid, second.pid} <= set(seen("root")), 30)
        for way, theirs in (("socket", first), ("system bus", second)):
            # Where the socket isn't found, reclaimctl takes the system bus.
            if way == "system bus":
                SOCKET.rename("/run/reclaimd/away")
            tap.check({roots.pid, theirs.pid} <= set(seen("root")), f"{way}: root sees all", seen("root"))
            got = seen(OWNER)
            tap.check(theirs.pid in got and roots.pid not in got, f"{way}: the owner sees their own only", got)
            tap.check(seen(STRANGER) == set(), f"{way}: a stranger sees nothing", seen(STRANGER))
            trim(tap, STRANGER, way, theirs, False)
            trim(tap, OWNER, way, roots, False)
            trim(tap, OWNER, way, theirs, True)
            for victim in (roots, theirs):
                tap.check(victim.ask("work").startswith("ok"), f"{way}: {victim.unit} goes on")
        tap.check(main_pid(UNIT) > 0, "the daemon runs")
        if tap.bad:
            comment(run("journalctl", "-u", UNIT, "--no-pager")[-4000:])
        for victim in (roots, first, second):
            victim.stop()
        run("systemctl", "stop", UNIT)
        conf.unlink()


main()
