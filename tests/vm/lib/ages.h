/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long a process's anonymous memory has been idle, by kind. */
#pragma once

#include "facts.h"

#define AGES_KINDS 4
#define AGES_BUCKETS 16

struct ages_histogram {
	uint32_t kind; /* enum reclaim_kind */
	uint64_t idle_ms[AGES_BUCKETS], bytes[AGES_BUCKETS];
	int count;
};

struct ages {
	struct proc p; /* attributes that aren't histograms */
	struct ages_histogram list[AGES_KINDS];
	int count;
	bool wrong; /* not as the specification says */
};

/* 0 or a negative errno */
int ages_get(struct genl *g, pid_t pid, struct ages *ret);
/* Bytes of all kinds that have been idle for at least so long */
uint64_t ages_idle(const struct ages *a, uint64_t ms);
