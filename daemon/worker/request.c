// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/request.h"

#include <errno.h>

#include "worker/idle.h"

#define TIMEOUT_MIN_US 1000ull
#define TIMEOUT_MAX_US 3600000000ull
#define REMEDIES_KNOWN ((WORKER_REMEDY_PAGEOUT << 1) - 1)
#define FLAGS_KNOWN ((WORKER_F_WHOLE << 1) - 1)

int request_check(const struct worker_request *req, size_t size)
{
	if (size != sizeof(*req) || req->magic != WORKER_MAGIC || req->version != WORKER_VERSION)
		return -EBADMSG;
	if (req->op >= WORKER_NOPS || !req->remedies != (req->op != WORKER_OP_RECLAIM))
		return -EINVAL;
	if ((req->flags & WORKER_F_CELLS) && req->op != WORKER_OP_EXPLAIN)
		return -EINVAL;
	if ((req->flags & WORKER_F_WHOLE) && req->op != WORKER_OP_GLANCE)
		return -EINVAL;
	if (req->reserved || req->pid <= 0 || (req->remedies & ~REMEDIES_KNOWN) || (req->flags & ~FLAGS_KNOWN) ||
	    req->timeout_us < TIMEOUT_MIN_US || req->timeout_us > TIMEOUT_MAX_US || req->max_stop_us > TIMEOUT_MAX_US ||
	    !idle_fits(req))
		return -EINVAL;
	return 0;
}
