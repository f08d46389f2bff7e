# SPDX-License-Identifier: GPL-2.0-or-later
"""What monitoring systems are given: texts, rules, dashboard and the page about them fit together.

Other people's parsers judge the texts; promtool judges what it can, where it could be fetched.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

import judge

TOP = Path(__file__).resolve().parents[2]
FOLDER = TOP / "Documentation/monitoring"
RULES = FOLDER / "reclaim-alerts.yml"
PROGRAM = '/bin/a"\\x5c\\n\\xff'  # as escaped once by us; a parser takes the second escaping off
NAME = re.compile(r"\breclaim_[a-z_]+\b")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """What the daemon would write: made by the unit test, in both syntaxes."""
    d = tmp_path_factory.mktemp("metrics")
    done = subprocess.run([judge.BUILD / "tests/test-core-metrics"], env={"RECLAIM_METRICS_DIR": str(d)}, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
    return {name: (d / name).read_text() for name in ("prometheus", "openmetrics")}


@pytest.fixture
def samples(texts):
    return [s for f in parse_prometheus(texts["prometheus"]) for s in f.samples]


def promtool(*args, **kw):
    done = subprocess.run([judge.tool("promtool"), *map(str, args)], check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **kw)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_parsers_agree(texts):
    """Both say the same of all samples, and each family has a type and a help."""
    seen = {}
    for syntax, parse in (("prometheus", parse_prometheus), ("openmetrics", parse_openmetrics)):
        families = list(parse(texts[syntax]))
        assert all(f.documentation and f.type in ("counter", "gauge") for f in families)
        assert len({f.name for f in families}) == len(families)
        seen[syntax] = [(s.name, s.labels, float(s.value)) for f in families for s in f.samples]
        for f in families:
            assert all(s.name.endswith("_total") == (f.type == "counter") for s in f.samples)
    assert seen["prometheus"] == seen["openmetrics"] and len(seen["prometheus"]) > 30


def test_values(samples):
    value = {(s.name, s.labels.get("program")): s.value for s in samples}
    assert value["reclaim_freed_bytes_total", None] == 2**40
    assert value["reclaim_start_time_seconds", None] == pytest.approx(1700000000.000001, abs=1e-6)
    assert value["reclaim_program_freed_bytes_total", PROGRAM] == 80
    assert {s.labels["program"] for s in samples if s.name.startswith("reclaim_program_")} == {PROGRAM}


def test_page_names_all(samples):
    page = (TOP / "Documentation/monitoring.rst").read_text()
    assert {s.name for s in samples} == set(NAME.findall(page)) - {"reclaim_program_"}


def test_rules(samples):
    names = {s.name for s in samples}
    page = (TOP / "Documentation/monitoring.rst").read_text()
    rules = [r for g in yaml.safe_load(RULES.read_text())["groups"] for r in g["rules"]]
    assert len(rules) >= 6
    for r in rules:
        used = set(NAME.findall(r["expr"]))
        assert used and used <= names, r["alert"]
        assert f"\n{r['alert']}\n" in page
        assert r["labels"]["severity"] in ("info", "warning") and r["annotations"]["summary"]


def queries():
    panels = json.loads((FOLDER / "reclaim-dashboard.json").read_text())["panels"]
    return [(p["title"], t["expr"]) for p in panels for t in p["targets"]]


def test_dashboard(samples):
    names = {s.name for s in samples}
    doc = json.loads((FOLDER / "reclaim-dashboard.json").read_text())
    assert len({p["id"] for p in doc["panels"]}) == len(doc["panels"]) >= 10
    for title, query in queries():
        used = set(NAME.findall(query))
        assert used and used <= names, title
        assert query.count('{instance=~"$instance"}') == len(NAME.findall(query)), title
    taken = {(x, y) for p in doc["panels"] for g in [p["gridPos"]]
             for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
    assert len(taken) == sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in doc["panels"]), "panels overlap"


def test_promtool_metrics(texts):
    assert promtool("check", "metrics", input=texts["prometheus"]) == ""


def test_promtool_rules():
    assert "SUCCESS" in promtool("check", "rules", RULES)
    assert "SUCCESS" in promtool("test", "rules", TOP / "tests/monitoring/alerts-test.yml")


def page_queries():
    """What the page shows in indented blocks; lines that are indented further go on with the one before."""
    page = (TOP / "Documentation/monitoring.rst").read_text()
    lines = re.sub(r"\n {4,}", " ", page).splitlines()
    return [line.strip() for line in lines if re.match(r"  [a-z]", line) and "reclaim_" in line and "regex:" not in line]


def test_promtool_queries(tmp_path):
    """Those of the dashboard and of the page, as if they were rules."""
    assert len(page_queries()) == 10
    every = [query for _, query in queries()] + page_queries()
    rules = [{"record": f"q{i}", "expr": q.replace("$__range", "1d").replace("$__rate_interval", "5m")}
             for i, q in enumerate(every)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


def test_catalog(tmp_path):
    """journalctl takes it, and explains only by fields that are sent."""
    if not shutil.which("journalctl"):
        pytest.skip("journalctl is missing (Debian package systemd)")
    catalog = TOP / "daemon/units/reclaim.catalog"
    (tmp_path / "usr/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(catalog, tmp_path / "usr/lib/systemd/catalog")
    for how in ("--update-catalog", "--list-catalog"):
        done = subprocess.run(["journalctl", f"--root={tmp_path}", how], check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == 10 and all("reclaim:" in line for line in done.stdout.splitlines())
    source = (TOP / "daemon/core/journal.c").read_text()
    page = (TOP / "Documentation/monitoring.rst").read_text()
    sent = set(re.findall(r'"(RECLAIM_[A-Z_]+)[="]', source))
    assert set(re.findall(r"@(\w+)@", catalog.read_text())) <= sent
    assert sent == set(re.findall(r"``(RECLAIM_[A-Z_]+)``", page))
