/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that lies: its allocator's structures and its address space are
 * such that whoever follows them runs in circles, into nothing, or into memory
 * that never answers. forge --how=NAME [--file=PATH]; "place" in a name: where
 * the pointer leads, by --place=NAME. It never allocates again, and is judged
 * by its registers and mask only.
 */
#include <pthread.h>
#include <sched.h>

#include "victim.h"

#include "forge-obey.h"
#include "forge-place.h"

#define LARGE 70000 /* beyond tcache and fast bins, below the threshold of mmap */
#define NEXT_MAX 4096
#define SCRIBBLED (4 * LARGE)
/* glibc 2.27 and later, as far as it is needed here: malloc_state.top is what bin 1 begins at, and its offset. */
#define TOP_OFFSET 96
#define FAKE_SIZE 2304
#define HEAP_MAX (64 * MIB)

struct chunk {
	uint64_t foot, size, fd, bk;
};

static struct {
	uint64_t *top; /* malloc_state.top of the main arena */
	uint64_t main; /* address of the main arena */
	uint64_t *next; /* its malloc_state.next */
	struct chunk *a, *b; /* two free chunks of the unsorted bin, not neighbours */
} heap;

static uint64_t place; /* where wild pointers lead */
static unsigned int seed;
static size_t count; /* of libraries, */
static off_t offset; /* and what is mapped of them */

/* A block that is going to be freed, and looked at all the same: compilers need not know. */
static uint64_t *hidden(void *p)
{
	__asm__ volatile("" : "+r"(p));
	return p;
}

static struct chunk *chunk_of(uint64_t *p)
{
	return (struct chunk *)(p - 2);
}

/* Between blocks in use, so that nothing merges with them. */
static void heap_find(void)
{
	void *p[NEIGHBOURS];

	for (unsigned int i = 0; i < NEIGHBOURS; i++) {
		p[i] = malloc(LARGE);
		block_fill(p[i], LARGE, i + 1);
		keep[i] = i % 2 ? NULL : p[i];
	}
	heap.a = chunk_of(hidden(p[1]));
	heap.b = chunk_of(hidden(p[3]));
	free(p[1]);
	free(p[3]);
	/* The one of the ring that is no block. */
	heap.top = (uint64_t *)heap.a->fd;
	while ((void *)heap.top < sbrk(0) && heap.top > (uint64_t *)&heap)
		heap.top = (uint64_t *)((struct chunk *)heap.top)->fd;
	heap.main = (uint64_t)heap.top - TOP_OFFSET;
}

/* The ring of arenas, as long as there is one only: the word that leads back to where it is. */
static void next_find(void)
{
	uint64_t *w = (uint64_t *)heap.main;

	for (unsigned int i = TOP_OFFSET / 8; i < NEXT_MAX / 8; i++) {
		if (w[i] != heap.main)
			continue;
		heap.next = &w[i];
		return;
	}
	die("no ring of arenas");
}

/* system_mem comes two words behind next_free. */
static uint64_t *system_mem(uint64_t *next)
{
	return next + 3;
}

/* --- forged structures ------------------------------------------------------------------------ */

static void how_bin_place(void)
{
	heap.a->fd = heap.b->bk = heap.b->fd = place;
}

static void how_bin_cycle(void)
{
	heap.a->fd = (uint64_t)heap.a;
	heap.b->fd = (uint64_t)heap.b;
}

static void how_top_place(void)
{
	*heap.top = place;
}

static void how_top_size(void)
{
	((struct chunk *)*heap.top)->size = ~6ull;
}

static void how_size_zero(void)
{
	heap.a->size = heap.b->size = 0;
}

static void how_size_wraps(void)
{
	heap.a->size = ~0xeull;
	heap.b->size = (1ull << 63) | 1;
}

static void how_overlap(void)
{
	heap.a->size += LARGE / 2 & ~15;
	heap.b->size -= 4096;
}

static void how_arena_place(void)
{
	next_find();
	*heap.next = place;
}

/* A ring of as many arenas as fit: each whole, as far as anybody can see. */
static void ring(unsigned int n, uint64_t last)
{
	char *fake = map_anon((size_t)n * FAKE_SIZE);
	size_t at;

	next_find();
	at = (uint64_t)heap.next - heap.main;
	for (unsigned int i = 0; i < n; i++) {
		char *p = fake + (size_t)i * FAKE_SIZE;
		uint64_t to = i + 1 < n ? (uint64_t)(p + FAKE_SIZE) : last;

		memcpy(p, (void *)heap.main, FAKE_SIZE - 64);
		memcpy(p + at, &to, sizeof(to));
	}
	*heap.next = (uint64_t)fake;
}

static void how_arena_many(void)
{
	ring(100000, heap.main);
}

static void how_arena_cycle(void)
{
	next_find();
	ring(1, 0);
	/* It never comes back to where it began. */
	*(uint64_t *)(*heap.next + ((uint64_t)heap.next - heap.main)) = *heap.next;
}

static void how_system_mem(void)
{
	next_find();
	*system_mem(heap.next) = ~0ull;
}

static void *arena_thread(void *arg)
{
	void **p = arg;

	p[0] = malloc(LARGE);
	p[1] = malloc(LARGE);
	free(p[0]);
	vs->progress[0] = 1;
	for (;;)
		syscall(SYS_pause);
	return NULL;
}

/* A thread's arena whose heaps are before each other in a circle, and larger than any can be. */
static void how_heap_cycle(void)
{
	static void *p[2];
	uint64_t *info;
	pthread_t t;

	if (pthread_create(&t, NULL, arena_thread, p))
		die("pthread_create");
	threads_await(1);
	/* heap_info: ar_ptr, prev, size */
	info = (uint64_t *)((uint64_t)p[1] & ~(HEAP_MAX - 1));
	info[1] = (uint64_t)info;
	info[2] = ~0ull & ~4095ull;
}

static uint64_t mangled(const void *at, uint64_t to)
{
	return (uint64_t)at >> 12 ^ to;
}

/* Blocks of one size that have been freed: seven in the thread's cache, the rest in a fast bin. */
static void cached(uint64_t *ret[16])
{
	void *p[16];

	for (unsigned int i = 0; i < 16; i++) {
		p[i] = malloc(40);
		ret[i] = hidden(p[i]);
	}
	for (unsigned int i = 0; i < 16; i++)
		free(p[i]);
}

/* Both go round in circles. */
static void how_cache_cycle(void)
{
	uint64_t *p[16];

	cached(p);
	for (unsigned int i = 0; i < 16; i++)
		*p[i] = mangled(p[i], (uint64_t)p[i] - (i > 6 ? 16 : 0));
}

static void how_cache_place(void)
{
	uint64_t *p[16];

	cached(p);
	for (unsigned int i = 0; i < 16; i++)
		*p[i] = mangled(p[i], place);
}

/* Nothing is wrong with it, there is only very much of it. */
static void how_millions(void)
{
	const size_t n = 6000000;
	void **p = map_anon(n * sizeof(*p));

	for (size_t i = 0; i < n; i++)
		p[i] = malloc(24);
	for (size_t i = 0; i < n; i += 2)
		free(p[i]);
}

/* One block of malloc's own mappings, as large as an address space is, and every byte of it is said to be malloc's. */
static void how_huge_block(void)
{
	const uint64_t size = 64ull << 40;
	uint64_t *p = map_anon(size), *w = (uint64_t *)(heap.main & ~0xfffull);

	p[0] = 0;
	p[1] = size | 2;
	for (uint64_t i = 0; i < 1024; i++)
		p[i * (size / 8 / 1024) + 512] = 1;
	/* mp_.mmapped_mem: the words of mp_ begin with its three thresholds. */
	for (unsigned int i = 0; i < 4096; i++) {
		if (w[i] != 0x20000 || w[i + 1] != 0x20000 || w[i + 2] != 0x20000)
			continue;
		for (unsigned int k = 5; k < 24; k++)
			if (!w[i + k])
				w[i + k] = size;
		return;
	}
}

/* --- what changes while it is read ------------------------------------------------------------ */

static void *scribble(void *arg)
{
	uint64_t s = seed * 0x9e3779b97f4a7c15ull + 1, *lo = (uint64_t *)heap.a, *arena = (uint64_t *)heap.main;
	const struct chunk keep[2] = { *heap.a, *heap.b };
	const uint64_t top = *heap.top, room = (uint64_t)((uint64_t *)sbrk(0) - lo);

	(void)arg;
	/* To start the next thread takes a heap that is in order. */
	while (!vs->ready)
		sched_yield();
	for (;;) {
		uint64_t r = rnd(&s);

		if (r % 4 == 0)
			lo[rnd(&s) % (room < SCRIBBLED / 8 ? room : SCRIBBLED / 8)] =
				r % 3 ? rnd(&s) : (uint64_t)heap.a + rnd(&s) % LARGE / 16 * 16;
		else if (r % 4 == 1)
			arena[TOP_OFFSET / 8 + rnd(&s) % 64] = rnd(&s) >> r % 60;
		else if (r % 4 == 2)
			*heap.top = rnd(&s) >> 17;
		*heap.a = keep[0];
		*heap.b = keep[1];
		*heap.top = top;
		vs->rounds++;
	}
	return NULL;
}

static void run(void *(*fn)(void *))
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	if (pthread_create(&t, &attr, fn, NULL))
		die("pthread_create");
}

static void how_scribble(void)
{
	blocks_forget(heap.a, (char *)heap.a + SCRIBBLED);
	run(scribble);
	run(scribble);
}

/* Mappings come, go, and change their rights, in between those of libraries too. */
static void *remap(void *arg)
{
	uint64_t s = seed * 0x9e3779b97f4a7c15ull + (uintptr_t)&arg;
	char *area = map_anon(64 * MIB);

	for (;;) {
		char *at = area + rnd(&s) % (16 * 1024 - 64) * 4096;
		size_t len = (1 + rnd(&s) % 64) * 4096;
		int fd = -1;

		switch (rnd(&s) % 4) {
		case 0:
			mprotect(at, len, rnd(&s) % 2 ? PROT_READ | PROT_EXEC : PROT_READ | PROT_WRITE);
			break;
		case 1:
			munmap(at, len);
			break;
		case 2:
			fd = open(file, O_RDONLY | O_CLOEXEC);
			/* fall through */
		default:
			mmap(at, len, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0), fd,
			     0);
			if (fd >= 0)
				close(fd);
		}
		vs->rounds++;
	}
	return NULL;
}

static void how_remap(void)
{
	run(remap);
	run(remap);
}

/* --- an address space out of proportion ------------------------------------------------------- */

/* As many mappings as are let: neighbours that can't be merged. */
static void how_mappings(void)
{
	const size_t n = 1u << 20;
	char *p = map_anon(n * 4096);
	size_t i;

	for (i = 0; i < n; i += 2)
		if (mprotect(p + i * 4096, 4096, PROT_READ))
			break;
	vs->result = (int64_t)i;
}

/* The same, of a file and executable: each is a library, as far as anybody can see. */
static void how_modules(void)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	char *p = map_anon(count * 8192);

	for (size_t i = 0; i < count; i++)
		if (mmap(p + i * 8192, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, offset) == MAP_FAILED)
			die("mmap");
}

static void how_sparse(void)
{
	char *p = map_anon(1ull << 40);

	for (size_t i = 0; i < 4096; i++)
		p[i << 28] = 1;
}

/* A stack whose further pages never answer. */
static void *on_stack(void *arg)
{
	(void)arg;
	obey();
	return NULL;
}

static void how_stack(void)
{
	char *stack = map_unresolved(MIB);
	pthread_attr_t attr;
	pthread_t t;
	int fds[2];

	pthread_attr_init(&attr);
	if (pthread_attr_setstack(&attr, stack, MIB) || pthread_create(&t, &attr, on_stack, NULL))
		die("pthread_create");
	while (!vs->progress[1])
		usleep(500);
	vs->ready = 1;
	/* A call in which nobody is stopped. */
	if (pipe(fds))
		die("pipe");
	for (;;)
		(void)!write(fds[1], vs, 4096);
}

static void how_none(void)
{
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} hows[] = {
		{ "none", how_none },
		{ "bin-place", how_bin_place },
		{ "bin-cycle", how_bin_cycle },
		{ "top-place", how_top_place },
		{ "top-size", how_top_size },
		{ "size-zero", how_size_zero },
		{ "size-wraps", how_size_wraps },
		{ "overlap", how_overlap },
		{ "arena-place", how_arena_place },
		{ "arena-many", how_arena_many },
		{ "arena-cycle", how_arena_cycle },
		{ "system-mem", how_system_mem },
		{ "heap-cycle", how_heap_cycle },
		{ "cache-cycle", how_cache_cycle },
		{ "cache-place", how_cache_place },
		{ "millions", how_millions },
		{ "huge-block", how_huge_block },
		{ "scribble", how_scribble },
		{ "remap", how_remap },
		{ "mappings", how_mappings },
		{ "modules", how_modules },
		{ "sparse", how_sparse },
		{ "stack", how_stack },
	};
	const char *how = opt(argc, argv, "how", "none");

	vstat_open(argc, argv);
	file = opt(argc, argv, "file", argv[0]);
	seed = (unsigned int)opt_num(argc, argv, "seed", 1);
	count = opt_num(argc, argv, "count", 8000);
	offset = (off_t)opt_num(argc, argv, "offset", 0);
	bloat_make(opt_num(argc, argv, "kib", 4096), keep + NEIGHBOURS, KEPT - NEIGHBOURS);
	heap_find();
	place = place_named(opt(argc, argv, "place", "unmapped"));
	for (unsigned int i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		if (strcmp(hows[i].name, how))
			continue;
		hows[i].fn();
		vs->ready = 1;
		obey();
	}
	fprintf(stderr, "no such lie: %s\n", how);
	return 2;
}
