# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as a service: who is found, who is left alone and why, what survives kill -9.

Intervals are short and pauses may be long, since everything here takes ten times as long as on a real machine.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from guest import Tap, Victim, comment, ctl, journal, main_pid, module_loaded, run, show, status, wait_for

UNIT, WORKERS, DOOR = "reclaimd.service", "reclaim-worker.service", "reclaim-worker.socket"
INTERVAL, IDLE = 10, 5
DROPINS = Path("/etc/reclaim/reclaimd.conf.d")
CONF = f"""[Daemon]
IntervalSec={INTERVAL}s
ActionsPerMinute=60
StopBudgetSec=1min
[Reclaim]
MinAnon=24M
MinReclaim=8M
IdleSec={IDLE}s
MaxStopSec=10s
TimeoutSec=60s
[Rule spared]
Unit=spared.service
Never=yes
# So that those below MinAnon are listed at all, and it is said why they are left alone.
[Rule nobody]
Comm=nobodyhasthis
MinAnon=1M
"""
BLOAT, SEED = ["/tests/bloat", "blocks=100000"], ["/usr/bin/python3", "-I", "/tests/seed.py", "700000"]
# What the units come to; operations.rst says of what the rest is made.
EXPOSURE_MAX = {UNIT: 1.9, WORKERS: 6.2}


def records(kind, unit=None):
    match = [f"RECLAIM_KIND={kind}"] + ([f"RECLAIM_UNIT={unit}"] if unit else [])
    return journal(f"_SYSTEMD_UNIT={UNIT}", *match)


def when(entry):
    return int(entry["__REALTIME_TIMESTAMP"]) / 1e6


def the_unit(tap):
    done = run("systemd-analyze", "verify", "--man=no", UNIT, WORKERS, DOOR, check=False)
    tap.check(done.returncode == 0 and not done.stderr, "systemd-analyze verify has nothing to say", done.stderr)
    for unit, most in EXPOSURE_MAX.items():
        said = run("systemd-analyze", "security", "--no-pager", unit, check=False)
        line = next((line for line in said.stdout.splitlines() if "exposure level" in line), "none: " + said.stderr)
        exposure = float(line.split(":")[1].split()[0])
        tap.check(exposure <= most, f"systemd-analyze security {unit}: {exposure}, at most {most}", said.stdout)
        print(f'# json {{"exposure of {unit}": {exposure}}}', flush=True)


def it_runs(tap, with_module):
    tap.check(show(UNIT, "ActiveState") == "active", "it says that it is ready",
              run("systemctl", "status", "--no-pager", UNIT, check=False).stdout)
    pid = main_pid(UNIT)
    tap.check(status(pid, "Seccomp") == "2" and status(pid, "NoNewPrivs") == "1", "filtered, no new privileges")
    caps = int(status(pid, "CapBnd"), 16)
    tap.check(caps == 1 << 2 | 1 << 19 | 1 << 21, f"of capabilities DAC_READ_SEARCH, SYS_PTRACE and SYS_ADMIN: {caps:x}")
    tap.check(show(DOOR, "ActiveState") == "active", "its workers can be had")
    tap.check(Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "-900", "it is among the last to be killed")
    group = Path("/sys/fs/cgroup" + Path(f"/proc/{pid}/cgroup").read_text().strip().split("::")[1])
    tap.check(int((group / "memory.min").read_text()) == 16 << 20, "its memory is kept for it")
    tap.check(module_loaded() == with_module, f"the module is {'' if with_module else 'not '}loaded")
    started = wait_for(lambda: records("start"), 10)
    tap.check(started, "the journal says that it started")


def debugged():
    victim = Victim("debugged", *BLOAT)
    run("systemd-run", "--quiet", "--unit=debugger.service", "/usr/bin/gdb", "-nx", "-batch", "-p", str(victim.pid),
        "-ex", "continue")
    if not wait_for(lambda: status(victim.pid, "TracerPid") != "0" and status(victim.pid, "State")[0] == "S", 120):
        raise RuntimeError(f"gdb isn't there: {run('systemctl', 'status', 'debugger', check=False).stdout}")
    return victim


def to_be_left():
    """Who is to be left alone, and the reason that has to be given"""
    spared = Victim("spared", *BLOAT)
    small = Victim("small", BLOAT[0], "blocks=30000")
    avoiding = Victim("avoiding", *BLOAT)
    # What a virtual machine is known by; there is no real one here.
    Path("/dev/kvm").touch()
    machine = Victim("machine", *BLOAT, properties=["User=games", "StandardError=file:/dev/kvm"])
    os.setxattr("/sys/fs/cgroup/system.slice/avoiding.service", "user.reclaim_avoid", b"1")
    return {"traced": debugged(), "never": spared, "small": small, "avoid": avoiding, "vmm": machine,
            "busy": Victim("hot", "/usr/bin/python3", "-B", "/tests/hot.py", "700000")}


def idle_are_served(tap, victims):
    ready = {}
    before = {}
    for name, argv in (("idle-python", SEED), ("idle-c", BLOAT)):
        victims[name] = Victim(name, *argv)
        ready[name], before[name] = time.time(), victims[name].rss()
    for name, victim in ((n, victims[n]) for n in ready):
        begun = wait_for(lambda v=victim: records("begin", v.unit), 180, 2)
        if not tap.check(begun, f"{name}: is acted on", said_of(victim)):
            continue
        # Time to find it, after it has been idle for as long as it must.
        took = when(begun[0]) - ready[name]
        tap.check(took <= IDLE + 2 * INTERVAL,
                  f"{name}: within two intervals: {took:.1f} s of {IDLE} + 2 * {INTERVAL} s")
        acted = wait_for(lambda v=victim: records("action", v.unit), 90, 2)
        freed = before[name] - victim.rss()
        tap.check(acted and acted[0]["RECLAIM_REASON"] == "reclaimed" and freed > before[name] // 2,
                  f"{name}: {freed >> 20} of {before[name] >> 20} MiB came back", acted)
        answer = victim.ask("check")
        tap.check(answer.startswith("ok"), f"{name}: unharmed: {answer}")
        tap.check("reclaimed" in acted[0]["MESSAGE"] and acted[0].get("MESSAGE_ID"), f"journal: {acted[0]['MESSAGE']}")


def said_of(victim):
    return "\n".join(f"{e.get('RECLAIM_KIND')}: {e['MESSAGE']}" for e in journal(f"_SYSTEMD_UNIT={UNIT}")
                     if e.get("RECLAIM_UNIT") == victim.unit)


def others_are_left(tap, left, before):
    for reason, victim in left.items():
        said = wait_for(lambda v=victim: records("leave", v.unit), 3 * INTERVAL, 2)
        reasons = [e["RECLAIM_REASON"] for e in said]
        tap.check(reason in reasons, f"{victim.unit}: the journal says why: {said[-1]['MESSAGE'] if said else reasons}",
                  reasons)
        touched = records("look", victim.unit) + records("begin", victim.unit) + records("action", victim.unit)
        grown = victim.rss() - before[reason]
        tap.check(not touched and abs(grown) < 1 << 20, f"{victim.unit}: isn't touched ({grown} bytes)", touched)
        if reason != "traced":
            answer = victim.ask("check")
            tap.check(answer.startswith("ok"), f"{victim.unit}: unharmed: {answer}")


def history():
    got = ctl("history")
    return got if isinstance(got, list) else got["records"]


def it_comes_back(tap, victims):
    seen, pid = history(), main_pid(UNIT)
    acted = {n: len(records("begin", victims[n].unit)) for n in ("idle-python", "idle-c")}
    tap.check([r for r in seen if r["kind"] == "action"], f"reclaimctl history tells of {len(seen)} events", seen[:3])
    os.kill(pid, signal.SIGKILL)
    again = wait_for(lambda: show(UNIT, "ActiveState") == "active" and main_pid(UNIT) not in (0, pid), 60)
    tap.check(again and show(UNIT, "NRestarts") == "1", f"killed, it is started again: {show(UNIT, 'NRestarts')}")
    pid = main_pid(UNIT)
    os.kill(pid, signal.SIGSTOP)
    again = wait_for(lambda: show(UNIT, "ActiveState") == "active" and main_pid(UNIT) not in (0, pid), 120, 2)
    tap.check(again and show(UNIT, "NRestarts") == "2",
              f"hung, it is started again by the watchdog: {show(UNIT, 'NRestarts')}")
    now = history()
    tap.check([r["seq"] for r in now][:len(seen)] == [r["seq"] for r in seen] and len(now) > len(seen),
              f"the history is whole: {len(seen)} events before, {len(now)} after")
    time.sleep(2 * INTERVAL + IDLE)
    for name, count in acted.items():
        tap.check(len(records("begin", victims[name].unit)) == count, f"{name}: isn't acted on again in its cooldown")


def reloads(tap, left):
    """A mistake changes nothing; what is right holds at once."""
    wrong = DROPINS / "90-wrong.conf"
    wrong.write_text("[Reclaim]\nMinAnon=lots\n[Rule spared]\nNever=no\n")
    failed = run("systemctl", "reload", UNIT, check=False)
    tap.check(failed.returncode and show(UNIT, "ActiveState") == "active", "reloading it with a mistake fails", failed.stderr)
    told = wait_for(lambda: [e for e in journal(f"_SYSTEMD_UNIT={UNIT}") if f"{wrong}:2" in e["MESSAGE"]], 20)
    tap.check(told and main_pid(UNIT) > 0, "a mistake is told with file and line", [e["MESSAGE"] for e in told or []])
    time.sleep(2 * INTERVAL)
    tap.check(not records("begin", "spared.service"), "and what came with it doesn't hold")
    wrong.write_text("[Rule spared]\nNever=no\n")
    run("systemctl", "reload", UNIT)
    begun = wait_for(lambda: records("begin", "spared.service"), IDLE + 4 * INTERVAL, 2)
    tap.check(begun, "put right, it holds", said_of(left["never"]))
    wrong.write_text("[Reclaim]\nMinAnon=lots\n")
    run("systemctl", "restart", UNIT, check=False)
    wait_for(lambda: show(UNIT, "ActiveState") == "failed", 20)
    time.sleep(5)
    tap.check(show(UNIT, "ActiveState") == "failed" and show(UNIT, "ExecMainStatus") == "78" and show(UNIT, "NRestarts") == "0",
              "with a mistake it doesn't start, once and for all", run("systemctl", "show", UNIT))
    wrong.unlink()
    run("systemctl", "restart", UNIT)
    tap.check(show(UNIT, "ActiveState") == "active", "put right, it does")


def it_ends(tap):
    pid = main_pid(UNIT)
    began = time.monotonic()
    run("systemctl", "stop", UNIT)
    took = time.monotonic() - began
    tap.check(show(UNIT, "Result") == "success" and took < 20 and not Path(f"/proc/{pid}").exists(),
              f"it ends in {took:.1f} s")
    tap.check(records("stop"), "and says so")
    tap.check(not Path("/run/reclaimd").exists() and Path("/var/lib/reclaim").is_dir(),
              "its history stays, its socket goes")
    gone = wait_for(lambda: show(DOOR, "ActiveState") == show(WORKERS, "ActiveState") == "inactive", 20)
    tap.check(gone, "its workers' service goes with it")
    failed = run("systemctl", "--failed", "--no-legend", "--plain")
    tap.check(not failed, "no unit has failed", failed)


def main(with_module):
    DROPINS.mkdir(parents=True, exist_ok=True)
    (DROPINS / "50-test.conf").write_text(CONF)
    run("journalctl", "--update-catalog")
    run("systemctl", "daemon-reload")
    victims = {}
    with Tap() as tap:
        the_unit(tap)
        left = to_be_left()
        before = {reason: victim.rss() for reason, victim in left.items()}
        run("systemctl", "enable", "--now", UNIT)
        it_runs(tap, with_module)
        idle_are_served(tap, victims)
        others_are_left(tap, left, before)
        it_comes_back(tap, victims)
        reloads(tap, left)
        it_ends(tap)
        if tap.bad:
            comment("\n".join(e["MESSAGE"] for e in journal(f"_SYSTEMD_UNIT={UNIT}"))[-6000:])
            comment(json.dumps(ctl("status")))
        run("systemctl", "stop", "debugger.service", check=False)
        for victim in [*left.values(), *victims.values()]:
            victim.stop()


main("no-module" not in sys.argv)
