# SPDX-License-Identifier: GPL-2.0-or-later
"""That scripts/coverage explains nothing in advance where it matters, and tells of each branch that wasn't taken."""

import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
TOP = Path(__file__).resolve().parent.parent.parent
loader = importlib.machinery.SourceFileLoader("coverage_tool", str(TOP / "scripts/coverage"))
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("coverage_tool", loader))
loader.exec_module(tool)

STRICT = [f"daemon/{path}" for path in (
    "inject/lease.c", "inject/arch/x86_64.c", "remedy/purge.c", "remedy/collect.c", "inspect/glibc-walk.c", "inspect/pypurge.c",
    "inspect/pypurge-pool.c", "inspect/cpython.c", "inspect/cpython-queue.c", "inspect/pymalloc.c", "inspect/pymalloc-image.c",
    "inspect/safepoint.c", "inspect/unwind.c")]


@pytest.mark.parametrize("path", STRICT)
@pytest.mark.parametrize("place", ["", ":f"])
def test_where_it_matters_a_place_alone_explains_nothing(path, place):
    bare = tool.Reasons(f"{path}{place}  why\n/return r/  looks\n")
    assert bare.wrong == [f"reasons:1: {path}{place}: in what is strict a place needs what the line has"]
    assert bare.of(path, "f", "return r;") is None and bare.of(path, "f", "x = 1;") is None
    both = tool.Reasons(f"{path}{place} /return r/  why\n")
    assert not both.wrong and both.of(path, "f", "return r;") == "why" and both.of(path, "f", "x = 1;") is None


def test_elsewhere_it_does():
    reasons = tool.Reasons("daemon/policy/x.c:f  why\n/return r/  looks\n")
    assert not reasons.wrong and reasons.of("daemon/policy/x.c", "f", "x = 1;") == "why"
    assert reasons.of("daemon/policy/x.c", "g", "return r;") == "looks"


def test_the_reasons_are_in_order():
    reasons = tool.Reasons(tool.REASONS.read_text(encoding="utf-8"))
    assert reasons.places and not reasons.wrong


def line(function, count, *branches):
    made = tool.Line(function)
    made.count, made.branches = count, list(branches)
    return made


FILES = {"daemon/inject/x.c": {1: line("f", 9), 2: line("f", 9, 9, 0), 3: line("f", 0), 4: line("f", 9, 4, 0, 5, 0),
                               5: line("f", 9), 6: line("g", 0, 0, 0), 7: line("g", 0)},
         "daemon/policy/y.c": {1: line("h", 1, 1, 1), 2: line("i", 1, 0)}}


def test_each_branch_not_taken_is_told_of(tmp_path, monkeypatch):
    for path in FILES:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("".join(f"line {n}\n" for n in range(1, 8)), encoding="ascii")
    monkeypatch.setattr(tool, "TOP", tmp_path)
    never, statement, single = tool.KINDS
    assert [u[:5] for u in tool.untaken(FILES)] == [
        ("daemon/inject/x.c", "f", 2, 1, statement), ("daemon/inject/x.c", "f", 4, 2, single),
        ("daemon/inject/x.c", "g", 6, 2, never), ("daemon/policy/y.c", "i", 2, 1, single)]
    assert list(tool.branch_rows(FILES)) == [["inject/x.c", "5 of 8", 2, 1, 2, "f 3 of 6, g 2 of 2"],
                                             ["policy/y.c", "1 of 3", 0, 0, 1, "i 1 of 1"]]
    reasons = tool.Reasons("")
    missing = list(tool.uncovered(FILES, reasons))
    tool.record(tmp_path / "page", FILES, missing, reasons)
    page = re.sub(r"\s+", " ", (tmp_path / "page").read_text(encoding="utf-8"))
    assert "**6 of 11 branches were not taken, 3 of them not explained singly**; 2 are of lines that never ran, 1 of" in page
    assert '"inject/x.c", "5 of 8", "2", "1", "2", "f 3 of 6, g 2 of 2"' in page and '"policy/y.c"' in page
    for listed in (True, False):
        tool.report(FILES, missing, listed)
        told = (tmp_path / "build/check/coverage.md").read_text(encoding="utf-8")
        assert (f"* daemon/inject/x.c:4: f: 2 ({single}): `line 4`" in told) == listed
