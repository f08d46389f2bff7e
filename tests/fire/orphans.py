#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a command in a session of its own and waits for all that it leaves behind, so that what those have used counts as
this process's, not as somebody else's. Ends as the command did.

usage: tests/fire/orphans.py COMMAND [ARGUMENT...]"""

import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36  # include/uapi/linux/prctl.h


def main(argv):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")
    # Not fork(): a copy of this Python would be trimmed as one of the command's.
    command, ended = os.posix_spawnp(argv[0], argv, os.environ, setsid=True), None
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return os.waitstatus_to_exitcode(ended) & 0xff
        if pid == command:
            ended = status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
