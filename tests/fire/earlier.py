# SPDX-License-Identifier: GPL-2.0-or-later
"""What wasn't good in runs before the one that counts, and what it came from, as far as the file "explained" knows."""

import re
from pathlib import Path

EXPLAINED = Path(__file__).resolve().parent / "explained"
UNDECIDED = "undecided, "  # what such a run's trouble begins with


def explained(name, seed, what):
    """What a failure came from."""
    text = "".join(line for line in EXPLAINED.read_text(encoding="utf-8").splitlines(True) if not line.startswith("#"))
    for entry in re.sub(r"\n\s+", " ", text).splitlines():
        found = re.fullmatch(r'(\S+) (\d+) "([^"]+)": (.+)', entry)
        if not found:
            raise ValueError(f"{EXPLAINED.name}: {entry}")
        if (found[1], int(found[2])) == (name, seed) and found[3] in what:
            return found[4]
    return "unexplained"


def lines(before):
    """(those that were bad, what the page says) of @before: [(name, seed, what)]"""
    out, bad = [], [b for b in before if not b[2].startswith(UNDECIDED)]
    if bad:
        why = "; ".join(f"{name} (seed {seed}: {what}): {explained(name, seed, what)}" for name, seed, what in bad)
        out.append(f"**Not good in an earlier run, and run again since**: {why}.")
    if len(bad) < len(before):
        why = "; ".join(f"{name} (seed {seed}: {what})" for name, seed, what in before if what.startswith(UNDECIDED))
        out.append(f"**Undecided in an earlier run, and run again since**: {why}.")
    return bad, out
