/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the CPython reader sees in a process, as JSON for tests; and a visitor that counts. */
#ifndef TESTS_UNIT_CPYTHON_PRINT_H
#define TESTS_UNIT_CPYTHON_PRINT_H

#include "inspect/pymalloc.h"

struct visits {
	uint64_t arenas, pools[PYMALLOC_RETIRED + 1], invalid_blocks, out_of_order;
	uint64_t last;
};

int visit_arena(void *ctx, const struct pymalloc_arena *a);
int visit_pool(void *ctx, const struct pymalloc_arena *a, const struct pymalloc_pool *p);

/* Prints what is seen in the process with that pid; @how: "", "cheap" or "glance". An exit status. */
int read_process(const char *pid, const char *how);

#endif
