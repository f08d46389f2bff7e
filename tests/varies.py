# SPDX-License-Identifier: GPL-2.0-or-later
"""What a victim changes by itself while it works: who isn't here keeps the threads, descriptors and memory that it has.

What is so for a moment only needs no line: a judge looks again until all is as it was."""

from collections import namedtuple
from pathlib import Path

# threads: all but the first come and go, under another name than storm, which a judge knows. heap: MiB by which the first
# heap may grow (brk). memory: MiB of other memory, mappings: how many more, where the program maps and unmaps; each
# mapping's place is then nothing that could be compared.
Varies = namedtuple("Varies", "threads heap memory mappings", defaults=(False, 0, 0, 0))
NOTHING = Varies()
# Files that glibc opens for a moment, from within malloc() and free(): how many arenas, and may a heap shrink?
MOMENTARY = {"/sys/devices/system/cpu/online", "/proc/sys/vm/overcommit_memory"}

# of its program, with the argument that makes it so: the first that fits
KNOWN = [
    # Hundreds of blocks of a random size are alive at a time. Other arenas grow within what they reserved at their begin.
    ("single", None, Varies(heap=16)),
    ("heap3", None, Varies(heap=64)),
    ("rseq", None, Varies(heap=16)),
    ("targets", "--mode=forks", Varies(heap=16)),
    # Each new thread has a stack, which glibc keeps for the next ones (40 MiB of them), and maybe an arena of its own.
    ("targets", "--mode=threads", Varies(threads=True, heap=16, memory=64, mappings=24)),
    ("purge_heap", "--storm=threads", Varies(heap=64, memory=64, mappings=24)),
    ("purge_heap", None, Varies(heap=64)),
    ("bloat", "--threads", Varies(heap=16)),
    # Python maps its arenas, 1 MiB each, as it fills and empties them, all the time.
    ("purge_py.py", None, Varies(heap=64, memory=64, mappings=24)),
    ("pyserver.py", None, Varies(heap=64, memory=64, mappings=24)),
]


def of(argv):
    """What the victim that was started by @argv may change."""
    names = {Path(word).name for word in argv}
    return next((v for name, arg, v in KNOWN
                 if name in names and (arg is None or any(word.startswith(arg) for word in argv))), NOTHING)


def maps_nothing():
    """Those of which each mapping is compared."""
    return list(dict.fromkeys(name for name, arg, v in KNOWN if arg is None and not v.memory))
