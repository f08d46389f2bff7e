/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of all the figures a person should be told: a table of rules, each with its own threshold. */
#include "ctl/notes.h"

#include "base/parse.h"
#include "base/text.h"

bool note_matters(const struct explanation *e, uint64_t bytes, uint64_t least, uint64_t part)
{
	const uint64_t anon = e->proc.anon == PROC_UNKNOWN ? 0 : note_sum(e->proc.anon, e->proc.swap);

	return bytes != EXPLAIN_UNKNOWN && bytes >= least && bytes >= anon / part;
}

struct note_size note_size(uint64_t bytes)
{
	struct note_size s = { "" };

	format_size(bytes, s.text, sizeof(s.text));
	return s;
}

uint64_t note_sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

uint64_t note_free_resident(const struct explanation *e)
{
	uint64_t all = 0;

	if (explanation_has_glibc(e))
		all = note_sum(all, e->answer.head.glibc.free_resident);
	if (explanation_has_python(e))
		all = note_sum(all, e->answer.head.python.free_resident);
	return all;
}

uint64_t note_huge(const struct explanation *e)
{
	return e->accounts[ACCOUNT_GLIBC_HEAP].huge + e->accounts[ACCOUNT_PYMALLOC].huge;
}

#define SAY(...)                                     \
	do {                                         \
		text_format(buf, size, __VA_ARGS__); \
		return true;                         \
	} while (0)
#define SZ(bytes) note_size(bytes).text

/* ---- the C library ---- */

#define PIN_LOG 15 /* stretches of 1 MiB with less than 64 KiB of live data */

static bool say_pins(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_glibc *g = &e->answer.head.glibc;
	struct explain_pins sum = { 0 };

	if (!explanation_has_glibc(e))
		return false;
	for (size_t i = 0; i <= PIN_LOG; i++) {
		const struct explain_pins *p = &g->pins[i];

		/* Without a live block nothing is pinned. */
		if (!p->live_blocks)
			continue;
		sum.stretches = note_sum(sum.stretches, p->stretches);
		sum.live_bytes = note_sum(sum.live_bytes, p->live_bytes);
		sum.live_blocks = note_sum(sum.live_blocks, p->live_blocks);
		sum.free_resident = note_sum(sum.free_resident, p->free_resident);
	}
	if (!sum.stretches || !note_matters(e, sum.free_resident, 4 * NOTE_MIB, 20))
		return false;
	if (sum.live_blocks < 2 * sum.stretches)
		SAY("one live block of %s (on average) pins 1 MiB in %llu places: %s are free in them",
		    SZ(sum.live_bytes / sum.live_blocks), (unsigned long long)sum.stretches, SZ(sum.free_resident));
	SAY("%llu live blocks, %s in all, pin %llu stretches of 1 MiB: %s are free in them",
	    (unsigned long long)sum.live_blocks, SZ(sum.live_bytes), (unsigned long long)sum.stretches,
	    SZ(sum.free_resident));
}

static bool say_tops(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_answer *a = &e->answer;
	uint32_t n = 0, largest = 0;
	uint64_t sum = 0;

	if (!explanation_has_glibc(e))
		return false;
	for (uint32_t i = 0; i < a->head.narenas; i++) {
		if ((a->arenas[i].flags & EXPLAIN_A_MAIN) || a->arenas[i].top_resident < NOTE_MIB / 4)
			continue;
		if (!n || a->arenas[i].top_resident > a->arenas[largest].top_resident)
			largest = i;
		sum = note_sum(sum, a->arenas[i].top_resident);
		n++;
	}
	if (!n || !note_matters(e, sum, NOTE_MIB, 50))
		return false;
	if (n == 1)
		SAY("top of thread arena %u is %s that malloc_trim never touches", largest, SZ(sum));
	SAY("the tops of %u thread arenas are %s that malloc_trim never touches (the largest, arena %u: %s)", n,
	    SZ(sum), largest, SZ(a->arenas[largest].top_resident));
}

static bool say_dynamic(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_glibc *g = &e->answer.head.glibc;

	/* 128 KiB is where both begin; freeing a block of its own mapping sets mmap_threshold to its size. */
	if (!explanation_has_glibc(e) || !(g->flags & EXPLAIN_G_DYNAMIC) || g->trim_threshold < NOTE_MIB ||
	    g->mmap_threshold <= 128 << 10)
		return false;
	SAY("dynamic trim threshold has risen to %s because a %s block was freed: so much may stay at the end of each "
	    "heap",
	    SZ(g->trim_threshold), SZ(g->mmap_threshold));
}

static bool say_caches(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_glibc *g = &e->answer.head.glibc;

	if (!explanation_has_glibc(e) || !note_matters(e, g->tcaches, NOTE_MIB, 100))
		return false;
	SAY("thread caches hold %s, which only their own threads can give back", SZ(g->tcaches));
}

static bool say_fastbins(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_glibc *g = &e->answer.head.glibc;

	if (!explanation_has_glibc(e) || !note_matters(e, g->fastbins, NOTE_MIB, 100))
		return false;
	SAY("fast bins hold %s in small blocks that are not joined to their neighbours until malloc_trim runs",
	    SZ(g->fastbins));
}

static bool say_crumbs(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_glibc *g = &e->answer.head.glibc;
	uint64_t bytes = 0, count = 0;

	if (!explanation_has_glibc(e))
		return false;
	for (size_t i = 0; i < 12; i++) {
		bytes = note_sum(bytes, g->runs[i].bytes);
		count = note_sum(count, g->runs[i].count);
	}
	if (!note_matters(e, bytes, 4 * NOTE_MIB, 10))
		return false;
	SAY("%s is free in %llu pieces smaller than a page: no page of it can be returned while its neighbours live",
	    SZ(bytes), (unsigned long long)count);
}

static bool say_foreign(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_glibc *g = &e->answer.head.glibc;

	if (!explanation_has_glibc(e) || !g->foreign || !note_matters(e, g->foreign, NOTE_MIB / 4, 1000))
		return false;
	SAY("somebody else's sbrk() holds %s amid the heap, which therefore can't shrink below it", SZ(g->foreign));
}

static bool say_large(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_glibc *g = &e->answer.head.glibc;

	if (!explanation_has_glibc(e) || !note_matters(e, g->mmapped, 16 * NOTE_MIB, 3))
		return false;
	SAY("%s is in %llu large blocks with mappings of their own: these go back as soon as the program frees them",
	    SZ(g->mmapped), (unsigned long long)g->mmapped_blocks);
}

static bool say_trim_little(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_head *h = &e->answer.head;

	for (uint32_t i = 0; explanation_has_glibc(e) && i < h->nremedies; i++) {
		const struct explain_remedy *r = &h->remedies[i];

		if (r->remedy != WORKER_REMEDY_TRIM || !r->possible || r->predicted == EXPLAIN_UNKNOWN ||
		    r->predicted >= h->glibc.free_resident / 4 ||
		    !note_matters(e, h->glibc.free_resident, 8 * NOTE_MIB, 20))
			continue;
		SAY("malloc_trim would return only %s of the %s that glibc holds free and resident", SZ(r->predicted),
		    SZ(h->glibc.free_resident));
	}
	return false;
}

/* ---- Python ---- */

static bool say_python_pins(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_python *p = &e->answer.head.python;
	struct explain_python_pins sum = { 0 };

	if (!explanation_has_python(e))
		return false;
	/* Arenas with at most 1/16 of their bytes live. */
	for (size_t i = 0; i < EXPLAIN_PYTHON_PINS && p->pins[i].limit <= p->arena_size / 16; i++) {
		if (!p->pins[i].live_blocks)
			continue;
		sum.limit = p->pins[i].limit;
		sum.arenas = note_sum(sum.arenas, p->pins[i].arenas);
		sum.live_blocks = note_sum(sum.live_blocks, p->pins[i].live_blocks);
		sum.live_bytes = note_sum(sum.live_bytes, p->pins[i].live_bytes);
		sum.free_bytes = note_sum(sum.free_bytes, p->pins[i].free_bytes);
	}
	if (!sum.arenas || !note_matters(e, sum.free_bytes, 4 * NOTE_MIB, 20))
		return false;
	if (sum.live_blocks < 2 * sum.arenas)
		SAY("one live block of %s (on average) pins %s in %llu arenas of CPython: %s in them is free",
		    SZ(sum.live_bytes / sum.live_blocks), SZ(p->arena_size), (unsigned long long)sum.arenas,
		    SZ(sum.free_bytes));
	SAY("%llu live blocks, %s in all, pin %llu arenas of CPython (%s each): %s in them is free",
	    (unsigned long long)sum.live_blocks, SZ(sum.live_bytes), (unsigned long long)sum.arenas, SZ(p->arena_size),
	    SZ(sum.free_bytes));
}

static bool say_python_free(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_python *p = &e->answer.head.python;

	if (!explanation_has_python(e) || !note_matters(e, p->free_resident, 4 * NOTE_MIB, 10))
		return false;
	SAY("CPython holds %s free and resident (%s in free pools, %s between live blocks): gc.collect() and "
	    "malloc_trim() return none of it",
	    SZ(p->free_resident), SZ(p->free_resident_pools), SZ(p->free_resident_blocks));
}

static bool say_python_else(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_python *p = &e->answer.head.python;

	if (!explanation_looked(e) || p->layer == EXPLAIN_ABSENT || explanation_has_python(e) || !*p->why)
		return false;
	SAY("CPython's own allocator could not be read: %s", p->why);
}

/* ---- the kernel ---- */

static bool say_huge(const struct explanation *e, char *buf, size_t size)
{
	const uint64_t huge = note_huge(e);

	if (!note_matters(e, huge, 2 * NOTE_MIB, 20) || !note_matters(e, note_free_resident(e), NOTE_MIB, 50))
		return false;
	SAY("huge pages: %s of the heap is in them; dropping 4 KiB pages here frees nothing until they are split",
	    SZ(huge));
}

static bool say_lazyfree(const struct explanation *e, char *buf, size_t size)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < e->regions.n; i++)
		sum = note_sum(sum, e->regions.v[i].lazyfree);
	if (!note_matters(e, sum, NOTE_MIB, 20))
		return false;
	SAY("%s was given back already and counts as resident only until the kernel needs it (lazy free)", SZ(sum));
}

static bool say_swap(const struct explanation *e, char *buf, size_t size)
{
	if (e->proc.swap == PROC_UNKNOWN || !note_matters(e, e->proc.swap, 16 * NOTE_MIB, 10))
		return false;
	SAY("%s is swapped out: what is free in it was not looked at, and a trim would read its headers back in",
	    SZ(e->proc.swap));
}

static bool say_nobodys(const struct explanation *e, char *buf, size_t size)
{
	const uint64_t other = e->accounts[ACCOUNT_OTHER].rss;

	if (!explanation_looked(e) || !note_matters(e, other, 16 * NOTE_MIB, 4))
		return false;
	SAY("%s of anonymous memory belongs to no allocator that could be read", SZ(other));
}

/* ---- how far to believe it ---- */

static bool say_estimate(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_head *h = &e->answer.head;
	const bool glibc = explanation_has_glibc(e) && h->glibc.layer == EXPLAIN_ESTIMATE;
	const bool python = explanation_has_python(e) && h->python.layer == EXPLAIN_ESTIMATE;

	if (!glibc && !python)
		return false;
	SAY("%s%s%s changed while it was read: the figures are estimates", glibc ? "glibc's heap" : "",
	    glibc && python ? " and " : "", python ? "CPython's" : "");
}

static bool say_unknown(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_head *h = &e->answer.head;
	uint64_t sum = 0;

	if (explanation_has_glibc(e))
		sum = note_sum(sum, h->glibc.unknown);
	if (explanation_has_python(e))
		sum = note_sum(sum, h->python.unknown);
	if (!note_matters(e, sum, NOTE_MIB, 50))
		return false;
	SAY("%s of the allocators' memory could not be looked at (swapped out, or changing)", SZ(sum));
}

static bool say_unreadable(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_head *h = &e->answer.head;

	if (!explanation_looked(e) || h->glibc.layer != EXPLAIN_UNREADABLE || h->allocator != EXPLAIN_ALLOC_GLIBC ||
	    !*h->glibc.why)
		return false;
	SAY("glibc's heap could not be read: %s", h->glibc.why);
}

static bool say_no_allocator(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_head *h = &e->answer.head;

	if (h->outcome == WORKER_NOTHING && h->allocator == EXPLAIN_ALLOC_UNKNOWN && *h->reason)
		SAY("its allocator could not be told: %s", h->reason);
	if (h->outcome == WORKER_REFUSED && *h->reason)
		SAY("nothing was looked at from inside: %s", h->reason);
	return false;
}

static bool say_kthread(const struct explanation *e, char *buf, size_t size)
{
	if (!e->proc.kthread)
		return false;
	SAY("it is a kernel thread: it has no memory of its own");
}

const struct note_rule note_findings[] = {
	{ "kthread", say_kthread },
	{ "no-allocator", say_no_allocator },
	{ "unreadable", say_unreadable },
	{ "estimate", say_estimate },
	{ "unknown", say_unknown },
	{ "python-free", say_python_free },
	{ "python-pins", say_python_pins },
	{ "python-else", say_python_else },
	{ "pins", say_pins },
	{ "tops", say_tops },
	{ "trim-little", say_trim_little },
	{ "dynamic", say_dynamic },
	{ "huge", say_huge },
	{ "caches", say_caches },
	{ "fastbins", say_fastbins },
	{ "crumbs", say_crumbs },
	{ "foreign", say_foreign },
	{ "large", say_large },
	{ "lazyfree", say_lazyfree },
	{ "swap", say_swap },
	{ "nobodys", say_nobodys },
};
const size_t note_nfindings = ARRAY_SIZE(note_findings);

static void notes_apply(const struct explanation *e, const struct note_rule *rules, size_t n, struct notes *ret)
{
	for (size_t i = 0; i < n && ret->n < NOTES_MAX; i++)
		if (rules[i].say(e, ret->text[ret->n], sizeof(ret->text[ret->n])))
			ret->n++;
}

void notes_compose(const struct explanation *e, struct notes *ret)
{
	ret->n = 0;
	notes_apply(e, note_findings, note_nfindings, ret);
	ret->findings = ret->n;
	notes_apply(e, note_advice, note_nadvice, ret);
}
