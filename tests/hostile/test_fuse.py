# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and memory on a file system in user space that stops answering.

Who waits in it can't be killed before it answers, by anybody. So what is judged is that the worker itself
ends in time, that only so many wait, that others are served meanwhile, and that all is over when the file
system is."""

import pytest

import judge
from hostile import LONG, NOBODY, Fuse, Verdict, act, let_go, look, nothing_left, readers

TURNS = 4  # daemon/inspect/target.c
OWN = [*NOBODY, "unshare", "-U", "-r", "-m"]

# name: what hangs, how it is mounted, the program; {} is the file
CASES = {
    "program, all hangs": ("all", ["--other"], ["{}"]),
    "program, reads hang": ("read", ["--other"], ["{}"]),
    "program, reads hang inside": ("read", ["--other", "--sync"], ["{}"]),
    "memory behind an arena": ("read", ["--other"], ["forge", "--how=arena-place", "--place=file", "--file={}"]),
    "memory behind a bin": ("read", ["--other", "--sync"], ["forge", "--how=bin-place", "--place=file", "--file={}"]),
    "a library": ("all", ["--other"], ["forge", "--how=modules", "--file={}"]),
}
if LONG:
    CASES |= {
        "program, attributes hang": ("getattr", ["--other"], ["{}"]),
        "program, opening hangs": ("open", ["--other"], ["{}"]),
        "memory behind the top": ("read", ["--other", "--sync"], ["forge", "--how=top-place", "--place=file",
                                                                  "--file={}"]),
        "memory behind caches": ("read", ["--other", "--sync"], ["forge", "--how=cache-place", "--place=file",
                                                                 "--file={}"]),
    }
# A user's own mount, which the kernel keeps root out of.
PRIVATE = {
    "own program, all hangs": ("all", [], ["{}"]),
    "own memory behind an arena": ("read", [], ["forge", "--how=arena-place", "--place=file", "--file={}"]),
}


@pytest.fixture
def hung(place):
    opened = []
    source = place.dir / "large"
    if not source.exists():
        source.write_bytes(place.program("forge").read_bytes() + bytes(8 << 20))
        source.chmod(0o755)

    def go(hangs, flags, argv, own=False):
        argv = [str(place.program("forge")) if a == "forge" else a for a in argv]
        opened.append(Fuse(place, source, *argv, flags=flags, prefix=OWN if own else ("unshare", "-m")))
        # Once it reads its input it is ready.
        judge.wait_for("it to sleep", 30, lambda: (judge.syscall_of(opened[-1].pid) or "?")[0] == 0)
        assert opened[-1].tell("hang", hangs) == "ok"
        return opened[-1]
    yield go
    for f in opened:
        f.close()


@pytest.mark.parametrize("name", [*CASES, *PRIVATE])
def test_hangs(name, hung, bystanders, capsys):
    verdict, before = Verdict(name, capsys), readers()
    f = hung(*(CASES.get(name) or PRIVATE[name]), own=name in PRIVATE)
    look(verdict, f.pid)
    act(verdict, f.pid)
    if name in PRIVATE and "program" in name:
        assert judge.trim(f.pid).outcome == "refused"
    left = set(readers()) - set(before)
    assert len(left) <= 2, left
    let_go(f.pid)
    bystanders[0].moves_on()
    verdict.say(f"{f.tell('held')} requests hang, and {len(left)} readers in them")
    f.close()
    nothing_left(before)
    verdict.show()


def test_only_so_many(hung, capsys):
    """One reader after another would hang: the next is refused at once, with the reason."""
    verdict, before = Verdict("many looks", capsys), readers()
    f = hung("all", ["--other"], ["{}"])
    # One whose time is up before it gets that far doesn't hang.
    judge.wait_for("as many as may to hang", 30, lambda: len(set(readers()) - set(before)) == TURNS
                   or act(verdict, f.pid, timeout=0.1).outcome not in ("timeout", "refused"))
    verdict.said.clear()
    for _ in range(3):
        t = act(verdict, f.pid, timeout=10)
        assert t.outcome == "refused" and "never answer" in t.reason, t
    # The one that was refused last may be about to end.
    judge.wait_for("no more than may to hang", 5, lambda: len(set(readers()) - set(before)) == TURNS)
    f.close()
    nothing_left(before)
    verdict.show()
