# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine is one: systemd is content, the bus and the journal work, there is PSI, and our module loads."""

import os
import sys
from pathlib import Path

from guest import CTL, Tap, journal, module_loaded, run


def main(without_module):
    with Tap() as tap:
        state = run("systemctl", "is-system-running", "--wait", check=False).stdout.strip()
        tap.check(state == "running", f"the system is running: {state}",
                  run("systemctl", "--failed", "--no-pager", check=False).stdout,
                  run("systemctl", "list-jobs", "--no-pager", check=False).stdout)
        tap.check("some avg10=" in Path("/proc/pressure/memory").read_text(), "PSI tells of memory")
        controllers = Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
        tap.check("memory" in controllers, f"cgroup v2 with memory: {controllers}")
        entries = journal("_PID=1")
        tap.check(any("Startup finished" in e.get("MESSAGE", "") for e in entries), "the journal has the start",
                  len(entries))
        tap.check("org.freedesktop.systemd1" in run("busctl", "list", "--acquired", "--no-legend"), "the bus works")
        tap.check("PolicyKit" in run("busctl", "introspect", "org.freedesktop.PolicyKit1",
                                     "/org/freedesktop/PolicyKit1/Authority", timeout=60), "polkit answers")
        if not without_module:
            run("modprobe", "reclaim")
            tap.check(module_loaded() and Path("/sys/kernel/reclaim/enabled").exists(), "the module is loaded")
        if os.path.exists(CTL):
            done = run(CTL, "ps", "--all", check=False)
            tap.check(done.returncode == 0 and "systemd" in done.stdout, "reclaimctl is installed and works",
                      done.stderr, done.stdout)


main("no-module" in sys.argv)
