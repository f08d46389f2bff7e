/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that the kernel may be advised on from outside: private, anonymous,
 * present, mapped by nobody else, and nothing that anybody has a claim on.
 *
 * Ranges begin and end where huge pages do, unless their mapping does: advice
 * on a part of a huge page splits it.
 */
#ifndef RECLAIM_INSPECT_PAGEABLE_H
#define RECLAIM_INSPECT_PAGEABLE_H

#include "inspect/target.h"

#define PAGEABLE_RANGES_MAX 65536
#define PAGEABLE_RANGE (32ull << 20) /* of address space: the longest range */

struct pageable_span {
	uint64_t lo, hi;
};

struct pageable_range {
	uint64_t lo, hi;
	uint64_t bytes; /* of its pages that may be moved */
};

/* Why a mapping is left out. */
enum pageable_bar {
	PAGEABLE_MAY,
	PAGEABLE_LOCKED, /* mlock(), memfd_secret() */
	PAGEABLE_HUGETLB,
	PAGEABLE_DEVICE, /* VM_IO, VM_PFNMAP, VM_MIXEDMAP */
	PAGEABLE_UFFD, /* somebody handles its faults */
	PAGEABLE_KEPT, /* not for children: devices write to it, or it holds secrets; or it may be dropped */
	PAGEABLE_CODE, /* executable, or not both readable and writable */
	PAGEABLE_STACK,
	PAGEABLE_UNKNOWN, /* its flags can't be told */
	PAGEABLE_NBARS,
};

struct pageable {
	struct pageable_range *v;
	size_t n, at, room;
	uint64_t bytes; /* of all ranges */
	uint64_t shared; /* also mapped by others, so left out */
	uint64_t barred[PAGEABLE_NBARS]; /* anonymous bytes of mappings that are left out */
	bool more; /* than is remembered */
};

struct pageable_ask {
	int smaps_fd, pagemap_fd; /* smaps at its beginning */
	const struct pageable_span *idle; /* only in these, ascending; NULL: everywhere */
	size_t nidle;
	/* An address near the upper end of each thread's stack, ascending: what is below it is left out. */
	const uint64_t *stacks;
	size_t nstacks;
};

/* 0, -ENOMEM, -EBADMSG, -ESRCH when the memory has gone meanwhile, -errno. The caller calls pageable_done(). */
int pageable_find(const struct pageable_ask *ask, struct pageable *ret) __must_check;
void pageable_done(struct pageable *p); /* accepts zeroed ones */

/* The next ranges, up to @max and of about PAGEABLE_RANGE in all; 0 at the end. */
size_t pageable_next(struct pageable *p, struct pageable_range *ret, size_t max);

/* Where nothing was found: why, in words. */
void pageable_why_none(const struct pageable *p, bool idle_only, char *buf, size_t size);

#endif
