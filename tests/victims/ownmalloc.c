/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program with its own malloc: libc's malloc_trim would trim a heap that nobody uses. */
#include "victim.h"

static char arena[64 << 20] __attribute__((aligned(16)));
static size_t used;

void *malloc(size_t n)
{
	char *p = arena + used + 16;

	n = (n + 15) & ~(size_t)15;
	if (used + n + 16 > sizeof(arena))
		return NULL;
	*(size_t *)(void *)(arena + used) = n;
	used += n + 16;
	return p;
}

void free(void *p)
{
	(void)p;
}

void *calloc(size_t n, size_t size)
{
	return malloc(n * size); /* never handed out twice, so always zero */
}

void *realloc(void *old, size_t n)
{
	void *p = malloc(n);

	if (p && old) {
		size_t o = *(size_t *)(void *)((char *)old - 16);

		memcpy(p, old, o < n ? o : n);
	}
	return p;
}

int main(int argc, char **argv)
{
	struct block *keep[8];

	vstat_open(argc, argv);
	bloat_make(4096, keep, 8);
	vs->ready = 1;
	idle_until_stop();
	bloat_check(keep, 8);
	return vstat_finish();
}
