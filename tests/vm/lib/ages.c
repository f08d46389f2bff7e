// SPDX-License-Identifier: GPL-2.0-or-later
#include "ages.h"

static bool take_bucket(struct nlattr *bucket, struct ages_histogram *h)
{
	int ages = 0, bytes = 0, n = h->count;
	struct nlattr *a = NULL;

	if (n == AGES_BUCKETS)
		return false;
	while ((a = genl_next(genl_data(bucket), genl_size(bucket), a))) {
		if (a->nla_type == RECLAIM_A_BUCKET_IDLE_FOR) {
			h->idle_ms[n] = genl_u64(a);
			ages++;
		} else if (a->nla_type == RECLAIM_A_BUCKET_BYTES) {
			h->bytes[n] = genl_u64(a);
			bytes++;
		}
	}
	h->count++;
	return ages == 1 && bytes == 1 && (!n || h->idle_ms[n] > h->idle_ms[n - 1]);
}

static bool take_histogram(struct nlattr *nest, struct ages_histogram *h)
{
	struct nlattr *a = NULL;
	int kinds = 0;

	*h = (struct ages_histogram){ 0 };
	while ((a = genl_next(genl_data(nest), genl_size(nest), a))) {
		uint16_t type = a->nla_type & NLA_TYPE_MASK;

		if (type == RECLAIM_A_HISTOGRAM_KIND) {
			h->kind = genl_u32(a);
			kinds++;
		}
		if (type == RECLAIM_A_HISTOGRAM_BUCKET && !take_bucket(a, h))
			return false;
	}
	return kinds == 1 && h->count;
}

static void take(const struct genl_reply *reply, void *data)
{
	struct nlattr *a = reply->attr[RECLAIM_A_HISTOGRAM];
	struct ages *ages = data;

	proc_take(reply, &ages->p);
	ages->wrong |= reply->cmd != RECLAIM_CMD_AGE_GET;
	/* One for each kind, one behind the other, and last of all */
	for (; a; a = genl_next(a, (char *)reply->end - (char *)a, a)) {
		if ((a->nla_type & NLA_TYPE_MASK) != RECLAIM_A_HISTOGRAM || ages->count == AGES_KINDS ||
		    !take_histogram(a, &ages->list[ages->count]))
			ages->wrong = true;
		else
			ages->count++;
	}
}

int ages_get(struct genl *g, pid_t pid, struct ages *ret)
{
	struct genl_request req;

	*ret = (struct ages){ .count = 0 };
	genl_begin(g, &req, RECLAIM_CMD_AGE_GET, 0);
	genl_put_u32(&req, RECLAIM_A_PID, pid);
	return genl_call(g, &req, take, ret);
}

uint64_t ages_idle(const struct ages *a, uint64_t ms)
{
	uint64_t sum = 0;

	for (int i = 0; i < a->count; i++)
		for (int k = 0; k < a->list[i].count; k++)
			sum += a->list[i].idle_ms[k] >= ms ? a->list[i].bytes[k] : 0;
	return sum;
}
