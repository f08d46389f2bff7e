# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures for all tests that work on real processes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import judge

SOURCES = Path(__file__).resolve().parent / "victims"


def pytest_collection_modifyitems(items):
    """All but the command line's own tests work on other users' processes, namespaces and mounts."""
    if os.geteuid():
        for item in items:
            if not item.path.name.startswith("test_cli"):
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture
def start():
    """start(name, *args, **how): a ready victim; all are gone when the test ends."""
    running = []

    def go(name, *args, ready=True, asleep=False, argv=None, **kw):
        v = judge.Victim(argv, **kw) if argv else judge.victim(name, *args, **kw)
        running.append(v)
        if ready:
            v.wait_ready()
        if asleep:
            v.wait_asleep()
        return v
    yield go
    for v in running:
        v.kill()


class Special:
    """Victims that need another compiler, linker or place; built once, on demand."""

    def __init__(self, tmp):
        self.dir = tmp
        self.done = {}
        # other users and namespaces must get there
        for d in [tmp, *tmp.parents]:
            if d == Path("/tmp") or d == Path("/"):
                break
            d.chmod(0o755)

    def tool(self, name, package):
        path = shutil.which(name)
        if not path:
            pytest.skip(f"{name} is missing (Debian package {package})")
        return path

    def make(self, out, argv):
        if out not in self.done:
            path = self.dir / out
            r = subprocess.run([*map(str, argv), "-o", str(path)], stderr=subprocess.PIPE, check=False)
            assert r.returncode == 0, r.stderr.decode()
            self.done[out] = path
        return self.done[out]

    def cc(self, out, *flags, source="plain.c", compiler="gcc"):
        return self.make(out, [compiler, "-std=gnu11", "-D_GNU_SOURCE", "-O2", *flags, SOURCES / source])

    def static(self):
        return self.cc("plain-static", "-static")

    def static_pie(self):
        return self.cc("plain-static-pie", "-static-pie")

    def static_stripped(self):
        return self.cc("plain-static-stripped", "-static", "-s")

    def musl(self, static=False):
        compiler = self.tool("musl-gcc", "musl-tools")
        return self.cc(f"plain-musl-{static}", *(["-static"] if static else []), compiler=compiler)

    def i386(self):
        self.tool("as", "binutils")
        obj = self.make("i386.o", ["gcc", "-m32", "-c", SOURCES / "i386.S"])
        return self.make("i386", ["ld", "-m", "elf_i386", obj])

    def library(self, pattern, package):
        found = sorted(Path("/usr/lib/x86_64-linux-gnu").glob(pattern))
        if not found:
            pytest.skip(f"{pattern} is missing (Debian package {package})")
        return found[0]


@pytest.fixture(scope="session")
def special(tmp_path_factory):
    return Special(tmp_path_factory.mktemp("special"))
