/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ledger in a folder of its own, with records of which every byte can be told from their number. */
#ifndef RECLAIM_TESTS_LEDGER_FAKE_H
#define RECLAIM_TESTS_LEDGER_FAKE_H

#include <sys/types.h>

#include "core/ledger-segment.h"

#define LEDGER_FAKE_BOOT "0123456789abcdef0123456789abcdef"

extern char ledger_fake_folder[32];

int ledger_fake_setup(void **state); /* cmocka's */
int ledger_fake_teardown(void **state);

struct ledger_record ledger_fake_record(uint64_t seq);
/* Every member is what ledger_fake_record() of its seq says. */
void ledger_fake_check(const struct ledger_record *rec);

struct ledger *ledger_fake_open(uint64_t max);
void ledger_fake_append(struct ledger *l, uint64_t first, uint64_t n); /* and these are their numbers */

/* What a reader is told: checked, and in order. @stop_after: says 17 after so many; 0: never. */
struct ledger_told {
	uint64_t n, first, last, damaged;
	uint64_t stop_after;
};
int ledger_fake_tell(void *arg, const struct ledger_record *rec);
struct ledger_told ledger_fake_read(const struct ledger_filter *f); /* NULL: all */
void ledger_fake_want(struct ledger_told t, uint64_t n, uint64_t first, uint64_t last, uint64_t damaged);

int ledger_fake_segment(uint64_t first); /* an fd */
uint64_t ledger_fake_bytes(size_t *ret_n); /* of all segments, and how many there are */

#endif
