// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Loaded into a Python (ctypes.PyDLL: the GIL stays held): asks the planner
 * for a sweep of this very process and carries its lists out, as the thread
 * under a lease does. Nothing here allocates from Python. Kept to what any
 * glibc from 2.14 on offers.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wire.h"

static struct wire_write writes[WIRE_WRITES];
static struct wire_range ranges[WIRE_RANGES];
static unsigned char values[WIRE_VALUES];

int purge(int in, int out, const struct wire_ask *ask, struct wire_round *ret, int poison, unsigned long pool_size);

static int get(int fd, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Whatever reads a dropped page shall be found out; headers of dropped pools count as empty, so they must read so. */
static void poison_range(const struct wire_range *r, unsigned long pool_size)
{
	memset((void *)r->addr, 0xa5, r->len);
	for (uint64_t p = (r->addr + pool_size - 1) / pool_size * pool_size; p < r->addr + r->len; p += pool_size)
		memset((void *)p, 0, 48);
}

int purge(int in, int out, const struct wire_ask *ask, struct wire_round *ret, int poison, unsigned long pool_size)
{
	static const char done = 'd';

	if (write(out, ask, sizeof(*ask)) != sizeof(*ask))
		return -1;
	for (;;) {
		if (get(in, ret, sizeof(*ret)) < 0)
			return -1;
		if (ret->last)
			return 0;
		if (ret->n_writes > WIRE_WRITES || ret->n_ranges > WIRE_RANGES || ret->n_values > WIRE_VALUES ||
		    get(in, writes, ret->n_writes * sizeof(writes[0])) < 0 ||
		    get(in, ranges, ret->n_ranges * sizeof(ranges[0])) < 0 || get(in, values, ret->n_values) < 0)
			return -1;
		for (uint32_t i = 0; i < ret->n_writes; i++)
			memcpy((void *)writes[i].addr, values + writes[i].offset, writes[i].len);
		for (uint32_t i = 0; i < ret->n_ranges; i++) {
			if (poison)
				poison_range(&ranges[i], pool_size);
			else if (madvise((void *)ranges[i].addr, ranges[i].len, MADV_DONTNEED) < 0)
				return -1;
		}
		if (write(out, &done, 1) != 1)
			return -1;
	}
}
