# SPDX-License-Identifier: GPL-2.0-or-later
"""The module's package builds it for the kernels whose headers are there, and takes it away again."""

import re

import pytest

from conftest import OLD

# Debian's oldest and newest: those of the other suites lie between.
SERIES = {"bookworm": "6.1", "forky": "7.2"}
HEADERS = "linux-headers-cloud-amd64"
PACKAGE = "reclaim-dkms"


def built(box):
    """{version: releases of kernels that it is installed for}"""
    found = {}
    for line in box.run("dkms", "status", "reclaim").splitlines():
        m = re.match(r"reclaim/([^,]+), ([^,]+), x86_64: installed", line)
        if m:
            found.setdefault(m[1], []).append(m[2])
    return found


def module(box, release):
    done = box.run("find", f"/lib/modules/{release}/", "-name", "reclaim.ko*", check=False)
    return done.stdout.split()


@pytest.mark.parametrize("suite", SERIES)
def test_dkms(box, debs, older, suite):
    b = box(suite, HEADERS, "dkms", "gcc", "make", "libc6-dev", "kmod")
    release, = (p.name for p in (b.dir / "lib/modules").iterdir() if (p / "build").is_symlink())
    assert release.startswith(f"{SERIES[suite]}."), release
    before = b.files()

    b.install(older, PACKAGE)
    # The kernel that runs is this machine's, and nobody has its headers there: dkms is told which one is meant.
    b.run("dkms", "install", f"reclaim/{OLD}", "-k", release)
    assert built(b) == {OLD: [release]}
    where, = module(b, release)
    assert b.run("modinfo", "-F", "version", where) == OLD

    said = b.install(debs, PACKAGE)
    new = b.version(PACKAGE).removeprefix("installed ")
    assert OLD not in built(b), said
    b.run("dkms", "install", f"reclaim/{new}", "-k", release)
    assert built(b) == {new: [release]}
    where, = module(b, release)
    assert b.run("modinfo", "-F", "version", where) == new
    assert b.run("modinfo", "-F", "vermagic", where).split()[0] == release
    assert b.run("cat", "/usr/lib/modules-load.d/reclaim.conf").splitlines()[-1] == "reclaim"

    b.apt("purge", PACKAGE)
    assert not module(b, release)
    left = {f for f in b.files() - before if not re.fullmatch(rf"(/usr)?/lib/modules/{release}(/updates.*|/modules\..*)", f)}
    assert not left
