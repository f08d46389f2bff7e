#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An asyncio server with bloated heap, timers and signal handlers, that checks itself.

A request is one line, "N TEXT"; the answer is one line with N, the length, and a
checksum of TEXT. SIGUSR1 is counted; SIGTERM makes it check everything and end,
with 0 when nothing was wrong. What it has to report goes to stdout as lines.
"""

import asyncio
import os
import signal
import sys
import time
import zlib

KEEP_EVERY = 500
errors = []
counts = {"requests": 0, "ticks": 0, "signals": 0, "late": 0}


def bloat(n):
    """Byte strings over 512 bytes come from malloc, not from Python's own pools."""
    everything = [(b"%d" % i).ljust(600 + i % 3000, b".") for i in range(n)]
    kept = everything[::KEEP_EVERY]
    del everything
    return kept


def intact(kept):
    return all(b == (b"%d" % (i * KEEP_EVERY)).ljust(600 + i * KEEP_EVERY % 3000, b".") for i, b in enumerate(kept))


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            number, _, text = line.rstrip(b"\n").partition(b" ")
            garbage = [bytes(700 + i) for i in range(50)]  # work for malloc
            writer.write(b"%s %d %d\n" % (number, len(text), zlib.crc32(text)))
            await writer.drain()
            counts["requests"] += 1
            del garbage
    except ConnectionResetError:
        pass
    except OSError as e:  # an EINTR, say
        errors.append(f"connection: {e!r}")
    finally:
        writer.close()


async def tick():
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.01)
        counts["ticks"] += 1
        took = time.monotonic() - began
        if took < 0.0099:
            errors.append(f"sleep(0.01) took {took}")
        counts["late"] = max(counts["late"], int(took * 1e6))


async def rebloat(every):
    while every:
        await asyncio.sleep(every)
        bloat(3000)


async def main(path, size, every):
    kept = bloat(size)
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: errors.append(repr(context)))
    loop.add_signal_handler(signal.SIGUSR1, lambda: counts.__setitem__("signals", counts["signals"] + 1))
    loop.add_signal_handler(signal.SIGTERM, end.set)
    server = await asyncio.start_unix_server(serve, path)
    tasks = [asyncio.create_task(tick()), asyncio.create_task(rebloat(every))]
    print(f"ready {os.getpid()}", flush=True)
    async with server:
        await end.wait()
    for t in tasks:
        if t.done():
            errors.append(f"a task ended: {t.exception()!r}")
        t.cancel()
    if not intact(kept):
        errors.append("kept data is damaged")
    print(" ".join(f"{k}={v}" for k, v in counts.items()), flush=True)
    for e in errors:
        print(f"error {e}", flush=True)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
