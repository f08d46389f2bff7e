/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of the kernel module, attribute by attribute. */
#include "sense/reply.h"

#include <limits.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#define NAME_MAX_BYTES 4096

enum attr_kind { ATTR_SKIP, ATTR_U32, ATTR_U64, ATTR_COMM, ATTR_NAME, ATTR_AGE };

static const uint8_t kinds[RECLAIM_A_MAX + 1] = {
	[RECLAIM_A_PID] = ATTR_U32,	      [RECLAIM_A_START_TIME] = ATTR_U64,  [RECLAIM_A_COMM] = ATTR_COMM,
	[RECLAIM_A_UID] = ATTR_U32,	      [RECLAIM_A_CGROUP_ID] = ATTR_U64,	  [RECLAIM_A_THREADS] = ATTR_U32,
	[RECLAIM_A_RSS_ANON] = ATTR_U64,      [RECLAIM_A_RSS_FILE] = ATTR_U64,	  [RECLAIM_A_RSS_SHMEM] = ATTR_U64,
	[RECLAIM_A_SWAP] = ATTR_U64,	      [RECLAIM_A_PAGE_TABLES] = ATTR_U64, [RECLAIM_A_HEAP_SIZE] = ATTR_U64,
	[RECLAIM_A_SAMPLE_AGE] = ATTR_U64,    [RECLAIM_A_ANON_HEAP] = ATTR_U64,	  [RECLAIM_A_ANON_MMAP] = ATTR_U64,
	[RECLAIM_A_ANON_STACK] = ATTR_U64,    [RECLAIM_A_HUGE] = ATTR_U64,	  [RECLAIM_A_LAZYFREE] = ATTR_U64,
	[RECLAIM_A_ACCESSED] = ATTR_U64,      [RECLAIM_A_IDLE] = ATTR_U64,	  [RECLAIM_A_HEAP_IDLE] = ATTR_U64,
	[RECLAIM_A_SAMPLING] = ATTR_U32,      [RECLAIM_A_REASON] = ATTR_U32,	  [RECLAIM_A_GROWTH] = ATTR_U64,
	[RECLAIM_A_REGION_START] = ATTR_U64,  [RECLAIM_A_REGION_END] = ATTR_U64,  [RECLAIM_A_REGION_FLAGS] = ATTR_U32,
	[RECLAIM_A_KIND] = ATTR_U32,	      [RECLAIM_A_NAME] = ATTR_NAME,	  [RECLAIM_A_OFFSET] = ATTR_U64,
	[RECLAIM_A_PRESENT] = ATTR_U64,	      [RECLAIM_A_ANON] = ATTR_U64,	  [RECLAIM_A_SWAPPED] = ATTR_U64,
	[RECLAIM_A_SWAPPED_SHMEM] = ATTR_U64, [RECLAIM_A_HUGE_SHMEM] = ATTR_U64,  [RECLAIM_A_HUGE_FILE] = ATTR_U64,
	[RECLAIM_A_HISTOGRAM] = ATTR_AGE,     [RECLAIM_A_INTERVAL] = ATTR_U64,	  [RECLAIM_A_GRANULE] = ATTR_U64,
};

static int read_u32(const struct nlattr *a, uint64_t *ret)
{
	uint32_t v;

	if (nla_len(a) != sizeof(v))
		return -EBADMSG;
	memcpy(&v, nla_data(a), sizeof(v));
	*ret = v;
	return 0;
}

static int read_u64(const struct nlattr *a, uint64_t *ret)
{
	/* Only four bytes are sure to be aligned. */
	if (nla_len(a) != sizeof(*ret))
		return -EBADMSG;
	memcpy(ret, nla_data(a), sizeof(*ret));
	/* What is unknown is left out. No figure of bytes, times or addresses is as high. */
	return *ret == PROC_UNKNOWN ? -EBADMSG : 0;
}

static int read_text(const struct nlattr *a, size_t max, const char **ret)
{
	const char *text = nla_data(a);
	const size_t len = (size_t)nla_len(a);

	if (!len || len > max || memchr(text, '\0', len) != text + len - 1)
		return -EBADMSG;
	*ret = text;
	return 0;
}

/* A bucket has exactly its two numbers, once each; padding aside. */
static int read_bucket(const struct nlattr *nest, struct age *age)
{
	uint64_t idle_ms = PROC_UNKNOWN, bytes = PROC_UNKNOWN;
	const struct nlattr *a = nla_data(nest);
	int left = nla_len(nest), r = 0;
	struct age_bucket *b;

	for (; r == 0 && nla_ok(a, left); a = nla_next(a, &left)) {
		uint64_t *v = nla_type(a) == RECLAIM_A_BUCKET_IDLE_FOR ? &idle_ms :
			      nla_type(a) == RECLAIM_A_BUCKET_BYTES    ? &bytes :
									 NULL;

		if (v)
			r = *v == PROC_UNKNOWN ? read_u64(a, v) : -EBADMSG;
	}
	if (r < 0 || left > 0 || bytes == PROC_UNKNOWN || idle_ms >= UINT64_MAX / 1000 || age->n == AGE_BUCKETS)
		return -EBADMSG;
	b = &age->v[age->n];
	if (age->n && b[-1].idle_us >= idle_ms * 1000)
		return -EBADMSG;
	*b = (struct age_bucket){ idle_ms * 1000, bytes };
	age->n++;
	return 0;
}

/* Of several, the first: only age-get has more than one, and that is for others than us. */
static int read_age(const struct nlattr *nest, struct age *ret)
{
	const struct nlattr *a = nla_data(nest);
	struct age age = { .n = 0 };
	int left = nla_len(nest), r = 0;

	for (; r == 0 && nla_ok(a, left); a = nla_next(a, &left))
		if (nla_type(a) == RECLAIM_A_HISTOGRAM_BUCKET)
			r = read_bucket(a, &age);
	if (r < 0 || left > 0)
		return -EBADMSG;
	if (!ret->n)
		*ret = age;
	return 0;
}

static int read_attr(const struct nlattr *a, struct reply *r)
{
	const int type = nla_type(a);

	if (type > RECLAIM_A_MAX || kinds[type] == ATTR_SKIP)
		return 0;
	switch ((enum attr_kind)kinds[type]) {
	case ATTR_U32:
		return r->value[type] == PROC_UNKNOWN ? read_u32(a, &r->value[type]) : -EBADMSG;
	case ATTR_U64:
		return r->value[type] == PROC_UNKNOWN ? read_u64(a, &r->value[type]) : -EBADMSG;
	case ATTR_COMM:
		return r->comm ? -EBADMSG : read_text(a, sizeof(((struct proc *)NULL)->comm), &r->comm);
	case ATTR_NAME:
		return r->name ? -EBADMSG : read_text(a, NAME_MAX_BYTES, &r->name);
	case ATTR_AGE:
		return read_age(a, &r->age);
	case ATTR_SKIP:
		break;
	}
	return 0;
}

bool reply_has_who(const struct reply *r)
{
	return r->comm && r->value[RECLAIM_A_UID] != PROC_UNKNOWN;
}

/* What a reply is worth nothing without. */
static bool is_complete(const struct reply *r)
{
	const uint64_t *v = r->value;

	if (v[RECLAIM_A_PID] < 1 || v[RECLAIM_A_PID] > INT_MAX || v[RECLAIM_A_START_TIME] == PROC_UNKNOWN)
		return false;
	switch (r->cmd) {
	case RECLAIM_CMD_PROC_GET:
		return true;
	case RECLAIM_CMD_PROC_BLOAT_NTF:
		return reply_has_who(r) && v[RECLAIM_A_REASON] != PROC_UNKNOWN;
	case RECLAIM_CMD_REGION_GET:
		return v[RECLAIM_A_REGION_END] != PROC_UNKNOWN && v[RECLAIM_A_REGION_START] < v[RECLAIM_A_REGION_END] &&
		       v[RECLAIM_A_REGION_FLAGS] != PROC_UNKNOWN && v[RECLAIM_A_KIND] != PROC_UNKNOWN;
	default:
		return true;
	}
}

int reply_read(const struct nlmsghdr *h, struct reply *ret)
{
	struct reply r = { .cmd = 0 };
	const struct genlmsghdr *gh;
	const struct nlattr *a;
	int left;

	if (h->nlmsg_len < NLMSG_LENGTH(GENL_HDRLEN) || h->nlmsg_len > INT_MAX)
		return -EBADMSG;
	gh = NLMSG_DATA(h);
	r.cmd = gh->cmd;
	for (size_t i = 0; i < ARRAY_SIZE(r.value); i++)
		r.value[i] = PROC_UNKNOWN;
	left = (int)(h->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN));
	for (a = (const struct nlattr *)((const char *)gh + GENL_HDRLEN); nla_ok(a, left); a = nla_next(a, &left))
		if (read_attr(a, &r) < 0)
			return -EBADMSG;
	if (left > 0 || !is_complete(&r))
		return -EBADMSG;
	*ret = r;
	return 0;
}

/* What the kernel says besides the number, in attributes from @skip bytes of the payload on. */
static void read_words(const struct nlmsghdr *h, size_t skip, char text[REPLY_TEXT])
{
	const size_t size = h->nlmsg_len - NLMSG_HDRLEN;
	const struct nlattr *a = (const struct nlattr *)((const char *)NLMSG_DATA(h) + skip);
	const char *words;
	int left;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS) || skip > size || size > INT_MAX)
		return;
	left = (int)(size - skip);
	for (; nla_ok(a, left); a = nla_next(a, &left))
		if (nla_type(a) == NLMSGERR_ATTR_MSG && read_text(a, SIZE_MAX, &words) == 0)
			snprintf(text, REPLY_TEXT, "%s", words);
}

int reply_end(const struct nlmsghdr *h, char text[REPLY_TEXT])
{
	const struct nlmsgerr *e = NLMSG_DATA(h);
	size_t skip = sizeof(int);
	int error = 0;

	text[0] = '\0';
	if (h->nlmsg_type == NLMSG_ERROR) {
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
			return -EBADMSG;
		skip = sizeof(*e);
		/* The request comes back whole, unless it was asked to be left out. */
		if (!(h->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len > NLMSG_HDRLEN)
			skip += NLMSG_ALIGN((size_t)e->msg.nlmsg_len) - NLMSG_HDRLEN;
	} else if (h->nlmsg_len < NLMSG_LENGTH(sizeof(int))) {
		return h->nlmsg_len < NLMSG_HDRLEN ? -EBADMSG : 0;
	}
	memcpy(&error, NLMSG_DATA(h), sizeof(error));
	if (error > 0 || error < -4095)
		return -EBADMSG;
	read_words(h, skip, text);
	return error;
}

static const char *sampling_name(uint64_t sampling)
{
	static const char *const names[] = {
		[RECLAIM_SAMPLING_ACTIVE] = "active",
		[RECLAIM_SAMPLING_DISABLED] = "disabled",
		[RECLAIM_SAMPLING_SMALL] = "small",
		[RECLAIM_SAMPLING_PENDING] = "pending",
		[RECLAIM_SAMPLING_SECONDARY_MMU] = "secondary-mmu",
		[RECLAIM_SAMPLING_UNSUPPORTED] = "unsupported",
		[RECLAIM_SAMPLING_NO_MEMORY] = "no-memory",
	};

	return sampling < ARRAY_SIZE(names) ? names[sampling] : NULL;
}

static void take(uint64_t *to, uint64_t v)
{
	if (v != PROC_UNKNOWN)
		*to = v;
}

uint64_t reply_sum(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return a == PROC_UNKNOWN || b == PROC_UNKNOWN || __builtin_add_overflow(a, b, &sum) ? PROC_UNKNOWN : sum;
}

void reply_fill_proc(const struct reply *r, struct proc *p)
{
	static const struct {
		int attr;
		size_t offset;
	} table[] = {
		{ RECLAIM_A_RSS_ANON, offsetof(struct proc, anon) },
		{ RECLAIM_A_RSS_FILE, offsetof(struct proc, file) },
		{ RECLAIM_A_RSS_SHMEM, offsetof(struct proc, shmem) },
		{ RECLAIM_A_SWAP, offsetof(struct proc, swap) },
		{ RECLAIM_A_HEAP_SIZE, offsetof(struct proc, heap_size) },
		{ RECLAIM_A_ANON_HEAP, offsetof(struct proc, heap) },
		{ RECLAIM_A_ANON_MMAP, offsetof(struct proc, mmap_anon) },
		{ RECLAIM_A_ANON_STACK, offsetof(struct proc, stack) },
		{ RECLAIM_A_HUGE, offsetof(struct proc, huge) },
		{ RECLAIM_A_LAZYFREE, offsetof(struct proc, lazyfree) },
		{ RECLAIM_A_IDLE, offsetof(struct proc, idle) },
		{ RECLAIM_A_HEAP_IDLE, offsetof(struct proc, heap_idle) },
	};
	const uint64_t *v = r->value;

	p->pid = (pid_t)v[RECLAIM_A_PID];
	p->start_time = v[RECLAIM_A_START_TIME];
	if (v[RECLAIM_A_UID] != PROC_UNKNOWN)
		p->uid = (uid_t)v[RECLAIM_A_UID];
	if (r->comm) {
		memset(p->comm, 0, sizeof(p->comm));
		memcpy(p->comm, r->comm, strlen(r->comm));
	}
	if (v[RECLAIM_A_THREADS] <= INT_MAX)
		p->threads = (int)v[RECLAIM_A_THREADS];
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		take((uint64_t *)((char *)p + table[i].offset), v[table[i].attr]);
	if (v[RECLAIM_A_SAMPLE_AGE] < UINT64_MAX / 1000)
		p->sample_age_us = v[RECLAIM_A_SAMPLE_AGE] * 1000;
	p->sampling = sampling_name(v[RECLAIM_A_SAMPLING]);
	p->rss = reply_sum(reply_sum(p->anon, p->file), p->shmem);
}

bool reply_is_about(const struct reply *r, const struct proc *p)
{
	return r->value[RECLAIM_A_PID] == (uint64_t)p->pid && r->value[RECLAIM_A_START_TIME] == p->start_time;
}
