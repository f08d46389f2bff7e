// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes heaps of many shapes, and says on demand what its own malloc_info()
 * says about them, and which blocks it holds itself. Runs on glibc 2.31 and
 * later, also when built on a later one: see the versions below.
 *
 *   heaps PATTERN [SCALE]
 *
 * Builds the first half of the pattern and prints "ready"; then obeys lines on
 * standard input: "info" prints malloc_info, mallinfo2, its own live bytes and
 * "end"; "next" does the second half of the pattern; "refill" puts blocks of
 * other sizes where it has freed some; "trim" calls malloc_trim(0).
 */
#include "heaps.h"

static uint32_t random_state = 12345;

static uint32_t rnd(uint32_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 17;
	*s ^= *s << 5;
	return *s;
}

/* Untouched blocks: what was in them before, headers of free chunks too, stays there as their content. */
static void refill(void)
{
	for (size_t i = 0; i < n_blocks; i += 3) {
		if (blocks[i])
			continue;
		blocks[i] = malloc(16 + rnd(&random_state) % 30000);
		if (!blocks[i])
			die("malloc");
	}
}

/* ---- patterns: begin() before "ready", next() on demand ---- */

static void fresh(void)
{
}

static void small_begin(void)
{
	for (size_t i = 0; i < 100000 * scale; i++)
		keep(16 + rnd(&random_state) % 500);
}

static void half_next(void)
{
	drop_some(0, n_blocks, 2);
}

static void most_next(void)
{
	drop_some(0, n_blocks, 1000);
}

static void all_next(void)
{
	drop_some(0, n_blocks, 0);
}

static void large_begin(void)
{
	for (size_t i = 0; i < 1000 * scale; i++)
		keep(20000 + rnd(&random_state) % 80000);
}

static void mixed_begin(void)
{
	for (size_t i = 0; i < 60000 * scale; i++) {
		size_t at = n_blocks ? rnd(&random_state) % n_blocks : 0;

		keep(rnd(&random_state) % (i % 100 ? 2000 : 60000));
		if (i % 3 == 0 && blocks[at])
			drop(at);
	}
}

static void tcache_begin(void)
{
	for (int round = 0; round < 16; round++)
		for (size_t size = 24; size <= 1032; size += 16)
			keep(size);
	keep(2000); /* nothing may be joined with the top */
}

static void tcache_next(void)
{
	for (size_t i = 0; i + 1 < n_blocks; i++)
		drop(i);
}

static void fast_begin(void)
{
	for (size_t i = 0; i < 20000 * scale; i++)
		keep(24 + 16 * (i % 6));
	keep(300);
}

static void fast_next(void)
{
	for (size_t i = 0; i + 1 < n_blocks; i++)
		if (i % 97)
			drop(i);
}

/* Free to the top: once fast bins are folded, the top reaches down to them. */
static void fast_top_begin(void)
{
	for (size_t i = 0; i < 40000; i++)
		keep(100);
}

static void fast_top_next(void)
{
	drop_some(20000, n_blocks, 0);
}

static void foreign_begin(void)
{
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 2000; i++)
			keep(1000);
		if (sbrk(10000 + round * 5001) == (void *)-1)
			die("sbrk");
	}
	for (size_t i = 0; i < 3000; i++)
		keep(700);
}

static void mapped_begin(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	for (size_t i = 0; i < 20; i++)
		keep(300000 + i * 10000);
	for (size_t i = 0; i < 1000; i++)
		keep(2000);
}

/* To 30 and 60 MiB, when a block of that size with a mapping of its own is freed. */
static void raise_thresholds(void)
{
	void *volatile p = malloc(30 << 20);

	free(p);
}

static void dynamic_begin(void)
{
	raise_thresholds();
	for (size_t i = 0; i < 200; i++)
		keep(200000);
}

static void dynamic_next(void)
{
	drop_some(10, n_blocks, 0);
}

static void aligned_begin(void)
{
	for (size_t i = 0; i < 1000; i++) {
		size_t at = n_blocks++;

		blocks[at] = memalign(4096, 5000);
		if (!blocks[at])
			die("memalign");
		live += (int64_t)(chunk_size(blocks[at]) & ~7ul);
	}
}

static void huge_begin(void)
{
	void *p;

	for (size_t i = 0; i < 64; i++)
		keep(100000);
	p = (void *)(((uintptr_t)blocks[0] + (2 << 20)) & ~((2ul << 20) - 1));
	if (madvise(p, 4 << 20, MADV_HUGEPAGE))
		die("madvise");
	for (size_t i = 0; i < 400; i++)
		keep(100000);
}

/* No room behind the heap: the main arena goes on in mappings. */
static void scattered_begin(void)
{
	keep(1000);
	if (mmap((char *)sbrk(0) + (64 << 10), 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		 0) == MAP_FAILED)
		die("mmap behind the heap");
	for (size_t i = 0; i < 20000; i++)
		keep(400);
}

/* ---- threads, each with its own blocks; they free them in the second half ---- */

struct part {
	pthread_t thread;
	size_t from, to;
	uint32_t seed;
};

static struct part parts[512];
static size_t n_parts, part_size, part_least = 16, part_all_but;
static bool part_ordered;

static void *part_main(void *arg)
{
	struct part *p = arg;

	give(take(24)); /* makes the thread's cache, which would lie between the blocks and the top otherwise */
	for (size_t i = p->from; i < p->to; i++)
		blocks[i] = take(part_ordered ? 24 + i % 30 * 16 : part_least + rnd(&p->seed) % part_size);
	threads_ready++;
	while (phase < 1)
		usleep(1000);
	drop_some(p->from, p->to, part_all_but);
	threads_ready++;
	for (;;)
		pause();
	return NULL;
}

static void wait_threads(size_t n)
{
	while ((size_t)threads_ready < n)
		usleep(1000);
}

static void start_parts(size_t n, size_t each, size_t size, size_t all_but)
{
	part_size = size;
	part_all_but = all_but;
	n_parts = n;
	for (size_t i = 0; i < n; i++) {
		parts[i] = (struct part){ .from = n_blocks, .to = n_blocks + each, .seed = 77 + (uint32_t)i };
		n_blocks += each;
		if (pthread_create(&parts[i].thread, NULL, part_main, &parts[i]))
			die("pthread_create");
	}
	wait_threads(n);
}

static void arenas_begin(void)
{
	start_parts(8, 20000 * scale, 600, 2);
}

static void threads_next(void)
{
	phase = 1;
	wait_threads(2 * n_parts);
}

static void threads64_begin(void)
{
	part_ordered = true;
	start_parts(64, 30 * 7, 0, 0);
}

/* One thread with more than one heap's worth. */
static void heaps_begin(void)
{
	start_parts(1, 15000, 20000, 3);
}

/* The top of a thread's arena, which malloc_trim() leaves alone. */
static void tops_begin(void)
{
	raise_thresholds();
	part_least = 200;
	start_parts(3, 39000, 800, 0);
}

/* Little of everything, for recorded images. */
static void *tiny_main(void *arg)
{
	size_t from = (size_t)arg;

	for (size_t i = 0; i < 120; i++)
		blocks[from + i] = take(24 + i % 5 * 40);
	for (size_t i = 120; i < 150; i++)
		blocks[from + i] = take(500 + i % 7 * 700);
	for (size_t i = 0; i < 149; i++)
		if (i % 4)
			give(blocks[from + i]);
	threads_ready++;
	while (from)
		pause();
	return NULL;
}

static void tiny_begin(void)
{
	tiny_main(NULL);
	if (pthread_create(&parts[0].thread, NULL, tiny_main, (void *)200))
		die("pthread_create");
	wait_threads(2);
}

/* ---- always at it ---- */

static void *busy_main(void *arg)
{
	uint32_t seed = 99 + (uint32_t)(uintptr_t)arg;
	void *mine[4096] = { NULL };

	threads_ready++;
	while (!busy_stop) {
		size_t i = rnd(&seed) % 4096, size = rnd(&seed) % (seed % 50 ? 400 : 40000);

		free(mine[i]);
		mine[i] = malloc(size);
		if (mine[i] && size)
			memset(mine[i], 1, size);
		if (seed % 100000 == 0)
			for (size_t k = 0; k < 4096; k++) {
				free(mine[k]);
				mine[k] = NULL;
			}
	}
	for (;;)
		pause();
	return NULL;
}

static void busy_begin(void)
{
	for (size_t i = 0; i < 4; i++)
		if (pthread_create(&parts[i].thread, NULL, busy_main, (void *)i))
			die("pthread_create");
	wait_threads(4);
}

static void busy_next(void)
{
	busy_stop = 1;
	usleep(50000);
}

static const struct pattern {
	const char *name;
	void (*begin)(void), (*next)(void);
	bool in_child;
} patterns[] = {
	{ "fresh", fresh, fresh, false },
	{ "small", small_begin, half_next, false },
	{ "sparse", small_begin, most_next, false },
	{ "all", small_begin, all_next, false },
	{ "large", large_begin, half_next, false },
	{ "mixed", mixed_begin, half_next, false },
	{ "tcache", tcache_begin, tcache_next, false },
	{ "fast", fast_begin, fast_next, false },
	{ "fasttop", fast_top_begin, fast_top_next, false },
	{ "foreign", foreign_begin, half_next, false },
	{ "mapped", mapped_begin, half_next, false },
	{ "dynamic", dynamic_begin, dynamic_next, false },
	{ "aligned", aligned_begin, half_next, false },
	{ "huge", huge_begin, half_next, false },
	{ "scattered", scattered_begin, half_next, false },
	{ "arenas", arenas_begin, threads_next, false },
	{ "threads64", threads64_begin, threads_next, false },
	{ "heaps", heaps_begin, threads_next, false },
	{ "tops", tops_begin, threads_next, false },
	{ "fork", mixed_begin, half_next, true },
	{ "tiny", tiny_begin, fresh, false },
	{ "busy", busy_begin, busy_next, false },
};

#if !__GLIBC_PREREQ(2, 33)
struct mallinfo2 {
	size_t arena, hblks, hblkhd, uordblks, fordblks, keepcost;
};
#endif

/* As in oldsyms.h: before 2.34 it is in libdl. */
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
static struct mallinfo2 (*wide_account)(void);

/* mallinfo() counts in ints: where there is nothing else, heaps must be smaller than 4 GiB. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static struct mallinfo2 own_account(void)
{
	struct mallinfo m;

	if (wide_account)
		return wide_account();
	m = mallinfo();
	return (struct mallinfo2){
		.arena = (unsigned int)m.arena,
		.hblks = (unsigned int)m.hblks,
		.hblkhd = (unsigned int)m.hblkhd,
		.uordblks = (unsigned int)m.uordblks,
		.fordblks = (unsigned int)m.fordblks,
		.keepcost = (unsigned int)m.keepcost,
	};
}

static void info(void)
{
	struct mallinfo2 m;

	malloc_info(0, stdout);
	m = own_account();
	printf("%s arena=%zu hblks=%zu hblkhd=%zu uordblks=%zu fordblks=%zu keepcost=%zu\n",
	       wide_account ? "mallinfo2" : "mallinfo", m.arena, m.hblks, m.hblkhd, m.uordblks, m.fordblks, m.keepcost);
	printf("live=%lld\nend\n", (long long)live);
	fflush(stdout);
}

static void obey(const struct pattern *p, const char *line)
{
	if (!strcmp(line, "info"))
		info();
	else if (!strcmp(line, "next"))
		p->next();
	else if (!strcmp(line, "refill"))
		refill();
	else if (!strcmp(line, "trim"))
		malloc_trim(0);
	else
		_exit(97);
	if (strcmp(line, "info")) {
		printf("done\n");
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	const struct pattern *p = NULL;
	char line[64];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; argc > 1 && i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (!strcmp(patterns[i].name, argv[1]))
			p = &patterns[i];
	if (!p)
		return 2;
	if (argc > 2)
		scale = strtoul(argv[2], NULL, 10);
	setvbuf(stdout, out_buf, _IOFBF, sizeof(out_buf));
	blocks = mmap(NULL, BLOCKS_MAX * sizeof(*blocks), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (blocks == MAP_FAILED)
		die("mmap");
	/* Now, since it allocates when it finds nothing: glibc has it since 2.33. */
	wide_account = (struct mallinfo2(*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "mallinfo2");
	p->begin();
	if (p->in_child && fork() != 0) {
		for (;;)
			pause();
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	printf("ready %d\n", getpid());
	fflush(stdout);
	for (;;) {
		ssize_t n = read(0, line, sizeof(line) - 1);

		if (n <= 0)
			return 0;
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		obey(p, line);
	}
}
