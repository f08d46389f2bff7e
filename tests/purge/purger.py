# SPDX-License-Identifier: GPL-2.0-or-later
"""Inside of the program under test: asks for its own purge. Runs on Python 3.8 and later."""

import ctypes
import os

NAMES = ("rounds", "arenas", "torn", "resident", "touched", "lists_torn", "writes", "ranges", "values", "scan_us",
         "check_us_max", "check_us", "empty", "free_pools", "retired_pools", "unknown")
CAP = 1 << 62


class Ask(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("op", "deep")] + \
        [(n, ctypes.c_uint64) for n in ("reserve", "max_retired", "max_bytes")] + \
        [(n, ctypes.c_uint32) for n in ("max_writes", "max_ranges", "max_values", "max_reads")] + \
        [("budget_ns", ctypes.c_uint64), ("max_rounds", ctypes.c_uint32), ("pad", ctypes.c_uint32)]


class Round(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("last", "n_writes", "n_ranges", "n_values")] + \
        [("error", ctypes.c_int32), ("pad", ctypes.c_int32), ("figures", ctypes.c_uint64 * 16)]


class Purger:
    """Lists come from fd @inp, requests go to fd @out; @lib is apply.c, built."""

    def __init__(self, inp, out, lib):
        self.inp, self.out = inp, out
        self.lib = ctypes.PyDLL(lib)
        self.lib.purge.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.POINTER(Ask), ctypes.POINTER(Round), ctypes.c_int,
                                   ctypes.c_ulong]
        import sys
        self.pool = 4096 if sys.version_info < (3, 10) else 16384

    def ask(self, op, poison=0, **how):
        ask, got = Ask(op=op, **how), Round()
        r = self.lib.purge(self.inp, self.out, ctypes.byref(ask), ctypes.byref(got), poison, self.pool)
        if r or got.error:
            raise RuntimeError("purge: %d, planner: %d" % (r, got.error))
        return got

    def sweep(self, deep=False, reserve=0, max_retired=CAP, poison=False, **how):
        got = self.ask(0, int(poison), deep=int(deep), reserve=reserve, max_retired=max_retired, **how)
        return dict(zip(NAMES, got.figures))

    def predict(self, reserve=0, max_retired=CAP):
        got = self.ask(1, reserve=reserve, max_retired=max_retired)
        facts = dict(zip(NAMES, got.figures))
        return {"normal": got.figures[0], "deep": got.figures[1], "free_pools": facts["free_pools"],
                "retired_pools": facts["retired_pools"], "unknown": facts["unknown"]}


def from_environment():
    inp, out, lib = os.environ["PURGE"].split(":")
    return Purger(int(inp), int(out), lib)


def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096


def vsz():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * 4096
