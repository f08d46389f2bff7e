# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF files that lie about themselves, mapped as libraries by a process of nobody's, or in the place of its
C library after the real one was loaded."""

import os
import random
import time
import traceback

import pytest

import elves
from hostile import (LIVES, LONG, NOBODY, SEED, Verdict, Whole, act, look, nothing_left, own_trim, purge, readers,
                     trim)

LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
NOISE = 300 if LONG else 20
CHANGES = ("written over", "cut off", "replaced")


def good():
    with open(LIBC, "rb") as f:
        return f.read()


def mapper(start, place, path):
    """A process that has @path mapped as a library is; it knows nothing of it."""
    v = start(None, argv=[place.program("forge"), "--how=modules", f"--file={path}", "--count=3",
                          f"--offset={elves.Elf(good()).text()}"], prefix=NOBODY)
    return v.wait_asleep()


def write(place, name, data):
    path = place.dir / name
    path.write_bytes(data)
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("name", elves.LIES)
def test_library(name, start, place, bystanders, capsys):
    """Mapped where a library's code is: it may well be taken for a second C library, which is refused."""
    verdict, before = Verdict(name, capsys), readers()
    v = mapper(start, place, write(place, "liar.so", elves.forge(name, good())))
    as_it_was = v.snapshot()
    look(verdict, v.pid)
    v.unharmed(as_it_was)
    t = act(verdict, v.pid)
    assert t.outcome in ("reclaimed", "nothing", "refused"), t
    v.unharmed(as_it_was)
    nothing_left(before)
    verdict.show()


@pytest.mark.parametrize("name", elves.LIES)
def test_c_library(name, start, place, bystanders, capsys):
    """Written over the very file that it runs on: what is mapped changes with it, as far as nobody has written there.
    A look doesn't harm it. What an act does to it, waking up and a malloc_trim() of its own does too."""
    verdict, before = Verdict(f"libc: {name}", capsys), readers()
    libc = write(place, "libc.so.6", good())
    libc.chmod(0o755)
    v, twin = [start(None, argv=[place.program("forge")], prefix=[*NOBODY, "env", f"LD_LIBRARY_PATH={place.dir}"])
               .wait_asleep() for _ in range(2)]
    whole = Whole(v)
    elves.write_over(libc, good(), elves.forge(name, good()))
    look(verdict, v.pid)
    whole.seen()
    own = own_trim(twin)
    # Where to wake up is death already we don't ask it how it is.
    purge(verdict, v, whole.check if own == LIVES else whole.seen)
    trim(verdict, v, whole, own)
    nothing_left(before)
    libc.unlink()
    verdict.show()


def change(how, mapped, place, path, data, chance):
    """In a child: the file that is mapped, or the one that has its name."""
    if how == "written over":
        at = chance.randrange(len(data)) & ~4095
        os.pwrite(mapped, data[at:at + 65536], at)
    elif how == "cut off":
        os.ftruncate(mapped, chance.choice((0, 4096, len(data))))
    else:
        os.replace(write(place, "new.so", data), path)


def in_a_child(work):
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def test_replaced_all_the_time(start, place, bystanders, capsys):
    """A library that is another one, or gone, each time it is looked at."""
    verdict, before, chance = Verdict("libraries replaced while read", capsys), readers(), random.Random(SEED)
    forged = [elves.forge(name, good()) for name in elves.LIES]
    path = write(place, "changing.so", good())
    mapped = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    v = mapper(start, place, path)
    end, n = time.monotonic() + (60 if LONG else 2), 0
    while time.monotonic() < end or n < len(CHANGES):
        how, data = CHANGES[n % len(CHANGES)], chance.choice(forged)
        pid = in_a_child(lambda: [change(how, mapped, place, path, data, chance) for _ in range(40)])
        look(verdict, v.pid)
        t = act(verdict, v.pid)
        assert os.waitpid(pid, 0)[1] == 0, f"it could not be {how}"
        assert t.outcome in ("reclaimed", "nothing", "refused"), t
        n += 1
        assert v.alive(), v.obituary()
    os.close(mapped)
    v.finish()
    verdict.said = [f"{n} times"]
    nothing_left(before)
    verdict.show()


def test_noise(start, place, capsys):
    """Bytes changed at random, mostly in the tables."""
    verdict, before, chance, data = Verdict("random bytes", capsys), readers(), random.Random(SEED), good()
    e = elves.Elf(data)
    tables = [s for s in e.sections() if s["size"] and s["offset"] + s["size"] <= len(data) and s["type"] != 1]
    path = write(place, "noise.so", data)
    v = mapper(start, place, path)
    with open(path, "r+b") as f:
        for _ in range(NOISE):
            for _ in range(chance.randint(1, 200)):
                s = chance.choice(tables)
                f.seek(chance.choice((chance.randrange(64), len(data) - 1 - chance.randrange(64 * 64),
                                      s["offset"] + chance.randrange(s["size"]))))
                f.write(bytes([chance.choice((0, 0xFF, 0x80, chance.randrange(256)))]))
            f.flush()
            look(verdict, v.pid)
            assert v.alive(), v.obituary()
    verdict.said = [f"{NOISE} times"]
    nothing_left(before)
    verdict.show()
