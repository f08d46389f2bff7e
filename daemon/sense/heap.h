/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: [heap] and [stack], without walking the rest of the address space. */
#ifndef RECLAIM_SENSE_HEAP_H
#define RECLAIM_SENSE_HEAP_H

#include <stdint.h>

#include "base/pstat.h"

struct heap {
	uint64_t size, resident, stack; /* bytes; size and resident are 0 when the process has no [heap] */
};

/*
 * @stat: its start_brk and start_stack say where to look. [heap] is taken to be
 * contiguous but for protections: what is mapped over its middle hides the rest.
 * 0, -EOPNOTSUPP when the kernel (before 6.11) cannot tell or hides the
 * addresses, -ESRCH, -EACCES, -errno.
 */
int heap_query(int piddir, const struct pstat *stat, struct heap *ret) __must_check;

#endif
