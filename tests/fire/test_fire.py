# SPDX-License-Identifier: GPL-2.0-or-later
"""That make fire would notice: wrong answers, early ends, who is left stopped, results that differ; and what its limits
make of figures."""

import json
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import cpython  # noqa: E402
import earlier  # noqa: E402
import figures  # noqa: E402
import fire  # noqa: E402
import judge  # noqa: E402
import record  # noqa: E402
import trimmer  # noqa: E402
from subjects import HERE, Broken, Job, Piped  # noqa: E402

ANSWERS = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import asking
n = 0
while line := sys.stdin.readline():
    n += 1
    {{}}
    print(line.strip(), asking.rows(int(line)), flush=True)
"""


class Faked(Piped):
    name = "faked"
    user = "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
    before = "pass"

    def command(self):
        return [judge.PYTHON, "-B", "-c", ANSWERS.format(self.before)]


def run(tmp_path, before, kind="control", seconds=.3):
    subject = Faked(tmp_path, 1)
    subject.dir.mkdir(exist_ok=True)
    subject.before = before
    return fire.Run(subject, [(kind, seconds)], {"fire": trimmer.Trimmer(subject.pids, "trim,purge", .1)}).go()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may trim what runs as somebody else")
def test_right_answers_under_fire(tmp_path):
    for seconds in (.3, 3, 30):  # a busy machine needs its time
        done = run(tmp_path, "pass", "fire", seconds)
        if done.of("fire") and record.done(done.tally("fire")):
            break
    assert 0 < done.of("fire")["count"] <= done.requests
    assert record.done(done.tally("fire")) > 0


@pytest.mark.parametrize("before, why", [
    ("asking.rows = asking.rows if n < 70 else str", "wrong answers: .*question"),
    ("n > 70 and sys.exit(0)", "ended"),
    ("n == 7 and print('oh', file=sys.stderr)", "its log says: oh"),
    ("n == 1 and __import__('atexit').register(print, 'oh', file=sys.stderr)", "its log says: oh"),
])
def test_what_goes_wrong_is_noticed(tmp_path, before, why):
    with pytest.raises(Broken, match=why):
        run(tmp_path, before)


def test_who_is_left_stopped_is_noticed():
    with subprocess.Popen(["sleep", "60"]) as proc:
        try:
            assert trimmer.untouched([proc.pid]) == []
            proc.send_signal(signal.SIGSTOP)
            judge.wait_for("it is stopped", 10, lambda: judge.state(proc.pid) == "T")
            assert "is stopped" in trimmer.untouched([proc.pid])[0]
        finally:
            proc.kill()


def test_all_of_a_family_are_found():
    command = ["sh", "-c", "setsid sleep 60 & setsid sh -c 'sleep 61; :'; :"]
    with subprocess.Popen(command, start_new_session=True) as proc:
        try:
            judge.wait_for("all four of them", 10, lambda: len(trimmer.family(proc.pid)) == 4)
        finally:
            for pid in trimmer.family(proc.pid):
                os.kill(pid, signal.SIGKILL)


class Different(Job):
    name = "different"

    def ready(self):
        super().ready()
        self.n = 0

    def do(self):
        self.n += 1
        self.call(["true"])

    def result(self):
        return f"result {self.n > 2}"

    @staticmethod
    def version():
        return "1"


class Complains(Different):
    def do(self):
        self.call(["sh", "-c", "echo oh >&2"])


def test_a_job_that_complains_is_noticed(tmp_path):
    it = Complains(tmp_path, 1)
    it.ready()
    with pytest.raises(Broken, match="its log says: oh"):
        it.once(None)


def test_everybody_has_something_that_must_not_be_in_its_log():
    assert all(s.complaints for s in fire.SUBJECTS.values() if s is not cpython.Suite)


def test_results_that_differ_are_noticed(tmp_path):
    args = fire.options(["--seconds=0.01", "--seed=1"])
    it = fire.Fire(args)
    it.place = tmp_path
    with pytest.raises(Broken, match="2 different results"):
        it.program(Different)


def test_trims_keep_their_pace_and_end():
    with subprocess.Popen(["sleep", "60"]) as proc:
        trim = trimmer.Trimmer(lambda: [proc.pid], "trim", .1)
        trim.start()
        time.sleep(.2)
        assert not trim.tally.rounds  # not told to work yet
        trim.work()
        judge.wait_for("three rounds", 30, lambda: trim.tally.rounds >= 3)
        trim.rest()
        assert not trim.busy
        rounds = trim.tally.rounds
        time.sleep(.3)
        assert trim.tally.rounds == rounds
        trim.end()
        assert not trim.is_alive() and trim.tally.broken == []
        proc.kill()


def test_figures():
    samples = [(n * 10**6, 1000 * (n % 1000 + 1)) for n in range(10000)]
    f = figures.figures(samples, [(0, 5 * 10**9), (7 * 10**9, 8 * 10**9)])
    assert (f["count"], f["per_s"], f["p50_us"], f["p999_us"], f["max_us"]) == (6000, 1000, 500, 999, 1000)
    assert figures.figures(samples, [(11 * 10**9, 12 * 10**9)]) is None
    assert figures.percentile([1], .999) == 1


ACTED = {"acts": 1, "bytes": 0, "stop_us": 1, "outcomes": {"nothing": 1}, "reasons": {}}


def summary(p999, per_s):
    return {"count": 5000, "p999_us": p999, "max_us": 10 * p999, "per_s": per_s}


@pytest.mark.parametrize("default, halves, others, want", [
    (summary(109, 98), [summary(100, 100), summary(100, 100)], 0, ["", ""]),
    (summary(111, 96), [summary(100, 100), summary(101, 100)], 0, ["bad", "bad"]),
    (summary(120, 96), [summary(100, 100), summary(130, 95)], 0, ["noise", "noise"]),
    (summary(120, 96), [summary(100, 100), summary(100, 100)], .5, ["noise", "noise"]),
    (summary(100, 100), [summary(100, 100), summary(100, 100)], .5, ["noise", "noise"]),
])
def test_limits(default, halves, others, want):
    doc = {"paced_control": summary(100, 100), "paced_default": default, "paced_halves": halves, "others": others,
           "paced_tally": ACTED, "refusal": None, "job": False}
    assert ["noise" if v.noise else "" if v.good else "bad" for v in record.verdicts(doc)] == want


def taken_in_turns(loss, drift, noise, pairs=12, count=5000, seed=1):
    """A run whose machine gets slower by @drift from its first to its last segment, by and by but for one jump, and whose
    figures are off by @noise besides; with trims it does worse by @loss."""
    rng, segments = random.Random(seed), []
    for i in range(2 * pairs + 1):
        worse = loss if i % 2 else 0
        pace = 1 - drift * (i / 2 / pairs + (i > pairs)) / 2
        per_s, p999 = (100 * pace * (1 - worse) * rng.gauss(1, noise), 100 / pace / (1 - worse) * rng.gauss(1, noise))
        segments.append({"kind": "default" if i % 2 else "control", **summary(p999, per_s), "count": count})
    kinds = [[s for s in segments if s["kind"] == kind] for kind in ("control", "default")]
    control, default = (summary(max(s["p999_us"] for s in k), sum(s["per_s"] for s in k) / len(k)) for k in kinds)
    return {"paced_control": control, "paced_default": default, "paced_segments": segments, "others": 0,
            "paced_halves": [summary(100, 100), summary(100 * (1 + drift), 100)], "paced_tally": ACTED, "refusal": None,
            "job": False}


@pytest.mark.parametrize("loss, drift, noise, want", [
    (0, 0, .01, "surely within"),
    (0, .1, .01, "surely within"),
    (0, .5, .01, "surely within"),
    (.02, .1, .02, "within"),
    (.05, 0, .01, "throughput **exceeded**"),
    (.05, .1, .01, "throughput **exceeded**"),
    (.05, .5, .01, "throughput **exceeded**"),
    (.15, .1, .01, "p99.9 latency **exceeded**, throughput **exceeded**"),
    (.05, .1, .05, "throughput undecided"),
    (.15, .1, .3, "p99.9 latency undecided, throughput undecided"),
])
def test_neighbours_decide(loss, drift, noise, want):
    ends = Counter(record.judged(taken_in_turns(loss, drift, noise, seed=seed)) for seed in range(20))
    assert ends.most_common(1)[0][0] == want and (noise > .01 or ends[want] >= 19), ends


def test_an_interval_is_as_good_as_the_page_says():
    rng, low, holds, n = random.Random(1), 0, 0, 20000
    for _ in range(n):
        segments = [{"kind": "ab"[i % 2], "x": rng.gauss(1, .05)} for i in range(25)]
        segments = [s | {"kind": "control"} if s["kind"] == "a" else s for s in segments]
        lo, hi = figures.interval(figures.pairs(segments, lambda s: s["x"]))
        holds, low = holds + (lo <= 1 <= hi), low + (hi < 1)
    assert abs(holds / n - .94) < .01 and abs(low / n - .03) < .005


def test_an_interval_needs_pairs():
    assert figures.interval([]) is None and figures.interval(range(figures.PAIRS - 1)) is None
    assert figures.interval(range(figures.PAIRS)) == (0, 5) and figures.interval(range(12)) == (2, 9)
    assert record.judged(taken_in_turns(.3, 0, 0, pairs=5)) == "p99.9 latency undecided, throughput undecided"
    assert "**" in record.judged(taken_in_turns(.3, 0, 0, pairs=6))


def test_figures_of_pairs():
    segments = [{"kind": kind, "x": x} for kind, x in (("control", 4), ("default", 3), ("control", 2), ("default", 1))]
    assert figures.pairs(segments, lambda s: s["x"]) == [1, .5]
    assert figures.pairs([s | {"x": 0} for s in segments], lambda s: s["x"]) == []


def test_few_requests_in_a_segment_leave_latency_to_all_of_them():
    doc = taken_in_turns(.15, .1, .01, count=figures.FEW - 1)
    latency, throughput = record.verdicts(doc)
    assert not latency.paired and throughput.paired
    assert latency.ratio == doc["paced_default"]["p999_us"] / doc["paced_control"]["p999_us"]


REFUSED = "its malloc is jemalloc's"
REASON = f"refused: {REFUSED} (libjemalloc.so.N), which malloc_trim knows nothing of"


@pytest.mark.parametrize("refusal, outcomes, reasons, good", [
    (None, {"nothing": 1, "refused": 9}, {"refused: x": 9}, True),
    (None, {"reclaimed": 1}, {}, True),
    (None, {"reclaimed": 1, "timeout": 1, "gone": 1}, {"timeout: x": 1}, True),
    (None, {"refused": 9, "timeout": 1}, {"refused: x": 9}, False),
    (None, {"nothing": 1, "failed": 999}, {"failed: x": 999}, False),
    (None, {"nothing": 1, "denied": 1}, {"denied: x": 1}, False),
    (None, {}, {}, False),
    (REFUSED, {"refused": 4}, {REASON: 4}, True),
    (REFUSED, {"refused": 5}, {REASON: 4, min(record.PASSING): 1}, True),
    (REFUSED, {"refused": 1}, {min(record.PASSING): 1}, False),
    (REFUSED, {"refused": 5}, {REASON: 4, "refused: no safe point": 1}, False),
    (REFUSED, {"refused": 4, "failed": 1}, {REASON: 4, "failed: x": 1}, False),
    (REFUSED, {"refused": 4, "nothing": 1}, {REASON: 4}, False),
    (REFUSED, {}, {}, False),
])
def test_what_was_done_to_a_program_decides_whether_it_passes(refusal, outcomes, reasons, good):
    tally = {"acts": sum(outcomes.values()), "outcomes": outcomes, "reasons": reasons}
    assert (not record.wrong({"fire_tally": tally, "refusal": refusal})) == good


def test_a_fault_in_turns_is_one_too():
    fire_tally, paced = {"outcomes": {"nothing": 1}, "reasons": {}}, {"outcomes": {"failed": 2}, "reasons": {"failed: x": 2}}
    assert record.wrong({"fire_tally": fire_tally, "paced_tally": paced, "refusal": None}).startswith("; 2 acts failed (failed: x)")


def told(name, seed=1, **more):
    """What a run says of one program, and nothing was wrong with it."""
    flat = summary(100, 100) | {"p50_us": 1}
    return {"name": name, "version": "1", "seed": seed, "seconds": 120, "job": False, "remedies": "trim", "turns": 2,
            "complaints": "x",
            "refusal": None, "requests": [1, 1, 1], "control": flat, "fire": flat, "fire_tally": ACTED,
            "paced_control": flat, "paced_default": flat, "paced_halves": [flat, flat], "paced_tally": ACTED,
            "others": 0} | more


def page_of(tmp_path, *docs):
    """The page that is made of these, and its lines for the runs."""
    for n, doc in enumerate(docs):
        (tmp_path / f"{n}").write_text(json.dumps(doc), encoding="ascii")
    record.write(tmp_path / "page", [tmp_path / f"{n}" for n in range(len(docs))])
    page = (tmp_path / "page").read_text(encoding="utf-8")
    return page, page.partition('"seed"')[2].partition("\n\n")[0].splitlines()[1:]


def old(seed, *results):
    """As it was written before a run said what it ran."""
    return {"about": {"seed": seed, "seconds": 120, "ended": 60, "load": [1, 1, 1]}, "results": results}


def test_a_run_says_itself_what_ran(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "BUILD", tmp_path / "build")
    monkeypatch.setattr(judge, "told_by", lambda *argv: {"rev-parse": "a" * 16, "status": " M x"}.get(argv[1], "r 1.2"))
    began = record.about(fire.options(["--seed=7"]))
    monkeypatch.setattr(judge, "told_by", lambda *_: pytest.fail("asked when it is written"))
    page, rows = page_of(tmp_path, old(3, told("a")), json.loads(record.save([told("b", 7)], began).read_text()))
    assert '"unknown, unknown", "unknown, unknown", "unknown"' in rows[0] and '"a"' in rows[0]
    assert '"7", ' in rows[1] and f'"1.2, {"a" * 16}, changed", "{platform.release().split("-")[0]}' in rows[1]
    assert "earlier run" not in page


@pytest.mark.parametrize("bad, why", [
    ({"name": "a", "failed": "Broken: it\n died", "seed": 5}, "Broken: it died"),
    (told("a", 5, fire_tally=told("a")["fire_tally"] | {"outcomes": {"reclaimed": 1, "failed": 1}}), "1 acts failed, which"),
    (told("a", 5, paced_default=summary(100, 50)), "throughput **exceeded**"),
    (told("a", 5, paced_default=summary(100, 50), paced_tally=ACTED | {"outcomes": {"failed": 1}}), "1 acts failed, which"),
])
def test_a_good_run_does_not_hide_a_bad_one_before(tmp_path, bad, why):
    page, _ = page_of(tmp_path, old(5, bad), old(6, told("a", 6)))
    assert f"**Not good in an earlier run, and run again since**: a (seed 5: {why}" in page
    assert "but for what is named here none died" in page and "**Failed" not in page and "**Not passed" not in page
    page, _ = page_of(tmp_path, old(6, told("a", 6)), old(5, bad))
    assert "earlier run" not in page and ("**Failed" in page or "**Not passed" in page or "**Beyond a limit" in page)


def test_a_run_that_decides_does_not_hide_one_that_was_undecided(tmp_path):
    page, _ = page_of(tmp_path, old(5, told("a", 5, others=.5)), old(6, told("a", 6)))
    assert ("**Undecided in an earlier run, and run again since**: a (seed 5: undecided, p99.9 latency: others used 50% of the "
            "processors; throughput: others used 50% of the processors).") in page
    assert "1 of 1 kept both limits" in page and "none died" in page and "Not good" not in page


def refused(seed=1, **more):
    """What was refused by design wherever it was tried"""
    tally = ACTED | {"outcomes": {"refused": 1}, "reasons": {REASON: 1}}
    return told("r", seed, refusal=REFUSED) | {"fire_tally": tally, "paced_tally": tally} | more


def test_who_is_refused_by_design_keeps_no_limit(tmp_path):
    page, _ = page_of(tmp_path, old(1, told("a"), refused(paced_default=summary(100, 50))))
    assert "1 of 1 kept both limits, 0 of them surely; 1 more (r) were not acted on" in page
    assert "none died" in page and '"not acted on"' in page and "**Beyond" not in page
    page, _ = page_of(tmp_path, old(1, refused(paced_tally=ACTED)))
    assert f"**Not passed**: r; it should have been refused since {REFUSED}" in page


def test_a_run_that_did_not_look_at_standard_error_is_named(tmp_path):
    page, _ = page_of(tmp_path, old(1, told("a"), told("b", complaints=None), told("redis", complaints=None)))
    assert "**Standard error not looked at in that run**: b.\n" in page
    parts = [told("a", wall=1), told("a", wall=1, complaints=None)]
    assert not record.joined(*parts)["complaints"] and not record.joined(*parts[::-1])["complaints"]


def test_nothing_carried_out_decides_nothing():
    tally = ACTED | {"outcomes": {"refused": 1, "gone": 3}}
    assert record.judged(told("a", paced_tally=tally)) == "p99.9 latency undecided, throughput undecided"


def test_a_failure_that_was_run_down_says_so(tmp_path, monkeypatch):
    assert "left alone it failed" in earlier.explained("gunicorn", 20261128, "Broken: 3 wrong answers: /19: status 500")
    monkeypatch.setattr(earlier, "EXPLAINED", tmp_path / "explained")
    earlier.EXPLAINED.write_text('# x\na 5 "it died": of\n old age\n', encoding="ascii")
    for seed, words, why in ((5, "it died", "of old age"), (5, "it lied", "unexplained"), (7, "it died", "unexplained")):
        page, _ = page_of(tmp_path, old(seed, {"name": "a", "failed": words, "seed": seed}), old(6, told("a", 6)))
        assert f"run again since**: a (seed {seed}: {words}): {why}." in page
    earlier.EXPLAINED.write_text("a 5: of old age\n", encoding="ascii")
    with pytest.raises(ValueError):
        earlier.explained("a", 5, "it died")


@pytest.mark.parametrize("more, ends", [
    ({}, ["ok", "ok"]),
    ({"others": .5}, ["ok SKIP", "ok SKIP"]),
    ({"others": .5, "paced_default": summary(100, 50)}, ["ok SKIP", "not ok"]),
    ({"paced_default": summary(100, 50)}, ["ok", "not ok"]),
    ({"paced_default": summary(100, 50), "refusal": "x"}, ["ok SKIP", "ok SKIP"]),
])
def test_what_is_beyond_a_limit_is_no_pass(tmp_path, capsys, more, ends):
    it, doc = fire.Fire(fire.options([])), told("a") | more
    it.place.rmdir()
    for v in record.verdicts(doc):
        it.limit("a", v, doc["refusal"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" -")[0][:-2] + " SKIP" * ("# SKIP" in line) for line in lines] == ends
    assert it.failed == ends.count("not ok")


def test_two_halves_make_a_whole(tmp_path):
    whole = told("a") | {"result": ["x"], "wall": 1}
    turns = {k: v for k, v in whole.items() if k not in ("control", "fire", "fire_tally")} | {"requests": [5]}
    results = {k: v for k, v in whole.items() if not k.startswith("paced") and k not in ("turns", "others")}
    page, _ = page_of(tmp_path, old(1, turns), old(1, results | {"requests": [2, 3]}))
    assert "**1 programs, 1 acts under fire" in page and "10 answers" in page and "0 of 0" not in page
    assert "**Failed" not in page and "1 of 1 kept both limits" in page
    for half, doc in (("turns", turns), ("results", results)):
        page, _ = page_of(tmp_path, old(1, doc))
        assert f"**Failed, and not in the tables**: a (only its {half} were looked at)" in page
    page, _ = page_of(tmp_path, old(1, turns), old(1, results | {"result": ["y"]}))
    assert "its halves have different result" in page
    failed = {"name": "a", "seed": 1, "failed": "it died"}
    page, _ = page_of(tmp_path, old(1, turns), old(1, failed))
    assert "**Failed, and not in the tables**: a (it died)" in page
    page, _ = page_of(tmp_path, old(1, turns), old(1, failed), old(1, results))
    assert "1 of 1 kept both limits" in page and "run again since**: a (seed 1: it died)" in page
    page, _ = page_of(tmp_path, old(1, results), old(1, turns), old(1, turns))
    assert "1 of 1 kept both limits" in page and "earlier run" not in page


class Ends:
    """Instead of a run of a module of CPython's suite: the next of those given. Beside a thread that collects: of others."""

    beside = []

    def __init__(self, *args):
        self.seconds, self.text, self.collecting = 0, "", cpython.COLLECTING in args

    def go(self, *_):
        self.status, self.tests = (self.beside if self.collecting else self.next).pop(0)
        return self

    def ends(self):
        return {"the runner": self.status, **self.tests}

    @staticmethod
    def pids():
        return []


OK, BAD, SKIPPED = (0, {"a": "completed", "b": "skipped"}), (2, {"a": "error X", "b": "skipped"}), (0, {"a": "skipped"})


@pytest.mark.parametrize("runs, good, controls", [
    ([OK, OK], True, 1),
    ([OK, BAD, *5 * [OK]], False, 6),
    ([OK, BAD, OK, OK, BAD], True, 4),
    ([OK, BAD, *5 * [(2, {"a": "failure X", "b": "skipped"})]], False, 6),
    ([OK, (-11, {}), *5 * [OK]], False, 6),
    ([OK, (0, {**OK[1], "c": "completed"}), *5 * [OK]], False, 6),
    ([BAD, OK, *5 * [BAD]], False, 6),
    ([OK, SKIPPED, OK, SKIPPED], True, 3),
    ([(-11, OK[1])], False, 1),
])
def test_only_what_ends_so_without_us_is_forgiven(monkeypatch, tmp_path, runs, good, controls):
    monkeypatch.setattr(cpython, "Run", Ends)
    monkeypatch.setattr(Ends, "next", list(runs), raising=False)
    monkeypatch.setattr(Ends, "beside", 5 * runs[:1])
    done = cpython.Module("module", tmp_path, acts=1, runs=1)
    assert (not done.wrong, len(done.controls), Ends.next) == (good, controls, [])
    assert not good or bool(done.own) == (controls > 1)


@pytest.mark.parametrize("beside, good, left", [([OK, BAD, OK], True, 1), (5 * [OK], False, 0),
                                                (5 * [(2, {"a": "failure X", "b": "skipped"})], False, 0)])
def test_what_another_threads_collection_does_is_told(monkeypatch, tmp_path, beside, good, left):
    monkeypatch.setattr(cpython, "Run", Ends)
    monkeypatch.setattr(Ends, "next", [OK, BAD, *5 * [OK]], raising=False)
    monkeypatch.setattr(Ends, "beside", list(beside))
    done = cpython.Module("module", tmp_path, acts=1, runs=1)
    assert (not done.wrong, len(Ends.beside), "a" in done.collected) == (good, left, good)
    assert not done.own and len(done.controls) == 6


def test_who_dies_of_it_is_noticed(monkeypatch, tmp_path):
    if not Path(f"{os.path.dirname(os.__file__)}/test/test_colorsys.py").exists():
        pytest.skip("CPython's test suite is missing (Debian package libpython3.11-testsuite)")
    harm = tmp_path / "ctl"
    harm.write_text("#!/bin/sh\nfor pid; do :; done\nkill -SEGV $pid\necho '[]'\n", encoding="ascii")
    harm.chmod(0o755)
    monkeypatch.setattr(judge, "CTL", harm)
    done = cpython.Module("test_colorsys", tmp_path)
    assert len(done.wrong) == 1 and "'the runner': (0, -11)" in done.wrong[0], done.wrong
    assert len(done.controls) == 1 + cpython.RERUNS
