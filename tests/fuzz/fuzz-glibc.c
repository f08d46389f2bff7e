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
		v = fuzz_word(data, size, old, &s);
		memcpy(data + at, &v, sizeof(v));
		i++;
	}
	return size;
}
