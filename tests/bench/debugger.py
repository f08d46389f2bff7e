# SPDX-License-Identifier: GPL-2.0-or-later
"""A debugger that is able to call a function of a program on this machine.

gdb 13 can't on processors with AMX: what it writes back of their registers is too short for the kernel. A newer one can.
It comes in another Debian's folder and runs from there with its own loader and libraries, not in a chroot: that would be
a part of its time.
"""

import subprocess
import sys
from pathlib import Path

from measure import Failure
from subjects import GDB, GDB_BARE

SUITE = "trixie"
CHROOT = Path(__file__).resolve().parents[2] / "scripts/chroot"


def _newer(build):
    """How it is called, from the folder that it is fetched into."""
    folder = Path(build, "chroot/gdb").absolute()
    try:
        subprocess.run([CHROOT, "create", SUITE, str(folder), "gdb"], check=True, stdout=sys.stderr, timeout=900)
    except (subprocess.SubprocessError, OSError) as error:
        raise Failure(f"no newer gdb could be fetched: {error}") from error
    libraries = f"{folder}/usr/lib/x86_64-linux-gnu"
    return ["env", f"PYTHONHOME={folder}/usr", f"{folder}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries,
            f"{folder}/usr/bin/gdb", f"--data-directory={folder}/usr/share/gdb"]


def ensure(bench):
    """The machine's own where it can, else the newer one, for all who are measured with it. Says which, or why none."""
    if bench.gdb_calls():
        return
    why = bench.gdb_fails
    try:
        program = _newer(bench.build)
    except Failure as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return
    for argv in (GDB, GDB_BARE):
        argv[:1] = program
    bench.gdb_fails = None
    if not bench.gdb_calls():
        bench.gdb_fails = f"{why}; a newer gdb neither: {bench.gdb_fails}"
        for argv in (GDB, GDB_BARE):
            argv[:len(program)] = ["gdb"]


def version_command():
    return [*GDB[:GDB.index("-nx")], "--version"]
