#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A file system that answers as long as it wants to: one file, "f", served from memory through /dev/fuse.

usage: fusefs.py [--other] [--sync] [--locks] SOURCE MOUNTPOINT PROGRAM ARGUMENT...

Mounts itself, starts PROGRAM ("{}" is the file) and writes its pid. Commands on stdin: "hang WORD...", from
then on requests of these kinds get no answer (read, open, getattr, lookup, lock, all) and nothing that was read
before is remembered (a number among the words: of the file from there on, and a second one: up to there; reads of
the rest are answered); "held", which says how many wait; "answer", which answers all of them and hangs no more. At the end of
stdin it ends, and the kernel fails whatever waits. --other lets other users in, which is what root needs.
--sync: pages are read in calls that wait inside of the file system instead of for a locked page. --locks: flock() is
asked of it, and always granted. Exit status 77: here it may mount nothing.
"""

import ctypes
import errno
import os
import select
import signal
import stat
import struct
import sys
import threading
import time

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 17, 18, 25, 26
OPENDIR, RELEASEDIR, SETLK, SETLKW, ACCESS, INTERRUPT, BATCH_FORGET = 27, 29, 32, 33, 34, 36, 42
KINDS = {"lookup": LOOKUP, "getattr": GETATTR, "open": OPEN, "read": READ, "lock": SETLKW}
ASYNC_READ, FLOCK_LOCKS = 1, 1 << 10
ROOT, FILE = 1, 2
PR_SET_PDEATHSIG = 1
FORGET_S, END_S = 1, 10
REFUSED = 77

libc = ctypes.CDLL(None, use_errno=True)


class Server:
    def __init__(self, fd, content, flags):
        self.fd, self.content, self.hung, self.held, self.waiting = fd, content, set(), 0, []
        self.part = (0, 1 << 62)
        self.forgets = None
        self.flags = (0 if "--sync" in flags else ASYNC_READ) | (FLOCK_LOCKS if "--locks" in flags else 0)

    def attributes(self, node):
        mode, size = (stat.S_IFDIR | 0o755, 0) if node == ROOT else (stat.S_IFREG | 0o755, len(self.content))
        return struct.pack("<6Q10I", node, size, (size + 511) // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def valid(self):
        """For how many seconds the kernel may remember: not at all once it shall ask."""
        return 0 if self.hung & {GETATTR, LOOKUP} else 3600

    def answer(self, op, node, body):
        """Bytes, or a negative errno."""
        if op == INIT:
            return struct.pack("<4I2H2I2H8I", 7, 31, 65536, self.flags, 16, 12, 65536, 1, 1, 0, *[0] * 8)
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
        return b"" if op in (FLUSH, RELEASE, RELEASEDIR, ACCESS, SETLK, SETLKW) else -errno.ENOSYS

    def serve(self):
        request = os.read(self.fd, 1 << 20)
        op, unique, node = struct.unpack_from("<IQQ", request, 4)
        if op in (FORGET, BATCH_FORGET, INTERRUPT):
            return
        rest = op == READ and not self.part[0] <= struct.unpack_from("<QQI", request, 40)[1] < self.part[1]
        if op in self.hung and not rest:
            self.held += 1
            self.waiting.append((op, unique, node, request[40:]))
        else:
            self.reply(op, unique, node, request[40:])

    def reply(self, op, unique, node, body):
        got = self.answer(op, node, body)
        body, error = (b"", got) if isinstance(got, int) else (got, 0)
        try:
            os.write(self.fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
        except FileNotFoundError:
            pass  # who asked has been interrupted

    def answer_all(self):
        self.hung.clear()
        while self.waiting:
            self.reply(*self.waiting.pop())

    def invalidate(self):
        # FUSE_NOTIFY_INVAL_INODE (2) of all pages, mapped ones too; a length of 0: to the end
        start, end = self.part
        try:
            os.write(self.fd, struct.pack("<IiQQqq", 40, 2, 0, FILE, start, end - start if end < 1 << 62 else 0))
        except FileNotFoundError:
            pass  # nobody has asked for it yet

    def forget(self):
        """That waits for who reads a page at the moment, and he for us: if we don't answer he hangs already, as he
        shall."""
        self.forgets = threading.Thread(target=self.invalidate)
        self.forgets.start()
        self.serve_until(time.monotonic() + FORGET_S)

    def serve_until(self, until):
        while self.forgets.is_alive() and time.monotonic() < until:
            if select.select([self.fd], [], [], 0.002)[0]:
                self.serve()

    def end(self):
        """Nobody can end a process that still waits there."""
        if self.forgets and self.forgets.is_alive():
            self.answer_all()
            self.serve_until(time.monotonic() + END_S)

    def obey(self, words):
        if words[0] == "hang":
            kinds = KINDS if "all" in words else [w for w in words[1:] if w in KINDS]
            self.hung |= {KINDS[k] for k in kinds}
            numbers = [int(w) for w in words if w.isdigit()]
            self.part = (*numbers, *(0, 1 << 62)[len(numbers):])
            self.forget()
            print("ok", flush=True)
        elif words[0] == "held":
            print(self.held, flush=True)
        elif words[0] == "answer":
            self.answer_all()
            print("ok", flush=True)


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


def refused(error):
    print(error, file=sys.stderr)
    sys.exit(REFUSED)


def main(argv):
    flags = {a for a in argv if a in ("--other", "--sync", "--locks")}
    source, place, *program = [a for a in argv if a not in flags]
    try:
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        refused(e)
    with open(source, "rb") as f:
        server = Server(fd, f.read(), flags)
    try:
        mount(fd, place, "--other" in flags)
    except PermissionError as e:
        refused(e)
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
                server.end()
                return
            commands += got
            while b"\n" in commands:
                line, _, commands = commands.partition(b"\n")
                server.obey(line.decode().split())


main(sys.argv[1:])
