// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bitops.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "age.h"
#include "tunable.h"

static size_t chunk_size(unsigned int shift)
{
	return sizeof(struct reclaim_age_chunk) + (PMD_SIZE >> shift);
}

static void chunk_free(struct reclaim_age_chunk *chunk)
{
	atomic64_sub(chunk_size(chunk->shift), &reclaim_stats.age_bytes);
	kfree_rcu(chunk, rcu);
}

void reclaim_ages_init(struct reclaim_ages *ages, unsigned int granule)
{
	xa_init(&ages->chunks);
	ages->shift = ilog2(granule);
	ages->pass = 1;
	ages->incomplete = false;
}

void reclaim_ages_destroy(struct reclaim_ages *ages)
{
	struct reclaim_age_chunk *chunk;
	unsigned long index;

	xa_for_each(&ages->chunks, index, chunk) {
		xa_erase(&ages->chunks, index);
		chunk_free(chunk);
		cond_resched();
	}
	xa_destroy(&ages->chunks);
}

void reclaim_ages_restart(struct reclaim_ages *ages, unsigned int granule)
{
	reclaim_ages_destroy(ages);
	reclaim_ages_init(ages, granule);
}

struct reclaim_age_chunk *reclaim_ages_find(struct reclaim_ages *ages, unsigned long addr)
{
	return xa_load(&ages->chunks, addr >> PMD_SHIFT);
}

/* What the sampler does to the tree meanwhile may go unnoticed: then there is no chunk, and no age. */
struct reclaim_age_chunk *reclaim_ages_find_next(struct xa_state *xas, unsigned long addr)
{
	unsigned long index = addr >> PMD_SHIFT;
	void *entry;

	do {
		if (xas_valid(xas) && xas->xa_node && xas->xa_index + 1 == index) {
			entry = xas_next(xas);
		} else {
			xas_set(xas, index);
			entry = xas_load(xas);
		}
	} while (xas_retry(xas, entry));
	return entry;
}

/*
 * Called under a target's mmap lock, so no waiting for memory. The bound is
 * one for all targets; what goes over it looks as if it were in use.
 */
struct reclaim_age_chunk *reclaim_ages_get(struct reclaim_ages *ages, unsigned long addr)
{
	struct reclaim_age_chunk *chunk = reclaim_ages_find(ages, addr);
	s64 limit = (s64)reclaim_tunable(age_max_kb) << 10;
	size_t size = chunk_size(ages->shift);

	if (chunk)
		return chunk;

	if (atomic64_read(&reclaim_stats.age_bytes) + (s64)size > limit)
		goto err_failed;

	chunk = kzalloc(size, GFP_NOWAIT | __GFP_NOWARN);
	if (!chunk)
		goto err_failed;
	chunk->shift = ages->shift;

	if (xa_err(xa_store(&ages->chunks, addr >> PMD_SHIFT, chunk, GFP_NOWAIT | __GFP_NOWARN)))
		goto err_chunk;

	atomic64_add(size, &reclaim_stats.age_bytes);
	return chunk;

err_chunk:
	kfree(chunk);
err_failed:
	atomic64_inc(&reclaim_stats.age_failures);
	ages->incomplete = true;
	return NULL;
}

void reclaim_ages_sweep(struct reclaim_ages *ages)
{
	struct reclaim_age_chunk *chunk;
	unsigned long index;

	xa_for_each(&ages->chunks, index, chunk) {
		if (chunk->pass != ages->pass) {
			xa_erase(&ages->chunks, index);
			chunk_free(chunk);
		}
		cond_resched();
	}
}

void reclaim_ages_reset(struct reclaim_ages *ages, unsigned long start, unsigned long end)
{
	unsigned long index, first = start >> PMD_SHIFT, last = (end - 1) >> PMD_SHIFT;
	struct reclaim_age_chunk *chunk;

	xa_for_each_range(&ages->chunks, index, chunk, first, last) {
		u8 *from = index == first ? reclaim_age_slot(chunk, start) : chunk->age;
		u8 *to = index == last ? reclaim_age_slot(chunk, end - 1) : chunk->age + reclaim_age_slots(chunk) - 1;

		memset(from, RECLAIM_AGE_RESET, to - from + 1);
		WRITE_ONCE(chunk->reset, true);
		cond_resched();
	}
}

/* What an age can't count up to is taken for idle when it is as old as one can be. */
unsigned int reclaim_age_ticks(unsigned int ms, unsigned int interval_ms)
{
	return clamp_t(u64, DIV_ROUND_UP_ULL(ms, interval_ms), 1, RECLAIM_AGE_MAX);
}
