// SPDX-License-Identifier: GPL-2.0-or-later
/* The map of an explanation as it arrives: whole and in order, or not at all. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "core/intake.h"

#define NCELLS 1200
#define SIZE 8192

/* Two cells at each address, of two owners. */
static struct explain_cell cell(uint32_t i)
{
	return (struct explain_cell){
		.at = (uint64_t)i / 2 * SIZE,
		.owner = 1 + i % 2,
		.arena = i,
		.in_use = SIZE / 4,
		.cached = SIZE / 4,
		.free_gone = SIZE / 2,
		.resident = SIZE / 2,
		.swapped = SIZE / 2,
	};
}

static struct explain_head head_of(uint32_t ncells)
{
	return (struct explain_head){
		.magic = EXPLAIN_MAGIC,
		.version = EXPLAIN_VERSION,
		.pid = 12345,
		.outcome = WORKER_NOTHING,
		.ncells = ncells,
		.cell_size = SIZE,
	};
}

/* What intake says at last to @head and @n cells in parts of @each, of which cell @bad has been changed by @spoil. */
static int take(uint32_t flags, const struct explain_head *head, uint32_t n, uint32_t each,
		void (*spoil)(struct explain_cell *c), struct intake *in, const char **ret_fault)
{
	static struct explain_part part;
	static struct worker_request req;
	int fds[2], r;

	req = (struct worker_request){ .pid = 12345, .op = WORKER_OP_EXPLAIN, .flags = flags };
	*in = (struct intake){ .req = &req };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(send(fds[1], head, sizeof(*head), 0), sizeof(*head));
	r = intake_receive(in, fds[0], ret_fault);
	for (uint32_t first = 0; first < n && r == 0; first += each) {
		const uint32_t some = MIN(n - first, each);

		part = (struct explain_part){ .magic = EXPLAIN_MAGIC, .kind = EXPLAIN_CELLS, .n = some };
		part.first = first;
		for (uint32_t i = 0; i < some; i++)
			part.cells[i] = cell(first + i);
		if (!first && spoil)
			spoil(&part.cells[5]);
		assert_true(send(fds[1], &part, explain_part_size(EXPLAIN_CELLS, some), 0) > 0);
		r = intake_receive(in, fds[0], ret_fault);
	}
	closep(&fds[1]);
	if (r == 0)
		r = intake_receive(in, fds[0], ret_fault);
	closep(&fds[0]);
	return r;
}

static void test_whole(void **state)
{
	const uint32_t sizes[] = { 1, 500, EXPLAIN_PART_CELLS };
	const struct explain_head head = head_of(NCELLS);

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		_cleanup_(intake_done) struct intake in;
		const char *fault;

		assert_int_equal(take(WORKER_F_CELLS, &head, NCELLS, sizes[k], NULL, &in, &fault), 1);
		for (uint32_t i = 0; i < NCELLS; i++) {
			const struct explain_cell want = cell(i);

			assert_memory_equal(&in.answer.cells[i], &want, sizeof(want));
		}
	}
}

static void test_cut_short(void **state)
{
	const struct explain_head head = head_of(NCELLS);
	_cleanup_(intake_done) struct intake in;
	const char *fault;

	(void)state;
	assert_int_equal(take(WORKER_F_CELLS, &head, NCELLS - 1, 100, NULL, &in, &fault), -EPIPE);
}

/* More than was announced is not waited for; a part that reaches beyond is refused. */
static void test_beyond(void **state)
{
	const struct explain_head head = head_of(NCELLS - 1);
	_cleanup_(intake_done) struct intake in;
	const char *fault;

	(void)state;
	assert_int_equal(take(WORKER_F_CELLS, &head, NCELLS, 100, NULL, &in, &fault), -EBADMSG);
	assert_string_equal(fault, "a part that was not announced");
}

#define SPOIL(name, what)                        \
	static void name(struct explain_cell *c) \
	{                                        \
		what;                            \
	}
SPOIL(full, c->unknown = 1)
SPOIL(wraps, c->cached = UINT32_MAX)
SPOIL(wraps_to_the_same, c->in_use += 1u << 31; c->cached += 1u << 31)
SPOIL(back, c->at = 0)
SPOIL(odd, c->at += SIZE / 2)
SPOIL(at_the_end, c->at = UINT64_MAX - SIZE + 1)
SPOIL(nobodys, c->owner = EXPLAIN_NOWNERS)
SPOIL(ownerless, c->owner = 0)
SPOIL(twice, c->owner = 1)
SPOIL(too_resident, c->resident = SIZE)
SPOIL(resident_wraps, c->resident = UINT32_MAX)
SPOIL(empty, c->in_use = c->cached = c->free_gone = 0)

static void test_wrong_cells(void **state)
{
	static void (*const spoils[])(struct explain_cell *) = { full,	wraps,	      wraps_to_the_same, back,
								 odd,	at_the_end,   nobodys,		 ownerless,
								 twice, too_resident, resident_wraps,	 empty };
	const struct explain_head head = head_of(NCELLS);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(spoils); i++) {
		_cleanup_(intake_done) struct intake in;
		const char *fault = "";
		const int r = take(WORKER_F_CELLS, &head, NCELLS, 400, spoils[i], &in, &fault);

		if (r != -EBADMSG || strcmp(fault, "a map that makes no sense") != 0)
			fail_msg("cell %zu: %d, '%s'", i, r, fault);
	}
}

static void test_wrong_heads(void **state)
{
	struct explain_head heads[] = { head_of(EXPLAIN_CELLS_MAX + 1), head_of(1), head_of(1), head_of(1),
					head_of(1) };

	(void)state;
	heads[1].cell_size = SIZE / 4;
	heads[2].cell_size = 3 * SIZE;
	heads[3].cell_size = 0;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		_cleanup_(intake_done) struct intake in;
		const char *fault = "";
		/* The last one is right: only nobody has asked. */
		const int r = take(i == ARRAY_SIZE(heads) - 1 ? 0 : WORKER_F_CELLS, &heads[i], 0, 1, NULL, &in, &fault);

		if (r != -EBADMSG || !strstr(fault, "a map that nobody asked for"))
			fail_msg("head %zu: %d, '%s'", i, r, fault);
	}
}

/* There need not be one, though it was asked for: memory may be short. */
static void test_none(void **state)
{
	struct explain_head head = head_of(0);
	_cleanup_(intake_done) struct intake in;
	const char *fault;

	(void)state;
	head.cell_size = 0;
	assert_int_equal(take(WORKER_F_CELLS, &head, 0, 1, NULL, &in, &fault), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	    cmocka_unit_test(test_cut_short),	cmocka_unit_test(test_beyond),
		cmocka_unit_test(test_wrong_cells), cmocka_unit_test(test_wrong_heads), cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
