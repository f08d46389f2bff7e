# SPDX-License-Identifier: GPL-2.0-or-later
"""Run by gdb: walks the main heap of a glibc as its heap plugins do, by the debug symbols of libc, from chunk to
chunk, in a program that stands still meanwhile."""

import gdb


def number(expression):
    return int(gdb.parse_and_eval(expression))


def walk():
    process = gdb.selected_inferior()
    at, top = number("mp_.sbrk_base"), number("(long) main_arena.top")
    chunks = free = used = 0
    at = (at + 15) & ~15
    while at < top:
        size = int.from_bytes(process.read_memory(at + 8, 8), "little") & ~7
        if size < 32:
            raise gdb.GdbError(f"chunk of {size} bytes at {at:#x}")
        in_use = int.from_bytes(process.read_memory(at + size + 8, 8), "little") & 1
        chunks, free, used = chunks + 1, free + size * (1 - in_use), used + size * in_use
        at += size
    print(f"chunks: {chunks}, in use: {used}, free: {free}, top: {number('(long) main_arena.system_mem')}")


walk()
