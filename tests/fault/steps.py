# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of tests/fault/steps.h: which step of a worker is to fail, and what came of it."""

import errno
import mmap
import os
import struct
import tempfile

NAME, NAMES, MOST = 32, 64, 262144
HEAD = struct.Struct("<Q2IIIiIII")
HELD = struct.Struct("<I"), HEAD.size - 8
ROLES = ("injector", "reader")
WAYS = HEAD.size + len(ROLES) * NAMES * 4  # after how often each name came
TEXT = WAYS + NAMES
SIZE = TEXT + NAMES * NAME + len(ROLES) * MOST
# A worker that ends or waits there does it to the target as before the next call to the kernel.
INWARD = {"malloc", "calloc", "realloc", "reallocarray", "strdup"}
# What a target may be said to be, or not to allow, only where the kernel has said so.
GONE = {errno.ESRCH, errno.ECHILD, errno.ENOENT}
MEMORY = ("pread", "pread_mem", "pwrite")  # EIO: it isn't mapped any more
BARRED = {errno.EPERM, errno.EACCES}


class Steps:
    """One for each worker at a time."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="reclaim-steps-", dir="/dev/shm")
        os.ftruncate(self.file.fileno(), SIZE)
        self.map = mmap.mmap(self.file.fileno(), SIZE)

    def env(self, role=None, k=0, kind=None, hold=None):
        """Forgets the last worker; the environment of the next. @k: a number, or CALL@NUMBER."""
        self.map[:WAYS] = bytes(WAYS)
        env = {"RECLAIM_STEPS": self.file.name}
        if hold:
            env["RECLAIM_STEP_HOLD"] = hold
        if role:
            env["RECLAIM_STEP"] = f"{role}:{k}:{kind}"
        return env

    def head(self):
        head = HEAD.unpack_from(self.map, 0)
        assert head[0], "the worker counted no steps: is this the fault build?"
        return head

    def count(self, role):
        return min(self.head()[1 + ROLES.index(role)], MOST)

    @property
    def fired(self):
        return bool(self.head()[3])

    @property
    def ways(self):
        return self.head()[4]

    @property
    def error(self):
        """What the step was told; 0: a count that was too short."""
        return self.head()[5]

    def ways_of(self, call):
        """In how many ways it can fail, reached or not."""
        return self.map[WAYS + next(i for i in range(NAMES) if self.name(i) == call)]

    def name(self, i):
        at = TEXT + i * NAME
        return self.map[at:at + NAME].split(b"\0")[0].decode()

    @property
    def call(self):
        return self.name(self.head()[6])

    def calls(self, role):
        """The names of all steps of @role, in order."""
        at = TEXT + NAMES * NAME + ROLES.index(role) * MOST
        names = [self.name(i) for i in range(NAMES)]
        return [names[i] for i in self.map[at:at + self.count(role)]]

    @property
    def held(self):
        """Does it wait for us, at the step that it was to hold at?"""
        form, at = HELD
        return form.unpack_from(self.map, at)[0] == 1

    def go_on(self):
        form, at = HELD
        form.pack_into(self.map, at, 2)

    def close(self):
        self.map.close()
        self.file.close()
