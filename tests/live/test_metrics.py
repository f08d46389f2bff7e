# SPDX-License-Identifier: GPL-2.0-or-later
"""What a real daemon tells of its work: metrics by file and by reclaimctl, history, journal lines; and that all agree."""

import os
import re
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

import judge
from daemon import Daemon


def values(parse, text):
    return {(s.name, s.labels.get("program")): float(s.value) for f in parse(text) for s in f.samples}


@pytest.fixture
def acted(tmp_path):
    """A daemon that has acted on one program; its metrics have been written since."""
    d = Daemon(tmp_path)
    v = judge.Bloat([d.program("holey"), "--count=200000"])
    v.wait_ready().wait_asleep()
    d.configure(interval="1s", idle="1s", more=f"[Daemon]\nMetricsFile={tmp_path}/reclaim.prom\n")
    try:
        d.start()
        d.wait("an action", lambda: d.records("action", v.pid))
        d.wait("metrics of it", lambda: from_file(d).get(("reclaim_actions_total", None)))
        yield d, v.pid
    finally:
        d.kill()
        v.kill()
        d.show()


def from_file(d):
    path = d.dir / "reclaim.prom"
    return values(parse_prometheus, path.read_text()) if path.exists() else {}


def ctl(d, *args):
    return judge.ctl(*args, env={"RECLAIM_BUS": str(d.dir / "bus"), "RECLAIM_STATE_DIR": str(d.state)})


def test_all_agree(acted):
    d, pid = acted
    answer = ctl(d, "metrics")
    assert answer.rc == 0 and not answer.err and answer.out.endswith("# EOF\n")
    by_ctl, by_file = values(parse_openmetrics, answer.out), from_file(d)
    assert set(by_ctl) == set(by_file)
    assert ctl(d, "--json", "metrics").doc["metrics"].splitlines()[0] == answer.out.splitlines()[0]

    action, = d.records("action", pid)
    program = str(d.bin / "holey")
    total, = ctl(d, "--json", "history", "--totals").doc["programs"]
    assert total["program"] == program and total["actions"] == 1
    for name, want in (("freed_bytes", action.freed), ("actions", 1), ("stopped_seconds", action.stopped_us / 1e6),
                       ("predicted_bytes", action.predicted), ("refusals", 0), ("failures", 0)):
        assert by_file[f"reclaim_{name}_total", None] == pytest.approx(want), name
        assert by_file[f"reclaim_program_{name}_total", program] == pytest.approx(want), name
    assert total["freed"] == action.freed > 30 << 20 and total["stopped_us"] == action.stopped_us
    assert by_file["reclaim_sweeps_total", None] >= 1 and by_file["reclaim_interval_seconds", None] == 1

    told, = [r for r in ctl(d, "--json", "history", str(pid)).doc if r["kind"] == "action"]
    assert (told["seq"], told["freed"], told["rss_after"]) == (action.seq, action.freed, action.rss_after)


def test_journal_lines(acted):
    """What the journal would be told is there as lines with levels where there is none."""
    if os.path.exists("/run/systemd/journal/socket"):
        pytest.skip("there is a journal here")
    d, pid = acted
    said = d.said()
    assert re.search(rf"(?m)^<5>reclaimed \d+\.\dMiB from holey \(pid {pid}\) by \S+, predicted \d", said)
    assert re.search(r"(?m)^<6>started", said)


def test_promtool(acted):
    tool = judge.tool("promtool")
    d, _ = acted
    done = subprocess.run([tool, "check", "metrics"], input=(d.dir / "reclaim.prom").read_bytes(), check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode, done.stdout) == (0, b"")


def test_not_running(tmp_path):
    answer = judge.ctl("--json", "metrics", env={"RECLAIM_BUS": str(tmp_path / "none"),
                                                 "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"})
    assert answer.rc == 1 and "reclaimd" in answer.doc["error"]
