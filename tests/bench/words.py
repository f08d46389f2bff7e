# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page of benchmarks says around its figures; there is none in here."""


def _lines(text):
    return [line.rstrip() for line in text.strip("\n").splitlines()] + [""]


HEAD = _lines("""
What reclaim brings and costs, beside everything else that people do about the same memory. One command
on one machine makes all of it, this page and its pictures included::

  make bench-report

No figure here is typed by hand: it measures, writes ``Documentation/benchmarks/results.json``, and makes
the rest of that. Contestants take turns in the same rounds, each measurement that changes a program has a
fresh one, and after each it is checked that the program's data is as it was. Where others work on the same
machine all are slower; what matters is how they compare. Who couldn't be measured is in the table, with
the reason. Begun again, it keeps what it has measured of the same programs, so subjects may be of different
hours: the last table has when, and how busy the machine was.

*A thread stands still*: the program itself notes for how long one of its threads couldn't go on. That includes
whoever else wanted the processor: so "nothing" has such a gap too.
""")

# Title, text, and which subjects.
SECTIONS = [
    ("Python: the oldest question", _lines("""
A program makes a list of ten million short strings, keeps some of them, deletes the rest, and stays large.
What its owner can do about that, what is left then, how long it takes, and what it needs: nothing, a restart with
other settings, or another program. A gap that is as long as the call itself: nothing else runs in that interpreter.
"""), ["python"]),
    ("Python: and if it needs the memory again", _lines("""
The whole list once more, as the first time, in the programs that have been trimmed and in one that hasn't.
"""), ["again"]),
    ("C: a cache that expires", _lines("""
Small blocks fill a GiB, 499 in 500 are freed, those that live on lie everywhere. With jemalloc the same program is
measured at once, and after ten seconds in which it did nothing.
"""), ["c", "threaded"]),
    ("Instead: a child process", _lines("""
The classic advice: do the large work in a process of its own, which ends. It costs its start, which with fork grows with the
program that it is forked from, and the transfer of the result.
"""), ["child"]),
    ("From small heaps to large ones", _lines("""
The C program from above in other sizes; freed is the same share of each. A promise is what ``trim --dry-run`` says, which
stops nobody.
"""), ["heaps"]),
    ("Many threads", _lines("""
Of which all but one sleep. A debugger stops each of them, whatever it is asked to do.
"""), ["threads"]),
    ("Single acts, beside a debugger", _lines("""
Medians, and how many times the other's figure is ours.
"""), ["small", "stop", "thread", "dry", "big"]),
    ("In rounds, while others work", _lines("""
``malloc_trim`` holds each arena's lock for as long as it takes. A purge does the same in rounds, between which the program's
threads get on; how long one of them had to wait is what they noted themselves.
"""), ["bounded"]),
    ("Saying why", _lines("""
``explain`` reads the allocators' own tables from outside. A debugger with a plugin for heaps does so while the program stands
still; Python's own account takes the program's time, and tells of pools and arenas only.
"""), ["explain"]),
    ("Looking at all processes", _lines("""
Who holds what. The others tell less: none of them knows what of a heap is free. Without the module all of them read /proc.
"""), ["look", "ps", "maps", "processes"]),
    ("Looking all the time", _lines("""
Live views, each at the interval that it has when nothing else is said: one that shows more often takes more. Bytes to the
terminal are what goes through a slow line.
"""), ["live"]),
    ("A daemon with nothing to do", _lines("""
Large processes, none of which has anything to give back: this is what a machine pays for being watched. Once a second here, to
be measurable; the daemon's default is every 30 seconds. earlyoom reads one file, and acts when memory is all but gone.
"""), ["idle", "daemon"]),
]

TAIL = _lines("""
What isn't here
===============

* The kernel module: it can't be loaded on every machine, so its figures are taken in virtual machines, by
  ``make vm-bench`` (kmod.rst).
* Other C libraries and other Pythons than the system's: ``make matrix`` tries them (allocators.rst).
* Whether any of this harms anybody: testing.rst.
* What other projects measured themselves: comparison.rst.
""")
