# SPDX-License-Identifier: GPL-2.0-or-later
"""What the planner says about a real Python, carried out by that Python itself: contents, figures, growth.

A Python asks, and its own thread, with the GIL held, does what the lists say. Longer, and with other Pythons:
tests/purge/launch.py.
"""

import json
import sys

import pytest

import judge

sys.path.insert(0, str(judge.TOP / "tests/purge"))
import launch  # noqa: E402

MIB = 1 << 20


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    return launch.build(tmp_path_factory.mktemp("purge"))


def run(tools, script, *args, **how):
    status, planner, out = launch.Pair(tools, script, *args, stdout=-1, **how).finish(120)
    assert status == 0, f"{script} {args}: status {status}: {out}"
    assert planner == 0
    return json.loads(out)


@pytest.mark.parametrize("seed", [100, 101], ids=["drop", "poison"])
@pytest.mark.parametrize("malloc", ["pymalloc", "pymalloc_debug"])
def test_churn(tools, seed, malloc):
    """Random sweeps between random work; each object says whether it is what it was."""
    got = run(tools, "churn.py", 3, seed, 8000, env={"PYTHONMALLOC": malloc})
    assert got["sweeps"] > 10 and got["checked"] > 1000, got
    assert got["sums"]["resident"] > 0 and got["best"] > 0, got
    assert bool(got["poisoned"]) == bool(seed % 2), got


# malloc's thresholds rise when the list of strings is freed; its heap then keeps what has nothing to do with us.
FIXED = {"MALLOC_MMAP_THRESHOLD_": "131072"}


# The seed experiment with a tenth of its strings. Bounds: what it came to, and a fifth more.
@pytest.fixture(scope="module")
def plain(tools):
    return run(tools, "seed.py", 1000000, 1000, "none", env=FIXED)


@pytest.mark.parametrize("depth, most", [("normal", 37 * MIB), ("deep", 25 * MIB)])
def test_seed(tools, plain, depth, most):
    got = run(tools, "seed.py", 1000000, 1000, depth, 0, env=FIXED)
    at, without = got["rss"], plain["rss"]
    freed = at["deleted"] - at["swept"]
    predicted = got["predicted"]["normal" if depth == "normal" else "deep"]
    assert without["deleted"] > 60 * MIB
    assert at["swept"] < most, got
    # exact but for what the interpreter itself allocates between the two looks
    assert abs(freed - predicted) <= 0.02 * predicted, got
    assert abs(freed - (got["sweep"]["resident"] - got["sweep"]["touched"])) <= 0.02 * predicted, got
    assert got["sweep"]["torn"] == 0 and not got["sweep"]["lists_torn"], got
    # a second sweep finds next to nothing
    assert got["again"]["resident"] <= 0.005 * predicted, got
    # growth takes no more memory than without us, and freeing gives back at least as much
    assert got["peak"] <= 1.02 * plain["peak"], (got, plain)
    assert at["freed"] <= 1.02 * without["freed"], (got, plain)
    assert at["all freed"] <= without["all freed"] + 2 * MIB, (got, plain)


def test_reserve(tools):
    """Growth within the reserve takes no new address space; without one it does."""
    without = run(tools, "cycles.py", "none", 0, 12, 50, 200000)
    deep = run(tools, "cycles.py", "deep", 0, 12, 50, 200000)
    reserved = run(tools, "cycles.py", "deep", 4096, 12, 50, 200000)
    assert reserved["peak_vsz"] <= without["peak_vsz"] + 2, (without, reserved)
    assert deep["peak_vsz"] > reserved["peak_vsz"], (deep, reserved)
    assert deep["last"][0] <= reserved["last"][0] <= without["last"][0] + 1, (without, deep, reserved)
