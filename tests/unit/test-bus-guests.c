// SPDX-License-Identifier: GPL-2.0-or-later
/* Guests of the private socket who misbehave, vanish or want too much; and what each of them hears. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/clock.h"
#include "bus-world.h"
#include "reclaim/bus.h"

#define TIMEOUT_US 5000000ull
#define MS 1000000ull

static struct bus_world world;

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);

	(void)error;
	snprintf(userdata, 128, "%s", e ? e->name : "ok");
	return 1;
}

/* Sends without waiting; the name of the error will be in @ret, "ok" for none. */
static void call_async(sd_bus *bus, pid_t pid, char ret[128])
{
	assert_true(sd_bus_call_method_async(bus, NULL, NULL, BUS_PATH, BUS_INTERFACE, "Trim", on_reply, ret, "ia{sv}",
					     pid, 0) >= 0);
	assert_true(sd_bus_flush(bus) >= 0);
}

static void pump(sd_bus *bus, const char *until)
{
	const uint64_t deadline = clock_ns() + 10000 * MS;

	while (!*until && clock_ns() < deadline) {
		int r = sd_bus_process(bus, NULL);

		assert_true(r >= 0);
		if (!r)
			(void)sd_bus_wait(bus, 20000);
	}
}

static const char *trim(sd_bus *bus, pid_t pid)
{
	static char name[128];

	*name = '\0';
	call_async(bus, pid, name);
	pump(bus, name);
	return name;
}

/* ---------------------------------------------------------------- vanishing */

static void test_vanish(void **state)
{
	char ignored[128];
	sd_bus *bus;

	(void)state;
	for (uint32_t i = 1; i <= 20; i++) {
		bus = bus_world_connect(&world, i % 2 ? FAKE_ALICE : 0);
		call_async(bus, FAKE_SLOW, ignored);
		assert_true(bus_world_until(&world.seen->trims, i));
		assert_true(bus_world_until(&world.seen->pending, 1));
		sd_bus_close(bus);
		sd_bus_unref(bus);
		/* Nobody is there for the answer; the next one has one worker again. */
		assert_true(bus_world_until(&world.seen->pending, 0));
	}
	bus = bus_world_connect(&world, FAKE_ALICE);
	assert_string_equal(trim(bus, FAKE_SLOW), "ok");
	assert_int_equal(world.seen->forgotten, 0);
	sd_bus_flush_close_unref(bus);
}

/* Whoever asks and hangs up has still the worker, and not one more. */
static void test_hang_up(void **state)
{
	char ignored[128];
	sd_bus *bus = bus_world_connect(&world, FAKE_ALICE);

	(void)state;
	call_async(bus, FAKE_NEVER, ignored);
	assert_true(bus_world_until(&world.seen->pending, 1));
	sd_bus_close(bus);
	sd_bus_unref(bus);
	bus = bus_world_connect(&world, FAKE_ALICE);
	assert_string_equal(trim(bus, FAKE_ALICES), BUS_E_LIMIT);
	assert_int_equal(world.seen->trims, 1);
	/* When the daemon ends, the manager is told. */
	sd_bus_flush_close_unref(bus);
}

/* ---------------------------------------------------------------- too much */

static bool is_closed(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	return poll(&p, 1, 10000) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

static void test_connections(void **state)
{
	int fds[9];
	sd_bus *bus;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = bus_world_socket(&world, FAKE_ALICE);
	/* The ninth finds the door closed; others do not. */
	assert_true(is_closed(fds[8]));
	bus = bus_world_connect(&world, FAKE_BOB);
	assert_string_equal(trim(bus, FAKE_BOBS), "ok");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	/* What was there before the first of these was asked is seen by the second at the latest. */
	assert_string_equal(trim(bus, FAKE_BOBS), "ok");
	assert_string_equal(trim(bus, FAKE_BOBS), "ok");
	sd_bus_flush_close_unref(bus);
	bus = bus_world_connect(&world, FAKE_ALICE);
	assert_string_equal(trim(bus, FAKE_ALICES), "ok");
	sd_bus_flush_close_unref(bus);
}

static void test_one_worker_each(void **state)
{
	sd_bus *alice = bus_world_connect(&world, FAKE_ALICE), *bob = bus_world_connect(&world, FAKE_BOB);
	sd_bus *root = bus_world_connect(&world, 0);
	char first[128] = "";

	(void)state;
	call_async(alice, FAKE_NEVER, first);
	assert_true(bus_world_until(&world.seen->trims, 1));
	assert_string_equal(trim(alice, FAKE_ALICES), BUS_E_LIMIT);
	assert_string_equal(trim(bob, FAKE_BOBS), "ok");
	assert_string_equal(trim(root, FAKE_ALICES), "ok");
	sd_bus_flush_close_unref(alice);
	sd_bus_flush_close_unref(bob);
	sd_bus_flush_close_unref(root);
}

static void test_pace(void **state)
{
	sd_bus *alice = bus_world_connect(&world, FAKE_ALICE), *root = bus_world_connect(&world, 0);
	const uint64_t began = clock_ns();
	size_t done = 0, refused = 0;
	uint64_t took_s;

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		const char *got = trim(alice, FAKE_ALICES);

		done += !strcmp(got, "ok");
		refused += !strcmp(got, BUS_E_LIMIT);
		assert_string_equal(trim(root, FAKE_ALICES), "ok");
	}
	took_s = (clock_ns() - began) / (1000 * MS);
	assert_int_equal(done + refused, 100);
	/* A burst of 50, then 10 in each second; fewer where we are slow, since our time is paid for tenfold. */
	assert_true(done >= 10 && done <= 50 + 10 * (took_s + 1));
	sd_bus_flush_close_unref(alice);
	sd_bus_flush_close_unref(root);
}

/* ---------------------------------------------------------------- hearing */

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	char *heard = userdata;

	(void)error;
	if (sd_bus_message_is_signal(m, BUS_INTERFACE, NULL))
		snprintf(heard + strlen(heard), 128 - strlen(heard), "%s ", sd_bus_message_get_member(m));
	return 0;
}

static void test_signals(void **state)
{
	static const uid_t uids[] = { 0, FAKE_ALICE, FAKE_BOB };
	char heard[ARRAY_SIZE(uids)][128] = { "", "", "" };
	sd_bus *bus[ARRAY_SIZE(uids)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		bus[i] = bus_world_connect(&world, uids[i]);
		assert_true(sd_bus_add_filter(bus[i], NULL, on_signal, heard[i]) >= 0);
		/* By its answer we are known to be in. */
		assert_string_equal(trim(bus[i], FAKE_GONE), BUS_E_GONE);
	}
	world.seen->announce = FAKE_ALICES;
	assert_true(bus_world_until(&world.seen->announce, 0));
	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		assert_string_equal(trim(bus[i], FAKE_GONE), BUS_E_GONE);
		assert_string_equal(heard[i], uids[i] == FAKE_BOB ? "" : "ProcessBloated Recorded Reclaimed ");
		sd_bus_flush_close_unref(bus[i]);
	}
}

/* Somebody who listens and never reads costs neither memory without end nor the others their signals. */
static void test_deaf(void **state)
{
	int deaf = bus_world_socket(&world, FAKE_ALICE);
	static const char hello[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
	sd_bus *root = bus_world_connect(&world, 0);

	(void)state;
	assert_int_equal(write(deaf, hello, sizeof(hello) - 1), sizeof(hello) - 1);
	for (size_t i = 0; i < 2000; i++) {
		world.seen->announce = FAKE_ALICES;
		if (i % 100 == 0)
			assert_true(bus_world_until(&world.seen->announce, 0));
	}
	assert_string_equal(trim(root, FAKE_ALICES), "ok");
	close(deaf);
	sd_bus_flush_close_unref(root);
}

int main(void)
{
#define TEST(fn) BUS_WORLD_TEST(fn, world)
	const struct CMUnitTest tests[] = {
		TEST(test_vanish), TEST(test_hang_up), TEST(test_connections), TEST(test_one_worker_each),
		TEST(test_pace),   TEST(test_signals), TEST(test_deaf),
	};

	if (geteuid() != 0)
		return bus_world_skip();
	return cmocka_run_group_tests_name("bus-guests", tests, NULL, NULL);
}
