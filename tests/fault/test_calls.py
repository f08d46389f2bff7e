# SPDX-License-Identifier: GPL-2.0-or-later
"""What the worker asks of the kernel either is a step, which fails in tests/fault/test_steps.py, or is named in
safety.rst with the reason why it is none (fault build)."""

import re
import subprocess

import judge

ROOMS = ("worker", "remedy", "inspect", "inject", "base")
# What has another name in libc than in the kernel.
LIBC = {"sigaction", "signal", "sigprocmask", "sigtimedwait", "raise", "tcgetattr", "opendir", "fdopendir", "readdir",
        "closedir", "fstatat", "prlimit", "recv", "send", "waitpid", "sysconf"}
NOT = {"syscall"}  # is told apart by its number
NUMBERS = {"440": "process_madvise"}


def told_by(*argv, text=None):
    return subprocess.run([*map(str, argv)], input=text, text=True, stdout=subprocess.PIPE, check=True).stdout


def of_libc():
    """What is the kernel's of all that the worker's objects call, as it is linked: __read_chk is not read."""
    source = "#include <sys/syscall.h>\n"
    kernel = {*re.findall(r"#define SYS_(\w+)", told_by("gcc", "-E", "-dM", "-xc", "-", text=source))}
    objects = [o for room in ROOMS for o in (judge.BUILD / "daemon" / room).rglob("*.o")]
    linked = {*re.findall(r"\bU (\w+)", told_by("nm", "-D", judge.WORKER))}
    names = linked & {*re.findall(r"\bU (\w+)", told_by("nm", "-u", *objects))}
    return {n for n in names if re.sub(r"^__(\w+)_(chk|2)$", r"\1", n) in (kernel | LIBC) - NOT}


def by_number():
    found = set()
    for room in ROOMS:
        for f in (judge.TOP / "daemon" / room).rglob("*.c"):
            found |= {*re.findall(r"\bsyscall\((?:SYS_)?(\w+)", f.read_text(encoding="utf-8"))}
    return {NUMBERS.get(name, name) for name in found}


def test_each_call_is_a_step():
    # No such function is linked unless the linker puts it in front of libc's.
    wrapped = {*re.findall(r"\b__wrap_(\w+)", told_by("nm", judge.WORKER))}
    numbers = {*re.findall(r'\] = \{ "(\w+)"', (judge.TOP / "tests/fault/steps.c").read_text(encoding="utf-8"))}
    safety = (judge.TOP / "Documentation/safety.rst").read_text(encoding="utf-8")
    about = re.search(r"Some calls are no such steps.*?\n\n", safety, re.DOTALL)[0]
    told, asked = {*re.findall(r"``(\w+)``", about)}, of_libc()
    assert {"kill", "statx", "openat", "ptrace", "setitimer"} <= asked and {"kcmp", "tgkill"} <= by_number()
    missing = asked - wrapped - told | by_number() - numbers - told
    assert not missing, f"neither steps nor told of: {sorted(missing)}"
