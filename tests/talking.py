# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs to be looked at that answer, in a line of JSON each, what is written to their standard input."""

import json
import os
import signal
import subprocess
import tempfile

import pytest

import judge


class Talking:
    """Has said "ready PID" first: the program may be a child of what was started."""

    def __init__(self, argv):
        self.err = tempfile.TemporaryFile()
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err)
        line = self.line().split()
        assert line[0] == b"ready", self.stderr()
        self.pid = int(line[1])

    def stderr(self):
        return os.pread(self.err.fileno(), 1 << 20, 0).decode()

    def line(self):
        line = self.proc.stdout.readline()
        assert line, self.stderr()
        return line

    def ask(self, word):
        self.proc.stdin.write(word.encode() + b"\n")
        self.proc.stdin.flush()
        return self.line()

    def say(self):
        said = json.loads(self.ask("say"))
        assert not said["errors"], said
        return said

    def unharmed(self):
        def let_go():
            s = judge.status(self.pid)
            assert s, self.stderr()
            return s["TracerPid"] == "0" and int(s["SigBlk"], 16) == 0 and s["State"][0] in "RS"
        judge.wait_for("it to be let go", 10, let_go)
        assert self.proc.poll() is None, self.stderr()

    def end(self):
        for pid in {self.pid, self.proc.pid}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.proc.wait()
        for f in (self.proc.stdin, self.proc.stdout, self.err):
            try:
                f.close()
            except BrokenPipeError:
                pass


def fixture(kind, name):
    """A fixture that starts as many of @kind as a test asks for, and ends them."""
    @pytest.fixture(name=name)
    def starter():
        running = []

        def go(*args):
            running.append(kind(*args))
            return running[-1]
        yield go
        for v in running:
            v.end()
    return starter


def collect(pid, *options):
    return judge.trim(pid, "--remedy=collect", *options)
