# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon costs while nothing happens: with 500 processes, as shipped, with the module and without, beside
earlyoom and a shell loop that sums up smaps_rollup as often as the daemon looks: cost.py [SECONDS].

Time here is counted in instructions, so processor time is, too: a share of one processor of this machine.
"""

import json
import os
import sys
import time
from pathlib import Path

from guest import Tap, Victim, ctl, main_pid, module_loaded, run, show, status, wait_for

UNIT, WORKERS = "reclaimd.service", "reclaim-worker.service"
PROCESSES, INTERVAL = 500, 30
SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
SHARE_MAX, RSS_MAX = 0.001, 6 << 20
# What may wake it besides: the watchdog's half time, and its own share of a second's grace.
WATCHDOG = 15

SLEEPERS = f"""
import os, signal
for _ in range({PROCESSES}):
    if not os.fork():
        signal.pause()
signal.pause()
"""
LOOP = f"""while :; do
sum=0
for f in /proc/[0-9]*/smaps_rollup; do
	while read -r key kib unit; do [ "$key" != Anonymous: ] || sum=$((sum + kib)); done <$f
done 2>/dev/null
sleep {INTERVAL}
done"""


def used(unit):
    return int(show(unit, "CPUUsageNSec")) / 1e9


def measure(units):
    """Shares of a processor, all in the same time"""
    before, began = {u: used(u) for u in units}, time.monotonic()
    time.sleep(SECONDS)
    took = time.monotonic() - began
    return {u: (used(u) - before[u]) / took for u in units}


def switches(pid):
    return int(status(pid, "voluntary_ctxt_switches"))


def round_of(tap, how):
    run("systemctl", "restart", UNIT)
    tap.check(module_loaded() == (how == "with"), f"{how} the module")
    run("systemctl", "start", WORKERS)
    # The first looks are behind it, and what starting costs.
    time.sleep(3 * INTERVAL)
    pid, began = main_pid(UNIT), ctl("status")
    woken = switches(pid)
    shares = measure([UNIT, WORKERS, "loop.service", "earlyoom.service"])
    woken, rss = switches(pid) - woken, status(pid, "VmRSS")
    ended = ctl("status")
    source, sweeps = ended["source"], ended["sweeps"] - began["sweeps"]
    # What it doesn't do costs nothing.
    tap.check(source == ("netlink" if how == "with" else "procfs") and ended["scanned"] > 0 and
              abs(sweeps - SECONDS / INTERVAL) <= 1, f"it looked {sweeps} times, by {source}", json.dumps(ended))
    # A worker's server holds nothing; both are what somebody pays.
    total = rss + status(main_pid(WORKERS), "VmRSS")
    mine = shares[UNIT] + shares[WORKERS]
    least = SECONDS / INTERVAL + SECONDS / WATCHDOG
    tap.check(mine < shares["loop.service"], f"less than the loop: {mine:.5%} of a processor, {shares['loop.service']:.5%}")
    tap.check(total <= RSS_MAX, f"resident: {rss >> 10} KiB, with its server {total >> 10}")
    tap.check(woken <= 2 * least, f"woken {woken} times in {SECONDS} s, {least:.0f} for its interval and its watchdog")
    return {"share": mine, "rss": rss, "rss_with_server": total, "woken": woken, "loop": shares["loop.service"],
            "earlyoom": shares["earlyoom.service"]}


def main():
    with Tap() as tap:
        run("systemd-run", "--quiet", "--unit=sleepers", "/usr/bin/python3", "-IS", "-c", SLEEPERS)
        there = wait_for(lambda: int(show("sleepers.service", "TasksCurrent")) > PROCESSES, 120)
        tap.check(there, f"{len([p for p in os.listdir('/proc') if p.isdigit()])} processes")
        run("systemd-run", "--quiet", "--unit=loop", "-p", "CPUAccounting=yes", "/bin/sh", "-c", LOOP)
        run("systemctl", "start", "earlyoom.service")
        # Large enough to be listed, too small for more.
        large = Victim("large", "/usr/bin/python3", "-I", "/tests/hold.py", "40")
        with_module = round_of(tap, "with")
        tap.check(with_module["share"] <= SHARE_MAX, f"with the module at most {SHARE_MAX:.1%} of a processor")
        run("systemctl", "stop", UNIT)
        run("modprobe", "-r", "reclaim")
        # Or its unit would load it again, and so would the kernel for whoever asks for its netlink family.
        Path("/run/modprobe.d").mkdir(exist_ok=True)
        Path("/run/modprobe.d/test.conf").write_text("install reclaim /bin/false\n")
        run("systemctl", "mask", "--runtime", "modprobe@reclaim.service")
        without = round_of(tap, "without")
        print("# json " + json.dumps({"with": with_module, "without": without}), flush=True)
        large.stop()
        for unit in (UNIT, "earlyoom", "loop", "sleepers"):
            run("systemctl", "stop", unit, check=False)


main()
