// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=8192 */
/*
 * What is asked of a worker, by whoever can start one. Byte 0: is all of the message there; then the request, zero
 * behind the input's end. What is accepted is within all bounds that reclaim/worker.h names, and nothing else is.
 */
#include <errno.h>

#include "fuzz.h"
#include "worker/idle.h"
#include "worker/request.h"

#define HOUR_US 3600000000ull

/* By the words of the header, in an order of its own. */
static bool ranges_right(const struct worker_request *r)
{
	if (r->nranges > WORKER_RANGES_MAX || (r->nranges && r->idle != WORKER_IDLE_AGES))
		return false;
	for (uint32_t i = 0; i < r->nranges; i++)
		if (r->ranges[i].end <= r->ranges[i].start || r->ranges[i].start % 4096 || r->ranges[i].end % 4096 ||
		    (i && r->ranges[i].start < r->ranges[i - 1].end))
			return false;
	return true;
}

static bool is_right(const struct worker_request *r)
{
	const uint32_t known = WORKER_REMEDY_TRIM | WORKER_REMEDY_PURGE | WORKER_REMEDY_COLLECT | WORKER_REMEDY_COLD |
			       WORKER_REMEDY_PAGEOUT;

	if (r->pid < 1 || r->reserved || r->idle >= WORKER_NIDLE || r->remedies & ~known)
		return false;
	if (r->op == WORKER_OP_RECLAIM ? !r->remedies : r->remedies || r->op >= WORKER_NOPS)
		return false;
	if (r->flags & WORKER_F_CELLS && r->op != WORKER_OP_EXPLAIN)
		return false;
	if (r->flags & WORKER_F_WHOLE && r->op != WORKER_OP_GLANCE)
		return false;
	return r->flags < WORKER_F_WHOLE << 1 && r->timeout_us >= 1000 && r->timeout_us <= HOUR_US &&
	       r->max_stop_us <= HOUR_US && ranges_right(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct worker_request req;
	static struct idle idle;
	size_t have;
	int r;

	if (!size)
		return 0;
	memset(&req, 0, sizeof(req));
	have = MIN(size - 1, sizeof(req));
	memcpy(&req, data + 1, have);
	r = request_check(&req, data[0] % 2 ? size - 1 : sizeof(req));
	MUST(r == 0 || r == -EINVAL || r == -EBADMSG);
	if (data[0] % 2 && size - 1 != sizeof(req))
		MUST(r == -EBADMSG);
	else if (req.magic != WORKER_MAGIC || req.version != WORKER_VERSION)
		MUST(r == -EBADMSG);
	else
		MUST((r == 0) == is_right(&req));
	if (r < 0)
		return 0;
	idle_take(&req, &idle);
	MUST(idle.remedy.nspans == req.nranges && idle.remedy.spans == idle.spans);
	for (size_t i = 0; i < idle.remedy.nspans; i++)
		MUST(idle.spans[i].lo < idle.spans[i].hi && (!i || idle.spans[i - 1].hi <= idle.spans[i].lo));
	return 0;
}

/* A right one, of which a word is something else. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	static struct worker_request req;
	uint64_t s = fuzz_seed(seed), v;
	uint64_t start = 0;

	if (fuzz_random(&s) % 2 || max < sizeof(req) + 1)
		return LLVMFuzzerMutate(data, size, max);
	req = (struct worker_request){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = 1,
		.op = (uint32_t)(fuzz_random(&s) % WORKER_NOPS),
		.timeout_us = 1000000,
		.flags = (uint32_t)(fuzz_random(&s) & fuzz_random(&s) & 1023),
		.idle = WORKER_IDLE_AGES,
		.nranges = (uint32_t)(fuzz_random(&s) % (WORKER_RANGES_MAX + 1)),
	};
	req.remedies = req.op == WORKER_OP_RECLAIM ? 1 + (uint32_t)(fuzz_random(&s) % 31) : 0;
	for (uint32_t i = 0; i < req.nranges; i++) {
		start += fuzz_random(&s) % 4 * 4096;
		req.ranges[i] = (struct worker_range){ start, start + 4096 * (1 + fuzz_random(&s) % 9) };
		start = req.ranges[i].end;
	}
	data[0] = fuzz_random(&s) & 1;
	memcpy(data + 1, &req, sizeof(req));
	v = fuzz_random(&s) % 3 ? fuzz_random(&s) >> fuzz_random(&s) % 64 : UINT64_MAX;
	if (fuzz_random(&s) % 4)
		memcpy(data + 1 +
			       fuzz_random(&s) %
				       (fuzz_random(&s) % 2 ? offsetof(struct worker_request, ranges) : sizeof(req)) /
				       4 * 4,
		       &v, 4);
	return sizeof(req) + 1;
}
