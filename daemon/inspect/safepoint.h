/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is this stopped thread at a point where it may run malloc_trim for us? Only
 * if its whole stack is known, from the top to the thread's first function,
 * and nothing in it is in the allocator, in the dynamic linker, in fork and
 * its kin, or inside a signal handler.
 *
 * Looking at the arena mutex would prove nothing: a single-threaded glibc
 * program doesn't take it (SINGLE_THREAD_P in malloc.c).
 */
#ifndef RECLAIM_INSPECT_SAFEPOINT_H
#define RECLAIM_INSPECT_SAFEPOINT_H

#include "base/regs.h"
#include "inspect/allocator.h"
#include "inspect/ranges.h"

struct safepoint {
	struct target *target;
	const struct module *libc, *program, *linker;
	struct ranges ranges; /* of libc */
};

struct safepoint_verdict {
	/* 0 or not: it is sent by who may be captured, and a bool that is neither is undefined. */
	uint8_t safe;
	uint8_t unknown; /* not safe because something isn't known (not because something is wrong) */
	uint64_t stack_lo, stack_hi; /* when safe: the thread's own stack */
	unsigned int frames;
	char why[128]; /* when not safe */
};

/* 0; -ENOTSUP when this libc's allocator can't be bounded. */
int safepoint_init(struct target *t, const struct allocator_info *info, struct safepoint *ret) __must_check;

/*
 * Judges a thread by its registers. Always fills @ret. With partial registers
 * (a sleeping thread that hasn't been stopped) "unknown" is no reason to
 * leave it alone, anything else is.
 */
void safepoint_prove(const struct safepoint *sp, const struct cpu_regs *regs, struct safepoint_verdict *ret);

#endif
