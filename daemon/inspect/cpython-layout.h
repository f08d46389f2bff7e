/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the parts of _PyRuntime, interpreters and thread states are: data by version, checked before it is believed. */
#ifndef RECLAIM_INSPECT_CPYTHON_LAYOUT_H
#define RECLAIM_INSPECT_CPYTHON_LAYOUT_H

#include "inspect/cpython.h"

struct cpython_layout {
	uint16_t minor; /* CPYTHON_MINOR() */
	bool gil_in_interp, gil_pointer, gc_in_interp;
	/* offsets in _PyRuntime */
	uint32_t initialized, finalizing, interpreters_head;
	/* in an interpreter */
	uint32_t next, threads_head;
	/* in a thread state */
	uint32_t thread_id;
	/* in _PyRuntime, or in an interpreter, or of a pointer there */
	uint32_t gil;
	uint32_t gc;
};

/*
 * Offsets of this version: from the table (3.8-3.12), or from _Py_DebugOffsets
 * at the start of _PyRuntime (3.13 and later). Fills what they say in @py: its
 * version and runtime must be set. 0, -ENOTSUP, -EBADMSG, a read's error.
 */
int cpython_layout_read(struct target *t, struct cpython *py, struct cpython_layout *ret) __must_check;

/*
 * Finds interpreter, GIL and collector by that layout and checks that each is
 * what it should be. 0; -EBADMSG with the reason; a read's error.
 */
int cpython_layout_apply(struct target *t, const struct cpython_layout *l, struct cpython *py, char *why) __must_check;

#endif
