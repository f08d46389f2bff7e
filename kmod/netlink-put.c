// SPDX-License-Identifier: GPL-2.0-only
#include <linux/math64.h>
#include <linux/stddef.h>
#include <linux/time64.h>
#include <linux/user_namespace.h>
#include <net/netlink.h>

#include <uapi/linux/reclaim.h>

#include "facts.h"
#include "netlink-put.h"

static bool put_u64(struct sk_buff *skb, int attr, u64 value)
{
	return nla_put_u64_64bit(skb, attr, value, RECLAIM_A_PAD);
}


static int put_bucket(struct sk_buff *skb, const struct reclaim_sample *s, unsigned int bucket, u64 bytes)
{
	u64 since_ms = div_u64(s->valid_ns - s->taken_ns, NSEC_PER_MSEC);
	u64 idle_ms = (u64)reclaim_age_bucket_start(bucket) * s->interval_ms + since_ms;
	struct nlattr *nest = nla_nest_start(skb, RECLAIM_A_HISTOGRAM_BUCKET);

	if (!nest)
		return -EMSGSIZE;
	if (nla_put_u64_64bit(skb, RECLAIM_A_BUCKET_IDLE_FOR, idle_ms, RECLAIM_A_BUCKET_PAD) ||
	    nla_put_u64_64bit(skb, RECLAIM_A_BUCKET_BYTES, bytes, RECLAIM_A_BUCKET_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_histogram(struct sk_buff *skb, const struct reclaim_sample *s, u32 kind, const struct reclaim_usage *u)
{
	struct nlattr *nest;
	unsigned int i;

	if (!s->interval_ms || !u->anon)
		return 0;

	nest = nla_nest_start(skb, RECLAIM_A_HISTOGRAM);
	if (!nest || nla_put_u32(skb, RECLAIM_A_HISTOGRAM_KIND, kind))
		return -EMSGSIZE;
	for (i = 0; i < RECLAIM_AGE_BUCKETS; i++)
		if (put_bucket(skb, s, i, u->histogram[i]))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

#define FIELD(attr, member) { attr, offsetof(struct reclaim_facts, member) }

/* All that are 64 bit wide in both places: of the process, then of its sample, last what only ages tell. */
static const struct {
	u16 type;
	u16 offset;
} fields[] = {
	FIELD(RECLAIM_A_START_TIME, process.start_time),
	FIELD(RECLAIM_A_CGROUP_ID, process.cgroup_id),
	FIELD(RECLAIM_A_RSS_ANON, counters.anon),
	FIELD(RECLAIM_A_RSS_FILE, counters.file),
	FIELD(RECLAIM_A_RSS_SHMEM, counters.shmem),
	FIELD(RECLAIM_A_SWAP, counters.swap),
	FIELD(RECLAIM_A_PAGE_TABLES, counters.page_tables),
	FIELD(RECLAIM_A_HEAP_SIZE, counters.heap_size),
#define PROCESS_FIELDS 8
	FIELD(RECLAIM_A_SAMPLE_AGE, age_ms),
	FIELD(RECLAIM_A_ANON_HEAP, sample.anon[RECLAIM_PART_HEAP]),
	FIELD(RECLAIM_A_ANON_MMAP, sample.anon[RECLAIM_PART_MMAP]),
	FIELD(RECLAIM_A_ANON_STACK, sample.anon[RECLAIM_PART_STACK]),
	FIELD(RECLAIM_A_HUGE, sample.huge),
	FIELD(RECLAIM_A_LAZYFREE, sample.lazyfree),
#define SAMPLE_FIELDS (PROCESS_FIELDS + 6)
	FIELD(RECLAIM_A_ACCESSED, sample.accessed),
	FIELD(RECLAIM_A_IDLE, sample.idle),
	FIELD(RECLAIM_A_HEAP_IDLE, sample.heap_idle),
#define AGE_FIELDS (SAMPLE_FIELDS + 3)
};

/*
 * Many small attributes for each of many processes: written straight into room
 * that is asked for once. Nothing needs more alignment than NLA_ALIGNTO here.
 */
struct field_attr {
	struct nlattr attr;
	u64 value;
} __packed;

int reclaim_put_facts(struct sk_buff *skb, const struct reclaim_facts *f)
{
	unsigned int i, n = !f->sample.taken_ns ? PROCESS_FIELDS : f->sample.interval_ms ? AGE_FIELDS : SAMPLE_FIELDS;
	struct field_attr *at;

	BUILD_BUG_ON(ARRAY_SIZE(fields) != AGE_FIELDS);
	BUILD_BUG_ON(!IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS));

	if (nla_put_u32(skb, RECLAIM_A_PID, f->process.pid) ||
	    nla_put_string(skb, RECLAIM_A_COMM, f->process.comm) ||
	    nla_put_u32(skb, RECLAIM_A_UID, from_kuid_munged(&init_user_ns, f->process.uid)) ||
	    nla_put_u32(skb, RECLAIM_A_THREADS, f->process.threads) ||
	    nla_put_u32(skb, RECLAIM_A_SAMPLING, f->sampling) ||
	    skb_tailroom(skb) < n * sizeof(*at))
		return -EMSGSIZE;

	at = skb_put(skb, n * sizeof(*at));
	for (i = 0; i < n; i++, at++) {
		at->attr.nla_len = sizeof(*at);
		at->attr.nla_type = fields[i].type;
		at->value = *(const u64 *)((const char *)f + fields[i].offset);
	}
	return 0;
}

int reclaim_put_region(struct sk_buff *skb, const struct reclaim_region *r, const struct reclaim_sample *s,
		      const char *name)
{
	const struct reclaim_usage *u = &r->usage;

	if (put_u64(skb, RECLAIM_A_REGION_START, r->start) ||
	    put_u64(skb, RECLAIM_A_REGION_END, r->end) ||
	    nla_put_u32(skb, RECLAIM_A_REGION_FLAGS, r->flags) ||
	    nla_put_u32(skb, RECLAIM_A_KIND, r->kind) ||
	    (*name && nla_put_string(skb, RECLAIM_A_NAME, name)) ||
	    (r->file && put_u64(skb, RECLAIM_A_OFFSET, r->offset)) ||
	    put_u64(skb, RECLAIM_A_PRESENT, u->present) ||
	    put_u64(skb, RECLAIM_A_ANON, u->anon) ||
	    put_u64(skb, RECLAIM_A_SWAPPED, u->swapped) ||
	    put_u64(skb, RECLAIM_A_SWAPPED_SHMEM, u->swapped_shmem) ||
	    put_u64(skb, RECLAIM_A_HUGE, u->huge) ||
	    put_u64(skb, RECLAIM_A_HUGE_SHMEM, u->huge_shmem) ||
	    put_u64(skb, RECLAIM_A_HUGE_FILE, u->huge_file) ||
	    put_u64(skb, RECLAIM_A_LAZYFREE, u->lazyfree) ||
	    put_u64(skb, RECLAIM_A_ACCESSED, u->accessed) ||
	    put_histogram(skb, s, r->kind, u))
		return -EMSGSIZE;
	return 0;
}

int reclaim_put_age(struct sk_buff *skb, const struct reclaim_facts *f, const struct reclaim_sample *s)
{
	static const u32 kinds[RECLAIM_PARTS] = {
		[RECLAIM_PART_HEAP] = RECLAIM_KIND_HEAP,
		[RECLAIM_PART_MMAP] = RECLAIM_KIND_MMAP,
		[RECLAIM_PART_STACK] = RECLAIM_KIND_STACK,
	};
	int i;

	if (nla_put_u32(skb, RECLAIM_A_PID, f->process.pid) ||
	    put_u64(skb, RECLAIM_A_START_TIME, f->process.start_time) ||
	    nla_put_u32(skb, RECLAIM_A_SAMPLING, f->sampling))
		return -EMSGSIZE;
	if (!s->taken_ns || !s->interval_ms)
		return 0;

	if (put_u64(skb, RECLAIM_A_SAMPLE_AGE, f->age_ms) ||
	    put_u64(skb, RECLAIM_A_INTERVAL, s->interval_ms) ||
	    put_u64(skb, RECLAIM_A_GRANULE, s->granule))
		return -EMSGSIZE;
	for (i = 0; i < RECLAIM_PARTS; i++)
		if (put_histogram(skb, s, kinds[i], &s->part[i]))
			return -EMSGSIZE;
	return 0;
}
