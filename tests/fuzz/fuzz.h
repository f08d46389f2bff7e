/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each fuzzer has: the entries that libFuzzer calls, its own help, and how one says that something is wrong. */
#ifndef RECLAIM_TESTS_FUZZ_H
#define RECLAIM_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Not assert(): it must hold in every build. */
#define MUST(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

/* A mutator's own choices: the same ones for the same seed, else a finding could not be made again. */
static inline uint64_t fuzz_seed(unsigned int seed)
{
	return seed * 0x9e3779b97f4a7c15ull + 1;
}

static inline uint64_t fuzz_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

#endif
