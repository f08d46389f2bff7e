# SPDX-License-Identifier: GPL-2.0-or-later
"""Which sources a record is of: the content's own name, nobody's machine."""

import judge


def name(*also, commit="HEAD"):
    """git's of daemon/; that it was changed when it, or what @also holds, isn't what was committed."""
    tree = judge.told_by("git", "rev-parse", "--short=16", f"{commit}:daemon") or "unknown"
    return tree + (", changed" if judge.told_by("git", "status", "--porcelain", "daemon", *also) else "")
