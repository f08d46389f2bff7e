# SPDX-License-Identifier: GPL-2.0-or-later
"""The DaemonSet of Documentation/examples, as far as it can be tried without a cluster: its command, capabilities,
configuration and volumes, in namespaces of its own but for that of processes, with a root that can't be written to."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import judge
from conftest import TOOL

yaml = pytest.importorskip("yaml")
EXAMPLE = judge.TOP / "Documentation/examples/reclaim-daemonset.yaml"
# A program of this machine's, and everybody else's left alone.
OURS = """
[Daemon]
Mode=enforce
IntervalSec=1s
ActionsPerMinute=60
StopBudgetSec=1min
[Reclaim]
MinAnon=16M
MinReclaim=4M
IdleSec=1s
MaxStopSec=10s
[Rule 1-everybody]
Comm=*
Never=yes
[Rule 2-ours]
Comm=victimpython
Never=no
"""


@pytest.fixture(scope="module")
def example():
    config, daemons = yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8"))
    return config["data"], daemons["spec"]["template"]["spec"]


@pytest.fixture
def victim(tmp_path):
    """On the machine itself, outside of the container"""
    program = tmp_path / "victimpython"
    shutil.copy(os.path.realpath(judge.PYTHON), program)
    proc = subprocess.Popen([program, "-S", Path(__file__).with_name("victim.py")], env={"PYTHONHOME": "/usr"}, text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert proc.stdout.readline() == "ready\n"
    yield proc
    proc.kill()
    proc.wait()


def contained(box, pod, volumes):
    """What a container's runtime does, as a command in front of the container's own"""
    container, = pod["containers"]
    security = container["securityContext"]
    assert pod["hostPID"] and security["readOnlyRootFilesystem"] and not security.get("privileged")
    assert security["capabilities"]["drop"] == ["ALL"]
    # What nobody mounts here: the configuration is written into the image, /sys is this machine's.
    binds = [word for m in container["volumeMounts"] if m["name"] in volumes
             for word in ("--bind", volumes[m["name"]], m["mountPath"])]
    caps = ",".join(["-all", *(f"+{c.lower()}" for c in security["capabilities"]["add"])])
    # Here pid 1 may be out of reach, as in a container; we are where it would be.
    command = [word.replace("--target=1", f"--target={os.getpid()}") for word in container["command"]]
    assert command != container["command"]
    lock = 'mount -o remount,bind,ro / && exec "$@"'
    return ["unshare", "--uts", "--ipc", "--net", "--cgroup", "--", TOOL, "run", *binds, box.dir, "sh", "-c", lock, "sh",
            "setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}", "--", *command]


def metric(path, name):
    m = re.search(rf"^{name} (\S+)$", path.read_text(encoding="utf-8"), re.M) if path.exists() else None
    return float(m[1]) if m else 0


def test_daemonset(box, debs, example, victim, tmp_path):
    config, pod = example
    b = box("trixie", "bash-completion", "man-db", "python3")
    b.install(debs, "reclaimd")
    drop_ins = b.dir / "etc/reclaim/reclaimd.conf.d"
    drop_ins.mkdir(parents=True)
    for name, text in {**config, "99-test.conf": OURS}.items():
        (drop_ins / name).write_text(text, encoding="utf-8")
    volumes = {name: tmp_path / name for name in ("history", "metrics", "run")}
    for folder in volumes.values():
        folder.mkdir()
    # Folders of mounts; a runtime makes them by itself.
    for mount in pod["containers"][0]["volumeMounts"]:
        (b.dir / mount["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)

    before, log = judge.rss(victim.pid), tmp_path / "log"
    with open(log, "wb") as out:
        daemon = subprocess.Popen(contained(b, pod, volumes), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        def acted():
            assert daemon.poll() is None, log.read_text(errors="replace")
            return metric(volumes["metrics"] / "reclaim.prom", "reclaim_actions_total")
        judge.wait_for("an action", 120, acted)
        assert metric(volumes["metrics"] / "reclaim.prom", "reclaim_freed_bytes_total") > 8 << 20
        assert before - judge.rss(victim.pid) > 8 << 20
        for kind in ("cgroup", "net"):
            assert os.readlink(f"/proc/{daemon.pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}"), kind
        for kind in ("mnt", "uts", "ipc"):
            assert os.readlink(f"/proc/{daemon.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
        assert int(judge.status(daemon.pid)["CapEff"], 16).bit_count() == 7
        assert list(volumes["history"].glob("ledger-*"))
    finally:
        daemon.terminate()
        assert daemon.wait(30) == 0, log.read_text(errors="replace")
    victim.stdin.write("verify\n")
    victim.stdin.flush()
    assert victim.stdout.readline() == "intact\n"
