# SPDX-License-Identifier: GPL-2.0-or-later
"""Documentation/benchmarks.rst and its pictures, from the results and from nothing else."""

import re
import unicodedata

from plot import pictures, x_name
from report import amount, goal, times
from words import HEAD, SECTIONS, TAIL

FOLDER = "benchmarks"


def escaped(text):
    """A cell or a line of text, taken as it is."""
    text = re.sub(r"([\\*`|])", r"\\\1", str(text))
    return re.sub(r"_(?=\W|$)", r"\\_", text)


def _wide(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def simple_table(heads, lines):
    """A table that can be read as it stands."""
    # An empty cell in the first column would be a line that goes on.
    cells = [[escaped(cell) or ("" if i else "-") for i, cell in enumerate(line)] for line in [heads, *lines]]
    widths = [max(_wide(line[i]) for line in cells) for i in range(len(heads))]
    rule = " ".join("=" * width for width in widths)

    def row(line):
        return " ".join(cell + " " * (width - _wide(cell)) for cell, width in zip(line, widths)).rstrip()

    return [rule, row(cells[0]), rule, *map(row, cells[1:]), rule, ""]


def heading(title, under):
    return [title, under * len(title), ""]


def _figure(cell, unit, short=False):
    if cell is None:
        return ""
    text = amount(cell["median"], unit)
    if cell["n"] > 1 and not short:
        text += f" ({amount(cell['p10'], unit)} to {amount(cell['p90'], unit)})"
    if "limit" in cell:
        text += f" [{amount(cell['limit'], unit)}{'' if cell['reached'] else ', MISSED'}]"
    return text


def of_rounds(counts, spread=""):
    return "one round" if set(counts.split(", ")) <= {"0", "1"} else f"medians of {counts}{spread}"


def _image(name, alt):
    return [f".. image:: {FOLDER}/{name}", f"   :alt: {alt}", ""]


class Reasons:
    """Why there is no figure: a number in the cell, the text below the table."""

    def __init__(self):
        self.texts = []

    def mark(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return f"not measured ({self.texts.index(text) + 1})"

    def lines(self):
        return [*(f"({i}) {escaped(' '.join(text.split()))}\n" for i, text in enumerate(self.texts, 1))]


def table_lines(made):
    reasons, lines = Reasons(), []
    counts = sorted({cell["n"] for line in made["lines"] for cell in line["cells"].values()})
    for line in made["lines"]:
        cells = [_figure(line["cells"].get(key), unit) for key, _, unit in made["columns"]]
        if line["why"]:
            cells[0] = reasons.mark(line["why"])
        lines.append([line["name"], *cells, line["note"]])
    heads = ["", *(title for _, title, _ in made["columns"]), "needs"]
    if not any(line["note"] for line in made["lines"]):
        heads, lines = heads[:-1], [line[:-1] for line in lines]
    heads[0] = "heap" if made["id"] in ("predicted", "picture") else "who"
    rounds = " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1]))) if counts else "no"
    return [*(part for key in made["plot"] for part in _image(f"{made['id']}-{key}.svg", made["title"])),
            f"{escaped(made['title'])}; {of_rounds(rounds, ', 10th to 90th percentile')}, [limit that was set]:", "",
            *simple_table(heads, lines), *reasons.lines()]


def curve_lines(made):
    reasons = Reasons()
    xs = sorted({p["x"] for s in made["series"] for p in s["points"] + s["why"]})
    lines = []
    for s in made["series"]:
        points, why = {p["x"]: p for p in s["points"]}, {p["x"]: p["why"] for p in s["why"]}
        lines.append([s["name"], *(_figure(points[x], made["y_unit"], True) if x in points else
                                   reasons.mark(why[x]) if x in why else "" for x in xs)])
    counts = ", ".join(f"{max((p['n'] for s in made['series'] for p in s['points'] if p['x'] == x), default=0)}" for x in xs)
    return [*_image(f"{made['id']}.svg", made["title"]), f"{escaped(made['title'])}; {of_rounds(counts)}:", "",
            *simple_table([made["x_title"], *(x_name(x, made["x_unit"]) for x in xs)], lines), *reasons.lines()]


def row_lines(rows):
    """Ours and one peer each, and whether what was asked for was reached."""
    lines, controls, failed = [], [], []
    for row in rows:
        unit, peer = row["unit"], row.get("peer")
        words, mark = goal(row)
        lines.append([row["title"], f"{row['ours']['name']}: {_figure(row['ours'], unit)}",
                      f"{peer['name']}: {_figure(peer, unit)}" if peer else "", times(row), words, mark])
        controls += [[row["title"], c["name"], _figure(c, unit)] for c in row["controls"]]
        failed += [f"* {escaped(row['title'])}: {escaped(name)}: {len(reasons)} failed, the first: {escaped(reasons[0])}"
                   for name, reasons in row["failed_measurements"].items()]
    made = simple_table(["what", "ours", "the other", "ratio", "asked for", "and"], lines)
    if controls:
        made += ["For comparison, from the same rounds:", "", *simple_table(["what", "who", ""], controls)]
    if failed:
        made += ["Single measurements that failed and don't count:", "", *failed, ""]
    return made


def subject_lines(subject):
    lines = []
    if subject["why"]:
        lines += [f"**Not measured:** {escaped(subject['why'])}", ""]
    for made in subject["made"]:
        lines += table_lines(made) if made["kind"] == "table" else curve_lines(made)
    return lines + (row_lines(subject["rows"]) if subject["rows"] else [])


def _limits(results):
    """Everything for which a figure had been set: what it is, and whether it was reached."""
    for subject in results["subjects"]:
        for row in subject["rows"]:
            if row["target"]:
                yield row["title"], row["reached"]
        for made in subject["made"]:
            for line in made.get("lines", []):
                for cell in line["cells"].values():
                    if "limit" in cell:
                        yield f"{made['title']}, {line['name']}", cell["reached"]


def summary(results):
    limits = list(_limits(results))
    missed = [title for title, reached in limits if not reached]
    lines = [f"{len(limits) - len(missed)} of {len(limits)} limits that had been set beforehand were kept in this run.", ""]
    if missed:
        lines += ["Not kept:", "", *(f"* {escaped(title)}" for title in missed), ""]
    load = [value for s in results["subjects"] for value in s["load"]]
    if max(load) > results["machine"]["cpus"]:
        lines += [f"The machine wasn't idle: {min(load):.0f} to {max(load):.0f} programs wanted its {results['machine']['cpus']} processors all the",
                  "time (load average). What takes time took longer for everybody than on an idle machine, for which the limits are.", ""]
    silent = [s["name"] for s in results["subjects"] if s["why"]]
    if silent:
        lines += [f"Not measured at all: {', '.join(silent)}; the reason is in its section.", ""]
    return lines


def commands(results):
    seen = {}
    for subject in results["subjects"]:
        for made in subject["made"]:
            for one in made.get("lines", []) + made.get("series", []):
                if one["command"]:
                    seen.setdefault(one["command"], one["name"])
    return ["As a user would type them:", "", "::", "", *(f"  {command}" for command in seen), ""]


def measured_with(results):
    m, v = results["machine"], results["versions"]
    rounds = sorted({s["runs"] for s in results["subjects"]})
    lines = [["processor", f"{m['cpus']} of {m['cpu']}"], ["memory", f"{m['memory_kib'] // 1024} MiB"],
             ["kernel", f"Linux {m['kernel']}, transparent huge pages: {m['huge_pages']}"], ["system", m["distribution"]],
             *([name, version or "not installed"] for name, version in v.items())]
    made = simple_table(["what", "version"], lines)
    made += ["How busy the machine was, by itself and with others, before and after each subject (load average of a minute):", ""]
    made += simple_table(["subject", "began (UTC)", "took", "load before", "load after"], [
        [s["name"], s["began"], f"{s['seconds']} s", f"{s['load'][0]:.2f}", f"{s['load'][1]:.2f}"] for s in results["subjects"]])
    total = sum(s["seconds"] for s in results["subjects"])
    rounds = " to ".join(str(n) for n in dict.fromkeys((rounds[0], rounds[-1])))
    return made + [f"{total // 60} minutes in all, {rounds} rounds of what is quick, half as many of what takes seconds, one of the largest.", ""]


def page(results):
    by_name = {subject["name"]: subject for subject in results["subjects"]}
    lines = [".. SPDX-License-Identifier: GPL-2.0-or-later", ".. Made by make bench-report; what is changed here is lost.", "",
             "==========", "Benchmarks", "==========", "", *HEAD, *summary(results),
             ".. contents::", "   :local:", "   :depth: 1", ""]
    for title, text, names in SECTIONS:
        found = [by_name[name] for name in names if name in by_name]
        if found:
            lines += [*heading(title, "="), *text]
            for subject in found:
                lines += subject_lines(subject)
    lines += [*heading("Measured with", "="), *measured_with(results), *commands(results), *TAIL]
    return "\n".join(lines).rstrip("\n") + "\n"


def files(results):
    """Path below Documentation -> content."""
    return {"benchmarks.rst": page(results), **{f"{FOLDER}/{name}": svg for name, svg in pictures(results).items()}}
