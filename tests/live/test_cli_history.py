# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl history, over ledgers that the test has made."""

import os
import re
import time

import pytest

import judge
import ledgerfile
from cli import CONTROL, HOSTILE, one_line

MIB = 1 << 20
WEB = dict(pid=11, start_time=5, uid=1000, comm="web", exe="/usr/bin/python3.11", unit="web.service")
DB = dict(pid=22, start_time=6, uid=33, comm="db", exe="/usr/sbin/db", unit="db.service", slice="back-data.slice",
          cgroup="/back.slice/back-data.slice/db.service")
KEYS = ("seq time_us boot_us boot_id kind pid start_time uid comm exe unit slice cgroup reason remedies predicted freed "
        "rss_before rss_after stopped_us duration_us after_us swapped swap faults words").split()
RECORDS = [
    ("start", dict(words="0.1.0, enforce")),
    ("leave", dict(DB, reason="busy", words="uses 40 % of a CPU", rss_before=500 * MIB)),
    ("look", dict(WEB, reason="worth-it", predicted=64 * MIB, remedies=2)),
    ("begin", dict(WEB, reason="worth-it", predicted=64 * MIB, remedies=3)),
    ("action", dict(WEB, reason="reclaimed", predicted=64 * MIB, freed=60 * MIB, rss_before=100 * MIB,
                    rss_after=40 * MIB, stopped_us=2100, duration_us=9000, remedies=3, words="heap trimmed")),
    ("check", dict(WEB, reason="grown", predicted=60 * MIB, freed=45 * MIB, rss_before=40 * MIB,
                   rss_after=55 * MIB, after_us=600_000_000, words="15.0MiB more")),
    # As it was written before there were slices in it.
    ("action", dict({k: v for k, v in DB.items() if k not in ("slice", "cgroup")}, version=1, reason="refused", words="not safe", stopped_us=0)),
    ("action", dict(DB, reason="reclaimed", predicted=10 * MIB, freed=-MIB, stopped_us=500)),
    ("reload", dict(reason="failed", words="/etc/reclaim/reclaimd.conf:3: Mode=never: not a mode")),
    ("stop", {}),
]


@pytest.fixture
def history(tmp_path):
    ledgerfile.write(tmp_path / "state", RECORDS)
    return lambda *args, **kw: judge.ctl(*args, env={"RECLAIM_STATE_DIR": str(tmp_path / "state")}, **kw)


def test_what_was_paged_out(tmp_path):
    """Moved isn't freed: the sentence says so, and what has come back."""
    ledgerfile.write(tmp_path / "state", [
        ("action", dict(WEB, reason="reclaimed", predicted=64 * MIB, freed=60 * MIB, rss_before=100 * MIB,
                        rss_after=40 * MIB, remedies=16, swapped=60 * MIB, swap=70 * MIB, faults=5)),
        ("check", dict(WEB, reason="grown", predicted=60 * MIB, freed=45 * MIB, rss_before=40 * MIB, remedies=16,
                       rss_after=55 * MIB, after_us=10_000_000, swapped=15 * MIB, swap=55 * MIB, faults=900))])
    doc = judge.ctl("--json", "history", env={"RECLAIM_STATE_DIR": str(tmp_path / "state")}).doc
    assert [(r["remedies"], r["swapped"], r["swap"], r["faults"]) for r in doc] == [
        ("pageout", 60 * MIB, 70 * MIB, 5), ("pageout", 15 * MIB, 55 * MIB, 900)]
    totals = judge.ctl("--json", "history", "--totals", env={"RECLAIM_STATE_DIR": str(tmp_path / "state")}).doc
    assert totals["all"]["actions"] == 1 and totals["all"]["freed"] == 0, totals
    assert totals["all"]["swapped"] == 60 * MIB and totals["all"]["predicted"] == 4 * MIB, totals


def seqs(answer):
    assert answer.rc == 0 and not answer.err
    return [r["seq"] for r in answer.doc]


def test_json_has_everything(history):
    doc = history("--json", "history").doc
    assert [r["kind"] for r in doc] == [kind for kind, _ in RECORDS]
    assert all(list(r) == KEYS for r in doc)
    action = doc[4]
    nothing = dict(slice=None, cgroup=None, after_us=None, swapped=None, swap=None, faults=None)
    want = dict(RECORDS[4][1], **nothing, remedies="collect,trim", seq=5, boot_us=0, boot_id="f" * 32,
                time_us=1_700_000_005_000_000, kind="action")
    assert action == want
    # What a kind doesn't have is null, not 0.
    assert {k: v for k, v in doc[0].items() if v is not None} == dict(
        seq=1, time_us=1_700_000_001_000_000, boot_us=0, boot_id="f" * 32, kind="start", words="0.1.0, enforce")
    assert doc[1]["freed"] is None and doc[1]["predicted"] is None and doc[1]["rss_before"] == 500 * MIB
    assert doc[5]["after_us"] == 600_000_000 and doc[5]["stopped_us"] is None
    assert doc[7]["freed"] == -MIB and doc[7]["slice"] == DB["slice"] and doc[7]["cgroup"] == DB["cgroup"]
    assert doc[6]["unit"] == "db.service" and doc[6]["words"] == "not safe"
    assert doc[6]["slice"] is None and doc[6]["cgroup"] is None


def test_table(history):
    lines = history("history").out.splitlines()
    assert lines[0].split() == "TIME KIND PID COMM UNIT REASON PREDICTED FREED RSS STOPPED AFTER WORDS".split()
    assert len(lines) == 1 + len(RECORDS)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_700_000_005))
    assert re.match(rf"{when} +action +11 +web +web.service +reclaimed +64.0MiB +60.0MiB +40.0MiB +2.1ms +- +heap trimmed",
                    lines[5])
    assert len(history("--no-legend", "history").out.splitlines()) == len(RECORDS)


@pytest.mark.parametrize("args, want", [
    (["11"], [3, 4, 5, 6]),
    (["web"], [3, 4, 5, 6]),
    (["db.service"], [2, 7, 8]),
    (["back-data.slice"], [2, 8]),
    (["back.slice"], [2, 8]),
    (["data.slice"], []),
    (["nobody"], []),
    (["99"], []),
    (["--kind=action"], [5, 7, 8]),
    (["--kind=start,stop"], [1, 10]),
    (["-n", "2"], [9, 10]),
    (["-n2", "db"], [7, 8]),
    (["--lines=0"], list(range(1, 11))),
    (["--since=@1700000008"], [8, 9, 10]),
    (["--since=@1700000008", "--kind=action", "22"], [8]),
    (["--since=1h"], []),
    (["--since=today"], []),
    (["--since=1999-12-31"], list(range(1, 11))),
])
def test_choices(history, args, want):
    assert seqs(history("--json", "history", *args)) == want


@pytest.mark.parametrize("args, word", [
    (["--since=soon"], "--since"), (["--since=2026-13-01"], "--since"), (["--since=@x"], "--since"),
    (["--since=2026-11-27x"], "--since"), (["--since="], "--since"), (["--kind=act"], "--kind"),
    (["--kind=action,"], "--kind"), (["-n", "-1"], "--lines"), (["-n", "many"], "--lines"), ([""], "neither"),
    (["0"], "neither"), (["99999999999"], "neither"), (["a" * 300], "neither"), (["1", "2"], "unexpected"),
])
def test_usage(history, args, word):
    answer = history("history", *args)
    assert answer.rc == 2 and not answer.out
    one_line(answer.err, word)


def test_totals(history):
    doc = history("--json", "history", "--totals").doc
    assert [p["program"] for p in doc["programs"]] == ["/usr/bin/python3.11", "/usr/sbin/db"]
    web, db = doc["programs"]
    assert (web["looks"], web["actions"], web["freed"], web["predicted"]) == (1, 1, 60 * MIB, 64 * MIB)
    assert (web["checked"], web["kept"], web["stopped_us"]) == (60 * MIB, 45 * MIB, 2100)
    assert (db["actions"], db["refused"], db["freed"], db["stopped_us"]) == (1, 1, 0, 500)
    assert doc["all"]["actions"] == 2 and doc["all"]["freed"] == 60 * MIB and "program" not in doc["all"]
    lines = history("history", "--totals").out.splitlines()
    assert re.match(r"/usr/bin/python3.11 +1 +0 +1 +0 +0 +64.0MiB +60.0MiB +75% +0B +2.1ms$", lines[1])
    assert lines[-1].startswith("(all)") and len(lines) == 4
    assert len(history("--no-legend", "history", "--totals").out.splitlines()) == 2
    assert history("--json", "history", "--totals", "db").doc["all"]["actions"] == 1
    assert history("history", "--totals", "nobody").out == ""


def test_hostile_names(history, tmp_path):
    bad = dict(pid=5, comm=HOSTILE[:64], exe=HOSTILE, unit=HOSTILE, reason="reclaimed", words=HOSTILE)
    ledgerfile.write(tmp_path / "state", [("action", bad)], first=100)
    for args in (["history"], ["history", "--totals"], ["--json", "history"], ["--json", "history", "--totals"]):
        answer = history(*args)
        assert answer.rc == 0 and not CONTROL.search(answer.out)
    assert len(history("history").out.splitlines()) == 2 + len(RECORDS)


def test_damaged(history, tmp_path):
    with open(tmp_path / "state" / "ledger-1", "r+b") as f:
        f.seek(4 * ledgerfile.SLOT + 500)
        f.write(b"damage")
    answer = history("--json", "history")
    assert answer.rc == 0 and [r["seq"] for r in answer.doc] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    one_line(answer.err, "1 damaged record ")


def test_no_folder(tmp_path):
    answer = judge.ctl("--json", "history", env={"RECLAIM_STATE_DIR": str(tmp_path / "none")})
    assert answer.rc == 1 and "hasn't run here" in answer.doc["error"]
    (tmp_path / "file").write_text("")
    answer = judge.ctl("history", env={"RECLAIM_STATE_DIR": str(tmp_path / "file")})
    assert answer.rc == 1
    one_line(answer.err, str(tmp_path / "file"))


def test_empty(tmp_path):
    env = {"RECLAIM_STATE_DIR": str(tmp_path)}
    assert judge.ctl("history", env=env).out == ""
    assert judge.ctl("--json", "history", env=env).doc == []
    assert judge.ctl("--json", "history", "--totals", env=env).doc["programs"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_denied(tmp_path):
    folder = ledgerfile.write(tmp_path / "state", RECORDS)
    folder.chmod(0o700)
    for d in (tmp_path, *tmp_path.parents[:2]):
        d.chmod(0o755)
    answer = judge.ctl("--json", "history", env={"RECLAIM_STATE_DIR": str(folder)},
                       prefix=("setpriv", "--reuid=65534", "--clear-groups"))
    assert answer.rc == 4 and "be root" in answer.doc["error"]


def test_many(tmp_path):
    """A table is bounded unless asked; JSON isn't."""
    ledgerfile.write(tmp_path, [("action", dict(WEB, reason="nothing"))] * 1500)
    env = {"RECLAIM_STATE_DIR": str(tmp_path)}
    assert len(judge.ctl("history", env=env).out.splitlines()) == 1001
    assert len(judge.ctl("history", "-n0", env=env).out.splitlines()) == 1501
    assert seqs(judge.ctl("--json", "history", env=env)) == list(range(1, 1501))
