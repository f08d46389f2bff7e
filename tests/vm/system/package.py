# SPDX-License-Identifier: GPL-2.0-or-later
"""The package under systemd: the service runs as soon as it is installed, is a new one after an upgrade, keeps its
history when it is removed, and leaves nothing when it is purged."""

import json
import os
import re
from pathlib import Path

from guest import Tap, comment, journal, main_pid, run, show, wait_for

UNIT = "reclaimd.service"
HISTORY = Path("/var/lib/reclaim")
CTL = "/usr/bin/reclaimctl"
SKIP = {"/proc", "/sys", "/dev", "/run/systemd", "/run/udev", "/tests", "/var/log", "/var/cache", "/usr/lib/modules"}


def files():
    """All that has our name"""
    found = set()
    for folder, folders, names in os.walk("/"):
        folders[:] = [f for f in folders if os.path.join(folder, f) not in SKIP]
        found |= {os.path.join(folder, n) for n in [*folders, *names] if "reclaim" in n}
    return {f for f in found if not f.endswith(("reclaim-test.service", "/reclaim_test"))}


def install(path):
    return run("dpkg", "--install", path, check=False, timeout=300)


def state():
    return run("systemctl", "is-active", UNIT, check=False).stdout.strip()


def failed_units():
    return run("systemctl", "--failed", "--no-legend", "--plain", "--no-pager")


def the_service(tap, what):
    """Runs, answers on its own socket and on the bus, and may be asked for by name."""
    tap.check(wait_for(lambda: state() == "active", 60), f"{what}: the service runs: {state()}",
              run("systemctl", "status", "--no-pager", UNIT, check=False).stdout)
    done = run(CTL, "--json", "status", check=False)
    tap.check(done.returncode == 0 and json.loads(done.stdout), f"{what}: reclaimctl status asks it", done.stderr)
    bus = wait_for(lambda: run("busctl", "introspect", "org.reclaim1", "/org/reclaim1", check=False), 60)
    tap.check(bus.returncode == 0 and "org.reclaim1.Manager" in bus.stdout, f"{what}: it is on the bus", bus.stderr)
    tap.check(not failed_units(), f"{what}: no unit has failed", failed_units())


def version(package):
    return run("dpkg-query", "-W", "-f", "${Version}", package)


def main():
    old, new = sorted(Path("/tests").glob("reclaimd_*.deb"))
    with Tap() as tap:
        before = files()
        comment(f"before: {sorted(before)}")

        done = install(old)
        tap.check(done.returncode == 0, "an older package is installed", done.stdout, done.stderr)
        tap.check(show(UNIT, "UnitFileState") == "enabled", "the service is enabled")
        the_service(tap, "installed")
        pid, segments = main_pid(UNIT), wait_for(lambda: list(HISTORY.glob("ledger-*")), 60)
        tap.check(bool(segments), "it writes a history")

        done = install(new)
        tap.check(done.returncode == 0, "it is upgraded", done.stdout, done.stderr)
        the_service(tap, "upgraded")
        tap.check(main_pid(UNIT) != pid, "another process now")
        tap.check(version("reclaimd") in run("/usr/sbin/reclaimd", "--version"), "of the new version")
        tap.check(all(s.exists() for s in segments), "with the same history")
        starts = [e for e in journal(f"_SYSTEMD_UNIT={UNIT}") if e.get("RECLAIM_KIND") == "start"]
        tap.check(len(starts) == 2, f"the journal has two starts: {len(starts)}")

        done = run("dpkg", "--remove", "reclaimd", check=False, timeout=300)
        tap.check(done.returncode == 0 and state() != "active", f"removed, it has stopped: {state()}", done.stderr)
        tap.check(all(s.exists() for s in segments), "its history is kept")
        left = [p for p in os.listdir("/proc") if p.isdigit() and re.match("reclaim(d|-worker|-reader)", comm(p))]
        tap.check(not left, "no process of it is left", left)

        done = run("dpkg", "--purge", "reclaimd", check=False, timeout=300)
        tap.check(done.returncode == 0, "it is purged", done.stdout, done.stderr)
        run("systemctl", "daemon-reload")
        tap.check(files() <= before, "no file is left", *sorted(files() - before))
        tap.check(not failed_units(), "no unit has failed", failed_units())
        units = run("systemctl", "list-units", "--all", "--no-legend", "--plain", "reclaim[d-]*", "--no-pager")
        tap.check(not [u for u in units.splitlines() if "reclaim-test" not in u], "no unit is left", units)


def comm(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


main()
