#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the planner and what a Python loads to be purged, and starts both.

usage: tests/purge/launch.py [--python=PATH] [--chroot=DIR] SCRIPT [ARG...]

For the Pythons and the long runs that the live tests have no time for; SCRIPT is churn.py, seed.py or cycles.py.
RECLAIM_BUILD names the build folder whose archives are linked.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
BUILD = Path(os.environ.get("RECLAIM_BUILD", TOP / "build"))

BOOT = """import sys, types
m = types.ModuleType("purger")
exec(open("/proc/self/fd/%d").read(), m.__dict__)
sys.modules["purger"] = m
sys.argv = ["%s"] + sys.argv[1:]
exec(compile(open("/proc/self/fd/%d").read(), "%s", "exec"))
"""


def build(into):
    """The planner is linked with the archives' own flags; the library must load into any Python."""
    flags = shlex.split((BUILD / ".flags").read_text(encoding="utf-8"))
    plan, lib = Path(into) / "plan", Path(into) / "apply.so"
    subprocess.run([*flags, "-o", plan, HERE / "plan.c", BUILD / "inspect.a", BUILD / "base.a", "-ldw", "-lelf"],
                   cwd=TOP, check=True)
    subprocess.run([flags[0], "-std=gnu11", "-Wall", "-Wextra", "-O2", "-fPIC", "-shared", "-D_GNU_SOURCE", "-o", lib,
                    HERE / "apply.c"], check=True)
    return plan, lib


class Pair:
    """A Python that runs @script, and its planner. Files are handed over open: a chroot need not hold them."""

    def __init__(self, tools, script, *args, python="/usr/bin/python3", chroot=None, env=None, stdout=None):
        plan, lib = tools
        to_python, from_plan = os.pipe()
        to_plan, from_python = os.pipe()
        fds = [os.open(p, os.O_RDONLY) for p in (lib, HERE / "purger.py", HERE / script)]
        purge = f"PURGE={to_python}:{from_python}:/proc/self/fd/{fds[0]}"
        argv = [python, "-c", BOOT % (fds[1], script, fds[2], script), *map(str, args)]
        if chroot:
            argv = [TOP / "scripts/chroot", "run", chroot, "/usr/bin/env", purge, *argv]
        name, value = purge.split("=", 1)
        self.python = subprocess.Popen(argv, env={**os.environ, name: value, **(env or {})}, text=True, stdout=stdout,
                                       stderr=subprocess.DEVNULL if stdout else None,
                                       pass_fds=[to_python, from_python, *fds])
        self.plan = subprocess.Popen([plan, str(self.python.pid)], stdin=to_plan, stdout=from_plan)
        for fd in (to_python, from_plan, to_plan, from_python, *fds):
            os.close(fd)

    def finish(self, timeout=None):
        """(status of the Python, of the planner, the Python's output)"""
        try:
            out = self.python.communicate(timeout=timeout)[0]
            return self.python.returncode, self.plan.wait(10), out
        finally:
            for p in (self.python, self.plan):
                if p.poll() is None:
                    p.kill()
                    p.wait()


def main(argv):
    how = {}
    while argv and argv[0].startswith("--"):
        name, _, value = argv.pop(0)[2:].partition("=")
        how[name] = value
    if not argv or not set(how) <= {"python", "chroot"}:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="reclaim-purge-") as tmp:
        status, planner, _ = Pair(build(tmp), *argv, **how).finish()
    return status or planner


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
