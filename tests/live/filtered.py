#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a command under a seccomp filter, as a container's runtime does: some system calls fail, or kill.

usage: filtered.py ANSWER CALL[,CALL...] COMMAND...

ANSWER: the name of an errno, or "kill". CALL: its number; NUMBER:I=VALUE only with that I-th argument, from 0."""

import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
KILL_PROCESS, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000


def program(answer, calls):
    """The filter's instructions: struct sock_filter, one behind the other. struct seccomp_data has the number of the call
    at 0 and the arguments from 16 on, 8 bytes each."""
    code = []
    for nr, _, argument in (call.partition(":") for call in calls):
        which, _, value = argument.partition("=")
        code += [(LOAD, 0, 0, 0), (EQUAL, 0, 3 if argument else 1, int(nr))]
        code += [(LOAD, 0, 0, 16 + 8 * int(which)), (EQUAL, 0, 1, int(value))] if argument else []
        code += [(RETURN, 0, 0, answer)]
    code += [(RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *insn) for insn in code)


def main(answer, calls, *command):
    code = program(KILL_PROCESS if answer == "kill" else ERRNO | getattr(errno, answer), calls.split(","))
    place = ctypes.create_string_buffer(code, len(code))
    prog = struct.pack("@HP", len(code) // 8, ctypes.addressof(place))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, prog, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
