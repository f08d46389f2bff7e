# SPDX-License-Identifier: GPL-2.0-or-later
"""Real memory pressure, the same workload twice: without the daemon, and with it.

Two idle programs hold most of the machine's memory, nearly all of it free inside of them. Then a third one wants more
than is left. The daemon's interval is so long that only the kernel's word of pressure can make it act.
"""

import json
import os
import time
from pathlib import Path

from guest import Tap, Victim, comment, journal, run

UNIT = "reclaimd.service"
SWAP = "/swapfile"
HUNGRY = ["/usr/bin/python3", "-I", "/tests/hungry.py"]
CONF = """[Daemon]
IntervalSec=1h
ActionsPerMinute=60
StopBudgetSec=1min
[Reclaim]
IdleSec=5s
MaxStopSec=10s
"""


def meminfo(key):
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    raise KeyError(key)


def vmstat(key):
    return int(dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())[key])


def stalled():
    """Seconds for which somebody waited for memory, since the boot"""
    return int(Path("/proc/pressure/memory").read_text().split("total=")[1].split()[0]) / 1e6


def counters():
    return {"swapped_out_mib": vmstat("pswpout") >> 8, "swapped_in_mib": vmstat("pswpin") >> 8,
            "oom_kills": vmstat("oom_kill"), "stalled_s": round(stalled(), 2)}


def workload(tap, how, hungry_mib):
    """Returns what it has cost, and when the third began"""
    idle = [Victim(f"idle-{how}-{n}", "/tests/bloat", "blocks=500000") for n in (1, 2)]
    if how == "with":
        run("systemctl", "restart", UNIT)
        # Twice IdleSec=, so that what it sees under pressure has been quiet long enough.
        time.sleep(10)
    before, began, at = counters(), time.monotonic(), time.time()
    hungry, died = None, ""
    try:
        hungry = Victim(f"hungry-{how}", *HUNGRY, str(hungry_mib))
    except RuntimeError as e:
        died = str(e)
    took = time.monotonic() - began
    cost = {k: round(v - before[k], 2) for k, v in counters().items()}
    cost["seconds"] = round(took, 1)
    comment(f"{how} the daemon: {json.dumps(cost)}{' ' + died if died else ''}")
    alive = [v for v in idle if Path(f"/proc/{v.pid}").exists()]
    if how == "with":
        tap.check(hungry and not died, "with the daemon the third program gets what it wants", died)
        tap.check(len(alive) == 2, "and nobody is killed")
        for victim in [*alive, *([hungry] if hungry else [])]:
            answer = victim.ask("check")
            tap.check(answer.startswith("ok"), f"{victim.unit}: unharmed: {answer}")
    for victim in [*idle, *([hungry] if hungry else [])]:
        victim.stop()
    run("systemctl", "stop", f"hungry-{how}.service", check=False)
    return cost, at


def swap_on():
    with open(SWAP, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, 512 << 20)
    os.chmod(SWAP, 0o600)
    run("mkswap", SWAP)
    run("swapon", SWAP)


def when(entry):
    return int(entry["__REALTIME_TIMESTAMP"]) / 1e6


def main():
    Path("/etc/reclaim/reclaimd.conf.d").mkdir(parents=True, exist_ok=True)
    Path("/etc/reclaim/reclaimd.conf.d/50-test.conf").write_text(CONF)
    with Tap() as tap:
        swap_on()
        # Far more than there will be when the two idle ones are there, and less than with what they have free.
        hungry = (meminfo("MemAvailable") - 2 * (270 << 20) + (350 << 20)) >> 20
        comment(f"{meminfo('MemAvailable') >> 20} MiB available, two idle programs of 270, the third wants {hungry}")
        without, _ = workload(tap, "without", hungry)
        cost, at = workload(tap, "with", hungry)
        tap.check(without["swapped_out_mib"] > 50 or without["oom_kills"],
                  f"without the daemon the machine swaps or kills: {json.dumps(without)}")
        tap.check(not cost["oom_kills"] and cost["swapped_out_mib"] < max(without["swapped_out_mib"], 1) / 2,
                  f"with it at most half of that: {json.dumps(cost)}")
        entries = [e for e in journal(f"_SYSTEMD_UNIT={UNIT}") if e.get("RECLAIM_KIND")]
        told = "\n".join(f"{when(e):.2f} {e['MESSAGE']}" for e in entries)
        pressure = [when(e) for e in entries if e["RECLAIM_KIND"] == "pressure"]
        ours = [e for e in entries if e.get("RECLAIM_UNIT", "").startswith("idle-with-")]
        begun = [when(e) for e in ours if e["RECLAIM_KIND"] == "begin"]
        # The first word since there was anything to answer; the start of all this may have been one too.
        heard = [p for p in pressure if p >= at]
        took = round(begun[0] - heard[0], 2) if heard and begun else None
        tap.check(took is not None and 0 <= took <= 2, f"it acts within 2 s of the kernel's word: {took}", told)
        done = [e for e in ours if e["RECLAIM_KIND"] == "action" and e["RECLAIM_REASON"] == "reclaimed"]
        tap.check(len(done) == 2, f"both idle programs gave memory back: {[e['MESSAGE'] for e in done]}", told)
        print("# json " + json.dumps({"without": without, "with": cost}), flush=True)
        run("systemctl", "stop", UNIT)


main()
