# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger's file format, written down a second time: what the daemon leaves on disk, made by tests."""

import struct
import zlib

KINDS = "start stop leave look would begin action check reload pressure".split()
UNKNOWN = 2**64 - 1
SLOT = 1024
HEAD = "<QQQIiQIIQqQQQQQ33s24s65s"
FIELDS = ("seq real_us boot_us kind pid start_time uid remedies predicted freed rss_before rss_after stopped_us "
          "duration_us after_us boot_id reason comm").split()
TEXTS = "exe unit slice cgroup words".split()
SWAP = "swapped swap faults".split()
DEFAULTS = dict(pid=0, uid=0xffffffff, boot_id="f" * 32, predicted=UNKNOWN, rss_before=UNKNOWN, rss_after=UNKNOWN)


def raw(text):
    return text.encode() if isinstance(text, str) else text


def slot(seq, kind, version=2, **fields):
    """One record as it lies on disk; the first version knew neither slice nor control group."""
    v = {**DEFAULTS, "real_us": 1_700_000_000_000_000 + seq * 1_000_000, **fields,
         "seq": seq, "kind": KINDS.index(kind) + 1}
    row = [v.get(f, b"" if f in FIELDS[-3:] else 0) for f in FIELDS]
    body = struct.pack(HEAD, *map(raw, row))
    texts = {t: raw(v.get(t, "")) for t in TEXTS}
    if version == 1:
        body += struct.pack("256s256s192s86x", texts["exe"], texts["unit"], texts["words"])
    else:
        body += struct.pack("<I3Q762s", v.get("real_uid", v["uid"]), *(v.get(f, 0) for f in SWAP),
                            b"".join(texts[t] + b"\0" for t in TEXTS))
    assert len(body) == SLOT - 8
    return struct.pack("<II", {1: 0x314c4352, 2: 0x324c4352}[version], zlib.crc32(body)) + body


def write(folder, records, first=1):
    """@records: (kind, fields) each, into one segment."""
    folder.mkdir(exist_ok=True)
    data = b"".join(slot(first + i, kind, **fields) for i, (kind, fields) in enumerate(records))
    (folder / f"ledger-{first}").write_bytes(data)
    return folder
