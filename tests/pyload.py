# SPDX-License-Identifier: GPL-2.0-or-later
"""Load on victims/pyserver.py: connections that check every single answer."""

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import zlib
from pathlib import Path

import judge
import varies


class Server:
    """The server, its clients, and one who sends it signals."""

    def __init__(self, size=60000, every=0.2, clients=2, pause=0.001):
        self.dir = tempfile.TemporaryDirectory(prefix="reclaim-pyserver-")
        self.path = os.path.join(self.dir.name, "s")
        self.proc = subprocess.Popen(
            [judge.PYTHON, str(judge.TOP / "tests/victims/pyserver.py"), self.path, str(size), str(every)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self.proc.stdout.readline()
        assert line.startswith("ready"), line
        self.pid = self.proc.pid
        self.may = varies.of(self.proc.args)
        self.pause = pause
        self.stop = threading.Event()
        self.done, self.errors, self.slowest = [0] * clients, [], 0.0
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(clients)]
        for t in self.threads:
            t.start()

    def client(self, me):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(20)
                s.connect(self.path)
                f = s.makefile("rwb")
                while not self.stop.is_set():
                    n = self.done[me]
                    text = (b"%d-" % n) * (1 + n % 400)
                    began = time.monotonic()
                    f.write(b"%d %s\n" % (n, text))
                    f.flush()
                    answer = f.readline()
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    if answer != b"%d %d %d\n" % (n, len(text), zlib.crc32(text)):
                        self.errors.append(f"client {me} request {n}: {answer[:80]!r}")
                        return
                    self.done[me] += 1
                    time.sleep(self.pause)
        except OSError as e:
            self.errors.append(f"client {me}: {e!r}")

    def progress(self):
        return sum(self.done)

    def moves_on(self, timeout=10):
        start = list(self.done)
        judge.wait_for("every client to get answers", timeout,
                       lambda: self.errors or all(n > s + 1 for n, s in zip(self.done, start)))
        assert not self.errors, self.errors

    def signal(self):
        self.proc.send_signal(signal.SIGUSR1)

    def finish(self):
        """Ends clients and server; returns the server's counts."""
        self.stop.set()
        for t in self.threads:
            t.join(30)
        assert not self.errors, self.errors
        assert self.proc.poll() is None, f"the server ended with {self.proc.returncode}"
        self.proc.send_signal(signal.SIGTERM)
        out, _ = self.proc.communicate(timeout=30)
        assert self.proc.returncode == 0, out
        return dict((k, int(v)) for k, v in (w.split("=") for w in out.splitlines()[0].split()))

    def kill(self):
        self.stop.set()
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        self.proc.stdout.close()
        Path(self.path).unlink(missing_ok=True)
        self.dir.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()
