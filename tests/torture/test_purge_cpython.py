# SPDX-License-Identifier: GPL-2.0-or-later
"""CPython's own test suite while its process is purged, trimmed and collected ten times a second: the same result of
each single test as without (tests/fire/cpython.py). Needs Debian's libpython3.11-testsuite.

Two modules of it, or with RECLAIM_TORTURE=long some more; all of them: make fire PROGRAMS=cpython."""

import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "fire")]
import cpython  # noqa: E402

LONG = os.environ.get("RECLAIM_TORTURE") == "long"
SHORT = ["test_list", "test_gc"]
MODULES = SHORT + (["test_dict", "test_set", "test_unicode", "test_bytes", "test_json", "test_pickle",
                    "test.test_asyncio.test_tasks", "test_threading", "test_re"] if LONG else [])
ACTS, RUNS = (100, 40) if LONG else (10, 8)


@pytest.mark.parametrize("module", MODULES)
def test_module(module, tmp_path, capsys):
    if not Path(f"{os.path.dirname(os.__file__)}/test/test_list.py").exists():
        pytest.skip("CPython's test suite is missing (Debian package libpython3.11-testsuite)")
    done = cpython.Module(module, tmp_path, acts=ACTS, runs=RUNS)
    doc = done.doc()
    with capsys.disabled():
        print(f"\n  {module}: {doc['tests']} tests, {doc['ok']} ok; {doc['runs']} runs, {doc['tally']}; ends now so, now "
              f"so: {doc['own']}")
    assert not doc["wrong"], "\n".join(doc["wrong"])
    assert doc["tests"] > 10 and doc["done"] >= 3, doc

