# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF files that lie, made from one that doesn't."""

import os
import struct

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
SHDR = struct.Struct("<IIQQQQIIQQ")
SYM = struct.Struct("<IBBHQQ")
HEAD = "ident type machine version entry phoff shoff flags ehsize phentsize phnum shentsize shnum shstrndx".split()
FIELDS = "name type flags addr offset size link info align entsize".split()
PT_LOAD, PT_NOTE, PT_TLS = 1, 4, 7
PF_X = 1
SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOTE, SHT_DYNSYM, SHT_GNU_HASH = 2, 3, 4, 7, 11, 0x6FFFFFF6
HUGE = (1 << 64) - 1


class Elf:
    def __init__(self, data):
        self.data = bytearray(data)

    def head(self, **change):
        h = dict(zip(HEAD, EHDR.unpack_from(self.data)))
        h.update(change)
        if change:
            EHDR.pack_into(self.data, 0, *h.values())
        return h

    def sections(self):
        h = self.head()
        return [dict(zip(FIELDS, SHDR.unpack_from(self.data, h["shoff"] + i * SHDR.size))) for i in range(h["shnum"])]

    def section(self, i, **change):
        s = self.sections()[i]
        s.update(change)
        SHDR.pack_into(self.data, self.head()["shoff"] + i * SHDR.size, *s.values())

    def of_type(self, kind):
        return [(i, s) for i, s in enumerate(self.sections()) if s["type"] == kind]

    def named(self, name):
        all_ = self.sections()
        names = all_[self.head()["shstrndx"]]["offset"]
        for i, s in enumerate(all_):
            at = names + s["name"]
            if self.data[at:self.data.index(0, at)] == name:
                return i, s
        raise KeyError(name)

    def text(self):
        """Where in the file its code begins."""
        return self.named(b".text")[1]["offset"] & ~4095

    def code(self):
        """The bytes of the file that are mapped executable, whole pages."""
        p, = [p for _, p in self.program() if p["type"] == PT_LOAD and p["flags"] & PF_X]
        return range(p["offset"] & ~4095, p["offset"] + p["filesz"] + 4095 & ~4095)

    def program(self):
        h = self.head()
        names = "type flags offset vaddr paddr filesz memsz align".split()
        places = [h["phoff"] + i * PHDR.size for i in range(h["phnum"])]
        return [(at, dict(zip(names, PHDR.unpack_from(self.data, at)))) for at in places]

    def segments(self, kind, **change):
        """Those of that kind; after the change, if there is one."""
        out = []
        for at, p in self.program():
            if p["type"] == kind:
                p.update(change)
                PHDR.pack_into(self.data, at, *p.values())
                out.append(p)
        return out

    def words(self, name, fill):
        """Every 4 bytes of a section become fill(number of the word, old value)."""
        _, s = self.named(name)
        for n in range(s["size"] // 4):
            at = s["offset"] + 4 * n
            old, = struct.unpack_from("<I", self.data, at)
            struct.pack_into("<I", self.data, at, fill(n, old) & 0xFFFFFFFF)

    def symbols(self, change=lambda *symbol: symbol):
        """[(name, info, other, section, value, size)], after the change."""
        out = []
        for _, s in self.of_type(SHT_DYNSYM):
            for at in range(s["offset"], s["offset"] + s["size"] - SYM.size + 1, SYM.size):
                out.append(change(*SYM.unpack_from(self.data, at)))
                SYM.pack_into(self.data, at, *out[-1])
        return out


def every_section(**change):
    def forge(e):
        for i in range(1, e.head()["shnum"]):
            e.section(i, **change)
    return forge


def of_type(kind, **change):
    def forge(e):
        for i, _ in e.of_type(kind):
            e.section(i, **change)
    return forge


def links_in_a_ring(e):
    n = e.head()["shnum"]
    for i in range(1, n):
        e.section(i, link=i % (n - 1) + 1, info=i % (n - 1) + 1)


def link_to_itself(e):
    for kind in (SHT_SYMTAB, SHT_DYNSYM):
        for i, _ in e.of_type(kind):
            e.section(i, link=i)


def count_in_the_first(e):
    e.section(0, size=HUGE >> 1)
    e.head(shnum=0)


def absurd_build_id(e):
    _, s = e.named(b".note.gnu.build-id")
    struct.pack_into("<III", e.data, s["offset"], 0xFFFFFFFF, 0xFFFFFFF0, 3)


def frames_without_end(e):
    """Each piece of call frame information says that it is as long as can be, or of a CIE that isn't one."""
    e.words(".eh_frame".encode(), lambda n, old: 0xFFFFFFF0 if n % 5 == 0 else old)


# name: what becomes of a good library
LIES = {
    "sections that link to each other in a ring": links_in_a_ring,
    "symbols whose names are themselves": link_to_itself,
    "as many sections as can be": lambda e: e.head(shnum=0xFFFF),
    "number of sections in the first one": count_in_the_first,
    "sections beyond the end": every_section(offset=HUGE - 4096),
    "sections as large as can be": every_section(size=HUGE >> 1),
    "entries of no size": every_section(entsize=0),
    "names beyond the end": lambda e: e.head(shstrndx=0xFFFE),
    "section headers beyond the end": lambda e: e.head(shoff=HUGE - 63),
    "as many segments as can be": lambda e: e.head(phnum=0xFFFF),
    "program headers beyond the end": lambda e: e.head(phoff=HUGE - 55),
    "segments as large as can be": lambda e: e.segments(PT_LOAD, filesz=HUGE >> 1, memsz=HUGE >> 1),
    "segments that wrap": lambda e: e.segments(PT_LOAD, vaddr=HUGE - 4095),
    "all segments at the same place": lambda e: e.segments(PT_LOAD, vaddr=0),
    "thread-local storage without bounds": lambda e: e.segments(PT_TLS, memsz=HUGE, align=HUGE),
    "functions as large as can be": lambda e: e.symbols(lambda n, i, o, x, v, s: (n, i, o, x, v, HUGE)),
    "functions at the end of everything": lambda e: e.symbols(lambda n, i, o, x, v, s: (n, i, o, x, HUGE - v, s)),
    "functions all at one place": lambda e: e.symbols(lambda n, i, o, x, v, s: (n, i, o, x, 0x1000 if v else 0, 16)),
    "names of functions without end": lambda e: e.symbols(lambda n, i, o, x, v, s: (0xFFFFFFFF, i, o, x, v, s)),
    "a hash table that goes on for ever": lambda e: e.words(b".gnu.hash", lambda n, old: old & ~1 if n > 3 else old),
    "a hash table of nothing but buckets": lambda e: e.words(b".gnu.hash", lambda n, old: 0xFFFFFFFF if n < 3 else 1),
    "a hash table without buckets": lambda e: e.words(b".gnu.hash", lambda n, old: 0),
    "an absurd build id": absurd_build_id,
    "relocations everywhere": of_type(SHT_RELA, offset=0, size=1 << 20),
    "call frames without end": frames_without_end,
    "call frames of zeros": lambda e: e.words(b".eh_frame", lambda n, old: 0),
    "call frames of ones": lambda e: e.words(b".eh_frame", lambda n, old: 0xFFFFFFFF),
    "an index of call frames that lies": lambda e: e.words(b".eh_frame_hdr", lambda n, old: old ^ 0x7FFFFFFF),
    "the wrong machine": lambda e: e.head(machine=0xB7),
    "the wrong class": lambda e: e.data.__setitem__(4, 1),
    "cut off": lambda e: e.data.__delitem__(slice(8192, None)),
    "cut off behind its code": lambda e: e.data.__delitem__(slice(e.code().stop, None)),
}


def forge(name, good):
    e = Elf(good)
    LIES[name](e)
    return bytes(e.data)


def write_over(path, good, forged):
    """What is forged replaces the good one in the file itself, but for its code, which somebody sleeps in; a shorter one
    cuts that off too."""
    code = Elf(good).code()
    with open(path, "r+b") as f:
        for at in range(0, len(forged), 4096):
            page = forged[at:at + 4096]
            if page != good[at:at + 4096] and at not in code:
                f.seek(at)
                f.write(page)
    if len(forged) < len(good):
        os.truncate(path, len(forged))
    with open(path, "rb") as f:
        assert f.read() != good, "nothing has been forged"
