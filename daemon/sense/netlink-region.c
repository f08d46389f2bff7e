/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mappings of a process as the module walks them. maps, which walks no page
 * tables, adds what they are called and what is mapped; where the two disagree,
 * since the process went on meanwhile, the module's own words stand.
 */
#include <netlink/attr.h>

#include "base/procfs.h"
#include "base/pstat.h"
#include "sense/netlink.h"
#include "sense/region-builder.h"

#define DUMP_TRIES 4

struct dump {
	struct region_builder list;
	const struct maps *maps;
	pid_t pid;
	uint64_t start_time, last_end;
	size_t max;
};

static const struct {
	enum map_kind kind;
	const char *name;
} kinds[] = {
	[RECLAIM_KIND_HEAP] = { MAP_KIND_HEAP, "[heap]" },    [RECLAIM_KIND_MMAP] = { MAP_KIND_ANON, "" },
	[RECLAIM_KIND_STACK] = { MAP_KIND_STACK, "[stack]" }, [RECLAIM_KIND_FILE] = { MAP_KIND_FILE, "" },
	[RECLAIM_KIND_SHMEM] = { MAP_KIND_SHMEM, "" },	      [RECLAIM_KIND_HUGETLB] = { MAP_KIND_FILE, "" },
	[RECLAIM_KIND_SPECIAL] = { MAP_KIND_SPECIAL, "" },    [RECLAIM_KIND_VDSO] = { MAP_KIND_SPECIAL, "[vdso]" },
};

static unsigned int map_flags(uint64_t flags)
{
	return (flags & RECLAIM_REGION_FLAGS_READ ? MAP_F_READ : 0u) |
	       (flags & RECLAIM_REGION_FLAGS_WRITE ? MAP_F_WRITE : 0u) |
	       (flags & RECLAIM_REGION_FLAGS_EXEC ? MAP_F_EXEC : 0u) |
	       (flags & RECLAIM_REGION_FLAGS_SHARED ? MAP_F_SHARED : 0u);
}

void reply_make_region(const struct reply *r, const struct maps *maps, struct region *ret)
{
	const uint64_t *v = r->value, start = v[RECLAIM_A_REGION_START];
	const struct map *m = maps ? maps_find(maps, start) : NULL;
	/* A newer module may know more kinds. */
	const size_t kind = v[RECLAIM_A_KIND] < ARRAY_SIZE(kinds) ? v[RECLAIM_A_KIND] : RECLAIM_KIND_SPECIAL;

	*ret = (struct region){
		.map = {
			.start = start,
			.end = v[RECLAIM_A_REGION_END],
			.offset = v[RECLAIM_A_OFFSET] == PROC_UNKNOWN ? 0 : v[RECLAIM_A_OFFSET],
			.flags = map_flags(v[RECLAIM_A_REGION_FLAGS]),
			.kind = kinds[kind].kind,
			.name = r->name ? r->name : kinds[kind].name,
		},
		.rss = v[RECLAIM_A_PRESENT],
		.anon = v[RECLAIM_A_ANON],
		.swap = reply_sum(v[RECLAIM_A_SWAPPED], v[RECLAIM_A_SWAPPED_SHMEM]),
		.huge = v[RECLAIM_A_HUGE],
		.lazyfree = v[RECLAIM_A_LAZYFREE],
		.referenced = PROC_UNKNOWN,
		.locked = v[RECLAIM_A_REGION_FLAGS] & RECLAIM_REGION_FLAGS_LOCKED ? PROC_UNKNOWN : 0,
		/* Without ages nobody has looked at accessed bits, whatever they say. */
		.accessed = r->age.n ? v[RECLAIM_A_ACCESSED] : PROC_UNKNOWN,
		.age = r->age,
	};
	if (m && m->start == start && m->end == ret->map.end && m->flags % MAP_F_DELETED == ret->map.flags)
		ret->map = *m;
}

static int take_region(const struct reply *r, void *data)
{
	struct dump *d = data;
	struct region reg;

	if (r->cmd != RECLAIM_CMD_REGION_GET || r->value[RECLAIM_A_PID] != (uint64_t)d->pid)
		return -EBADMSG;
	if (r->value[RECLAIM_A_START_TIME] != d->start_time)
		return -ESRCH;
	/* Moved from behind the cursor to before it: again. */
	if (r->value[RECLAIM_A_REGION_START] < d->last_end)
		return -EAGAIN;
	if (d->list.list.n >= d->max)
		return -E2BIG;
	reply_make_region(r, d->maps, &reg);
	d->last_end = reg.map.end;
	return region_builder_add(&d->list, &reg);
}

static int dump_once(struct netlink *n, struct dump *d)
{
	_cleanup_(netlink_message_freep) struct nl_msg *msg = netlink_message(n, RECLAIM_CMD_REGION_GET, NLM_F_DUMP);

	if (!msg || nla_put_u32(msg, RECLAIM_A_PID, (uint32_t)d->pid) < 0 ||
	    nla_put_u64(msg, RECLAIM_A_START_TIME, d->start_time) < 0)
		return -ENOMEM;
	return netlink_request(n, msg, take_region, d);
}

int netlink_regions(struct netlink *n, int root, pid_t pid, size_t max, struct region_list *ret)
{
	_cleanup_close_ int dir = procfs_open_pid(root, pid);
	struct pstat stat;
	int r = dir < 0 ? dir : pstat_read(dir, &stat);

	if (r < 0)
		return r;
	r = -EAGAIN;
	for (int i = 0; i < DUMP_TRIES && r == -EAGAIN; i++) {
		_cleanup_(maps_done) struct maps maps = { 0 };
		struct dump d = { .maps = &maps, .pid = pid, .start_time = stat.start_time, .max = max };

		/* Names are worth having, and nothing without is wrong. */
		r = maps_read(dir, max, &maps);
		if (r == -ESRCH || r == -ENOMEM)
			return r;
		r = dump_once(n, &d);
		/* One that never holds still: in order, and of several moments, as smaps would be. */
		if (r == 0 || (r == -EAGAIN && i == DUMP_TRIES - 1 && d.list.list.n)) {
			region_builder_end(&d.list, ret);
			return 0;
		}
		region_builder_done(&d.list);
	}
	/* Without memory or gone: /proc tells which. */
	return r == -ESRCH ? region_list_read(dir, max, ret) : r;
}
