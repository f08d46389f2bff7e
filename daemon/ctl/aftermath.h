/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether what a trim gave back has become free memory, and whether it stays so. */
#ifndef RECLAIM_CTL_AFTERMATH_H
#define RECLAIM_CTL_AFTERMATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "reclaim/worker.h"
#include "sense/footprint.h"
#include "sense/meter.h"
#include "sense/thp.h"

#define AFTERMATH_TEXT 320

struct aftermath {
	/* Memory in use, of whom the scope says; METER_UNKNOWN when that can't be told or nothing was done. */
	enum meter_scope scope;
	uint64_t real_before, real_after;

	bool marked; /* to be looked at again */
	bool looked; /* and it was: what follows is filled */
	uint64_t marked_ns, waited_us;
	struct footprint mark, now;
	struct regrowth regrowth;

	char warning[AFTERMATH_TEXT]; /* "" when there is none */
};

/* Of what was in use, how much isn't any more. Only when it is known. */
bool aftermath_real_known(const struct aftermath *a);
int64_t aftermath_real_freed(const struct aftermath *a);

/* Is it so far from what the resident size says that a person should know? */
bool aftermath_differs(const struct aftermath *a, int64_t freed);

/*
 * Has memory come back that the program didn't ask for, or may it? Fills the
 * warning, from what was seen when it was looked at again, else from the
 * machine's settings.
 */
void aftermath_judge(struct aftermath *a, const struct worker_result *res, const struct thp *thp);

/* One sentence on what was seen when it was looked at again; @buf as long as the warning. */
const char *aftermath_describe(const struct aftermath *a, char *buf, size_t size);

#endif
