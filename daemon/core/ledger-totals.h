/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What records add up to, of all together and of each program. */
#ifndef RECLAIM_CORE_LEDGER_TOTALS_H
#define RECLAIM_CORE_LEDGER_TOTALS_H

#include "core/ledger.h"

/* So many programs have a total of their own; those that come later share one. Anybody may invent programs. */
#define LEDGER_PROGRAMS_MAX 256

struct ledger_total {
	char program[LEDGER_NAME]; /* raw: its path, or "[COMM]" when that is unknown; "" of all, and of the rest */
	uint64_t looks, would;
	uint64_t actions, refused, failed; /* that ended so; interrupted ones count as failed */
	uint64_t freed, predicted, stopped_us; /* bytes, bytes, us; what a target grew meanwhile isn't in it */
	uint64_t checked, kept; /* bytes that had been freed ten minutes before, and what of them was still gone */
	uint64_t swapped, swapped_back; /* bytes moved to swap, and what of them was back ten minutes later */
	uint64_t last_real_us; /* of its last record */
};

struct ledger_totals {
	struct ledger_total all, rest;
	struct ledger_total *v; /* malloc'ed, in the order of their first appearance */
	size_t n;
};

/* Records that are about no process change nothing. 0 or -ENOMEM, and nothing was added. */
int ledger_totals_add(struct ledger_totals *t, const struct ledger_record *rec) __must_check;
void ledger_totals_done(struct ledger_totals *t); /* accepts zeroed */

#endif
