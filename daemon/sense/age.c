/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/age.h"

uint64_t age_bytes(const struct age *a, uint64_t idle_us)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].idle_us >= idle_us && __builtin_add_overflow(sum, a->v[i].bytes, &sum))
			return UINT64_MAX;
	return sum;
}

uint64_t age_median_us(const struct age *a)
{
	const uint64_t all = age_bytes(a, 0);

	for (size_t i = a->n; all && i-- > 0;)
		if (age_bytes(a, a->v[i].idle_us) >= all - all / 2)
			return a->v[i].idle_us;
	return UINT64_MAX;
}
