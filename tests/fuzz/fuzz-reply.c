// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=8192 */
/*
 * A datagram of the kernel module's, or of whatever calls itself so: answers, events, mappings and ends, of
 * which any byte may be wrong. What is accepted is what a walk by hand finds there as well, once each.
 */
#include <linux/genetlink.h>
#include <limits.h>
#include <string.h>

#include "base/maps.h"
#include "forged.h"
#include "fuzz.h"
#include "sense/answer.h"
#include "sense/netlink-event.h"
#include "sense/region-builder.h"

#define SEQ 1 /* of the request that is answered */
#define REGIONS_MAX 64

/* ---- what must hold ---- */

/* The reply's own numbers again: the last attribute of type @type among those of @h. */
static bool by_hand(const struct nlmsghdr *h, int type, uint64_t *ret)
{
	const char *p = (const char *)h + NLMSG_LENGTH(GENL_HDRLEN), *end = (const char *)h + h->nlmsg_len;
	bool found = false;

	while ((size_t)(end - p) >= sizeof(struct nlattr)) {
		struct nlattr a;

		memcpy(&a, p, sizeof(a));
		MUST(a.nla_len >= sizeof(a) && a.nla_len <= end - p);
		if ((a.nla_type & NLA_TYPE_MASK) == type) {
			MUST(!found && (a.nla_len == NLA_HDRLEN + 4 || a.nla_len == NLA_HDRLEN + 8));
			*ret = 0;
			memcpy(ret, p + NLA_HDRLEN, a.nla_len - (size_t)NLA_HDRLEN);
			found = true;
		}
		p += MIN((ptrdiff_t)NLA_ALIGN(a.nla_len), end - p);
	}
	return found;
}

static void check_text(const struct nlmsghdr *h, const char *text, size_t max)
{
	const char *end = (const char *)h + h->nlmsg_len;

	MUST(text > (const char *)h && text < end && memchr(text, 0, MIN(max, (size_t)(end - text))));
}

static void check_reply(const struct nlmsghdr *h, const struct reply *r)
{
	uint64_t v;

	MUST(r->value[RECLAIM_A_PID] >= 1 && r->value[RECLAIM_A_PID] <= INT_MAX);
	for (int type = 0; type <= RECLAIM_A_MAX; type++)
		if (r->value[type] != PROC_UNKNOWN)
			MUST(by_hand(h, type, &v) && v == r->value[type]);
	if (r->comm)
		check_text(h, r->comm, sizeof(((struct proc *)NULL)->comm));
	if (r->name)
		check_text(h, r->name, 4096);
	MUST(r->age.n <= AGE_BUCKETS);
	for (size_t i = 1; i < r->age.n; i++)
		MUST(r->age.v[i].idle_us > r->age.v[i - 1].idle_us);
	for (size_t i = 0; i < r->age.n; i++)
		MUST(age_bytes(&r->age, r->age.v[i].idle_us) >= r->age.v[i].bytes);
	MUST(!r->age.n || !age_bytes(&r->age, 0) || age_median_us(&r->age) != UINT64_MAX);
}

static void check_proc(const struct reply *r)
{
	struct proc p;

	MUST(reply_make_proc(r, &p) == 0);
	MUST(p.pid > 0 && p.threads >= -1 && memchr(p.comm, 0, sizeof(p.comm)) && p.exe && p.cgroup && p.unit);
	MUST(reply_is_about(r, &p) && (!r->comm || !strcmp(r->comm, p.comm)));
	MUST(p.rss == PROC_UNKNOWN || (p.rss >= p.anon && p.rss >= p.file && p.rss >= p.shmem));
	MUST(!p.sampling || *p.sampling);
	proc_done(&p);
}

/* ---- what is done with a datagram ---- */

struct dump {
	const struct maps *maps;
	struct region_builder list;
	uint64_t starts[REGIONS_MAX], text; /* the sum of all names' letters */
	size_t taken;
};

static uint64_t letters(const char *s)
{
	uint64_t sum = 0;

	while (*s)
		sum = sum * 31 + (unsigned char)*s++;
	return sum;
}

static int take(const struct reply *r, void *data)
{
	struct dump *d = data;
	struct region reg;

	d->taken++;
	if (r->cmd != RECLAIM_CMD_REGION_GET)
		return r->cmd == RECLAIM_CMD_PROC_GET ? 0 : -EBADMSG;
	if (d->list.list.n == REGIONS_MAX)
		return -E2BIG;
	reply_make_region(r, d->maps, &reg);
	MUST(reg.map.start < reg.map.end && reg.map.name && reg.map.kind <= MAP_KIND_SPECIAL);
	MUST(reg.swap == PROC_UNKNOWN ||
	     reg.swap >= MAX(r->value[RECLAIM_A_SWAPPED], r->value[RECLAIM_A_SWAPPED_SHMEM]));
	d->starts[d->list.list.n] = reg.map.start;
	d->text += letters(reg.map.name);
	return region_builder_add(&d->list, &reg);
}

static void fuzz_answer(const char *buf, size_t size)
{
	static const struct map map = { .start = 2 << 12, .end = 3 << 12, .flags = MAP_F_WRITE, .name = "/from/maps" };
	const struct maps maps = { .v = (struct map *)&map, .n = 1 };
	char text[REPLY_TEXT] = "";
	struct dump d = { .maps = &maps };
	struct answer a = { .family = FORGED_FAMILY, .seq = SEQ, .text = text, .take = take, .data = &d };
	const int r = answer_datagram(&a, buf, size);
	struct region_list l;

	MUST(r <= 1 && r >= -4095 && memchr(text, 0, sizeof(text)) && a.error <= 0);
	MUST(r != 1 || (!a.error && !a.interrupted));
	region_builder_end(&d.list, &l);
	MUST(l.n <= d.taken && l.n <= REGIONS_MAX);
	/* The text has moved as it grew. */
	for (size_t i = 0; i < l.n; i++) {
		MUST(l.v[i].map.start == d.starts[i]);
		d.text -= letters(l.v[i].map.name);
	}
	MUST(d.text == 0);
	region_list_done(&l);
}

/* A message alone, in a block of its own: whatever looks beyond its end is seen. */
static void fuzz_message(const struct nlmsghdr *h)
{
	struct bloat_event event;
	struct reply r, before;
	char text[REPLY_TEXT];
	int e;

	memset(&r, 0x5a, sizeof(r));
	before = r;
	if (reply_read(h, &r) == 0) {
		check_reply(h, &r);
		check_proc(&r);
	} else {
		MUST(!memcmp(&r, &before, sizeof(r)));
	}
	e = event_read(h, &event);
	MUST(e == 1 || e == -EBADMSG);
	if (e == 1) {
		MUST(r.cmd == RECLAIM_CMD_PROC_BLOAT_NTF && event.reason <= BLOAT_OTHER && event.proc.pid > 0);
		proc_done(&event.proc);
	}
	e = reply_end(h, text);
	MUST(e <= 0 && e >= -4095 && memchr(text, 0, sizeof(text)));
	MUST(!*text || (h->nlmsg_flags & NLM_F_ACK_TLVS));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *buf = malloc(MAX(size, (size_t)1));
	size_t at = 0;

	MUST(buf);
	memcpy(buf, data, size);
	fuzz_answer(buf, size);
	while (size - at >= NLMSG_HDRLEN) {
		struct nlmsghdr h, *alone;

		memcpy(&h, buf + at, sizeof(h));
		if (h.nlmsg_len < NLMSG_HDRLEN || h.nlmsg_len > size - at)
			break;
		alone = malloc(h.nlmsg_len);
		MUST(alone);
		memcpy(alone, buf + at, h.nlmsg_len);
		fuzz_message(alone);
		free(alone);
		at += MIN((size_t)NLMSG_ALIGN(h.nlmsg_len), size - at);
	}
	free(buf);
	return 0;
}

/* ---- inputs that are nearly right ---- */

static uint64_t number(uint64_t *s)
{
	static const uint64_t odd[] = { 0, 1, 2, INT_MAX, 1u << 31, UINT32_MAX, UINT64_MAX / 1000, UINT64_MAX - 1 };
	const uint64_t v = fuzz_random(s);

	return v % 4 ? v >> 8 >> v % 56 : odd[v >> 8 & 7];
}

static void put_ages(struct forged *f, uint64_t *s)
{
	const size_t nest = forged_nest(f, RECLAIM_A_HISTOGRAM), n = fuzz_random(s) % (AGE_BUCKETS + 2);
	uint64_t idle_ms = number(s) % 5000;

	for (size_t i = 0; i < n; i++) {
		const size_t bucket = forged_nest(f, RECLAIM_A_HISTOGRAM_BUCKET);

		forged_u64(f, RECLAIM_A_BUCKET_IDLE_FOR, idle_ms);
		forged_u64(f, RECLAIM_A_BUCKET_BYTES, number(s));
		forged_nest_end(f, bucket);
		idle_ms += number(s);
	}
	forged_nest_end(f, nest);
}

static void put_attr(struct forged *f, uint16_t type, uint64_t *s)
{
	const uint64_t v = number(s);

	switch (type) {
	case RECLAIM_A_COMM:
	case RECLAIM_A_NAME:
		forged_text(f, type, v & 1 ? "[heap]" : v & 2 ? "" : "/from/maps");
		break;
	case RECLAIM_A_HISTOGRAM:
		put_ages(f, s);
		break;
	case RECLAIM_A_PID:
	case RECLAIM_A_UID:
	case RECLAIM_A_THREADS:
	case RECLAIM_A_SAMPLING:
	case RECLAIM_A_REASON:
	case RECLAIM_A_REGION_FLAGS:
	case RECLAIM_A_KIND:
		forged_u32(f, type, type == RECLAIM_A_PID ? 77 : (uint32_t)(v % 3 ? v % 9 : v));
		break;
	default:
		forged_u64(f, type, type == RECLAIM_A_REGION_START ? v << 12 : v);
	}
}

/* What the kernel says besides a number lies behind the whole request. */
static void make_end(struct forged *f, uint64_t *s)
{
	const bool error = fuzz_random(s) & 1;
	const struct nlmsghdr request = { .nlmsg_len = NLMSG_HDRLEN };
	const int32_t result = -(int32_t)(number(s) % 5000);

	forged_begin_bare(f, error ? NLMSG_ERROR : NLMSG_DONE, NLM_F_ACK_TLVS | (fuzz_random(s) & NLM_F_CAPPED));
	forged_bytes(f, &result, sizeof(result));
	if (error)
		forged_bytes(f, &request, sizeof(request));
	forged_text(f, NLMSGERR_ATTR_MSG, "no such process");
}

static void make_message(struct forged *f, uint64_t *s)
{
	static const uint8_t cmds[] = { RECLAIM_CMD_PROC_GET, RECLAIM_CMD_PROC_BLOAT_NTF, RECLAIM_CMD_REGION_GET };
	static const uint16_t always[] = { RECLAIM_A_PID,	 RECLAIM_A_START_TIME,	 RECLAIM_A_COMM,
					   RECLAIM_A_UID,	 RECLAIM_A_REASON,	 RECLAIM_A_REGION_START,
					   RECLAIM_A_REGION_END, RECLAIM_A_REGION_FLAGS, RECLAIM_A_KIND };
	const uint64_t more = fuzz_random(s) & fuzz_random(s), without = fuzz_random(s);
	uint64_t needed = 0;

	if (fuzz_random(s) % 4 == 0) {
		make_end(f, s);
		return;
	}
	forged_begin(f, FORGED_FAMILY, fuzz_random(s) % 8 ? NLM_F_MULTI : NLM_F_DUMP_INTR,
		     cmds[fuzz_random(s) % ARRAY_SIZE(cmds)]);
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		needed |= 1ull << always[i];
	if (without % 8 == 0)
		needed &= ~(1ull << always[without / 8 % ARRAY_SIZE(always)]);
	for (uint16_t type = 1; type <= RECLAIM_A_MAX; type++)
		if ((needed | more) >> type & 1)
			put_attr(f, type, s);
}

/* Most of what libFuzzer thinks of alone has lengths that fit nothing, and ends there. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	static struct forged f;
	uint64_t s = fuzz_seed(seed);
	uint32_t len;

	if (fuzz_random(&s) % 4 == 0) {
		make_message(&f, &s);
		f.head.nlmsg_seq = fuzz_random(&s) % 8 ? SEQ : 0;
		size = fuzz_random(&s) % 2 ? NLMSG_ALIGN(size) : 0;
		if (size + f.head.nlmsg_len > max)
			size = 0;
		if (f.head.nlmsg_len > max)
			return LLVMFuzzerMutate(data, size, max);
		memcpy(data + size, f.bytes, f.head.nlmsg_len);
		return size + f.head.nlmsg_len;
	}
	size = LLVMFuzzerMutate(data, size, max);
	if (size >= NLMSG_HDRLEN && fuzz_random(&s) % 2) {
		len = (uint32_t)size;
		memcpy(data, &len, sizeof(len));
	}
	return size;
}
