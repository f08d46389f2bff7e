# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger's file format, written down a second time: what the daemon leaves on disk, made by tests."""

import struct
import zlib

KINDS = "start stop leave look would begin action check reload pressure".split()
UNKNOWN = 2**64 - 1
SLOT = 1024
FORMAT = "<QQQIiQIIQqQQQQQ33s24s65s256s256s192s6xQQQ56x"
FIELDS = ("seq real_us boot_us kind pid start_time uid remedies predicted freed rss_before rss_after stopped_us "
          "duration_us after_us boot_id reason comm exe unit words swapped swap faults").split()
TEXTS = ("boot_id", "reason", "comm", "exe", "unit", "words")
DEFAULTS = dict(pid=0, uid=0xffffffff, boot_id="f" * 32, predicted=UNKNOWN, rss_before=UNKNOWN, rss_after=UNKNOWN)


def slot(seq, kind, **fields):
    """One record as it lies on disk."""
    v = {**DEFAULTS, "real_us": 1_700_000_000_000_000 + seq * 1_000_000, **fields,
         "seq": seq, "kind": KINDS.index(kind) + 1}
    row = [v.get(f, b"" if f in TEXTS else 0) for f in FIELDS]
    body = struct.pack(FORMAT, *(x.encode() if isinstance(x, str) else x for x in row))
    return struct.pack("<II", 0x314c4352, zlib.crc32(body)) + body


def write(folder, records, first=1):
    """@records: (kind, fields) each, into one segment."""
    folder.mkdir(exist_ok=True)
    data = b"".join(slot(first + i, kind, **fields) for i, (kind, fields) in enumerate(records))
    (folder / f"ledger-{first}").write_bytes(data)
    return folder
