// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/picture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/outfile.h"

#define MIB (1ull << 20)

const struct picture_style picture_styles[PART_N] = {
	[PART_IN_USE] = { "used", "in use", "the program's data" },
	[PART_SHARED] = { "shared", "free, beside data",
			  "free bytes in pages that hold data too: such a page can't go" },
	[PART_CACHED] = { "cached", "cached", "freed by the program, kept at hand by its C library" },
	[PART_FREE] = { "free", "free, still held", "whole pages with nothing of the program's in them" },
	[PART_OTHER] = { "other", "other memory", "memory that no allocator known here owns" },
	[PART_STACK] = { "stack", "stacks", "of its threads" },
	[PART_FILE] = { "file", "program files", "the program and its libraries" },
	[PART_SHMEM] = { "shmem", "shared memory", "shared with other processes" },
};

/* What each kind of memory is, and what would free it where that isn't worked out below. */
static const struct {
	const char *key, *name, *what, *cure;
	enum picture_part part; /* when nobody can look into it */
	uint32_t owner;
} kinds[ACCOUNT_N] = {
	[ACCOUNT_GLIBC_HEAP] = { "glibc", "Heap of the C library",
				 "malloc() cuts it into blocks; what is freed is kept for the next request, and by "
				 "itself only the free space at its very end goes back.",
				 "The C library must be made to return it.", PART_OTHER, EXPLAIN_OWNER_GLIBC_HEAP },
	[ACCOUNT_GLIBC_MMAP] = { "mmapped", "Large blocks", "Blocks that are so large that each has memory of its own.",
				 "They go back at once when the program frees them; nobody else can do that.",
				 PART_IN_USE, EXPLAIN_OWNER_GLIBC_MMAP },
	[ACCOUNT_PYMALLOC] = { "cpython", "Small objects of Python",
			       "Python puts small objects into pools, many pools into an arena; an arena goes back "
			       "only when the last object in it is gone.",
			       "The objects in the way must go, or the pages around them be taken back.", PART_OTHER,
			       EXPLAIN_OWNER_PYMALLOC },
	[ACCOUNT_STACK] = { "stack", "Stack of the main thread", "Where functions keep what they work on.",
			    "It ends with the program.", PART_STACK, 0 },
	[ACCOUNT_THREAD_STACK] = { "thread-stacks", "Stacks of other threads", "One for each thread.",
				   "Each ends with its thread: fewer threads, fewer stacks.", PART_STACK, 0 },
	[ACCOUNT_OTHER] = { "other", "Other anonymous memory",
			    "Memory that no allocator known here owns: other allocators, runtimes, the program's own.",
			    "Only its owner knows; the advice says what is known of it.", PART_OTHER, 0 },
	[ACCOUNT_FILE] = { "files", "Files", "The program, its libraries and data files, as they are on disk.",
			   "The kernel takes them back by itself when memory gets short.", PART_FILE, 0 },
	[ACCOUNT_FILE_COPY] = { "file-copies", "Written pages of files",
				"Pages of libraries that were changed when they were loaded, and variables.",
				"They end with the program.", PART_FILE, 0 },
	[ACCOUNT_SHARED] = { "shared", "Shared memory", "Memory that several processes may use.",
			     "It goes when the last of them lets go of it.", PART_SHMEM, 0 },
	[ACCOUNT_SPECIAL] = { "special", "The kernel's own", "Helpers that the kernel puts into each process.",
			      "Nothing; it is next to nothing.", PART_FILE, 0 },
};

uint64_t picture_whole(const struct picture *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < PART_N; i++)
		sum += p->parts[i];
	return sum;
}

/* ---- figures ---- */

static uint64_t known(uint64_t v)
{
	return v == EXPLAIN_UNKNOWN ? 0 : v;
}

/* Free bytes in resident pages that can't go: only the map knows. */
static uint64_t shared_of(const struct explanation *e, uint32_t owner)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < e->answer.head.ncells; i++)
		if (e->answer.cells[i].owner == owner)
			sum += e->answer.cells[i].free_shared;
	return sum;
}

/* Splits what is resident of an allocator. Figures are of different moments: none of the parts exceeds what is left. */
static void part_split(struct picture *p, const struct picture_layer *l)
{
	uint64_t left = l->resident, n;

	n = MIN(left, known(l->free_resident));
	p->parts[PART_FREE] += n;
	left -= n;
	n = MIN(left, known(l->cached));
	p->parts[PART_CACHED] += n;
	left -= n;
	n = MIN(left, shared_of(p->e, l->owner));
	p->parts[PART_SHARED] += n;
	p->parts[PART_IN_USE] += left - n;
}

static void layer_figures(const struct explanation *e, enum account_kind kind, struct picture_layer *l)
{
	const struct explain_glibc *g = &e->answer.head.glibc;
	const struct explain_python *py = &e->answer.head.python;

	l->in_use = l->cached = l->free_resident = l->free = EXPLAIN_UNKNOWN;
	if (kind == ACCOUNT_GLIBC_HEAP && explanation_has_glibc(e)) {
		l->in_use = g->in_use;
		l->cached = g->cached;
		l->free_resident = g->free_resident;
		l->free = g->free;
	} else if (kind == ACCOUNT_PYMALLOC && explanation_has_python(e)) {
		l->in_use = py->in_use;
		l->cached = 0;
		l->free_resident = py->free_resident;
		l->free = py->free;
	} else if (kind == ACCOUNT_GLIBC_MMAP && explanation_has_glibc(e)) {
		l->in_use = g->mmapped;
	}
}

static const struct explain_remedy *remedy_of(const struct explanation *e, uint32_t bit)
{
	for (uint32_t i = 0; explanation_looked(e) && i < e->answer.head.nremedies; i++)
		if (e->answer.head.remedies[i].remedy == bit)
			return &e->answer.head.remedies[i];
	return NULL;
}

/* Only for what can be helped there is more to say. */
static void layer_cure(const struct explanation *e, enum account_kind kind, struct picture_layer *l)
{
	const struct explain_remedy *trim = remedy_of(e, WORKER_REMEDY_TRIM),
				    *purge = remedy_of(e, WORKER_REMEDY_PURGE);
	char size[24];

	text_format(l->cure, sizeof(l->cure), "%s", kinds[kind].cure);
	if (l->free_resident == EXPLAIN_UNKNOWN)
		return;
	if (l->free_resident < MIB)
		text_format(l->cure, sizeof(l->cure), "Nothing to do: hardly anything in it is free.");
	else if (!purge || !purge->possible)
		text_format(l->cure, sizeof(l->cure), "It can't be given back from outside now: %s.",
			    purge ? purge->reason : "that isn't known here");
	else if (purge->predicted != EXPLAIN_UNKNOWN && picture_offer(e) < MIB)
		text_format(l->cure, sizeof(l->cure), "Nothing to do now: no remedy promises more of it. %s",
			    kind == ACCOUNT_PYMALLOC ?
				    "Of each empty pool the first page stays, where Python keeps its "
				    "lists." :
				    "");
	else if (kind == ACCOUNT_PYMALLOC)
		text_format(
			l->cure, sizeof(l->cure),
			"'reclaimctl trim %d' gives the empty pages back and leaves every object where it is; neither "
			"gc.collect() nor malloc_trim() does.",
			e->proc.pid);
	else if (trim && trim->possible && trim->predicted != EXPLAIN_UNKNOWN && trim->predicted >= MIB)
		text_format(l->cure, sizeof(l->cure),
			    "'reclaimctl trim %d' gives it back; the C library's own malloc_trim() would return %s, if "
			    "anybody called it.",
			    e->proc.pid, format_size(trim->predicted, size, sizeof(size)));
	else
		text_format(l->cure, sizeof(l->cure), "'reclaimctl trim %d' gives the empty pages back.", e->proc.pid);
}

static int layer_compare(const void *a, const void *b)
{
	const struct picture_layer *x = a, *y = b;

	return (x->resident < y->resident) - (x->resident > y->resident);
}

static void layers_fill(struct picture *p)
{
	for (enum account_kind k = 0; k < ACCOUNT_N; k++) {
		const struct account *a = &p->e->accounts[k];
		struct picture_layer *l = &p->layers[p->nlayers];

		if (!a->rss && !a->swap)
			continue;
		*l = (struct picture_layer){
			.key = kinds[k].key,
			.name = kinds[k].name,
			.what = kinds[k].what,
			.resident = a->rss,
			.swap = a->swap,
			.owner = kinds[k].owner,
		};
		layer_figures(p->e, k, l);
		layer_cure(p->e, k, l);
		if (l->free_resident != EXPLAIN_UNKNOWN)
			part_split(p, l);
		else
			p->parts[kinds[k].part] += a->rss;
		p->nlayers++;
	}
	qsort(p->layers, p->nlayers, sizeof(*p->layers), layer_compare);
}

/* ---- sentences ---- */

/* Why what is free stays, in words that need no allocator to be known. */
static void story_fill(struct picture *p)
{
	const struct explain_python *py = &p->e->answer.head.python;
	char sizes[3][24];
	uint64_t blocks = 0, arenas = 0, bytes = 0;

	text_format(p->story, sizeof(p->story), "Of its heap, %s in memory is the program's data. ",
		    format_size(p->parts[PART_IN_USE], sizes[0], sizeof(sizes[0])));
	if (!explanation_has_python(p->e) || py->free_resident < p->parts[PART_FREE] / 2) {
		text_append(
			p->story, sizeof(p->story),
			"The rest lies between blocks that are still alive, and the C library returns by itself only "
			"what is free at the very end.");
		return;
	}
	for (size_t i = 0; i < EXPLAIN_PYTHON_PINS; i++) {
		if (py->pins[i].limit > py->arena_size / 4)
			break;
		blocks += py->pins[i].live_blocks;
		arenas += py->pins[i].arenas;
		bytes += py->pins[i].live_bytes;
	}
	text_append(
		p->story, sizeof(p->story),
		"Python hands memory back by the arena, %s at a time, and only when nothing in it is alive: %" PRIu64
		" arenas are kept by %" PRIu64 " live objects, which together are no more than %s.",
		format_size(py->arena_size, sizes[1], sizeof(sizes[1])), arenas, blocks,
		format_size(bytes, sizes[2], sizeof(sizes[2])));
}

uint64_t picture_offer(const struct explanation *e)
{
	const struct explain_head *h = &e->answer.head;
	uint64_t best = 0;

	for (uint32_t i = 0; explanation_looked(e) && i < h->nremedies; i++) {
		const struct explain_remedy *r = &h->remedies[i];

		/* What is moved to swap isn't given back, and no trim does it by itself. */
		if (r->possible && r->predicted != EXPLAIN_UNKNOWN &&
		    !(r->remedy & (WORKER_REMEDY_COLD | WORKER_REMEDY_PAGEOUT)))
			best = MAX(best, r->predicted + MIN(known(r->deep), UINT64_MAX - r->predicted));
	}
	return best;
}

static void offer_fill(struct picture *p)
{
	const uint64_t best = picture_offer(p->e);
	char size[24];

	if (best >= MIB)
		text_format(p->offer, sizeof(p->offer),
			    "reclaimctl trim %d gives about %s back, while the program runs on.", p->e->proc.pid,
			    format_size(best, size, sizeof(size)));
}

static void headline_fill(struct picture *p)
{
	const uint64_t whole = picture_whole(p), held = p->parts[PART_FREE];
	char sizes[2][24];

	format_size(held, sizes[0], sizeof(sizes[0]));
	format_size(whole, sizes[1], sizeof(sizes[1]));
	if (!explanation_looked(p->e)) {
		text_format(p->headline, sizeof(p->headline), "%s in memory; its inside could not be looked at.",
			    sizes[1]);
		text_format(p->story, sizeof(p->story), "%s.",
			    p->e->proc.kthread ? "it is a kernel thread: it has no memory of its own" :
						 p->e->answer.head.reason);
	} else if (held >= MIB && held >= whole / 10) {
		text_format(p->headline, sizeof(p->headline), "%s of %s are free, and still held.", sizes[0], sizes[1]);
		story_fill(p);
	} else {
		text_format(p->headline, sizeof(p->headline), "%s in memory, and hardly any of it for nothing.",
			    sizes[1]);
		text_format(p->story, sizeof(p->story), "Only %s are in pages with nothing in them.", sizes[0]);
	}
}

void picture_fill(const struct explanation *e, const char *label, struct picture *ret)
{
	*ret = (struct picture){ .e = e, .label = label };
	layers_fill(ret);
	headline_fill(ret);
	offer_fill(ret);
}

/* ---- cells ---- */

static void cell_join(struct explain_cell *to, const struct explain_cell *c)
{
	to->in_use += c->in_use;
	to->cached += c->cached;
	to->free_resident += c->free_resident;
	to->free_shared += c->free_shared;
	to->free_gone += c->free_gone;
	to->overhead += c->overhead;
	to->unknown += c->unknown;
	to->resident += c->resident;
	to->swapped += c->swapped;
	to->live_blocks += MIN(c->live_blocks, UINT32_MAX - to->live_blocks);
}

size_t picture_coarsen(struct explain_cell *v, size_t n, size_t max, uint64_t *size)
{
	while (n > max && *size < EXPLAIN_CELL_MAX) {
		size_t kept = 0;

		*size *= 2;
		for (size_t i = 0; i < n; i++) {
			struct explain_cell c = v[i];
			size_t back = kept;

			c.at &= ~(*size - 1);
			/* Cells of other owners may lie in between, at the same address. */
			while (back && v[back - 1].at == c.at && v[back - 1].owner != c.owner)
				back--;
			if (back && v[back - 1].at == c.at)
				cell_join(&v[back - 1], &c);
			else
				v[kept++] = c;
		}
		n = kept;
	}
	return n;
}

unsigned int picture_cell_part(const struct explain_cell *c)
{
	const uint64_t amounts[] = {
		[PART_IN_USE] = (uint64_t)c->in_use + c->overhead,
		[PART_SHARED] = c->free_shared,
		[PART_CACHED] = c->cached,
		[PART_FREE] = c->free_resident,
		[PART_OTHER] = c->unknown,
	};
	unsigned int best = PART_N;
	uint64_t most = c->free_gone;

	for (unsigned int i = 0; i < ARRAY_SIZE(amounts); i++) {
		if (amounts[i] <= most)
			continue;
		most = amounts[i];
		best = i;
	}
	return best;
}

/* ---- files ---- */

int picture_write_html(const char *path, const struct picture *const *v, size_t n, char *why, size_t size)
{
	_cleanup_(outfile_done) struct outfile o = OUTFILE_NONE;
	int r = outfile_open(path, &o);

	if (r == 0)
		r = picture_html(o.f, v, n);
	if (r == 0)
		r = outfile_commit(&o);
	if (r < 0)
		outfile_explain(path, r, why, size);
	return r;
}

int picture_write_svg(const char *path, const struct picture *p, char *why, size_t size)
{
	_cleanup_(outfile_done) struct outfile o = OUTFILE_NONE;
	int r = outfile_open(path, &o);

	if (r == 0)
		r = picture_svg(o.f, p);
	if (r == 0)
		r = outfile_commit(&o);
	if (r < 0)
		outfile_explain(path, r, why, size);
	return r;
}
