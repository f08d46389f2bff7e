// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=65536 -len_control=0 */
/*
 * What a worker sends, when its reader has been misled or it is none of ours:
 * a result, or facts message by message. What is accepted is printed.
 * Byte 0: which; then for facts each message with its length in two bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/intake.h"
#include "core/worker-client.h"
#include "ctl/explain.h"
#include "ctl/notes.h"
#include "fuzz.h"

static const struct worker_request request = {
	.magic = WORKER_MAGIC,
	.version = WORKER_VERSION,
	.pid = 4711,
	.start_time = 42,
	.op = WORKER_OP_EXPLAIN,
	.flags = WORKER_F_CELLS,
	.timeout_us = 1000000,
};

static void take_result(const uint8_t *data, size_t size)
{
	struct worker_result res = { 0 };
	const char *why = NULL;

	memcpy(&res, data, MIN(size, sizeof(res)));
	if (worker_result_check(&res, size, &request, &why) < 0) {
		MUST(why && *why);
		return;
	}
	MUST(size == sizeof(res) && res.pid == request.pid && res.nsteps <= WORKER_STEPS_MAX);
	MUST(memchr(res.comm, 0, sizeof(res.comm)) && memchr(res.reason, 0, sizeof(res.reason)));
	for (uint32_t i = 0; i < WORKER_STEPS_MAX; i++)
		MUST(memchr(res.steps[i].detail, 0, sizeof(res.steps[i].detail)));
}

static void show(const struct explain_answer *a)
{
	struct ctl ctl = { .json = true, .proc = -1 };
	struct explanation e = { .proc = { .pid = 4711, .rss = 1 << 30, .anon = 1 << 30 }, .answer = *a };

	MUST(account_fill(&e, NULL, 0) == 0);
	notes_compose(&e, &e.notes);
	MUST(e.notes.n <= NOTES_MAX && e.notes.findings <= e.notes.n);
	for (size_t i = 0; i < e.notes.n; i++)
		MUST(memchr(e.notes.text[i], 0, NOTE_MAX));
	(void)!explain_print_json(&ctl, &e);
	ctl.json = false;
	(void)!explain_print_text(&ctl, &e, true);
	free(e.kinds);
}

static void take_facts(const uint8_t *data, size_t size)
{
	struct intake in = { .req = &request };
	const char *fault = "";
	int fds[2], r = 0;

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	while (r == 0 && size > 2) {
		size_t len = MIN((size_t)data[0] | (size_t)data[1] << 8, size - 2);

		MUST(len == 0 || send(fds[1], data + 2, len, MSG_DONTWAIT) == (ssize_t)len);
		data += 2 + len;
		size -= 2 + len;
		r = len ? intake_receive(&in, fds[0], &fault) : 0;
	}
	MUST(r >= 0 || r == -EBADMSG || r == -EAGAIN || r == -EPIPE);
	MUST(r != -EBADMSG || *fault);
	if (r == 1)
		show(&in.answer);
	intake_done(&in);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *null;

	/* What is printed goes nowhere, but it is printed. */
	if (!null)
		null = freopen("/dev/null", "w", stdout);
	MUST(null);
	if (size && data[0] % 2)
		take_result(data + 1, size - 1);
	else if (size)
		take_facts(data + 1, size - 1);
	return 0;
}

static void put(uint8_t *at, const void *v, size_t len, uint64_t random)
{
	memcpy(at, v, len);
	/* A word of it is something else. */
	if (random % 4)
		((uint64_t *)(void *)at)[random / 4 % (len / 8)] = random % 3 ? random >> random % 64 : UINT64_MAX;
}

/* Nobody guesses heads of some kilobytes: a good one, a word of it changed, or whatever was there mutated. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	static struct explain_head head __attribute__((aligned(8)));
	static struct worker_result result __attribute__((aligned(8)));
	static uint8_t buf[sizeof(head) > sizeof(result) ? sizeof(head) : sizeof(result)] __attribute__((aligned(8)));
	const uint64_t random = seed * 0x9e3779b97f4a7c15ull;
	const bool facts = random & 1 << 20;
	const size_t len = facts ? sizeof(head) : sizeof(result), head_len = facts ? 3 : 1;

	if (seed % 4 == 0 && size + 1 < max) {
		head = (struct explain_head){ .magic = EXPLAIN_MAGIC,
					      .version = EXPLAIN_VERSION,
					      .pid = request.pid,
					      .start_time = request.start_time,
					      .outcome = WORKER_NOTHING };
		head.glibc.layer = EXPLAIN_READ;
		head.python.layer = random & 1 << 21 ? EXPLAIN_READ : 0;
		result = (struct worker_result){ .magic = WORKER_MAGIC,
						 .version = WORKER_VERSION,
						 .pid = request.pid,
						 .start_time = request.start_time,
						 .outcome = WORKER_NOTHING };
		if (head_len + len > max || len > UINT16_MAX)
			return LLVMFuzzerMutate(data, size, max);
		put(buf, facts ? (void *)&head : (void *)&result, len, random);
		data[0] = facts ? 0 : 1;
		if (facts) {
			data[1] = len & 0xff;
			data[2] = (uint8_t)(len >> 8);
		}
		memcpy(data + head_len, buf, len);
		return head_len + len;
	}
	if (size > 64 && seed % 4 == 1) {
		uint64_t v = random % 3 ? random >> random % 64 : UINT64_MAX;

		memcpy(data + 1 + random % (size - 16), &v, sizeof(v));
		return size;
	}
	return LLVMFuzzerMutate(data, size, max);
}
