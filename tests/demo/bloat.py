# SPDX-License-Identifier: GPL-2.0-or-later
"""A Python program that bloats as long-lived services do.

It reads a big batch of records, keeps one in many, and drops the rest. The
payloads are larger than the 512 bytes up to which Python has an allocator of
its own, so they come from the C library's heap; the small strings and the
dicts around them don't.

It answers one-line commands on its standard input, and ends when that is
closed. Each payload can be made again from its record's number, so that a
byte changed by someone else is noticed.

    bloat.py [records [keep]]
"""

import gc
import hashlib
import json
import os
import sys


def payload(number):
    seed = hashlib.sha256(b"%d" % number).digest()
    size = 600 + int.from_bytes(seed[:4], "little") % 3401
    return (seed * (size // len(seed) + 1))[:size]


def record(number):
    return {"number": number, "name": f"customer-{number:08d}", "payload": payload(number)}


def check(kept):
    for number, entry in kept.items():
        if entry != record(number):
            return f"bad record {number} is damaged"
    return f"ok {len(kept)} records intact"


def work(_kept):
    """Ordinary work after the trim: build, encode, decode, compare, drop."""
    batch = [{**record(n), "payload": payload(n).hex()} for n in range(2000)]
    if json.loads(json.dumps(batch)) != batch:
        return "bad result"
    return f"ok {len(batch)} new records built and compared"


def main():
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 150000
    keep = int(sys.argv[2]) if len(sys.argv) > 2 else 500

    batch = [record(n) for n in range(records)]
    kept = {entry["number"]: entry for entry in batch if entry["number"] % keep == keep // 2}
    expected = len(kept)
    del batch
    # What can be had from inside is had already.
    gc.collect()

    commands = {"check": check, "work": work}
    print("ready", flush=True)
    while line := os.read(0, 64):
        command = commands.get(line.decode().strip())
        answer = command(kept) if command else "bad unknown command"
        if len(kept) != expected:
            answer = f"bad {len(kept)} records instead of {expected}"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
