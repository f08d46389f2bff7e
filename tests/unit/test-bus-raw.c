// SPDX-License-Identifier: GPL-2.0-or-later
/* Bytes instead of messages: what a guest may send on the way in, and what becomes of us when it is nonsense. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "base/procfs.h"
#include "base/pstatus.h"
#include "bus-world.h"
#include "bus/frame.h"
#include "reclaim/bus.h"

#define RUNS 500 /* connections; the daemon accepts 100 in a second */
#define UID 1234

static struct bus_world world;

/* ---------------------------------------------------------------- the way in, by itself */

static int feed(const char *text, size_t n, struct frame *f)
{
	frame_init(f, UID);
	return frame_feed(f, (const uint8_t *)text, n);
}

static void test_dialogues(void **state)
{
	/* 31323334: "1234" */
	static const struct {
		const char *text;
		int want;
		bool begun;
	} rows[] = {
		{ "-AUTH EXTERNAL 31323334\r\nBEGIN\r\n", 0, true },
		{ "-AUTH EXTERNAL 31323334\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", 0, true },
		{ "-AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", 0, true },
		{ "-AUTH EXTERNAL\r\nDATA 31323334\r\nBEGIN\r\n", 0, true },
		{ "-AUTH\r\nAUTH EXTERNAL 31323334\r\nBEGIN\r\n", 0, true },
		{ "-AUTH EXTERNAL 31323334\r\nBEGIN", 0, false },
		{ "AUTH EXTERNAL 31323334\r\nBEGIN\r\n", -EPROTO, false },
		{ "-BEGIN\r\n", -EPROTO, false },
		{ "-AUTH\r\nBEGIN\r\n", -EPROTO, false },
		{ "-AUTH EXTERNAL\r\nBEGIN\r\n", -EPROTO, false },
		{ "-AUTH ANONYMOUS\r\nBEGIN\r\n", -EPROTO, false },
		{ "-AUTH EXTERNAL 30\r\n", -EPROTO, false }, /* somebody else */
		{ "-AUTH EXTERNAL 3132333\r\n", -EPROTO, false },
		{ "-AUTH EXTERNAL 3132333400\r\n", -EPROTO, false },
		{ "-AUTH EXTERNAL 31323334 \r\n", -EPROTO, false },
		{ "-AUTH EXTERNAL 31323334\nBEGIN\n", -EPROTO, false },
		{ "-AUTH EXTERNAL 31323334\r\rBEGIN\r\n", -EPROTO, false },
		{ "-AUTH EXTERNAL 31323334\r\nBEGIN \r\n", -EPROTO, false },
		{ "-AUTH EXTERNAL 31323334\r\nCANCEL\r\n", -EPROTO, false },
		{ "-AUTH EXTERNAL 31323334\r\nAUTH EXTERNAL 31323334\r\n", -EPROTO, false },
		{ "-\r\n", -EPROTO, false },
		{ "-AUTH EXTERNAL\r\nDATA 30\r\n", -EPROTO, false },
		{ "-AUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTHAUTH", -EPROTO,
		  false },
		{ "-AUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\n"
		  "AUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\nAUTH\r\n",
		  -EPROTO, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];
		struct frame f;
		const size_t n = strlen(rows[i].text);

		memcpy(text, rows[i].text, n);
		if (*text == '-')
			*text = '\0';
		if (feed(text, n, &f) != rows[i].want || (f.state == FRAME_HEAD) != rows[i].begun)
			fail_msg("%s", rows[i].text);
		/* The same byte by byte. */
		frame_init(&f, UID);
		for (size_t k = 0, r = 0; k < n && r == 0; k++)
			r = frame_feed(&f, (const uint8_t *)text + k, 1) < 0;
		assert_int_equal(f.state == FRAME_HEAD, rows[i].begun);
	}
}

static void put32(uint8_t *at, uint32_t v, bool big)
{
	for (size_t i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> 8 * (big ? 3 - i : i));
}

/* A head with these lengths, after a dialogue. */
static int feed_head(uint32_t body, uint32_t fields, char order, uint8_t version, struct frame *f)
{
	static const char begin[] = "\0AUTH EXTERNAL 31323334\r\nBEGIN\r\n";
	uint8_t head[16] = { (uint8_t)order, 1, 0, version };

	put32(head + 4, body, order == 'B');
	put32(head + 12, fields, order == 'B');
	assert_int_equal(feed(begin, sizeof(begin) - 1, f), 0);
	return frame_feed(f, head, sizeof(head));
}

static void test_lengths(void **state)
{
	static const uint8_t zeros[FRAME_MESSAGE_MAX];
	struct frame f;

	(void)state;
	assert_int_equal(feed_head(8, 83, 'l', 1, &f), 0);
	assert_int_equal(f.rest, 8 + 88);
	assert_int_equal(frame_feed(&f, zeros, 95), 0);
	assert_int_equal(f.state, FRAME_REST);
	assert_int_equal(frame_feed(&f, zeros, 1), 0);
	assert_int_equal(f.state, FRAME_HEAD);
	assert_int_equal(f.messages, 1);
	/* And then the next head. */
	assert_int_equal(frame_feed(&f, zeros, 15), 0);
	assert_int_equal(frame_feed(&f, zeros, 1), -EPROTO);

	assert_int_equal(feed_head(FRAME_MESSAGE_MAX - 16, 0, 'l', 1, &f), 0);
	assert_int_equal(feed_head(FRAME_MESSAGE_MAX - 15, 0, 'l', 1, &f), -EMSGSIZE);
	assert_int_equal(feed_head(0, FRAME_MESSAGE_MAX - 16, 'B', 1, &f), 0);
	assert_int_equal(feed_head(0, FRAME_MESSAGE_MAX - 15, 'B', 1, &f), -EMSGSIZE);
	assert_int_equal(feed_head(UINT32_MAX, UINT32_MAX, 'l', 1, &f), -EMSGSIZE);
	assert_int_equal(feed_head(0, UINT32_MAX, 'l', 1, &f), -EMSGSIZE);
	assert_int_equal(feed_head(0, 0, 'l', 1, &f), 0);
	assert_int_equal(f.state, FRAME_HEAD);
	assert_int_equal(feed_head(0, 0, 'l', 2, &f), -EPROTO);
	assert_int_equal(feed_head(0, 0, 'x', 1, &f), -EPROTO);
}

/* ---------------------------------------------------------------- through the socket */

/* One message as it would go over the wire. */
struct wire {
	uint8_t bytes[8192];
	size_t n;
};

static void record(sd_bus_message *m, sd_bus *bus, int fd, struct wire *ret)
{
	ssize_t n;

	assert_true(sd_bus_send(bus, m, NULL) >= 0);
	assert_true(sd_bus_flush(bus) >= 0);
	sd_bus_message_unref(m);
	n = recv(fd, ret->bytes, sizeof(ret->bytes), MSG_DONTWAIT);
	assert_true(n > 16);
	ret->n = (size_t)n;
}

/* Reads what the client says until BEGIN and answers it. */
static void accept_client(int fd)
{
	static const char answer[] = "DATA\r\nOK 00000000000000000000000000000001\r\nERROR\r\n";
	char said[512];

	assert_true(recv(fd, said, sizeof(said), 0) > 0);
	assert_int_equal(write(fd, answer, sizeof(answer) - 1), sizeof(answer) - 1);
}

static size_t record_all(struct wire *v, size_t max)
{
	static const char *const members[] = { "Trim", "Explain", "History", "ListProcesses" };
	sd_bus_message *m;
	sd_bus *bus = NULL;
	size_t n = 0;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_fd(bus, fds[0], fds[0]) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	accept_client(fds[1]);
	while (sd_bus_is_ready(bus) == 0)
		assert_true(sd_bus_process(bus, NULL) >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(members) && n < max; i++) {
		assert_true(sd_bus_message_new_method_call(bus, &m, NULL, BUS_PATH, BUS_INTERFACE, members[i]) >= 0);
		if (i < 2)
			assert_true(sd_bus_message_append(m, "i", FAKE_ALICES) >= 0);
		if (i == 0)
			assert_true(sd_bus_message_append(m, "a{sv}", 4, "remedies", "as", 2, "trim", "purge",
							  "timeout_us", "t", (uint64_t)5000, "dry_run", "b", 1, "depth",
							  "s", "deep") >= 0);
		else if (i == 2)
			assert_true(sd_bus_message_append(m, "a{sv}", 3, "unit", "s", "a.service", "kinds", "as", 1,
							  "look", "last", "u", 5) >= 0);
		else
			assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
		record(m, bus, fds[1], &v[n++]);
	}
	assert_true(sd_bus_message_new_method_call(bus, &m, NULL, BUS_PATH, "org.freedesktop.DBus.Properties",
						   "GetAll") >= 0);
	assert_true(sd_bus_message_append(m, "s", BUS_INTERFACE) >= 0);
	record(m, bus, fds[1], &v[n++]);
	sd_bus_close(bus);
	sd_bus_unref(bus);
	close(fds[1]);
	return n;
}

static uint32_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return (uint32_t)(*s >> 16);
}

static void spoil(struct wire *w, uint64_t *s)
{
	const size_t times = next_random(s) % 4;

	for (size_t i = 0; i < times; i++) {
		const size_t at = next_random(s) % w->n;

		switch (next_random(s) % 4) {
		case 0:
			w->bytes[at] ^= (uint8_t)(1u << next_random(s) % 8);
			break;
		case 1:
			w->bytes[at] = (uint8_t)next_random(s);
			break;
		case 2:
			put32(w->bytes + (at & ~3ull), next_random(s) % 3 ? next_random(s) % 300 : UINT32_MAX, false);
			break;
		default:
			w->n = at + 1;
			break;
		}
	}
}

static const char begin[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";

/* As one who is allowed everything, so that nothing stops the nonsense early. */
static void test_spoilt(void **state)
{
	static struct wire seeds[8];
	const size_t n = record_all(seeds, ARRAY_SIZE(seeds) - 1);
	uint64_t s = 0x9e3779b97f4a7c15ull;
	sd_bus *root;

	(void)state;
	for (size_t i = 0; i < RUNS; i++) {
		int fd = bus_world_socket(&world, 0);
		const size_t messages = 1 + next_random(&s) % 3;

		(void)!write(fd, begin, sizeof(begin) - 1);
		for (size_t k = 0; k < messages; k++) {
			struct wire w = seeds[next_random(&s) % n];

			spoil(&w, &s);
			(void)!send(fd, w.bytes, w.n, MSG_NOSIGNAL);
		}
		if (next_random(&s) % 2) {
			struct pollfd p = { .fd = fd, .events = POLLIN };

			(void)poll(&p, 1, 1);
		}
		close(fd);
		if (i % 100 == 0)
			assert_true(bus_world_alive(&world));
	}
	assert_true(bus_world_alive(&world));
	root = bus_world_connect(&world, 0);
	assert_true(sd_bus_call_method(root, NULL, BUS_PATH, BUS_INTERFACE, "Reload", NULL, NULL, "") >= 0);
	sd_bus_flush_close_unref(root);
}

static uint64_t rss_of(pid_t pid)
{
	_cleanup_close_ int proc = procfs_open_root("/proc");
	_cleanup_close_ int dir = procfs_open_pid(proc, pid);
	struct pstatus st;

	assert_int_equal(pstatus_read(dir, &st), 0);
	return st.vm_hwm;
}

/* Eight guests announce 100 MiB each, and send as much of it as they can. */
static void test_huge(void **state)
{
	static uint8_t zeros[1 << 16];
	uint8_t head[16] = { 'l', 1, 0, 1 };
	const uint64_t before = rss_of(world.child);

	(void)state;
	put32(head + 4, 100u << 20, false);
	for (size_t i = 0; i < 8; i++) {
		int fd = bus_world_socket(&world, FAKE_ALICE);
		size_t sent = 0;
		ssize_t n;

		assert_int_equal(write(fd, begin, sizeof(begin) - 1), sizeof(begin) - 1);
		(void)!send(fd, head, sizeof(head), MSG_NOSIGNAL);
		while (sent < 100u << 20 && (n = send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL)) > 0)
			sent += (size_t)n;
		/* Cut off, not taken in. */
		assert_true(sent < 1u << 20);
		close(fd);
	}
	assert_true(bus_world_alive(&world));
	assert_true(rss_of(world.child) < before + (8u << 20));
}

static uint64_t cpu_ns(clockid_t clock)
{
	struct timespec now;

	assert_int_equal(clock_gettime(clock, &now), 0);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A guest who floods us leaves the others their turn. In the daemon's own time: it isn't alone on this machine. */
static void test_flood(void **state)
{
	static struct wire seeds[8];
	const size_t n = record_all(seeds, ARRAY_SIZE(seeds) - 1);
	int fds[8];
	sd_bus *bob = bus_world_connect(&world, FAKE_BOB);
	clockid_t clock;
	uint64_t began;

	(void)state;
	assert_int_equal(clock_getcpuclockid(world.child, &clock), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = bus_world_socket(&world, FAKE_ALICE);
		(void)!write(fds[i], begin, sizeof(begin) - 1);
		for (size_t k = 0; k < 500; k++)
			(void)!send(fds[i], seeds[n - 1].bytes, seeds[n - 1].n, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	began = cpu_ns(clock);
	for (size_t i = 0; i < 5; i++)
		assert_true(sd_bus_call_method(bob, NULL, BUS_PATH, BUS_INTERFACE, "Trim", NULL, NULL, "ia{sv}",
					       FAKE_BOBS, 0) >= 0);
	assert_true(cpu_ns(clock) - began < 1000000000);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	sd_bus_flush_close_unref(bob);
}

int main(void)
{
#define TEST(fn) BUS_WORLD_TEST(fn, world)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues),
		cmocka_unit_test(test_lengths),
		TEST(test_spoilt),
		TEST(test_huge),
		TEST(test_flood),
	};

	if (geteuid() != 0)
		return bus_world_skip();
	return cmocka_run_group_tests_name("bus-raw", tests, NULL, NULL);
}
