# SPDX-License-Identifier: GPL-2.0-or-later
"""Python programs that are trimmed while they work."""

import subprocess
import time

import pytest

import judge
from pyload import Server


def ask(v, word):
    v.proc.stdin.write(word.encode() + b"\n")
    v.proc.stdin.flush()
    got, good, *beats = v.proc.stdout.readline().decode().split()
    assert (got, good) == (word, "good")
    return [int(b) for b in beats]


@pytest.mark.parametrize("threads", [0, 3], ids=["alone", "with threads"])
def test_strings(start, threads):
    v = start(None, argv=[judge.PYTHON, judge.TOP / "tests/victims/pyloop.py", "200000", str(threads)], page=False,
              ready=False, stdout=subprocess.PIPE)
    assert v.proc.stdout.readline() == b"ready\n"
    v.wait_asleep()
    before, rss = v.snapshot(), judge.rss(v.pid)
    t = judge.trim(v.pid)
    assert t.acted and t.outcome in ("reclaimed", "nothing"), t
    assert abs((rss - judge.rss(v.pid)) - t.doc["freed"]) <= max(0.01 * rss, 1 << 20)
    v.unharmed(before, quiet=not threads)
    beats = ask(v, "verify")
    again = judge.wait_for("all threads to beat", 30, lambda: [ask(v, "verify")] if all(
        b > a for a, b in zip(beats, ask(v, "verify"))) else None) if threads else None
    assert again or not threads
    ask(v, "use")
    assert judge.trim(v.pid).rc == 0
    ask(v, "verify")
    ask(v, "quit")
    assert v.proc.wait(30) == 0


def test_it_frees_what_the_interpreter_cannot(start):
    """Large strings, all but one in a thousand deleted: that memory is malloc's and comes back."""
    v = start(None, argv=[judge.PYTHON, judge.TOP / "tests/victims/pyloop.py", "300000", "0"], page=False,
              ready=False, stdout=subprocess.PIPE)
    assert v.proc.stdout.readline() == b"ready\n"
    v.wait_asleep()
    t = judge.trim(v.pid)
    assert t.outcome == "reclaimed" and t.doc["freed"] > 0, t
    ask(v, "verify")


def test_server_under_load(capsys):
    """Every answer right, every tick in time, every signal handled, while it is trimmed again and again."""
    with Server() as s:
        s.moves_on()
        before = judge.Snapshot(s.pid)
        tally, sent = {}, 0
        end = time.monotonic() + 5
        while time.monotonic() < end:
            t = judge.trim(s.pid, "--timeout=2s")
            tally[t.outcome] = tally.get(t.outcome, 0) + 1
            assert t.rc in (0, 3) and (t.rc == 0 or t.reason), t
            diff = before.differences(judge.Snapshot(s.pid), quiet=False)
            assert not [d for d in diff if "new mapping" in d or "Tracer" in d or "SigCgt" in d], diff
            s.signal()
            sent += 1
            s.moves_on()
        judge.wait_for("SigBlk as before", 30, lambda: judge.Snapshot(s.pid).threads[s.pid] == before.threads[s.pid])
        counts = s.finish()
        with capsys.disabled():
            print(f"\n  asyncio server: trims {tally}, {counts}, slowest answer {s.slowest * 1000:.1f} ms")
        assert tally.get("reclaimed", 0) + tally.get("nothing", 0) > 10, tally
        # signals of one kind may be merged, never be lost altogether
        assert sent * 0.9 <= counts["signals"] <= sent
