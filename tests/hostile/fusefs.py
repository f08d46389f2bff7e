#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A file system that answers as long as it wants to: one file, "f", served from memory through /dev/fuse.

usage: fusefs.py [--other] [--sync] SOURCE MOUNTPOINT PROGRAM ARGUMENT...

Mounts itself, starts PROGRAM ("{}" is the file) and writes its pid. Commands on stdin: "hang WORD...", from
then on requests of these kinds get no answer (read, open, getattr, lookup, all) and nothing that was read before
is remembered; "held", which says how many wait. At the end of stdin it ends, and the kernel fails whatever waits.
--other lets other users in, which is what root needs. --sync: pages are read in calls that wait inside of the
file system instead of for a locked page.
"""

import ctypes
import errno
import os
import select
import signal
import stat
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 17, 18, 25, 26
OPENDIR, RELEASEDIR, ACCESS, INTERRUPT, BATCH_FORGET = 27, 29, 34, 36, 42
KINDS = {"lookup": LOOKUP, "getattr": GETATTR, "open": OPEN, "read": READ}
ASYNC_READ = 1
ROOT, FILE = 1, 2
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


class Server:
    def __init__(self, fd, content, sync):
        self.fd, self.content, self.sync, self.hung, self.held = fd, content, sync, set(), 0

    def attributes(self, node):
        mode, size = (stat.S_IFDIR | 0o755, 0) if node == ROOT else (stat.S_IFREG | 0o755, len(self.content))
        return struct.pack("<6Q10I", node, size, (size + 511) // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def valid(self):
        """For how many seconds the kernel may remember: not at all once it shall ask."""
        return 0 if self.hung & {GETATTR, LOOKUP} else 3600

    def answer(self, op, node, body):
        """Bytes, or a negative errno."""
        if op == INIT:
            return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0 if self.sync else ASYNC_READ, 16, 12, 65536, 1, 1, 0,
                               *[0] * 8)
        if op == LOOKUP:
            if body.rstrip(b"\0") != b"f":
                return -errno.ENOENT
            return struct.pack("<4Q2I", FILE, 0, self.valid(), self.valid(), 0, 0) + self.attributes(FILE)
        if op == GETATTR:
            return struct.pack("<Q2I", self.valid(), 0, 0) + self.attributes(node)
        if op in (OPEN, OPENDIR):
            return struct.pack("<Q2I", 0, 0, 0)
        if op == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return self.content[offset:offset + size]
        if op == STATFS:
            return struct.pack("<5Q10I", 0, 0, 0, 0, 0, 4096, 255, 4096, 0, *[0] * 6)
        return b"" if op in (FLUSH, RELEASE, RELEASEDIR, ACCESS) else -errno.ENOSYS

    def serve(self):
        request = os.read(self.fd, 1 << 20)
        op, unique, node = struct.unpack_from("<IQQ", request, 4)
        if op in (FORGET, BATCH_FORGET, INTERRUPT):
            return
        if op in self.hung:
            self.held += 1
            return
        got = self.answer(op, node, request[40:])
        body, error = (b"", got) if isinstance(got, int) else (got, 0)
        try:
            os.write(self.fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
        except FileNotFoundError:
            pass  # who asked has been interrupted

    def obey(self, words):
        if words[0] == "hang":
            kinds = KINDS if "all" in words else words[1:]
            self.hung |= {KINDS[k] for k in kinds}
            # FUSE_NOTIFY_INVAL_INODE (2) of all pages, mapped ones too
            os.write(self.fd, struct.pack("<IiQQqq", 40, 2, 0, FILE, 0, 0))
            print("ok", flush=True)
        elif words[0] == "held":
            print(self.held, flush=True)


def mount(fd, place, other):
    options = f"fd={fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}" + (",allow_other" if other else "")
    if libc.mount(b"reclaim-test", place.encode(), b"fuse", 2 | 4, options.encode()):
        raise OSError(ctypes.get_errno(), "mount", place)


def start(argv):
    """Not by vfork(): the program may be on this very file system, which only we can serve."""
    parent = os.getpid()
    silent, _ = os.pipe()  # of which nothing ever comes
    pid = os.fork()
    if pid:
        return pid
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            null = os.open("/dev/null", os.O_RDWR)
            os.dup2(silent, 0)
            for fd in (1, 2):
                os.dup2(null, fd)
            os.execv(argv[0], argv)
    finally:
        os._exit(99)


def main(argv):
    flags = {a for a in argv if a in ("--other", "--sync")}
    source, place, *program = [a for a in argv if a not in flags]
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    with open(source, "rb") as f:
        server = Server(fd, f.read(), "--sync" in flags)
    mount(fd, place, "--other" in flags)
    server.serve()
    print(start([a.replace("{}", f"{place}/f") for a in program]), flush=True)
    commands = b""
    while True:
        ready, _, _ = select.select([fd, 0], [], [])
        if fd in ready:
            server.serve()
        if 0 in ready:
            got = os.read(0, 4096)
            if not got:
                return
            commands += got
            while b"\n" in commands:
                line, _, commands = commands.partition(b"\n")
                server.obey(line.decode().split())


main(sys.argv[1:])
