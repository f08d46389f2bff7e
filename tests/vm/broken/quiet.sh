#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=dash
# scripts/vm --self-test: this must be found.
echo "1..2"
echo "ok 1 - one of two"
