# SPDX-License-Identifier: GPL-2.0-or-later
"""Talks to reclaim-worker directly (include/reclaim/worker.h), for what reclaimctl never sends."""

import os
import signal
import socket
import struct
from collections import namedtuple

import judge

MAGIC, VERSION = 0x726C636D, 3
WORKER_FD = 3
TRIM, COLD, PAGEOUT = 1 << 1, 1 << 3, 1 << 4
DRY_RUN, FORCE = 1, 2
EXPLAIN = 1  # an op
RECLAIMED, NOTHING, REFUSED, FAILED, TIMEOUT, DENIED, GONE, WOULD = range(1, 9)
REQUEST = struct.Struct("<IIiIQIIQQIIIIQQQQ4096s")
ANY = 2**32 - 1
UNKNOWN, AGES, QUIET = range(3)  # how idle memory is known
HEAD = struct.Struct("<IIiIQQQqQII256s256s")
STEP = struct.Struct("<IIQqqqQQQ256s")
RESULT_SIZE = HEAD.size + 8 * STEP.size

Result = namedtuple("Result", "magic version pid outcome start_time rss_before rss_after freed stopped_us_max nsteps "
                              "comm reason steps")
Step = namedtuple("Step", "remedy has_predicted predicted freed swapped zeroes stopped_us duration_us call_us detail")


def request(pid, magic=MAGIC, version=VERSION, flags=0, start_time=0, remedies=TRIM, timeout_us=2000000,
            max_stop_us=0, owner=ANY, op=0, reserved=0, idle=UNKNOWN, ranges=(), idle_us=0, cpu_ticks=0, max_bytes=0,
            swap_keep=0):
    """@ranges: pairs of addresses, of what has been idle."""
    return REQUEST.pack(magic, version, pid, flags, start_time, remedies, op, timeout_us, max_stop_us, owner, reserved,
                        idle, len(ranges), idle_us, cpu_ticks, max_bytes, swap_keep,
                        b"".join(struct.pack("<QQ", *r) for r in ranges[:256]))


class Worker:
    """One worker in its own process group."""

    def __init__(self, message, env=None, argv=(judge.WORKER,)):
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket = mine
        self.status = None
        # posix_spawn, because only here the number of the descriptor can be chosen
        self.pid = os.posix_spawnp(argv[0], [*map(str, argv)], {**os.environ, **(env or {})}, file_actions=[
            (os.POSIX_SPAWN_DUP2, its.fileno(), WORKER_FD),
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1)], setpgroup=0)
        its.close()
        if message is not None:
            try:
                mine.send(message)
            except BrokenPipeError:
                pass  # it has died already, which who waits for its answer sees

    def poll(self):
        """Its exit status (negative: killed by that signal), or None."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def wait(self, timeout=20):
        judge.wait_for("the worker's end", timeout, lambda: self.poll() is not None)
        return self.status

    def result(self, timeout=20):
        """The one result, or None when it ended without."""
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        assert len(data) == RESULT_SIZE, len(data)
        got = HEAD.unpack_from(data)
        text = [t.split(b"\0")[0].decode(errors="replace") for t in got[-2:]]
        steps = [Step(*STEP.unpack_from(data, HEAD.size + i * STEP.size)) for i in range(got[9])]
        return Result(*got[:10], *text, [s._replace(detail=s.detail.split(b"\0")[0].decode(errors="replace"))
                                         for s in steps])

    def head(self, timeout=20):
        """Of an explanation: pid and outcome."""
        self.socket.settimeout(timeout)
        return struct.unpack_from("<IIiI", self.socket.recv(65536))[2:]

    def kill(self, group=True):
        """kill -9, the whole group or only the first process."""
        try:
            if group:
                os.killpg(self.pid, signal.SIGKILL)
            elif self.poll() is None:
                os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self):
        self.kill()
        self.wait()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
