// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/rounds.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

/* A lease on a lock is over long before; whoever waits longer is taken for paused and killed (inject/guard.h). */
#define CHECK_NS 300000000ull

static int rounds_ask(const struct rounds *r, uint32_t op, const struct purge_ask *ask, struct reader_reply *ret)
{
	const struct reader_request req = { .magic = READER_MAGIC, .op = op, .ask = *ask };
	uint64_t deadline = op == READER_CHECK ? MIN(r->deadline_ns, clock_ns() + CHECK_NS) : r->deadline_ns;
	int e = reader_ask(r->reader, &req, deadline, ret);

	if (e == -ETIMEDOUT)
		return -ETIME;
	if (e < 0)
		return -EPIPE;
	return ret->error < 0 ? ret->error : 0;
}

static int rounds_scan(void *ctx, const struct purge_ask *ask, struct purge_round *ret)
{
	struct reader_reply reply;
	int r = rounds_ask(ctx, READER_SCAN, ask, &reply);

	if (r == 0)
		*ret = reply.round;
	return r;
}

static int rounds_check(void *ctx, const struct purge_ask *ask, struct purge_lists *ret)
{
	const struct rounds *rounds = ctx;
	struct reader_reply reply;
	int r = rounds_ask(rounds, READER_CHECK, ask, &reply);

	if (r == 0)
		memcpy(ret, rounds->reader->lists, sizeof(*ret));
	return r;
}

static int rounds_advise(void *ctx, struct advise_round *ret)
{
	const struct purge_ask nothing = { .parts = 0 };
	struct reader_reply reply;
	int r = rounds_ask(ctx, READER_ADVISE, &nothing, &reply);

	if (r < 0)
		return r;
	if (reply.advise.n > ADVISE_RANGES_MAX)
		return -EPIPE;
	for (size_t i = 0; i < reply.advise.n; i++)
		if (reply.advise.v[i].lo >= reply.advise.v[i].hi ||
		    (reply.advise.v[i].lo | reply.advise.v[i].hi) % REMOTE_PAGE)
			return -EPIPE;
	*ret = reply.advise;
	return 0;
}

void rounds_init(struct rounds *r, const struct reader *reader, uint64_t deadline_ns, struct purge_reader *purge,
		 struct advise_reader *advise)
{
	*r = (struct rounds){ .reader = reader, .deadline_ns = deadline_ns };
	*purge = (struct purge_reader){ .scan = rounds_scan, .check = rounds_check, .ctx = r };
	*advise = (struct advise_reader){ .next = rounds_advise, .ctx = r };
}
