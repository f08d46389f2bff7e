#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One client of a subject: asks again and again, one request at a time, checks every answer, and notes when each came
and how long it took.

usage: client.py PROTOCOL ADDRESS --seed=N --samples=FILE

Says "ready" when all is filled in, asks from then on until SIGTERM, looks once more at all that should be there, and
prints a line of JSON: requests, what was wrong. PROTOCOL is a class of asking.py."""

import argparse
import ctypes
import gc
import json
import signal
import sys
import time
from array import array
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).resolve().parent)]
import asking  # noqa: E402

WRONG_MAX = 20
PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h


class Client:
    def __init__(self, args):
        self.protocol = asking.PROTOCOLS[args.protocol](args.address, args.seed)
        self.path, self.samples, self.wrong, self.ended = args.samples, array("Q"), [], False
        signal.signal(signal.SIGTERM, self.end)

    def end(self, *_):
        self.ended = True

    def run(self):
        self.protocol.fill()
        print("ready", flush=True)
        gc.freeze()
        gc.disable()
        request, clock, samples = self.protocol.request, time.monotonic_ns, self.samples
        while not self.ended and len(self.wrong) < WRONG_MAX:
            began = clock()
            try:
                request()
            except asking.Wrong as e:
                self.wrong.append(str(e)[:300])
            now = clock()
            samples.append(now)
            samples.append(now - began)
        self.protocol.finish()

    def report(self):
        self.path.write_bytes(self.samples.tobytes())
        print(json.dumps({"requests": len(self.samples) // 2, "wrong": self.wrong}), flush=True)


def main(argv):
    p = argparse.ArgumentParser()
    p.add_argument("protocol", choices=asking.PROTOCOLS)
    p.add_argument("address")
    p.add_argument("--seed", type=int, required=True)
    p.add_argument("--samples", type=Path, required=True)
    client = Client(p.parse_args(argv))
    # Nobody would end it, and it would keep what it asks busy.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        client.run()
    except (asking.Wrong, OSError, ValueError) as e:
        client.wrong.append(f"{type(e).__name__}: {e}"[:300])
    client.report()
    return 1 if client.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
