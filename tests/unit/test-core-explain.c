// SPDX-License-Identifier: GPL-2.0-or-later
/* Facts from a worker that does it right and from many that don't: this program is its own worker. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "core/worker-client.h"
#include "reclaim/explain-check.h"

#define START_TIME 4711
#define NARENAS 300
#define NRANGES 1000

static char self[4096];

/* ---------------------------------------------------------------- the workers */

static struct worker_request request;
static struct explain_head head;
static struct explain_part part;

static void say(const void *buf, size_t size)
{
	if (send(WORKER_FD, buf, size, MSG_NOSIGNAL) != (ssize_t)size)
		_exit(0); /* given up by the client, as it should be */
}

static void say_arenas(uint32_t first, uint32_t n)
{
	part = (struct explain_part){ .magic = EXPLAIN_MAGIC, .kind = EXPLAIN_ARENAS, .first = first, .n = n };
	for (uint32_t i = 0; i < n; i++)
		part.arenas[i] = (struct explain_arena){ .address = first + i + 1, .system = 7 };
	say(&part, explain_part_size(EXPLAIN_ARENAS, n));
}

static void make_ranges(uint32_t first, uint32_t n)
{
	part = (struct explain_part){ .magic = EXPLAIN_MAGIC, .kind = EXPLAIN_RANGES, .first = first, .n = n };
	for (uint32_t i = 0; i < n; i++)
		part.ranges[i] = (struct explain_range){ .lo = 4096 * (first + i + 1),
							 .hi = 4096 * (first + i + 2),
							 .resident = 4096,
							 .owner = EXPLAIN_OWNER_PYMALLOC };
}

static void say_ranges(uint32_t first, uint32_t n)
{
	make_ranges(first, n);
	say(&part, explain_part_size(EXPLAIN_RANGES, n));
}

static void say_head(void)
{
	say(&head, sizeof(head));
}

static void say_all_arenas(void)
{
	say_head();
	for (uint32_t i = 0; i < NARENAS; i += EXPLAIN_PART_ARENAS)
		say_arenas(i, MIN(NARENAS - i, EXPLAIN_PART_ARENAS));
}

static void well(void)
{
	say_all_arenas();
	for (uint32_t i = 0; i < NRANGES; i += 400)
		say_ranges(i, MIN(NRANGES - i, 400));
}

static void no_parts(void)
{
	head.narenas = head.nranges = 0;
	say_head();
}

static void refused(void)
{
	head.outcome = WORKER_REFUSED;
	head.narenas = head.nranges = 0;
	memset(head.reason, 'r', sizeof(head.reason)); /* endless */
	memset(head.glibc.why, 'w', sizeof(head.glibc.why));
	say_head();
}

static void short_head(void)
{
	say(&head, sizeof(head) - 1);
}

static void long_head(void)
{
	static char buf[sizeof(head) + 1];

	memcpy(buf, &head, sizeof(head));
	say(buf, sizeof(buf));
}

#define WRONG(name, what)      \
	static void name(void) \
	{                      \
		head.what;     \
		well();        \
	}
WRONG(magic, magic++)
WRONG(version, version++)
WRONG(other_pid, pid++)
WRONG(other_start, start_time++)
WRONG(outcome_low, outcome = WORKER_RECLAIMED)
WRONG(outcome_high, outcome = WORKER_WOULD)
WRONG(allocator, allocator = EXPLAIN_NALLOCATORS)
WRONG(also, also = UINT32_MAX)
WRONG(runtime, runtime = EXPLAIN_NRUNTIMES)
WRONG(layer, glibc.layer = EXPLAIN_NLAYERS)
WRONG(layer_python, python.layer = EXPLAIN_NLAYERS)
WRONG(many_remedies, nremedies = EXPLAIN_REMEDIES_MAX + 1)
WRONG(no_remedy, nremedies = 2)
WRONG(many_arenas, narenas = EXPLAIN_ARENAS_MAX + 1)
WRONG(many_ranges, nranges = EXPLAIN_RANGES_MAX + 1)
WRONG(arenas_total, arenas_total = NARENAS - 1)

static void same_remedy(void)
{
	head.nremedies = 2;
	head.remedies[1] = head.remedies[0];
	well();
}

static void two_remedies(void)
{
	head.remedies[0].remedy |= WORKER_REMEDY_PURGE;
	well();
}

static void maybe(void)
{
	head.remedies[0].possible = 2;
	well();
}

static void too_few(void)
{
	say_all_arenas();
}

static void ranges_first(void)
{
	say_head();
	say_ranges(0, 10);
}

static void same_twice(void)
{
	say_head();
	say_arenas(0, 100);
	say_arenas(0, 100);
}

static void beyond(void)
{
	say_head();
	say_arenas(0, 128);
	say_arenas(128, 128);
	say_arenas(256, NARENAS - 256 + 1);
}

static void empty_part(void)
{
	say_head();
	part = (struct explain_part){ .magic = EXPLAIN_MAGIC, .kind = EXPLAIN_ARENAS };
	say(&part, offsetof(struct explain_part, arenas));
}

static void tiny_part(void)
{
	say_head();
	say("x", 1);
}

static void lying_part(void)
{
	say_head();
	part = (struct explain_part){ .magic = EXPLAIN_MAGIC, .kind = EXPLAIN_ARENAS, .n = 128 };
	say(&part, explain_part_size(EXPLAIN_ARENAS, 127));
}

static void huge_part(void)
{
	static char buf[sizeof(part) + 64];

	say_head();
	part = (struct explain_part){ .magic = EXPLAIN_MAGIC, .kind = EXPLAIN_ARENAS, .n = UINT32_MAX };
	memcpy(buf, &part, sizeof(part));
	say(buf, sizeof(buf));
}

static void unsorted(void)
{
	say_all_arenas();
	make_ranges(0, 10);
	part.ranges[5].lo = 1;
	say(&part, explain_part_size(EXPLAIN_RANGES, 10));
}

static void turned(void)
{
	say_all_arenas();
	make_ranges(0, 10);
	part.ranges[9].hi = part.ranges[9].lo;
	say(&part, explain_part_size(EXPLAIN_RANGES, 10));
}

static void nobodys(void)
{
	say_all_arenas();
	make_ranges(0, 10);
	part.ranges[0].owner = EXPLAIN_NOWNERS;
	say(&part, explain_part_size(EXPLAIN_RANGES, 10));
}

static void silent(void)
{
	_exit(7);
}

static void die(void)
{
	const struct rlimit none = { 0, 0 };

	say_head();
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGSEGV, SIG_DFL);
	(void)raise(SIGSEGV);
}

/* The answer of another operation must not be taken for facts. */
static void result(void)
{
	static struct worker_result res;

	res = (struct worker_result){ .magic = WORKER_MAGIC, .version = WORKER_VERSION, .pid = request.pid };
	say(&res, sizeof(res));
}

static void hang(void)
{
	say_head();
	for (;;)
		pause();
}

static const struct {
	const char *name;
	void (*run)(void);
	uint32_t outcome;
	const char *reason;
} fakes[] = {
	{ "well", well, WORKER_NOTHING, NULL },
	{ "no-parts", no_parts, WORKER_NOTHING, NULL },
	{ "refused", refused, WORKER_REFUSED, "rrrrr" },
	{ "short", short_head, WORKER_FAILED, "wrong length" },
	{ "long", long_head, WORKER_FAILED, "wrong length" },
	{ "result", result, WORKER_FAILED, "wrong length" },
	{ "magic", magic, WORKER_FAILED, "another version" },
	{ "version", version, WORKER_FAILED, "another version" },
	{ "pid", other_pid, WORKER_FAILED, "another process" },
	{ "start", other_start, WORKER_FAILED, "earlier or later" },
	{ "outcome-low", outcome_low, WORKER_FAILED, "unknown outcome" },
	{ "outcome-high", outcome_high, WORKER_FAILED, "unknown outcome" },
	{ "allocator", allocator, WORKER_FAILED, "unknown kind" },
	{ "also", also, WORKER_FAILED, "unknown kind" },
	{ "runtime", runtime, WORKER_FAILED, "unknown kind" },
	{ "layer", layer, WORKER_FAILED, "unknown kind" },
	{ "layer-python", layer_python, WORKER_FAILED, "unknown kind" },
	{ "many-remedies", many_remedies, WORKER_FAILED, "unknown remedies" },
	{ "no-remedy", no_remedy, WORKER_FAILED, "unknown remedies" },
	{ "same-remedy", same_remedy, WORKER_FAILED, "unknown remedies" },
	{ "two-remedies", two_remedies, WORKER_FAILED, "unknown remedies" },
	{ "maybe", maybe, WORKER_FAILED, "unknown remedies" },
	{ "many-arenas", many_arenas, WORKER_FAILED, "too many" },
	{ "many-ranges", many_ranges, WORKER_FAILED, "too many" },
	{ "arenas-total", arenas_total, WORKER_FAILED, "too many" },
	{ "too-few", too_few, WORKER_FAILED, "status 0" },
	{ "ranges-first", ranges_first, WORKER_FAILED, "not announced" },
	{ "same-twice", same_twice, WORKER_FAILED, "not announced" },
	{ "beyond", beyond, WORKER_FAILED, "not announced" },
	{ "empty-part", empty_part, WORKER_FAILED, "not announced" },
	{ "tiny-part", tiny_part, WORKER_FAILED, "not announced" },
	{ "lying-part", lying_part, WORKER_FAILED, "not announced" },
	{ "huge-part", huge_part, WORKER_FAILED, "not announced" },
	{ "unsorted", unsorted, WORKER_FAILED, "make no sense" },
	{ "turned", turned, WORKER_FAILED, "make no sense" },
	{ "nobodys", nobodys, WORKER_FAILED, "make no sense" },
	{ "silent", silent, WORKER_FAILED, "status 7" },
	{ "die", die, WORKER_FAILED, "signal 11" },
	{ "hang", hang, WORKER_TIMEOUT, "no answer in time" },
};

static int fake_worker(const char *name)
{
	if (recv(WORKER_FD, &request, sizeof(request), MSG_TRUNC) != (ssize_t)sizeof(request))
		return 97;
	head = (struct explain_head){
		.magic = EXPLAIN_MAGIC,
		.version = EXPLAIN_VERSION,
		.pid = request.pid,
		.outcome = WORKER_NOTHING,
		.start_time = request.start_time,
		.allocator = EXPLAIN_ALLOC_GLIBC,
		.nremedies = 1,
		.remedies = { { .remedy = WORKER_REMEDY_TRIM, .possible = 1 } },
		.narenas = NARENAS,
		.nranges = NRANGES,
		.arenas_total = NARENAS,
	};
	for (size_t i = 0; i < ARRAY_SIZE(fakes); i++) {
		if (strcmp(fakes[i].name, name))
			continue;
		fakes[i].run();
		return 0;
	}
	return 96;
}

/* ---------------------------------------------------------------- the tests */

static int run_fake(const char *name, uint64_t timeout_us, int cancel_fd, struct explain_answer *ret)
{
	const struct worker_request req = {
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = 12345,
		.start_time = START_TIME,
		.op = WORKER_OP_EXPLAIN,
		.timeout_us = timeout_us,
	};
	int r;

	assert_int_equal(setenv("FAKE_WORKER", name, 1), 0);
	r = worker_client_explain(self, &req, cancel_fd, ret);
	unsetenv("FAKE_WORKER");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return r;
}

static void check_facts(const struct explain_answer *a)
{
	for (uint32_t i = 0; i < a->head.narenas; i++)
		assert_int_equal(a->arenas[i].address, i + 1);
	for (uint32_t i = 0; i < a->head.nranges; i++)
		assert_int_equal(a->ranges[i].lo, 4096 * (i + 1));
}

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fakes); i++) {
		struct explain_answer a;

		assert_int_equal(run_fake(fakes[i].name, fakes[i].outcome == WORKER_TIMEOUT ? 100000 : 5000000, -1, &a),
				 0);
		if (a.head.outcome != fakes[i].outcome ||
		    (fakes[i].reason ? !strstr(a.head.reason, fakes[i].reason) : *a.head.reason))
			fail_msg("%s: outcome %u, reason '%s'", fakes[i].name, a.head.outcome, a.head.reason);
		assert_int_equal(a.head.pid, 12345);
		assert_true(memchr(a.head.reason, 0, sizeof(a.head.reason)) != NULL);
		assert_true(memchr(a.head.glibc.why, 0, sizeof(a.head.glibc.why)) != NULL);
		if (a.head.outcome == WORKER_NOTHING)
			check_facts(&a);
		else
			assert_int_equal(a.head.narenas + a.head.nranges, 0);
		explain_answer_done(&a);
	}
}

static void test_cancel(void **state)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct explain_answer a;
	uint64_t start = clock_ns();

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(run_fake("hang", 20000000, fd, &a), 0);
	assert_int_equal(a.head.outcome, WORKER_FAILED);
	assert_non_null(strstr(a.head.reason, "interrupted"));
	assert_true(clock_ns() - start < 10000000000ull);
	explain_answer_done(&a);
	close(fd);
}

static void test_refused_requests(void **state)
{
	struct worker_request req = { .magic = WORKER_MAGIC, .version = WORKER_VERSION, .pid = 1, .timeout_us = 1000 };
	struct explain_answer a;

	(void)state;
	/* Not one that acts. */
	assert_int_equal(worker_client_explain(self, &req, -1, &a), -EINVAL);
	req.op = WORKER_OP_GLANCE;
	assert_int_equal(worker_client_explain("/nonexistent/worker", &req, -1, &a), -ENOENT);
	req.timeout_us = 0;
	assert_int_equal(worker_client_explain(self, &req, -1, &a), -EINVAL);
}

int main(void)
{
	const char *fake = getenv("FAKE_WORKER");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_refused_requests),
	};

	if (fake)
		return fake_worker(fake);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
