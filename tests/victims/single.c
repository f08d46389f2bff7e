/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread that allocates and frees without a pause. glibc takes no lock in
 * such a process, so a tool that only looks at the lock walks into the middle
 * of malloc. --all adds realloc, calloc and memalign; --sleep-us a short sleep
 * every 100 rounds; --work spends time outside malloc in between.
 */
#include "victim.h"

#define SLOTS 1024

static struct block *slot[SLOTS];
static uint64_t seed = 42;

static void check(const struct block *b)
{
	int bad = b ? block_bad(b) : 0;

	if (bad)
		complain("block %p damaged (%d)", (const void *)b, bad);
}

static struct block *other_ways(struct block *old, size_t size, unsigned int how)
{
	struct block *b;

	if (how == 0) {
		size_t n = old ? old->size : 0;
		uint64_t s = old ? old->seed : 0;

		b = realloc(old, size);
		/* the common part must have come along */
		for (size_t i = 0; b && n && i + sizeof(*b) + 8 < (n < size ? n : size); i++)
			if (b->body[i] != (unsigned char)s) {
				complain("realloc lost data");
				break;
			}
		return b;
	}
	free(old);
	if (how == 1) {
		b = calloc(1, size);
		for (size_t i = 0; b && i < size; i++)
			if (((unsigned char *)b)[i]) {
				complain("calloc gave used memory");
				break;
			}
		return b;
	}
	return memalign(64u << (rnd(&seed) % 7), size);
}

static void once(int all)
{
	uint64_t r = rnd(&seed);
	size_t size = BLOCK_MIN + (r >> 20) % (r % 50 ? 1500 : 60000);
	struct block **b = &slot[(r >> 8) % SLOTS];

	check(*b);
	if (all && r % 3 == 0) {
		*b = other_ways(*b, size, (r >> 4) % 3);
	} else {
		free(*b);
		*b = malloc(size);
	}
	if (!*b)
		die("malloc");
	block_fill(*b, size, rnd(&seed));
}

static void release_half(void)
{
	for (int i = 0; i < SLOTS / 2; i++) {
		check(slot[i]);
		free(slot[i]);
		slot[i] = NULL;
	}
}

int main(int argc, char **argv)
{
	unsigned long sleep_us = opt_num(argc, argv, "sleep-us", 0), work = opt_num(argc, argv, "work", 0);
	int all = opt(argc, argv, "all", NULL) != NULL;
	struct self self;

	vstat_open(argc, argv);
	self_save(&self);
	for (int i = 0; i < SLOTS * 4; i++)
		once(all);
	errno = ERRNO_CANARY;
	vs->ready = 1;
	while (!vs->stop) {
		for (int i = 0; i < 100; i++) {
			once(all);
			for (volatile unsigned long w = 0; w < work; w++)
				;
		}
		if (!(vs->rounds % 256))
			release_half();
		if (errno != ERRNO_CANARY)
			complain("errno is %d", errno);
		if (!(vs->rounds % 32))
			self_check(&self, "single");
		if (sleep_us) {
			struct timespec ts = { .tv_nsec = (long)sleep_us * 1000 };
			uint64_t t = now_us();

			if (nanosleep(&ts, NULL))
				complain("nanosleep: errno %d", errno);
			if (now_us() - t < sleep_us)
				complain("nanosleep came back early");
		}
		errno = ERRNO_CANARY;
		vs->rounds++;
		vs->progress[0]++;
	}
	for (int i = 0; i < SLOTS; i++)
		check(slot[i]);
	return vstat_finish();
}
