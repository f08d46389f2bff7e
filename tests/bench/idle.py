# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon takes while nothing is to be done, beside what else looks after memory all the time."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import targets
from measure import Failure
from subjects import CROWD, Row, Target

SMALL_KIB, LARGE_KIB = 1024, 80 << 10  # of each; large is above MinAnon=, and shared by all, or it wouldn't fit
SETTLE, WINDOW = 1.5, 5  # seconds
ROUNDS = 4  # at most
TICK_US = 1000000 // os.sysconf("SC_CLK_TCK")
# A tenth of a percent of a processor, at the default interval of 30 s.
LOOK_US, RSS, WAKEUPS = 30000, 6 << 20, 1.05
OURS, PEER, OTHER = "reclaimd", "a shell's loop over smaps_rollup", "earlyoom"

# Large ones are judged each time, and not looked into: that is measured by itself, and isn't done at each interval.
CONF = """
[Daemon]
Mode=observe
Source=procfs
IntervalSec=1s
[Pressure]
StallSec=0
[Reclaim]
IdleSec=1d
"""
LOOP = """
while :; do
	cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Rss:/ { n += $2 } END { print n }' >/dev/null
	sleep 1
done
"""


def earlyoom():
    beside = Path(__file__).resolve().parents[2] / "scripts/tool"
    found = shutil.which("earlyoom")
    if not found:
        done = subprocess.run([beside, "path", "earlyoom"], stdout=subprocess.PIPE, text=True, check=False)
        found = done.stdout.strip()
    if not found:
        print("bench: earlyoom is missing: measured without it; 'scripts/tool fetch earlyoom' gets it", file=sys.stderr)
    return found


class Watcher:
    """A program that watches memory until it is ended."""

    def __init__(self, argv, env=None):
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env={**os.environ, **(env or {})}, start_new_session=True)
        self.pid = self.process.pid

    def _others_us(self):
        """Of its children, those that have ended and those that are at it: a shell's loop may take all of a window."""
        ticks = 0
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
                fields = stat.rpartition(")")[2].split()
                if int(fields[3]) == self.pid:
                    ticks += sum(map(int, fields[13:15] if pid == self.pid else fields[11:15]))
        return ticks * TICK_US

    def cpu_us(self):
        """Of itself, to the nanosecond and with threads that have ended, and of all others in its session."""
        # clock_getcpuclockid(3): the process's own clock
        return time.clock_gettime_ns(~self.pid << 3 | 2) / 1000 + self._others_us()

    def _status(self, key):
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise Failure(f"process {self.pid} has gone")

    def wakeups(self):
        return self._status("voluntary_ctxt_switches")

    def rss(self):
        return self._status("VmRSS") * 1024

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def close(self):
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        self.process.wait(10)


def _start(bench, folder, stack):
    conf, state = Path(folder, "conf"), Path(folder, "state")
    conf.mkdir()
    state.mkdir()
    (conf / "reclaimd.conf").write_text(CONF, encoding="utf-8")
    nobody = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/none"}
    watchers = {OURS: Watcher([f"{bench.build}/reclaimd", f"--config={conf}", f"--state-dir={state}", "--socket="], nobody),
                PEER: Watcher(["sh", "-c", LOOP])}
    if program := earlyoom():
        watchers[OTHER] = Watcher([program, "--dryrun", "-r", "0"])
    for watcher in watchers.values():
        stack.callback(watcher.close)
    return watchers


def _window(watcher):
    """What it took, in a second. The others stand still meanwhile: who reads the same files would wait for them."""
    watcher.signal(signal.SIGCONT)
    time.sleep(SETTLE)
    cpu, wakeups, began = watcher.cpu_us(), watcher.wakeups(), time.monotonic()
    time.sleep(WINDOW)
    seconds = time.monotonic() - began
    sample = {"cpu": (watcher.cpu_us() - cpu) / seconds, "wakeups": (watcher.wakeups() - wakeups) / seconds,
              "rss": watcher.rss()}
    watcher.signal(signal.SIGSTOP)
    return sample


def measure_idle(bench, kib, count, rounds):
    """What each of them takes beside so many processes of that size."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(targets.Crowd(bench.build, [[f"heap={kib}", f"fork={count}"]]))
        watchers = _start(bench, stack.enter_context(tempfile.TemporaryDirectory(prefix="reclaim-bench-")), stack)
        time.sleep(3)  # the first look is no idle one
        for watcher in watchers.values():
            watcher.signal(signal.SIGSTOP)
        return [{name: _window(w) for name, w in watchers.items()} for _ in range(rounds)]


def _rows(name, what, samples):
    def of(who, key):
        return [s[who][key] for s in samples]

    def controls(key):
        return {OTHER: of(OTHER, key)} if OTHER in samples[0] else {}
    return [
        Row(f"idle-{name}", f"{CROWD} {what} processes, a look each second: CPU for it", "us", of(OURS, "cpu"),
            PEER, of(PEER, "cpu"), Target("max", LOOK_US), controls("cpu"), ours_name=OURS),
        Row(f"idle-{name}-wakeups", f"{CROWD} {what} processes, a look each second: wake-ups for it", "times",
            of(OURS, "wakeups"), PEER, of(PEER, "wakeups"), Target("max", WAKEUPS), controls("wakeups"), ours_name=OURS),
        Row(f"idle-{name}-memory", f"{CROWD} {what} processes: memory of the daemon itself", "bytes", of(OURS, "rss"),
            PEER, of(PEER, "rss"), Target("max", RSS), controls("rss"), ours_name=OURS),
    ]


def idle(bench):
    """idle: 500 processes small and large, nothing to do; reclaimd, earlyoom and a shell's loop over smaps_rollup"""
    rounds = min(max(bench.runs // 2, 1), ROUNDS)
    return [row for name, kib in (("small", SMALL_KIB), ("large", LARGE_KIB))
            for row in _rows(name, name, measure_idle(bench, kib, CROWD, rounds))]
