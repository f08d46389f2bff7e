// SPDX-License-Identifier: GPL-2.0-or-later
/* Facts as they arrive, message by message, from somebody who may say anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "core/intake.h"
#include "reclaim/explain-check.h"

#define PID 4321
#define NARENAS (EXPLAIN_PART_ARENAS + 2)

static const struct worker_request request = { .pid = PID, .start_time = 99 };
static struct explain_head head;
static struct explain_part part;

/* One that waits for what the other end says. */
struct talk {
	struct intake in;
	int ours, theirs;
};

static void begin(struct talk *t, bool head_only)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	*t = (struct talk){
		.in = { .req = &request, .head_only = head_only },
		.ours = pair[0],
		.theirs = pair[1],
	};
	head = (struct explain_head){
		.magic = EXPLAIN_MAGIC,
		.version = EXPLAIN_VERSION,
		.pid = PID,
		.outcome = WORKER_NOTHING,
		.start_time = 99,
		.narenas = NARENAS,
		.nranges = 1,
		.arenas_total = NARENAS,
	};
}

static void end(struct talk *t)
{
	intake_done(&t->in);
	closep(&t->ours);
	closep(&t->theirs);
}

static void say(const struct talk *t, const void *buf, size_t size)
{
	assert_int_equal(send(t->theirs, buf, size, MSG_NOSIGNAL), size);
}

static void say_arenas(const struct talk *t, uint32_t first, uint32_t n)
{
	part = (struct explain_part){ .magic = EXPLAIN_MAGIC, .kind = EXPLAIN_ARENAS, .first = first, .n = n };
	for (uint32_t i = 0; i < n; i++)
		part.arenas[i].address = first + i + 1;
	say(t, &part, explain_part_size(EXPLAIN_ARENAS, n));
}

static void say_range(const struct talk *t, uint64_t lo, uint64_t hi)
{
	part = (struct explain_part){ .magic = EXPLAIN_MAGIC, .kind = EXPLAIN_RANGES, .n = 1 };
	part.ranges[0] = (struct explain_range){ .lo = lo, .hi = hi, .owner = EXPLAIN_OWNER_PYMALLOC };
	say(t, &part, explain_part_size(EXPLAIN_RANGES, 1));
}

static int hear(struct talk *t, const char **ret_fault)
{
	*ret_fault = NULL;
	return intake_receive(&t->in, t->ours, ret_fault);
}

static void test_all_of_it(void **state)
{
	const char *fault;
	struct talk t;

	(void)state;
	begin(&t, false);
	assert_int_equal(hear(&t, &fault), -EAGAIN);
	say(&t, &head, sizeof(head));
	assert_int_equal(hear(&t, &fault), 0);
	assert_int_equal(hear(&t, &fault), -EAGAIN);
	say_arenas(&t, 0, EXPLAIN_PART_ARENAS);
	say_arenas(&t, EXPLAIN_PART_ARENAS, 2);
	assert_int_equal(hear(&t, &fault), 0);
	assert_int_equal(hear(&t, &fault), 0);
	say_range(&t, 4096, 8192);
	assert_int_equal(hear(&t, &fault), 1);
	assert_null(fault);
	for (uint32_t i = 0; i < NARENAS; i++)
		assert_int_equal(t.in.answer.arenas[i].address, i + 1);
	assert_int_equal(t.in.answer.ranges[0].hi, 8192);
	end(&t);
	/* Also one that has nothing to say any more. */
	intake_done(&t.in);
}

static void test_head_only(void **state)
{
	const char *fault;
	struct talk t;

	(void)state;
	begin(&t, true);
	say(&t, &head, sizeof(head));
	assert_int_equal(hear(&t, &fault), 1);
	assert_null(t.in.answer.arenas);
	assert_int_equal(t.in.answer.head.narenas, NARENAS);
	end(&t);

	begin(&t, false);
	head.narenas = head.nranges = 0;
	say(&t, &head, sizeof(head));
	assert_int_equal(hear(&t, &fault), 1);
	end(&t);
}

static void test_gone(void **state)
{
	const char *fault;
	struct talk t;

	(void)state;
	begin(&t, false);
	closep(&t.theirs);
	t.theirs = -1;
	assert_int_equal(hear(&t, &fault), -EPIPE);
	end(&t);

	/* In the middle; what was said before that is still heard. */
	begin(&t, false);
	say(&t, &head, sizeof(head));
	closep(&t.theirs);
	t.theirs = -1;
	assert_int_equal(hear(&t, &fault), 0);
	assert_int_equal(hear(&t, &fault), -EPIPE);
	assert_null(fault);
	end(&t);
}

static void assert_bad(struct talk *t, const char *why)
{
	const char *fault;

	assert_int_equal(hear(t, &fault), -EBADMSG);
	assert_non_null(fault);
	assert_non_null(strstr(fault, why));
	end(t);
}

static void test_wrong_heads(void **state)
{
	static char longer[sizeof(head) + 1];
	struct talk t;

	(void)state;
	begin(&t, false);
	say(&t, &head, sizeof(head) - 1);
	assert_bad(&t, "length");
	/* Longer than there is room for. */
	begin(&t, false);
	memcpy(longer, &head, sizeof(head));
	say(&t, longer, sizeof(longer));
	assert_bad(&t, "length");
	begin(&t, false);
	head.pid++;
	say(&t, &head, sizeof(head));
	assert_bad(&t, "another process");
	begin(&t, true);
	head.narenas = head.arenas_total = EXPLAIN_ARENAS_MAX + 1;
	say(&t, &head, sizeof(head));
	assert_bad(&t, "too many");
}

static void test_wrong_parts(void **state)
{
	const char *fault;
	struct talk t;

	(void)state;
	/* Ranges before all arenas have come; the same arenas twice; more of them than were announced; backwards. */
	for (int how = 0; how < 4; how++) {
		begin(&t, false);
		say(&t, &head, sizeof(head));
		say_arenas(&t, 0, EXPLAIN_PART_ARENAS);
		assert_int_equal(hear(&t, &fault), 0);
		assert_int_equal(hear(&t, &fault), 0);
		if (how == 0)
			say_range(&t, 4096, 8192);
		else if (how == 1)
			say_arenas(&t, 0, 2);
		else if (how == 2)
			say_arenas(&t, EXPLAIN_PART_ARENAS, 3);
		if (how == 3) {
			say_arenas(&t, EXPLAIN_PART_ARENAS, 2);
			assert_int_equal(hear(&t, &fault), 0);
			say_range(&t, 8192, 4096);
		}
		assert_bad(&t, how == 3 ? "no sense" : "not announced");
	}
	begin(&t, false);
	say(&t, &head, sizeof(head));
	assert_int_equal(hear(&t, &fault), 0);
	say(&t, "x", 1);
	assert_bad(&t, "not announced");
}

static void test_fail(void **state)
{
	struct explain_answer a;
	char reason[2 * EXPLAIN_TEXT_MAX];

	(void)state;
	memset(reason, 'r', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = 0;
	intake_fail(&request, WORKER_TIMEOUT, reason, &a);
	assert_int_equal(a.head.outcome, WORKER_TIMEOUT);
	assert_int_equal(a.head.pid, PID);
	assert_int_equal(a.head.start_time, 99);
	assert_true(strlen(a.head.reason) < EXPLAIN_TEXT_MAX);
	/* What is told on, is told as by a worker. */
	assert_null(explain_head_fault(&a.head, sizeof(a.head), &request));
	explain_answer_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_it),   cmocka_unit_test(test_head_only),	cmocka_unit_test(test_gone),
		cmocka_unit_test(test_wrong_heads), cmocka_unit_test(test_wrong_parts), cmocka_unit_test(test_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
