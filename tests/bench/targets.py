# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs to be measured: started, asked, and ended with their standard input."""

import os
import selectors
import subprocess

from measure import Failure

PAGE = os.sysconf("SC_PAGE_SIZE")


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        for line in meminfo:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def rss(pid):
    """The kernel's exact count: statm may lag behind by some pages per CPU."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        for line in rollup:
            if line.startswith("Rss:"):
                total = int(line.split()[1]) * 1024
    if not total:
        raise Failure(f"process {pid} has gone")
    return total


class Bloat:
    """A program that bloats, and answers commands."""

    program = "bloat"

    def __init__(self, build, env=None, **options):
        self._start([f"{build}/bench/{self.program}", *(f"{key}={value}" for key, value in options.items())], env)

    def _start(self, argv, env):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **(env or {})})
        self.pid = self.process.pid
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def __enter__(self):
        try:
            self._answer("ready")
        except Failure:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.selector.close()
        self.process.stdout.close()

    def _answer(self, expected):
        if not self.selector.select(120):
            raise Failure(f"the target (pid {self.pid}) does not answer")
        line = self.process.stdout.readline().decode()
        if not line:
            raise Failure(f"the target (pid {self.pid}) has died")
        if line.split()[0] != expected:
            raise Failure(f"the target (pid {self.pid}) says: {line.strip()}")
        return line.split()[1:]

    def ask(self, command):
        try:
            os.write(self.process.stdin.fileno(), command.encode() + b"\n")
        except BrokenPipeError as error:
            raise Failure(f"the target (pid {self.pid}) has died") from error
        return self._answer("ok")

    def gaps(self):
        """Longest time in us for which main thread and second thread could not run; starts anew."""
        main, second, _ = self.ask("beat")
        return int(main), int(second)

    def rss(self):
        return rss(self.pid)


class Strings(Bloat):
    """The oldest question about Python's memory: ten million strings, one in some of which is kept."""

    program = "strings.py"

    def __init__(self, python, env=None, **options):
        beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), self.program)
        # Not isolated: that would leave out PYTHONMALLOC= too.
        self._start([python, "-s", "-B", beside, *(f"{key}={value}" for key, value in options.items())], env)

    def gap(self):
        """Longest time in us for which its second thread got neither processor nor interpreter; starts anew."""
        return int(self.ask("beat")[0])


class Arenas(Bloat):
    """One whose threads go on allocating, and tell how long they had to wait."""

    program = "arenas"

    def waits(self):
        """Since the last time, in us: how many, 99th percentile, longest; longest call."""
        return [int(number) for number in self.ask("waits")]


class Crowd:
    """Many sleeping processes; options as lists of sleeper's arguments, one per process."""

    def __init__(self, build, members):
        self.argvs = [[f"{build}/bench/sleeper", *member] for member in members]
        self.processes = []

    def __enter__(self):
        ready, ready_write = os.pipe()
        sleep, self.wake = os.pipe()
        self.ready = ready
        try:
            for argv in self.argvs:
                self.processes.append(subprocess.Popen(argv, stdin=sleep, stdout=ready_write))
            os.close(ready_write)
            os.close(sleep)
            count = 0
            while count < len(self.argvs):
                got = os.read(ready, 4096)
                if not got:
                    raise Failure(f"only {count} of {len(self.argvs)} processes started")
                count += len(got)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        os.close(self.wake)
        os.close(self.ready)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def pids(self):
        return [process.pid for process in self.processes]
