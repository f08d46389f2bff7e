# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of all hostile tests."""

from hostile import bystanders, place  # noqa: F401
