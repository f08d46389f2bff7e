# SPDX-License-Identifier: GPL-2.0-or-later
"""What reclaimctl says and returns, as far as no real injection is needed."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import judge
from cli import (CONTROL, HOSTILE, as_json, fake, holder, named, one_line, sleeper, start_time,  # noqa: F401
                 without)

PS_KEYS = ("pid start_time comm exe uid user state threads bits rss anon file shmem swap heap heap_size mmap_anon "
           "stack thp lazyfree cgroup unit tracer seccomp idle heap_idle sample_age_us sampling allocator runtime free_resident "
           "free_at_least unseen").split()
VERBS = ("ps", "explain", "regions", "trim", "config", "history", "metrics", "status", "watch", "doctor", "help")


def smaps_sum(pid, field, name=None):
    """Sum of a field of smaps, in bytes; with a name only of mappings that are called so."""
    total, here = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            here = name is None or line.endswith(name)
        elif here and line.startswith(field + ":"):
            total += int(line.split()[1]) * 1024
    return total


# ---------------------------------------------------------------- help and usage

def test_help_forms():
    top = judge.ctl("help")
    assert top.rc == 0 and not top.err
    assert judge.ctl("--help").out == judge.ctl("-h").out == top.out
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", top.out, re.M)
        own = judge.ctl("help", verb)
        assert own.rc == 0 and own.out.startswith(f"Usage: reclaimctl [OPTION...] {verb}")
        assert judge.ctl(verb, "--help").out == judge.ctl("--help", verb).out == judge.ctl(verb, "-h").out == own.out
        for option in ("--json", "--color=", "--no-legend", "--source=", "--help", "--version"):
            assert option in own.out
    for option in ("--unit= --cgroup= --all --min= --remedy= --dry-run --max-stop= --timeout= --advice= --depth= "
                   "--force").split():
        assert option in judge.ctl("help", "trim").out
    for key in PS_KEYS:
        assert re.search(rf"\b{key}\b", judge.ctl("help", "ps").out)
    assert max(map(len, (top.out + judge.ctl("help", "trim").out).splitlines())) <= 110


def test_version():
    assert re.fullmatch(r"reclaimctl \d+\.\d+\.\d+\n", judge.ctl("--version").out)
    assert set(judge.ctl("--json", "--version").doc) == {"version"}
    assert set(judge.ctl("--json", "help", "ps").doc) == {"help", "options"}


USAGE = [
    ([], "no verb"),
    (["pss"], "did you mean 'ps'"),
    (["tirm", "1"], "did you mean 'trim'"),
    (["explode"], "unknown verb 'explode'"),
    (["help", "docter"], "did you mean 'doctor'"),
    (["help", "ps", "trim"], "unexpected argument 'trim'"),
    (["doctor", "1"], "unexpected argument '1'"),
    (["ps", "--jsn"], "did you mean '--json'"),
    (["ps", "--sort"], "needs a value"),
    (["ps", "--sort=nope"], "unknown column 'nope'"),
    (["ps", "--sort=anno"], "did you mean 'anon'"),
    (["ps", "-o", "pid,pid"], "twice"),
    (["ps", "--output="], "--output="),
    (["ps", "--min=12Q"], "a size such as 64M"),
    (["ps", "--min=-1"], "a size such as 64M"),
    (["ps", "--all=yes"], "takes no value"),
    (["ps", "--all", "1"], "exclude each other"),
    (["ps", "0"], "not a process id: 'reclaimctl ps' shows them"),
    (["ps", "1x"], "not a process id"),
    (["ps", "--dry-run"], "unknown option '--dry-run': --help shows"),
    (["--color=pink", "ps"], "auto, always, never"),
    (["--source=magic", "ps"], "auto, netlink, procfs"),
    (["trim"], "which process"),
    (["trim", "1", "--all"], "exclude each other"),
    (["trim", "--unit=a", "--cgroup=/b"], "exclude each other"),
    (["trim", "1", "--min=1M"], "--min is for"),
    (["trim", "1", "--remedy=tirm"], "did you mean 'trim'"),
    (["trim", "1", "--remedy="], "--remedy="),
    (["trim", "1", "--remedy=trim,,cold"], "unknown remedy"),
    (["trim", "1", "--timeout=0"], "between 1ms and 1h"),
    (["trim", "1", "--timeout=2h"], "between 1ms and 1h"),
    (["trim", "1", "--timeout=soon"], "a time such as 10s"),
    (["trim", "1", "--max-stop=0"], "more than 0"),
    (["trim", "1", "--advice=good"], "dontneed, free"),
    (["trim", "1", "--depth=sea"], "auto, normal, deep"),
    (["trim", "-1"], "unknown option"),
    (["trim", "--", "-1"], "not a process id"),
    (["ps", "\x1b[31m\n"], "\\x1b[31m\\n"),
]


@pytest.mark.parametrize("args, part", USAGE, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_usage(args, part):
    plain = judge.ctl(*args)
    assert plain.rc == 2 and plain.out == ""
    one_line(plain.err, part)
    assert not CONTROL.search(plain.err)
    for argv in (["--json", *args], [*args[:1], "--json", *args[1:]]):
        doc = judge.ctl(*argv)
        if argv == ["--json", *args] or args:
            assert doc.rc == 2 and doc.doc["exit_status"] == 2 and part in doc.doc["error"]
            one_line(doc.err, part)


def test_options_anywhere(sleeper):
    pid = sleeper()
    want = judge.ctl("ps", pid, "-o", "pid,comm", "--no-legend").out
    assert want.split() == [str(pid), "sleep"]
    for argv in (["-o", "pid,comm", "--no-legend", "ps", pid], ["--output", "pid,comm", "ps", "--no-legend", pid],
                 ["--no-legend", "ps", "-opid,comm", "--", pid], ["ps", "--output=pid,comm", pid, "--no-legend"]):
        assert judge.ctl(*argv).out == want, argv


@pytest.mark.skipif(os.path.exists("/sys/kernel/reclaim"), reason="the module is loaded")
def test_netlink_not_there():
    r = judge.ctl("--source=netlink", "--json", "ps")
    modules = Path("/lib/modules", os.uname().release, "modules.dep")
    installed = modules.exists() and re.search(r"(^|/)reclaim\.ko[.:]", modules.read_text(), re.M)
    remedy = "not loaded: modprobe reclaim" if installed else "nor installed for this kernel: install reclaim-dkms"
    assert r.rc == 1 and remedy in r.doc["error"]
    assert judge.ctl("--source=netlink", "--json", "regions", os.getpid()).rc == 1
    assert judge.ctl("--source=netlink", "--json", "trim", os.getpid()).rc == 1
    for args in (["explain", os.getpid()], ["doctor"]):
        assert judge.ctl("--source=netlink", *args).rc == 2
    for args in (["ps", os.getpid(), "-o", "pid,comm,threads,swap"], ["regions", os.getpid(), "--min=1"]):
        assert judge.ctl("--source=auto", *args).out.split()[0] == judge.ctl("--source=procfs", *args).out.split()[0]
    assert judge.ctl("--source=procfs", "ps", os.getpid()).rc == 0


# ---------------------------------------------------------------- ps

def test_ps_figures(holder):
    assert judge.ctl("ps", holder).rc == 0  # see test_ps_table
    status = judge.status(holder)
    doc, = judge.ctl("--json", "ps", holder).doc
    assert list(doc) == PS_KEYS

    def kib(field):
        return int(status[field].split()[0]) * 1024
    assert doc["pid"] == holder and doc["start_time"] == start_time(holder)
    assert doc["comm"] == "python3" and doc["exe"] == os.readlink(f"/proc/{holder}/exe")
    assert doc["uid"] == os.getuid() and doc["user"] == "root" and doc["state"] == "S" and doc["threads"] == 1
    assert doc["bits"] == 64 and doc["tracer"] == 0 and doc["seccomp"] == int(status["Seccomp"])
    assert doc["rss"] == kib("VmRSS") and doc["anon"] == kib("RssAnon") and doc["file"] == kib("RssFile")
    assert doc["shmem"] == kib("RssShmem") and doc["swap"] == kib("VmSwap")
    assert doc["heap"] == smaps_sum(holder, "Rss", "[heap]") > 4 << 20
    assert doc["heap_size"] == smaps_sum(holder, "Size", "[heap]")
    assert doc["stack"] == smaps_sum(holder, "Rss", "[stack]")
    assert 20 << 20 <= doc["mmap_anon"] <= doc["anon"] - doc["heap"]
    assert doc["thp"] == smaps_sum(holder, "AnonHugePages") and doc["lazyfree"] == smaps_sum(holder, "LazyFree")
    cgroup = [line[3:] for line in Path(f"/proc/{holder}/cgroup").read_text().splitlines() if line.startswith("0::")]
    assert doc["cgroup"] == (cgroup[0] if cgroup else None)
    assert doc["idle"] is None and doc["sampling"] is None and doc["allocator"] == "glibc" and doc["runtime"] == "cpython"
    assert 0 <= doc["free_resident"] < doc["anon"] and doc["free_at_least"] is (doc["unseen"] > 0)


def test_ps_table(holder):
    # Who looks inside reads what it maps of files, and the kernel counts the pages of the page cache as its own.
    assert judge.ctl("ps", holder).rc == 0
    lines = judge.ctl("ps", holder).out.splitlines()
    assert lines[0].split() == "PID USER RSS ANON HEAP MMAP FREE SWAP THR ALLOCATOR RUNTIME UNIT COMM".split()
    row = lines[1].split()
    assert row[0] == str(holder) and row[1] == "root" and row[-1] == "python3" and len(lines) == 2
    doc, = judge.ctl("--json", "ps", holder).doc
    for shown, key in zip(row[2:6], ("rss", "anon", "heap", "mmap_anon")):
        value, unit = re.fullmatch(r"([\d.]+)([KM]iB)", shown).groups()
        assert abs(float(value) * (1 << 10 if unit == "KiB" else 1 << 20) - doc[key]) <= 0.06 * (1 << 20)
    assert judge.ctl("--no-legend", "ps", holder).out.splitlines() == [lines[1]] or \
        judge.ctl("--no-legend", "ps", holder).out.split() == row
    assert judge.ctl("ps", holder, "-o", "anon,ALLOCATOR,mmap_anon").out.splitlines()[0].split() == \
        ["ANON", "ALLOCATOR", "MMAP"]


def test_ps_json_columns(holder):
    assert [list(d) for d in judge.ctl("--json", "ps", holder, "-o", "rss,PID,thr").doc] == [["rss", "pid", "threads"]]


def test_ps_all(holder):
    before = {int(n) for n in os.listdir("/proc") if n.isdigit()}
    docs = judge.ctl("--json", "ps", "--all").doc
    after = {int(n) for n in os.listdir("/proc") if n.isdigit()}
    pids = [d["pid"] for d in docs]
    assert len(set(pids)) == len(pids) and before & after <= set(pids) and {1, holder, os.getpid()} <= set(pids)
    anon = [d["anon"] for d in docs if d["anon"] is not None]
    assert anon == sorted(anon, reverse=True)


def test_ps_minimum(holder, sleeper):
    small = sleeper()
    pids = [d["pid"] for d in judge.ctl("--json", "ps").doc]
    assert holder in pids and small not in pids
    assert all(d["anon"] >= 10 << 20 for d in judge.ctl("--json", "ps").doc)
    assert holder not in [d["pid"] for d in judge.ctl("--json", "ps", "--min=4G").doc]
    assert small in [d["pid"] for d in judge.ctl("--json", "ps", "--min=1").doc]
    assert [d["pid"] for d in judge.ctl("--json", "ps", small, holder, "--min=10M").doc] == [holder]
    assert judge.ctl("--json", "ps", "--min=100T").doc == []


def test_ps_sort(holder, sleeper):
    pids = sorted([sleeper(), sleeper(), sleeper()])

    def order(sort):
        return [d["pid"] for d in judge.ctl("--json", "ps", *pids, holder, f"--sort={sort}").doc]
    assert order("pid") == order("+PID") == sorted([*pids, holder])
    assert order("-pid") == sorted([*pids, holder], reverse=True)
    assert order("anon")[0] == order("-heap")[0] == order("rss")[0] == holder
    assert order("+anon")[-1] == holder and order("comm")[0] == holder


def test_ps_missing(sleeper):
    pid = sleeper()
    gone = subprocess.Popen(["true"])
    gone.wait()
    r = judge.ctl("--json", "ps", gone.pid, pid)
    assert r.rc == 5 and [d["pid"] for d in r.doc] == [pid]
    one_line(r.err, f"pid {gone.pid}", "no such process")
    r = judge.ctl("--json", "ps", gone.pid)
    assert r.rc == 5 and r.doc == []


def test_ps_once_per_pid(sleeper):
    pid = sleeper()
    assert len(judge.ctl("--json", "ps", pid, pid, pid).doc) == 1


def test_ps_thread_is_no_process():
    code = "import threading, time; t = threading.Thread(target=time.sleep, args=(1000,), daemon=True); t.start(); " \
           "print(t.native_id, flush=True); time.sleep(1000)"
    with subprocess.Popen([judge.PYTHON, "-ISc", code], stdout=subprocess.PIPE) as p:
        tid = int(p.stdout.readline())
        assert judge.ctl("ps", tid).rc == 5 and judge.ctl("--json", "ps", p.pid).doc[0]["threads"] == 2
        p.kill()


def test_ps_other_user(holder, tmp_path):
    """What may not be read is unknown: null, not 0."""
    program = Path(shutil.copy(judge.CTL, tmp_path))
    for d in (tmp_path, *tmp_path.parents):
        if d != Path("/tmp") and d != Path("/"):
            d.chmod(0o755)
    r = subprocess.run([program, "--json", "ps", str(holder)], stdout=subprocess.PIPE, user=65534, group=65534,
                       extra_groups=[], check=True)
    doc, = json.loads(r.stdout)
    assert doc["rss"] == judge.rss(holder)
    assert [doc[k] for k in ("exe", "heap", "heap_size", "mmap_anon", "stack", "thp", "lazyfree")] == [None] * 7


def test_hostile_ps(named):
    pid, exe = named
    doc, = judge.ctl("--json", "ps", pid).doc
    assert doc["comm"] == as_json(HOSTILE) and doc["exe"] == as_json(exe)
    r = judge.ctl("ps", pid, "-o", "pid,comm,exe,state")
    assert r.out.count("\n") == 2 and not CONTROL.search(r.out)
    assert r"\n\x1b[2J\xff)" in r.out and r"\x1b]0;x\x07\xff" in r.out
    assert r.out.splitlines()[1].split()[-1] == "S"


# ---------------------------------------------------------------- output that can't be written

@pytest.mark.parametrize("args", [["ps", "--all"], ["--json", "ps", "--all"], ["doctor"], ["--json", "doctor"],
                                  ["help"], ["help", "ps"], ["--json", "help"], ["--version"], ["--json", "--version"],
                                  ["trim"], ["--json", "trim"], ["explain"], ["--json", "explain"], ["regions"],
                                  ["--json", "regions"]], ids=" ".join)
def test_no_output(args, fake, sleeper):
    argv = [str(judge.CTL), *args]
    if {"trim", "explain", "regions"} & set(args):
        argv.append(str(sleeper()))
    # For what explain asks the fake has no answer.
    env = {**os.environ, **({} if "explain" in args else fake.env())}
    with open("/dev/full", "wb") as full:
        r = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, env=env, check=False)
    assert r.returncode == 1
    one_line(r.stderr.decode(), "No space left on device")
    r = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *argv], stderr=subprocess.PIPE, env=env, check=False)
    assert r.returncode == 1
    one_line(r.stderr.decode(), "Bad file descriptor")
    rfd, wfd = os.pipe()
    os.close(rfd)
    r = subprocess.run(argv, stdout=wfd, stderr=subprocess.PIPE, env=env, check=False)
    os.close(wfd)
    assert r.returncode == 1
    one_line(r.stderr.decode(), "Broken pipe")


def test_all_streams_closed(fake, sleeper):
    """No descriptor of ours takes the place of a standard stream, and the work is done all the same."""
    pid = sleeper()
    r = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", judge.CTL, "trim", str(pid)],
                       env={**os.environ, **fake.env()}, check=False)
    assert r.returncode == 1 and [q["pid"] for q in fake.requests()] == [pid]


# ---------------------------------------------------------------- doctor

def test_doctor(fake):
    r = judge.ctl("--json", "doctor", env=fake.env("would"))
    for d in r.doc:
        assert list(d) == ["check", "status", "detail", "remedy"] and d["status"] in ("ok", "info", "warn", "fail")
        assert d["detail"] and "\n" not in d["detail"] + (d["remedy"] or "")
        assert d["remedy"] or d["status"] != "fail"
    checks = {d["check"]: d for d in r.doc}
    assert r.doc[0]["check"] == "proc" and r.doc[0]["status"] == "ok"
    assert set(checks) >= {"proc", "ptrace", "yama", "process-vm-readv", "ptrace-seccomp", "ptrace-rseq",
                           "ptrace-user-dispatch", "worker", "seccomp", "map-files", "pagemap", "pidfd", "hidepid", "kcmp",
                           "module", "sampling", "idle-ages", "psi", "swap", "zswap", "thp"}
    assert r.rc == (1 if any(d["status"] == "fail" for d in r.doc) else 0)
    assert checks["worker"]["status"] == "ok" and str(fake.path) in checks["worker"]["detail"]
    assert not os.path.exists(f"/proc/{fake.requests()[0]['pid']}")
    table = judge.ctl("doctor", env=fake.env("would"))
    assert table.rc == r.rc
    for d in r.doc:
        assert re.search(rf"^{re.escape(d['check'])} +{d['status']} +\S", table.out, re.M)
        assert not d["remedy"] or f"{d['check']}: {d['remedy']}\n" in table.out


def test_doctor_worker_missing():
    r = judge.ctl("--json", "doctor", env={"RECLAIM_WORKER": "/nonexistent"})
    worker, = [d for d in r.doc if d["check"] == "worker"]
    assert r.rc == 1 and worker["status"] == "fail" and "No such file" in worker["detail"] and worker["remedy"]


def test_doctor_worker_broken():
    r = judge.ctl("--json", "doctor", env={"RECLAIM_WORKER": "/bin/true"})
    worker, = [d for d in r.doc if d["check"] == "worker"]
    assert r.rc == 1 and worker["status"] == "fail" and "without an answer" in worker["detail"]


@pytest.mark.parametrize("args", [["ps"], ["ps", "1"], ["ps", "--all"], ["explain", "1"], ["regions", "1"],
                                  ["trim", "1"], ["trim", "--all"], ["trim", "--unit=x"]], ids=" ".join)
def test_no_proc(args):
    """Where /proc is an empty directory, it must not look as if there were no processes."""
    r = without("/proc", "--json", *args)
    assert r.rc == 1 and r.doc["exit_status"] == 1
    assert r.doc["error"] == "/proc is not mounted (or not a procfs): mount -t proc proc /proc"
    one_line(r.err, r.doc["error"])


def test_no_proc_doctor():
    r = without("/proc", "--json", "doctor")
    row, = r.doc
    assert r.rc == 1 and row["check"] == "proc" and row["status"] == "fail"
    assert row["remedy"] == "mount -t proc proc /proc"
    table = without("/proc", "doctor")
    assert table.rc == 1 and "not mounted" in table.out and "proc: mount -t proc proc /proc\n" in table.out


def test_no_proc_help():
    for args in (["help"], ["--version"], ["trim", "--help"]):
        assert without("/proc", *args).rc == 0


def test_no_dev_null(fake, sleeper):
    """/dev/null is what is missing, not the worker."""
    pid = sleeper()
    r = without("/dev", "--json", "trim", pid, env=fake.env())
    assert r.rc == 1 and r.doc[0]["outcome"] == "failed" and fake.requests() == []
    one_line(r.err, f"pid {pid} (sleep): failed: ", "/dev/null can't be opened: No such file or directory")
    assert str(fake.path) not in r.err
    worker, = [d for d in without("/dev", "--json", "doctor", env=fake.env()).doc if d["check"] == "worker"]
    assert worker["status"] == "fail" and "/dev/null can't be opened" in worker["detail"]


def test_doctor_seccomp(fake):
    """Tried for real: root in the first user namespace can read the filters of others, nobody else can."""
    filters = {d["check"]: d for d in judge.ctl("--json", "doctor", env=fake.env("would")).doc}["ptrace-seccomp"]
    assert "PTRACE_SECCOMP_GET_FILTER" in filters["detail"] and "SUSPEND" not in str(filters)
    if os.geteuid() == 0 and judge.status(os.getpid())["Seccomp"] == "0" and \
            int(judge.status(os.getpid())["CapEff"], 16) >> 21 & 1:
        assert filters["status"] == "ok" and filters["detail"].endswith("under a seccomp filter can be served")
    drop = () if os.geteuid() else ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    r = judge.ctl("--json", "doctor", env=fake.env("would"), prefix=drop)
    dropped = {d["check"]: d for d in r.doc}["ptrace-seccomp"]
    assert dropped["status"] == "warn" and "will be refused" in dropped["detail"]
    assert "CAP_SYS_ADMIN" in dropped["remedy"]


def test_doctor_finds_what_is_so(fake):
    checks = {d["check"]: d for d in judge.ctl("--json", "doctor", env=fake.env("would")).doc}
    thp = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    none = Path("/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none")
    undo = thp.exists() and "[always]" in thp.read_text() and int(none.read_text()) > 0
    assert checks["thp"]["status"] == ("warn" if undo else "ok")
    assert (checks["module"]["status"] == "ok") == os.path.exists("/sys/kernel/reclaim")
    swaps = Path("/proc/swaps")
    assert (checks["swap"]["status"] == "ok") == (swaps.exists() and len(swaps.read_text().splitlines()) > 1)
    assert judge.status(os.getpid())["Seccomp"] != "0" or checks["seccomp"]["status"] == "ok"
