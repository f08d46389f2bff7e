/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each fuzzer has: the entries that libFuzzer calls, its own help, and how one says that something is wrong. */
#ifndef RECLAIM_TESTS_FUZZ_H
#define RECLAIM_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

static inline uint64_t fuzz_word_at(const uint8_t *data, size_t size, uint64_t r)
{
	uint64_t v;

	memcpy(&v, data + r % (size / 8) * 8, sizeof(v));
	return v;
}

/* What a hostile target's memory would hold: its own addresses, a little off; sizes and flags; extremes. */
static inline uint64_t fuzz_word(const uint8_t *data, size_t size, uint64_t old, uint64_t *s)
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
		return fuzz_word_at(data, size, fuzz_random(s));
	case 1:
		return fuzz_word_at(data, size, fuzz_random(s)) + (fuzz_random(s) % 65 - 32) * 16;
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

#endif
