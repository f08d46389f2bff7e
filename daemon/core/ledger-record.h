/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One record as it lies on disk. All are of one size, which divides a page and
 * a disk block: where the next one begins is known whatever became of this one,
 * and one that is damaged costs no other.
 */
#ifndef RECLAIM_CORE_LEDGER_RECORD_H
#define RECLAIM_CORE_LEDGER_RECORD_H

#include "core/ledger.h"

#define LEDGER_SLOT 1024u
#define LEDGER_MAGIC 0x314c4352u /* "RCL1"; another layout is another number */

struct ledger_slot {
	uint32_t magic, sum; /* CRC-32 of all that follows */
	uint64_t seq, real_us, boot_us;
	uint32_t kind;
	int32_t pid;
	uint64_t start_time;
	uint32_t uid, remedies;
	uint64_t predicted;
	int64_t freed;
	uint64_t rss_before, rss_after, stopped_us, duration_us, after_us;
	char boot_id[33], reason[24], comm[65], exe[LEDGER_NAME], unit[LEDGER_NAME], words[LEDGER_WORDS];
	char pad[6]; /* zeros */
	uint64_t swapped, swap, faults; /* zeros in what older versions wrote */
	char spare[56]; /* zeros */
};

_Static_assert(sizeof(struct ledger_slot) == LEDGER_SLOT, "a ledger slot is a file format");

void ledger_slot_fill(struct ledger_slot *s, const struct ledger_record *rec, uint64_t seq);

/* Is it whole, and the record @seq? What is misplaced is as wrong as what is damaged. */
bool ledger_slot_valid(const struct ledger_slot *s, uint64_t seq);
/* The same without the checksum, which takes most of the time: enough to see that it isn't what is looked for. */
bool ledger_slot_plausible(const struct ledger_slot *s, uint64_t seq);
void ledger_slot_read(const struct ledger_slot *s, struct ledger_record *ret); /* of a plausible one */

bool ledger_filter_match(const struct ledger_filter *f, const struct ledger_record *rec);

#endif
