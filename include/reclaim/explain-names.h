/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words for what explain.h numbers: in JSON, in tables, in rules. */
#ifndef RECLAIM_EXPLAIN_NAMES_H
#define RECLAIM_EXPLAIN_NAMES_H

#include <stddef.h>

#include "reclaim/explain.h"

/* "glibc", NULL when not known */
static inline const char *explain_allocator_name(uint32_t allocator)
{
	static const char *const names[] = {
		[EXPLAIN_ALLOC_UNKNOWN] = NULL,	       [EXPLAIN_ALLOC_GLIBC] = "glibc",
		[EXPLAIN_ALLOC_MUSL] = "musl",	       [EXPLAIN_ALLOC_JEMALLOC] = "jemalloc",
		[EXPLAIN_ALLOC_TCMALLOC] = "tcmalloc", [EXPLAIN_ALLOC_MIMALLOC] = "mimalloc",
		[EXPLAIN_ALLOC_TBB] = "tbbmalloc",     [EXPLAIN_ALLOC_GO] = "go",
		[EXPLAIN_ALLOC_OTHER] = "other",
	};
	_Static_assert(sizeof(names) / sizeof(names[0]) == EXPLAIN_NALLOCATORS, "each allocator has a name");

	return names[allocator];
}

/* "cpython", NULL when none is known */
static inline const char *explain_runtime_name(uint32_t runtime)
{
	static const char *const names[] = {
		[EXPLAIN_RUNTIME_NONE] = NULL,	 [EXPLAIN_RUNTIME_CPYTHON] = "cpython", [EXPLAIN_RUNTIME_GO] = "go",
		[EXPLAIN_RUNTIME_JAVA] = "java", [EXPLAIN_RUNTIME_NODE] = "node",	[EXPLAIN_RUNTIME_RUBY] = "ruby",
	};
	_Static_assert(sizeof(names) / sizeof(names[0]) == EXPLAIN_NRUNTIMES, "each runtime has a name");

	return names[runtime];
}

#endif
