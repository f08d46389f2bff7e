# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimd for tests: of its own folder, and with eyes for programs in that folder only.

Everybody else's processes on this machine stand under a rule that says Never.
"""

import os
import shutil
import signal
import struct
import subprocess
from collections import namedtuple
from pathlib import Path

import judge

DAEMON = judge.BUILD / "reclaimd"

# daemon/core/ledger-record.h, struct ledger_slot
SLOT = struct.Struct("<IIQQQIiQIIQqQQQQQ33s24s65sI3Q762s")
FIELDS = ("magic sum seq real_us boot_us kind pid start_time uid remedies predicted freed rss_before rss_after stopped_us "
          "duration_us after_us boot_id reason comm real_uid swapped swap faults").split()
TEXTS = "exe unit slice cgroup words".split()
Record = namedtuple("Record", FIELDS + TEXTS)
KINDS = " start stop leave look would begin action check reload pressure".split(" ")

CONFIG = """
[Daemon]
Mode={mode}
IntervalSec={interval}
ActionsPerMinute=6000
StopBudgetSec=1min
[Reclaim]
MinAnon=32M
IdleSec={idle}
CooldownSec={cooldown}
MaxStopSec=10s
[Rule everybody]
Comm=*
Never=yes
[Rule ours]
Exe={ours}/*
Never=no
{more}
"""


def read_ledger(folder):
    """All records in their order; each must be whole."""
    records = []
    for path in sorted(Path(folder).glob("ledger-*"), key=lambda p: int(p.name.split("-")[1])):
        data = path.read_bytes()
        data = data[:len(data) - len(data) % SLOT.size]
        for at in range(0, len(data), SLOT.size):
            *head, texts = SLOT.unpack_from(data, at)
            head = [x.split(b"\0")[0] if isinstance(x, bytes) else x for x in head] + texts.split(b"\0")[:len(TEXTS)]
            r = Record._make(x.decode("utf-8", "replace") if isinstance(x, bytes) else x for x in head)
            records.append(r._replace(kind=KINDS[r.kind]))
    return records


class Daemon:
    def __init__(self, tmp):
        self.dir = tmp
        self.conf, self.state, self.bin = tmp / "conf", tmp / "state", tmp / "bin"
        for d in (self.conf, self.state, self.bin):
            d.mkdir()
        self.proc = None
        self.log = tmp / "log"

    def configure(self, mode="enforce", interval="2s", idle="2s", cooldown="1h", more=""):
        text = CONFIG.format(mode=mode, interval=interval, idle=idle, cooldown=cooldown, ours=self.bin, more=more)
        (self.conf / "reclaimd.conf").write_text(text)

    def program(self, name, source=None):
        """A copy of a program that our daemon may act on."""
        path = self.bin / name
        if not path.exists():
            shutil.copy(source or judge.VICTIMS / "bloat", path)
        return path

    def start(self, wait=True, **more):
        """@more: environment."""
        before = len(self.records("start"))
        env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.dir}/none", **more}
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen([DAEMON, f"--config={self.conf}", f"--state-dir={self.state}",
                                          f"--socket={self.dir}/bus"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         env=env)
        if wait:
            self.wait("it to start", lambda: len(self.records("start")) > before)
        return self

    def wait(self, what, condition, timeout=30):
        def look():
            assert self.proc.poll() is None, f"reclaimd ended with {self.proc.returncode}: {self.said()}"
            return condition()
        return judge.wait_for(what, timeout, look)

    def ended(self, timeout=20):
        """Its exit status; says what it is at instead, when it doesn't end."""
        try:
            return self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            files = "status", "wchan", "syscall", "stack"
            text = "\n".join(Path(f"/proc/{self.proc.pid}/{f}").read_text(errors="replace") for f in files)
            raise AssertionError(f"reclaimd doesn't end in {timeout} s: {text}") from None

    def stop(self, how=signal.SIGTERM):
        self.proc.send_signal(how)
        rc = self.ended()
        self.proc = None
        return rc

    def kill(self):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()

    def said(self):
        return self.log.read_text(errors="replace")

    def records(self, kind=None, pid=None):
        return [r for r in read_ledger(self.state) if (not kind or r.kind == kind) and (not pid or r.pid == pid)]

    def show(self):
        """For who reads of a failure."""
        for r in self.records():
            print(f"{r.seq} {r.boot_us / 1e6:.2f} {r.kind} {r.pid} {r.comm} {r.reason}: {r.words}")
        print(self.said()[-2000:])

    def reasons(self, pid):
        return [r.reason for r in self.records("leave", pid)]
