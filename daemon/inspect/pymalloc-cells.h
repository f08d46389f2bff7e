/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Python's arenas on the map. For the visitor of a look with PYMALLOC_BLOCKS. */
#ifndef RECLAIM_INSPECT_PYMALLOC_CELLS_H
#define RECLAIM_INSPECT_PYMALLOC_CELLS_H

#include "inspect/cells.h"
#include "inspect/pymalloc.h"

/* What of an arena lies outside of its pools. */
void pymalloc_cells_arena(struct cells *c, const struct cpython *py, const struct pymalloc_arena *a);
void pymalloc_cells_pool(struct cells *c, const struct cpython *py, const struct pymalloc_arena *a,
			 const struct pymalloc_pool *p);

#endif
