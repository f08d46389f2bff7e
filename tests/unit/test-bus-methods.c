// SPDX-License-Identifier: GPL-2.0-or-later
/* Every method as root, as owner, as stranger; what is wrong with arguments; what comes over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "bus-world.h"
#include "bus/shape.h"
#include "core/worker-client.h"
#include "reclaim/bus.h"
#include "reclaim/explain-check.h"
#include "reclaim/worker.h"

#define TIMEOUT_US 5000000ull

static struct bus_world world;

/* Calls and returns the name of the error, "" when there was none. */
static const char *call(sd_bus *bus, const char *member, sd_bus_message **ret, const char *types, ...)
{
	static char name[128];
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL, *reply = NULL;
	va_list ap;
	int r;

	assert_true(sd_bus_message_new_method_call(bus, &m, NULL, BUS_PATH, BUS_INTERFACE, member) >= 0);
	va_start(ap, types);
	assert_true(sd_bus_message_appendv(m, types, ap) >= 0);
	va_end(ap);
	r = sd_bus_call(bus, m, TIMEOUT_US, &error, &reply);
	snprintf(name, sizeof(name), "%s", r < 0 ? error.name ? error.name : "?" : "");
	if (r < 0)
		assert_non_null(error.message);
	sd_bus_error_free(&error);
	sd_bus_message_unref(m);
	if (ret && r >= 0)
		*ret = reply;
	else
		sd_bus_message_unref(reply);
	return name;
}

static void done(sd_bus *bus)
{
	sd_bus_flush_close_unref(bus);
}

/* ---------------------------------------------------------------- the matrix */

enum who { ROOT, OWNER, STRANGER };

static const uid_t uids[] = { [ROOT] = 0, [OWNER] = FAKE_ALICE, [STRANGER] = FAKE_BOB };

static void test_matrix(void **state)
{
	static const struct {
		const char *member;
		const char *types;
		int pid; /* 0: takes none */
		bool everyone;
		const char *want[3];
	} rows[] = {
		{ "Trim", "ia{sv}", FAKE_ALICES, false, { "", "", BUS_E_DENIED } },
		{ "Explain", "ia{sv}", FAKE_ALICES, false, { "", "", BUS_E_DENIED } },
		{ "Trim", "ia{sv}", FAKE_ROOTS, false, { "", BUS_E_DENIED, BUS_E_DENIED } },
		{ "Explain", "ia{sv}", FAKE_ROOTS, false, { "", BUS_E_DENIED, BUS_E_DENIED } },
		{ "Trim", "ia{sv}", FAKE_GONE, false, { BUS_E_GONE, BUS_E_GONE, BUS_E_GONE } },
		{ "ListProcesses", "a{sv}", 0, false, { "", "", "" } },
		{ "ListProcesses", "a{sv}", 0, true, { "", BUS_E_DENIED, BUS_E_DENIED } },
		{ "History", "a{sv}", 0, false, { "", "", "" } },
		{ "History", "a{sv}", 0, true, { "", BUS_E_DENIED, BUS_E_DENIED } },
		{ "Metrics", "", 0, false, { "", BUS_E_DENIED, BUS_E_DENIED } },
		{ "Reload", "", 0, false, { "", BUS_E_DENIED, BUS_E_DENIED } },
	};

	(void)state;
	for (enum who who = ROOT; who <= STRANGER; who++) {
		sd_bus *bus = bus_world_connect(&world, uids[who]);

		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			const uint32_t before = world.seen->trims + world.seen->explains + world.seen->reloads;
			uint32_t after;
			const char *got;

			if (rows[i].pid)
				got = call(bus, rows[i].member, NULL, rows[i].types, rows[i].pid, 0);
			else if (rows[i].everyone)
				got = call(bus, rows[i].member, NULL, rows[i].types, 1, "everyone", "b", 1);
			else if (*rows[i].types)
				got = call(bus, rows[i].member, NULL, rows[i].types, 0);
			else
				got = call(bus, rows[i].member, NULL, "");
			if (strcmp(got, rows[i].want[who]))
				fail_msg("%s of %d (everyone %d) as %u: '%s', not '%s'", rows[i].member, rows[i].pid,
					 rows[i].everyone, uids[who], got, rows[i].want[who]);
			/* Who is refused doesn't get as far as the manager. */
			after = world.seen->trims + world.seen->explains + world.seen->reloads;
			if (*got)
				assert_int_equal(before, after);
		}
		done(bus);
	}
}

static size_t count_processes(sd_bus *bus, bool everyone, uid_t only)
{
	sd_bus_message *m = NULL;
	size_t n = 0;

	if (everyone)
		assert_string_equal(call(bus, "ListProcesses", &m, "a{sv}", 1, "everyone", "b", 1), "");
	else
		assert_string_equal(call(bus, "ListProcesses", &m, "a{sv}", 0), "");
	assert_true(sd_bus_message_enter_container(m, 'a', "a{sv}") > 0);
	while (sd_bus_message_at_end(m, 0) == 0) {
		struct manager_process p = { .pid = 0 };
		const struct shape_member members[] = {
			{ .key = "pid", .kind = SHAPE_I32, .offset = offsetof(struct manager_process, pid) },
			{ .key = "uid", .kind = SHAPE_U32, .offset = offsetof(struct manager_process, uid) },
			{ .key = "swap", .kind = SHAPE_U64, .offset = offsetof(struct manager_process, swap) },
			{ .key = "anon", .kind = SHAPE_U64, .offset = offsetof(struct manager_process, anon) },
		};
		const struct shape shape = { .v = members, .n = ARRAY_SIZE(members), .size = sizeof(p) };

		assert_int_equal(shape_read(m, &shape, &p), 0);
		assert_true(p.pid > 0);
		assert_true(only == (uid_t)-1 || p.uid == only);
		assert_int_equal(p.anon, 90 << 20);
		assert_true(p.swap == UINT64_MAX); /* unknown, so left out */
		n++;
	}
	sd_bus_message_unref(m);
	return n;
}

static void test_list(void **state)
{
	sd_bus *root = bus_world_connect(&world, 0), *alice = bus_world_connect(&world, FAKE_ALICE);
	sd_bus *bob = bus_world_connect(&world, FAKE_BOB), *nobody = bus_world_connect(&world, 65534);

	(void)state;
	assert_int_equal(count_processes(root, false, (uid_t)-1), 7);
	assert_int_equal(count_processes(root, true, (uid_t)-1), 7);
	assert_int_equal(count_processes(alice, false, FAKE_ALICE), 5);
	assert_int_equal(count_processes(bob, false, FAKE_BOB), 1);
	assert_int_equal(count_processes(nobody, false, 65534), 0);
	done(root);
	done(alice);
	done(bob);
	done(nobody);
}

/* ---------------------------------------------------------------- what comes over */

static void test_trim_result(void **state)
{
	sd_bus *bus = bus_world_connect(&world, FAKE_ALICE);
	struct worker_result res = { .magic = WORKER_MAGIC, .version = WORKER_VERSION }, want;
	sd_bus_message *m = NULL;

	(void)state;
	assert_string_equal(call(bus, "Trim", &m, "ia{sv}", FAKE_ALICES, 6, "remedies", "as", 2, "trim", "purge",
				 "dry_run", "b", 1, "depth", "s", "deep", "advice", "s", "free", "max_stop_us", "t",
				 (uint64_t)2000, "timeout_us", "t", (uint64_t)3600000000),
			    "");
	assert_int_equal(world.seen->last.remedies, WORKER_REMEDY_TRIM | WORKER_REMEDY_PURGE);
	assert_int_equal(world.seen->last.flags, WORKER_F_DRY_RUN | WORKER_F_DEEP | WORKER_F_ADVICE_FREE);
	assert_int_equal(world.seen->last.max_stop_us, 2000);
	assert_int_equal(world.seen->last.timeout_us, 30000000); /* an hour is root's alone */
	assert_int_equal(world.seen->last.start_time, FAKE_START);
	assert_int_equal(world.seen->last.asked_by, FAKE_ALICE);
	/* By when the worker comes it may be somebody else's. */
	assert_int_equal(world.seen->last.owner, FAKE_ALICE);

	assert_int_equal(shape_read(m, &shape_result, &res), 0);
	fake_result(FAKE_ALICES, &want);
	for (uint32_t i = 0; i < res.nsteps; i++) {
		res.steps[i].has_predicted = res.steps[i].predicted != UINT64_MAX;
		if (!res.steps[i].has_predicted)
			res.steps[i].predicted = 0;
	}
	assert_memory_equal(&res, &want, sizeof(res));
	sd_bus_message_unref(m);

	assert_string_equal(call(bus, "Trim", NULL, "ia{sv}", FAKE_ALICES, 0), "");
	assert_int_equal(world.seen->last.flags, WORKER_F_AUTO);
	assert_int_equal(world.seen->last.remedies, WORKER_REMEDY_COLLECT | WORKER_REMEDY_TRIM | WORKER_REMEDY_PURGE);
	assert_int_equal(world.seen->last.timeout_us, 0);
	done(bus);
	bus = bus_world_connect(&world, 0);
	assert_string_equal(call(bus, "Trim", NULL, "ia{sv}", FAKE_ALICES, 0), "");
	assert_int_equal(world.seen->last.owner, (uid_t)-1);
	done(bus);
}

static void test_explain_facts(void **state)
{
	const struct worker_request req = { .pid = FAKE_ALICES, .start_time = FAKE_START };
	_cleanup_(explain_answer_done) struct explain_answer got = { .arenas = NULL }, want;
	sd_bus *bus = bus_world_connect(&world, FAKE_ALICE);
	sd_bus_message *m = NULL;

	(void)state;
	assert_string_equal(call(bus, "Explain", &m, "ia{sv}", FAKE_ALICES, 0), "");
	assert_int_equal(shape_read(m, &shape_facts, &got), 0);
	got.head.magic = EXPLAIN_MAGIC;
	got.head.version = EXPLAIN_VERSION;
	assert_null(explain_head_fault(&got.head, sizeof(got.head), &req));
	fake_answer(FAKE_ALICES, &want);
	assert_memory_equal(&got.head, &want.head, sizeof(got.head));
	assert_memory_equal(got.arenas, want.arenas, 2 * sizeof(*got.arenas));
	assert_memory_equal(got.ranges, want.ranges, 3 * sizeof(*got.ranges));
	explain_answer_done(&want);
	sd_bus_message_unref(m);
	done(bus);
}

static void test_errors(void **state)
{
	sd_bus *root = bus_world_connect(&world, 0), *alice = bus_world_connect(&world, FAKE_ALICE);

	(void)state;
	assert_string_equal(call(alice, "Trim", NULL, "ia{sv}", FAKE_BUSY, 0), BUS_E_BUSY);
	assert_string_equal(call(alice, "Explain", NULL, "ia{sv}", FAKE_CHANGED, 0), BUS_E_DENIED);
	assert_string_equal(call(alice, "Trim", NULL, "ia{sv}", FAKE_ALICES, 1, "start_time", "t", FAKE_START + 1),
			    BUS_E_GONE);
	assert_string_equal(call(alice, "Trim", NULL, "ia{sv}", FAKE_ALICES, 1, "start_time", "t", FAKE_START), "");
	world.seen->reload_fails = 1;
	assert_string_equal(call(root, "Reload", NULL, ""), BUS_E_CONFIGURATION);
	world.seen->reload_fails = 0;
	done(root);
	done(alice);
}

static void test_arguments(void **state)
{
	static const char invalid[] = "org.freedesktop.DBus.Error.InvalidArgs";
	char longname[LEDGER_NAME + 8];
	sd_bus *bus = bus_world_connect(&world, 0);

	(void)state;
	memset(longname, 'x', sizeof(longname) - 1);
	longname[sizeof(longname) - 1] = '\0';
#define WRONG(want, member, ...) assert_string_equal(call(bus, member, NULL, __VA_ARGS__), want)
	/* The whole */
	WRONG(invalid, "Trim", "s", "1001");
	WRONG(invalid, "Trim", "i", FAKE_ALICES);
	WRONG(invalid, "Trim", "ua{sv}", FAKE_ALICES, 0);
	WRONG(invalid, "Trim", "ia{ss}", FAKE_ALICES, 0);
	WRONG(invalid, "Trim", "ia{sv}s", FAKE_ALICES, 0, "");
	WRONG(invalid, "Reload", "b", 1);
	WRONG(invalid, "History", "");
	WRONG("org.freedesktop.DBus.Error.UnknownMethod", "Purge", "");
	/* Options */
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", 0, 0);
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", -1, 0);
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "forec", "b", 1);
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "everyone", "b", 1);
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "dry_run", "s", "yes");
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "timeout_us", "i", 1000);
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "timeout_us", "t", (uint64_t)999);
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "timeout_us", "t", (uint64_t)3600000001);
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "timeout_us", "v", "t", (uint64_t)5000);
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "max_stop_us", "t", (uint64_t)0);
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "remedies", "s", "trim");
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "remedies", "as", 2, "trim", "truncate");
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 1, "depth", "s", "deeper");
	WRONG(BUS_E_ARGUMENT, "Trim", "ia{sv}", FAKE_ALICES, 2, "dry_run", "b", 1, "dry_run", "b", 0);
	WRONG(BUS_E_ARGUMENT, "Explain", "ia{sv}", FAKE_ALICES, 1, "dry_run", "b", 1);
	WRONG(BUS_E_ARGUMENT, "ListProcesses", "a{sv}", 1, "everyone", "u", 1);
	WRONG(BUS_E_ARGUMENT, "History", "a{sv}", 1, "last", "u", 4097);
	WRONG(BUS_E_ARGUMENT, "History", "a{sv}", 1, "pid", "i", -5);
	WRONG(BUS_E_ARGUMENT, "History", "a{sv}", 1, "unit", "s", longname);
	WRONG(BUS_E_ARGUMENT, "History", "a{sv}", 1, "kinds", "as", 1, "acton");
	WRONG("", "History", "a{sv}", 2, "kinds", "as", 2, "action", "check", "unit", "s", "");
#undef WRONG
	done(bus);
}

static void test_properties(void **state)
{
	sd_bus *bus = bus_world_connect(&world, 65534);
	sd_bus_message *m = NULL;
	uint64_t freed = 0;
	char *text = NULL;
	int pressure = 0;

	(void)state;
#define GET(name, type, to) \
	assert_true(sd_bus_get_property_trivial(bus, NULL, BUS_PATH, BUS_INTERFACE, name, NULL, type, to) >= 0)
	GET("FreedBytes", 't', &freed);
	assert_true(freed == 1ull << 40);
	GET("Pressure", 'b', &pressure);
	assert_true(pressure);
#undef GET
	assert_true(sd_bus_get_property_string(bus, NULL, BUS_PATH, BUS_INTERFACE, "Mode", NULL, &text) >= 0);
	assert_string_equal(text, "enforce");
	free(text);
	text = NULL;
	assert_true(sd_bus_get_property_string(bus, NULL, BUS_PATH, BUS_INTERFACE, "Configuration", NULL, &text) >= 0);
	assert_non_null(strstr(text, "Mode=enforce"));
	free(text);
	assert_true(sd_bus_call_method(bus, NULL, BUS_PATH, "org.freedesktop.DBus.Properties", "GetAll", NULL, &m, "s",
				       BUS_INTERFACE) >= 0);
	sd_bus_message_unref(m);
	done(bus);
}

static bool declares(const char *line)
{
	static const char *const begins[] = { "<method ", "<arg ", "<signal ", "<property " };

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++)
		if (!strncmp(line, begins[i], strlen(begins[i])))
			return true;
	return false;
}

/* The next line of an interface that declares something, without what ends it; NULL: none. */
static const char *next_declaration(const char **at, char *buf, size_t size)
{
	while (**at) {
		const char *line = *at + strspn(*at, " ");
		size_t n = strcspn(line, "\n");

		*at = line + n + (line[n] == '\n');
		if (!strncmp(line, "</interface>", 12))
			return NULL;
		if (!declares(line))
			continue;
		snprintf(buf, size, "%.*s", (int)strcspn(line, "/>"), line);
		return buf;
	}
	return NULL;
}

/* The interface is what its text says, line by line, and nothing more. */
static void test_introspection(void **state)
{
	_cleanup_fclose_ FILE *f = fopen(FIXTURES "/../../Documentation/dbus/org.reclaim1.xml", "re");
	sd_bus *bus = bus_world_connect(&world, 65534);
	static char text[1 << 16], line[256], want[256];
	const char *xml, *said, *meant;
	sd_bus_message *m = NULL;
	size_t n = 0;

	(void)state;
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 1000);
	assert_true(sd_bus_call_method(bus, NULL, BUS_PATH, "org.freedesktop.DBus.Introspectable", "Introspect", NULL,
				       &m, "") >= 0);
	assert_true(sd_bus_message_read(m, "s", &xml) > 0);
	said = strstr(xml, "<interface name=\"" BUS_INTERFACE "\">");
	meant = strstr(text, "<interface name=\"" BUS_INTERFACE "\">");
	assert_non_null(said);
	assert_non_null(meant);
	while (next_declaration(&meant, want, sizeof(want))) {
		assert_non_null(next_declaration(&said, line, sizeof(line)));
		assert_string_equal(line, want);
		n++;
	}
	assert_null(next_declaration(&said, line, sizeof(line)));
	assert_true(n > 30);
	sd_bus_message_unref(m);
	done(bus);
}

/* ---------------------------------------------------------------- history */

static void test_history(void **state)
{
	struct ledger_record rec = { .kind = LEDGER_ACTION,
				     .pid = FAKE_ALICES,
				     .uid = FAKE_ALICE,
				     .real_us = 1,
				     .predicted = LEDGER_UNKNOWN,
				     .rss_before = 9,
				     .rss_after = 8,
				     .freed = -5,
				     .remedies = WORKER_REMEDY_TRIM,
				     .comm = "a\xff\\" },
			     got;
	sd_bus *alice = bus_world_connect(&world, FAKE_ALICE), *bob = bus_world_connect(&world, FAKE_BOB);
	sd_bus_message *m = NULL;
	struct ledger *l = NULL;

	(void)state;
	assert_int_equal(ledger_open(world.dir, 1 << 20, &l), 0);
	assert_int_equal(ledger_append(l, &rec, false), 0);
	ledger_close(&l);

	assert_string_equal(call(alice, "History", &m, "a{sv}", 0), "");
	assert_true(sd_bus_message_enter_container(m, 'a', "a{sv}") > 0);
	memset(&got, 0, sizeof(got));
	assert_int_equal(shape_read(m, &shape_record, &got), 0);
	got.boot_us = rec.boot_us;
	assert_memory_equal(got.comm, rec.comm, sizeof(got.comm));
	assert_int_equal(got.kind, LEDGER_ACTION);
	assert_int_equal(got.freed, -5);
	assert_int_equal(got.remedies, WORKER_REMEDY_TRIM);
	assert_true(got.predicted == LEDGER_UNKNOWN);
	assert_int_equal(got.uid, FAKE_ALICE);
	assert_int_equal(sd_bus_message_at_end(m, 0), 1);
	m = sd_bus_message_unref(m);

	/* A stranger doesn't see it, whatever they ask for. */
	assert_string_equal(call(bob, "History", &m, "a{sv}", 1, "pid", "i", FAKE_ALICES), "");
	assert_true(sd_bus_message_enter_container(m, 'a', "a{sv}") > 0);
	assert_int_equal(sd_bus_message_at_end(m, 0), 1);
	sd_bus_message_unref(m);
	done(alice);
	done(bob);
}

static void test_metrics(void **state)
{
	sd_bus *root = bus_world_connect(&world, 0);
	sd_bus_message *m = NULL;
	const char *text;

	(void)state;
	assert_string_equal(call(root, "Metrics", &m, ""), "");
	assert_true(sd_bus_message_read(m, "s", &text) > 0);
	assert_string_equal(text, "reclaim_sweeps_total 2\n# EOF\n");
	sd_bus_message_unref(m);
	done(root);
}

int main(void)
{
#define TEST(fn) BUS_WORLD_TEST(fn, world)
	const struct CMUnitTest tests[] = {
		TEST(test_matrix),  TEST(test_list),	  TEST(test_trim_result), TEST(test_explain_facts),
		TEST(test_errors),  TEST(test_arguments), TEST(test_properties),  TEST(test_introspection),
		TEST(test_history), TEST(test_metrics),
	};

	if (geteuid() != 0)
		return bus_world_skip();
	return cmocka_run_group_tests_name("bus-methods", tests, NULL, NULL);
}
