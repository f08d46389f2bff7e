# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages of explain --html and trim --report in a real Chromium: drawn, pointed at, zoomed, in both schemes.

RECLAIM_SHOTS=DIR keeps the screenshots; RECLAIM_PICTURES=1 renews those that the documents show.
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import judge
from picture import Page

CHROMIUM = shutil.which("chromium")
MIB = 1 << 20
# One string in a thousand is kept, of ten million.
SEED = """
import time
strings = [str(i) for i in range(10000000)]
kept = strings[::1000]
del strings
print(flush=True)
time.sleep(1000)
"""
# A heap of 8 GiB whose blocks were never written to: it is the map that is large.
LARGE = """
import ctypes, time
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
blocks = [libc.malloc(100000) for _ in range(86000)]
for i, b in enumerate(blocks):
    if i % 10:
        libc.free(b)
print(flush=True)
time.sleep(1000)
"""
SMALL = "import time; print(flush=True); time.sleep(1000)"

# Runs behind the page's own script: what a user would do, and what came of it.
PROBE = """
<script>
"use strict";
(() => {
	const found = { maps: [], dark: matchMedia("(prefers-color-scheme: dark)").matches };
	const lens = document.getElementById("lens");

	for (const div of document.querySelectorAll(".map")) {
		const canvas = div.querySelector("canvas"), box = canvas.getBoundingClientRect();
		const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
		const colors = {}, buttons = div.querySelectorAll("button"), width = canvas.width, height = canvas.height;
		let hovered = "", zoomed;

		for (let i = 0; i < pixels.length; i += 4) {
			const color = pixels[i + 3] ? [...pixels.slice(i, i + 3)].join() : "none";

			colors[color] = (colors[color] || 0) + 1;
		}
		for (let y = 1; y < height && !hovered; y += 3)
			for (let x = 1; x < width && !hovered; x += 7) {
				canvas.dispatchEvent(new MouseEvent("mousemove",
					{ clientX: box.left + x, clientY: box.top + y, bubbles: true }));
				if (!lens.hidden)
					hovered = lens.textContent;
			}
		canvas.dispatchEvent(new MouseEvent("mouseleave"));
		const left = lens.hidden;
		canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
		const walked = lens.hidden ? "" : lens.textContent;
		canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
		buttons[0].click();
		zoomed = canvas.width * canvas.height;
		buttons[1].click();
		found.maps.push({ owner: div.dataset.owner, cells: Number(div.dataset.cells), used: Number(div.dataset.used),
				  free: Number(div.dataset.free), colors, hovered, left, walked, closed: lens.hidden,
				  area: width * height, zoomed, again: canvas.width * canvas.height,
				  label: canvas.getAttribute("aria-label") });
	}
	found.bar = [...document.querySelectorAll(".bar span")].map(s => [s.className, s.getBoundingClientRect().width]);
	found.overflow = document.documentElement.scrollWidth - innerWidth;
	const out = document.createElement("pre");
	out.id = "found";
	out.textContent = JSON.stringify(found);
	document.body.append(out);
})();
</script>
"""


@pytest.fixture(scope="module", autouse=True)
def browser():
    if not CHROMIUM:
        pytest.skip("no chromium here (Debian package chromium): nothing was drawn")


def chromium(page, tmp_path, *args):
    with tempfile.TemporaryDirectory(dir=tmp_path) as profile:
        r = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                            "--enable-logging=stderr", f"--user-data-dir={profile}", "--window-size=1280,1500",
                            *args, page.as_uri()],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, check=False)
    errors = [line for line in r.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
    assert r.returncode == 0 and errors == [], errors
    return r.stdout.decode()


def probe(page, tmp_path, *args):
    probed = tmp_path / f"probed-{page.name}"
    probed.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    dom = chromium(probed, tmp_path, "--dump-dom", *args)
    return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', dom, re.S).group(1)))


def shot(page, tmp_path, name, *args):
    path = Path(os.environ.get("RECLAIM_SHOTS", tmp_path)) / f"{name}.png"
    shown = judge.TOP / "Documentation/pictures" / path.name
    chromium(page, tmp_path, f"--screenshot={path}", *args)
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10000
    if shown.exists() and os.environ.get("RECLAIM_PICTURES"):
        shutil.copy(path, shown)


@pytest.fixture(scope="module")
def target():
    """target(code): the pid of a Python that has run it and sleeps."""
    running = []

    def go(code):
        p = subprocess.Popen([judge.PYTHON, "-ISc", code], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        running.append(p)
        assert p.stdout.readline() == b"\n"
        judge.wait_for("it to sleep", 60, lambda: judge.asleep(p.pid))
        return p.pid
    yield go
    for p in running:
        p.kill()
        p.wait()


def drawn(pid, tmp_path):
    page = tmp_path / "page.html"
    r = judge.ctl("explain", pid, "--timeout=60s", f"--html={page}")
    assert r.rc == 0, r.err
    assert page.stat().st_size < 5 * MIB
    return page


def works(found):
    assert found["overflow"] <= 0
    for m in found["maps"]:
        assert m["cells"] and len(m["colors"]) > 1 and m["hovered"] and m["left"] and m["walked"] and m["closed"], m
        assert re.search(r"0x[0-9a-f]+, \d+\.\d[KM]iB: .*", m["hovered"]), m["hovered"]
        assert m["zoomed"] < m["area"] or m["area"] < 100000, m
        assert m["label"].startswith("map: ")


def common(m):
    return max((n, c) for c, n in m["colors"].items() if c != "none")[1]


def test_small(target, tmp_path):
    page = drawn(target(SMALL), tmp_path)
    found = probe(page, tmp_path)
    works(found)
    assert {m["owner"] for m in found["maps"]} >= {"1", "3"} and page.stat().st_size < MIB


def test_the_cause_is_obvious(target, tmp_path):
    """Most of the map and of the bar is what could go, and after a trim it is gone: seen, not read."""
    pid = target(SEED)
    page, report = drawn(pid, tmp_path), tmp_path / "report.html"
    found = probe(page, tmp_path)
    works(found)
    python, = [m for m in found["maps"] if m["owner"] == "3"]
    assert common(python) == "240,140,0" and python["free"] > 20 * python["used"]
    assert "keep" in python["hovered"] and "that is free" in python["hovered"]
    widths = dict(found["bar"])
    assert widths["free"] > 5 * widths["used"]
    shot(page, tmp_path, "seed", "--window-size=1280,960")
    r = judge.ctl("trim", pid, "--timeout=60s", f"--report={report}")
    assert r.rc == 0, r.err
    both = probe(report, tmp_path)
    works(both)
    before, after = [m for m in both["maps"] if m["owner"] == "3"]
    assert common(before) == "240,140,0" and common(after) == "230,230,230"
    shot(report, tmp_path, "seed-report", "--window-size=1280,1310")


def test_dark(target, tmp_path):
    page = drawn(target(SMALL), tmp_path)
    found = probe(page, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert found["dark"]
    works(found)
    shot(page, tmp_path, "dark", "--blink-settings=preferredColorScheme=0")


def test_large(target, tmp_path):
    page = drawn(target(LARGE), tmp_path)
    picture, = Page(page).pictures
    heap, = [l for l in picture["layers"] if l["key"] == "glibc"]
    assert heap["in_use"] + heap["cached"] + heap["free"] > 8000 * MIB
    assert picture["cell_size"] in (131072, 262144)
    print(f"\n  8 GiB: {page.stat().st_size >> 10} KiB, cells of {picture['cell_size'] >> 10} KiB", file=sys.stderr)
    works(probe(page, tmp_path))
    shot(page, tmp_path, "large")
