// SPDX-License-Identifier: GPL-2.0-only
#include <linux/math64.h>
#include <linux/time64.h>
#include <linux/uidgid.h>
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

/*
 * Many small attributes for each of many processes: they are written straight
 * into room that is asked for once, which costs a third of as many nla_put().
 * Nothing needs more alignment than NLA_ALIGNTO here.
 */
struct attr32 {
	struct nlattr attr;
	u32 value;
} __packed;

struct attr64 {
	struct nlattr attr;
	u64 value;
} __packed;

struct attr_comm {
	struct nlattr attr;
	char value[TASK_COMM_LEN];
} __packed;

static char *write_u32(char *at, u16 type, u32 value)
{
	*(struct attr32 *)at = (struct attr32){ { sizeof(struct attr32), type }, value };
	return at + sizeof(struct attr32);
}

static char *write_u64(char *at, u16 type, u64 value)
{
	*(struct attr64 *)at = (struct attr64){ { sizeof(struct attr64), type }, value };
	return at + sizeof(struct attr64);
}

static char *write_who(char *at, const struct reclaim_process *p)
{
	struct attr_comm *comm = (struct attr_comm *)at;

	/* All of it, of which the next one takes the end again, but for up to three bytes behind the name. */
	comm->attr = (struct nlattr){ NLA_HDRLEN + p->comm_length + 1, RECLAIM_A_COMM };
	memcpy(comm->value, p->comm, sizeof(comm->value));
	at += NLA_ALIGN(comm->attr.nla_len);
	/* Of the initial user namespace, whose ids kuids are. */
	at = write_u32(at, RECLAIM_A_UID, __kuid_val(p->uid));
	at = write_u64(at, RECLAIM_A_CGROUP_ID, p->cgroup_id);
	return write_u32(at, RECLAIM_A_THREADS, p->threads);
}

static char *write_counters(char *at, const struct reclaim_counters *c)
{
	at = write_u64(at, RECLAIM_A_RSS_ANON, c->anon);
	at = write_u64(at, RECLAIM_A_RSS_FILE, c->file);
	at = write_u64(at, RECLAIM_A_RSS_SHMEM, c->shmem);
	at = write_u64(at, RECLAIM_A_SWAP, c->swap);
	at = write_u64(at, RECLAIM_A_PAGE_TABLES, c->page_tables);
	return write_u64(at, RECLAIM_A_HEAP_SIZE, c->heap_size);
}

static char *write_summary(char *at, const struct reclaim_summary *s, u64 age_ms)
{
	at = write_u64(at, RECLAIM_A_SAMPLE_AGE, age_ms);
	at = write_u64(at, RECLAIM_A_ANON_HEAP, s->anon[RECLAIM_PART_HEAP]);
	at = write_u64(at, RECLAIM_A_ANON_MMAP, s->anon[RECLAIM_PART_MMAP]);
	at = write_u64(at, RECLAIM_A_ANON_STACK, s->anon[RECLAIM_PART_STACK]);
	at = write_u64(at, RECLAIM_A_HUGE, s->huge);
	at = write_u64(at, RECLAIM_A_LAZYFREE, s->lazyfree);
	/* The rest only ages tell. */
	if (!s->interval_ms)
		return at;
	at = write_u64(at, RECLAIM_A_ACCESSED, s->accessed);
	at = write_u64(at, RECLAIM_A_IDLE, s->idle);
	return write_u64(at, RECLAIM_A_HEAP_IDLE, s->heap_idle);
}

/* As much as can be written of one process */
#define FACTS_ROOM (sizeof(struct attr_comm) + 4 * sizeof(struct attr32) + 17 * sizeof(struct attr64))

int reclaim_put_facts(struct sk_buff *skb, const struct reclaim_facts *f)
{
	char *start = skb_tail_pointer(skb), *at = start;

	BUILD_BUG_ON(!IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS));

	if (skb_tailroom(skb) < (int)FACTS_ROOM)
		return -EMSGSIZE;

	at = write_u32(at, RECLAIM_A_PID, f->process.pid);
	at = write_u64(at, RECLAIM_A_START_TIME, f->process.start_time);
	if (f->fields & RECLAIM_PROC_FIELDS_WHO)
		at = write_who(at, &f->process);
	if (f->fields & RECLAIM_PROC_FIELDS_COUNTERS)
		at = write_counters(at, &f->counters);
	if (f->fields & RECLAIM_PROC_FIELDS_SAMPLE)
		at = write_u32(at, RECLAIM_A_SAMPLING, f->sampling);
	if (f->fields & RECLAIM_PROC_FIELDS_SAMPLE && f->sample.taken_ns)
		at = write_summary(at, &f->sample, f->age_ms);
	/* Which was asked above. */
	__skb_put(skb, at - start);
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
