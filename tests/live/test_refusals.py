# SPDX-License-Identifier: GPL-2.0-or-later
"""What must not be touched is refused: exit status 3, a reason that a person
understands, in time, and the target doesn't notice.

A process with its shadow stack on is refused too; that needs a processor and
kernel that have one, so it is judged by unit tests on made-up status files."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import judge
import workerproto as w

KTHREAD = 0x00200000


def as_before(before, pid):
    """A thread that has been let go needs a moment to fall asleep again."""
    judge.wait_for("it to look as before", 30, lambda: not before.differences(judge.Snapshot(pid)))


def refused(pid, *words, rc=3, options=("--timeout=2s",), limit=10.0, **kw):
    """@words: one of them must be in the reason. @limit: seconds, the timeout and what a busy machine may add."""
    began = time.monotonic()
    t = judge.trim(pid, *options, **kw)
    took = time.monotonic() - began
    assert t.rc == rc, t
    assert t.outcome == {3: "refused", 4: "failed", 5: "failed"}[rc], t
    assert t.reason and "\n" not in t.reason and len(t.reason) > 8, t
    assert any(word.lower() in t.reason.lower() for word in words), f"{t.reason!r} has none of {words}"
    assert t.doc["freed"] == 0 and t.doc["stopped_us_max"] < 1000000
    # one line for people, naming the pid and the reason
    lines = t.answer.err.strip().splitlines()
    assert len(lines) == 1 and str(pid) in lines[0], t.answer.err
    assert took < limit, f"took {took} s"
    return t


def refused_unharmed(v, *words, pid=None, quiet=True, **kw):
    before = v.snapshot()
    t = refused(pid or v.pid, *words, **kw)
    v.unharmed(before, quiet)
    return t


# --- what it is

def test_kernel_thread():
    for p in sorted(Path("/proc").glob("[0-9]*"), key=lambda p: int(p.name)):
        try:
            flags = int((p / "stat").read_text(errors="replace").rpartition(")")[2].split()[6])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if flags & KTHREAD:
            refused(int(p.name), "kernel thread")
            return
    pytest.skip("no kernel thread is visible in this pid namespace")


def from_shell(script):
    """Runs reclaimctl from a shell that doesn't replace itself; returns pid and answer."""
    r = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, check=False,
                       env={**os.environ, "CTL": str(judge.CTL)}, stdin=subprocess.DEVNULL)
    pid, _, r.stdout = r.stdout.partition(b"\n")
    return judge.Trim(judge.Answer(r), int(pid))


@pytest.mark.parametrize("who, script, words", [
    ("itself", 'echo $$; exec "$CTL" --json trim $$', ("itself", "ancestor")),
    ("the shell it runs in", 'echo $$; "$CTL" --json trim $$; r=$?; exit $r', ("ancestor", "parent", "started")),
    ("the shell's parent", 'echo $$; export UP=$$; sh -c \'"$CTL" --json trim $UP; r=$?; exit $r\'; r=$?; exit $r',
     ("ancestor", "parent", "started")),
], ids=["itself", "shell", "shell's parent"])
def test_itself_and_ancestors(who, script, words):
    t = from_shell(script)
    assert t.rc == 3 and t.outcome == "refused", f"{who}: {t}"
    assert any(w in t.reason.lower() for w in words), t.reason


def pid_one(special, start):
    """A bloated process that is pid 1 of its own namespace; returns it and how to get there."""
    exe = special.cc("plain")
    v = start(None, argv=[*judge.own_mounts(), "-p", "-f", "--mount-proc", "--kill-child", exe])
    init = judge.wait_for("pid 1", 30, lambda: judge.children(v.pid))[0]
    return init, ["nsenter", "-t", str(init), "-p", "-m", "-r"]


def test_pid_one_without_force(special, start):
    init, enter = pid_one(special, start)
    before = judge.Snapshot(init)
    refused(1, "pid 1", "init", "--force", prefix=enter)
    as_before(before, init)
    t = judge.trim(1, "--force", prefix=enter)
    assert t.acted and t.outcome == "reclaimed", t
    as_before(before, init)


def test_zombie():
    with subprocess.Popen(["true"]) as p:
        judge.wait_for("the zombie", 30, lambda: judge.state(p.pid) == "Z")
        refused(p.pid, "zombie")
        assert judge.state(p.pid) == "Z"
        assert p.wait() == 0


def test_32_bit(special, start):
    v = start(None, argv=[special.i386()], page=False, ready=False)
    judge.wait_for("it to sleep", 30, lambda: judge.state(v.pid) == "S")
    before = judge.status(v.pid)
    refused(v.pid, "32-bit", "32 bit")
    after = judge.status(v.pid)
    assert (after["State"], after["SigBlk"], after["TracerPid"]) == (before["State"], before["SigBlk"], "0")
    v.finish()


def test_go(start, special):
    """fzf, reading a pipe that never ends."""
    fzf = special.tool("fzf", "fzf")
    v = start(None, argv=[fzf, "--filter=x", "--no-sort"], page=False, ready=False)
    v.wait_asleep()
    before = judge.status(v.pid)
    t = refused(v.pid, "go")
    assert re.search(r"\bGo\b", t.reason), t.reason
    assert v.alive() and judge.status(v.pid)["SigBlk"] == before["SigBlk"]
    v.proc.stdin.write(b"axb\nnothing\n")
    v.proc.stdin.close()
    assert v.proc.wait(30) == 0
    v.proc.stdin = None


def test_static_stripped(start, special):
    v = start(None, argv=[special.static_stripped()], asleep=True)
    refused_unharmed(v, "symbol", "stripped")
    v.finish()


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_musl(start, special, static):
    v = start(None, argv=[special.musl(static)], asleep=True)
    refused_unharmed(v, "musl", *(("symbol", "malloc_trim", "glibc") if static else ()))
    v.finish()


@pytest.mark.parametrize("pattern, name, package", [
    ("libjemalloc.so.2", "jemalloc", "libjemalloc2"),
    ("libtcmalloc_minimal.so.4", "tcmalloc", "libtcmalloc-minimal4"),
    ("libmimalloc.so.2*", "mimalloc", "libmimalloc2.0"),
], ids=["jemalloc", "tcmalloc", "mimalloc"])
def test_another_allocator(start, special, pattern, name, package):
    lib = special.library(pattern, package)
    v = start("plain", env={**os.environ, "LD_PRELOAD": str(lib)}, asleep=True)
    refused_unharmed(v, name)
    v.finish()


def test_own_malloc(start):
    v = start("ownmalloc", asleep=True)
    refused_unharmed(v, "malloc")
    v.finish()


# --- the state it is in

def test_stopped(start):
    v = start("plain", asleep=True)
    v.proc.send_signal(19)
    judge.wait_for("the stop", 30, lambda: judge.state(v.pid) == "T")
    before = v.snapshot()
    refused(v.pid, "stopped")
    assert judge.state(v.pid) == "T"
    v.unharmed(before)
    v.proc.send_signal(18)
    v.wait_asleep()
    v.finish()


def test_frozen(start):
    """A frozen control group looks asleep (state S); a call into it would freeze halfway."""
    top = [Path(m[1]) for m in map(str.split, Path("/proc/self/mounts").read_text().splitlines()) if m[2] == "cgroup2"]
    if not top:
        pytest.skip("no cgroup2 file system")
    own = Path("/proc/self/cgroup").read_text().split("0::")[1].splitlines()[0]
    home, group = top[0] / own.lstrip("/"), top[0] / own.lstrip("/") / f"reclaim-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as e:
        pytest.skip(f"no control group can be made: {e}")
    v = start("plain", asleep=True)
    try:
        (group / "cgroup.procs").write_text(str(v.pid))
        (group / "cgroup.freeze").write_text("1")
        judge.wait_for("it to freeze", 30, lambda: "frozen 1" in (group / "cgroup.events").read_text())
        refused_unharmed(v, "frozen")
        (group / "cgroup.freeze").write_text("0")
        judge.wait_for("it to thaw", 30, lambda: "frozen 0" in (group / "cgroup.events").read_text())
        v.wait_asleep()
        assert judge.trim(v.pid).acted
        v.finish()
    finally:
        (group / "cgroup.freeze").write_text("0")
        if v.alive():
            (home / "cgroup.procs").write_text(str(v.pid))
        judge.wait_for("the group to be empty", 10, lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def test_vfork_parent_and_child(start):
    """The parent is in D state until the child ends, and the child runs on its memory."""
    v = start("targets", "--mode=vfork")
    judge.wait_for("the parent to wait", 30, lambda: judge.state(v.pid) == "D")
    child = judge.wait_for("the child", 30, lambda: judge.children(v.pid))[0]
    judge.wait_for("the child to sleep", 30, lambda: judge.asleep(child))
    before, child_before = v.snapshot(), judge.Snapshot(child)
    refused(v.pid, "vfork", "D state", "uninterruptible", "disk sleep", "shares")
    refused(child, "vfork", "shares", "shared")
    v.unharmed(before)
    as_before(child_before, child)
    v.finish()


@pytest.mark.parametrize("mode", ["child", "sibling", "orphan", "headless"])
def test_memory_shared_with_another_process(start, mode):
    """What one does happens to the other, whoever its parent is, and though its first thread has ended."""
    v = start("sharers", f"--mode={mode}", asleep=True)
    other = v.get("result")
    other_before = None if mode == "headless" else judge.Snapshot(other)
    assert f"process {other} " in refused_unharmed(v, "shares its memory").reason
    for how in (["--remedy=purge"], ["--remedy=cold", "--idle=100ms"]):
        refused_unharmed(v, "shares its memory", options=("--timeout=2s", *how))
    refused(other, *(("zombie",) if mode == "headless" else ("shares its memory",)))
    if other_before:
        as_before(other_before, other)
    v.finish()


def test_same_places_of_another_memory(start):
    """Who has been forked has stack and heap where the first has them, and is no reason to refuse anything."""
    v = start("sharers", "--mode=fork", asleep=True)
    before = v.snapshot()
    assert judge.trim(v.pid).acted
    v.unharmed(before)
    v.finish()


def test_already_traced(start):
    v = start("plain", asleep=True)
    with subprocess.Popen([judge.VICTIMS / "disturb", "hold", str(v.pid)], stdout=subprocess.PIPE) as tracer:
        assert tracer.stdout.readline() == b"ok\n"
        before = v.snapshot()
        t = refused_unharmed(v, "traced", "tracer")
        assert str(tracer.pid) in t.reason or "disturb" in t.reason, t.reason
        assert before.tracer == tracer.pid
        tracer.kill()
    judge.wait_for("the tracer to be gone", 30, lambda: judge.status(v.pid)["TracerPid"] == "0")
    assert judge.trim(v.pid).acted
    v.finish()


def test_syscall_user_dispatch(start):
    v = start("targets", "--mode=sud", asleep=True)
    refused_unharmed(v, "dispatch")
    v.finish()


def test_seccomp_strict(start):
    v = start("targets", "--mode=strict", asleep=True)
    refused_unharmed(v, "seccomp")
    v.finish()


def test_handler_that_interrupted_malloc(start):
    """The thread sleeps in read(), but beneath the handler malloc is half done: no safe point ever."""
    v = start("targets", "--mode=inmalloc", asleep=True)
    refused_unharmed(v, "safe point", "malloc", "allocator", options=("--timeout=1s",))
    v.finish()


def test_handler_in_malloc_again_and_again(start):
    """The same at twenty different places within malloc and free."""
    for _ in range(20):
        v = start("targets", "--mode=inmalloc", asleep=True)
        refused_unharmed(v, "safe point", "malloc", "allocator", options=("--timeout=150ms",))
        v.finish()
        v.kill()


def test_restartable_sequence(start):
    """It is in one whenever it runs: refused, unless the kernel itself has just thrown it out of one when it is stopped."""
    v = start("rseq", "--for-ever", "--work=20000")
    v.moves_on()
    before, told = v.snapshot(), []
    for n in range(50):
        # all files are read in that time as well, which a busy machine is slow at
        t = judge.trim(v.pid, f"--timeout={30 + 10 * n}ms")
        assert t.outcome in ("refused", "timeout", "reclaimed", "nothing"), t
        told += [t.reason] if t.outcome == "refused" and "restartable sequence" in t.reason else []
        if len(told) == 3:
            break
    assert told, t
    v.moves_on()
    v.unharmed(before, quiet=False)
    v.finish()


# --- who asks

def copy_of_programs(tmp):
    """Where everybody can start them."""
    for d in [tmp, *tmp.parents]:
        if d in (Path("/"), Path("/tmp")):
            break
        d.chmod(0o755)
    for p in (judge.CTL, judge.WORKER):
        shutil.copy(p, tmp / p.name)
        (tmp / p.name).chmod(0o755)
    return tmp / "reclaimctl", {"RECLAIM_WORKER": str(tmp / "reclaim-worker")}


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def test_not_permitted(start, tmp_path):
    program, env = copy_of_programs(tmp_path)
    v = start("plain", asleep=True)
    before = v.snapshot()
    refused(v.pid, "permitted", "permission", "root", rc=4, prefix=NOBODY, program=program, env=env)
    v.unharmed(before)
    v.finish()


@pytest.mark.parametrize("hidepid, rc, outcome", [("noaccess", 4, w.DENIED), ("invisible", 5, w.GONE)])
def test_hidden(start, tmp_path, hidepid, rc, outcome):
    """A /proc that keeps others' processes from who may not trace them: not permitted, or not there at all."""
    program, env = copy_of_programs(tmp_path)
    hide = ["unshare", "-m", "sh", "-ec", f'mount -t proc -o hidepid={hidepid} proc /proc; exec "$@"', "sh", *NOBODY]
    v = start("plain", asleep=True)
    before = v.snapshot()
    refused(v.pid, "not permitted", "no such process", rc=rc, prefix=hide, program=program, env=env)
    a = judge.ctl("--json", "explain", v.pid, prefix=hide, program=program, env=env)
    assert a.rc == rc, a
    argv = [*hide, env["RECLAIM_WORKER"]]
    with w.Worker(w.request(v.pid), argv=argv) as worker:
        r = worker.result()
    assert r.outcome == outcome and (outcome != w.DENIED or "hidepid" in r.reason), r
    with w.Worker(w.request(v.pid, remedies=0, op=w.EXPLAIN), argv=argv) as worker:
        assert worker.head() == (v.pid, outcome)
    v.unharmed(before)
    v.finish()


def test_own_process_without_root(start, tmp_path):
    program, env = copy_of_programs(tmp_path)
    exe = tmp_path / "plain"
    shutil.copy(judge.VICTIMS / "plain", exe)
    v = start(None, argv=[exe], prefix=NOBODY, asleep=True)
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if scope.exists() and int(scope.read_text(encoding="ascii")):
        pytest.skip("Yama forbids it here")
    before = v.snapshot()
    t = judge.trim(v.pid, prefix=NOBODY, program=program, env=env)
    assert t.acted and t.outcome == "reclaimed", t
    v.unharmed(before)
    v.finish()


def test_non_dumpable(start, tmp_path):
    """Root may still; others may not even when it is theirs."""
    program, env = copy_of_programs(tmp_path)
    exe = tmp_path / "plain"
    shutil.copy(judge.VICTIMS / "plain", exe)
    v = start(None, argv=[exe, "--nondumpable"], prefix=NOBODY, asleep=True)
    before = v.snapshot()
    refused(v.pid, "permitted", "permission", "dumpable", "root", rc=4, prefix=NOBODY, program=program, env=env)
    v.unharmed(before)
    t = judge.trim(v.pid)
    assert t.acted and t.outcome == "reclaimed", t
    v.unharmed(before)
    v.finish()


def test_no_such_process():
    refused(4194303, "no such process", "gone", "no process", rc=5)


def test_bad_pids_are_usage_errors():
    for bad in ("0", "-1", "x", "99999999999999999999", "1.5", ""):
        a = judge.ctl("trim", bad)
        assert a.rc == 2 and a.err, f"{bad!r}: {a}"


# --- gone or somebody else between look and act

def test_exit_while_we_work(start):
    """Ends at any moment: exit status 5 or a result, never a hang or anything else."""
    seen = set()
    for delay in range(40):
        with subprocess.Popen(["sleep", f"{0.0005 * delay:.4f}"]) as p:
            t = judge.trim(p.pid, "--timeout=1s")
            assert t.rc in (0, 3, 5), t
            assert t.rc == 0 or t.reason
            seen.add(t.rc)
            assert p.wait(30) == 0
    assert seen - {0}, "it never ended under our hands: the test is too slow"


def test_exec_while_we_work(start):
    v = start("targets", "--mode=execloop")
    end, rounds = time.monotonic() + 3, v.get("rounds")
    codes = {}
    while time.monotonic() < end:
        t = judge.trim(v.pid, "--timeout=500ms")
        assert t.rc in (0, 1, 3, 5) and (t.rc == 0 or t.reason), t
        codes[t.rc] = codes.get(t.rc, 0) + 1
        assert v.alive() and judge.status(v.pid)["TracerPid"] == "0", v.obituary()
    assert v.get("rounds") > rounds + 10
    assert not v.get("errors"), v.note
    v.finish()
