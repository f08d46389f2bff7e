# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of report --html in a real Chromium: areas where memory is, the pointer tells figures, in both schemes."""

import re

import pytest

import judge
from test_browser import SEED, browser, chromium, probe, shot, target  # noqa: F401
import test_browser

MIB = 1 << 20
# Runs behind the page's own script: what a user would do, and what came of it.
PROBE = """
<script>
"use strict";
(() => {
	const found = { plots: [], dark: matchMedia("(prefers-color-scheme: dark)").matches };
	const lens = document.getElementById("lens");

	for (const svg of document.querySelectorAll("svg.over-time")) {
		const box = svg.getBoundingClientRect(), layers = {}, told = [];

		for (const path of svg.querySelectorAll("[data-layer]"))
			layers[path.dataset.layer] = [path.getBBox().height, getComputedStyle(path).fill];
		for (const part of [0.2, 0.9]) {
			svg.dispatchEvent(new MouseEvent("mousemove",
				{ clientX: box.left + box.width * part, clientY: box.top + 50, bubbles: true }));
			told.push(lens.hidden ? "" : lens.textContent);
		}
		svg.dispatchEvent(new MouseEvent("mouseleave"));
		const left = lens.hidden;
		svg.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
		const walked = lens.hidden ? "" : lens.textContent;
		svg.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
		found.plots.push({ layers, told, left, walked, closed: lens.hidden,
				   marks: [...svg.querySelectorAll("[data-event]")].map(g => g.dataset.event) });
	}
	found.overflow = document.documentElement.scrollWidth - innerWidth;
	const out = document.createElement("pre");
	out.id = "found";
	out.textContent = JSON.stringify(found);
	document.body.append(out);
})();
</script>
"""


@pytest.fixture(scope="module")
def page(target, tmp_path_factory):  # noqa: F811
    """A heap that holds much that is free, and is trimmed in the middle."""
    place = tmp_path_factory.mktemp("recording")
    pid, path, html = target(SEED), place / "a.rec", place / "page.html"
    with judge.subprocess.Popen([judge.CTL, "record", str(pid), "-o", path, "-i", "100ms", "--cpu=100"]) as p:
        def looked():
            r = judge.ctl("--json", "report", path)
            return r.doc["processes"][0]["looked"] if r.rc == 0 and r.doc["processes"] else 0

        judge.wait_for("looks", 60, lambda: looked() > 3)
        assert judge.ctl("trim", pid, "--timeout=60s").rc == 0
        before = looked()
        judge.wait_for("more looks", 60, lambda: looked() > before + 3)
        p.send_signal(2)
    assert judge.ctl("report", path, f"--html={html}").rc == 0
    return html


def probed(page, tmp_path, monkeypatch, *args):
    monkeypatch.setattr(test_browser, "PROBE", PROBE)
    found = probe(page, tmp_path, *args)
    plot, = found["plots"]
    assert found["overflow"] <= 0 and plot["left"] and plot["closed"] and plot["walked"]
    assert all(re.match(r"\d+(\.\d)?s: resident \d+\.\dMiB", text) for text in plot["told"])
    return found, plot


def held(text):
    m = re.search(r"([\d.]+)MiB Python, free, still held", text)
    return float(m[1]) if m else 0


def test_seen_at_a_glance(page, tmp_path, monkeypatch):
    _, plot = probed(page, tmp_path, monkeypatch)
    # Most of the plot is what is free, and it goes.
    assert plot["layers"]["cpython-free"][0] > 100 and plot["layers"]["cpython-free"][1] == "rgb(240, 140, 0)"
    assert plot["layers"]["files"][0] > 1
    assert held(plot["told"][0]) > 20 and held(plot["told"][1]) < held(plot["told"][0]) / 2
    assert "returned" in plot["marks"] or "drop" in plot["marks"]
    assert page.stat().st_size < MIB
    shot(page, tmp_path, "over-time", "--window-size=1280,1060")


def test_dark(page, tmp_path, monkeypatch):
    dark = "--blink-settings=preferredColorScheme=0"
    found, plot = probed(page, tmp_path, monkeypatch, dark)
    assert found["dark"] and plot["layers"]["cpython-free"][1] == "rgb(255, 159, 28)"
    shot(page, tmp_path, "over-time-dark", dark)


def test_svg_alone(page, tmp_path):
    """What a browser makes of the picture by itself."""
    svg = tmp_path / "plot.svg"
    assert judge.ctl("report", page.parent / "a.rec", f"--svg={svg}").rc == 0
    shot(svg, tmp_path, "over-time-svg")
    assert "data-layer=\"cpython-free\"" in chromium(svg, tmp_path, "--dump-dom")
