// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/looks.h"

int remedy_looks_range(void *ctx, const struct glibc_range *range)
{
	uint64_t *sum = ctx;

	if (range->kind != GLIBC_CACHED)
		*sum += range->resident;
	return 0;
}
