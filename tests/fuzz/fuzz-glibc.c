// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=262144 -len_control=0 */
/* The glibc reader over recorded heaps that somebody has spoiled. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "glibc-image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct glibc_image gi;

	if (glibc_image_open(data, size, &gi) < 0)
		return 0;
	glibc_image_exercise(&gi);
	glibc_image_close(&gi);
	return 0;
}

static uint64_t word_at(const uint8_t *data, size_t size, uint64_t r)
{
	uint64_t v;

	memcpy(&v, data + r % (size / 8) * 8, sizeof(v));
	return v;
}

/* What a hostile heap would hold: its own addresses, a little off; sizes and flags; extremes. */
static uint64_t word_for(const uint8_t *data, size_t size, uint64_t old, uint64_t *s)
{
	static const uint64_t extremes[] = { 0,
					     1,
					     16,
					     17,
					     UINT64_MAX,
					     UINT64_MAX - 15,
					     1ull << 63,
					     0x7ffffffffff0,
					     0xfffffffffffff0,
					     1ull << 56,
					     0x10000,
					     0xfff };

	switch (fuzz_random(s) % 7) {
	case 0:
		return word_at(data, size, fuzz_random(s));
	case 1:
		return word_at(data, size, fuzz_random(s)) + (fuzz_random(s) % 65 - 32) * 16;
	case 2:
		return fuzz_random(s) % 4096 * 16 + fuzz_random(s) % 8;
	case 3:
		return extremes[fuzz_random(s) % (sizeof(extremes) / sizeof(extremes[0]))];
	case 4:
		return old ^ 1ull << fuzz_random(s) % 64;
	case 5:
		return old + (fuzz_random(s) % 513 - 256) * 16;
	default:
		return fuzz_random(s);
	}
}

/*
 * Whole words, mostly those that are not zero: libFuzzer's own byte mutations
 * of 200 KiB rarely meet a pointer, and rarely leave the image an image.
 */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	uint64_t s = fuzz_seed(seed), n;

	if (size < 4096 + 8 || fuzz_random(&s) % 16 == 0)
		return LLVMFuzzerMutate(data, size, max);
	n = 1 + fuzz_random(&s) % 4;
	for (uint64_t i = 0, tries = 0; i < n && tries < 1000; tries++) {
		size_t at = (fuzz_random(&s) % 3 ? size % 4096 : 0) + fuzz_random(&s) % (size / 8 - 512) * 8;
		uint64_t old, v;

		if (at > size - sizeof(v))
			continue;
		memcpy(&old, data + at, sizeof(old));
		if ((!old || old == 0x5a5a5a5a5a5a5a5aull) && fuzz_random(&s) % 64)
			continue;
		v = word_for(data, size, old, &s);
		memcpy(data + at, &v, sizeof(v));
		i++;
	}
	return size;
}
