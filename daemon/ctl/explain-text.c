/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What explain has found, for people: a block for each layer, then sentences, then what can be done. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/bar.h"
#include "ctl/explain.h"
#include "ctl/render.h"
#include "ctl/trim.h"

#define LABEL 23 /* columns */
#define FIGURE 10
#define ARENAS_SHOWN 5

struct page {
	const struct ctl *ctl;
	const struct explanation *e;
	bool blocks;
};

/* ---- lines ---- */

static const char *size_text(uint64_t v, char *buf, size_t size)
{
	if (v == UINT64_MAX)
		return "-";
	return format_size(v, buf, size);
}

static void heading(const struct page *p, const char *name, const char *more)
{
	printf("\n%s%s%s%s%s\n", p->ctl->colors ? "\033[1m" : "", name, p->ctl->colors ? "\033[0m" : "",
	       *more ? "  " : "", more);
}

/* One figure of a layer, with its share of @whole as a bar when @part says which it is (0 dark .. 2 light). */
static void line(const struct page *p, const char *label, uint64_t v, uint64_t whole, int part, const char *more)
{
	uint64_t parts[BAR_PARTS] = { 0 };
	char size[24], bar[BAR_SIZE];

	if (part >= 0 && v != UINT64_MAX)
		parts[part] = v;
	bar_format(parts, whole, p->blocks, p->ctl->colors, bar);
	printf("  %-*s %*s%s%s%s%s\n", LABEL, label, FIGURE, size_text(v, size, sizeof(size)),
	       *bar || *more ? "  " : "", bar, *bar && *more ? "  " : "", more);
}

/* ---- the process and the kernel's layer ---- */

static void print_process(const struct page *p)
{
	const struct proc *proc = &p->e->proc;
	char comm[300], sizes[5][24], *exe = NULL;
	const size_t n = proc->exe ? strlen(proc->exe) * 4 + 1 : 1;

	exe = malloc(n);
	printf("%d (%s)%s%s\n", proc->pid, escape_text(proc->comm, comm, sizeof(comm)), exe && n > 1 ? ": " : "",
	       exe && n > 1 ? escape_text(proc->exe, exe, n) : "");
	free(exe);
	printf("RSS %s = anonymous %s + files %s + shared %s; swapped out %s\n",
	       size_text(proc->rss, sizes[0], sizeof(sizes[0])), size_text(proc->anon, sizes[1], sizeof(sizes[1])),
	       size_text(proc->file, sizes[2], sizeof(sizes[2])), size_text(proc->shmem, sizes[3], sizeof(sizes[3])),
	       size_text(proc->swap, sizes[4], sizeof(sizes[4])));
}

static void print_accounts(const struct page *p)
{
	uint64_t whole = 0;

	if (!p->e->has_regions || !p->e->regions.n)
		return;
	for (enum account_kind k = 0; k < ACCOUNT_N; k++)
		whole += p->e->accounts[k].rss;
	heading(p, "Kernel", "");
	if (!p->ctl->no_legend)
		printf("  %-*s %*s %*s %*s\n", LABEL, "", FIGURE, "RESIDENT", FIGURE, "SWAP", FIGURE, "THP");
	for (enum account_kind k = 0; k < ACCOUNT_N; k++) {
		const struct account *a = &p->e->accounts[k];
		const uint64_t parts[BAR_PARTS] = { a->rss, 0, 0 };
		char bar[BAR_SIZE], sizes[3][24];

		if (!a->rss && !a->swap)
			continue;
		bar_format(parts, whole, p->blocks, p->ctl->colors, bar);
		printf("  %-*s %*s %*s %*s%s%s\n", LABEL, account_name(k), FIGURE,
		       size_text(a->rss, sizes[0], sizeof(sizes[0])), FIGURE,
		       size_text(a->swap, sizes[1], sizeof(sizes[1])), FIGURE,
		       size_text(a->huge, sizes[2], sizeof(sizes[2])), *bar ? "  " : "", bar);
	}
}

/* ---- glibc ---- */

struct arena_row {
	char name[24];
	struct explain_arena a;
	char bar[BAR_SIZE];
};

#define AT(field) offsetof(struct arena_row, field)

static const struct column arena_columns[] = {
	{ "  ARENA", "arena", 0, 0, "", cell_chars, AT(name) },
	{ "SYSTEM", "system", 0, COLUMN_RIGHT, "", cell_size, AT(a.system) },
	{ "IN-USE", "in_use", 0, COLUMN_RIGHT, "", cell_size, AT(a.in_use) },
	{ "CACHED", "cached", 0, COLUMN_RIGHT, "", cell_size, AT(a.cached) },
	{ "FREE", "free", 0, COLUMN_RIGHT, "", cell_size, AT(a.free) },
	{ "RESIDENT", "free_resident", 0, COLUMN_RIGHT, "", cell_size, AT(a.free_resident) },
	{ "TOP", "top", 0, COLUMN_RIGHT, "", cell_size, AT(a.top) },
	{ "THR", "threads", 0, COLUMN_RIGHT, "", cell_u64, AT(a.threads) },
	{ "", "bar", 0, 0, "", cell_chars, AT(bar) },
};

static int by_system(const void *a, const void *b)
{
	const struct arena_row *ra = a, *rb = b;

	return ra->a.system > rb->a.system ? -1 : ra->a.system < rb->a.system;
}

static void fill_arena(const struct page *p, uint32_t i, struct arena_row *row)
{
	const struct explain_arena *a = &p->e->answer.arenas[i];
	const uint64_t parts[BAR_PARTS] = { a->in_use, a->cached, a->free_resident };

	row->a = *a;
	text_format(row->name, sizeof(row->name), a->flags & EXPLAIN_A_MAIN ? "  main" : "  arena %u", i);
	/* Without colours: the table counts their bytes as columns. */
	bar_format(parts, a->system, p->blocks, false, row->bar);
}

static int print_arenas(const struct page *p, bool all)
{
	const struct explain_head *h = &p->e->answer.head;
	const struct column *columns[ARRAY_SIZE(arena_columns)];
	_cleanup_free_ struct arena_row *rows = calloc(h->narenas + 1, sizeof(*rows));
	_cleanup_free_ const void **order = calloc(h->narenas + 1, sizeof(*order));
	const size_t n = all ? h->narenas : MIN(h->narenas, (uint32_t)ARENAS_SHOWN);
	int r;

	if (!rows || !order)
		return -ENOMEM;
	if (h->narenas < 2)
		return 0;
	for (uint32_t i = 0; i < h->narenas; i++)
		fill_arena(p, i, &rows[i]);
	qsort(rows, h->narenas, sizeof(*rows), by_system);
	for (size_t i = 0; i < n; i++)
		order[i] = &rows[i];
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		columns[i] = &arena_columns[i];
	printf("\n");
	r = render_table(p->ctl, columns, ARRAY_SIZE(columns), order, n);
	if (r == 0 && n < h->arenas_total)
		printf("  (the largest %zu of %" PRIu64 " arenas%s)\n", n, h->arenas_total,
		       n < h->narenas ? "; --all shows all" : "");
	return r;
}

/*
 * How the free pages lie, from single ones to runs of 1 MiB and more, in so many
 * steps as fit in a line; and what keeps them.
 */
static void print_runs(const struct page *p)
{
	static const struct {
		size_t below;
		const char *name;
	} steps[] = { { 1, "1" },
		      { 2, "2-3" },
		      { 3, "4-7" },
		      { 4, "8-15" },
		      { 6, "16-63" },
		      { 8, "64-255" },
		      { EXPLAIN_RUN_LOGS, "256+" } };
	const struct explain_answer *a = &p->e->answer;
	char more[256] = "", size[24];
	size_t log = 0;

	for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
		uint64_t sum = 0;

		for (; log < steps[s].below; log++)
			for (uint32_t i = 0; i < a->head.narenas; i++)
				sum += a->arenas[i].runs[log].bytes;
		if (sum)
			text_append(more, sizeof(more), "%s%s: %s", *more ? ", " : "", steps[s].name,
				    size_text(sum, size, sizeof(size)));
	}
	if (*more)
		printf("  %-*s %*s  %s\n", LABEL, "  by pages in a row", FIGURE, "", more);
}

static void print_pinned(const struct page *p)
{
	const struct explain_answer *a = &p->e->answer;
	struct explain_pins sum = { 0 };
	char more[128], live[24];

	for (uint32_t i = 0; i < a->head.narenas; i++) {
		sum.stretches += a->arenas[i].pinned.stretches;
		sum.live_bytes += a->arenas[i].pinned.live_bytes;
		sum.live_blocks += a->arenas[i].pinned.live_blocks;
		sum.free_resident += a->arenas[i].pinned.free_resident;
	}
	if (!sum.stretches)
		return;
	text_format(more, sizeof(more), "of it in %" PRIu64 " MiB by %" PRIu64 " live blocks, %s in all", sum.stretches,
		    sum.live_blocks, size_text(sum.live_bytes, live, sizeof(live)));
	line(p, "  kept by little", sum.free_resident, 0, -1, more);
}

static int print_glibc(const struct page *p, bool all)
{
	const struct explain_glibc *g = &p->e->answer.head.glibc;
	char name[64], more[128], sizes[2][24];
	uint64_t gone;

	if (!explanation_has_glibc(p->e))
		return 0;
	snprintf(name, sizeof(name), "glibc %u.%u", g->major, g->minor);
	heading(p, name, g->layer == EXPLAIN_ESTIMATE ? "(changing: an estimate)" : "");
	line(p, "in use", g->in_use, g->system, 0, "");
	snprintf(more, sizeof(more), "thread caches %s, fast bins %s",
		 size_text(g->tcaches, sizes[0], sizeof(sizes[0])), size_text(g->fastbins, sizes[1], sizeof(sizes[1])));
	line(p, "cached", g->cached, g->system, 1, g->cached ? more : "");
	line(p, "free, resident pages", g->free_resident, g->system, 2, g->flags & EXPLAIN_G_PARTIAL ? "at least" : "");
	print_runs(p);
	print_pinned(p);
	gone = g->free - MIN(g->free, g->free_resident);
	line(p, "free otherwise", gone, g->system, -1, "");
	if (g->unknown)
		line(p, "not looked at", g->unknown, g->system, -1, "");
	snprintf(more, sizeof(more), "%" PRIu64 " blocks with mappings of their own, beside the above",
		 g->mmapped_blocks);
	if (g->mmapped_blocks)
		line(p, "large blocks", g->mmapped, 0, -1, more);
	printf("  %-*s %*s  mmap threshold %s%s\n", LABEL, "trim threshold", FIGURE,
	       size_text(g->trim_threshold, sizes[0], sizeof(sizes[0])),
	       size_text(g->mmap_threshold, sizes[1], sizeof(sizes[1])),
	       g->flags & EXPLAIN_G_DYNAMIC ? ", both dynamic" : "");
	return print_arenas(p, all);
}

/* ---- CPython ---- */

static void print_python(const struct page *p)
{
	const struct explain_python *py = &p->e->answer.head.python;
	char name[64], version[32], more[128], sizes[2][24];
	uint64_t gone;

	if (!explanation_has_python(p->e))
		return;
	snprintf(name, sizeof(name), "CPython %s", explain_python_version(py->version, version, sizeof(version)));
	heading(p, name, py->layer == EXPLAIN_ESTIMATE ? "(changing: an estimate)" : "");
	line(p, "in use", py->in_use, py->arena_bytes, 0, "");
	snprintf(more, sizeof(more), "in free pools %s, between live blocks %s",
		 size_text(py->free_resident_pools, sizes[0], sizeof(sizes[0])),
		 size_text(py->free_resident_blocks, sizes[1], sizeof(sizes[1])));
	line(p, "free, resident pages", py->free_resident, py->arena_bytes, 2, py->free_resident ? more : "");
	gone = py->free - MIN(py->free, py->free_resident);
	line(p, "free otherwise", gone, py->arena_bytes, -1, "");
	if (py->unknown)
		line(p, "not looked at", py->unknown, py->arena_bytes, -1, "");
	printf("  %-*s %*" PRIu64 "  of %s; pools: %" PRIu64 " full, %" PRIu64 " partly used, %" PRIu64 " free\n",
	       LABEL, "arenas", FIGURE, py->arenas, size_text(py->arena_size, sizes[0], sizeof(sizes[0])),
	       py->pools_full, py->pools_used, py->pools_free);
}

static void print_legend(const struct page *p)
{
	if (p->ctl->no_legend || (!explanation_has_glibc(p->e) && !explanation_has_python(p->e)))
		return;
	printf("\n  %s in use   %s cached   %s free and resident\n", p->blocks ? "\xe2\x96\x88" : "#",
	       p->blocks ? "\xe2\x96\x93" : "+", p->blocks ? "\xe2\x96\x91" : ".");
}

/* ---- sentences and remedies ---- */

static void print_notes(const struct page *p, const char *title, size_t from, size_t to)
{
	char shown[NOTE_MAX * 4];

	if (from >= to)
		return;
	heading(p, title, "");
	/* Reasons in them come from a process that reads hostile memory. */
	for (size_t i = from; i < to; i++)
		printf("  - %s\n", escape_text(p->e->notes.text[i], shown, sizeof(shown)));
}

struct remedy_row {
	const struct explain_remedy *r;
	char name[16], range[56], deep[48];
};

static void cell_possible(const struct column *c, const void *row, struct cell *ret)
{
	const struct remedy_row *rr = row;

	(void)c;
	ret->kind = CELL_TEXT;
	ret->text = rr->r->possible ? "yes" : "no";
	ret->color = rr->r->possible ? "green" : "yellow";
}

static void cell_predicted(const struct column *c, const void *row, struct cell *ret)
{
	const struct remedy_row *rr = row;

	(void)c;
	if (rr->r->predicted == EXPLAIN_UNKNOWN)
		return;
	ret->kind = CELL_SIZE;
	ret->number = rr->r->predicted;
}

/* Why not; or what more there is to it. */
static void cell_reason(const struct column *c, const void *row, struct cell *ret)
{
	const struct remedy_row *rr = row;

	(void)c;
	ret->text = *rr->r->reason ? rr->r->reason : rr->deep;
	if (*ret->text)
		ret->kind = CELL_TEXT;
}

static const struct column remedy_columns[] = {
	{ "  REMEDY", "remedy", 0, 0, "", cell_chars, offsetof(struct remedy_row, name) },
	{ "POSSIBLE", "possible", 0, 0, "", cell_possible, 0 },
	{ "PREDICTED", "predicted", 0, COLUMN_RIGHT, "", cell_predicted, 0 },
	{ "BETWEEN", "range", 0, 0, "", cell_chars, offsetof(struct remedy_row, range) },
	{ "REASON", "reason", 0.4, COLUMN_WRAP, "", cell_reason, 0 },
};

static int print_remedies(const struct page *p)
{
	const struct explain_head *h = &p->e->answer.head;
	const struct column *columns[ARRAY_SIZE(remedy_columns)];
	struct remedy_row rows[EXPLAIN_REMEDIES_MAX] = { 0 };
	const void *order[EXPLAIN_REMEDIES_MAX];
	char sizes[2][24];

	if (!explanation_looked(p->e) || !h->nremedies)
		return 0;
	for (uint32_t i = 0; i < h->nremedies; i++) {
		const struct explain_remedy *r = &h->remedies[i];

		rows[i].r = r;
		text_format(rows[i].name, sizeof(rows[i].name), "  %s", trim_remedy_name(r->remedy));
		if (r->lower != EXPLAIN_UNKNOWN || r->upper != EXPLAIN_UNKNOWN)
			text_format(rows[i].range, sizeof(rows[i].range), "%s..%s",
				    size_text(r->lower, sizes[0], sizeof(sizes[0])),
				    size_text(r->upper, sizes[1], sizeof(sizes[1])));
		if (r->possible && (r->remedy == WORKER_REMEDY_PAGEOUT || r->remedy == WORKER_REMEDY_COLD))
			text_format(rows[i].deep, sizeof(rows[i].deep), "%s",
				    r->remedy == WORKER_REMEDY_COLD ? "what is idle is the first to go then" :
								      "of what is idle; to swap, not freed");
		else if (r->possible && r->deep != EXPLAIN_UNKNOWN)
			text_format(rows[i].deep, sizeof(rows[i].deep), "depth deep adds %s",
				    size_text(r->deep, sizes[0], sizeof(sizes[0])));
		order[i] = &rows[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		columns[i] = &remedy_columns[i];
	heading(p, "Remedies", "");
	return render_table(p->ctl, columns, ARRAY_SIZE(columns), order, h->nremedies);
}

int explain_print_text(const struct ctl *ctl, const struct explanation *e, bool all)
{
	const struct page p = { .ctl = ctl, .e = e, .blocks = bar_blocks() };
	int r;

	print_process(&p);
	print_accounts(&p);
	r = print_glibc(&p, all);
	if (r < 0)
		return r;
	print_python(&p);
	print_legend(&p);
	print_notes(&p, "Findings", 0, e->notes.findings);
	r = print_remedies(&p);
	if (r < 0)
		return r;
	print_notes(&p, "Advice", e->notes.findings, e->notes.n);
	errno = 0;
	if (fflush(stdout) || ferror(stdout))
		return errno > 0 ? -errno : -EIO;
	return 0;
}
