# SPDX-License-Identifier: GPL-2.0-or-later
"""What is built: the same each time, with nothing that lintian has to say, all of it in some package."""

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

import judge
from conftest import build

# Two machines, as far as one can be two
ELSEWHERE = ["unshare", "--uts", "sh", "-c", "hostname elsewhere; umask 077; exec \"$@\"", "elsewhere",
             "env", "TZ=Pacific/Kiritimati", "LANG=de_DE.UTF-8", "LC_ALL=C.UTF-8", "HOME=/nonexistent", "USER=somebody"]


def sums(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()
            if p.name.endswith((".deb", ".dsc", ".tar.xz"))}


def contents(deb):
    """[(mode and owner, path)] of a package"""
    out = subprocess.run(["dpkg-deb", "-c", deb], check=True, text=True, stdout=subprocess.PIPE).stdout
    return [(line.split()[0] + " " + line.split()[1], line.split(None, 5)[5]) for line in out.splitlines()]


def test_reproducible(debs):
    """From its own source package, at another place, with another name of the machine, time zone, language, umask
    and home: source and packages"""
    source, = debs.glob("*.dsc")
    with tempfile.TemporaryDirectory(prefix="somewhere-else-") as folder:
        subprocess.run(["dpkg-source", "-x", source, f"{folder}/tree"], check=True, stdout=subprocess.DEVNULL)
        again = build(Path(folder) / "deb", "--no-check", how=ELSEWHERE, tree=Path(folder) / "tree")
        assert sums(debs) == sums(again)
    names = [n.split("_")[0] for n in sums(debs)]
    assert {"reclaimd", "reclaim-dkms", "reclaim-doc"} <= set(names) and len(names) >= 5


def test_lintian(debs):
    """Down to what is pedantic; each override in scripts/debian has its reason."""
    changes, = debs.glob("*.changes")
    done = subprocess.run(["lintian", "--allow-root", "--display-info", "--pedantic", "--show-overrides", changes],
                          check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    # Of what is overridden it tells, so it has looked.
    assert "O: reclaimd: spare-manual-page" in done.stdout
    assert not [line for line in done.stdout.splitlines() if line[:3] in ("E: ", "W: ", "I: ", "P: ")], done.stdout


def test_everything_is_packed(debs):
    """What make install and make dkms-tree make, with nothing left out, in one package each"""
    names = [path for deb in debs.glob("*.deb") if "-dbgsym" not in deb.name
             for _, path in contents(deb) if not path.endswith("/")]
    assert len(names) == len(set(names))
    for unit in (judge.TOP / "daemon/units").glob("*.in"):
        assert [n for n in names if n.endswith(f"/systemd/system/{unit.stem}")], unit
    for page in (judge.TOP / "Documentation/man").glob("*.rst"):
        assert [n for n in names if n.endswith(f"/{page.stem}.gz")], page
    for place in ("/usr/bin/reclaimctl", "/usr/sbin/reclaimd", "/usr/libexec/reclaim/reclaim-worker",
                  "/usr/share/dbus-1/system.d/org.reclaim1.conf", "/usr/lib/reclaim/reclaimd.conf",
                  "/usr/share/doc/reclaimd/operations.rst", "/usr/share/doc/reclaimd/README.md"):
        assert f".{place}" in names
    assert not [n for n in names if "/usr/local/" in n or "/COPYING" in n]


def test_nobody_else_may_write(debs):
    for deb in debs.glob("*.deb"):
        for mode, path in contents(deb):
            assert mode.split()[1] == "root/root", (deb, path)
            assert mode[0] == "l" or (mode[5] != "w" and mode[8] != "w"), (deb, path, mode)
            assert "s" not in mode.split()[0], (deb, path, mode)


def test_pages(debs):
    """Whatever a page or the README points at in the file system is there, and from the index all can be reached."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("reclaimd", "reclaim-doc"):
            subprocess.run(["dpkg-deb", "-x", next(debs.glob(f"{name}_*.deb")), folder], check=True)
        docs = Path(folder, "usr/share/doc/reclaimd")
        pages = {p.resolve() for p in (docs / "html").rglob("*.html")}
        reached, todo = set(), [(docs / "html/index.html").resolve()]
        while todo:
            page = todo.pop()
            reached.add(page)
            text = page.read_text(encoding="utf-8")
            for target in re.findall(r"""(?:href|src)="([^":#]+)(?:#[^"]*)?\"""", text):
                found = (page.parent / target).resolve()
                assert found.is_file(), (page, target)
                if found.suffix == ".html" and found not in reached:
                    todo.append(found)
        assert len(pages) > 15 and reached == pages, pages - reached
        for target in re.findall(r"\]\(([^):#]+)\)", (docs / "README.md").read_text(encoding="utf-8")):
            # Debian has licences at one place, and their texts under one name.
            assert (docs / target).exists() or target == "COPYING", target


def test_spec():
    """rpm, whose packages have other names, can read what it would build ours from."""
    spec = judge.TOP / "scripts/reclaim.spec"
    done = subprocess.run(["rpmspec", "-P", spec], check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0 and not done.stderr and "%{name}" not in done.stdout, done
    done = subprocess.run(["rpmspec", "-q", "--builtrpms", "--qf", "%{name} %{version}\n", spec], check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    version = next(line.split()[-1] for line in (judge.TOP / "Makefile").read_text().splitlines()
                   if line.startswith("VERSION := "))
    assert set(done.stdout.splitlines()) == {f"{n} {version}" for n in ("reclaimd", "reclaim-dkms", "reclaim-doc")}


def test_ours_are_linked_with_shared_libraries(debs):
    """An update of libelf must reach what parses others' files."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", next(debs.glob("reclaimd_*.deb")), folder], check=True)
        worker = os.path.join(folder, "usr/libexec/reclaim/reclaim-worker")
        needed = subprocess.run(["objdump", "-p", worker], check=True, text=True, stdout=subprocess.PIPE).stdout
        assert "libelf.so.1" in needed and "libdw.so.1" in needed
