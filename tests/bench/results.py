# SPDX-License-Identifier: GPL-2.0-or-later
"""What a subject of the report gives besides rows: tables of contestants, and curves over a size."""

import sys
from dataclasses import dataclass, field

from measure import Failure, figures


@dataclass
class Line:
    """One contestant of a table: samples by column, or why there are none."""

    name: str
    cells: dict = field(default_factory=dict)  # column -> samples
    ours: bool = False
    command: str = ""
    why: str = ""
    note: str = ""
    targets: dict = field(default_factory=dict)  # column -> subjects.Target, "max" only


@dataclass
class Table:
    """Contestants below each other."""

    id: str
    title: str
    columns: list  # (key, heading, unit)
    lines: list
    plot: tuple = ()  # of which columns bars are drawn


@dataclass
class Series:
    """One contestant of a curve: samples by x, or why there are none."""

    name: str
    points: dict = field(default_factory=dict)  # x -> samples
    why: dict = field(default_factory=dict)  # x -> reason
    ours: bool = False
    command: str = ""


@dataclass
class Curve:
    """Contestants over a size."""

    id: str
    title: str
    x_title: str
    x_unit: str  # "MiB" or ""
    y_title: str
    y_unit: str
    series: list


@dataclass
class Contestant:
    """Who takes part: what to run for a sample, and how a user would type it."""

    run: object  # () -> dict of figures
    command: str = ""
    ours: bool = False
    note: str = ""
    targets: dict = field(default_factory=dict)


def gather(runs, contestants):
    """Samples of all contestants in the same rounds, another one first each time.

    contestants: name -> function. Unlike alternate() this goes on without who fails: name -> samples, name -> reasons.
    Who failed twice and never succeeded isn't asked again.
    """
    names = list(contestants)
    samples, failures = {name: [] for name in names}, {name: [] for name in names}
    for turn in range(runs):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            if len(failures[name]) > 1 and not samples[name]:
                continue
            try:
                samples[name].append(contestants[name]())
            except Failure as failure:
                failures[name].append(str(failure))
                print(f"bench: {name}: {failure}", file=sys.stderr, flush=True)
    return samples, failures


def _failed(count, reasons):
    return f"{len(reasons)} of {count + len(reasons)} measurements failed: {reasons[0]}" if reasons else ""


def table(table_id, title, columns, contestants, runs, plot=()):
    """Runs everybody and makes a table of it."""
    samples, failures = gather(runs, {name: who.run for name, who in contestants.items()})
    lines = []
    for name, who in contestants.items():
        cells = {key: [s[key] for s in samples[name] if s.get(key) is not None] for key, _, _ in columns}
        note = "; ".join(filter(None, (who.note, _failed(len(samples[name]), failures[name]) if samples[name] else "")))
        lines.append(Line(name, {key: values for key, values in cells.items() if values}, who.ours, who.command,
                          "" if samples[name] else failures[name][0], note, who.targets))
    return Table(table_id, title, columns, lines, plot)


def series(contestants, measured, key):
    """One figure of all contestants. measured: x -> (samples, failures), as gather() gives them."""
    made = []
    for name, who in contestants.items():
        points, why = {}, {}
        for x, (samples, failures) in measured.items():
            values = [s[key] for s in samples.get(name, []) if s.get(key) is not None]
            if values:
                points[x] = values
            elif failures.get(name):
                why[x] = failures[name][0]
        if points or why:
            made.append(Series(name, points, why, who.ours, who.command))
    return made


def _document_table(made):
    def cell(line, key, values):
        shown = figures(values)
        if target := line.targets.get(key):
            shown["limit"] = target.value
            shown["reached"] = shown["median"] <= target.value
        return shown

    return {"kind": "table", "id": made.id, "title": made.title, "columns": made.columns, "plot": list(made.plot),
            "lines": [{"name": line.name, "ours": line.ours, "command": line.command, "why": line.why, "note": line.note,
                       "cells": {key: cell(line, key, values) for key, values in line.cells.items()}}
                      for line in made.lines]}


def _document_curve(made):
    return {"kind": "curve", "id": made.id, "title": made.title, "x_title": made.x_title, "x_unit": made.x_unit,
            "y_title": made.y_title, "y_unit": made.y_unit,
            "series": [{"name": s.name, "ours": s.ours, "command": s.command,
                        "points": [{"x": x, **figures(values)} for x, values in sorted(s.points.items())],
                        "why": [{"x": x, "why": why} for x, why in sorted(s.why.items())]} for s in made.series]}


def document(made):
    """For the results file."""
    return _document_table(made) if isinstance(made, Table) else _document_curve(made)
