# SPDX-License-Identifier: GPL-2.0-or-later
"""A package's life in a bare Debian: installed, at work, upgraded, removed, purged."""

import json
import subprocess
from pathlib import Path

import pytest

from conftest import OLD, TOOL

SUITES = ["bookworm", "trixie"]
VICTIM = Path(__file__).with_name("victim.py")
PACKAGES = ["reclaimd", "reclaim-doc"]
HISTORY = "/var/lib/reclaim"
# Who asks bash what it would offer for a command line
COMPLETE = r"""
source /usr/share/bash-completion/bash_completion
_completion_loader reclaimctl
COMP_WORDS=(reclaimctl ex) COMP_CWORD=1 COMP_LINE="reclaimctl ex" COMP_POINT=13
_reclaimctl reclaimctl ex reclaimctl
printf '%s\n' "${COMPREPLY[@]}"
"""


def works(box, version):
    """reclaimctl knows its version, and takes back what another program has freed."""
    assert version in box.run("reclaimctl", "--version")
    assert version in box.run("reclaimd", "--version")
    assert json.loads(box.run("reclaimctl", "--json", "config"))["valid"]
    (box.dir / "victim.py").write_text(VICTIM.read_text(encoding="utf-8"), encoding="utf-8")
    victim = subprocess.Popen([TOOL, "run", box.dir, "python3", "/victim.py"], text=True, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    try:
        assert victim.stdout.readline() == "ready\n"
        # As root of this machine: /proc of the chroot shows all of its processes.
        done = box.run("reclaimctl", "--json", "trim", "--timeout=60s", str(victim.pid), check=False)
        assert done.returncode == 0, done.stdout
        target, = json.loads(done.stdout)
        assert target["outcome"] == "reclaimed" and target["rss_before"] - target["rss_after"] > 8 << 20, target
        victim.stdin.write("verify\n")
        victim.stdin.flush()
        assert victim.stdout.readline() == "intact\n"
    finally:
        victim.kill()
        victim.wait()
        (box.dir / "victim.py").unlink()


def documents(box):
    """Man pages as man finds them, completion as bash does; files that are named are there."""
    for page in ("reclaimctl.1", "reclaimd.8", "reclaim-worker.8", "reclaimd.conf.5", "reclaim.7"):
        name, section = page.rsplit(".", 1)
        assert name in box.run("man", section, name), page
    assert box.run("bash", "-c", COMPLETE) == "explain"
    for path in ("/usr/share/zsh/vendor-completions/_reclaimctl", "/usr/share/doc/reclaimd/operations.rst",
                 "/usr/share/doc/reclaimd/html/operations.html", "/usr/share/doc/reclaimd/monitoring/reclaim-alerts.yml"):
        assert (box.dir / path.lstrip("/")).is_file(), path
    unit = box.run("cat", "/lib/systemd/system/reclaimd.service")
    for word in unit.split():
        if word.startswith("file:"):
            assert (box.dir / word.removeprefix("file:/")).is_file(), word
    assert not box.run("dpkg", "--verify", *PACKAGES)


@pytest.mark.parametrize("suite", SUITES)
def test_life(box, debs, older, suite):
    b = box(suite, "bash-completion", "man-db", "python3")
    # minbase throws manuals away nowhere, but an image for containers does.
    before = b.files()

    b.install(older, *PACKAGES)
    assert b.version("reclaimd") == f"installed {OLD}"
    works(b, OLD)
    # What the daemon would have made, and what an administrator would
    b.run("mkdir", "-p", HISTORY, "/etc/reclaim/reclaimd.conf.d")
    b.run("sh", "-c", f"echo 1 >{HISTORY}/kept; echo '[Daemon]' >/etc/reclaim/reclaimd.conf.d/own.conf")

    b.install(debs, *PACKAGES)
    new = b.version("reclaimd").removeprefix("installed ")
    assert new != OLD
    assert b.version("reclaim-doc") == f"installed {new}"
    works(b, new)
    documents(b)
    assert "multi-user.target.wants/reclaimd.service" in b.run("find", "/etc/systemd/system", "-name", "reclaimd*")

    b.apt("remove", *PACKAGES)
    kept = {f for f in b.files() - before if "reclaim" in f}
    assert {f for f in kept if f.startswith(HISTORY)} == {HISTORY, f"{HISTORY}/kept"}

    b.apt("purge", *PACKAGES)
    b.apt("autoremove", "--purge")
    assert b.version("reclaimd") is None
    # What is left is the administrator's own.
    own = {"/etc/reclaim", "/etc/reclaim/reclaimd.conf.d", "/etc/reclaim/reclaimd.conf.d/own.conf"}
    assert b.files() - before == own
    assert not before - b.files()
