# SPDX-License-Identifier: GPL-2.0-or-later
"""The stacks of programs stopped at random moments: our unwinder says the same as gdb, or that it doesn't know.

RECLAIM_UNWIND_STOPS=10000 for as many; make million records them."""

import os
import time

import pytest

from framing import SUBJECTS, compare
from hammering import Drivers

STOPS = int(os.environ.get("RECLAIM_UNWIND_STOPS", 0))
SEED = int(os.environ.get("RECLAIM_TORTURE_SEED", int(time.time())))
SHORT = ("every malloc function, one thread", "four kinds of sleep, SIGALRM each ms on alternate stacks")


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if STOPS or s.name in SHORT], ids=lambda s: s.name)
def test_same_as_gdb(subject, capsys):
    doc = compare(Drivers(), subject, STOPS // len(SUBJECTS) + 1 if STOPS else 25, SEED)
    with capsys.disabled():
        print(f"\n  stacks, {subject.name}: {doc}, seed {SEED}")
