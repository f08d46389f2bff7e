/* SPDX-License-Identifier: GPL-2.0-only */
/* When a process is worth an announcement, and when that has been said often enough. */
#ifndef RECLAIM_WATCH_H
#define RECLAIM_WATCH_H

#include <linux/types.h>

#define RECLAIM_WATCH_SLOTS 8
#define RECLAIM_REASONS 4

struct reclaim_watch {
	u64 slot[RECLAIM_WATCH_SLOTS]; /* smallest size in each eighth of the window; a ring */
	unsigned int used, newest;
	u64 newest_ns;
	unsigned int announced; /* by reason: not before it has gone below again */
	u64 announced_ns[RECLAIM_REASONS];
};

/* What is looked at, in bytes. */
struct reclaim_watched {
	u64 anon; /* resident and swapped out */
	u64 heap; /* resident */
	u64 heap_idle;
	bool heap_known;
};

/* A set of reasons (bits by enum reclaim_reason) to announce now. @growth: within the window. */
unsigned int reclaim_watch_look(struct reclaim_watch *w, const struct reclaim_watched *now, u64 now_ns, u64 *growth);

#endif
