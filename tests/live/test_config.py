# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl config: what an administrator sees of the daemon's settings before it reads them."""

import os
import re
from pathlib import Path

import pytest

import judge
from cli import CONTROL

TOP = Path(__file__).resolve().parents[2]
HERE = "/etc/reclaim/reclaimd.conf"


@pytest.fixture
def root(tmp_path):
    class Root:
        path = tmp_path

        def put(self, name, text):
            path = tmp_path / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)
            return path

        def ctl(self, *args):
            return judge.ctl(*args, "config", f"--root={tmp_path}")

        def settings(self):
            doc = self.ctl("--json").doc
            assert doc["valid"] and not doc["errors"]
            return {(s["section"], s["key"]): (s["value"], s["origin"] and s["origin"].removeprefix(str(tmp_path)))
                    for s in doc["settings"]}

    return Root()


def test_defaults(root):
    settings = root.settings()
    assert settings["Daemon", "Mode"] == ("enforce", None)
    assert settings["Daemon", "MetricsFile"] == (None, None)
    assert settings["Reclaim", "Remedies"] == ("trim purge", None)
    assert settings["Rule sshd", "Never"] == ("yes", "built-in")
    # The shipped file says what is built in, and so changes nothing.
    root.put("/usr/lib/reclaim/reclaimd.conf", (TOP / "daemon/units/reclaimd.conf").read_text(encoding="utf-8"))
    assert root.settings() == settings
    table = root.ctl()
    assert table.rc == 0 and not table.err
    assert re.search(r"^Daemon +Mode +default +enforce$", table.out, re.M)
    assert re.search(r"^Rule sshd +Never +built-in +yes$", table.out, re.M)


def test_every_default_is_in_the_shipped_file(root):
    """Line by line, by another reader than our own."""
    found, section = {}, None
    for line in (TOP / "daemon/units/reclaimd.conf").read_text(encoding="utf-8").splitlines():
        line = line[1:] if re.match(r"#(\[|[A-Z]\w*=)", line) else line
        if line.startswith("["):
            section = line[1:-1]
        elif re.match(r"[A-Z]\w*=", line):
            key, value = line.split("=", 1)
            found[section, key] = " ".join(filter(None, [found.get((section, key)), value])) or None
    assert found == {key: value for key, (value, _) in root.settings().items()}


def test_origins_and_order(root):
    root.put("/usr/lib/reclaim/reclaimd.conf", "[Daemon]\nMode=observe\nMaxWorkers=1\n")
    root.put("/usr/lib/reclaim/reclaimd.conf.d/20-a.conf", "[Reclaim]\nMinAnon=1G\nIdleSec=5\n")
    root.put("/usr/local/lib/reclaim/reclaimd.conf.d/30-b.conf", "[Reclaim]\nIdleCPU=5%\n")
    root.put("/run/reclaim/reclaimd.conf.d/10-c.conf", "[Reclaim]\nMinAnon=2G\nIdleCPU=4%\n")
    s = root.settings()
    assert s["Daemon", "Mode"] == ("observe", "/usr/lib/reclaim/reclaimd.conf:2")
    assert s["Reclaim", "MinAnon"] == ("1G", "/usr/lib/reclaim/reclaimd.conf.d/20-a.conf:2")
    assert s["Reclaim", "IdleCPU"] == ("5%", "/usr/local/lib/reclaim/reclaimd.conf.d/30-b.conf:2")
    root.put(HERE, "[Daemon]\n\nMaxWorkers=2\n")
    root.put(HERE + ".d/20-a.conf", "[Reclaim]\nIdleSec=6s\n")
    os.symlink("/dev/null", root.path / "etc/reclaim/reclaimd.conf.d/30-b.conf")
    s = root.settings()
    assert s["Daemon", "Mode"] == ("enforce", None)
    assert s["Daemon", "MaxWorkers"] == ("2", HERE + ":3")
    assert s["Reclaim", "MinAnon"] == ("2G", "/run/reclaim/reclaimd.conf.d/10-c.conf:2")
    assert s["Reclaim", "IdleSec"] == ("6s", HERE + ".d/20-a.conf:2")
    assert s["Reclaim", "IdleCPU"] == ("4%", "/run/reclaim/reclaimd.conf.d/10-c.conf:3")


def test_rules(root):
    root.put(HERE, "[Rule mine]\nExe=/a \\\n  /b\nExe=/c\nNever=yes\n[Rule sshd]\nNever=no\n")
    s = root.settings()
    assert s["Rule mine", "Exe"] == ("/a /b /c", HERE + ":4")
    assert s["Rule mine", "Never"] == ("yes", HERE + ":5")
    assert s["Rule sshd", "Never"] == ("no", HERE + ":7")
    assert ("Rule mine", "MinAnon") not in s


def test_errors(root):
    good = root.put(HERE, "[Daemon]\nMood=1\nMode=observe\n")
    bad = root.put(HERE + ".d/a.conf", b"[Daemon]\nMode=\x1b[2J\nMaxWorkers=99\nnonsense\nMode=\xff\n")
    run = root.ctl()
    assert run.rc == 1 and not run.out
    assert run.err.splitlines() == [
        f"reclaimctl: {good}:2: ignored: unknown key 'Mood' in [Daemon]",
        f"reclaimctl: {bad}:2: Mode=: '\\x1b[2J' is not understood; expected one of observe, advise, enforce",
        f"reclaimctl: {bad}:3: MaxWorkers=: out of range: from 0 to 64",
        f"reclaimctl: {bad}:4: neither a section's head nor Key=Value: '=' is missing",
        f"reclaimctl: {bad}:5: not valid UTF-8",
        "reclaimctl: config: 4 errors: the daemon would not take this over"]
    assert not CONTROL.search(run.err)
    doc = root.ctl("--json").doc
    assert not doc["valid"] and doc["settings"] == []
    assert [e["origin"] for e in doc["errors"]] == [f"{bad}:{n}" for n in (2, 3, 4, 5)]
    assert [w["origin"] for w in doc["warnings"]] == [f"{good}:2"]
    bad.unlink()
    run = root.ctl()
    assert run.rc == 0 and run.err.count("\n") == 1
    assert re.search(r"^Daemon +Mode .*:3 +observe$", run.out, re.M)


def test_files_that_cannot_be_read(root):
    root.put(HERE + "/x", "")
    run = root.ctl()
    assert run.rc == 1 and f"{root.path}{HERE}: not a regular file" in run.err
    doc = root.ctl("--json").doc
    assert doc["errors"] == [{"origin": f"{root.path}{HERE}", "what": "not a regular file"}]


def test_hostile_names(root):
    name = b"/etc/reclaim/reclaimd.conf.d/\x1b[2J\xff\n.conf"
    path = os.fsencode(root.path) + name
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as f:
        f.write(b"[Daemon]\nMode=x\n")
    run = root.ctl()
    assert run.rc == 1 and not CONTROL.search(run.err) and "\\x1b[2J\\xff\\n.conf:2: Mode=:" in run.err
    doc = root.ctl("--json")
    assert not doc.doc["valid"] and not CONTROL.search(doc.out)


def test_no_such_root(tmp_path):
    for root in (tmp_path / "none", tmp_path / "file"):
        (tmp_path / "file").write_text("")
        run = judge.ctl("--json", "config", f"--root={root}")
        assert run.rc == 1 and run.doc["exit_status"] == 1 and str(root) in run.doc["error"]
    assert judge.ctl("config", "surplus").rc == 2


def test_help_names_every_key(root):
    text = judge.ctl("help", "config").out
    for _, key in root.settings():
        assert re.search(rf"^  {key} ", text, re.M)
    assert max(map(len, text.splitlines())) <= 110
