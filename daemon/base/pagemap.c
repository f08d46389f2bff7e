// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/pagemap.h"

#include <errno.h>

int pagemap_scan(int fd, uint64_t start, uint64_t end, uint64_t any, uint64_t none, struct pagemap_region *ret,
		 size_t n, uint64_t *ret_end)
{
	struct pagemap_scan_arg a = {
		.size = sizeof(a),
		.start = start,
		.end = end,
		.vec = (uintptr_t)ret,
		.vec_len = n,
		.category_inverted = none,
		.category_mask = none,
		.category_anyof_mask = any,
		.return_mask = any | none,
	};
	int r;

	do {
		r = ioctl(fd, PAGEMAP_SCAN_CALL, &a);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == ENOTTY || errno == EINVAL || errno == ENOSYS ? -EOPNOTSUPP : -errno;
	/* Without progress this would be for ever. */
	if (a.walk_end <= start || (size_t)r > n)
		return -EBADMSG;
	*ret_end = a.walk_end;
	return r;
}
