# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaimctl top, in a real terminal: tmux is the one, of which screens can be read."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

import judge
from cli import Fake, fake, named, one_line  # noqa: F401 (fixtures)

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is missing (Debian package tmux)")

# Frees nearly all of what it had, and keeps a little of everywhere. Its name is for the filter.
BLOATED = """
import ctypes, time
ctypes.CDLL(None).prctl(15, b"topvictim")
a = [str(i) + "x" * 40 for i in range(250000)]
kept = a[::1000]
del a
print(flush=True)
time.sleep(1000)
"""


@pytest.fixture
def victim():
    with subprocess.Popen([judge.PYTHON, "-ISc", BLOATED], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as p:
        assert p.stdout.readline() == b"\n"
        judge.wait_for("it to sleep", 10, lambda: judge.asleep(p.pid))
        yield p
        p.kill()


class Terminal:
    """A terminal with a shell script in it that runs top, and tells what the terminal was like before and after."""

    SCRIPT = 'stty -g >"$D/before"; {what}; echo $? >"$D/status"; stty -g >"$D/after"; exec sleep 1000'

    def __init__(self, folder, width=80, height=24):
        self.folder, self.width, self.height = folder, width, height
        self.socket = folder / "tmux"

    def tmux(self, *args):
        return subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", *map(str, args)], check=True, timeout=20,
                              stdout=subprocess.PIPE, env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout.decode()

    def run(self, *args, env=None, what=None):
        words = {**{"D": str(self.folder), "LC_ALL": "C.UTF-8", "NO_COLOR": ""}, **(env or {})}
        command = what or " ".join(map(str, [judge.CTL, "top", "--delay=500ms", *args]))
        self.tmux("new-session", "-d", "-x", self.width, "-y", self.height, *sum((["-e", f"{k}={v}"] for k, v in
                  words.items()), []), self.SCRIPT.format(what=command))
        return self

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self):
        lines = self.tmux("capture-pane", "-p").split("\n")[:-1]
        return lines + [""] * (self.height - len(lines))

    def see(self, *patterns, absent=None):
        """Waits until all are on the screen, @absent isn't, and returns the screen."""
        lines = []

        def there():
            time.sleep(0.005)
            lines[:] = self.screen()
            text = "\n".join(lines)
            return all(re.search(p, text, re.M) for p in patterns) and not (absent and re.search(absent, text, re.M))
        try:
            judge.wait_for(f"{patterns} on the screen", 20, there)
        except AssertionError as e:
            raise AssertionError(f"{e}:\n" + "\n".join(lines)) from None
        return lines

    def status(self):
        judge.wait_for("the end of top", 20, lambda: (self.folder / "after").exists() and
                       (self.folder / "after").read_text().endswith("\n"))
        assert (self.folder / "after").read_text() == (self.folder / "before").read_text()
        return int((self.folder / "status").read_text())

    def pid(self):
        """Of the top in it."""
        shell = int(self.tmux("display-message", "-p", "#{pane_pid}"))

        def child():
            with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as f:
                found = [int(p) for p in f.read().split()]
            return next((p for p in found if judge.status(p, field="Name") == "reclaimctl"), None)
        return judge.wait_for("top to run", 10, child)


@pytest.fixture
def terminal(tmp_path):
    made = []

    def go(width=80, height=24):
        folder = tmp_path / f"t{len(made)}"
        folder.mkdir()
        made.append(Terminal(folder, width, height))
        return made[-1]
    yield go
    for t in made:
        subprocess.run(["tmux", "-S", t.socket, "kill-server"], check=False, stderr=subprocess.DEVNULL)


def assert_list(lines, terminal):
    """What each picture of the list has, wherever it is."""
    assert len(lines) == terminal.height and all(len(line) <= terminal.width for line in lines), lines
    assert re.match(r"Memory \S+iB of \S+iB used \[[| ]{16}\]", lines[0]), lines
    assert lines[1].startswith("Waiting some "), lines
    assert re.match(r"Processes \d+, \d+ shown, \d+ seen: \S+B free", lines[2]), lines
    assert re.match(r"█ in use  ▓ cached  ░ free  ▒ idle  ━ other  ╍ unseen", lines[3]), lines
    heads = lines[4].split()
    assert heads[0].endswith("PID") and heads[-1].endswith("COMMAND") and any(h.endswith("FREE") for h in heads), lines
    wide = terminal.width >= 140
    assert ("USER" in lines[4]) == ("ANON" in lines[4]) == ("RUNTIME" in lines[4]) == wide, lines


ROW = r"^\*? *{pid} +.*MiB +\S+iB .*[█░].*topvictim"

# Where it is loaded, it may not have looked for long enough.
IDLE = "only the kernel module knows" + ("|sorted by idle" if os.path.exists("/sys/kernel/reclaim") else "")

# What each key of the table leaves on the screen when it is pressed in the list, where the victim is the one line.
AFTER = {
    "Up k": ROW, "Down j": ROW, "PgUp": ROW, "PgDn": ROW, "Home": ROW, "End": ROW,
    "Enter": r"^CPython 3\.", "Esc": r"^CPython 3\.", "t": r"^Trim \d+ \(topvictim\).* y: yes  d: dry run  n: no",
    "Space": r"^\* *\d+ .*topvictim", "u": r"^ +\d+ .*topvictim", "x": "nothing is at work", "l": "looking into",
    "/": "^Filter: topvictim", "s": "sorted by rss", "r": r" \^RSS", "F": "sorted by free", "M": "sorted by rss",
    "A": "sorted by anon", "I": IDLE, "S": "sorted by swap", "N": "sorted by pid", "U": "sorted by user",
    "C": "sorted by comm", "g": "processes by systemd unit", "Left -": ROW, "Right +": ROW, "a": "all processes",
    "b": "of its own RSS", "p": "paused", "m": "mouse on", "^L": ROW, "? h F1": "^Keys$", "q": None,
}
BACK = {"Enter": "Escape", "t": "n", "/": "Enter", "r": "r", "F": None, "b": "b", "p": "p", "m": "m", "a": "a",
        "? h F1": "?", "Space": "u", "g": "g g"}
SENT = {"PgUp": "PPage", "PgDn": "NPage", "Esc": "Escape", "^L": "C-l"}


def key_table():
    answer = judge.ctl("help", "top")
    return re.findall(r"^  (\S+(?: \S+)*)  +\S.*$", answer.out.split("\nKeys:\n")[1].split("\n\n")[0], re.M)


# How it looks doesn't depend on who watches its memory, which takes twice the time.
@pytest.mark.parametrize("width,height", [(80, 24), (200, 60)][:1 if judge.BUILD.name == "san" else 2])
def test_every_key(terminal, victim, width, height):
    names = key_table()
    assert names == list(AFTER)
    t = terminal(width, height).run("--filter=topvictim")
    row = ROW.format(pid=victim.pid)
    assert_list(t.see(row), t)
    for name in names:
        for key in name.split(" "):
            want = AFTER[name]
            t.keys(SENT.get(key, key))
            if want is None:
                continue
            if key == "Escape" or name == "Esc":
                # No filter any more; then it is set anew.
                t.see("Processes", absent="filter: topvictim")
                t.keys("/", *"topvictim", "Enter")
                t.see(row, "filter: topvictim")
                continue
            t.see(want.format(pid=victim.pid))
            for back in (BACK.get(name) or "").split():
                t.keys(back)
            if name == "Enter":
                t.see(row)
        if want is not None and name not in ("Space",):
            lines = t.see(row)
            assert_list(lines, t)
    assert t.status() == 0
    assert judge.status(victim.pid)["TracerPid"] == "0"


@pytest.fixture
def movers(tmp_path):
    """Enough of them for several pages, all small and alike; by pid"""
    program = tmp_path / "topmover"
    shutil.copy("/bin/sleep", program)
    script = 'for i in $(seq 70); do "$0" 1000 & echo $!; done; echo; read end; kill $(jobs -p)'
    with subprocess.Popen(["bash", "-c", script, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        pids = sorted(map(int, iter(p.stdout.readline, b"\n")))
        judge.wait_for("bash to run them", 30, lambda: all(judge.status(n)["Name"] == program.name for n in pids))
        yield pids
        p.communicate(b"\n")


class Mover:
    """A list that changes by keys only, and whose cursor can be seen"""

    def __init__(self, terminal):
        self.t = terminal

    def shown(self):
        """(pids on the screen, the one under the cursor)"""
        time.sleep(0.02)
        pids, here, reverse = [], None, False
        for line in self.t.tmux("capture-pane", "-e", "-p").split("\n"):
            # How a line is drawn goes on in the next one.
            text, at_start = "", None
            for part in re.split(r"(\x1b\[[0-9;]*m)", line):
                if part.startswith("\x1b"):
                    for n in part[2:-1].split(";"):
                        reverse = n == "7" or (reverse and n not in ("", "0", "27"))
                elif part:
                    at_start = reverse if at_start is None else at_start
                    text += part
            m = re.match(r"[ *]*(\d+) .*topmover", text)
            if m:
                pids.append(int(m[1]))
                here = pids[-1] if at_start else here
        return pids, here

    def press(self, *keys, want):
        """want(pids, here) becomes true"""
        self.t.keys(*(SENT.get(k, k) for k in keys))
        judge.wait_for(f"what {keys} do", 20, lambda: want(*self.shown()))


@pytest.mark.skipif(judge.BUILD.name == "san", reason="where the cursor is doesn't depend on who watches its memory")
@pytest.mark.parametrize("width,height", [(80, 24), (200, 60)])
def test_keys_do_what_they_say(terminal, movers, width, height):
    """Where the cursor is and what is on the screen, after each key that changes only that"""
    t = terminal(width, height).run("--all", "--sort=pid", "--filter=topmover", "--delay=1h")
    m, page = Mover(t), height - 7
    assert len(movers) > page + 10
    m.press(want=lambda pids, here: pids == movers[:page + 1] and here == movers[0])
    for key, at in (("Down", 1), ("j", 2), ("Up", 1), ("k", 0), ("k", 0), ("PgDn", page), ("Down", page + 1),
                    ("PgUp", 1), ("End", -1), ("Down", -1), ("Home", 0)):
        m.press(key, want=lambda pids, here: here == movers[at] and movers[at] in pids)
    m.press("End", want=lambda pids, here: pids == movers[-page - 1:])
    m.press("Home", "r", want=lambda pids, here: pids[0] == movers[-1] or here == movers[0])
    m.press("Home", want=lambda pids, here: pids == movers[:-page - 2:-1])
    m.press("N", "Home", want=lambda pids, here: pids == movers[:page + 1])
    # Small ones, which only "all" shows
    m.press("a", want=lambda pids, here: not pids)
    m.press("a", "Home", want=lambda pids, here: pids == movers[:page + 1])
    m.press("g", want=lambda pids, here: pids and len(pids) <= page)
    for fold, unfold in (("Left", "Right"), ("-", "+"), ("Enter", "Enter")):
        m.press("Home", fold, want=lambda pids, here: not pids)
        m.press("Home", unfold, want=lambda pids, here: pids)
    m.press("g", "g", "Home", want=lambda pids, here: pids == movers[:page + 1] and here == movers[0])
    m.press("Space", "Space", want=lambda pids, here: here == movers[2])
    assert [line[:1] for line in t.screen()[5:8]] == ["*", "*", " "]
    m.press("u", want=lambda pids, here: not any(line.startswith("*") for line in t.screen()[5:]))
    os.kill(movers[0], signal.SIGKILL)
    judge.wait_for("its end", 10, lambda: judge.state(movers[0]) in (None, "Z"))
    m.press("Home", want=lambda pids, here: here == movers[0])
    m.press("C-l", want=lambda pids, here: pids == movers[1:page + 2])
    m.press("p", want=lambda pids, here: any("paused" in line for line in t.screen()))
    os.kill(movers[1], signal.SIGKILL)
    judge.wait_for("its end", 10, lambda: judge.state(movers[1]) in (None, "Z"))
    m.press("Down", "C-l", "Home", want=lambda pids, here: pids == movers[1:page + 2])
    m.press("p", want=lambda pids, here: pids == movers[2:page + 3])
    t.keys("Q")
    assert t.status() == 0


def test_trim_asks_and_tells_in_place(terminal, victim):
    t = terminal().run("--filter=topvictim")
    t.see(ROW.format(pid=victim.pid))
    before, anon = judge.rss(victim.pid), judge.status(victim.pid)["RssAnon"]
    t.keys("t")
    t.see(r"^Trim %d \(topvictim\) \(\S+MiB or more\)\? y: yes" % victim.pid)
    t.keys("d")
    t.see(r"topvictim would free \S+MiB")
    assert judge.status(victim.pid)["RssAnon"] == anon
    t.keys("t", "y")
    t.see(r"%d .*topvict\S* freed \S+MiB \(\S+\)" % victim.pid, r"Processes .* given back")
    assert judge.rss(victim.pid) < before / 2
    t.keys("Enter")
    t.see("^Trimmed: freed", r"^CPython 3\.")
    t.keys("q")
    assert t.status() == 0


def test_exit_during_detail_and_resizing(terminal, victim):
    t = terminal().run("--filter=topvictim")
    t.see(ROW.format(pid=victim.pid))
    t.keys("Enter")
    t.see("^Remedies", r"^CPython 3\.")
    for n in range(30):
        t.tmux("resize-window", "-x", 1 + n * 7 % 150, "-y", 1 + n * 5 % 50)
    victim.kill()
    t.width, t.height = 100, 30
    t.tmux("resize-window", "-x", 100, "-y", 30)
    t.see("It has exited; what was known of it last", r"^CPython 3\.", absent="t trim|key t:")
    # It was a zombie till now.
    victim.wait()
    t.keys("l", "t")
    t.see("it has exited")
    t.keys("Escape")
    lines = t.see("No process matches the filter", "USER")
    assert len(lines) == 30 and not any(lines[8:29]) and lines[0].startswith("Memory")
    t.keys("q")
    assert t.status() == 0


def test_stop_and_go_on(terminal, victim):
    t = terminal().run(what=f"bash --norc --noprofile -i -c 'set -m; {judge.CTL} top -d 500ms --filter=topvictim & fg; "
                            "stty -g >$D/asleep; fg'")
    row = ROW.format(pid=victim.pid)
    t.see(row)
    t.keys("C-z")
    judge.wait_for("the shell", 20, lambda: (t.folder / "asleep").exists() and (t.folder / "asleep").read_text())
    assert (t.folder / "asleep").read_text() == (t.folder / "before").read_text()
    assert_list(t.see(row), t)
    t.keys("q")
    assert t.status() == 0


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_leave_the_terminal_sane(terminal, signo):
    t = terminal().run()
    t.see("^Memory", "COMMAND")
    os.kill(t.pid(), signo)
    assert t.status() == (0 if signo == signal.SIGINT else 128 + signo)


def test_quits_while_a_worker_is_at_work(terminal, victim, fake):
    t = terminal().run("--filter=topvictim", env=fake.env(sleep=60))
    t.see("topvictim")
    work = judge.wait_for("a worker", 10, lambda: next((r["worker"] for r in fake.requests()), None))
    began = time.monotonic()
    # Keys are answered all the while.
    t.keys("?")
    t.see("^Keys$")
    t.keys("q")
    assert t.status() == 0 and time.monotonic() - began < 10
    judge.wait_for("the worker's end", 10, lambda: judge.state(work) in (None, "Z"))
    assert judge.status(victim.pid)["TracerPid"] == "0"


def test_without_permission(terminal, victim, tmp_path):
    """Somebody else's process: it is shown, and what can't be done is said."""
    user = "setpriv --reuid=65534 --regid=65534 --clear-groups --"
    if subprocess.run(f"{user} {judge.CTL} --version", shell=True, check=False, stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this build may not be run by other users")
    t = terminal().run(what=f"RECLAIM_BUS=/nonexistent {user} {judge.CTL} top -d 500ms --filter=topvictim")
    t.see(r"%d .* - .*topvictim" % victim.pid, "denied")
    t.keys("Enter")
    t.see(rf"^{victim.pid} \(topvictim\)", "As of", "!  *[a-z]")
    t.keys("t", "y")
    t.see("Trim (failed|refused): ", r"see\s+'reclaimctl\s+doctor'")
    t.keys("q")
    assert t.status() == 0


def spawn(args, env):
    """top in a terminal of which all bytes are seen: what it writes until it is told to quit."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(judge.CTL, [str(judge.CTL), "top", *args], {**os.environ, **env})
    out = b""
    deadline = time.monotonic() + 20
    while b"COMMAND" not in out or len(out) < 500:
        assert select.select([fd], [], [], max(deadline - time.monotonic(), 0))[0], out
        out += os.read(fd, 65536)
    os.write(fd, b"q")
    while True:
        try:
            more = os.read(fd, 65536)
        except OSError:
            break
        out += more
        if not more:
            break
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out


COLOR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-79]|4[0-79]|38;5;\d+)m")


def test_colours_and_hostile_names(named):
    pid, _ = named
    base = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "NO_COLOR": ""}
    args = ["--all", f"--filter={pid}"]
    rc, out = spawn(args, base)
    assert rc == 0 and b"\x1b[38;5;" in out
    assert b"\\x1b[2J" in out and b"\xff" not in out and b"\x9b" not in out.replace(b"\xe2\x96\x9b", b"")
    assert out.count(b"\x1b[2J") <= 1, "cleared once by us, never by a name"
    for env, more in (({**base, "NO_COLOR": "1"}, []), (base, ["--color=never"]), ({**base, "TERM": "vt100"}, [])):
        rc, out = spawn([*args, *more], env)
        assert rc == 0 and not re.search(rb"\x1b\[[0-9;]*(3[0-7]|38;5;\d+)m", out), out
    rc, out = spawn(args, {**base, "LC_ALL": "C"})
    assert rc == 0 and not re.search(rb"[\x80-\xff]", out)


def test_refuses_what_is_no_terminal(tmp_path):
    answer = judge.ctl("top")
    assert answer.rc == 2 and "is no terminal: use --batch" in answer.err
    one_line(answer.err)
    for term in ("dumb", "", "nosuchterminal"):
        done = subprocess.run(["script", "-qec", f"{judge.CTL} top", "/dev/null"], check=False, timeout=20,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              # What a newterm() that fails had begun, ncurses keeps.
                              env={**os.environ, "TERM": term, "ASAN_OPTIONS": "detect_leaks=0"})
        assert done.returncode == 2 and b"set TERM, or use --batch" in done.stdout, done
        assert b"\x1b" not in done.stdout, done
    for args in (["--json", "top"], ["top", "--all", "--min=1M"], ["top", "--delay=1ms"], ["top", "--count=0"],
                 ["top", "1"], ["top", "--sort=x"]):
        assert judge.ctl(*args).rc == 2, args


def test_batch(victim):
    answer = judge.ctl("top", "-b", "-n", 2, "-d", "200ms", "--filter=topvictim", env={"LC_ALL": "C.UTF-8"})
    assert answer.rc == 0 and not answer.err and "\x1b" not in answer.out
    lists = answer.out.split("\n\n")
    assert len(lists) == 3 and not lists[2]
    for text in lists[:2]:
        assert re.search(rf"^ *{victim.pid} .*░.*topvictim$", text, re.M) and text.startswith("Memory ")
    answer = judge.ctl("top", "-b", "-n", 1, "--filter=nosuchname")
    assert answer.rc == 0 and "  No process matches the filter.\n" in answer.out
    answer = judge.ctl("--no-legend", "top", "-b", "-n", 1, "--filter=topvictim", env={"LC_ALL": "C"})
    assert len(answer.out.splitlines()) == 2 and answer.out.isascii()


def test_fragmented_heap(start, terminal):
    """Of thousands of free blocks a quick look counts the largest few hundred: it says so, and the rest follows."""
    pid = start("bloat", "--count=300000", "--every=100", asleep=True).pid
    glibc = next(x for x in judge.ctl("--json", "explain", pid).doc["layers"] if x["layer"] == "glibc")
    free = glibc["free_resident"]
    quick = next(d for d in judge.ctl("--json", "ps", "--min=100M").doc if d["pid"] == pid)
    assert quick["free_at_least"] and quick["free_resident"] < free / 2
    assert free <= quick["free_resident"] + quick["unseen"] <= quick["anon"] + (4 << 20)
    assert re.search(rf"^ *{pid} .* >\S+MiB ", judge.ctl("ps", "--min=100M").out, re.M)
    for args in ([pid], ["--deep", "--min=100M"], ["--sort=free", "--min=100M"]):
        row = next(d for d in judge.ctl("--json", "ps", *args).doc if d["pid"] == pid)
        assert row["free_resident"] == free and row["free_at_least"] is False and row["unseen"] == 0, args
    for args in ([], ["--deep"]):
        doc = judge.ctl("--json", "top", "-b", "-n", 1, "--min=100M", f"--filter={pid}", *args).doc
        row = next(p for p in doc["processes"] if p["pid"] == pid)
        assert row["free_resident"] == free and row["free_at_least"] is False and not row["parts"]["unseen"], args
        assert row["parts"]["in_use"] < 20 << 20, args
    t = terminal().run("--min=100M", f"--filter={pid}")
    t.see(rf"^ *{pid} +\S+MiB +>?\d")
    t.keys("l")
    t.see(rf"^ *{pid} +\S+MiB +{free / (1 << 20):.1f}MiB ")
    t.keys("q")
    assert t.status() == 0


def test_batch_json(victim, named):
    answer = judge.ctl("--json", "top", "-b", "-n", 2, "-d", "200ms", "--all")
    docs = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.rc == 0 and len(docs) == 2
    for doc in docs:
        one = next(p for p in doc["processes"] if p["pid"] == victim.pid)
        assert one["comm"] == "topvictim" and one["looked"] == "inside" and one["runtime"] == "cpython"
        assert one["free_resident"] == one["parts"]["free_resident"] > 5 << 20
        assert isinstance(one["free_at_least"], bool) and isinstance(doc["free_at_least"], bool)
        assert sum(one["parts"].values()) == one["rss"]
        assert any(p["pid"] == named[0] for p in doc["processes"])
        assert doc["memory"]["total"] > doc["memory"]["available"] > 0


def test_batch_ends_as_told(tmp_path):
    with subprocess.Popen([judge.CTL, "top", "-b", "-d", "1h"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        assert p.stdout.readline().startswith(b"Memory")
        p.terminate()
        p.communicate(timeout=20)
        assert p.returncode == 128 + signal.SIGTERM
    with open("/dev/full", "wb") as full:
        done = subprocess.run([judge.CTL, "top", "-b", "-n", "1"], check=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    one_line(done.stderr.decode(), "failed to write output")


@pytest.mark.skipif("RECLAIM_TOP_COST" not in os.environ, reason="half a minute; RECLAIM_TOP_COST=1 measures it")
def test_cost_with_500_processes(terminal):
    sleepers = [subprocess.Popen([judge.PYTHON, "-ISc", "import time; a = bytearray(12 << 20); time.sleep(1000)"]
                                 if i < 50 else ["sleep", "1000"]) for i in range(500)]
    try:
        t = terminal().run(what=f"{judge.CTL} top; cat /proc/$$/stat >$D/stat")
        began = time.monotonic()
        t.see("COMMAND", "sleep|python3")
        time.sleep(30)
        seconds = time.monotonic() - began
        t.keys("q")
        t.status()
        words = (t.folder / "stat").read_text().rsplit(")", 1)[1].split()
        cpu = sum(map(int, words[13:15])) / os.sysconf("SC_CLK_TCK")
        print(f"{cpu:.2f} s of CPU in {seconds:.0f} s, its workers included: {100 * cpu / seconds:.2f} %")
        assert cpu / seconds < 0.01
    finally:
        for p in sleepers:
            p.kill()
            p.wait()
