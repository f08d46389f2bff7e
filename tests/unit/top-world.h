/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes for "top" that nobody started. */
#ifndef TEST_TOP_WORLD_H
#define TEST_TOP_WORLD_H

#include "ctl/top.h"

#define MIB (1ull << 20)

struct top_seed {
	pid_t pid;
	const char *comm, *user, *unit, *cgroup;
	uint64_t rss, anon, free; /* free: PROC_UNKNOWN: nobody looked */
};

/* A world of those; the job is idle. top_world_end() ends it. */
void top_world_begin(struct top *t, const struct top_seed *seeds, size_t n);
void top_world_end(struct top *t);

/* A line of the screen, as text. The buffer is as long as a canvas is wide, in UTF-8. */
#define TOP_LINE (CANVAS_MAX * 4 + 2)
const char *top_world_line(const struct canvas *c, int y, char *buf);

#endif
