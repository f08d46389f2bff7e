# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page of the documentation says of CPython's own test suite."""

ACROSS = 3  # modules in one line of the table

SECTION = """
CPython's own tests
===================

``make fire PROGRAMS=cpython`` runs CPython's own test suite (Debian's ``libpython3.11-testsuite``, version {version}), each
module in a process of its own, as the user nobody and without what the suite does only when it is told to (use the
network, for one): first left alone, then with all of its processes acted on ten times a second, in turn with ``purge --depth=normal``, ``trim``, ``purge --depth=deep`` and
``collect``. A module that ends sooner runs again, up to {runs} times, until {acts} acts were carried out on it. In all
runs it has a thread more, which sleeps: without one a busy Python can't be entered. A sleep with a timeout begins anew
after each trim (safety.rst), so that at this pace it may never end: what has taken {patience} times as long as alone is
let be from then on.

Every test must end as it did when left alone: passed, skipped, or failed with the same exception. Where one doesn't, the
module runs again *without us*, up to {reruns} times *alone*, then as often beside a *thread* of the program's own that
collects ten times a second: while one thread collects, ``gc.collect()`` of another returns at once, and destructors run in
the first (purge.rst). Only an end that is then seen too is forgiven; such tests are
listed. No act may fail otherwise than that its time was over, or that the process has ended.

{told}

*Tests*: passed, skipped, failed when left alone. *Acts*: those that were carried out.

{module_table}

Tests that end now so, now so
-----------------------------

*Without us*: the other end was seen when the module ran alone, or beside a thread that collects.

{own_table}

Modules with nothing to run here
--------------------------------

They say so themselves.

{why_table}

Modules left out
----------------

{left_table}
"""


def clean(text):
    return " ".join(text.split()).replace('"', "'").replace("|", " ").replace("*", " ").replace("`", "'")[:160]


def across(rows):
    """Those many cells, in columns beside each other, read downwards."""
    height = -(-len(rows) // ACROSS)
    columns = [rows[i * height:(i + 1) * height] for i in range(ACROSS)]
    return [[cell for c in columns for cell in (c[i] if i < len(c) else [""] * len(rows[0]))] for i in range(height)]


def told(doc, ran):
    count = {k: sum(d[k] for d in ran) for k in ("tests", "ok", "skipped", "bad")}
    bad = [(d["module"], d["wrong"][0]) for d in ran if d["wrong"]]
    idle = [d["module"] for d in ran if not d["done"]]
    lines = [f"**{len(ran)} modules, {count['tests']:,} tests** ({count['ok']:,} passed, {count['skipped']:,} skipped, "
             f"{count['bad']:,} failed when left alone), {sum(d['runs'] for d in ran):,} runs under fire of "
             f"{doc['fire_seconds']:,.0f} s in all: {'no test ended otherwise' if not bad else '**not as alone**'}."]
    lines += [f"**{name}**: {clean(why)}" for name, why in bad]
    if idle:
        lines.append(f"**Nothing could be carried out** on {len(idle)}: {', '.join(idle)}.")
    missing = doc["listed"] - len(doc["modules"]) - len(doc["left_out"])
    if missing:
        lines.append(f"**Not run**, since the time was over: {missing} modules.")
    return "\n".join(lines)


def section(doc, table):
    """@table: record.table"""
    if not doc:
        return SECTION[:SECTION.index("\n``make")] + "\nNot run.\n"
    ran = [d for d in doc["modules"] if not d["why"]]
    rows = [[d["module"].removeprefix("test."), f"{d['ok']}, {d['skipped']}, {d['bad']}", d["done"]] for d in ran]
    own = [[d["module"], clean(test.removeprefix("test.")), clean(ends), what] for d in ran
           for what, some in (("alone", "own"), ("thread", "collected")) for test, ends in d.get(some, {}).items()]
    why = [[d["module"].removeprefix("test."), clean(d["why"])] for d in doc["modules"] if d["why"]]
    left = [[name, reason] for name, reason in doc["left_out"].items()]
    return SECTION.format(
        **doc["limits"], version=doc["version"], told=told(doc, ran),
        module_table=table(ACROSS * ["module", "tests", "acts"], across(rows), ACROSS * [20, 9, 5]),
        own_table=table(["module", "test", "ends", "without us"], own or [["none", "-", "-", "-"]], [15, 50, 25, 10]),
        why_table=table(["module", "its reason"], why or [["none", "-"]], [30, 70]),
        left_table=table(["module", "reason"], left or [["none", "-"]], [30, 70]))
