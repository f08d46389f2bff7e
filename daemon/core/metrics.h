/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's state and totals as text for a monitoring system. */
#ifndef RECLAIM_CORE_METRICS_H
#define RECLAIM_CORE_METRICS_H

#include "base/cleanup.h"

struct manager_state;
struct ledger_totals;

enum metrics_syntax {
	METRICS_PROMETHEUS, /* text format 0.0.4, which a node exporter's textfile collector reads */
	METRICS_OPENMETRICS, /* OpenMetrics 1.0: counters are named otherwise in comments, and there is an end */
};

/* @t: since the start of the daemon, as @s is. @ret: malloc'ed. 0 or -errno. */
int metrics_format(const struct manager_state *s, const struct ledger_totals *t, enum metrics_syntax syntax, char **ret)
	__must_check;

/*
 * Puts @text where the file @path is, so that a reader sees either the old one
 * or all of the new one: NAME.tmp in the same folder, fsync, rename. 0 or
 * -errno, and the old file stays (-EINVAL: no path of a file).
 */
int metrics_write(const char *path, const char *text) __must_check;

#endif
