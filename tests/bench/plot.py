# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables and curves as SVG: no script, no font of its own, readable on light and dark pages.

The same results make the same bytes: the committed pictures are compared with what this makes.
"""

import math
from xml.sax.saxutils import escape

from report import amount

WIDTH = 860
# Told apart by who can't tell red from green; ours is the first.
LIGHT = ["#0060a8", "#b14a00", "#007a55", "#8f3a7e", "#6b6b00", "#7a5a3a"]
DARK = ["#6cb6ff", "#ffa657", "#4fd6a5", "#f0a3dd", "#d9d36a", "#c9a788"]
STYLE = """<style>
text{{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328}}
.page{{fill:#ffffff}}.title{{font-weight:600;font-size:15px}}.soft{{fill:#59636e}}
.grid{{stroke:#d1d9e0;stroke-width:1}}.bar{{fill:#9aa4ae}}.ours{{fill:{light0}}}.spread{{stroke:#1f2328;stroke-width:1.5}}
{light}
@media (prefers-color-scheme:dark){{
text{{fill:#f0f6fc}}.page{{fill:#0d1117}}.soft{{fill:#9198a1}}
.grid{{stroke:#3d444d}}.bar{{fill:#656c76}}.ours{{fill:{dark0}}}.spread{{stroke:#f0f6fc}}
{dark}
}}
</style>"""
MARKS = ["circle", "square", "up", "diamond", "down", "cross"]


def _style():
    def colours(of):
        return "\n".join(f".l{i}{{stroke:{c};fill:none;stroke-width:2}}.m{i}{{fill:{c};stroke:{c}}}text.t{i}{{fill:{c}}}"
                         for i, c in enumerate(of))
    return STYLE.format(light=colours(LIGHT), dark=colours(DARK), light0=LIGHT[0], dark0=DARK[0])


def _n(value):
    """A coordinate."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def _text(x, y, words, kind="", anchor="start"):
    kind = f' class="{kind}"' if kind else ""
    anchor = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{_n(x)}" y="{_n(y)}"{kind}{anchor}>{escape(words)}</text>'


def _page(height, title, parts):
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_n(height)}" width="{WIDTH}" height="{_n(height)}" '
            f'role="img" aria-label="{escape(title)}">')
    return "\n".join(["<!-- SPDX-License-Identifier: GPL-2.0-or-later -->", head, _style(),
                      '<rect class="page" width="100%" height="100%"/>', _text(16, 26, title, "title"), *parts, "</svg>"]) + "\n"


def bars(made, key):
    """One column of a table: a bar for each contestant, with its spread."""
    _, heading, unit = next(column for column in made["columns"] if column[0] == key)
    left, right, step = 330, WIDTH - 110, 26
    top = max((line["cells"][key]["p90"] for line in made["lines"] if key in line["cells"]), default=0) or 1
    parts, y = [], 48
    for line in made["lines"]:
        parts.append(_text(left - 10, y + 13, line["name"], anchor="end"))
        cell = line["cells"].get(key)
        if cell is None:
            parts.append(_text(left, y + 13, "not measured, see the table" if line["why"] else "does not apply", "soft"))
        else:
            at = [left + (right - left) * max(cell[k], 0) / top for k in ("median", "p10", "p90")]
            kind = "ours" if line["ours"] else "bar"
            parts.append(f'<rect class="{kind}" x="{left}" y="{y}" width="{_n(max(at[0] - left, 1))}" height="18" rx="2"/>')
            if at[2] - at[1] > 2:
                parts.append(f'<path class="spread" d="M{_n(at[1])} {y + 9}H{_n(at[2])}"/>')
            parts.append(_text(max(at[0], at[2]) + 6, y + 13, amount(cell["median"], unit)))
        y += step
    return _page(y + 12, f"{made['title']}: {heading}", parts)


def _mark(kind, x, y, css):
    x, y = round(x, 1), round(y, 1)
    shapes = {
        "circle": f'<circle class="{css}" cx="{x}" cy="{y}" r="4"/>',
        "square": f'<rect class="{css}" x="{_n(x - 4)}" y="{_n(y - 4)}" width="8" height="8"/>',
        "up": f'<path class="{css}" d="M{_n(x)} {_n(y - 5)}l5 9h-10z"/>',
        "down": f'<path class="{css}" d="M{_n(x)} {_n(y + 5)}l5 -9h-10z"/>',
        "diamond": f'<path class="{css}" d="M{_n(x)} {_n(y - 5)}l5 5l-5 5l-5 -5z"/>',
        "cross": f'<path class="{css}" stroke-width="2" d="M{_n(x - 4)} {_n(y - 4)}l8 8m0 -8l-8 8"/>',
    }
    return shapes[kind]


class Scale:
    """Powers of a base, from below the smallest to above the largest value, on so many pixels."""

    def __init__(self, values, start, end, base):
        self.start, self.end, self.base = start, end, base
        self.low = math.floor(self._log(min(values)))
        self.high = max(math.ceil(self._log(max(values))), self.low + 1)

    def _log(self, value):
        # log2() and log10() are exact where there is an exact answer.
        return math.log10(value) if self.base == 10 else math.log2(value) / math.log2(self.base)

    def at(self, value):
        share = (self._log(value) - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * share

    def ticks(self):
        return [self.base ** power for power in range(self.low, self.high + 1)]


def x_name(value, unit):
    """A size on the x axis."""
    if unit == "MiB":
        return f"{value // 1024} GiB" if value >= 1024 else f"{value} MiB"
    return f"{value:,}"


def _spread_out(labels, least=15):
    """Labels that don't lie upon each other: from above, each so far below the last."""
    placed, last = [], -1e9
    for y, i in sorted(labels):
        last = max(y, last + least)
        placed.append((last, i))
    return placed


def curve(made):
    """Lines over a size, both axes in powers; each labelled at its end."""
    left, right, top, bottom = 90, WIDTH - 290, 58, 340
    drawn = [s for s in made["series"] if s["points"]]
    if not drawn:
        return _page(90, made["title"], [_text(16, 60, "not measured, see the table", "soft")])
    xs = sorted({p["x"] for s in drawn for p in s["points"]})
    values = [max(p[k], 1) for s in drawn for p in s["points"] for k in ("median", "p10", "p90")]
    across, up = Scale(xs, left, right, 2), Scale(values, bottom, top, 4 if made["y_unit"] == "bytes" else 10)
    parts = []
    for tick in up.ticks():
        parts.append(f'<path class="grid" d="M{left} {_n(up.at(tick))}H{right}"/>')
        parts.append(_text(left - 8, up.at(tick) + 4, amount(tick, made["y_unit"]), "soft", "end"))
    for x in xs:
        parts.append(f'<path class="grid" d="M{_n(across.at(x))} {top}V{bottom}"/>')
        parts.append(_text(across.at(x), bottom + 18, x_name(x, made["x_unit"]), "soft", "middle"))
    parts.append(_text((left + right) / 2, bottom + 38, made["x_title"], "soft", "middle"))
    parts.append(_text(16, 46, made["y_title"], "soft"))
    labels = []
    for i, s in enumerate(sorted(drawn, key=lambda s: not s["ours"])):
        i %= len(LIGHT)
        at = [(across.at(p["x"]), p) for p in s["points"]]
        way = "L".join(f"{_n(x)} {_n(up.at(max(p['median'], 1)))}" for x, p in at)
        parts.append(f'<path class="l{i}" d="M{way}"/>')
        for x, p in at:
            ends = [up.at(max(p[k], 1)) for k in ("p10", "p90")]
            if ends[0] - ends[1] > 2:
                parts.append(f'<path class="l{i}" d="M{_n(x)} {_n(ends[0])}V{_n(ends[1])}"/>')
            parts.append(_mark(MARKS[i], x, up.at(max(p["median"], 1)), f"m{i}"))
        labels.append((up.at(max(at[-1][1]["median"], 1)), (i, s["name"])))
    for y, (i, name) in _spread_out(labels):
        parts.append(_mark(MARKS[i], right + 14, y, f"m{i}"))
        parts.append(_text(right + 24, y + 4, name, f"t{i}"))
    return _page(bottom + 52, made["title"], parts)


def pictures(results):
    """Name of file -> SVG, of all that has one."""
    drawn = {}
    for subject in results["subjects"]:
        for made in subject["made"]:
            if made["kind"] == "curve":
                drawn[f"{made['id']}.svg"] = curve(made)
            else:
                for key in made["plot"]:
                    drawn[f"{made['id']}-{key}.svg"] = bars(made, key)
    return drawn
