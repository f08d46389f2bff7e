# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that are built, placed or confined in unusual ways: trimmed, or refused, never harmed."""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

import judge


BUSY = "the machine is too busy"
LOOKS = r"no safe point in time \(\d+ looks?\): "


def answered(v, *options):
    """Once more where the machine was too busy, which says nothing of @v."""
    for _ in range(10):
        t = judge.trim(v.pid, *options)
        if BUSY not in (t.reason or ""):
            return t
    raise AssertionError(f"always: {t}")


def trimmed(v, *options, quiet=True, pid=None):
    before = v.snapshot()
    t = judge.trim(pid or v.pid, "--timeout=5s", *options)
    assert t.acted and t.outcome == "reclaimed" and t.doc["freed"] > 1 << 20, t
    v.unharmed(before, quiet)
    return t


def refused_for(v, why):
    """@why: the whole reason, and no other."""
    before = v.snapshot()
    # The search ends with its time here: what it has found is told, not that.
    t = answered(v, "--timeout=1s")
    assert t.rc == 3 and t.outcome == "refused" and re.fullmatch(why, t.reason), t
    v.unharmed(before)
    v.finish()
    return t


# --- how it is built

def test_static_with_symbols(start, special):
    v = start(None, argv=[special.static()], asleep=True)
    trimmed(v)
    v.finish()


def test_static_pie_with_symbols(start, special):
    v = start(None, argv=[special.static_pie()], asleep=True)
    trimmed(v)
    v.finish()


def test_stripped_dynamic(start, special):
    v = start(None, argv=[special.cc("plain-stripped", "-s")], asleep=True)
    trimmed(v)
    v.finish()


def test_no_frame_tables_of_its_own(start, special):
    """The program has no unwind information: no proof, so no trim; libc alone isn't enough."""
    exe = special.cc("plain-nounwind", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fomit-frame-pointer")
    v = start(None, argv=[exe], asleep=True)
    refused_for(v, LOOKS + r"its stack can't be followed after \d+ frames?")


# --- where its files are

def libraries(exe):
    out = subprocess.run(["ldd", exe], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Path(w) for w in out.split() if w.startswith("/")]


def test_deleted_program_and_libc(start, special, tmp_path):
    """Upgraded under its feet: the files that it maps have no name any more."""
    exe = tmp_path / "plain"
    shutil.copy(special.cc("plain"), exe)
    libc = next(p for p in libraries(exe) if p.name.startswith("libc."))
    shutil.copy(libc.resolve(), tmp_path / libc.name)
    v = start(None, argv=[exe], env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}, asleep=True)
    exe.unlink()
    (tmp_path / libc.name).unlink()
    assert sum("(deleted)" in m[3] and "libc" in m[3] for m in judge.mappings(v.pid))
    trimmed(v)
    v.finish()


def test_replaced_libc(start, special, tmp_path):
    """The name now belongs to something else: what is mapped counts, not the name."""
    exe = tmp_path / "plain"
    shutil.copy(special.cc("plain"), exe)
    libc = next(p for p in libraries(exe) if p.name.startswith("libc."))
    mine = tmp_path / libc.name
    shutil.copy(libc.resolve(), mine)
    v = start(None, argv=[exe], env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}, asleep=True)
    mine.unlink()
    mine.write_bytes(b"\x7fELF" + os.urandom(4096))
    trimmed(v)
    v.finish()


def fill_root(root, exe):
    for p in [*libraries(exe)]:
        to = root / str(p).lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(p.resolve(), to)
    shutil.copy(exe, root / "plain")


def test_chroot(special, tmp_path):
    fill_root(tmp_path, special.cc("plain"))
    with ChrootVictim(tmp_path) as v:
        v.wait_ready().wait_asleep()
        trimmed(v)
        v.finish()


class ChrootVictim(judge.Victim):
    """Its status page lies inside, under a name that is different there."""

    def __init__(self, root):
        page = root / "page"
        page.write_bytes(b"")
        super().__init__(["/plain", "--shm=/page"], prefix=["chroot", root], page=False)
        judge.wait_for("the page", 30, lambda: page.stat().st_size == 4096)
        with open(page, "r+b") as f:
            self.page = judge.mmap.mmap(f.fileno(), 4096)
        self.shm_path = str(page)


def test_other_mount_namespace(start, special, tmp_path):
    """Program and libraries exist only on a file system that nobody else has mounted."""
    exe = special.cc("plain")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    libc = next(p for p in libraries(exe) if p.name.startswith("libc."))
    script = (f"mount -t tmpfs none {hidden} && cp {exe} {hidden}/plain && cp {libc} {hidden}/ && "
              f"LD_LIBRARY_PATH={hidden} exec {hidden}/plain \"$@\"")
    v = start(None, argv=["sh", "-c", script, "sh"], prefix=judge.own_mounts(), asleep=True)
    assert not list(hidden.iterdir())
    trimmed(v)
    v.finish()


def test_user_namespace(start, special):
    if subprocess.run(["unshare", "-U", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no user namespace to be had (inside of a chroot the kernel makes none)")
    v = start(None, argv=[special.cc("plain")], prefix=["unshare", "-U", "-r"], asleep=True)
    trimmed(v)
    v.finish()


def test_pid_namespace(start, special):
    v = start(None, argv=[special.cc("plain")], prefix=["unshare", "-p", "-f", "--kill-child"])
    inner = judge.wait_for("the child", 30, lambda: Path(f"/proc/{v.pid}/task/{v.pid}/children").read_text().split())
    inner = int(inner[0])
    judge.wait_for("it to sleep", 30, lambda: judge.asleep(inner))
    before = judge.Snapshot(inner)
    t = judge.trim(inner)
    assert t.acted and t.outcome == "reclaimed", t
    judge.wait_for("it to look as before", 30, lambda: not before.differences(judge.Snapshot(inner)))
    v.finish()


# --- how it is confined

def test_harmless_seccomp_filter(start):
    v = start("filtered", "--kill=reboot,ptrace", asleep=True)
    trimmed(v)
    v.finish()


@pytest.mark.parametrize("killed, named", [("madvise,brk", "madvise"), ("brk", "brk"), ("rt_sigreturn", "rt_sigreturn")])
def test_deadly_seccomp_filter(start, killed, named):
    v = start("filtered", f"--kill={killed}", asleep=True)
    refused_for(v, f"its seccomp filter does not allow {named}")


BOUND = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")  # may trace, and not read filters


@pytest.mark.parametrize("killed, prefix", [("", ()), (",madvise,brk", ()), (",madvise,brk", BOUND)],
                         ids=["act", "look", "blind"])
def test_filter_without_restart_syscall(start, killed, prefix):
    """The kernel lets a call that was interrupted go on as another one, for which this filter kills."""
    if prefix and os.geteuid():
        pytest.skip("only root has a capability to go without")
    v = start("filtered", f"--kill=restart_syscall{killed}", "--timed", asleep=True)
    for _ in range(3):
        t = judge.trim(v.pid, "--timeout=5s", prefix=prefix)
        if killed:
            assert t.rc == 3 and "seccomp" in t.reason, t
        else:
            assert t.acted, t
        rounds = v.get("rounds")
        judge.wait_for("its poll to end", 10, lambda rounds=rounds: v.get("rounds") > rounds)
        judge.wait_for("it to sleep", 10, lambda: judge.asleep(v.pid))
    v.finish()


# --- signals, stacks, threads

@pytest.mark.parametrize("mode", ["all-caught", "all-blocked"])
def test_signals(start, mode):
    """No signal of ours may be seen by the program, whatever it does with signals."""
    v = start("targets", f"--mode={mode}", asleep=True)
    refused_for(v, "SIGURG, SIGWINCH and SIGCHLD are all caught or blocked")
    assert v.get("handler_runs") == 0


@pytest.mark.parametrize("mode", ["trap-ignored", "trap-blocked"])
def test_sigtrap(start, mode):
    """Whoever is in its way gets none: what is done with it, and the mask, stay as they are."""
    v = start("targets", f"--mode={mode}", asleep=True)
    for _ in range(5):
        before = v.snapshot()
        assert answered(v, "--timeout=5s").acted
        v.unharmed(before)
    v.finish()


@pytest.mark.parametrize("mode, why", [
    ("altstack", "it is in a signal handler"),
    # which of them depends on what the C library says of makecontext's first frame
    ("coroutine", r"(its stack can't be followed after \d+ frames?|it runs on a stack of its own making|"
                  "its stack does not begin where a program's or thread's does)"),
], ids=["altstack", "coroutine"])
def test_unusual_stack(start, mode, why):
    v = start("targets", f"--mode={mode}", asleep=True)
    refused_for(v, LOOKS + why)


@pytest.mark.parametrize("args, enough", [
    ([f"--spare={8192 + 1536}", "--state"], True),
    (["--spare=8192"], False),  # the frames fit, and what they call does not
    (["--spare=1024"], False),  # they would reach into the guard page
], ids=["just enough", "no room to run", "at the guard page"])
def test_small_stack(start, args, enough):
    """Of the only thread that can be used: PTHREAD_STACK_MIN, or more where the processor's state takes more."""
    v = start("smallstack", *args, asleep=True)
    tid = v.get("sleeper_tid")
    v.wait_asleep(tid=tid)
    if enough:
        t = trimmed(v)
        assert t.doc["steps"][0]["detail"].startswith(f"thread {tid} in read; "), t.doc
        v.finish()
    else:
        t = refused_for(v, LOOKS + "not enough room on its stack")
        assert t.doc["stopped_us_max"] > 0, "it was not even looked at"


def test_stops_in_vain_are_told(start):
    """Each remedy is refused after a look: what those stops came to is told all the same."""
    v = start("targets", "--mode=coroutine", asleep=True)
    t = judge.trim(v.pid, "--remedy=auto", "--timeout=5s")
    assert t.outcome == "refused" and t.doc["stopped_us_max"], t
    assert sum(s["stopped_us"] for s in t.doc["steps"]) > t.doc["stopped_us_max"], t.doc
    v.finish()


def test_zombie_leader(start):
    """The main thread has ended; the process lives on in another one."""
    v = start("targets", "--mode=zombieleader")
    tid = judge.wait_for("the other thread", 30, lambda: [t for t in judge.tids(v.pid) if judge.state(v.pid, t) == "S"])
    before = {k: judge.status(v.pid, tid[0])[k] for k in ("SigBlk", "SigPnd", "TracerPid")}
    t = judge.trim(v.pid, "--timeout=2s")
    assert t.rc == 3 and t.reason == "it is a zombie (or its main thread has exited)", t
    judge.wait_for("it to sleep", 30, lambda: judge.state(v.pid, tid[0]) == "S")
    assert {k: judge.status(v.pid, tid[0])[k] for k in before} == before
    v.finish()


def test_a_thousand_threads(start):
    """One of them is stopped, the others aren't even looked at by ptrace: no longer than with one."""
    v = start("targets", "--mode=many", asleep=True)
    before = v.snapshot()
    counts = {t: voluntary(v.pid, t) for t in judge.tids(v.pid)}
    assert len(counts) == 1001
    t = trimmed(v)
    v.unharmed(before)
    moved = [tid for tid, n in counts.items() if voluntary(v.pid, tid) != n]
    assert len(moved) == 1, f"{len(moved)} of the threads were stopped"
    assert t.doc["stopped_us_max"] < 200000
    v.finish()


def voluntary(pid, tid):
    return int(judge.status(pid, tid)["voluntary_ctxt_switches"])


def kernels_threads(v):
    """{"sqp", "wrk": tid} when there are both; for a moment a new one has the name of the one that it was made from."""
    named = {(judge.status(v.pid, t, "Name") or "").partition("-")[2][:3]: t for t in judge.tids(v.pid) if t != v.pid}
    return named.keys() == {"sqp", "wrk"} and named


@pytest.mark.parametrize("usable", [False, True], ids=["nobody else", "one that sleeps"])
def test_workers_of_the_kernel(start, usable):
    """io_uring's threads look like the program's own. They are left alone, the one that sleeps and the one that runs,
    also when there is nobody else to be used."""
    v = start("uring", *(["--usable"] if usable else []), ready=False)
    judge.wait_for("it to be ready", 30, lambda: v.get("ready") or not v.alive())
    if v.proc.poll() == 77:
        pytest.skip("io_uring is not to be had: kernel.io_uring_disabled, or a filter")
    kernels = judge.wait_for("the kernel's threads", 30, lambda: kernels_threads(v))
    v.wait_asleep()
    judge.wait_for("the worker to sleep", 30, lambda: judge.state(v.pid, kernels["wrk"]) == "S")
    assert judge.state(v.pid, kernels["sqp"]) == "R"
    before, moved = v.snapshot(), voluntary(v.pid, kernels["wrk"])
    t = answered(v, "--timeout=5s")
    if usable:
        assert t.acted and t.doc["steps"][0]["detail"].startswith(f"thread {v.pid} in read; "), t
    else:
        why = "no safe point in time (0 looks): no thread sleeps in a call that is known to be safe"
        assert t.rc == 3 and t.reason == why and not t.doc["stopped_us_max"], t
    v.unharmed(before)
    assert voluntary(v.pid, kernels["wrk"]) == moved and judge.state(v.pid, kernels["sqp"]) == "R"
    v.finish()


def test_second_allocator_loaded_privately(start, special):
    """glibc's malloc is in use, and another one too: works, and the answer says so."""
    lib = special.library("libjemalloc.so.2", "libjemalloc2")
    # jemalloc wants more static TLS than a late guest gets by default
    room = {**os.environ, "GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=65536"}
    v = start("mixed", f"--lib={lib}", env=room, asleep=True)
    before = v.snapshot()
    a = judge.ctl("--json", "trim", v.pid)
    t = judge.Trim(a, v.pid)
    assert t.acted and t.outcome == "reclaimed", t
    said = " ".join([t.reason or "", a.err, *(s["detail"] for s in t.doc["steps"])])
    assert "jemalloc" in said, f"{t} {said}"
    # the other allocator's own background threads may do what they like
    v.unharmed(before, quiet=len(judge.tids(v.pid)) == 1)
    v.finish()


def test_stopped_in_vain(start):
    """A thread that was stopped, and then could not be used, stood still all the same."""
    v = start("targets", "--mode=all-caught", asleep=True)
    before = voluntary(v.pid, v.pid)
    t = judge.trim(v.pid, "--remedy=trim")
    assert t.rc == 3 and "SIGURG" in t.reason, t
    assert voluntary(v.pid, v.pid) > before, "it was not stopped"
    assert t.doc["stopped_us_max"] > 0 and t.doc["steps"][0]["stopped_us"] > 0, t.doc
    v.finish()


# argv: the file's number; sets what it waits for, and reads once
READS = """
import os, socket, sys, termios
fd, how = int(sys.argv[1]), sys.argv[2]
if how == "terminal":
    a = termios.tcgetattr(fd)
    a[3] &= ~termios.ICANON
    a[6][termios.VMIN], a[6][termios.VTIME] = 10, 0
    termios.tcsetattr(fd, termios.TCSANOW, a)
else:
    socket.socket(fileno=os.dup(fd)).setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
print("ready", flush=True)
print(len(os.read(fd, 100) if how != "recv" else socket.socket(fileno=fd).recv(100)), flush=True)
"""


@pytest.mark.parametrize("how", ["terminal", "read", "recv"])
def test_waits_for_several_bytes(how):
    """Half of them are there: a stop would make the call return them."""
    ours, theirs = os.openpty() if how == "terminal" else (s.detach() for s in socket.socketpair())
    p = subprocess.Popen(["/usr/bin/python3", "-c", READS, str(theirs), how], pass_fds=[theirs],
                         stdout=subprocess.PIPE)
    try:
        assert p.stdout.readline() == b"ready\n"
        os.write(ours, b"12345")
        judge.wait_for("it to sleep", 30, lambda: judge.asleep(p.pid))
        time.sleep(0.2)
        t = judge.trim(p.pid, "--remedy=trim", "--timeout=1s")
        assert t.rc == 3, t
        os.write(ours, b"67890")
        assert p.stdout.readline() == b"10\n"
    finally:
        p.kill()
        p.wait()
        p.stdout.close()
        os.close(ours)
        os.close(theirs)
