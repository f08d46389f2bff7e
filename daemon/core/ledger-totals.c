// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/ledger-totals.h"

#include <string.h>

#include "base/text.h"
#include "reclaim/worker.h"

#define LAST_CHECK_US (600 * 1000000ull)
#define GROWTH 16 /* entries at a time */

void ledger_totals_done(struct ledger_totals *t)
{
	free(t->v);
	*t = (struct ledger_totals){ 0 };
}

/* NULL: no memory. */
static struct ledger_total *total_of(struct ledger_totals *t, const char *program)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->v[i].program, program))
			return &t->v[i];
	if (t->n == LEDGER_PROGRAMS_MAX)
		return &t->rest;
	if (t->n % GROWTH == 0) {
		struct ledger_total *v = reallocarray(t->v, t->n + GROWTH, sizeof(*v));

		if (!v)
			return NULL;
		t->v = v;
	}
	t->v[t->n] = (struct ledger_total){ 0 };
	text_format(t->v[t->n].program, sizeof(t->v[t->n].program), "%s", program);
	return &t->v[t->n++];
}

static uint64_t known(uint64_t v)
{
	return v == LEDGER_UNKNOWN ? 0 : v;
}

static void add_action(struct ledger_total *t, const struct ledger_record *rec)
{
	const bool refused = !strcmp(rec->reason, "refused");
	const bool done = !strcmp(rec->reason, "reclaimed") || !strcmp(rec->reason, "nothing");

	t->stopped_us += known(rec->stopped_us);
	/* This and what was freed also by one that failed later on. */
	t->swapped += rec->swapped;
	t->refused += refused;
	t->failed += !refused && !done;
	t->actions += done;
	if (refused || (!done && rec->freed <= 0))
		return;
	t->freed += ledger_not_swapped(rec, (uint64_t)MAX(rec->freed, 0));
	t->predicted += ledger_not_swapped(rec, known(rec->predicted));
}

static void add_check(struct ledger_total *t, const struct ledger_record *rec)
{
	const uint64_t was = known(rec->predicted);

	if (rec->after_us < LAST_CHECK_US)
		return;
	t->swapped_back += rec->swapped;
	/* As it wasn't freed it isn't kept either. */
	if (rec->remedies & WORKER_REMEDY_PAGEOUT)
		return;
	t->checked += was;
	/* It may have become smaller by itself since. */
	t->kept += MIN((uint64_t)MAX(rec->freed, 0), was);
}

static void add(struct ledger_total *t, const struct ledger_record *rec)
{
	t->looks += rec->kind == LEDGER_LOOK;
	t->would += rec->kind == LEDGER_WOULD;
	if (rec->kind == LEDGER_ACTION)
		add_action(t, rec);
	if (rec->kind == LEDGER_CHECK)
		add_check(t, rec);
	t->last_real_us = MAX(t->last_real_us, rec->real_us);
}

int ledger_totals_add(struct ledger_totals *t, const struct ledger_record *rec)
{
	const uint32_t counted = 1u << LEDGER_LOOK | 1u << LEDGER_WOULD | 1u << LEDGER_ACTION | 1u << LEDGER_CHECK;
	char program[LEDGER_NAME];
	struct ledger_total *own;

	/* Not for the many that are only left alone: those places are for programs that something was done to. */
	if (!rec->pid || !(counted & 1u << rec->kind))
		return 0;
	text_format(program, sizeof(program), *rec->exe ? "%s" : "[%s]", *rec->exe ? rec->exe : rec->comm);
	own = total_of(t, program);
	if (!own)
		return -ENOMEM;
	add(own, rec);
	add(&t->all, rec);
	return 0;
}
