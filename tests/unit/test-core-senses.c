// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who tells the daemon of processes: the module that comes and goes, or /proc. The ways to both are fakes, defined
 * here, so that the real ones aren't linked.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "core/senses.h"

#define START_TIME 77
#define PID 4321

/* ---- the world as the fakes show it */

static struct {
	bool module; /* it answers */
	int open_error, list_error, listen_error, reset_error;
	int opened, closed, lists, regions, listening, listened; /* how often, how many */
	struct source_range reset; /* the last that was told */
	int events; /* to come */
	int resync_at, fail_at; /* with which of them, counted down */
	int readable; /* eventfd */
	/* what our listener heard */
	int bloated, resyncs;
} world;

static struct netlink *const some = (struct netlink *)&world;

int source_open(int root, enum source_kind wanted, struct source *ret, char *why, size_t why_size)
{
	if (world.open_error) {
		text_format(why, why_size, "it can't be opened");
		return world.open_error;
	}
	world.opened++;
	*ret = (struct source){ .root = root, .wanted = wanted };
	ret->module = world.module && wanted != SOURCE_PROCFS ? some : NULL;
	return 0;
}

void source_close(struct source *s)
{
	world.closed++;
	s->module = NULL;
}

bool source_is_module(const struct source *s)
{
	return s->module != NULL;
}

const char *source_words(const struct source *s)
{
	return s->module ? "its own words" : "";
}

/* The real one takes /proc from then on, when it may, and the module doesn't answer. */
int source_list(struct source *s, const struct proc_filter *filter, enum proc_depth depth, struct proc_list *ret)
{
	assert_int_equal(depth, PROC_FIGURES);
	assert_non_null(filter);
	world.lists++;
	if (s->module && !world.module && s->wanted == SOURCE_AUTO)
		s->module = NULL;
	if (world.list_error)
		return world.list_error;
	*ret = (struct proc_list){ 0 };
	return 0;
}

int source_proc(struct source *s, pid_t pid, enum proc_depth depth, struct proc *ret)
{
	(void)s;
	(void)pid;
	(void)depth;
	(void)ret;
	return -ENOSYS;
}

int source_regions(struct source *s, pid_t pid, size_t max_regions, struct region_list *ret)
{
	assert_non_null(s->module);
	assert_int_equal(pid, PID);
	assert_true(max_regions >= 65530);
	world.regions++;
	*ret = (struct region_list){ 0 };
	return 0;
}

int source_reset_ages(struct source *s, pid_t pid, uint64_t start_time, const struct source_range *ranges, size_t n)
{
	(void)s;
	assert_int_equal(pid, PID);
	assert_int_equal(start_time, START_TIME);
	assert_int_equal(n, 1);
	world.reset = ranges[0];
	return world.reset_error;
}

int bloat_open(struct bloat **ret)
{
	if (world.listen_error)
		return world.listen_error;
	world.listened++;
	world.listening++;
	*ret = (struct bloat *)&world;
	return 0;
}

void bloat_close(struct bloat **b)
{
	world.listening -= *b != NULL;
	*b = NULL;
}

int bloat_fd(const struct bloat *b)
{
	assert_non_null(b);
	return world.readable;
}

int bloat_next(struct bloat *b, int timeout_ms, struct bloat_event *ret, bool *ret_resync)
{
	uint64_t n;

	assert_non_null(b);
	assert_int_equal(timeout_ms, 0);
	if (world.fail_at && !--world.fail_at)
		return -ENOBUFS;
	*ret_resync = world.resync_at && !--world.resync_at;
	if (!world.events) {
		(void)!read(world.readable, &n, sizeof(n));
		return 0;
	}
	world.events--;
	*ret = (struct bloat_event){ .reason = BLOAT_ANON, .proc.pid = PID };
	/* Whoever hears it gives it back. */
	ret->proc.exe = strdup("/bin/some");
	assert_non_null(ret->proc.exe);
	return 1;
}

static void announce(int events)
{
	const uint64_t one = 1;

	world.events = events;
	assert_int_equal(write(world.readable, &one, sizeof(one)), sizeof(one));
}

/* ---- who listens */

static void on_bloated(void *arg, const struct bloat_event *e)
{
	assert_ptr_equal(arg, &world);
	assert_int_equal(e->proc.pid, PID);
	assert_string_equal(e->proc.exe, "/bin/some");
	world.bloated++;
}

static void on_resync(void *arg)
{
	assert_ptr_equal(arg, &world);
	world.resyncs++;
}

static const struct senses_listener listener = { on_bloated, on_resync, &world };
static const struct proc_filter all;
static struct senses senses;
static sd_event *event;
static char why[128];

static void begin(enum source_kind wanted, bool module)
{
	world.module = module;
	senses_init(&senses, event, -1, wanted, &listener);
	why[0] = 0;
}

static int list(void)
{
	struct proc_list l;

	return senses_list(&senses, &all, &l, why, sizeof(why));
}

static int ages(void)
{
	struct region_list l;

	return senses_ages(&senses, PID, &l);
}

/* Whether there was anything to do. */
static bool turn(void)
{
	int r = sd_event_run(event, 0);

	assert_true(r >= 0);
	return r > 0;
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	world.readable = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return world.readable < 0 || sd_event_new(&event) < 0;
}

static int teardown(void **state)
{
	(void)state;
	senses_close(&senses);
	/* Nothing is open, whatever happened. */
	const bool left = world.opened != world.closed || world.listening;

	event = sd_event_unref(event);
	close(world.readable);
	return left;
}

/* ---- the tests */

static void test_procfs(void **state)
{
	(void)state;
	begin(SOURCE_AUTO, false);
	assert_string_equal(senses_name(&senses), "none");
	assert_int_equal(ages(), -ENOENT);
	senses_touched(&senses, PID, START_TIME, 1, 2);
	assert_int_equal(world.reset.end, 0);
	assert_int_equal(list(), 0);
	assert_string_equal(senses_name(&senses), "procfs");
	assert_int_equal(ages(), -ENOENT);
	assert_int_equal(world.regions, 0);
	assert_int_equal(world.listened, 0);
	assert_int_equal(senses.idle_age_us, 0);
	/* It stays open as long as no module has come. */
	assert_int_equal(list(), 0);
	assert_int_equal(world.opened, access("/sys/kernel/reclaim", F_OK) ? 1 : 2);
	assert_int_equal(world.lists, 2);
}

static void test_module(void **state)
{
	(void)state;
	begin(SOURCE_NETLINK, true);
	assert_int_equal(list(), 0);
	assert_string_equal(senses_name(&senses), "netlink");
	assert_int_equal(ages(), 0);
	assert_int_equal(world.regions, 1);
	senses_touched(&senses, PID, START_TIME, 4096, 8192);
	assert_int_equal(world.reset.start, 4096);
	assert_int_equal(world.reset.end, 8192);
	/* That can't be told is no failure. */
	world.reset_error = -ESRCH;
	senses_touched(&senses, PID, START_TIME, 4096, 8192);
	world.reset_error = -EPERM;
	senses_touched(&senses, PID, START_TIME, 4096, 8192);
	/* One ear is enough. */
	assert_int_equal(list(), 0);
	assert_int_equal(world.opened, 1);
	assert_int_equal(world.listened, 1);
}

/* However many there are, others get their turn; one that was missed is made up for by a list, once. */
static void test_events(void **state)
{
	(void)state;
	begin(SOURCE_AUTO, true);
	assert_int_equal(list(), 0);
	assert_false(turn());
	announce(100);
	world.resync_at = 70;
	assert_true(turn());
	assert_int_equal(world.bloated, 64);
	assert_int_equal(world.resyncs, 0);
	assert_true(turn());
	assert_int_equal(world.bloated, 100);
	assert_int_equal(world.resyncs, 1);
	assert_false(turn());
	/* Lost at the very end, with no event. */
	announce(0);
	world.resync_at = 1;
	assert_true(turn());
	assert_int_equal(world.bloated, 100);
	assert_int_equal(world.resyncs, 2);
	assert_int_equal(world.listening, 1);
}

/* An ear that is of no use any more is given up, all is seen again, and the next list opens another. */
static void test_deaf(void **state)
{
	(void)state;
	begin(SOURCE_AUTO, true);
	assert_int_equal(list(), 0);
	announce(10);
	world.fail_at = 3;
	assert_true(turn());
	assert_int_equal(world.bloated, 2);
	assert_int_equal(world.resyncs, 1);
	assert_int_equal(world.listening, 0);
	assert_false(turn());
	world.listen_error = -EPERM;
	assert_int_equal(list(), 0);
	assert_int_equal(world.listening, 0);
	world.listen_error = 0;
	assert_int_equal(list(), 0);
	assert_int_equal(world.listening, 1);
	assert_true(turn());
	assert_int_equal(world.bloated, 10);
}

/* It is unloaded: /proc from then on, and nobody who is listened to. */
static void test_module_goes(void **state)
{
	(void)state;
	begin(SOURCE_AUTO, true);
	assert_int_equal(list(), 0);
	assert_int_equal(world.listening, 1);
	world.module = false;
	announce(1);
	assert_int_equal(list(), 0);
	assert_string_equal(senses_name(&senses), "procfs");
	assert_int_equal(world.listening, 0);
	assert_false(turn());
	assert_int_equal(world.bloated, 0);
	assert_int_equal(ages(), -ENOENT);
}

static void test_failures(void **state)
{
	(void)state;
	begin(SOURCE_NETLINK, true);
	world.open_error = -ENOENT;
	assert_int_equal(list(), -ENOENT);
	assert_string_equal(why, "it can't be opened");
	assert_string_equal(senses_name(&senses), "none");
	assert_int_equal(world.lists, 0);
	/* The next one begins anew. */
	world.open_error = 0;
	world.list_error = -EIO;
	assert_int_equal(list(), -EIO);
	assert_string_equal(why, "processes can't be listed: its own words");
	assert_string_equal(senses_name(&senses), "none");
	assert_int_equal(ages(), -ENOENT);
	world.list_error = 0;
	assert_int_equal(list(), 0);
	assert_string_equal(senses_name(&senses), "netlink");
	assert_int_equal(world.opened, 2);
	senses_close(&senses);
	assert_int_equal(world.listening, 0);

	begin(SOURCE_PROCFS, true);
	world.list_error = -EMFILE;
	assert_int_equal(list(), -EMFILE);
	assert_non_null(strstr(why, strerror(EMFILE)));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_procfs), TEST(test_module),	   TEST(test_events),
		TEST(test_deaf),   TEST(test_module_goes), TEST(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
