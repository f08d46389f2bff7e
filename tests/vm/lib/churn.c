// SPDX-License-Identifier: GPL-2.0-or-later
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "churn.h"
#include "layout-kinds.h"
#include "machine.h"

#define SIZE (4 * MIB)
#define MAX 16

struct churn {
	pid_t pid[MAX];
	unsigned long done[MAX];
	int n;
};

/* A random part of it: long or short, aligned or not */
static char *part(char *p, size_t *size)
{
	size_t pages = SIZE / PAGE, at = random() % pages, n = 1 + random() % (random() % 4 ? 32 : pages - at);

	if (at + n > pages)
		n = pages - at;
	if (random() % 4 == 0) {
		at &= -(HUGE / PAGE);
		n = HUGE / PAGE;
	}
	*size = n * PAGE;
	return p + at * PAGE;
}

static void advise(char *p, int advice)
{
	size_t size;

	p = part(p, &size);
	madvise(p, size, advice);
}

static void write_some(char *p)
{
	size_t size;

	p = part(p, &size);
	touch(p, size, random() % 3 ? PAGE : 5 * PAGE);
}

static void protect(char *p)
{
	size_t size;
	char *q = part(p, &size);

	mprotect(q, size, random() % 2 ? PROT_READ : PROT_NONE);
	layout_read(p, 0);
	mprotect(q, size, RW);
}

static void move(char *p)
{
	size_t size;
	char *q = part(p, &size), *there;

	there = mmap(NULL, size, PROT_NONE, PRIVATE, -1, 0);
	if (there == MAP_FAILED || mremap(q, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, there) == MAP_FAILED)
		return;
	touch(there, size, PAGE);
	mremap(there, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, q);
	munmap(there, size);
}

static void unmap(char *p)
{
	size_t size;
	char *q = part(p, &size);

	munmap(q, size);
	mmap(q, size, RW, PRIVATE | MAP_FIXED, -1, 0);
}

static void fork_and_exit(char *p, bool exec)
{
	pid_t pid = fork();

	if (pid == 0) {
		touch(p, SIZE / 8, PAGE);
		if (exec)
			execl("/bin/busybox", "true", (char *)NULL);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void share(void)
{
	char *p = mmap(NULL, 2 * HUGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	madvise(p, 2 * HUGE, MADV_HUGEPAGE);
	touch(p, HUGE, PAGE);
	madvise(p, HUGE, MADV_PAGEOUT);
	madvise(p, 2 * HUGE, MADV_COLLAPSE);
	layout_read(p, HUGE / 2);
	munmap(p, 2 * HUGE);
}

static void churn_one(char *p)
{
	static const int advices[] = { MADV_DONTNEED, MADV_FREE,       MADV_PAGEOUT,   MADV_COLD,
				       MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE, MADV_MERGEABLE };

	switch (random() % 12) {
	case 0 ... 3:
		write_some(p);
		break;
	case 4 ... 6:
		advise(p, advices[random() % (sizeof(advices) / sizeof(*advices))]);
		break;
	case 7:
		protect(p);
		break;
	case 8:
		move(p);
		break;
	case 9:
		unmap(p);
		break;
	case 10:
		fork_and_exit(p, random() % 2);
		break;
	case 11:
		share();
		break;
	}
}

static void churn_on(unsigned int seed, unsigned long *done)
{
	char *p = map_aligned(SIZE, HUGE);

	srandom(seed);
	for (;; ++*done)
		churn_one(p);
}

struct churn *churn_start(int n)
{
	struct churn *c = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (c == MAP_FAILED || n > MAX)
		return NULL;
	file_write(THP "khugepaged/scan_sleep_millisecs", "10");
	file_write(THP "khugepaged/pages_to_scan", "65536");
	file_write(THP "shmem_enabled", "advise");
	file_write(KSM "run", "1");
	fflush(NULL);
	for (c->n = 0; c->n < n; c->n++) {
		c->pid[c->n] = fork();
		if (c->pid[c->n] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			churn_on(c->n + 1, &c->done[c->n]);
		}
		if (c->pid[c->n] < 0)
			break;
	}
	return c;
}

unsigned long churn_end(struct churn *c)
{
	unsigned long sum = 0;
	bool died = false;
	int status = 0;

	for (int i = 0; i < c->n; i++) {
		if (waitpid(c->pid[i], &status, WNOHANG) != 0) {
			printf("# churn %d ended by itself, status 0x%x, after %lu changes\n", i, status, c->done[i]);
			died = true;
		}
		child_end(c->pid[i]);
		sum += c->done[i];
	}
	file_write(KSM "run", "0");
	munmap(c, PAGE);
	return died ? 0 : sum;
}
