# SPDX-License-Identifier: GPL-2.0-or-later
"""What reclaim-worker.service takes away isn't needed, and what it leaves is.

The unit is tried with reclaimctl in the server's place, which starts the same worker: once as it is, on programs of
every kind, then without each of its capabilities.
"""

import json
import re
from pathlib import Path

from guest import CTL, Tap, Victim, comment, run

UNIT = Path("/usr/local/lib/systemd/system/reclaim-worker.service")
PROBE = "reclaim-probe.service"
FILTERED = ["SystemCallFilter=@system-service", "RestrictAddressFamilies=AF_UNIX", "MemoryDenyWriteExecute=yes",
            "PrivateTmp=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateUsers=yes"]
BLOAT = ["/tests/bloat", "blocks=100000"]


def probe_unit(caps=None):
    """The unit's own text, but for what it starts and when."""
    text = UNIT.read_text()
    start = r"Requires|PartOf|ExecStart|KillSignal|SuccessExitStatus"
    text = re.sub(rf"(?m)^({start}).*\n", "", text)
    text = re.sub(r"(?m)^ExecPaths=", f"ExecPaths={CTL} /usr/bin/cat ", text)
    if caps is not None:
        text = re.sub(r"(?m)^CapabilityBoundingSet=.*$", f"CapabilityBoundingSet={caps}", text)
    return text


def under_unit(argv, caps=None):
    """Runs a command under the unit's restrictions; its output"""
    out = Path("/run/probe.out")
    out.write_text("")
    Path(f"/run/systemd/system/{PROBE}").write_text(
        probe_unit(caps) + f"\n[Service]\nType=oneshot\nExecStart={' '.join(argv)}\n"
        f"SuccessExitStatus=0 1 2 3 4 5\nStandardOutput=file:{out}\nStandardError=journal\n")
    run("systemctl", "daemon-reload")
    done = run("systemctl", "start", PROBE, check=False)
    if done.returncode:
        comment(run("systemctl", "status", "--no-pager", PROBE, check=False).stdout)
    return out.read_text()


def trim(victim, caps=None):
    # Purges are bounded by time, and a machine in software is slow.
    said = under_unit([CTL, "--json", "trim", "--timeout=60s", "--max-stop=10s", str(victim.pid)], caps)
    try:
        return json.loads(said)[0]
    except (ValueError, IndexError, KeyError):
        return {"outcome": "failed", "reason": f"it said: {said}"}


def as_it_is(tap, victims):
    status = dict(line.split(":", 1) for line in under_unit(["/usr/bin/cat", "/proc/self/status"]).splitlines())
    tap.check(status.get("Seccomp", "").strip() == "0" and status.get("Seccomp_filters", "").strip() == "0",
              "no option makes a seccomp filter", status)
    tap.check(status.get("NoNewPrivs", "").strip() == "1", "no new privileges")
    for name, victim in victims.items():
        before = victim.rss()
        result = trim(victim)
        freed = before - victim.rss()
        tap.check(result["outcome"] == "reclaimed" and freed > before // 2,
                  f"{name}: {freed >> 20} of {before >> 20} MiB came back", json.dumps(result))
        answer = victim.ask("check")
        tap.check(answer.startswith("ok"), f"{name}: unharmed: {answer}")


# Without each of them a program is refused. Of the others the unit tells; their lack makes something worse.
NEEDED = {"CAP_SYS_PTRACE": "c-user", "CAP_SYS_ADMIN": "c-filtered", "CAP_DAC_OVERRIDE": "c-user"}
HELPFUL = {"CAP_KILL", "CAP_SYS_NICE", "CAP_SETUID", "CAP_SETGID"}


def one_less(tap, victims):
    caps = re.search(r"(?m)^CapabilityBoundingSet=(.*)$", UNIT.read_text())[1].split()
    tap.check(set(caps) == {*NEEDED, *HELPFUL}, f"the capabilities are those known here: {caps}")
    for cap, whom in NEEDED.items():
        victims[whom].ask("work")
        result = trim(victims[whom], " ".join(c for c in caps if c != cap))
        tap.check(result["outcome"] in ("refused", "failed"), f"without {cap} {whom} isn't trimmed: {result['reason']}",
                  json.dumps(result))


def main():
    with Tap() as tap:
        seed = ["/usr/bin/python3", "-I", "/tests/seed.py", "700000"]
        victims = {
            "c-root": Victim("c-root", *BLOAT),
            "c-user": Victim("c-user", *BLOAT, properties=["DynamicUser=yes"]),
            "c-filtered": Victim("c-filtered", *BLOAT, properties=["DynamicUser=yes", *FILTERED]),
            "python-user": Victim("python-user", *seed, properties=["DynamicUser=yes"]),
        }
        as_it_is(tap, victims)
        one_less(tap, victims)
        for victim in victims.values():
            victim.stop()
        Path(f"/run/systemd/system/{PROBE}").unlink()
        run("systemctl", "daemon-reload")


main()
