/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of "explain" share: everything that is known of one process, and what follows from it. */
#ifndef RECLAIM_CTL_EXPLAIN_H
#define RECLAIM_CTL_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/worker-client.h"
#include "ctl/ctl.h"
#include "reclaim/explain-names.h"
#include "sense/proc.h"
#include "sense/region.h"
#include "sense/thp.h"

/* Where resident memory is. Together they are all of it. */
enum account_kind {
	ACCOUNT_GLIBC_HEAP,
	ACCOUNT_GLIBC_MMAP,
	ACCOUNT_PYMALLOC,
	ACCOUNT_STACK, /* of the main thread */
	ACCOUNT_THREAD_STACK,
	ACCOUNT_OTHER, /* private anonymous memory that nobody known here owns */
	ACCOUNT_FILE,
	ACCOUNT_FILE_COPY, /* what was written to private mappings of files */
	ACCOUNT_SHARED,
	ACCOUNT_SPECIAL, /* the kernel's own: vdso and the like */
	ACCOUNT_N,
};

struct account {
	uint64_t mapped, rss, anon, swap, huge, lazyfree; /* bytes */
};

const char *account_name(enum account_kind kind);
const char *account_owner(enum account_kind kind); /* "glibc", "pymalloc", "stack"; NULL when not known */

#define NOTE_MAX 256
#define NOTES_MAX 32

struct notes {
	char text[NOTES_MAX][NOTE_MAX];
	size_t n, findings; /* findings come first, then advice */
};

struct explanation {
	struct proc proc;
	bool has_regions;
	int regions_error; /* why not: -EACCES, -EPERM; -EBADMSG: they change all the time; -E2BIG */
	struct region_list regions;
	uint8_t *kinds; /* enum account_kind of each region: whose most of it is */
	struct account accounts[ACCOUNT_N];
	struct thp thp; /* the machine's settings */
	struct explain_answer answer; /* facts when head.outcome is WORKER_NOTHING */
	struct notes notes;
};

#define EXPLAIN_TIMEOUT_US 10000000ull

struct explain_ask {
	uint64_t timeout_us; /* 0: EXPLAIN_TIMEOUT_US */
	bool map; /* draw a map, which the daemon doesn't */
	bool give_up; /* at the deadline also when the kernel keeps us waiting: a thread is left behind then */
	int cancel_fd; /* the looking inside ends when it is readable; 0: none */
};

/*
 * Looks at a process: everything but the notes. 0 also when nothing is known of its inside, and
 * answer.head says why; -ESRCH, -EACCES, -ETIMEDOUT, -errno with @why. The caller calls explanation_done().
 */
int explanation_read(int proc, const struct explain_ask *ask, pid_t pid, struct explanation *ret, char *why,
		     size_t why_size) __must_check;

void explanation_done(struct explanation *e); /* accepts zeroed and finished ones */

/* Are there facts from inside? */
bool explanation_looked(const struct explanation *e);
/* And is this layer among them, with figures? */
bool explanation_has_glibc(const struct explanation *e);
bool explanation_has_python(const struct explanation *e);

/*
 * Attributes every resident page to an account, by the regions' kinds, the
 * ranges of the answer and the @n stack pointers of the threads. 0 or -ENOMEM.
 */
int account_fill(struct explanation *e, const uint64_t *stacks, size_t n) __must_check;

/* Where the threads' stack pointers are, as far as they sleep and may be read: malloc'ed. 0 or -ENOMEM. */
int stacks_read(int piddir, uint64_t **ret, size_t *ret_n) __must_check;

/* What a person should be told: findings, then advice; each has its own threshold, so often there are none. */
void notes_compose(const struct explanation *e, struct notes *ret);

const char *explain_python_version(uint32_t version, char *buf, size_t size); /* "3.11.2" */

/* 0 or -errno. */
int explain_print_json(struct ctl *ctl, const struct explanation *e) __must_check;
int explain_print_text(const struct ctl *ctl, const struct explanation *e, bool all) __must_check;

#endif
