/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "ctl/ps-columns.h"
#include "ctl/suggest.h"

static void cell_state(const struct column *c, const void *row, struct cell *ret)
{
	const struct ps_row *p = row;

	(void)c;
	if (!p->proc.state)
		return;
	ret->kind = CELL_TEXT;
	ret->buf[0] = p->proc.state;
	ret->text = ret->buf;
}

static void cell_bits(const struct column *c, const void *row, struct cell *ret)
{
	const struct ps_row *p = row;

	(void)c;
	if (!p->proc.bits)
		return;
	ret->kind = CELL_NUMBER;
	ret->number = (uint64_t)p->proc.bits;
}

/* JSON has the number under its own key; people want it where there is no name. */
static void cell_user(const struct column *c, const void *row, struct cell *ret)
{
	const struct ps_row *p = row;

	(void)c;
	if (p->user[0]) {
		ret->kind = CELL_TEXT;
		ret->text = p->user;
		return;
	}
	snprintf(ret->buf, sizeof(ret->buf), "%u", p->proc.uid);
	ret->stand_in = ret->buf;
}

static void cell_free(const struct column *c, const void *row, struct cell *ret)
{
	const struct ps_row *p = row;

	cell_size(c, row, ret);
	ret->at_least = p->at_least;
}

static void cell_at_least(const struct column *c, const void *row, struct cell *ret)
{
	const struct ps_row *p = row;

	(void)c;
	if (p->free_resident == PROC_UNKNOWN)
		return;
	ret->kind = CELL_BOOL;
	ret->number = p->at_least;
}

#define AT(field) offsetof(struct ps_row, field)
#define NUM COLUMN_RIGHT
#define CUT COLUMN_TRUNC

const struct ps_column ps_columns[] = {
	{ { "PID", "pid", 0, NUM, "process id", cell_int, AT(proc.pid) }, PROC_COUNTERS, false, false },
	{ { "START", "start_time", 0, NUM, "clock ticks from boot to the start of the process", cell_u64,
	    AT(proc.start_time) },
	  PROC_COUNTERS,
	  false,
	  false },
	{ { "COMM", "comm", 0.1, CUT, "command name", cell_chars, AT(proc.comm) }, PROC_COUNTERS, false, false },
	{ { "EXE", "exe", 0.2, CUT, "path of the program", cell_text, AT(proc.exe) }, PROC_NAMES, false, false },
	{ { "UID", "uid", 0, NUM, "real user id", cell_u32, AT(proc.uid) }, PROC_COUNTERS, false, false },
	{ { "USER", "user", 8, CUT, "user name", cell_user, AT(user) }, PROC_COUNTERS, false, false },
	{ { "STATE", "state", 0, 0, "R running, S sleeping, D in the kernel, T stopped, Z zombie, I idle", cell_state,
	    0 },
	  PROC_BASIC,
	  false,
	  false },
	{ { "THR", "threads", 0, NUM, "number of threads", cell_int, AT(proc.threads) }, PROC_COUNTERS, true, false },
	{ { "BITS", "bits", 0, NUM, "32 or 64", cell_bits, 0 }, PROC_NAMES, true, false },
	{ { "RSS", "rss", 0, NUM, "resident memory", cell_size, AT(proc.rss) }, PROC_COUNTERS, true, false },
	{ { "ANON", "anon", 0, NUM, "its anonymous part", cell_size, AT(proc.anon) }, PROC_COUNTERS, true, false },
	{ { "FILE", "file", 0, NUM, "its part of files", cell_size, AT(proc.file) }, PROC_COUNTERS, true, false },
	{ { "SHMEM", "shmem", 0, NUM, "the shared part without a file", cell_size, AT(proc.shmem) },
	  PROC_COUNTERS,
	  true,
	  false },
	{ { "SWAP", "swap", 0, NUM, "swapped out", cell_size, AT(proc.swap) }, PROC_COUNTERS, true, false },
	{ { "HEAP", "heap", 0, NUM, "resident in [heap]", cell_size, AT(proc.heap) }, PROC_HEAP, true, false },
	{ { "HEAPSIZE", "heap_size", 0, NUM, "mapped as [heap]", cell_size, AT(proc.heap_size) },
	  PROC_HEAP,
	  true,
	  false },
	{ { "MMAP", "mmap_anon", 0, NUM, "resident private anonymous memory outside of [heap] and stacks", cell_size,
	    AT(proc.mmap_anon) },
	  PROC_HEAP,
	  true,
	  false },
	{ { "STACK", "stack", 0, NUM, "resident in [stack]", cell_size, AT(proc.stack) }, PROC_HEAP, true, false },
	{ { "THP", "thp", 0, NUM, "in huge pages", cell_size, AT(proc.huge) }, PROC_DEEP, true, false },
	{ { "LAZYFREE", "lazyfree", 0, NUM, "given back, to be taken when needed", cell_size, AT(proc.lazyfree) },
	  PROC_DEEP,
	  true,
	  false },
	{ { "CGROUP", "cgroup", 0.2, CUT, "control group", cell_text, AT(proc.cgroup) }, PROC_NAMES, false, false },
	{ { "UNIT", "unit", 0.2, CUT, "systemd unit", cell_text, AT(proc.unit) }, PROC_NAMES, false, false },
	{ { "TRACER", "tracer", 0, NUM, "pid of its tracer, 0 when none", cell_int, AT(proc.tracer) },
	  PROC_BASIC,
	  true,
	  false },
	{ { "SECCOMP", "seccomp", 0, NUM, "0 off, 1 strict, 2 filter", cell_int, AT(proc.seccomp) },
	  PROC_BASIC,
	  true,
	  false },
	{ { "IDLE", "idle", 0, NUM, "anonymous and not touched for long (unknown without the kernel module)", cell_size,
	    AT(proc.idle) },
	  PROC_COUNTERS,
	  true,
	  false },
	{ { "HEAPIDLE", "heap_idle", 0, NUM, "the part of it in [heap]", cell_size, AT(proc.heap_idle) },
	  PROC_COUNTERS,
	  true,
	  false },
	{ { "SAMPLED", "sample_age_us", 0, NUM, "how long ago the module walked for these and HEAP to LAZYFREE",
	    cell_time_us, AT(proc.sample_age_us) },
	  PROC_COUNTERS,
	  true,
	  false },
	{ { "SAMPLING", "sampling", 0, 0, "active, or why the module can't tell what is idle", cell_text,
	    AT(proc.sampling) },
	  PROC_COUNTERS,
	  false,
	  false },
	{ { "ALLOCATOR", "allocator", 0, 0, "its malloc", cell_text, AT(allocator) }, PROC_COUNTERS, false, true },
	{ { "RUNTIME", "runtime", 0, 0, "its language runtime", cell_text, AT(runtime) }, PROC_COUNTERS, false, true },
	{ { "FREE", "free_resident", 0, NUM, "free in its allocators but resident; >: at least, more is unseen",
	    cell_free, AT(free_resident) },
	  PROC_COUNTERS,
	  true,
	  true },
	{ { "BOUND", "free_at_least", 0, 0, "whether FREE is a lower bound", cell_at_least, 0 },
	  PROC_COUNTERS,
	  true,
	  true },
	{ { "UNSEEN", "unseen", 0, NUM, "not looked into, or left out by a quick look: as much more may be free",
	    cell_size, AT(unseen) },
	  PROC_COUNTERS,
	  true,
	  true },
};
const size_t ps_ncolumns = ARRAY_SIZE(ps_columns);
_Static_assert(ARRAY_SIZE(ps_columns) <= PS_COLUMNS_MAX, "a selection holds every column");

const struct ps_column *ps_column_find(const char *name)
{
	for (size_t i = 0; i < ps_ncolumns; i++)
		if (!strcasecmp(ps_columns[i].c.name, name) || !strcasecmp(ps_columns[i].c.key, name))
			return &ps_columns[i];
	return NULL;
}

static int explain_unknown(const char *name, char *why, size_t size)
{
	const char *names[2 * PS_COLUMNS_MAX], *near;
	char shown[96], lower[33] = "";
	size_t n = 0;

	for (size_t i = 0; i < ps_ncolumns; i++)
		names[n++] = ps_columns[i].c.key;
	for (size_t i = 0; name[i] && i < sizeof(lower) - 1; i++) {
		lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
		lower[i + 1] = 0;
	}
	near = suggest(lower, names, n);
	snprintf(why, size, "unknown column '%s'%s%s%s", escape_text(name, shown, sizeof(shown)),
		 near ? ": did you mean '" : ": see 'reclaimctl help ps'", near ? near : "", near ? "'?" : "");
	return -EINVAL;
}

int ps_columns_parse(const char *list, struct ps_selection *ret, char *why, size_t why_size)
{
	struct ps_selection s = { .n = 0 };

	for (const char *p = list;; p++) {
		char name[64];
		size_t len = strcspn(p, ",");

		snprintf(name, sizeof(name), "%.*s", (int)MIN(len, sizeof(name)), p);
		if (s.n >= PS_COLUMNS_MAX) {
			snprintf(why, why_size, "more than %d columns", PS_COLUMNS_MAX);
			return -EINVAL;
		}
		s.v[s.n] = ps_column_find(name);
		if (!s.v[s.n])
			return explain_unknown(name, why, why_size);
		for (size_t i = 0; i < s.n; i++) {
			if (s.v[i] != s.v[s.n])
				continue;
			/* Twice the same key would not be an object any more. */
			snprintf(why, why_size, "column '%s' is given twice", s.v[i]->c.name);
			return -EINVAL;
		}
		s.n++;
		p += len;
		if (!*p)
			break;
	}
	*ret = s;
	return 0;
}

int ps_sort_parse(const char *text, const struct ps_column **ret, bool *ret_descending, char *why, size_t why_size)
{
	const char *name = text + (*text == '+' || *text == '-');
	const struct ps_column *c = ps_column_find(name);

	if (!c)
		return explain_unknown(name, why, why_size);
	*ret = c;
	*ret_descending = *text == '+' ? false : *text == '-' ? true : c->descending;
	return 0;
}

static int compare_cells(const struct cell *a, const struct cell *b)
{
	if (a->kind == CELL_TEXT)
		return strcmp(a->text, b->text);
	return a->number < b->number ? -1 : a->number > b->number;
}

int ps_compare(const struct ps_row *a, const struct ps_row *b, const struct ps_column *by, bool descending)
{
	struct cell ca = { .kind = CELL_NONE }, cb = { .kind = CELL_NONE };
	int r = 0;

	by->c.get(&by->c, a, &ca);
	by->c.get(&by->c, b, &cb);
	if (ca.kind == CELL_NONE || cb.kind == CELL_NONE)
		r = (ca.kind == CELL_NONE) - (cb.kind == CELL_NONE);
	else
		r = descending ? compare_cells(&cb, &ca) : compare_cells(&ca, &cb);
	if (r)
		return r;
	return a->proc.pid < b->proc.pid ? -1 : a->proc.pid > b->proc.pid;
}
