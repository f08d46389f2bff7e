// SPDX-License-Identifier: GPL-2.0-or-later
/* The map of an explanation: from the readers' cells to those of the wire. */
#include <stdlib.h>

#include "inspect/cells.h"
#include "worker/explain.h"

_Static_assert((int)CELLS_GLIBC == EXPLAIN_OWNER_GLIBC_HEAP && (int)CELLS_MMAPPED == EXPLAIN_OWNER_GLIBC_MMAP &&
		       (int)CELLS_PYMALLOC == EXPLAIN_OWNER_PYMALLOC,
	       "the wire has the reader's owners");
_Static_assert(EXPLAIN_CELLS_MAX == CELLS_MAX && EXPLAIN_CELL_MAX == CELLS_SIZE_MAX && EXPLAIN_CELL_MIN == REMOTE_PAGE,
	       "the wire has the reader's bounds");

/* Large blocks are in use as a whole. Then which pages of all of it are there. */
static int map_ranges(struct target *t, const struct explain_ranges *rs, struct cells *cells)
{
	int r = 0;

	for (size_t i = 0; i < rs->n && r == 0; i++) {
		const struct explain_range *range = &rs->v[i];

		if (range->owner == EXPLAIN_OWNER_GLIBC_MMAP) {
			cells_add(cells, CELLS_MMAPPED, 0, range->lo, range->hi, CELLS_IN_USE);
			cells_live(cells, CELLS_MMAPPED, range->lo, 1);
		}
		r = cells_resident(cells, (enum cells_owner)range->owner, &t->mem, range->lo, range->hi);
	}
	return r;
}

static struct explain_cell map_cell(const struct cells_one *one)
{
	return (struct explain_cell){
		.at = one->at,
		.owner = one->owner,
		.arena = one->arena,
		.in_use = one->bytes[CELLS_IN_USE],
		.cached = one->bytes[CELLS_CACHED],
		.free_resident = one->bytes[CELLS_FREE_RESIDENT],
		.free_shared = one->bytes[CELLS_FREE_SHARED],
		.free_gone = one->bytes[CELLS_FREE_GONE],
		.overhead = one->bytes[CELLS_OVERHEAD],
		.unknown = one->bytes[CELLS_UNKNOWN],
		.resident = one->resident,
		.swapped = one->swapped,
		.live_blocks = one->live_blocks,
	};
}

uint32_t explain_map(struct target *t, const struct explain_ranges *rs, struct cells *cells, struct explain_cell **ret)
{
	struct explain_cell *v;

	if (map_ranges(t, rs, cells) < 0 || cells_finish(cells) < 0 || !cells->n)
		return 0;
	v = calloc(cells->n, sizeof(*v));
	if (!v)
		return 0;
	for (size_t i = 0; i < cells->n; i++)
		v[i] = map_cell(&cells->v[i]);
	*ret = v;
	return (uint32_t)cells->n;
}
