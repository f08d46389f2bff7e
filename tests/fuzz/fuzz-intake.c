// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=65536 */
/*
 * What a worker under hostile control may send instead of facts: a head and parts of any length and content.
 * What is taken keeps the promises of explain-check.h, so that nobody behind has to doubt it again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/intake.h"
#include "fuzz.h"

struct source {
	const uint8_t *data;
	size_t left;
};

static uint32_t draw(struct source *s)
{
	uint32_t v = 0;
	const size_t n = MIN(s->left, sizeof(v));

	memcpy(&v, s->data, n);
	s->data += n;
	s->left -= n;
	return v;
}

static void fill(struct source *s, void *buf, size_t size)
{
	const size_t n = MIN(s->left, size);

	memset(buf, 0, size);
	memcpy(buf, s->data, n);
	s->data += n;
	s->left -= n;
}

/* Begins right, since nothing else gets past the first line of the check; what follows is the input's. */
static void make_head(struct source *s, struct explain_head *h)
{
	const uint32_t arenas = draw(s), ranges = draw(s), cells = draw(s), kind = draw(s);

	memset(h, 0, sizeof(*h));
	if (kind % 4 == 3)
		fill(s, h, sizeof(*h));
	h->magic = EXPLAIN_MAGIC;
	h->version = EXPLAIN_VERSION;
	h->pid = 1;
	h->outcome = WORKER_NOTHING;
	h->start_time = 0;
	if (kind % 4 == 3)
		return;
	h->glibc.layer = h->python.layer = EXPLAIN_READ;
	h->narenas = arenas % 260;
	h->nranges = ranges % 1030;
	h->ncells = cells % 1030;
	h->cell_size = 4096u << (kind / 4 % 21);
	h->arenas_total = h->narenas;
}

/* A cell is drawn from few bytes and made plausible, unless the input wants otherwise. */
static void make_cells(struct source *s, struct explain_part *p, const struct explain_head *h)
{
	uint64_t at = (uint64_t)p->first * h->cell_size;

	for (uint32_t i = 0; i < p->n && i < EXPLAIN_PART_CELLS; i++) {
		struct explain_cell *c = &p->cells[i];
		const uint32_t v = draw(s);

		*c = (struct explain_cell){ .at = at, .owner = v % 5, .in_use = v >> 16, .free_gone = v >> 8 & 0xff };
		if (v >> 31)
			fill(s, &c->in_use, sizeof(*c) - offsetof(struct explain_cell, in_use));
		at += h->cell_size * (uint64_t)(v >> 4 & 3);
	}
}

static size_t make_part(struct source *s, const struct explain_head *h, const struct explain_progress *pr,
			struct explain_part *p)
{
	const uint32_t how = draw(s), n = draw(s);

	memset(p, 0, sizeof(*p));
	if (how % 8 == 7)
		fill(s, p, sizeof(*p));
	p->magic = EXPLAIN_MAGIC;
	p->kind = pr->narenas < h->narenas ? EXPLAIN_ARENAS : pr->nranges < h->nranges ? EXPLAIN_RANGES : EXPLAIN_CELLS;
	p->first = p->kind == EXPLAIN_ARENAS ? pr->narenas : p->kind == EXPLAIN_RANGES ? pr->nranges : pr->ncells;
	p->n = 1 + n % 600;
	for (uint32_t i = 0; p->kind == EXPLAIN_RANGES && i < p->n && i < EXPLAIN_PART_RANGES; i++)
		p->ranges[i] = (struct explain_range){ .lo = 2 * (uint64_t)(p->first + i),
						       .hi = 2 * (uint64_t)(p->first + i) + 1 + n % 3,
						       .owner = 1 + how / 8 % 4 };
	if (p->kind == EXPLAIN_CELLS)
		make_cells(s, p, h);
	if (how % 8 == 6)
		p->n = draw(s);
	return how % 8 == 5 ? draw(s) % sizeof(*p) : explain_part_size(p->kind, p->n);
}

static void check(const struct explain_answer *a)
{
	uint64_t sum = 0, last = 0;

	MUST(a->head.narenas <= EXPLAIN_ARENAS_MAX && a->head.nranges <= EXPLAIN_RANGES_MAX &&
	     a->head.ncells <= EXPLAIN_CELLS_MAX);
	MUST(memchr(a->head.reason, 0, sizeof(a->head.reason)) && memchr(a->head.glibc.why, 0, EXPLAIN_TEXT_MAX));
	for (uint32_t i = 0; i < a->head.nranges; i++) {
		MUST(a->ranges[i].lo >= last && a->ranges[i].hi > a->ranges[i].lo);
		last = a->ranges[i].hi;
	}
	for (uint32_t i = 0; i < a->head.ncells; i++) {
		const struct explain_cell *c = &a->cells[i];

		MUST(!i || c->at >= a->cells[i - 1].at);
		MUST(c->owner && c->owner < EXPLAIN_NOWNERS);
		sum += (uint64_t)c->in_use + c->cached + c->free_resident + c->free_shared + c->free_gone + c->overhead;
	}
	MUST(sum <= (uint64_t)a->head.ncells * a->head.cell_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct worker_request req = { .pid = 1, .op = WORKER_OP_EXPLAIN, .flags = WORKER_F_CELLS };
	_cleanup_(intake_done) struct intake in = { .req = &req };
	static struct explain_head head;
	static struct explain_part part;
	struct source s = { data, size };
	const char *fault = NULL;
	int fds[2], r;

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	make_head(&s, &head);
	MUST(send(fds[1], &head, sizeof(head), 0) == sizeof(head));
	r = intake_receive(&in, fds[0], &fault);
	while (r == 0 && s.left) {
		const size_t n = make_part(&s, &head, &in.progress, &part);

		MUST(n == 0 || send(fds[1], &part, n, 0) == (ssize_t)n);
		if (!n)
			break;
		r = intake_receive(&in, fds[0], &fault);
	}
	MUST(r != -EBADMSG || fault);
	if (r == 1)
		check(&in.answer);
	closep(&fds[0]);
	closep(&fds[1]);
	return 0;
}
