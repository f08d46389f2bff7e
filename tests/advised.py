# SPDX-License-Identifier: GPL-2.0-or-later
"""A program with memory for cold and pageout, which judges itself whether anything happened to it."""

import subprocess

import judge
import workerproto as w

HUGE = 2 << 20
CODE = r'''
import mmap, os, sys, time
size, how = int(sys.argv[1]), sys.argv[2:]
m = mmap.mmap(-1, size + (2 << 20), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
import ctypes
at = -ctypes.addressof(ctypes.c_char.from_buffer(m)) % (2 << 20)
libc = ctypes.CDLL(None)
address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(m)) + at)
if "huge" in how or "torn" in how:
    m.madvise(mmap.MADV_HUGEPAGE, at, size)
else:
    m.madvise(mmap.MADV_NOHUGEPAGE)
pages = range(at, at + size, 4096)
for i in pages:
    m[i:i + 8] = i.to_bytes(8, "little")
if "torn" in how:
    for i in range(at, at + size, 2 << 20):
        m.madvise(mmap.MADV_DONTNEED, i + 4096, (2 << 20) - 4096)
    pages = range(at, at + size, 2 << 20)
if "locked" in how:
    assert libc.mlock(address, ctypes.c_size_t(size)) == 0
if "shared" in how and os.fork() == 0:
    libc.prctl(1, 9)
    time.sleep(1000)
    os._exit(0)
print(address.value, flush=True)
while sys.stdin.readline():
    if "busy" in how:
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            pass
    print(sum(m[i:i + 8] != i.to_bytes(8, "little") for i in pages), flush=True)
'''


class Advised:
    """Holds @size bytes in which each page says where it is. @how: huge, torn (the first page of each huge one is
    left), locked, shared (with a child)."""

    def __init__(self, size, *how):
        self.size = size
        self.proc = subprocess.Popen([judge.PYTHON, "-ISc", CODE, str(size), *how], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)
        self.pid = self.proc.pid
        self.address = int(self.proc.stdout.readline())
        judge.wait_for("it to sleep", 10, lambda: judge.asleep(self.pid))
        self.switches = judge.switches(self.pid)

    def range(self):
        return self.address, self.address + self.size

    def ticks(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            return sum(map(int, f.read().rpartition(")")[2].split()[11:13]))

    def ask(self, remedies, **how):
        """The worker's answer. All that is said of idleness is taken from @how."""
        with w.Worker(w.request(self.pid, remedies=remedies, **{"timeout_us": 20000000, **how})) as worker:
            r = worker.result(30)
            assert worker.wait(30) == 0 and r
            return r

    def cold(self, **how):
        return self.ask(w.COLD, **{"idle": w.AGES, "ranges": [self.range()], "idle_us": 60000000, **how})

    def untouched(self):
        """It has not run since it fell asleep: nobody stopped it, or made it do anything."""
        assert judge.switches(self.pid) == self.switches and judge.status(self.pid)["TracerPid"] == "0"

    def intact(self):
        self.proc.stdin.write("\n")
        self.proc.stdin.flush()
        bad = int(self.proc.stdout.readline())
        assert bad == 0, f"{bad} pages are not what they were"
        judge.wait_for("it to sleep", 10, lambda: judge.asleep(self.pid))
        self.switches = judge.switches(self.pid)

    def close(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def counter(name):
    """Of /proc/vmstat."""
    with open("/proc/vmstat", encoding="ascii") as f:
        return next((int(line.split()[1]) for line in f if line.split()[0] == name), None)


def memory(name):
    """Bytes, of /proc/meminfo."""
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(name + ":"))


def mib(text):
    """What a size in a detail or a reason says, in MiB."""
    number, unit = float(text[:-3]), text[-3:]
    return number * {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}[unit]
