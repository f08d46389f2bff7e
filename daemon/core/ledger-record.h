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
/* Another layout is another number. New records are of the second one; the first is still read. */
#define LEDGER_MAGIC_1 0x314c4352u /* "RCL1": without slice, control group and real user */
#define LEDGER_MAGIC 0x324c4352u /* "RCL2" */

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
	char boot_id[33], reason[24], comm[65];
	union {
		struct {
			char exe[LEDGER_NAME], unit[LEDGER_NAME], words[LEDGER_WORDS];
			char spare[86]; /* zeros */
		} v1;
		/* Of each text only what it has: exe, unit, slice, cgroup, words, a NUL behind each, then zeros. */
		struct {
			uint32_t real_uid;
			uint64_t swapped, swap, faults;
			char texts[762];
		} __attribute__((packed)) v2;
	};
};

_Static_assert(sizeof(struct ledger_slot) == LEDGER_SLOT, "a ledger slot is a file format");

void ledger_slot_fill(struct ledger_slot *s, const struct ledger_record *rec, uint64_t seq);
void ledger_slot_seal(struct ledger_slot *s); /* the checksum of what is in it; part of ledger_slot_fill() */

/* Is it whole, and the record @seq? What is misplaced is as wrong as what is damaged. */
bool ledger_slot_valid(const struct ledger_slot *s, uint64_t seq);
/* The same without the checksum, which takes most of the time: enough to see that it isn't what is looked for. */
bool ledger_slot_plausible(const struct ledger_slot *s, uint64_t seq);
void ledger_slot_read(const struct ledger_slot *s, struct ledger_record *ret); /* of a plausible one */

bool ledger_filter_match(const struct ledger_filter *f, const struct ledger_record *rec);

#endif
