# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF files that lie about themselves, mapped as libraries by a process of nobody's, or in the place of its
C library after the real one was loaded."""

import os
import random
import time

import pytest

import elves
import judge
from hostile import LONG, NOBODY, SEED, Verdict, act, let_go, look, nothing_left, readers

LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
NOISE = 300 if LONG else 20


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


@pytest.mark.parametrize("name", elves.LIES if LONG else list(elves.LIES)[::6])
def test_c_library(name, start, place, bystanders, capsys):
    """Written over the very file that it runs on: what is mapped changes with it, as far as nobody has written there.
    The program may die of that, as it would without us. We must not, nor take longer."""
    verdict, before = Verdict(f"libc: {name}", capsys), readers()
    libc = write(place, "libc.so.6", good())
    libc.chmod(0o755)
    v = start(None, argv=[place.program("forge")], prefix=[*NOBODY, "env", f"LD_LIBRARY_PATH={place.dir}"])
    v.wait_asleep()
    forged = elves.forge(name, good())
    with open(libc, "r+b") as f:
        # The code stays: a thread asleep in it has to come home.
        for at in (0, len(forged) - 262144):
            f.seek(max(at, 0))
            f.write(forged[max(at, 0):at + 4096 if not at else None])
    look(verdict, v.pid)
    act(verdict, v.pid)
    verdict.say("alive" if v.alive() else f"died of {judge.died_of(v.proc)}")
    if v.alive():
        let_go(v.pid)
    nothing_left(before)
    v.kill()
    libc.unlink()
    verdict.show()


def test_replaced_all_the_time(start, place, bystanders, capsys):
    """A library that is another one, or gone, each time it is looked at."""
    verdict, before, chance = Verdict("libraries replaced while read", capsys), readers(), random.Random(SEED)
    forged = [elves.forge(name, good()) for name in elves.LIES]
    path = write(place, "changing.so", good())
    v = mapper(start, place, path)
    end, n = time.monotonic() + (60 if LONG else 2), 0
    while time.monotonic() < end:
        how, data = chance.randrange(3), chance.choice(forged)
        pid = os.fork()
        if not pid:
            try:
                for _ in range(40):
                    if how == 0:
                        with open(path, "r+b") as f:
                            f.seek(chance.randrange(len(data) - 1 or 1) & ~4095)
                            f.write(data[f.tell():f.tell() + 65536])
                    elif how == 1:
                        os.truncate(path, chance.choice((0, 4096, len(data))))
                    else:
                        os.replace(write(place, "new.so", data), path)
            finally:
                os._exit(0)
        look(verdict, v.pid)
        t = act(verdict, v.pid)
        assert t.outcome in ("reclaimed", "nothing", "refused", "failed"), t
        os.waitpid(pid, 0)
        n += 1
        assert v.alive(), v.obituary()
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
