/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When something else than reclaim is the better cure: a setting before the
 * start, another way to do the work, an allocator's own door.
 */
#include "base/text.h"
#include "ctl/notes.h"

#define SAY(...)                                     \
	do {                                         \
		text_format(buf, size, __VA_ARGS__); \
		return true;                         \
	} while (0)
#define SZ(bytes) note_size(bytes).text

#define ARENAS_MANY 8
#define MATTERS_MIB (16 * NOTE_MIB)

/* What each allocator has itself for giving memory back. NULL: nothing to say. */
static const char *const allocator_ways[] = {
	[EXPLAIN_ALLOC_UNKNOWN] = NULL,
	[EXPLAIN_ALLOC_GLIBC] = NULL,
	[EXPLAIN_ALLOC_MUSL] =
		"its malloc is musl's, which returns each group of blocks once all of it is free and has "
		"no purge",
	[EXPLAIN_ALLOC_JEMALLOC] =
		"its malloc is jemalloc's, which returns free pages by age: start it with "
		"MALLOC_CONF=background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0, or have it "
		"call mallctl(\"arena.4096.purge\")",
	[EXPLAIN_ALLOC_TCMALLOC] =
		"its malloc is tcmalloc's: MallocExtension_ReleaseFreeMemory() returns what is free; "
		"TCMALLOC_RELEASE_RATE=10 before the start does it by and by (gperftools)",
	[EXPLAIN_ALLOC_MIMALLOC] = "its malloc is mimalloc's: mi_collect(true) in each thread returns what is free; "
				   "MIMALLOC_PURGE_DELAY=0 before the start does it at once",
	[EXPLAIN_ALLOC_TBB] =
		"its malloc is TBB's: scalable_allocation_command(TBBMALLOC_CLEAN_ALL_BUFFERS, 0) returns "
		"what is free",
	[EXPLAIN_ALLOC_GO] = "Go returns memory by itself, slowly: GOMEMLIMIT before the start, or "
			     "runtime/debug.FreeOSMemory() in it, makes it sooner",
	[EXPLAIN_ALLOC_OTHER] = "its malloc is one that is not known here: what is free in it can't be told",
};
_Static_assert(sizeof(allocator_ways) / sizeof(allocator_ways[0]) == EXPLAIN_NALLOCATORS, "one row each");

static const char *const runtime_ways[] = {
	[EXPLAIN_RUNTIME_NONE] = NULL,
	[EXPLAIN_RUNTIME_CPYTHON] = NULL, /* its rules are below */
	[EXPLAIN_RUNTIME_GO] = NULL, /* said as an allocator */
	[EXPLAIN_RUNTIME_JAVA] = "Java: 'jcmd PID GC.run' and 'jcmd PID System.trim_native_heap' return what can be; "
				 "-XX:TrimNativeHeapInterval=10000 before the start does the latter by itself",
	[EXPLAIN_RUNTIME_NODE] =
		"Node.js manages its objects itself: --max-old-space-size before the start bounds them; "
		"a trim returns what its C heap holds",
	[EXPLAIN_RUNTIME_RUBY] = "Ruby: GC.start and, since 3.3, Process.warmup return what can be; MALLOC_ARENA_MAX=2 "
				 "before the start keeps its C heap small",
};
_Static_assert(sizeof(runtime_ways) / sizeof(runtime_ways[0]) == EXPLAIN_NRUNTIMES, "one row each");

static bool advise_allocator(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_head *h = &e->answer.head;

	if (!explanation_looked(e) || !allocator_ways[h->allocator])
		return false;
	SAY("%s", allocator_ways[h->allocator]);
}

static bool advise_also(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_head *h = &e->answer.head;

	if (!explanation_looked(e) || !allocator_ways[h->also] || h->also == h->allocator ||
	    h->also == EXPLAIN_ALLOC_OTHER)
		return false;
	SAY("%s is in it too, and what it holds is not in these figures", explain_allocator_name(h->also));
}

static bool advise_runtime(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_head *h = &e->answer.head;

	if (!explanation_looked(e) || !runtime_ways[h->runtime])
		return false;
	SAY("%s", runtime_ways[h->runtime]);
}

static bool advise_arenas(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_answer *a = &e->answer;
	uint64_t sum = 0;

	if (!explanation_has_glibc(e) || a->head.arenas_total < ARENAS_MANY)
		return false;
	for (uint32_t i = 0; i < a->head.narenas; i++)
		if (!(a->arenas[i].flags & EXPLAIN_A_MAIN))
			sum = note_sum(sum, a->arenas[i].free_resident);
	if (!note_matters(e, sum, MATTERS_MIB, 10))
		return false;
	SAY("%llu thread arenas hold %s free and resident: MALLOC_ARENA_MAX=2 (or the tunable "
	    "glibc.malloc.arena_max=2) before the start keeps them few",
	    (unsigned long long)a->head.arenas_total - 1, SZ(sum));
}

static bool advise_threshold(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_glibc *g = &e->answer.head.glibc;

	if (!explanation_has_glibc(e) || !(g->flags & EXPLAIN_G_DYNAMIC) || g->trim_threshold < 8 * NOTE_MIB ||
	    !note_matters(e, g->free_resident, MATTERS_MIB, 10))
		return false;
	SAY("GLIBC_TUNABLES=glibc.malloc.trim_threshold=131072 (or MALLOC_TRIM_THRESHOLD_=131072) before the start "
	    "keeps the thresholds from rising");
}

static bool advise_caches(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_glibc *g = &e->answer.head.glibc;

	if (!explanation_has_glibc(e) || !note_matters(e, g->tcaches, MATTERS_MIB, 20))
		return false;
	SAY("GLIBC_TUNABLES=glibc.malloc.tcache_count=0 before the start does without thread caches, which makes "
	    "malloc slower");
}

/* Two millions of strings, one in a thousand kept: 160 MiB of pymalloc's stayed, and 17 in the C heap once trimmed. */
static bool advise_pymalloc(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_python *p = &e->answer.head.python;

	if (!explanation_has_python(e) || !note_matters(e, p->free_resident, 64 * NOTE_MIB, 3))
		return false;
	SAY("PYTHONMALLOC=malloc before the start puts small objects into the C heap, of which malloc_trim() returns "
	    "the free pages between them; it makes Python somewhat slower");
}

static bool advise_child(const struct explanation *e, char *buf, size_t size)
{
	const bool python = explanation_has_python(e);
	uint64_t most = python ? e->answer.head.python.free_resident : 0;

	if (explanation_has_glibc(e))
		most = MAX(most, e->answer.head.glibc.free_resident);
	if (!note_matters(e, most, 64 * NOTE_MIB, 3))
		return false;
	SAY("when such a peak is rare, a child process for that work%s gives all of it back at its end",
	    python ? " (concurrent.futures.ProcessPoolExecutor)" : "");
}

static bool advise_fragmented(const struct explanation *e, char *buf, size_t size)
{
	const struct explain_glibc *g = &e->answer.head.glibc;
	uint64_t crumbs = 0;

	for (size_t i = 0; explanation_has_glibc(e) && i < 12; i++)
		crumbs = note_sum(crumbs, g->runs[i].bytes);
	if (!note_matters(e, crumbs, 64 * NOTE_MIB, 4))
		return false;
	SAY("an allocator that keeps sizes apart (jemalloc or mimalloc by LD_PRELOAD) would leave fewer such pieces");
}

/* What would keep this program from having huge pages at all. */
static const char *huge_cure(const struct explanation *e)
{
	if (explanation_has_glibc(e) && e->answer.head.glibc.thp_pagesize)
		return "; GLIBC_TUNABLES=glibc.malloc.hugetlb=0 before the start keeps malloc from asking for them";
	if (e->thp.mode == THP_ALWAYS)
		return "; prctl(PR_SET_THP_DISABLE) before the start keeps them off this program";
	return "";
}

static bool advise_huge(const struct explanation *e, char *buf, size_t size)
{
	if (!thp_fills(&e->thp) || !note_matters(e, note_huge(e), MATTERS_MIB, 10) ||
	    !note_matters(e, note_free_resident(e), MATTERS_MIB, 10))
		return false;
	SAY("khugepaged may fill huge pages up again after a trim: 0 in " THP_MAX_PTES_NONE " stops that%s",
	    huge_cure(e));
}

const struct note_rule note_advice[] = {
	{ "allocator", advise_allocator }, { "also", advise_also },	      { "runtime", advise_runtime },
	{ "arenas", advise_arenas },	   { "threshold", advise_threshold }, { "caches", advise_caches },
	{ "pymalloc", advise_pymalloc },   { "child", advise_child },	      { "fragmented", advise_fragmented },
	{ "huge", advise_huge },
};
const size_t note_nadvice = ARRAY_SIZE(note_advice);
