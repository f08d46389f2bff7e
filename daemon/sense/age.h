/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long the pages of something have been idle: bytes by age. Only the kernel module can tell. */
#ifndef RECLAIM_SENSE_AGE_H
#define RECLAIM_SENSE_AGE_H

#include <stddef.h>
#include <stdint.h>

#define AGE_BUCKETS 16

struct age {
	size_t n; /* 0: unknown */
	struct age_bucket {
		uint64_t idle_us, bytes; /* idle for at least so long, and shorter than the next one's */
	} v[AGE_BUCKETS]; /* the youngest first */
};

/* Bytes that have been idle for @idle_us or longer; all of them with 0. */
uint64_t age_bytes(const struct age *a, uint64_t idle_us);

/* At least half of the bytes have been idle for so long; UINT64_MAX when unknown or when there are none. */
uint64_t age_median_us(const struct age *a);

#endif
