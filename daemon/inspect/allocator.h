/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which malloc does the program use, and which others are in it? */
#ifndef RECLAIM_INSPECT_ALLOCATOR_H
#define RECLAIM_INSPECT_ALLOCATOR_H

#include "inspect/target.h"

enum allocator_kind {
	ALLOCATOR_GLIBC,
	ALLOCATOR_MUSL,
	ALLOCATOR_JEMALLOC,
	ALLOCATOR_TCMALLOC,
	ALLOCATOR_MIMALLOC,
	ALLOCATOR_TBB,
	ALLOCATOR_GO,
	ALLOCATOR_OTHER, /* its own, or one we don't know */
};

struct allocator_info {
	enum allocator_kind kind;
	struct module *libc; /* the glibc in it, also when its malloc isn't used; NULL when none */
	bool is_static; /* libc is the program itself */
	const struct module *provider; /* the object whose malloc is used, when it isn't libc */
	enum allocator_kind also_kind; /* another allocator that is present as well */
	const struct module *also; /* NULL when none */
};

const char *allocator_name(enum allocator_kind kind);

/*
 * Decided by what the program's own loader decided: the slot in libc through
 * which libc itself calls malloc holds the address of the one in use.
 * 0; -ENOTSUP: no C library that we know (static and stripped, say)
 * -EBADMSG: can't be told for sure · a read's error
 */
int allocator_detect(struct target *t, struct allocator_info *ret) __must_check;

#endif
