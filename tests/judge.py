# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts victims, looks at them from outside before and after, and judges.

Nothing here sleeps and hopes: every wait polls for a state and has a deadline, which is
far away: only a failure needs all of it, and a busy machine some.
"""

import json
import mmap
import os
import re
import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import varies

TOP = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("RECLAIM_BUILD", TOP / "build"))
CTL = BUILD / "reclaimctl"
WORKER = BUILD / "reclaim-worker"
VICTIMS = BUILD / "victims"
PYTHON = "/usr/bin/python3"

# tests/victims/victim.h, struct vstat
MAGIC = 0x6D69746369760001
FIELDS = ("magic pid ready stop errors rounds result err elapsed_us t0_us eintr handler_runs".split()
          + [f"progress{i}" for i in range(16)] + "done helper_ready sleeper_tid futex".split())
OFFSET = {name: 8 * i for i, name in enumerate(FIELDS)}
NOTE = 8 * len(FIELDS)

RESTART_SYSCALL = 219
# nptl/pthread_create.c: a thread begins with all signals blocked, also those two that no program can
# block by itself, until it runs for the first time
STARTING = "fffffffffffbfeff"


def wait_for(what, timeout, condition):
    """Polls until condition() gives something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.002)


def status(pid, tid=None, field=None):
    """/proc/PID[/task/TID]/status as a dict, or one field of it; None when it is gone."""
    path = f"/proc/{pid}/task/{tid}/status" if tid else f"/proc/{pid}/status"
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = {k: v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())}
    return fields[field] if field else fields


def state(pid, tid=None):
    s = status(pid, tid)
    return s["State"][0] if s else None


def rss(pid):
    """VmRSS in bytes."""
    return int(status(pid)["VmRSS"].split()[0]) * 1024


def switches(pid):
    s = status(pid)
    return int(s["voluntary_ctxt_switches"]), int(s["nonvoluntary_ctxt_switches"])


def tids(pid):
    try:
        return sorted(int(t) for t in os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        return []


def children(pid):
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def syscall_of(pid, tid=None):
    """(number, arguments, sp, pc) of a thread in a system call, else None."""
    try:
        words = Path(f"/proc/{pid}/task/{tid or pid}/syscall").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if len(words) != 9:
        return None
    return int(words[0]), tuple(words[1:7]), words[7], words[8]


def tool(name):
    """The path of what scripts/tool has; skips the test when it has it not."""
    done = subprocess.run([TOP / "scripts/tool", "path", name], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        import pytest
        pytest.skip(f"{name} is missing: run 'scripts/tool fetch {name}'")
    return done.stdout.strip()


def asleep(pid, tid=None):
    return state(pid, tid) == "S" and syscall_of(pid, tid) is not None


def mappings(pid):
    """[(start, end, perms, path)]"""
    out = []
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+)\s*(.*)", line)
        out.append((int(m[1], 16), int(m[2], 16), m[3], m[5]))
    return out


def descriptors(pid):
    """The numbers of those that it keeps."""
    out = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(fd) not in varies.MOMENTARY:
                out.append(fd.name)
        except FileNotFoundError:
            pass  # closed since
    return sorted(out)


def own_memory(path):
    return path in ("", "[heap]") or path.startswith(("[anon", "[stack"))


class Snapshot:
    """What can be seen of a process from outside and must not change because of us."""

    # the name of threads that a victim starts and ends all the time: theirs are not compared
    STORM = "storm"
    SIGNALS = ("SigBlk", "SigPnd")
    PROCESS = ("SigCgt", "SigIgn", "ShdPnd", "Seccomp", "NoNewPrivs", "Uid", "CapEff")

    def __init__(self, pid):
        self.pid = pid
        s = status(pid)
        assert s, f"{pid} is gone"
        self.state = s["State"][0]
        self.tracer = int(s["TracerPid"])
        self.process = {k: s.get(k) for k in self.PROCESS}
        self.threads, self.calls, self.passing = {}, {}, set()
        for tid in tids(pid):
            t = status(pid, tid)
            if t:
                if t["Name"] == self.STORM:
                    self.passing.add(tid)
                self.threads[tid] = {k: t[k] for k in self.SIGNALS}
                self.calls[tid] = syscall_of(pid, tid)
        self.maps = mappings(pid) if self.state != "Z" else []
        self.fds = descriptors(pid) if self.state != "Z" else []

    def differences(self, now, quiet=True, may=varies.NOTHING):
        """What is different in @now, as a list of texts. quiet: the process does nothing by
        itself, so each thread is where it was. may: what else it may have changed by itself."""
        out = []
        if now.tracer != self.tracer:
            out.append(f"TracerPid {self.tracer} -> {now.tracer}")
        if now.state in "tTXZ" and now.state != self.state:
            out.append(f"state {self.state} -> {now.state}")
        if quiet and now.state != self.state:
            out.append(f"state {self.state} -> {now.state}")
        for k, v in self.process.items():
            if now.process[k] != v:
                out.append(f"{k} {v} -> {now.process[k]}")
        for tid, sig in self.threads.items():
            got = now.threads.get(tid)
            if tid in self.passing or may.threads and tid != self.pid:
                continue
            if got is None:
                out.append(f"thread {tid} is gone")
            elif got != sig:
                out.append(f"thread {tid}: {sig} -> {got}")
        if not may.threads:
            out += [f"new thread {tid}" for tid in now.threads if tid not in self.threads and tid not in now.passing]
        if quiet:
            out += self.call_differences(now)
        if now.fds != self.fds:
            out.append(f"descriptors {self.fds} -> {now.fds}")
        return out + self.map_differences(now, may)

    def call_differences(self, now):
        out = []
        for tid, before in self.calls.items():
            after = now.calls.get(tid)
            if before is None or after == before:
                continue
            # the kernel's own way of going on with a timed sleep
            if after and RESTART_SYSCALL in (before[0], after[0]) and after[2:] == before[2:]:
                continue
            out.append(f"thread {tid} was in {before}, now in {after}")
        return out

    def usable(self):
        """Bytes of its own memory: (the first heap, the rest). Arenas reserve what they can't use yet."""
        own = [(e - s, p) for s, e, perms, p in self.maps if own_memory(p) and not perms.startswith("---")]
        heap = sum(n for n, p in own if p == "[heap]")
        return heap, sum(n for n, _ in own) - heap

    def map_differences(self, now, may):
        out = []
        ours = [(s, e) for s, e, _, p in self.maps if own_memory(p)]
        files = {(s, e, perms, p) for s, e, perms, p in self.maps if not own_memory(p)}
        for s, e, perms, p in now.maps:
            if not own_memory(p):
                if (s, e, perms, p) not in files:
                    out.append(f"new mapping {s:x}-{e:x} {perms} {p}")
                continue
            if perms.startswith("rwx"):
                out.append(f"writable and executable: {s:x}-{e:x}")
            if not may.memory and not (may.heap and p == "[heap]") and not covered(s, e, ours):
                out.append(f"new memory {s:x}-{e:x} {perms} {p}")
        heap, rest = (after - before for before, after in zip(self.usable(), now.usable()))
        if may.heap and heap > may.heap << 20:
            out.append(f"its heap has grown by {heap >> 20} MiB")
        if may.memory and rest > may.memory << 20:
            out.append(f"{rest >> 20} MiB more memory")
        more = len(now.maps) - len(self.maps)
        if more > may.mappings:
            out.append(f"{more} more mappings")
        return out


def covered(start, end, ranges):
    for s, e in sorted(ranges):
        if s <= start < e:
            start = e
            if start >= end:
                return True
    return start >= end


def undisturbed(busy, idle, before):
    """The sleeper never woke. The busy one never gave up a CPU by itself, as it must in every stop and in every wait for
    a lock: if it was ever kept from running, then by others who ran. That is the one way of being slow that depends on
    the machine, and the one that isn't judged."""
    assert switches(idle.pid) == before[1], "somebody has stopped a bystander"
    waited = switches(busy.pid)[0] - before[0][0]
    assert not waited, f"a bystander was stopped, or has waited for somebody, {waited} times"


class Victim:
    """A victim and its status page. Ends with it, at the latest."""

    farewell = b"\n"

    def __init__(self, argv, shm_dir="/dev/shm", shm=None, prefix=(), env=None, page=True, stdout=None, cwd=None,
                 **popen):
        self.page = None
        if page:
            fd, self.shm_path = tempfile.mkstemp(prefix="reclaim-victim-", dir=shm_dir)
            os.ftruncate(fd, 4096)
            os.fchmod(fd, 0o666)
            self.page = mmap.mmap(fd, 4096)
            os.close(fd)
            argv = [*argv, f"--shm={shm or self.shm_path}"]
        self.err = tempfile.TemporaryFile()
        self.argv = [str(a) for a in (*prefix, *argv)]
        self.proc = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=stdout or subprocess.DEVNULL,
                                     stderr=self.err, env=env, cwd=cwd, **popen)
        self.pid = self.proc.pid
        self.may = varies.of(self.argv)

    # --- status page
    def get(self, name):
        return struct.unpack_from("<q", self.page, OFFSET[name])[0]

    def set(self, name, value):
        struct.pack_into("<q", self.page, OFFSET[name], value)

    @property
    def note(self):
        return self.page[NOTE:NOTE + 256].split(b"\0")[0].decode(errors="replace") if self.page else ""

    def progress(self):
        return [self.get(f"progress{i}") for i in range(16)]

    # --- waiting
    def alive(self):
        return self.proc.poll() is None

    def wait_ready(self, timeout=60):
        def ready():
            if not self.alive():
                raise AssertionError(f"{self.argv} ended with {self.proc.returncode}: {self.stderr()} {self.note}")
            return self.get("ready")
        wait_for(f"{self.argv[0]} to be ready", timeout, ready)
        wait_for(f"all threads of {self.argv[0]} to have begun", timeout,
                 lambda: all(status(self.pid, t, "SigBlk") != STARTING for t in tids(self.pid)))
        return self

    def wait_asleep(self, timeout=30, tid=None):
        """Until the thread sleeps in the same call twice in a row."""
        seen = [None]

        def settled():
            now = syscall_of(self.pid, tid) if state(self.pid, tid) == "S" else None
            same = now is not None and now == seen[0]
            seen[0] = now
            return same
        wait_for(f"{self.argv[0]} to sleep", timeout, settled)
        return self

    def stderr(self):
        self.err.seek(0)
        return self.err.read().decode(errors="replace").strip()

    def snapshot(self):
        return Snapshot(self.pid)

    # --- judging
    def moves_on(self, timeout=30, rounds=2):
        """Every thread that counts goes on counting."""
        start, start_rounds = self.progress(), self.get("rounds")
        busy = [i for i, n in enumerate(start) if n]

        def moved():
            now = self.progress()
            return all(now[i] >= start[i] + rounds for i in busy) and (busy or self.get("rounds") > start_rounds)
        wait_for(f"{self.argv} to move on", timeout, moved)

    def unharmed(self, before, quiet=True, timeout=30):
        """The same as @before; a thread that we let go a moment ago gets time to fall asleep again."""
        last = []

        def same():
            last[:] = before.differences(self.snapshot(), quiet, self.may)
            return not last
        assert self.alive(), self.obituary()
        try:
            wait_for("the victim to look as before", timeout, same)
        except AssertionError:
            raise AssertionError(f"{' '.join(self.argv)}: {'; '.join(last)}") from None
        if self.page and self.get("errors"):
            raise AssertionError(f"{' '.join(self.argv)}: {self.note}")

    def obituary(self):
        return f"{' '.join(self.argv)} ended with {self.proc.returncode}: {self.note or self.stderr()}"

    def finish(self, timeout=60, want=0):
        """Asks it to check everything and end; it must find nothing wrong."""
        assert self.alive(), self.obituary()
        if self.page:
            self.set("stop", 1)
        try:
            self.proc.stdin.write(self.farewell)
            self.proc.stdin.flush()
        except (BrokenPipeError, OSError):
            pass
        try:
            self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{' '.join(self.argv)} doesn't end: state {state(self.pid)}, "
                                 f"{syscall_of(self.pid)}, {self.note}") from None
        assert self.proc.returncode == want, self.obituary()

    def kill(self):
        if self.alive():
            self.proc.kill()
        self.proc.wait()
        for f in (self.proc.stdin, self.proc.stdout, self.err):
            if f:
                try:
                    f.close()
                except BrokenPipeError:
                    pass
        if self.page:
            self.page.close()
            self.page = None
            Path(self.shm_path).unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()


class Bloat(Victim):
    """victims/bloat.c, tops.c: obey commands."""

    farewell = b"quit\n"

    def __init__(self, argv, **kw):
        super().__init__(argv, **{"stdout": subprocess.PIPE, **kw})

    def wait_ready(self, timeout=60):
        super().wait_ready(timeout)
        self.first = self.read_line()
        return self

    def read_line(self):
        line = self.proc.stdout.readline().decode()
        assert line.startswith("cmd="), f"{line!r} {self.note}"
        return dict(word.split("=", 1) for word in line.split())

    def command(self, word):
        self.proc.stdin.write(word.encode() + b"\n")
        self.proc.stdin.flush()
        answer = self.read_line()
        assert answer["cmd"] == word
        return {k: int(v) for k, v in answer.items() if k != "cmd"}


def victim(name, *args, **kw):
    path = VICTIMS / name
    assert path.exists(), f"{path} isn't built: run make tests"
    return (Bloat if name in ("bloat", "tops") else Victim)([path, *args], **kw)


class Answer:
    """What reclaimctl said."""

    def __init__(self, proc):
        self.rc, self.out, self.err = proc.returncode, proc.stdout.decode(), proc.stderr.decode(errors="replace")

    @property
    def doc(self):
        try:
            return json.loads(self.out)
        except json.JSONDecodeError as e:
            raise AssertionError(f"status {self.rc}, not JSON ({e}): {self.out!r} {self.err!r}") from None

    def __repr__(self):
        return f"status {self.rc}\n{self.out}\n{self.err}"


def ctl(*args, prefix=(), timeout=120, env=None, program=None):
    argv = [*map(str, prefix), str(program or CTL), *map(str, args)]
    proc = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout, env={**os.environ, **(env or {})}, check=False)
    return Answer(proc)


class Trim:
    """One target's result of reclaimctl --json trim."""

    def __init__(self, answer, pid):
        self.answer, self.rc = answer, answer.rc
        docs = [d for d in answer.doc if d["pid"] == pid]
        assert len(docs) == 1, f"no single answer for {pid}: {answer}"
        self.doc = docs[0]
        self.outcome, self.reason = self.doc["outcome"], self.doc["reason"]

    @property
    def acted(self):
        return self.outcome in ("reclaimed", "nothing") and self.rc == 0 and bool(self.doc["steps"])

    def __repr__(self):
        return f"{self.rc} {self.outcome}: {self.reason} freed {self.doc['freed']} {self.answer.err}"


def trim(pid, *options, inner_pid=None, **kw):
    """By malloc_trim, whether it pays or not, unless another remedy is named."""
    if not any(str(o).startswith("--remedy") for o in options):
        options = ("--remedy=trim", *options)
    return Trim(ctl("--json", "trim", *options, inner_pid or pid, **kw), inner_pid or pid)


def disturb(how, pid):
    return subprocess.run([VICTIMS / "disturb", how, str(pid)], stderr=subprocess.PIPE, timeout=30,
                          check=False).returncode


def died_of(proc):
    return signal.Signals(-proc.returncode).name if proc.returncode and proc.returncode < 0 else None


def told_by(*argv):
    """What a tool prints, "" when it isn't there: for records, which say what they can of the machine."""
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=TOP,
                              check=False).stdout.strip()
    except OSError:
        return ""


def own_mounts():
    """How to get a mount namespace. Inside of a chroot the root is no mount point, so its propagation can't change."""
    how = ["unshare", "-m", "--propagation"]
    r = subprocess.run([*how, "private", "true"], stderr=subprocess.DEVNULL, check=False)
    return [*how, "unchanged" if r.returncode else "private"]
