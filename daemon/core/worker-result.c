/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "core/worker-client.h"
#include "core/worker-process.h"

#define REMEDIES_KNOWN                                                                                      \
	((uint32_t)(WORKER_REMEDY_COLLECT | WORKER_REMEDY_TRIM | WORKER_REMEDY_PURGE | WORKER_REMEDY_COLD | \
		    WORKER_REMEDY_PAGEOUT))

static bool outcome_known(uint32_t outcome)
{
	return outcome >= WORKER_RECLAIMED && outcome <= WORKER_WOULD;
}

static bool one_known_remedy(uint32_t bits)
{
	return bits && !(bits & (bits - 1)) && !(bits & ~REMEDIES_KNOWN);
}

/* A process that was acted on must be the one that was asked for; one that is gone may have any start time. */
static bool start_time_fits(const struct worker_result *res, const struct worker_request *req)
{
	bool acted = res->outcome == WORKER_RECLAIMED || res->outcome == WORKER_NOTHING ||
		     res->outcome == WORKER_WOULD || res->nsteps;

	return !acted || !req->start_time || res->start_time == req->start_time;
}

static const char *find_fault(const struct worker_result *res, size_t length, const struct worker_request *req)
{
	if (length != sizeof(*res))
		return "an answer of the wrong length";
	if (res->magic != WORKER_MAGIC || res->version != WORKER_VERSION)
		return "an answer of another version";
	if (res->pid != req->pid)
		return "an answer about another process";
	if (!outcome_known(res->outcome))
		return "an unknown outcome";
	if (!start_time_fits(res, req))
		return "an answer about an earlier or later process with this pid";
	if (res->nsteps > WORKER_STEPS_MAX)
		return "too many steps";
	for (uint32_t i = 0; i < res->nsteps; i++)
		if (!one_known_remedy(res->steps[i].remedy))
			return "a step with an unknown remedy";
	return NULL;
}

int worker_take_result(const struct worker *w, const struct worker_request *req, struct worker_result *ret,
		       const char **ret_fault)
{
	struct worker_result res = { 0 };
	ssize_t n;

	/* MSG_TRUNC makes recv return the real length, so that too long a message is seen as such. */
	do
		n = recv(w->sock, &res, sizeof(res), MSG_TRUNC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? -EAGAIN : -EPIPE;
	if (worker_result_check(&res, (size_t)n, req, ret_fault) < 0)
		return -EBADMSG;
	*ret = res;
	return 1;
}

int worker_result_check(struct worker_result *res, size_t length, const struct worker_request *req,
			const char **ret_why)
{
	const char *fault = find_fault(res, length, req);

	if (fault) {
		*ret_why = fault;
		return -EBADMSG;
	}
	res->comm[sizeof(res->comm) - 1] = 0;
	res->reason[sizeof(res->reason) - 1] = 0;
	for (uint32_t i = 0; i < WORKER_STEPS_MAX; i++)
		res->steps[i].detail[sizeof(res->steps[i].detail) - 1] = 0;
	return 0;
}
