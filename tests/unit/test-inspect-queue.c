// SPDX-License-Identifier: GPL-2.0-or-later
/* Python's queue of pending calls, 3.13 and later, in memory of our own: found where it is, and nowhere else. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/procfs.h"
#include "inspect/cpython-queue.h"

#define RUNTIME (64u << 10)
#define AT 0xa50 /* in 3.13.0 */
#define MUTATIONS 4000

/* struct _pending_calls, Include/internal/pycore_ceval_state.h of 3.13. */
struct pending {
	uint64_t handler;
	uint8_t mutex, pad[3];
	int32_t waiting, max, max_loop;
	struct {
		uint64_t func, arg;
		int32_t flags, pad;
	} calls[300];
	int32_t first, next;
};

struct fixture {
	struct target target;
	struct cpython py;
	unsigned char *runtime;
};

/* valgrind gives out heap that may be executed: not that. */
static const char no_code[] = "no code";

static struct pending *queue_at(const struct fixture *f, size_t at)
{
	return (struct pending *)(void *)(f->runtime + at);
}

static void put_queue(struct pending *q)
{
	*q = (struct pending){ .max = 32, .waiting = 2, .first = 299, .next = 1 };
	q->calls[299].func = (uint64_t)(uintptr_t)put_queue;
	q->calls[0].func = (uint64_t)(uintptr_t)put_queue;
	q->calls[5].func = (uint64_t)(uintptr_t)strlen; /* one that has been called */
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int root = procfs_open_root("/proc"), dir = procfs_open_pid(root, getpid());

	assert_non_null(f);
	assert_true(dir >= 0);
	f->runtime = aligned_alloc(REMOTE_PAGE, RUNTIME);
	assert_non_null(f->runtime);
	/* What can't be anything of the queue's. */
	memset(f->runtime, 0xa5, RUNTIME);
	f->target = (struct target)TARGET_CLOSED;
	f->target.fds.mem_fd = openat(dir, "mem", O_RDONLY | O_CLOEXEC);
	f->target.fds.pagemap_fd = openat(dir, "pagemap", O_RDONLY | O_CLOEXEC);
	assert_true(f->target.fds.mem_fd >= 0 && f->target.fds.pagemap_fd >= 0);
	assert_int_equal(maps_read(dir, 10000, &f->target.maps), 0);
	remote_from_fds(&f->target.fds, UINT64_MAX, UINT64_MAX, &f->target.mem);
	f->py.version = 0x030d00f0;
	f->py.runtime = (uint64_t)(uintptr_t)f->runtime;
	close(dir);
	close(root);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	target_close(&f->target);
	free(f->runtime);
	free(f);
	return 0;
}

static void finds_it(void **state)
{
	struct fixture *f = *state;
	struct cpython_queue q;

	_Static_assert(sizeof(struct pending) == 24 + 300 * 24 + 8, "as laid out by CPython");
	assert_int_equal(cpython_queue_find(&f->target, &f->py, &q), -EBADMSG);
	put_queue(queue_at(f, AT));
	assert_int_equal(cpython_queue_find(&f->target, &f->py, &q), 0);
	assert_true(q.mutex);
	assert_int_equal(q.lock, f->py.runtime + AT + 8);
	assert_int_equal(q.calls, f->py.runtime + AT + 24);
	assert_int_equal(q.stride, 24);
	assert_int_equal(q.ncalls, 300);
	/* Two of them: which one is it? */
	put_queue(queue_at(f, AT + sizeof(struct pending)));
	assert_int_equal(cpython_queue_find(&f->target, &f->py, &q), -EBADMSG);
}

static void refuses_what_does_not_fit(void **state)
{
	struct fixture *f = *state;
	struct pending *p = queue_at(f, AT);
	struct cpython_queue q;

#define refused(change)                                                                        \
	do {                                                                                   \
		put_queue(p);                                                                  \
		change;                                                                        \
		assert_int_equal(cpython_queue_find(&f->target, &f->py, &q), -EBADMSG);        \
	} while (0)
	refused(p->max = 31);
	refused(p->max_loop = 1);
	refused(p->mutex = 4);
	refused(p->waiting = 33);
	refused(p->waiting = -1);
	refused(p->first = 300);
	refused(p->next = -1);
	refused(p->next = 60); /* 61 wait, 32 may */
	refused(p->handler = 1);
	refused(p->handler = 1ull << 47);
	refused(p->calls[299].func = (uint64_t)(uintptr_t)no_code);
	refused(p->calls[150].func = 1);
#undef refused
	put_queue(p);
	assert_int_equal(cpython_queue_find(&f->target, &f->py, &q), 0);
}

static void knows_its_versions(void **state)
{
	struct fixture *f = *state;
	struct cpython_queue q;

	put_queue(queue_at(f, AT));
	f->py.version = 0x030700f0;
	assert_int_equal(cpython_queue_find(&f->target, &f->py, &q), -ENOTSUP);
	f->py.version = 0x030e00f0;
	assert_int_equal(cpython_queue_find(&f->target, &f->py, &q), 0);
	/* Only so far from its begin. */
	memset(f->runtime, 0xa5, RUNTIME);
	put_queue(queue_at(f, (16u << 10) - 8));
	assert_int_equal(cpython_queue_find(&f->target, &f->py, &q), 0);
	memset(f->runtime, 0xa5, RUNTIME);
	put_queue(queue_at(f, 16u << 10));
	assert_int_equal(cpython_queue_find(&f->target, &f->py, &q), -EBADMSG);
	/* Memory that isn't there. */
	f->py.runtime = 4096;
	assert_true(cpython_queue_find(&f->target, &f->py, &q) < 0);
	f->py.runtime = UINT64_MAX - 4096;
	assert_int_equal(cpython_queue_find(&f->target, &f->py, &q), -EFAULT);
}

/* Whatever stands there: an answer, and one that lies inside. */
static void survives_mutations(void **state)
{
	struct fixture *f = *state;
	uint64_t random = 88172645463325252ull;
	unsigned int found = 0;

	put_queue(queue_at(f, AT));
	for (int i = 0; i < MUTATIONS; i++) {
		unsigned char *at, was;
		struct cpython_queue q;
		int r;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		at = (unsigned char *)queue_at(f, AT) + random % sizeof(struct pending);
		was = *at;
		*at = (unsigned char)(random >> 40);
		r = cpython_queue_find(&f->target, &f->py, &q);
		assert_true(r == 0 || r == -EBADMSG);
		found += r == 0;
		assert_true(r < 0 || (q.lock == f->py.runtime + AT + 8 && q.ncalls == 300));
		*at = was;
	}
	/* Most of it is the arguments of calls, and of those any value is right. */
	assert_in_range(found, MUTATIONS / 3, MUTATIONS * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds_it, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_what_does_not_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(knows_its_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_mutations, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
