/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The books of tests/victims/heaps.c: which blocks it holds; and the symbol versions that it is bound to. */
#ifndef TESTS_HEAPS_H
#define TESTS_HEAPS_H

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "oldsyms.h"

#define BLOCKS_MAX 4000000

static void **blocks; /* mapped, not malloc'ed: our books must not be part of the heap */
static _Atomic size_t n_blocks;
static _Atomic int64_t live; /* bytes of chunks that we hold, mapped ones not included */
static _Atomic int threads_ready, phase, busy_stop;
static char out_buf[1 << 16];
static unsigned long scale = 1;

static void die(const char *what)
{
	perror(what);
	_exit(99);
}

static size_t chunk_size(const void *p)
{
	/* The compiler knows where the block begins, and not that there is a header before it. */
	__asm__("" : "+r"(p));
	return ((const size_t *)p)[-1];
}

static void *take(size_t size)
{
	void *p = malloc(size);

	if (!p)
		die("malloc");
	memset(p, 0x5a, size);
	if (!(chunk_size(p) & 2))
		live += (int64_t)(chunk_size(p) & ~7ul);
	return p;
}

static void give(void *p)
{
	if (p && !(chunk_size(p) & 2))
		live -= (int64_t)(chunk_size(p) & ~7ul);
	free(p);
}

static size_t keep(size_t size)
{
	size_t i = n_blocks++;

	if (i >= BLOCKS_MAX)
		_exit(98);
	blocks[i] = take(size);
	return i;
}

static void drop(size_t i)
{
	give(blocks[i]);
	blocks[i] = NULL;
}

static void drop_some(size_t from, size_t to, size_t all_but)
{
	for (size_t i = from; i < to; i++)
		if (!all_but || i % all_but)
			drop(i);
}

#endif
