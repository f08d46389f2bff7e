/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers of the kernel module as a whole, events, errors, and where facts come from, without a kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "base/procfs.h"
#include "forged.h"
#include "recorded.h"
#include "sense/bloat.h"
#include "sense/netlink-event.h"
#include "sense/netlink.h"
#include "sense/source.h"

#define GET RECLAIM_CMD_PROC_GET
#define NTF RECLAIM_CMD_PROC_BLOAT_NTF
#define SEQ 42

static void begin_proc(struct forged *f, uint8_t cmd, uint32_t reason)
{
	forged_begin(f, FORGED_FAMILY, NLM_F_MULTI, cmd);
	f->head.nlmsg_seq = SEQ;
	forged_u32(f, RECLAIM_A_PID, 77);
	forged_u64(f, RECLAIM_A_START_TIME, 5);
	forged_text(f, RECLAIM_A_COMM, "comm");
	forged_u32(f, RECLAIM_A_UID, 0);
	if (cmd == NTF)
		forged_u32(f, RECLAIM_A_REASON, reason);
}

static int end_of(const struct forged *f, char *text)
{
	_cleanup_free_ struct nlmsghdr *h = forged_message(f);

	return reply_end(h, text);
}

static void test_ends(void **state)
{
	const int error = -EPERM, positive = 5, wild = -70000;
	struct nlmsgerr e = { .error = -ESRCH, .msg = { .nlmsg_len = NLMSG_HDRLEN + 8 } };
	char text[REPLY_TEXT], huge[2000];
	struct forged f;

	(void)state;
	/* A dump's end has its error behind it, with words or without. */
	forged_begin_bare(&f, NLMSG_DONE, NLM_F_MULTI);
	assert_int_equal(end_of(&f, text), 0);
	forged_bytes(&f, &error, sizeof(error));
	assert_int_equal(end_of(&f, text), -EPERM);
	assert_string_equal(text, "");
	f.head.nlmsg_flags |= NLM_F_ACK_TLVS;
	assert_int_equal(end_of(&f, text), -EPERM);
	forged_text(&f, NLMSGERR_ATTR_MSG, "needs more");
	assert_int_equal(end_of(&f, text), -EPERM);
	assert_string_equal(text, "needs more");

	forged_begin_bare(&f, NLMSG_ERROR, NLM_F_ACK_TLVS | NLM_F_CAPPED);
	assert_int_equal(end_of(&f, text), -EBADMSG);
	forged_bytes(&f, &e, sizeof(e));
	assert_int_equal(end_of(&f, text), -ESRCH);
	memset(huge, 'w', sizeof(huge));
	huge[sizeof(huge) - 1] = '\0';
	forged_text(&f, NLMSGERR_ATTR_MSG, huge);
	assert_int_equal(end_of(&f, text), -ESRCH);
	assert_int_equal(strlen(text), REPLY_TEXT - 1);

	/* With the request between the two. */
	forged_begin_bare(&f, NLMSG_ERROR, NLM_F_ACK_TLVS);
	forged_bytes(&f, &e, sizeof(e));
	assert_int_equal(end_of(&f, text), -ESRCH);
	forged_bytes(&f, "request", 8);
	forged_text(&f, NLMSGERR_ATTR_MSG, "words");
	assert_int_equal(end_of(&f, text), -ESRCH);
	assert_string_equal(text, "words");
	/* A request longer than the message; words without an end. */
	((struct nlmsgerr *)(f.bytes + NLMSG_HDRLEN))->msg.nlmsg_len = UINT32_MAX;
	assert_int_equal(end_of(&f, text), -ESRCH);
	assert_string_equal(text, "");
	forged_begin_bare(&f, NLMSG_DONE, NLM_F_ACK_TLVS);
	forged_bytes(&f, &error, sizeof(error));
	forged_attr(&f, NLMSGERR_ATTR_MSG, "never", 5);
	assert_int_equal(end_of(&f, text), -EPERM);
	assert_string_equal(text, "");

	forged_begin_bare(&f, NLMSG_DONE, 0);
	forged_bytes(&f, &positive, sizeof(positive));
	assert_int_equal(end_of(&f, text), -EBADMSG);
	forged_begin_bare(&f, NLMSG_DONE, 0);
	forged_bytes(&f, &wild, sizeof(wild));
	assert_int_equal(end_of(&f, text), -EBADMSG);
}

static void test_events(void **state)
{
	struct bloat_event e;
	struct nlmsghdr *h;
	struct forged f;

	(void)state;
	begin_proc(&f, NTF, RECLAIM_REASON_GROWTH);
	forged_u64(&f, RECLAIM_A_GROWTH, 9 << 20);
	h = forged_message(&f);
	assert_int_equal(event_read(h, &e), 1);
	assert_true(e.reason == BLOAT_GROWTH && e.growth == 9 << 20 && e.proc.pid == 77);
	proc_done(&e.proc);
	free(h);
	begin_proc(&f, NTF, 99);
	h = forged_message(&f);
	assert_int_equal(event_read(h, &e), 1);
	assert_true(e.reason == BLOAT_OTHER && e.growth == PROC_UNKNOWN);
	proc_done(&e.proc);
	free(h);
	begin_proc(&f, GET, 0);
	h = forged_message(&f);
	assert_int_equal(event_read(h, &e), -EBADMSG);
	free(h);
}

static void test_errors_of_libnl(void **state)
{
	(void)state;
	assert_int_equal(netlink_errno(0), 0);
	assert_int_equal(netlink_errno(-NLE_OBJ_NOTFOUND), -ENOENT);
	assert_int_equal(netlink_errno(-NLE_PERM), -EPERM);
	assert_int_equal(netlink_errno(-NLE_NOMEM), -ENOMEM);
	assert_int_equal(netlink_errno(-NLE_DUMP_INTR), -EAGAIN);
	assert_int_equal(netlink_errno(NLE_DUMP_INTR), -EAGAIN);
	for (int e = 1; e < 100; e++)
		assert_true(netlink_errno(-e) < 0);
	assert_int_equal(netlink_errno(INT32_MIN), -EIO);
}

/* Where there is no module: told when asked for, else never noticed. */
static void test_sources(void **state)
{
	_cleanup_close_ int root = recorded_tree("real");
	const struct proc_filter large = { .min_anon = 5 << 20 };
	_cleanup_(proc_list_done) struct proc_list l = { 0 };
	_cleanup_(region_list_done) struct region_list regions = { 0 };
	char why[200] = "";
	struct source s;
	struct proc p;
	int r;

	(void)state;
	r = source_open(root, SOURCE_NETLINK, &s, why, sizeof(why));
	if (r == 0) {
		source_close(&s);
	} else {
		assert_true(r == -ENOENT || r == -EPERM);
		assert_non_null(strstr(why, "--source=procfs"));
	}
	assert_int_equal(source_open(root, SOURCE_PROCFS, &s, why, sizeof(why)), 0);
	assert_false(source_is_module(&s));
	assert_string_equal(source_words(&s), "");
	assert_int_equal(source_list(&s, &large, PROC_COUNTERS, &l), 0);
	assert_int_equal(l.n, 1);
	assert_true(l.v[0].anon >= 5 << 20 && l.v[0].idle == PROC_UNKNOWN);
	assert_int_equal(source_proc(&s, 101, PROC_BASIC, &p), 0);
	assert_true(p.pid == 101 && p.idle == PROC_UNKNOWN && p.sample_age_us == PROC_UNKNOWN && !p.sampling);
	proc_done(&p);
	assert_int_equal(source_proc(&s, 99, PROC_BASIC, &p), -ESRCH);
	assert_int_equal(source_regions(&s, 101, 1000, &regions), 0);
	assert_true(regions.n > 10 && regions.v[0].accessed == UINT64_MAX && regions.v[0].age.n == 0);
	source_close(&s);
	source_close(&s);
}

struct taken {
	int n, fail_at, error;
};

static int take(const struct reply *r, void *data)
{
	struct taken *t = data;

	assert_int_equal(r->value[RECLAIM_A_PID], 77);
	return ++t->n == t->fail_at ? t->error : 0;
}

/* @f behind what is in @buf already. */
static void append(char *buf, size_t *used, const struct forged *f)
{
	assert_true(*used + f->head.nlmsg_len <= FORGED_SIZE);
	memcpy(buf + *used, f->bytes, f->head.nlmsg_len);
	*used += NLMSG_ALIGN(f->head.nlmsg_len);
}

static void append_proc(char *buf, size_t *used, uint16_t type, uint16_t flags, uint32_t seq)
{
	struct forged f;

	begin_proc(&f, GET, 0);
	f.head.nlmsg_type = type;
	f.head.nlmsg_flags |= flags;
	f.head.nlmsg_seq = seq;
	append(buf, used, &f);
}

static void append_done(char *buf, size_t *used, int error, uint16_t flags)
{
	struct forged f;

	forged_begin_bare(&f, NLMSG_DONE, NLM_F_MULTI | flags);
	f.head.nlmsg_seq = SEQ;
	forged_bytes(&f, &error, sizeof(error));
	append(buf, used, &f);
}

static int feed(struct taken *t, const char *buf, size_t used, bool *ret_more)
{
	static char text[REPLY_TEXT];
	struct answer a = { .family = FORGED_FAMILY, .seq = SEQ, .text = text, .take = take, .data = t };
	int r = answer_datagram(&a, buf, used);

	*ret_more = r == 0;
	if (r == 0) {
		char end[64] __attribute__((aligned(8)));
		size_t n = 0;

		append_done(end, &n, 0, 0);
		r = answer_datagram(&a, end, n);
	}
	return r;
}

static void test_answers(void **state)
{
	char buf[FORGED_SIZE] __attribute__((aligned(8)));
	struct taken t = { 0 };
	size_t used = 0;
	bool more;

	(void)state;
	/* Late ones of another request, and of another family, are none of it. */
	append_proc(buf, &used, FORGED_FAMILY, 0, SEQ);
	append_proc(buf, &used, FORGED_FAMILY, NLM_F_DUMP_INTR, SEQ - 1);
	append_proc(buf, &used, FORGED_FAMILY + 1, 0, SEQ);
	append_proc(buf, &used, FORGED_FAMILY, 0, SEQ);
	assert_int_equal(feed(&t, buf, used, &more), 1);
	assert_true(more && t.n == 2);
	append_done(buf, &used, -EPERM, 0);
	assert_int_equal(feed(&t, buf, used, &more), -EPERM);
	assert_false(more);

	/* Of several moments: read to its end, then again. In any message, the last one too. */
	used = 0;
	t = (struct taken){ 0 };
	append_proc(buf, &used, FORGED_FAMILY, NLM_F_DUMP_INTR, SEQ);
	append_proc(buf, &used, FORGED_FAMILY, 0, SEQ);
	assert_int_equal(feed(&t, buf, used, &more), -EAGAIN);
	assert_true(more && t.n == 2);
	used = 0;
	append_done(buf, &used, 0, NLM_F_DUMP_INTR);
	assert_int_equal(feed(&t, buf, used, &more), -EAGAIN);

	/* We fail: no more is taken, and all of it is read. */
	used = 0;
	t = (struct taken){ .fail_at = 2, .error = -E2BIG };
	for (int i = 0; i < 5; i++)
		append_proc(buf, &used, FORGED_FAMILY, 0, SEQ);
	assert_int_equal(feed(&t, buf, used, &more), -E2BIG);
	assert_true(more && t.n == 2);
}

static void test_broken_answers(void **state)
{
	char buf[FORGED_SIZE] __attribute__((aligned(8)));
	struct taken t = { 0 };
	struct forged f;
	size_t used = 0;
	bool more;

	(void)state;
	forged_begin(&f, FORGED_FAMILY, NLM_F_MULTI, GET);
	f.head.nlmsg_seq = SEQ;
	append(buf, &used, &f);
	append_proc(buf, &used, FORGED_FAMILY, 0, SEQ);
	assert_int_equal(feed(&t, buf, used, &more), -EBADMSG);
	assert_true(more && t.n == 0);

	/* Something too short to be a message, and one that goes on beyond the datagram. */
	used = 0;
	append_proc(buf, &used, FORGED_FAMILY, 0, SEQ);
	memset(buf + used, 0, 8);
	assert_int_equal(feed(&t, buf, used + 8, &more), -EBADMSG);
	assert_false(more);
	assert_int_equal(feed(&t, buf, used - 4, &more), -EBADMSG);
	assert_int_equal(feed(&t, buf, 0, &more), 1);
	assert_true(more);
}

/* Attributes one behind the other, as the module reads them */
static void test_age_message(void **state)
{
	const struct netlink n = { .family = FORGED_FAMILY };
	struct source_range ranges[NETLINK_RANGES];
	struct nl_msg *msg = NULL;
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i < NETLINK_RANGES; i++)
		ranges[i] = (struct source_range){ i << 21, (i << 21) + 4096 };
	assert_int_equal(netlink_age_message(&n, 77, 5, ranges, NETLINK_RANGES, &msg), 0);
	const struct nlmsghdr *h = nlmsg_hdr(msg);
	const struct genlmsghdr *g = nlmsg_data(h);
	assert_int_equal(h->nlmsg_type, FORGED_FAMILY);
	assert_true(h->nlmsg_flags & NLM_F_ACK);
	assert_int_equal(g->cmd, RECLAIM_CMD_AGE_RESET);
	const struct nlattr *a = genlmsg_attrdata(g, 0);
	int left = genlmsg_attrlen(g, 0);
	assert_int_equal(nla_type(a), RECLAIM_A_PID);
	assert_int_equal(nla_get_u32(a), 77);
	a = nla_next(a, &left);
	assert_int_equal(nla_type(a), RECLAIM_A_START_TIME);
	assert_int_equal(nla_get_u64(a), 5);
	for (a = nla_next(a, &left); nla_ok(a, left); a = nla_next(a, &left), seen++) {
		const struct nlattr *start = nla_data(a);
		int inside = nla_len(a);
		const struct nlattr *end = nla_next(start, &inside);

		assert_int_equal(nla_type(a), RECLAIM_A_RANGE);
		assert_true(a->nla_type & NLA_F_NESTED);
		assert_int_equal(nla_type(start), RECLAIM_A_RANGE_START);
		assert_int_equal(nla_get_u64(start), ranges[seen].start);
		assert_int_equal(nla_type(end), RECLAIM_A_RANGE_END);
		assert_int_equal(nla_get_u64(end), ranges[seen].end);
	}
	assert_int_equal(seen, NETLINK_RANGES);
	assert_int_equal(left, 0);
	netlink_message_freep(&msg);
}

/* Without a module nobody keeps ages. What makes no sense is refused all the same. */
static void test_no_ages(void **state)
{
	struct source s = { .root = -1, .wanted = SOURCE_PROCFS };
	const struct source_range good = { 4096, 8192 }, empty = { 4096, 4096 };

	(void)state;
	assert_int_equal(source_reset_ages(&s, 77, 5, NULL, 0), 0);
	assert_int_equal(source_reset_ages(&s, 77, 5, &good, 1), 0);
	assert_int_equal(source_reset_ages(&s, 77, 5, &empty, 1), -ERANGE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_broken_answers),
		cmocka_unit_test(test_errors_of_libnl),
		cmocka_unit_test(test_age_message),
		cmocka_unit_test(test_no_ages),
		cmocka_unit_test(test_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
