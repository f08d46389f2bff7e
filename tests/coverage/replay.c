// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stands in for libFuzzer in a coverage build: a fuzzer's corpus, spoiled again and again
 * by a generator that begins at the same place each time. Finds nothing new by itself, but
 * runs what only hostile structures run.
 *
 * usage: fuzz-NAME SECONDS FILE...
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUT_MAX (1u << 20)
#define SPOILED 200 /* of each file, before the next one's turn */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed) __attribute__((weak));

static uint64_t seed = 88172645463325252ull;

static uint64_t random_word(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Some bytes, words, or all from somewhere on. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max)
{
	static const uint64_t odd[] = { 0, 1, 7, 0xff, 0x1000, 1ull << 31, 1ull << 47, UINT64_MAX };

	(void)max;
	for (uint64_t n = 1 + random_word() % 8; size >= 8 && n; n--) {
		const size_t at = random_word() % (size - 7);
		uint64_t v = random_word();

		v = v & 1 ? odd[v >> 1 & 7] : v;
		memcpy(data + at, &v, random_word() & 1 ? 1 : random_word() & 1 ? 4 : 8);
	}
	return random_word() % 64 ? size : size - size / 4;
}

static size_t spoil(uint8_t *data, size_t size)
{
	if (LLVMFuzzerCustomMutator)
		return LLVMFuzzerCustomMutator(data, size, INPUT_MAX, (unsigned int)random_word());
	return LLVMFuzzerMutate(data, size, INPUT_MAX);
}

static size_t load(const char *path, uint8_t *data)
{
	FILE *f = path ? fopen(path, "r") : NULL;
	size_t size = 4096;

	if (!path) /* nothing but noise */
		for (size_t i = 0; i < size; i++)
			data[i] = (uint8_t)random_word();
	else
		size = f ? fread(data, 1, INPUT_MAX, f) : 0;
	if (f)
		(void)fclose(f);
	return size;
}

int main(int argc, char **argv)
{
	uint8_t *data = malloc(INPUT_MAX);
	time_t end;

	if (argc < 2 || !data)
		return 2;
	end = time(NULL) + strtol(argv[1], NULL, 10);
	while (time(NULL) < end) {
		for (int i = 2; i <= argc; i++) {
			size_t size = load(argv[i], data);

			(void)LLVMFuzzerTestOneInput(data, size);
			for (int n = 0; n < SPOILED && time(NULL) < end; n++) {
				size = load(argv[i], data);
				(void)LLVMFuzzerTestOneInput(data, spoil(data, size));
			}
		}
	}
	free(data);
	return 0;
}
