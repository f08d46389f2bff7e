// SPDX-License-Identifier: GPL-2.0-or-later
/* On the system bus: who may, by whom it is asked, what everybody hears; and buses that come late and go. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "bus-world.h"
#include "reclaim/bus.h"
#include "system-bus.h"

static struct system_bus sys;
static struct bus_world world;

/* The name of the error, "" for none. */
static const char *trim(sd_bus *bus, const char *destination, pid_t pid, bool dialog)
{
	static char name[128];
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL, *reply = NULL;
	int r;

	assert_true(sd_bus_message_new_method_call(bus, &m, destination, BUS_PATH, BUS_INTERFACE, "Trim") >= 0);
	assert_true(sd_bus_message_append(m, "ia{sv}", pid, 0) >= 0);
	assert_true(sd_bus_message_set_allow_interactive_authorization(m, dialog) >= 0);
	r = sd_bus_call(bus, m, 20000000, &error, &reply);
	snprintf(name, sizeof(name), "%s", r < 0 ? error.name ? error.name : "?" : "");
	sd_bus_error_free(&error);
	sd_bus_message_unref(m);
	sd_bus_message_unref(reply);
	return name;
}

static bool has_owner(void)
{
	sd_bus *bus = system_bus_connect(&sys, 0);
	sd_bus_message *reply = NULL;
	int owned = 0;

	assert_true(sd_bus_call_method(bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner", NULL,
				       &reply, "s", BUS_NAME) >= 0);
	assert_true(sd_bus_message_read(reply, "b", &owned) > 0);
	sd_bus_message_unref(reply);
	sd_bus_flush_close_unref(bus);
	return owned;
}

static bool wait_for_name(uint64_t timeout_ns)
{
	const uint64_t deadline = clock_ns() + timeout_ns;

	while (clock_ns() < deadline) {
		if (has_owner())
			return true;
		poll(NULL, 0, 50);
	}
	return false;
}

#define S 1000000000ull
#define POLKIT_NS (5 * S) /* what polkit is given */

/* The same of one whom polkit allows it. Where all takes long its time may be over; then it is asked again. */
static const char *trim_allowed(sd_bus *bus, pid_t pid)
{
	const char *name = "";

	for (int i = 0; i < 3; i++) {
		const uint64_t began_ns = clock_ns();

		name = trim(bus, NULL, pid, false);
		if (clock_ns() - began_ns < POLKIT_NS)
			break;
	}
	return name;
}

static void test_who_may(void **state)
{
	sd_bus *root = system_bus_connect(&sys, 0), *alice = system_bus_connect(&sys, FAKE_ALICE);
	sd_bus *bob = system_bus_connect(&sys, FAKE_BOB);

	(void)state;
	assert_string_equal(trim(root, BUS_NAME, FAKE_ALICES, false), "");
	assert_string_equal(trim(alice, BUS_NAME, FAKE_ALICES, false), "");
	assert_int_equal(world.seen->last.asked_by, FAKE_ALICE);
	assert_string_equal(trim(alice, BUS_NAME, FAKE_ROOTS, false), BUS_E_DENIED); /* nobody is polkit */
	assert_int_equal(world.seen->trims, 2);

	system_bus_start_polkit(&sys);
	assert_true(bus_world_until(&sys.polkit->ready, 1));
	assert_string_equal(trim(bob, BUS_NAME, FAKE_ALICES, false), BUS_E_DENIED);
	assert_int_equal(sys.polkit->asked, 1);
	assert_string_equal(sys.polkit->kind, "system-bus-name");
	assert_string_equal(sys.polkit->action, "org.reclaim1.trim-others");
	assert_int_equal(sys.polkit->flags, 0);
	sys.polkit->answer = POLKIT_CHALLENGE;
	assert_string_equal(trim(bob, BUS_NAME, FAKE_ALICES, true), BUS_E_DENIED);
	assert_int_equal(sys.polkit->flags, 1);
	assert_int_equal(world.seen->trims, 2);
	sys.polkit->answer = POLKIT_YES;
	assert_string_equal(trim(bob, BUS_NAME, FAKE_ALICES, false), "");
	assert_int_equal(world.seen->trims, 3);
	assert_int_equal(world.seen->last.asked_by, FAKE_BOB);
	/* Their own, and root, is none of polkit's business. */
	assert_string_equal(trim(bob, BUS_NAME, FAKE_BOBS, false), "");
	assert_string_equal(trim(root, BUS_NAME, FAKE_BOBS, false), "");
	assert_int_equal(sys.polkit->asked, 3);
	sd_bus_flush_close_unref(root);
	sd_bus_flush_close_unref(alice);
	sd_bus_flush_close_unref(bob);
}

/* Somebody on the private socket: polkit is told the process, and whose it is. */
static void test_private_asks_polkit(void **state)
{
	sd_bus *bob = bus_world_connect(&world, FAKE_BOB);

	(void)state;
	system_bus_start_polkit(&sys);
	assert_true(bus_world_until(&sys.polkit->ready, 1));
	sys.polkit->answer = POLKIT_YES;
	assert_string_equal(trim_allowed(bob, FAKE_ALICES), "");
	assert_string_equal(sys.polkit->kind, "unix-process");
	assert_int_equal(sys.polkit->uid, FAKE_BOB);
	assert_int_equal(sys.polkit->pid, getpid());
	sys.polkit->answer = POLKIT_NO;
	assert_string_equal(trim(bob, NULL, FAKE_ALICES, false), BUS_E_DENIED);
	/* It never answers: a few seconds later that is no, and who asks for their own isn't kept waiting. */
	sys.polkit->answer = POLKIT_SILENT;
	assert_string_equal(trim(bob, NULL, FAKE_ALICES, false), BUS_E_DENIED);
	assert_int_equal(world.seen->trims, 1);
	sd_bus_flush_close_unref(bob);
}

static int ignore(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)m;
	(void)userdata;
	(void)error;
	return 1;
}

static void call_and_vanish(uid_t uid, pid_t pid, const uint32_t *counter, uint32_t until)
{
	sd_bus *bus = system_bus_connect(&sys, uid);

	assert_true(sd_bus_call_method_async(bus, NULL, BUS_NAME, BUS_PATH, BUS_INTERFACE, "Trim", ignore, NULL,
					     "ia{sv}", pid, 0) >= 0);
	assert_true(sd_bus_flush(bus) >= 0);
	assert_true(bus_world_until(counter, until));
	sd_bus_close(bus);
	sd_bus_unref(bus);
}

/* In mid-call: at the manager, at polkit. */
static void test_vanish(void **state)
{
	sd_bus *alice = system_bus_connect(&sys, FAKE_ALICE);

	(void)state;
	system_bus_start_polkit(&sys);
	assert_true(bus_world_until(&sys.polkit->ready, 1));
	sys.polkit->answer = POLKIT_SILENT;
	for (uint32_t i = 1; i <= 5; i++) {
		call_and_vanish(FAKE_ALICE, FAKE_SLOW, &world.seen->trims, i);
		assert_true(bus_world_until(&world.seen->pending, 1));
		call_and_vanish(FAKE_BOB, FAKE_ALICES, &sys.polkit->asked, i);
		assert_true(bus_world_until(&world.seen->pending, 0));
	}
	/* What vanished at polkit is no request of Bob's any more: he has four. */
	assert_string_equal(trim(alice, BUS_NAME, FAKE_ALICES, false), "");
	sys.polkit->answer = POLKIT_YES;
	sd_bus_flush_close_unref(alice);
	alice = system_bus_connect(&sys, FAKE_BOB);
	assert_string_equal(trim(alice, BUS_NAME, FAKE_ALICES, false), "");
	sd_bus_flush_close_unref(alice);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)error;
	(void)m;
	++*(uint32_t *)userdata;
	return 0;
}

static uint32_t hear(uid_t uid)
{
	sd_bus *bus = system_bus_connect(&sys, uid);
	uint32_t heard = 0;

	assert_true(sd_bus_match_signal(bus, NULL, BUS_NAME, BUS_PATH, BUS_INTERFACE, "Reclaimed", on_signal, &heard) >=
		    0);
	world.seen->announce = FAKE_ALICES;
	assert_true(bus_world_until(&world.seen->announce, 0));
	for (const uint64_t until = clock_ns() + S / 2; clock_ns() < until && !heard;) {
		const int r = sd_bus_process(bus, NULL);

		assert_true(r >= 0);
		if (!r)
			(void)sd_bus_wait(bus, 20000);
	}
	sd_bus_flush_close_unref(bus);
	return heard;
}

/* What goes to all is root's alone, by the policy that we ship. */
static void test_signals(void **state)
{
	(void)state;
	assert_int_equal(hear(0), 1);
	assert_int_equal(hear(FAKE_ALICE), 0);
	assert_int_equal(hear(FAKE_BOB), 0);
}

/* The bus dies and comes again; the private socket doesn't notice. */
static void test_bus_comes_again(void **state)
{
	sd_bus *alice = bus_world_connect(&world, FAKE_ALICE);

	(void)state;
	system_bus_kill(&sys);
	assert_string_equal(trim(alice, NULL, FAKE_ALICES, false), "");
	assert_string_equal(trim(alice, NULL, FAKE_ROOTS, false), BUS_E_DENIED);
	system_bus_start(&sys);
	assert_true(wait_for_name(20 * S));
	sd_bus_flush_close_unref(alice);
}

static int open_both(void **state)
{
	(void)state;
	system_bus_prepare(&sys);
	system_bus_start(&sys);
	bus_world_open(&world, sys.address);
	assert_true(wait_for_name(5 * S));
	return 0;
}

/* The daemon is there before the bus. */
static int open_late(void **state)
{
	(void)state;
	system_bus_prepare(&sys);
	bus_world_open(&world, sys.address);
	system_bus_start(&sys);
	assert_true(wait_for_name(5 * S));
	return 0;
}

static int close_both(void **state)
{
	(void)state;
	bus_world_close(&world);
	system_bus_done(&sys);
	return 0;
}

int main(void)
{
#define TEST(fn, open) cmocka_unit_test_setup_teardown(fn, open, close_both)
	const struct CMUnitTest tests[] = {
		TEST(test_who_may, open_both), TEST(test_private_asks_polkit, open_both), TEST(test_vanish, open_both),
		TEST(test_signals, open_late), TEST(test_bus_comes_again, open_both),
	};

	if (geteuid() != 0 || !system_bus_can())
		return bus_world_skip();
	return cmocka_run_group_tests_name("bus-system", tests, NULL, NULL);
}
