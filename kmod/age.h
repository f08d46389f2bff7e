/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For how many intervals of the sampler each piece (granule) of an address
 * space has been idle: a byte for each, in chunks of one PMD's range.
 *
 * Only the sampler writes, and who has them begin anew: both under the lock of
 * its target. Others read under RCU.
 */
#ifndef RECLAIM_AGE_H
#define RECLAIM_AGE_H

#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/pgtable.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/xarray.h>

#define RECLAIM_AGE_MAX 254
/* Begun anew since the last walk: the next one takes it for accessed. */
#define RECLAIM_AGE_RESET 255
/* 0; 1; 2 to 3; 4 to 7; and so on. The last one's 254 means that or more. */
#define RECLAIM_AGE_BUCKETS 9

struct reclaim_age_chunk {
	struct rcu_head rcu;
	u32 pass; /* of the last walk that found something in it */
	u8 shift; /* of a granule, as it was when this was made: readers may come late */
	bool reset; /* one of them may have begun anew */
	u8 age[];
};

struct reclaim_ages {
	struct xarray chunks; /* by address / PMD_SIZE */
	unsigned int shift; /* of a granule */
	u32 pass;
	bool incomplete; /* in this pass a chunk wasn't to be had */
};

void reclaim_ages_init(struct reclaim_ages *ages, unsigned int granule);
void reclaim_ages_destroy(struct reclaim_ages *ages);
/* Forgets all, and goes on with another granule. */
void reclaim_ages_restart(struct reclaim_ages *ages, unsigned int granule);

/* The chunk of @addr or NULL. Under RCU, or by the sampler. */
struct reclaim_age_chunk *reclaim_ages_find(struct reclaim_ages *ages, unsigned long addr);
/* The same, cheaper for one behind the last. @xas: of ages->chunks, reset at the begin of what RCU holds. */
struct reclaim_age_chunk *reclaim_ages_find_next(struct xa_state *xas, unsigned long addr);
/* The same as the first, made when it isn't there. By the sampler; doesn't sleep. */
struct reclaim_age_chunk *reclaim_ages_get(struct reclaim_ages *ages, unsigned long addr);
/* After a whole walk: chunks that it found empty go. */
void reclaim_ages_sweep(struct reclaim_ages *ages);
/* Whatever has a part in @start to @end begins anew. */
void reclaim_ages_reset(struct reclaim_ages *ages, unsigned long start, unsigned long end);

static inline u8 *reclaim_age_slot(struct reclaim_age_chunk *chunk, unsigned long addr)
{
	return &chunk->age[(addr & ~PMD_MASK) >> chunk->shift];
}

static inline size_t reclaim_age_slots(const struct reclaim_age_chunk *chunk)
{
	return PMD_SIZE >> chunk->shift;
}

/* Has any of it begun anew? For huge pages, which are one granule, and many: they don't look for it each time. */
static inline bool reclaim_age_is_reset(const struct reclaim_age_chunk *chunk)
{
	return READ_ONCE(chunk->reset) && memchr(chunk->age, RECLAIM_AGE_RESET, reclaim_age_slots(chunk));
}

/* The age from which on something is idle for @ms. */
unsigned int reclaim_age_ticks(unsigned int ms, unsigned int interval_ms);

static inline unsigned int reclaim_age_bucket(u8 age)
{
	return fls(age);
}

/* Its smallest age */
static inline unsigned int reclaim_age_bucket_start(unsigned int bucket)
{
	return bucket ? 1U << (bucket - 1) : 0;
}

/* The age after a look @ticks later that saw no sign of access, or saw one. */
static inline u8 reclaim_age_next(u8 age, unsigned int ticks, bool accessed)
{
	return accessed || age == RECLAIM_AGE_RESET ? 0 : min_t(unsigned int, age + ticks, RECLAIM_AGE_MAX);
}

#endif
