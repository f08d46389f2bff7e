# SPDX-License-Identifier: GPL-2.0-or-later
"""The result as JSON, as Markdown and for the terminal."""

import os
import platform
import re

from measure import Failure, figures, run_ok


def first_line(argv):
    try:
        done = run_ok(argv)
        text = (done.out or done.err).strip()
        return text.splitlines()[0] if text else None
    except Failure:
        return None


def _grep(path, pattern):
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if found := re.match(pattern, line):
                    return found[1].strip().strip('"')
    except OSError:
        pass
    return None


def machine():
    """What the figures depend on; no names of hosts, no paths."""
    return {
        "cpu": _grep("/proc/cpuinfo", r"model name\s*:\s*(.*)"),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_kib": int(_grep("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0),
        "kernel": platform.release(),
        "distribution": _grep("/etc/os-release", r"PRETTY_NAME=(.*)"),
        "huge_pages": _grep("/sys/kernel/mm/transparent_hugepage/enabled", r".*\[(\w+)\]"),
        "load_1min": os.getloadavg()[0],
    }


def versions(ctl):
    try:
        import psutil

        psutil_version = psutil.__version__
    except ImportError:
        psutil_version = None
    return {
        "reclaimctl": first_line([ctl, "--version"]),
        "gdb": first_line(["gdb", "--version"]),
        "python": platform.python_version(),
        "psutil": psutil_version,
        "glibc": os.confstr("CS_GNU_LIBC_VERSION"),
    }


def judge(row):
    """Ratio (how many times the peer's figure is ours) and whether the target was reached."""
    ours = figures(row.ours)["median"]
    ratio = figures(row.peer)["median"] / ours if row.peer and ours else None
    if not row.target:
        return ratio, None
    if row.target.kind == "max":
        return ratio, ours <= row.target.value
    if ratio is None:
        return None, False
    if row.target.kind == "ratio":
        return ratio, ratio >= row.target.value
    if row.target.kind == "above":
        return ratio, 1 / ratio - 1 <= row.target.value
    return ratio, abs(1 / ratio - 1) <= row.target.value


def document(row):
    """One row for bench.json."""
    ratio, reached = judge(row)
    series = {"ours": (row.ours_name, row.ours)}
    if row.peer:
        series["peer"] = (row.peer_name, row.peer)
    return {
        "id": row.id,
        "title": row.title,
        "unit": row.unit,
        **{key: {"name": name, **figures(values), "samples": values} for key, (name, values) in series.items()},
        "controls": [
            {"name": name, **figures(values), "samples": values} for name, values in row.controls.items()
        ],
        "ratio": ratio,
        "target": {"kind": row.target.kind, "value": row.target.value} if row.target else None,
        "reached": reached,
        "failed_measurements": {name: reasons for name, reasons in row.failures.items() if reasons},
    }


def amount(value, unit):
    if unit == "bytes":
        if abs(value) < 1 << 20:
            return f"{value / 1024:.1f} KiB"
        return f"{value / 1048576:.1f} MiB" if abs(value) < 1 << 30 else f"{value / 1073741824:.2f} GiB"
    if unit == "times":
        return f"{value:.1f}"
    if unit == "percent":
        return f"{value:.2f} %"
    if value < 1000:
        return f"{value:.0f} us"
    if value < 1000000:
        return f"{value / 1000:.{1 if value >= 10000 else 2}f} ms"
    return f"{value / 1000000:.2f} s"


def goal(document_row):
    """The target and its mark, in words."""
    target = document_row["target"]
    if not target:
        return "", ""
    words = {
        "ratio": lambda v: f">= {v:.3g}x",
        "max": lambda v: f"<= {amount(v, document_row['unit'])}",
        "within": lambda v: f"within {v:.0%}",
        "above": lambda v: f"<= +{v:.0%}",
    }[target["kind"]](target["value"])
    return words, "reached" if document_row["reached"] else "MISSED"


def times(document_row):
    ratio = document_row["ratio"]
    if ratio is None:
        return ""
    if document_row["target"] and document_row["target"]["kind"] in ("within", "above"):
        return f"{(1 / ratio - 1) * 100:+.2f} %"
    return f"{ratio:.1f}x"


def _spread(series, unit):
    return f"{amount(series['median'], unit)} ({amount(series['p10'], unit)} to {amount(series['p90'], unit)})"


def markdown(result):
    m, v = result["machine"], result["versions"]
    lines = [
        "# Measured side by side",
        "",
        f"{m['cpus']} CPUs ({m['cpu']}), {m['memory_kib'] // 1024} MiB, Linux {m['kernel']}, {m['distribution']}, "
        f"{v['glibc']}; {v['gdb'] or 'no gdb'}; Python {v['python']}, psutil {v['psutil']}.",
        f"Medians of {result['runs']} rounds (10th to 90th percentile), all contestants in the same rounds, each "
        "measurement of a trim on a fresh process. Ratio: the other's median divided by ours.",
        "",
        "| what | ours | the other | ratio | target | |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        unit, peer = row["unit"], row.get("peer")
        words, mark = goal(row)
        other = f"{peer['name']}: {_spread(peer, unit)}" if peer else ""
        ours = _spread(row["ours"], unit)
        if row["ours"]["name"] != "reclaimctl":
            ours = f"{row['ours']['name']}: {ours}"
        lines.append(f"| {row['title']} | {ours} | {other} | {times(row)} | {words} | {mark} |")
    if any(row["controls"] for row in result["rows"]):
        lines += ["", "For comparison, from the same rounds:", "", "| what | | |", "|---|---|---|"]
        for row in result["rows"]:
            for control in row["controls"]:
                lines.append(f"| {row['title']} | {control['name']} | {_spread(control, row['unit'])} |")
    failed = [(row["title"], name, len(reasons), reasons[0])
              for row in result["rows"] for name, reasons in row["failed_measurements"].items()]
    if failed:
        lines += ["", "Single measurements that failed and don't count:", ""]
        lines += [f"- {title}: {name}: {count}, the first: {reason}" for title, name, count, reason in failed]
    if result["not_measured"]:
        lines += ["", "**Not measured:**", ""]
        lines += [f"- {name}: {reason}" for name, reason in result["not_measured"].items()]
    return "\n".join(lines) + "\n"


def terminal(rows):
    """A table for 80 columns: two lines a row."""
    lines = []
    for row in rows:
        unit, peer = row["unit"], row.get("peer")
        words, mark = goal(row)
        lines.append(row["title"])
        other = f"{amount(peer['median'], unit)}  {peer['name']}" if peer else ""
        target = f"{words} {mark}" if words else ""
        line = f"  {amount(row['ours']['median'], unit):>10}  {times(row):>8}  {target:<16} {other}"
        lines.append(line[:80].rstrip())
    return "\n".join(lines)
