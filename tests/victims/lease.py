#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""For leases of the GIL: threads that fill one buffer and look at it, each time
in a single step under the GIL; and sleepers to be borrowed. Whoever writes into
the buffer without holding the GIL, or writes half of it, is found out.

usage: lease.py SHM   (a file of a page, see the offsets below)"""

import ctypes
import mmap
import os
import signal
import struct
import sys
import threading
import time

ERRORS, STOP, WAKES, TURNS, LONGEST_US = range(0, 40, 8)
NOTE = 256
HALF = 4096
PR_SET_PDEATHSIG = 1

with open(sys.argv[1], "r+b") as f:
    shm = mmap.mmap(f.fileno(), 4096)
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

buf = bytearray(2 * HALF)
pages = mmap.mmap(-1, 16 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
pages.write(b"\xa5" * len(pages))


def address(of, size):
    return ctypes.addressof((ctypes.c_char * size).from_buffer(of))


def function(name):
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value


def libc_code():
    """Addresses of __restore_rt, and of a system call that returns."""
    with open("/proc/self/maps", encoding="ascii") as maps:
        for line in maps:
            if "/libc" in line and " r-xp " in line:
                lo, hi = (int(x, 16) for x in line.split()[0].split("-"))
                text = ctypes.string_at(lo, hi - lo)
                return (lo + text.index(b"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"), lo + text.index(b"\x0f\x05\xc3"))
    raise RuntimeError("no libc")


def get(at):
    return struct.unpack_from("<Q", shm, at)[0]


def put(at, value):
    struct.pack_into("<Q", shm, at, value)


def complain(text):
    put(ERRORS, get(ERRORS) + 1)
    shm[NOTE:NOTE + 256] = text.encode()[:255].ljust(256, b"\0")


def look():
    seen = bytes(buf)  # one step
    if seen[:HALF] != seen[HALF:] or seen.count(seen[0]) != len(seen):
        complain(f"torn: {seen[0]} {seen[HALF - 1]} {seen[HALF]} {seen[-1]}")


def churn(n):
    k = n
    while not get(STOP):
        before = time.monotonic()
        for _ in range(50):
            k = (k + 3) % 251
            buf[:] = bytes([k]) * len(buf)  # one step
            look()
            junk = [str(i) for i in range(20)]
        if len(junk) != 20 or junk[7] != "7":
            complain("junk")
        us = int((time.monotonic() - before) * 1e6)
        if us > get(LONGEST_US):
            put(LONGEST_US, us)
        put(TURNS + 64 + 8 * n, get(TURNS + 64 + 8 * n) + 1)


def sleeper(fd):
    while not get(STOP):
        try:
            if os.read(fd, 1) != b"x":
                complain("read")
        except OSError as e:
            complain(f"read: {e}")
        put(WAKES, get(WAKES) + 1)
        look()


def main():
    r, w = os.pipe()
    threads = [threading.Thread(target=churn, args=(n,)) for n in range(2)]
    asleep = threading.Thread(target=sleeper, args=(r,))
    for t in [*threads, asleep]:
        t.start()
    print(*libc_code(), function("PyGILState_Ensure"), function("PyGILState_Release"), address(buf, len(buf)),
          address(pages, len(pages)), asleep.native_id, flush=True)
    while not get(STOP):
        time.sleep(0.003)
        os.write(w, b"x")
    os.write(w, b"x")
    for t in [*threads, asleep]:
        t.join()
    sys.exit(1 if get(ERRORS) else 0)


main()
