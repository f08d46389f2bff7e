// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>

#include "facts.h"

void proc_take(const struct genl_reply *reply, void *proc)
{
	struct proc *p = proc;

	p->count++;
	for (int i = 0; i <= RECLAIM_A_MAX; i++) {
		struct nlattr *a = reply->attr[i];

		p->has[i] = a;
		p->value[i] = !a ? 0 : genl_size(a) == 4 ? genl_u32(a) : genl_u64(a);
	}
	snprintf(p->comm, sizeof(p->comm), "%s", genl_string(reply->attr[RECLAIM_A_COMM]));
}

void region_take(const struct genl_reply *reply, void *regions)
{
	struct nlattr *const *a = reply->attr;
	struct regions *all = regions;

	if (all->count == REGIONS_MAX)
		abort();
	all->list[all->count] = (struct region){
		.start = genl_u64(a[RECLAIM_A_REGION_START]),
		.end = genl_u64(a[RECLAIM_A_REGION_END]),
		.offset = genl_u64(a[RECLAIM_A_OFFSET]),
		.present = genl_u64(a[RECLAIM_A_PRESENT]),
		.anon = genl_u64(a[RECLAIM_A_ANON]),
		.swapped = genl_u64(a[RECLAIM_A_SWAPPED]),
		.swapped_shmem = genl_u64(a[RECLAIM_A_SWAPPED_SHMEM]),
		.huge = genl_u64(a[RECLAIM_A_HUGE]),
		.huge_shmem = genl_u64(a[RECLAIM_A_HUGE_SHMEM]),
		.huge_file = genl_u64(a[RECLAIM_A_HUGE_FILE]),
		.lazyfree = genl_u64(a[RECLAIM_A_LAZYFREE]),
		.start_time = genl_u64(a[RECLAIM_A_START_TIME]),
		.pid = genl_u32(a[RECLAIM_A_PID]),
		.flags = genl_u32(a[RECLAIM_A_REGION_FLAGS]),
		.kind = genl_u32(a[RECLAIM_A_KIND]),
	};
	snprintf(all->list[all->count].name, sizeof(all->list->name), "%s", genl_string(a[RECLAIM_A_NAME]));
	all->count++;
}

int proc_get(struct genl *g, pid_t pid, bool fresh, struct proc *ret)
{
	struct genl_request req;

	*ret = (struct proc){ 0 };
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	genl_put_u32(&req, RECLAIM_A_PID, pid);
	if (fresh)
		genl_put_flag(&req, RECLAIM_A_FRESH);
	return genl_call(g, &req, proc_take, ret);
}

int regions_get(struct genl *g, pid_t pid, struct regions *ret)
{
	struct genl_request req;

	ret->count = 0;
	genl_begin(g, &req, RECLAIM_CMD_REGION_GET, NLM_F_DUMP);
	genl_put_u32(&req, RECLAIM_A_PID, pid);
	return genl_call(g, &req, region_take, ret);
}

struct counting {
	genl_handler_t handler;
	void *data;
	int count;
};

static void count(const struct genl_reply *reply, void *data)
{
	struct counting *c = data;

	c->count++;
	if (c->handler)
		c->handler(reply, c->data);
}

int procs_dump_fields(struct genl *g, uint32_t fields, genl_handler_t handler, void *data)
{
	struct counting c = { handler, data, 0 };
	struct genl_request req;
	int r;

	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, NLM_F_DUMP);
	genl_put_u32(&req, RECLAIM_A_FIELDS, fields);
	r = genl_call(g, &req, count, &c);
	return r < 0 ? r : c.count;
}

int procs_dump(struct genl *g, bool fresh, genl_handler_t handler, void *data)
{
	struct counting c = { handler, data, 0 };
	struct genl_request req;
	int r;

	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, NLM_F_DUMP);
	if (fresh)
		genl_put_flag(&req, RECLAIM_A_FRESH);
	r = genl_call(g, &req, count, &c);
	return r < 0 ? r : c.count;
}
