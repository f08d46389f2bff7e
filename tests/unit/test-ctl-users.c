// SPDX-License-Identifier: GPL-2.0-or-later
/* Names of users where the name service is slow, or never answers: who draws a screen doesn't wait for it. */
#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "ctl/users.h"

#define SLOW 1000 /* from here on they wait until they are let go */
#define NAMELESS 999
#define LONG 998
#define SECOND_US 1000000

static sem_t go;
static atomic_uint asked, answered;

/* Instead of libc's, for all of this program. */
int getpwuid_r(uid_t uid, struct passwd *pw, char *buf, size_t size, struct passwd **ret)
{
	atomic_fetch_add(&asked, 1);
	if (uid >= SLOW)
		while (sem_wait(&go) < 0)
			;
	*ret = NULL;
	if (uid == LONG && size < 5000) {
		atomic_fetch_add(&answered, 1);
		return ERANGE;
	}
	if (uid != NAMELESS) {
		snprintf(buf, size, "user%u", uid);
		*pw = (struct passwd){ .pw_name = buf, .pw_uid = uid };
		*ret = pw;
	}
	atomic_fetch_add(&answered, 1);
	return 0;
}

static uint64_t now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* Asks as a screen does, once in a while, for ten seconds at most. */
static void see(struct users *u, uid_t uid, const char *want)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	const uint64_t until_us = now_us() + 10 * SECOND_US;
	char name[64];

	while (!users_name_soon(u, uid, name, sizeof(name))) {
		assert_string_equal(name, "");
		assert_true(now_us() < until_us);
		(void)nanosleep(&pause, NULL);
	}
	assert_string_equal(name, want);
}

static void test_known_at_once(void **state)
{
	_cleanup_(users_done) struct users u = { 0 };
	char name[64] = "x";

	(void)state;
	users_name(&u, 0, name, sizeof(name));
	assert_string_equal(name, "user0");
	see(&u, 1, "user1");
	see(&u, NAMELESS, "");
	see(&u, LONG, "user998");
	users_name(&u, NAMELESS, name, sizeof(name));
	assert_string_equal(name, "");
	/* Once each, but for the one that is long. */
	assert_int_equal(atomic_load(&asked), 3 + 4);
	see(&u, 1, "user1");
	see(&u, NAMELESS, "");
	assert_int_equal(atomic_load(&asked), 3 + 4);
}

/* Those that hang take no time of ours, nor do they keep others waiting while there is room. */
static void test_never_answers(void **state)
{
	_cleanup_(users_done) struct users u = { 0 };
	const uint64_t began_us = now_us();
	const unsigned int before = atomic_load(&asked);
	char name[64];

	(void)state;
	for (unsigned int i = 0; i < 2000; i++)
		for (uid_t uid = SLOW; uid < SLOW + USERS_ASIDE - 1; uid++)
			assert_false(users_name_soon(&u, uid, name, sizeof(name)));
	see(&u, 5, "user5");
	assert_false(users_name_soon(&u, SLOW + 8, name, sizeof(name)));
	/* No room: not even begun. */
	assert_false(users_name_soon(&u, 6, name, sizeof(name)));
	assert_true(now_us() - began_us < 5 * SECOND_US);
	for (unsigned int i = 0; i < USERS_ASIDE; i++)
		(void)sem_post(&go);
	for (uid_t uid = SLOW; uid < SLOW + USERS_ASIDE - 1; uid++) {
		char want[16];

		snprintf(want, sizeof(want), "user%u", uid);
		see(&u, uid, want);
	}
	see(&u, SLOW + 8, "user1008");
	see(&u, 6, "user6");
	assert_int_equal(atomic_load(&asked) - before, USERS_ASIDE + 2);
}

static void test_left_alone(void **state)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	const unsigned int before = atomic_load(&answered);
	const uint64_t until_us = now_us() + 10 * SECOND_US;
	struct users u = { 0 };
	char name[64];

	(void)state;
	assert_false(users_name_soon(&u, SLOW, name, sizeof(name)));
	users_done(&u);
	(void)sem_post(&go);
	/* What it found is its own to free, which a sanitizer sees. */
	while (atomic_load(&answered) == before) {
		assert_true(now_us() < until_us);
		(void)nanosleep(&pause, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_at_once),
		cmocka_unit_test(test_never_answers),
		cmocka_unit_test(test_left_alone),
	};

	if (sem_init(&go, 0, 0) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
