# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is, is documented, and what is documented, there is: verbs, options, tunables of the module.

reclaimd's options are compared in test_reclaimd.py, the keys of its configuration in tests/unit/test-policy-settings.c.
"""

import re

import pytest

import judge

PAGE = (judge.TOP / "Documentation/man/reclaimctl.1.rst").read_text(encoding="utf-8")


def sections(line):
    """Headings that are underlined by such a line, and what is below each, up to the next of any kind."""
    parts = re.split(r"(?m)^(\S.*)\n(=+|-+)\n", PAGE)
    return {head: text for head, kind, text in zip(parts[1::3], parts[2::3], parts[3::3]) if kind[0] == line}


def options_of(text):
    """Entries of an option list: name: (letter, argument)."""
    found = re.findall(r"(?m)^(?:-(\w), )?--([a-z-]+)(?:=([A-Z]+))?(?:  |$)", text)
    return {name: (letter or None, arg or None) for letter, name, arg in found}


def table(*verb):
    return {o["name"]: (o["letter"], o["arg"]) for o in judge.ctl("--json", "help", *verb).doc["options"]}


def verbs():
    return {v["name"]: v["args"] for v in judge.ctl("--json", "help").doc["verbs"]}


def test_verbs():
    heads = {head.split()[0]: head for head in sections("-") if head.split()[0] in verbs()}
    wanted = {name: args for name, args in verbs().items() if name != "help"}
    assert {name: re.sub(r" \| ", "|", head) for name, head in heads.items()} == \
        {name: re.sub(r" \| ", "|", f"{name} {args}").strip() for name, args in wanted.items()}
    synopsis = re.findall(r"(?m)^\| \*\*reclaimctl\*\* (?:\[\*OPTION\*\.\.\.\] )?\*\*([a-z]+)\*\*", sections("=")["SYNOPSIS"])
    assert sorted(synopsis) == sorted(verbs())


@pytest.mark.parametrize("verb", [None, *verbs()])
def test_options(verb):
    if verb is None:
        assert options_of(sections("=")["OPTIONS"]) == table()
        return
    text = next((text for head, text in sections("-").items() if head.split()[0] == verb), "")
    assert options_of(text) == table(verb)


def test_tunables():
    source = (judge.TOP / "kmod/sysfs.c").read_text(encoding="utf-8")
    have = set(re.findall(r"(?m)^\t&(\w+)_attr\.", source))
    have |= {f"stats/{name}" for name in re.findall(r"(?m)^\t&(\w+)_stat\.", source)}
    abi = (judge.TOP / "Documentation/ABI/testing/sysfs-kernel-reclaim").read_text(encoding="utf-8")
    told = re.findall(r"(?m)^What:\t+/sys/kernel/reclaim/(\S+)$", abi)
    assert len(have) > 20 and sorted(told) == sorted(have)
    # Each with all that such a file has to say.
    entries = abi.split("What:")[1:]
    for field in ("Date:", "KernelVersion:", "Contact:", "Description:"):
        assert all(field in e for e in entries if re.match(r"\t+\S+[a-z]\n", e)), field
