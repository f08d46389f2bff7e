# SPDX-License-Identifier: GPL-2.0-or-later
"""That the page about the fuzzers says so when code has changed since, or when something was found."""

import importlib.util
import json
from pathlib import Path

import judge
import pytest
import tree

# There are others of that name.
SPEC = importlib.util.spec_from_file_location("fuzz_record", Path(__file__).resolve().parent / "record.py")
record = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(record)

END = 1_796_000_040 // 60 * 60
TREE = "a" * 16


def ended(at, form=record.WHEN):
    return record.time.strftime(form, record.time.gmtime(at))


@pytest.fixture(name="committed")
def committed_fixture(monkeypatch):
    """When the last commit to anything but daemon/ and kmod/ was, and what git says of these."""
    says = {"log": str(END - 1801), "rev-parse": TREE, "cat-file": "tree", "diff": "", "status": ""}
    monkeypatch.setattr(judge, "told_by", lambda *argv: says[argv[1]])
    monkeypatch.setattr(tree, "name", lambda *also: TREE + (", changed" if says["status"] else ""))
    monkeypatch.setattr(record, "built_of", lambda name: {"daemon/x.c", "tests/fuzz/fuzz-x.c"})
    return says


CHANGES = [({}, True), ({"log": str(END - 1799)}, False), ({"log": str(END - 1)}, False), ({"log": str(END + 1)}, False),
           ({"log": ""}, False), ({"status": " M x"}, False)]


@pytest.mark.parametrize("change, same", [*CHANGES, ({"diff": "x.c"}, False), ({"cat-file": ""}, False)])
def test_what_was_changed_while_it_ran_is_not_what_ran(committed, change, same):
    row = ["``x``", "1", "1800", "1", "1", "1", "1", ended(END), TREE]
    committed.update(change)
    assert record.same_code(row) == same


@pytest.mark.parametrize("change, same", [*CHANGES, ({"rev-parse": "b" * 16}, False)])
def test_the_modules_code_too(committed, change, same):
    committed.update(change)
    assert record.module_same(["``module``", "1", "1800", "1", "1", "1", "k", ended(END), TREE]) == same
    for late in (0, 59):
        committed["log"] = str(END - 1800 + late)
        assert record.untouched([], ["1800"] * 3 + [ended(END + 59, record.EXACTLY), TREE])
        assert record.untouched([], ["1800"] * 3 + [ended(END + 59), TREE]) == (not late)


HOSTILE = {"seed": 5, "seconds": 1800, "requests": 7000, "other": 0, "replies": 9, "done": 5, "EINVAL": 4, "ESRCH": 3000}
MACHINE = {"kernel": "6.1", "ended": END, "failures": 0, "tree": TREE, "tests": ["idle", "hostile 5 1800"]}


def page_of(tmp_path, *docs):
    for n, doc in enumerate(docs):
        (tmp_path / f"{n}.json").write_text(json.dumps(doc), encoding="ascii")
    assert record.main([str(tmp_path / "page"), str(tmp_path), str(tmp_path)]) == 0
    return (tmp_path / "page").read_text(encoding="utf-8")


def test_what_the_module_was_asked_is_told_and_kept(committed, tmp_path):
    del committed
    assert "asked for half an hour without a finding**: not run." in page_of(tmp_path)
    short = {"hostile": HOSTILE | {"seconds": 1}, "machine": MACHINE | {"ended": END + 9, "tests": ["hostile 4 1"]}}
    row = f'"``module``", "7,000", "1800", "9", "5", "3,004", "6.1", "{ended(END, record.EXACTLY)}", "{TREE}", "as it is"'
    page = page_of(tmp_path, {"hostile": HOSTILE, "machine": MACHINE}, short, {"other": 1})
    assert "**It was asked 7,000 times in half an hour, on the code that there is," in page and row in page
    for path in tmp_path.glob("*.json"):
        path.unlink()
    assert row in page_of(tmp_path)


@pytest.mark.parametrize("doc", [{"hostile": HOSTILE, "machine": MACHINE | {"failures": 1}},
                                 {"machine": MACHINE | {"failures": 2}}, {"machine": MACHINE}])
def test_what_the_module_did_wrong_is_not_hidden_by_an_earlier_row(committed, tmp_path, doc):
    del committed
    page_of(tmp_path, {"hostile": HOSTILE, "machine": MACHINE | {"ended": END - 9}})
    page = page_of(tmp_path, {}, doc)
    assert "without a finding**: failed" in page and '"``module``"' not in page
