# SPDX-License-Identifier: GPL-2.0-or-later
"""make install, make uninstall, and the completion of command lines."""

import os
import re
import shutil
import subprocess

import pytest

import judge

VARIANTS = {"build": [], "build/san": ["SAN=1"], "build/clang": ["CC=clang"], "build/fault": ["FAULT=1"],
            "build/coverage": ["COVERAGE=1"]}


def make(*args):
    """Of the build that is under test, so that nothing is compiled anew"""
    name = str(judge.BUILD.relative_to(judge.TOP)) if judge.BUILD.is_relative_to(judge.TOP) else ""
    how = VARIANTS.get(name, [f"O={judge.BUILD}"])
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    done = subprocess.run(["make", "-s", *how, *args], cwd=judge.TOP, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def listing(root):
    """Every path with its mode, and what is in it"""
    return {str(p.relative_to(root)): (oct(p.lstat().st_mode), p.read_bytes() if p.is_file() else None)
            for p in root.rglob("*")}


def is_ours(path):
    return "reclaim" in path


def test_uninstall_leaves_nothing(tmp_path):
    first = tmp_path / "first"
    make("install", f"DESTDIR={first}")
    files = {p for p in first.rglob("*") if p.is_file()}
    names = {f.name for f in files}
    assert {"reclaimctl", "reclaim-worker", "reclaimctl.1", "COPYING", "_reclaimctl", "reclaimctl.fish"} <= names
    assert os.access(first / "usr/local/bin/reclaimctl", os.X_OK)

    # A system where others' folders are there already, and somebody else's file in them.
    second = tmp_path / "second"
    for folder in (p for p in first.rglob("*") if p.is_dir()):
        if not is_ours(str(folder.relative_to(first))):
            (second / folder.relative_to(first)).mkdir(parents=True, exist_ok=True)
    (second / "usr/local/bin/other").write_text("other\n")
    before = listing(second)
    make("install", f"DESTDIR={second}")
    assert set(listing(first)) <= set(listing(second))
    make("uninstall", f"DESTDIR={second}")
    assert listing(second) == before
    # Twice is no failure.
    make("uninstall", f"DESTDIR={second}")
    assert listing(second) == before


def test_prefix_and_folders_are_honoured(tmp_path):
    """Only where things go: changing PREFIX would compile all anew."""
    make("install", f"DESTDIR={tmp_path}", "MANDIR=/m", "ZSHDIR=/z", "BASHDIR=/b", "FISHDIR=/f")
    assert (tmp_path / "m/man1/reclaimctl.1").is_file() and (tmp_path / "z/_reclaimctl").is_file()
    make("uninstall", f"DESTDIR={tmp_path}", "MANDIR=/m", "ZSHDIR=/z", "BASHDIR=/b", "FISHDIR=/f")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_dkms_tree_comes_and_goes(tmp_path):
    make("dkms-tree", f"DESTDIR={tmp_path}")
    assert (tmp_path / "usr/lib/modules-load.d/reclaim.conf").read_text().splitlines()[-1] == "reclaim"
    assert list(tmp_path.glob("usr/src/reclaim-*/dkms.conf"))
    make("dkms-untree", f"DESTDIR={tmp_path}")
    assert not [p for p in tmp_path.rglob("*") if is_ours(str(p.relative_to(tmp_path)))]


def tables():
    top = judge.ctl("--json", "help").doc
    return top, {v["name"]: judge.ctl("--json", "help", v["name"]).doc for v in top["verbs"]}


@pytest.fixture(scope="session")
def completion(tmp_path_factory):
    """Of all shells, made from the program under test"""
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        with open(folder / shell, "wb") as f:
            subprocess.run([judge.TOP / "scripts/completion", shell, judge.CTL], check=True, stdout=f)
    return folder


def bash_completes(folder, *words):
    """What bash offers for the last word; "=" is a word of its own, as readline splits."""
    script = f"""
        source {folder}/bash
        COMP_WORDS=(reclaimctl {' '.join(f"'{w}'" for w in words)})
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _reclaimctl
        printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "--norc", "-euc", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completes_every_verb_and_option(completion):
    top, verbs = tables()
    assert bash_completes(completion, "") == list(verbs)
    assert bash_completes(completion, "tr") == ["trim"]
    assert bash_completes(completion, "--json", "do") == ["doctor"]
    assert bash_completes(completion, "help", "") == list(verbs)
    for name, verb in verbs.items():
        spelled = [f"--{o['name']}{'=' if o['arg'] else ''}" for o in top["options"] + verb["options"]]
        assert bash_completes(completion, name, "--") == spelled
        for o in verb["options"] + top["options"]:
            if o["choices"]:
                assert bash_completes(completion, name, f"--{o['name']}", "=", "") == o["choices"]
                assert bash_completes(completion, name, f"--{o['name']}", "=") == o["choices"]
                assert bash_completes(completion, name, f"--{o['name']}", "") == o["choices"]
    assert bash_completes(completion, "trim", "--min", "=", "") == []


def test_bash_completes_pids(completion):
    for verb in (v["name"] for v in tables()[0]["verbs"] if re.match(r"\[?PID", v["args"])):
        assert bash_completes(completion, verb, str(os.getpid())) == [str(os.getpid())]
    assert bash_completes(completion, "doctor", "") == []


def test_bash_completes_words_of_lists(completion):
    verbs = tables()[1]
    columns = {o["name"]: o["words"] for o in verbs["ps"]["options"]}["output"]
    assert len(columns) > 20 and bash_completes(completion, "ps", "--sort", "=", "") == columns
    for line, want in (("ps --sort = -an", ["-anon"]), ("ps --sort = -", [f"-{c}" for c in columns]),
                       ("ps -o pid,r", ["pid,rss", "pid,runtime"]), ("ps -o rss,pid,rs", []),
                       ("ps --output = PID,uid,us", ["PID,uid,user"]), ("ps -o none", []),
                       ("trim --remedy = tr", ["trim"]), ("trim 1 --remedy p", ["purge", "pageout"]),
                       ("trim --remedy = trim,c", ["trim,collect", "trim,cold"])):
        assert bash_completes(completion, *line.split(" ")) == want, line
    # What is offered is understood.
    for word in columns:
        assert judge.ctl("ps", os.getpid(), f"--output={word}", f"--sort=-{word}").rc == 0, word


def test_bash_completes_what_is_behind_two_dashes(completion, tmp_path):
    """Somebody else's command line; of a verb that takes none, no more options."""
    assert "ls" in bash_completes(completion, "record", "--", "l")
    assert "record" not in bash_completes(completion, "record", "--", "rec")
    for words in (("ls", "-"), ("ls", "--"), ("ls", "-o", ""), ("ls", "--output", "=", "")):
        assert bash_completes(completion, "record", "--json", "--", *words[:-1], words[-1] or "nosuchfile") == [], words
    assert bash_completes(completion, "record", "--", "ls", str(tmp_path.parent)[:-1]) != []
    assert bash_completes(completion, "ps", "--", "--") == []
    assert bash_completes(completion, "ps", "--", str(os.getpid())) == [str(os.getpid())]
    # bash-completion knows of others, when it is loaded.
    theirs = "_command_offset() { COMPREPLY=(\"from $1\"); }\n"
    (tmp_path / "bash").write_text(theirs + (completion / "bash").read_text())
    assert bash_completes(tmp_path, "record", "-n", "5", "--", "ls", "-") == ["from", "5"]


def test_bash_executes_nothing_that_others_named(completion, tmp_path):
    """Whoever owns a control group chooses the names of those in it."""
    hostile = tmp_path / "a$(touch ran)b"
    hostile.mkdir()
    text = (completion / "bash").read_text().replace("/sys/fs/cgroup", str(tmp_path))
    (tmp_path / "bash").write_text(text)
    offered = subprocess.run(["bash", "--norc", "-euc", f"""
        cd {tmp_path}; source ./bash
        COMP_WORDS=(reclaimctl trim --cgroup = /a) COMP_CWORD=4
        _reclaimctl
        printf '%s\\n' "${{COMPREPLY[@]}}" """], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert offered == "/a\\$\\(touch\\ ran\\)b\n"
    assert not (tmp_path / "ran").exists()


def need(shell):
    path = shutil.which(shell)
    if not path:
        pytest.skip(f"{shell} is missing (Debian package {shell})")
    return path


def test_zsh_loads_and_knows_every_verb(completion, tmp_path):
    zsh = need("zsh")
    shutil.copy(completion / "zsh", tmp_path / "_reclaimctl")
    script = f"""
        fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -d {tmp_path}/dump
        print -r -- "$_comps[reclaimctl]"
        autoload -Uz +X _reclaimctl && functions _reclaimctl >/dev/null && print loaded
        _describe() {{ print -rl -- $verbs }}
        source {tmp_path}/_reclaimctl; _reclaimctl_verbs"""
    done = subprocess.run([zsh, "-f", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["_reclaimctl", "loaded"]
    assert [re.split(r"(?<!\\):", line)[0] for line in lines[2:]] == list(tables()[1])


def test_fish_completes_every_verb_and_option(completion, tmp_path):
    fish = need("fish")
    top, verbs = tables()

    def completes(line):
        script = f"source {completion}/fish; complete -C '{line}'"
        # It makes folders in its home.
        done = subprocess.run([fish, "--no-config", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env={**os.environ, "HOME": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        return {word.split("\t")[0] for word in done.stdout.splitlines()}

    assert completes("reclaimctl ") == set(verbs)
    for name, verb in verbs.items():
        spelled = {f"--{o['name']}" for o in top["options"] + verb["options"]}
        assert spelled <= {w.rstrip("=") for w in completes(f"reclaimctl {name} --")}
    assert completes("reclaimctl trim --remedy=trim,p") == {"--remedy=trim,purge", "--remedy=trim,pageout"}
    for sign in ("", "-", "+"):
        assert completes(f"reclaimctl ps --sort={sign}an") == {f"--sort={sign}anon"}
    assert "ls" in completes("reclaimctl record -- l") and "--mark" not in completes("reclaimctl record -- ls --")
