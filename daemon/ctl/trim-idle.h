/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the memory of the targets idle? For cold and pageout: by the ages that the
 * kernel module keeps, or without it by watching for a while whether they use
 * the CPUs at all.
 */
#ifndef RECLAIM_CTL_TRIM_IDLE_H
#define RECLAIM_CTL_TRIM_IDLE_H

#include "ctl/trim.h"

#define TRIM_REMEDIES_IDLE (WORKER_REMEDY_COLD | WORKER_REMEDY_PAGEOUT)

struct trim_idle {
	uint64_t idle_us; /* asked for; 0: as it is usual */
	uint64_t watched_us; /* without the module: for how long */
	uint64_t *ticks; /* of each target, when that began; UINT64_MAX: not known */
	size_t n;
};

/*
 * Without the module it waits here, once for all; a signal ends that. 0 or -ENOMEM. The caller calls
 * trim_idle_done().
 */
int trim_idle_begin(const struct ctl *ctl, const struct trim_targets *targets, uint64_t idle_us, struct trim_idle *ret)
	__must_check;
void trim_idle_done(struct trim_idle *t); /* accepts zeroed */

/* Puts what is known of target @i into @req, and how much of swap stays free. */
void trim_idle_fill(struct ctl *ctl, const struct trim_idle *t, size_t i, struct worker_request *req);

/* It has been done, or some of it: the module's ages of it begin anew. */
void trim_idle_touched(struct ctl *ctl, const struct worker_request *req, const struct worker_result *res);

#endif
