/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory of the whole machine, and how long programs wait for it. */
#ifndef RECLAIM_SENSE_MACHINE_H
#define RECLAIM_SENSE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

#define MACHINE_UNKNOWN UINT64_MAX

/* Share of the time in which some, or all, that would run waited for memory: in hundredths of a percent. */
struct machine_stall {
	bool known;
	uint32_t avg10, avg60, avg300;
};

struct machine {
	uint64_t total, available, swap_total, swap_free; /* bytes, or MACHINE_UNKNOWN */
	struct machine_stall some, full;
};

/* What can't be read (a kernel without PSI, a container that hides it) is unknown. @proc: the root of /proc. */
void machine_read(int proc, struct machine *ret);

#endif
