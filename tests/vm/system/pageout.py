# SPDX-License-Identifier: GPL-2.0-or-later
"""Idle memory that is in use, moved to a swap file and back: by hand and by the daemon, with the module and without.

Programs judge themselves afterwards whether their memory is what it was. pageout.py [no-module] [daemon]: the last, only
what the daemon does.
"""

import json
import os
import sys
import time
from pathlib import Path

from guest import CTL, Tap, Victim, comment, ctl, journal, run, status, wait_for

UNIT = "reclaimd.service"
SWAP = "/swapfile"
HOLD = ["/usr/bin/python3", "-I", "/tests/hold.py"]
HUNGRY = ["/usr/bin/python3", "-I", "/tests/hungry.py"]
HELD = 128 << 20
CONF = """[Daemon]
IntervalSec=2s
ActionsPerMinute=60
[Pressure]
StallSec=1ms
MinSwapFree=10%
PageoutPerMinute=64M
[Reclaim]
IdleSec=5s
SettledSec=8s
Remedies=trim pageout
"""


def swap_on(mib):
    with open(SWAP, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, mib << 20)
    os.chmod(SWAP, 0o600)
    run("mkswap", SWAP)
    run("swapon", SWAP)


def faults(pid):
    """Major ones"""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[9])


def trim(pid, *options):
    return ctl("trim", str(pid), *options)[0]


def intact(tap, victim):
    answer = victim.ask("check")
    tap.check(answer.startswith("ok"), f"{victim.unit}: unharmed: {answer}")


def without_swap(tap):
    victim = Victim("hold-none", *HOLD, "16")
    got = trim(victim.pid, "--remedy=pageout", "--idle=2s")
    tap.check(got["outcome"] == "refused" and "no swap" in got["reason"], f"refused without swap: {got['reason']}")
    intact(tap, victim)
    victim.stop()


def by_hand(tap, how):
    """All of it goes, is told as moved and not as freed, and comes back as it was."""
    victim = Victim("hold-hand", *HOLD, str(HELD >> 20))
    time.sleep(10)
    switches = status(victim.pid, "voluntary_ctxt_switches")
    dry = trim(victim.pid, "--remedy=pageout", "--idle=4s", "--dry-run")
    tap.check(not status(victim.pid, "VmSwap") and dry["steps"] and dry["steps"][0]["predicted"] >= HELD,
              f"{how}: a dry run promises and moves nothing: {json.dumps(dry)}")
    before = status(victim.pid, "VmRSS"), faults(victim.pid)
    if not dry["steps"]:
        return
    got = trim(victim.pid, "--remedy=pageout", "--idle=4s", "--timeout=60s")
    step = (got["steps"] or [{}])[0]
    swap = status(victim.pid, "VmSwap")
    comment(json.dumps(got))
    tap.check(got["outcome"] == "reclaimed" and swap >= HELD * 0.9 and abs(step["swapped"] - swap) < 1 << 20,
              f"{how}: paged out {swap >> 20} MiB: {step.get('detail')}")
    tap.check(abs(dry["steps"][0]["predicted"] - swap) < HELD / 10, f"{how}: as predicted")
    tap.check(before[0] - status(victim.pid, "VmRSS") > HELD * 0.9 and step["stopped_us"] == 0 and
              status(victim.pid, "voluntary_ctxt_switches") == switches, f"{how}: and nobody was woken up for it")
    began = time.monotonic()
    intact(tap, victim)
    # What has been written stays in the swap cache until somebody needs the room: it comes back without a wait then.
    comment(f"{faults(victim.pid) - before[1]} major faults, {time.monotonic() - began:.1f} s")
    tap.check(status(victim.pid, "VmSwap") < swap / 2, f"{how}: it came back")
    victim.stop()


def limits(tap):
    """A control group that may not use swap, a reserve that is used up, and a program at work."""
    victim = Victim("hold-group", *HOLD, "32", properties=["MemorySwapMax=8M"])
    time.sleep(10)
    got = trim(victim.pid, "--remedy=pageout", "--idle=4s")
    tap.check(got["steps"] and got["steps"][0]["predicted"] <= 8 << 20 and 4 << 20 <= status(victim.pid, "VmSwap") <= 8 << 20,
              f"memory.swap.max holds: {status(victim.pid, 'VmSwap') >> 20} MiB", json.dumps(got))
    run("systemctl", "set-property", "--runtime", victim.unit, "MemorySwapMax=0")
    time.sleep(10)
    got = trim(victim.pid, "--remedy=pageout", "--idle=4s")
    tap.check(got["outcome"] == "refused", f"and none is none: {got['reason']}")
    intact(tap, victim)
    victim.stop()


def at_work(tap):
    loop = "import time\nheld = bytearray(b'x') * (32 << 20)\nprint('ready', flush=True)\n" \
           "while True:\n sum(held[::4096])\n time.sleep(0.05)"
    victim = Victim("hold-busy", "/usr/bin/python3", "-Ic", loop)
    time.sleep(10)
    got = trim(victim.pid, "--remedy=pageout", "--idle=4s")
    tap.check(got["outcome"] == "refused" or (status(victim.pid, "VmSwap") or 0) < 4 << 20,
              f"one at work is left alone: {got['outcome']}, {got['reason']}")
    victim.stop()


def cold(tap, module):
    victim = Victim("hold-cold", *HOLD, "64")
    time.sleep(10)
    got = trim(victim.pid, "--remedy=cold", "--idle=4s")
    if module:
        tap.check(got["outcome"] in ("nothing", "reclaimed") and got["steps"] and
                  "deactivated" in got["steps"][0]["detail"] and abs(got["freed"]) < 1 << 20,
                  f"cold by ages: {got['steps']}", json.dumps(got))
    else:
        tap.check(got["outcome"] == "refused" and "module" in got["reason"], f"no cold without ages: {got['reason']}")
    intact(tap, victim)
    victim.stop()


def records(pid):
    got = ctl("history", str(pid))
    return got if isinstance(got, list) else []


def metric(name):
    return next(int(line.split()[1]) for line in run(CTL, "metrics").splitlines() if line.startswith(f"{name} "))


def is_counted(tap, how):
    """Of all programs, since that is what the metrics are of"""
    def told():
        actions = [(r["swapped"] or 0, r["freed"] or 0) for r in ctl("history", "--kind=action")
                   if r["reason"] in ("reclaimed", "nothing")]
        return sum(s for s, _ in actions), sum(max(f - s, 0) for s, f in actions)

    def metrics():
        return metric("reclaim_swapped_bytes_total"), metric("reclaim_freed_bytes_total")

    # More may be done in between.
    wait_for(lambda: told() == metrics(), 20, 1)
    moved, freed = metrics()
    tap.check((moved, freed) == told() and moved > 16 << 20,
              f"{how}: metrics tell of {moved >> 20} MiB moved, {freed >> 20} freed, as the history does", told())


def by_the_daemon(tap, how):
    """Under pressure only, a minute's worth at a time, and it sees what comes back."""
    victim = Victim("hold-daemon", *HOLD, str(HELD >> 20))
    run("systemctl", "restart", UNIT)
    time.sleep(20)
    tap.check(not status(victim.pid, "VmSwap"), f"{how}: nothing is moved while there is no pressure")
    available = next(int(line.split()[1]) >> 10 for line in Path("/proc/meminfo").read_text().splitlines()
                     if line.startswith("MemAvailable:"))
    hungry = Victim("hold-hungry", *HUNGRY, str(available + 60))
    acted = wait_for(lambda: [r for r in records(victim.pid) if r["kind"] == "action" and r["swapped"]], 60, 1)
    told = "\n".join(e["MESSAGE"] for e in journal(f"_SYSTEMD_UNIT={UNIT}") if e.get("RECLAIM_KIND"))
    tap.check(acted, f"{how}: the daemon pages the idle one out under pressure", told)
    if acted:
        first = acted[0]
        tap.check(first["remedies"] == "pageout" and 16 << 20 <= first["swapped"] <= (64 << 20) + (2 << 20),
                  f"{how}: and not more than a minute's worth: {first['swapped'] >> 20} MiB", json.dumps(first))
        tap.check("moved to swap, not freed" in told, f"{how}: the journal says what it is")
        is_counted(tap, how)
        intact(tap, victim)
        back = wait_for(lambda: [r for r in records(victim.pid) if r["kind"] == "check" and r["swapped"]], 90, 1)
        tap.check(back and back[0]["swapped"] > 4 << 20, f"{how}: what came back was seen", json.dumps(back))
    hungry.stop()
    intact(tap, victim)
    victim.stop()
    run("systemctl", "stop", UNIT)


def main(module):
    how = "by ages" if module else "by CPU time"
    Path("/etc/reclaim/reclaimd.conf.d").mkdir(parents=True, exist_ok=True)
    Path("/etc/reclaim/reclaimd.conf.d/50-test.conf").write_text(CONF)
    run("systemctl", "stop", UNIT, check=False)
    with Tap() as tap:
        if module:
            run("modprobe", "reclaim")
            Path("/sys/kernel/reclaim/scan_interval_ms").write_text("1000")
            Path("/sys/kernel/reclaim/min_anon_kb").write_text("1024")
        tap.check(os.path.exists(CTL), "reclaimctl is there")
        if "daemon" not in sys.argv:
            without_swap(tap)
        swap_on(512)
        if "daemon" not in sys.argv:
            by_hand(tap, how)
            limits(tap)
            at_work(tap)
            cold(tap, module)
        by_the_daemon(tap, how)


main("no-module" not in sys.argv)
