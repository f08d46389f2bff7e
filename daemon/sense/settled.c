// SPDX-License-Identifier: GPL-2.0-or-later
#include "sense/settled.h"

#include <string.h>

#include "base/parse.h"
#include "base/procfs.h"

/*
 * All of it, and nothing less: which pages of a mapping are the idle ones isn't
 * told. What came since the sampler's last visit isn't in its figures, so a
 * mapping that has grown is at work.
 */
static bool is_settled(const struct region *r, uint64_t idle_us)
{
	const uint64_t seen = age_bytes(&r->age, 0);

	return (r->map.kind == MAP_KIND_ANON || r->map.kind == MAP_KIND_HEAP) && !(r->map.flags & MAP_F_SHARED) &&
	       r->age.n && r->anon != UINT64_MAX && r->anon && seen >= r->anon && age_bytes(&r->age, idle_us) == seen;
}

static void remove_smallest(struct settled *v, size_t n)
{
	size_t least = 0;

	for (size_t i = 1; i < n; i++)
		if (v[i].bytes < v[least].bytes)
			least = i;
	memmove(&v[least], &v[least + 1], (n - least - 1) * sizeof(*v));
}

size_t settled_regions(const struct region_list *l, uint64_t idle_us, struct settled *ret, size_t max,
		       uint64_t *ret_bytes)
{
	uint64_t bytes = 0, least = 0;
	size_t n = 0;

	for (size_t i = 0; max && i < l->n; i++) {
		const struct region *r = &l->v[i];

		if (!is_settled(r, idle_us) || (n == max && r->anon <= least))
			continue;
		if (n == max)
			remove_smallest(ret, n--);
		ret[n++] = (struct settled){ .start = r->map.start, .end = r->map.end, .bytes = r->anon };
		if (n < max)
			continue;
		least = UINT64_MAX;
		for (size_t k = 0; k < n; k++)
			least = MIN(least, ret[k].bytes);
	}
	for (size_t i = 0; i < n; i++)
		bytes += ret[i].bytes;
	*ret_bytes = bytes;
	return n;
}

uint64_t settled_least_us(int sysfs)
{
	char text[32];
	uint64_t ms;

	if (procfs_read(sysfs, "scan_interval_ms", text, sizeof(text)) < 0)
		return UINT64_MAX;
	text[strcspn(text, "\n")] = 0;
	if (parse_u64(text, 10, &ms) < 0 || !ms || ms > UINT64_MAX / 1000 / SETTLED_INTERVALS)
		return UINT64_MAX;
	return ms * 1000 * SETTLED_INTERVALS;
}
