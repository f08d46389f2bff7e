// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every kind of mapping in one process: each figure of the module equals smaps,
 * mapping by mapping and to the page, and its sums and counters equal the sums.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/facts.h"
#include "lib/layout.h"
#include "lib/machine.h"
#include "lib/smaps.h"
#include "tap.h"

/* Their number, once nothing changed between the looks before and after. */
static int look(struct genl *g, pid_t pid, struct smap *smaps, struct regions *regions)
{
	static struct smap after[REGIONS_MAX];
	int n, m, r;

	for (int try = 0; try < 10; try++) {
		memset(smaps, 0, sizeof(after));
		memset(after, 0, sizeof(after));
		n = smaps_read(pid, smaps, REGIONS_MAX);
		r = regions_get(g, pid, regions);
		if (r < 0) {
			printf("# region-get: error %d, %s\n", -r, g->message);
			return r;
		}
		m = smaps_read(pid, after, REGIONS_MAX);
		if (n == m && !memcmp(smaps, after, sizeof(after)))
			return n;
		sleep_ms(500);
	}
	printf("# the process doesn't come to rest\n");
	return n;
}

static uint32_t kind_of(const struct smap *s)
{
	static const struct {
		const char *name;
		uint32_t kind;
	} names[] = {
		{ "[heap]", RECLAIM_KIND_HEAP },
		{ "[stack]", RECLAIM_KIND_STACK },
		{ "[vdso]", RECLAIM_KIND_VDSO },
		{ "[vvar]", RECLAIM_KIND_SPECIAL },
		{ "[vvar_vclock]", RECLAIM_KIND_SPECIAL },
		{ "/anon_hugepage", RECLAIM_KIND_HUGETLB },
		{ "/SYSV", RECLAIM_KIND_SHMEM },
		{ "/memfd:", RECLAIM_KIND_SHMEM },
		{ "/dev/zero (deleted)", RECLAIM_KIND_SHMEM },
		{ "/tmp/ramfs", RECLAIM_KIND_FILE },
		{ "/tmp/", RECLAIM_KIND_SHMEM },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strncmp(s->name, names[i].name, strlen(names[i].name)))
			return names[i].kind;
	/* Private and of /dev/zero: anonymous, whatever its file. The program itself may be in ramfs or tmpfs. */
	return !s->name[0] || !strcmp(s->name, "/dev/zero") ? RECLAIM_KIND_MMAP : UINT32_MAX;
}

static uint32_t flags_of(const struct smap *s)
{
	return (s->perms[0] == 'r' ? RECLAIM_REGION_FLAGS_READ : 0) |
	       (s->perms[1] == 'w' ? RECLAIM_REGION_FLAGS_WRITE : 0) |
	       (s->perms[2] == 'x' ? RECLAIM_REGION_FLAGS_EXEC : 0) |
	       (s->perms[3] == 's' ? RECLAIM_REGION_FLAGS_SHARED : 0);
}

static bool differs(const char *what, uint64_t want, uint64_t got)
{
	if (want != got)
		printf("#   %s: %" PRIu64 ", we %" PRIu64 "\n", what, want, got);
	return want != got;
}

static void compare(const struct smap *s, const struct region *r, pid_t pid, uint64_t start_time)
{
	const struct layout_kind *kind = layout_at(s->start);
	const uint32_t rights = RECLAIM_REGION_FLAGS_READ | RECLAIM_REGION_FLAGS_WRITE | RECLAIM_REGION_FLAGS_EXEC |
				RECLAIM_REGION_FLAGS_SHARED;
	bool bad = false;

	bad |= differs("start", s->start, r->start);
	bad |= differs("end", s->end, r->end);
	bad |= differs("Rss", s->rss, r->present);
	bad |= differs("Anonymous", s->anon, r->anon);
	bad |= differs("Swap", s->swap, r->swapped + r->swapped_shmem);
	bad |= differs("LazyFree", s->lazyfree, r->lazyfree);
	bad |= differs("AnonHugePages", s->anon_huge, r->huge);
	bad |= differs("ShmemPmdMapped", s->shmem_huge, r->huge_shmem);
	bad |= differs("FilePmdMapped", s->file_huge, r->huge_file);
	bad |= differs("rights", flags_of(s), r->flags & rights);
	bad |= differs("pid", pid, r->pid);
	bad |= differs("start time", start_time, r->start_time);
	if (s->name[0] == '/') {
		bad |= differs("offset", s->offset, r->offset);
		/* A private mapping of /dev/zero is anonymous, and has no name then. */
		if (strcmp(s->name, r->name) && kind_of(s) != RECLAIM_KIND_MMAP) {
			printf("#   name: %s, we %s\n", s->name, r->name);
			bad = true;
		}
	}
	if (kind_of(s) != UINT32_MAX)
		bad |= differs("kind", kind_of(s), r->kind);
	tap(!bad, "%" PRIx64 "-%" PRIx64 " %s %s: Rss %" PRIu64 "K, Swap %" PRIu64 "K", s->start, s->end, s->perms,
	    kind ? kind->name : s->name, s->rss / 1024, s->swap / 1024);
}

static uint64_t status_of(pid_t pid, const char *field)
{
	static char buf[8192];
	char path[64], *p;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (file_read(path, buf, sizeof(buf)) < 0)
		return UINT64_MAX;
	p = strstr(buf, field);
	return p ? strtoull(p + strlen(field), NULL, 10) : UINT64_MAX;
}

/* @slack: what a kernel's counters may lag behind */
static void same(const struct proc *p, int attr, const char *what, uint64_t want, uint64_t slack)
{
	uint64_t got = p->value[attr];

	tap(p->has[attr] && (got > want ? got - want : want - got) <= slack, "%s: %" PRIu64 ", we %" PRIu64, what, want,
	    got);
}

static void compare_counters(const struct proc *p, pid_t pid, const struct smap *s, int n)
{
	/* 6.1 keeps up to 64 faults of each thread to itself. */
	uint64_t slack = kernel_version() < 602 ? 64 * PAGE : 0, anon = 0, rss = 0, sum;
	struct stat cgroup;

	for (int i = 0; i < n; i++) {
		anon += s[i].anon;
		rss += s[i].rss;
	}
	same(p, RECLAIM_A_RSS_ANON, "sum of Anonymous", anon, slack);
	same(p, RECLAIM_A_RSS_ANON, "RssAnon", status_of(pid, "RssAnon:") * 1024, slack);
	same(p, RECLAIM_A_RSS_FILE, "RssFile", status_of(pid, "RssFile:") * 1024, slack);
	same(p, RECLAIM_A_RSS_SHMEM, "RssShmem", status_of(pid, "RssShmem:") * 1024, slack);
	same(p, RECLAIM_A_SWAP, "VmSwap", status_of(pid, "VmSwap:") * 1024, slack);
	same(p, RECLAIM_A_PAGE_TABLES, "VmPTE", status_of(pid, "VmPTE:") * 1024, 0);
	sum = p->value[RECLAIM_A_RSS_ANON] + p->value[RECLAIM_A_RSS_FILE] + p->value[RECLAIM_A_RSS_SHMEM];
	tap((rss > sum ? rss - sum : sum - rss) <= 3 * slack, "sum of Rss: %" PRIu64 ", our counters %" PRIu64, rss,
	    sum);
	same(p, RECLAIM_A_THREADS, "threads", status_of(pid, "Threads:"), 0);
	same(p, RECLAIM_A_UID, "uid", 0, 0);
	same(p, RECLAIM_A_PID, "pid", pid, 0);
	same(p, RECLAIM_A_START_TIME, "start time", start_time_of(pid), 0);
	if (stat("/sys/fs/cgroup", &cgroup) == 0)
		same(p, RECLAIM_A_CGROUP_ID, "cgroup", cgroup.st_ino, 0);
	tap(!strcmp(p->comm, "accuracy"), "name %s", p->comm);
}

static void compare_walk(const struct proc *p, const struct smap *s, int n)
{
	uint64_t heap = 0, stack = 0, rest = 0, huge = 0, lazyfree = 0, size = 0;

	for (int i = 0; i < n; i++) {
		bool is_heap = !strcmp(s[i].name, "[heap]"), is_stack = !strcmp(s[i].name, "[stack]");

		*(is_heap ? &heap : is_stack ? &stack : &rest) += s[i].anon;
		size += is_heap ? s[i].end - s[i].start : 0;
		huge += s[i].anon_huge;
		lazyfree += s[i].lazyfree;
	}
	same(p, RECLAIM_A_ANON_HEAP, "anonymous in the heap", heap, 0);
	same(p, RECLAIM_A_ANON_STACK, "anonymous in the stack", stack, 0);
	same(p, RECLAIM_A_ANON_MMAP, "anonymous otherwise", rest, 0);
	same(p, RECLAIM_A_HUGE, "huge", huge, 0);
	same(p, RECLAIM_A_LAZYFREE, "lazily freed", lazyfree, 0);
	/* It began a moment ago. */
	same(p, RECLAIM_A_SAMPLE_AGE, "age of a fresh walk", 0, 500);
	/* The break may be in the middle of a page. */
	same(p, RECLAIM_A_HEAP_SIZE, "size of the heap", size, PAGE);
}

int main(void)
{
	static struct smap smaps[REGIONS_MAX];
	static struct regions regions;
	struct proc p;
	struct genl g;
	pid_t pid;
	int n, r;

	if (!tap(layout_prepare() == 0, "prepare swap, huge pages, merging") ||
	    !tap(genl_open(&g) == 0, "find the family"))
		return tap_end();
	pid = child_start(layout_make, NULL, NULL);
	if (!tap(pid > 0, "make %zu kinds of mappings", layout_count))
		return tap_end();
	n = look(&g, pid, smaps, &regions);
	tap(n >= 60, "%d mappings", n);
	tap(regions.count == n, "as many regions: %d", regions.count);
	for (int i = 0; i < n && i < regions.count; i++)
		compare(&smaps[i], &regions.list[i], pid, start_time_of(pid));

	r = proc_get(&g, pid, true, &p);
	tap(r == 0 && p.count == 1, "proc-get: %d %s", r, g.message);
	compare_counters(&p, pid, smaps, n);
	compare_walk(&p, smaps, n);
	child_end(pid);
	genl_close(&g);
	return tap_end();
}
