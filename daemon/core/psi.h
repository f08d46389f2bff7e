/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's word when programs wait for memory: a trigger on /proc/pressure/memory. */
#ifndef RECLAIM_CORE_PSI_H
#define RECLAIM_CORE_PSI_H

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct psi {
	sd_event_source *source; /* NULL: none */
	int fd;
	void (*fn)(void *arg);
	void *arg;
};

#define PSI_CLOSED       \
	{                \
		.fd = -1 \
	}

/*
 * Calls @fn at most once per @window_us, whenever some task waited for memory
 * for @stall_us of it in all. @proc: of /proc. 0; -ENOENT, -EOPNOTSUPP where
 * the kernel has none; -errno. @p stays where it is until psi_close().
 */
int psi_open(struct psi *p, sd_event *event, int proc, uint64_t stall_us, uint64_t window_us, void (*fn)(void *arg),
	     void *arg) __must_check;
void psi_close(struct psi *p); /* accepts PSI_CLOSED and closed ones */

#endif
