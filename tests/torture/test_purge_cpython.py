# SPDX-License-Identifier: GPL-2.0-or-later
"""CPython's own test suite while its process is purged and trimmed ten times a second: the same result of each
single test as without. Needs Debian's libpython3.11-testsuite.

RECLAIM_TORTURE=long runs all modules that there are to be run, else two."""

import itertools
import os
import re
import subprocess
import threading
import time

import pytest

import judge

LONG = os.environ.get("RECLAIM_TORTURE") == "long"
SHORT = ["test_list", "test_gc"]
MODULES = SHORT + (["test_dict", "test_set", "test_unicode", "test_bytes", "test_json", "test_pickle", "test_asyncio",
                    "test_threading", "test_re"] if LONG else [])
PERIOD = 0.1
ENOUGH = 10 if LONG else 3  # seconds
LIMIT = 1200
GONE = 5  # reclaimctl's exit status
REMEDIES = (["--remedy=purge", "--depth=normal"], ["--remedy=trim"], ["--remedy=purge", "--depth=deep"],
            ["--remedy=collect"])
# A thread asleep beside the one that works: without one, a busy Python's global lock can't be had.
DRIVER = "import _thread, time, unittest; _thread.start_new_thread(time.sleep, (10**6,)); unittest.main(module=None)"
# "test_append (test.test_list.ListTest.test_append) ... ok"; some print in between
BEGIN = re.compile(r"^(\w+ \([\w.<>]+\))(?:\n[^\n]*)?? \.\.\. ", re.MULTILINE)
RESULT = re.compile(r"(ok|FAIL|ERROR|expected failure|unexpected success|skipped [^\n]*)$", re.MULTILINE)


def results(text):
    """{(test, how often it had run before): result} of unittest's verbose output."""
    out, seen, begun = {}, {}, list(BEGIN.finditer(text))
    for one, after in itertools.zip_longest(begun, begun[1:]):
        got = RESULT.search(text, one.end(), after.start() if after else len(text))
        n = seen[one[1]] = seen.get(one[1], -1) + 1
        out[one[1], n] = got[1].split(" ")[0] if got else "none"
    return out


class Runner:
    """One module of the suite in a process of its own."""

    def __init__(self, module, times, cwd):
        self.proc = subprocess.Popen([judge.PYTHON, "-X", "faulthandler", "-c", DRIVER, "-v",
                                      *[f"test.{module}"] * times], cwd=cwd,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     env={**os.environ, "PYTHONHASHSEED": "1"})
        self.text, self.timer = None, threading.Timer(LIMIT if LONG else 120, self.proc.kill)
        self.timer.start()

    def read(self):
        self.text = self.proc.communicate()[0].decode(errors="replace")
        self.timer.cancel()
        return self.proc.returncode, results(self.text)


def alone(module, times, cwd):
    return Runner(module, times, cwd).read()


def purged(module, times, cwd, tally, wrong):
    runner = Runner(module, times, cwd)
    reader = threading.Thread(target=runner.read)
    reader.start()
    judge.wait_for("its second thread", 30, lambda: not reader.is_alive() or len(judge.tids(runner.proc.pid)) > 1)
    for how in itertools.cycle(REMEDIES):
        began = time.monotonic()
        if not reader.is_alive() or runner.proc.poll() is not None:
            break
        answer = judge.ctl("--json", "trim", *how, "--timeout=2s", runner.proc.pid)
        t = judge.Trim(answer, runner.proc.pid)
        if t.outcome not in ("reclaimed", "nothing", "refused", "timeout") and t.rc != GONE:
            wrong.append(repr(t))
        kind = f"{how[-1].lstrip('-').split('=')[1]} {t.outcome}"
        tally[kind] = tally.get(kind, 0) + 1
        tally["freed"] = tally.get("freed", 0) + max(t.doc["freed"], 0)
        reader.join(max(PERIOD - (time.monotonic() - began), 0))
    reader.join()
    return runner.proc.returncode, results(runner.text), runner.text


@pytest.mark.parametrize("module", MODULES)
def test_module(module, tmp_path, capsys):
    if not os.path.exists("/usr/lib/python3.11/test/test_list.py"):
        pytest.skip("CPython's test suite is missing (Debian package libpython3.11-testsuite)")
    began = time.monotonic()
    alone(module, 1, tmp_path)
    # long enough to be disturbed
    times = max(1, min(20, int(ENOUGH / (time.monotonic() - began))))
    status, want = alone(module, times, tmp_path)
    assert status in (0, 1) and len(want) > 10, (status, len(want))
    tally, wrong = {}, []
    for attempt in range(2):
        got_status, got, text = purged(module, times, tmp_path, tally, wrong)
        # its last words, where it died
        assert got_status in (0, 1), f"{module} ended with {got_status}: {text[-2000:]}"
        other = {t: (r, got.get(t)) for t, r in want.items() if got.get(t) != r}
        if not other:
            break
        with capsys.disabled():
            print(f"\n  {module}, run {attempt + 1}: {other}")
    freed = tally.pop("freed") >> 20
    with capsys.disabled():
        print(f"\n  {module}: {len(want)} tests, {list(want.values()).count('ok')} ok; {tally}, {freed} MiB")
    # what depends on the time that it takes may differ once on a busy machine, hardly twice
    assert not other, other
    assert set(got) == set(want)
    assert not wrong, wrong
    assert sum(n for kind, n in tally.items() if kind.split()[1] in ("reclaimed", "nothing")) >= 3, tally
