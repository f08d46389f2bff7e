# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of all hostile tests."""

from hostile import bystanders, pair, place  # noqa: F401
