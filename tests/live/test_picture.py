# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl explain --html, --svg and trim --report, on real processes: what is drawn is what is said."""

import os
import re
import xml.etree.ElementTree
from pathlib import Path

import judge
from cli import CONTROL, HOSTILE, as_json, fake, named, one_line, sleeper  # noqa: F401
from picture import OWNERS, Page, cells, held, total
from test_explain import PINNED, layer, python  # noqa: F401

MIB = 1 << 20
SVG = "{http://www.w3.org/2000/svg}"


def draw(pid, tmp_path):
    """(the document, the page, its only picture, cells by owner) of one look."""
    page, svg = tmp_path / "page.html", tmp_path / "picture.svg"
    r = judge.ctl("--json", "explain", pid, f"--html={page}", f"--svg={svg}")
    assert r.rc == 0, r.err
    for path in (page, svg):
        assert path.stat().st_mode & 0o777 == 0o600
    p = Page(page)
    picture, = p.pictures
    every = cells(picture)
    assert [(c["at"], c["owner"]) for c in every] == sorted((c["at"], c["owner"]) for c in every)
    return r.doc, p, picture, {name: [c for c in every if c["owner"] == n] for name, n in OWNERS.items()}


def same_totals(doc, p, picture):
    """The page says what the document says."""
    layers = {l["key"]: l for l in picture["layers"]}
    for name in ("glibc", "cpython"):
        said = layer(doc, name) if name in [l["layer"] for l in doc["layers"]] else None
        if said and name in layers and said["state"] in ("read", "estimate"):
            for key in ("in_use", "free", "free_resident"):
                assert layers[name][key] == said[key], (name, key)
    kernel = sum(a["resident"] for a in layer(doc, "kernel")["accounts"])
    assert sum(picture["parts"].values()) == kernel
    assert sum(l["resident"] for l in layers.values()) == kernel
    for note in doc["notes"]:
        assert note in p.text("li")


def test_python(python, tmp_path):  # noqa: F811
    pid = python(PINNED)
    switches = judge.switches(pid)
    doc, p, picture, by = draw(pid, tmp_path)
    assert judge.switches(pid) == switches and judge.status(pid)["TracerPid"] == "0"
    same_totals(doc, p, picture)
    py, glibc = layer(doc, "cpython"), layer(doc, "glibc")
    assert picture["cell_size"] == 4096 and picture["arena_size"] == py["arena_size"]
    # All of an arena is something, and what is in use and what could go back is exact.
    assert held(by["cpython"]) == py["arena_bytes"]
    assert total(by["cpython"], "in_use") == py["in_use"]
    assert total(by["cpython"], "free_resident") == py["free_resident"]
    assert total(by["cpython"], "live_blocks") == py["blocks_used"]
    rest = total(by["cpython"], "free_shared") + total(by["cpython"], "free_gone")
    assert abs(rest - (py["free"] - py["free_resident"])) < py["arena_bytes"] / 100
    resident = len(by["cpython"]) * 4096 - total(by["cpython"], "absent")
    assert abs(resident - py["resident"]) < MIB
    same_heap(glibc, by["glibc"])
    assert {owner for _, owner in p.maps} >= {OWNERS["cpython"], OWNERS["glibc"]}
    # In words: what is wrong, and what would help.
    assert re.search(r"\d+\.\dMiB of \d+\.\dMiB are free, and still held", p.text("h2"))
    assert f"reclaimctl trim {pid} gives about" in p.text("p")


def same_heap(glibc, some):
    assert held(some) == glibc["system"]
    for key in ("in_use", "cached", "free_resident"):
        assert total(some, key) == glibc[key], key
    assert total(some, "free_shared") + total(some, "free_gone") == glibc["free"] - glibc["free_resident"]
    assert total(some, "live_blocks") == glibc["live_blocks"]


def test_c(start, tmp_path):
    """100 MB in blocks of 64 to 960 bytes, over several arenas, 99 in 100 freed."""
    v = start("bloat", "--count=200000", "--keep=100", asleep=True)
    doc, p, picture, by = draw(v.pid, tmp_path)
    same_totals(doc, p, picture)
    same_heap(layer(doc, "glibc"), by["glibc"])
    assert total(by["glibc"], "free_resident") > 30 * MIB
    assert picture["cell_size"] == 4096 and len(p.raw) < 5 << 20
    root = xml.etree.ElementTree.parse(tmp_path / "picture.svg").getroot()
    assert root.tag == SVG + "svg" and len(list(root.iter(SVG + "rect"))) > 500
    assert (tmp_path / "picture.svg").stat().st_size < 2 << 20


def test_before_and_after(python, tmp_path):  # noqa: F811
    pid, page = python(PINNED), tmp_path / "report.html"
    r = judge.ctl("--json", "trim", pid, f"--report={page}")
    assert r.rc == 0 and r.doc[0]["outcome"] == "reclaimed", r.err
    p = Page(page)
    before, after = p.pictures
    assert before["label"] == "before" and re.fullmatch(r"after: \d+\.\dMiB less", after["label"])
    assert before["parts"]["free"] - after["parts"]["free"] > 4 * MIB
    gone = [total([c for c in cells(x) if c["owner"] == OWNERS["cpython"]], "free_gone") for x in (before, after)]
    assert gone[1] - gone[0] > 4 * MIB
    assert [n for n, owner in p.maps if owner == OWNERS["cpython"]] == [0, 1]


def test_report_is_for_one(tmp_path):
    page = tmp_path / "report.html"
    for args in (["trim", os.getpid(), os.getppid()], ["trim", "--all"], ["trim", "--dry-run", os.getpid()]):
        r = judge.ctl(*args, f"--report={page}")
        assert r.rc == 2 and not page.exists()
        one_line(r.err, "--report is for one process id")


def test_report_of_nobody(tmp_path):
    page = tmp_path / "report.html"
    r = judge.ctl("trim", 999999999, f"--report={page}")
    assert r.rc == 5 and r.out == "" and not page.exists()
    one_line(r.err, "trim: --report: pid 999999999: no such process")


def test_hostile_names(named, tmp_path):  # noqa: F811
    pid, _ = named
    doc, p, picture, _ = draw(pid, tmp_path)
    assert picture["comm"] == as_json(HOSTILE) == doc["comm"]
    heading = p.text("h1") + p.text("small")
    assert not CONTROL.search(heading.replace("\n", "")) and "\ufffd" in heading
    assert [tag for tag, _ in p.tags].count("script") == 2
    text = "".join(xml.etree.ElementTree.parse(tmp_path / "picture.svg").getroot().itertext())
    assert not CONTROL.search(text.replace("\n", ""))


def test_refuses_what_is_no_file(sleeper, tmp_path):  # noqa: F811
    pid = sleeper()
    link, fifo, there = tmp_path / "link", tmp_path / "fifo", tmp_path / "there"
    there.write_text("mine")
    link.symlink_to(there)
    os.mkfifo(fifo)
    for path in (link, fifo, tmp_path, Path("/dev/null"), Path("/proc/self/mem")):
        for option in ("--html", "--svg"):
            r = judge.ctl("explain", pid, f"{option}={path}")
            assert r.rc == 1 and r.out == "", path
            one_line(r.err, f"explain: {path}: ")
            # The last one looks like a file, and nothing can be made beside it.
            assert "left alone: name another file" in r.err or path.name == "mem"
        r = judge.ctl("trim", pid, f"--report={path}")
        assert r.rc == 1 and r.out == "", path
        one_line(r.err, f"trim: --report: {path}: ")
    assert there.read_text() == "mine" and link.is_symlink() and fifo.is_fifo()
    r = judge.ctl("explain", pid, f"--html={there}")
    assert r.rc == 0 and r.out == "" and r.err == "" and there.read_text().startswith("<!DOCTYPE html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fifo", "link", "there"]


def test_page_and_picture_are_two_files(sleeper, tmp_path):  # noqa: F811
    pid, recording, here = sleeper(), tmp_path / "x.rec", ("env", "-C", tmp_path)
    (tmp_path / "to").symlink_to(tmp_path)
    recording.write_text("whatever")
    for verb in (["explain", pid], ["report", recording]):
        for other in ("same", "./same", tmp_path / "same", "to/same"):
            r = judge.ctl(*verb, "--html=same", f"--svg={other}", prefix=here)
            assert r.rc == 2 and r.out == "", (verb, other)
            one_line(r.err, f"{verb[0]}: --html and --svg are two files")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["to", "x.rec"]
    # The same name elsewhere is another file.
    (tmp_path / "folder").mkdir()
    r = judge.ctl("explain", pid, "--html=same", "--svg=folder/same", prefix=here)
    assert r.rc == 0, r.err
    assert (tmp_path / "same").read_text().startswith("<!DOCTYPE html>")
    assert (tmp_path / "folder/same").read_text().startswith("<?xml")


def test_to_standard_output(sleeper, tmp_path):  # noqa: F811
    pid, recording, here = sleeper(), tmp_path / "x.rec", ("env", "-C", tmp_path)
    assert judge.ctl("record", pid, "--count=1", f"--output={recording}").rc == 0
    for verb in (["explain", pid], ["report", recording]):
        r = judge.ctl(*verb, "--html=-", prefix=here)
        assert r.rc == 0 and r.err == ""
        assert r.out.startswith("<!DOCTYPE html>") and r.out.endswith("</html>\n") and r.out.count("<html") == 1
        r = judge.ctl(*verb, "--svg=-", prefix=here)
        assert r.rc == 0 and xml.etree.ElementTree.fromstring(r.out.encode()).tag == SVG + "svg"
        # Both at once are for a reader that can't tell them apart.
        for more, words in ((["--svg=-", "--html=-"], "are two files"), (["--json", "--svg=-"], "name a file")):
            r = judge.ctl(*verb, *more, prefix=here)
            assert r.rc == 2 and "<" not in r.out
            one_line(r.err, words)
        for stdout, words in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
            r = judge.ctl(*verb, "--html=-", prefix=("sh", "-c", f'cd {tmp_path}; exec "$0" "$@" {stdout}'))
            assert r.rc == 1
            one_line(r.err, f"{verb[0]}: standard output: {words}")
    r = judge.ctl("trim", pid, "--report=-", prefix=here)
    assert r.rc == 2 and r.out == ""
    one_line(r.err, "--report: standard output is for what was done; name a file")
    assert [p.name for p in tmp_path.iterdir()] == ["x.rec"]
    # Who wants a file of this name has another word for it.
    r = judge.ctl("explain", pid, "--html=./-", "--svg=-", prefix=here)
    assert r.rc == 0 and r.out.startswith("<?xml") and (tmp_path / "-").read_text().startswith("<!DOCTYPE html>")


def test_no_map_of_what_has_none(tmp_path):
    """A kernel thread: nothing inside, and the page says so."""
    page = tmp_path / "page.html"
    r = judge.ctl("explain", 2, f"--html={page}")
    assert r.rc in (0, 5), r.err
    if r.rc == 0:
        p = Page(page)
        assert p.maps == [] and "could not be looked at" in p.text("h2") and "kernel thread" in p.text("p")
