/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks at a process some time after an action: has its memory come back? In bounded space. */
#ifndef RECLAIM_CORE_CHECK_H
#define RECLAIM_CORE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "core/ledger.h"

#define CHECKS_MAX 128

/* 10 s, 1 min, 10 min. */
#define CHECK_STAGES 3
extern const uint64_t check_after_us[CHECK_STAGES];

struct check {
	struct ledger_record action; /* that it is about */
	unsigned int stage; /* the next one */
};

struct checks {
	struct check *v; /* malloc'ed, CHECKS_MAX */
	size_t n;
};

int checks_open(struct checks *ret) __must_check;
void checks_close(struct checks *all); /* accepts zeroed */

/* After @action, instead of what was to be looked at for the same process. When there is no room the oldest goes. */
void checks_add(struct checks *all, const struct ledger_record *action);
/* It was looked at after @after_us already; what was due long ago at @now_us is left out. */
void checks_done(struct checks *all, pid_t pid, uint64_t start_time, uint64_t after_us);
void checks_skip(struct checks *all, uint64_t now_us);

/* When the next one is due, UINT64_MAX: none. */
uint64_t checks_due_us(const struct checks *all);

/* Takes one that is due: its action and after how long. Its next stage stays. */
bool checks_take(struct checks *all, uint64_t now_us, struct ledger_record *ret_action, uint64_t *ret_after_us);

/* It has gone: nothing is due any more. */
void checks_drop(struct checks *all, pid_t pid, uint64_t start_time);

#endif
