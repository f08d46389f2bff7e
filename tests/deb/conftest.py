# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages that scripts/deb builds, and systems to try them in. These tests need root and the mirror."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import judge

OUT = judge.BUILD
TOOL = judge.TOP / "scripts/chroot"
OLD = "0.0.9"


def build(folder, *options, how=(), tree=judge.TOP):
    """scripts/deb, as one would call it; the folder with what it made"""
    done = subprocess.run([*how, tree / "scripts/deb", *options, folder], check=False, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(scope="session")
def debs():
    """make deb has been there already."""
    folder = OUT / "deb"
    assert list(folder.glob("reclaimd_*.deb")), "run make deb first"
    return folder


@pytest.fixture(scope="session")
def older():
    """RECLAIM_DEB_OLDER names a folder that has them from another run."""
    if "RECLAIM_DEB_OLDER" in os.environ:
        return Path(os.environ["RECLAIM_DEB_OLDER"])
    return build(OUT / "deb-older", f"--version={OLD}", "--no-check")


class Box:
    """A Debian of its own: a copy of one that was made once."""

    def __init__(self, suite, packages):
        self.suite = suite
        base = OUT / "chroot" / "-".join(["deb", suite, *packages[:1]])
        self.dir = base.with_name(f"{base.name}-run-{os.getpid()}")
        subprocess.run([TOOL, "create", suite, base, *packages], check=True)
        subprocess.run(["cp", "-a", base, self.dir], check=True)
        self.run("apt-get", "-qq", "-o", "Acquire::Retries=3", "-o", "Acquire::Check-Valid-Until=false", "update")

    def run(self, *argv, check=True, binds=(), timeout=900):
        """A command in it: its output, or with check=False all of it"""
        how = [word for pair in binds for word in ("--bind", *pair)]
        done = subprocess.run([TOOL, "run", *how, self.dir, *argv], check=False, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=timeout)
        assert not check or done.returncode == 0, f"{' '.join(map(str, argv))}:\n{done.stdout[-3000:]}"
        return done.stdout.strip() if check else done

    def apt(self, verb, *what):
        return self.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0",
                        "-o", "Acquire::Retries=3", "--no-install-recommends", verb, *what)

    def install(self, folder, *packages):
        """apt install ./PACKAGE.deb..."""
        inside = self.dir / "debs"
        shutil.rmtree(inside, ignore_errors=True)
        inside.mkdir()
        for package in packages:
            found = list(folder.glob(f"{package}_*.deb"))
            assert len(found) == 1, f"{package} in {folder}: {found}"
            shutil.copy(found[0], inside)
        said = self.apt("install", *(f"/debs/{p.name}" for p in sorted(inside.iterdir())))
        shutil.rmtree(inside)
        return said

    def files(self):
        """All that there is, but for what apt and dpkg keep for themselves"""
        out = self.run("find", "/", "-xdev", "(", "-path", "/var/cache", "-o", "-path", "/var/log", "-o", "-path",
                       "/var/lib/apt", "-o", "-path", "/var/lib/dpkg", "-o", "-path", "/tmp", ")", "-prune", "-o",
                       "-print")
        return set(out.splitlines())

    def version(self, package):
        done = self.run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def remove(self):
        subprocess.run([TOOL, "remove", self.dir], check=True)


@pytest.fixture
def box():
    """box(suite, package...): gone at the end of the test"""
    made = []

    def go(suite, *packages):
        made.append(Box(suite, packages))
        return made[-1]
    yield go
    for b in made:
        b.remove()
