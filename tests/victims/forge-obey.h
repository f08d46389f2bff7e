/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a liar is told to do, and what it judges of itself: nothing of that allocates or reads what it has spoiled. */
#ifndef TESTS_FORGE_OBEY_H
#define TESTS_FORGE_OBEY_H

#include "victim.h"

#define KEPT 4096
#define NEIGHBOURS 5 /* of the blocks that lie */

static struct block *keep[KEPT];

/* Those that it spoils itself are none of ours. */
static void blocks_forget(const void *from, const void *to)
{
	for (unsigned int i = 0; i < KEPT; i++)
		if ((const void *)keep[i] >= from && (const void *)keep[i] < to)
			keep[i] = NULL;
}

/* Raw calls from here on: nothing but 't' may touch what is spoiled. */
static void obey(void)
{
	struct self self;
	char c;

	self_save(&self);
	vs->progress[1] = 1;
	while (syscall(SYS_read, 0, &c, 1) == 1) {
		self_check(&self, "idle");
		if (c == 't')
			malloc_trim(0);
		else if (c == 'c')
			bloat_check(keep, KEPT);
		errno = ERRNO_CANARY;
		vs->handler_runs++;
		if (vs->stop)
			break;
	}
	bloat_check(keep, KEPT);
	_exit(vs->errors ? 1 : 0);
}

#endif
