// SPDX-License-Identifier: GPL-2.0-or-later
/* The reader's half of explain: from the readers' facts to those of the wire. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "inspect/cells.h"
#include "inspect/glibc.h"
#include "inspect/pymalloc-cells.h"
#include "inspect/pymalloc.h"
#include "inspect/trouble.h"
#include "remedy/looks.h"
#include "remedy/python.h"
#include "worker/explain.h"
#include "worker/message.h"

_Static_assert(EXPLAIN_LOGS == GLIBC_LOGS && EXPLAIN_PINS == GLIBC_PINS && EXPLAIN_STRETCH == GLIBC_STRETCH &&
		       EXPLAIN_RUN_LOGS == PAGE_RUNS_LOGS && EXPLAIN_LITTLE == GLIBC_LITTLE,
	       "the wire has the reader's tables");
_Static_assert(EXPLAIN_CLASSES == PYMALLOC_CLASSES && EXPLAIN_PYTHON_PINS == PYMALLOC_PINS,
	       "the wire has the reader's tables");

/* Indexed by enum allocator_kind. */
static const enum explain_allocator facts_allocators[] = {
	[ALLOCATOR_GLIBC] = EXPLAIN_ALLOC_GLIBC,
	[ALLOCATOR_MUSL] = EXPLAIN_ALLOC_MUSL,
	[ALLOCATOR_JEMALLOC] = EXPLAIN_ALLOC_JEMALLOC,
	[ALLOCATOR_TCMALLOC] = EXPLAIN_ALLOC_TCMALLOC,
	[ALLOCATOR_MIMALLOC] = EXPLAIN_ALLOC_MIMALLOC,
	[ALLOCATOR_TBB] = EXPLAIN_ALLOC_TBB,
	[ALLOCATOR_GO] = EXPLAIN_ALLOC_GO,
	[ALLOCATOR_OTHER] = EXPLAIN_ALLOC_OTHER,
};

/* Runtimes that nothing here reads: known by the name of a file, good enough for advice. */
static const struct {
	const char *prefix;
	enum explain_runtime runtime;
} facts_runtimes[] = {
	{ "libjvm.so", EXPLAIN_RUNTIME_JAVA },
	{ "libnode.so", EXPLAIN_RUNTIME_NODE },
	{ "libruby-", EXPLAIN_RUNTIME_RUBY },
	{ "libruby.so", EXPLAIN_RUNTIME_RUBY },
};

/* Names that a program itself has when the runtime is linked into it. */
static const struct {
	const char *name;
	enum explain_runtime runtime;
} facts_programs[] = {
	{ "node", EXPLAIN_RUNTIME_NODE },
	{ "nodejs", EXPLAIN_RUNTIME_NODE },
	{ "ruby", EXPLAIN_RUNTIME_RUBY },
};

/* Names in worker/injector.c's order of bits. */
static const struct {
	const char *name;
	uint32_t bit;
} facts_remedies[] = {
	{ "collect", WORKER_REMEDY_COLLECT }, { "trim", WORKER_REMEDY_TRIM },	    { "purge", WORKER_REMEDY_PURGE },
	{ "cold", WORKER_REMEDY_COLD },	      { "pageout", WORKER_REMEDY_PAGEOUT },
};

/* Everything on its way to the socket. */
struct facts {
	const struct explain_source *src;
	struct target *t;
	struct explain_head head;
	struct glibc glibc;
	struct glibc_facts g;
	const struct cpython *py; /* NULL: none, or could not be told */
	struct remedy_looks looks; /* of this explanation's, for the remedies' plans */
	struct explain_arena *arenas;
	struct explain_ranges ranges;
	struct cells cells; /* v is NULL: no map is wanted */
	struct explain_cell *map;
};

static void facts_runtime(struct facts *f)
{
	const struct module *program = target_program(f->t);

	if (f->head.allocator == EXPLAIN_ALLOC_GO)
		f->head.runtime = EXPLAIN_RUNTIME_GO;
	for (size_t i = 0; program && i < ARRAY_SIZE(facts_programs); i++)
		if (!strcmp(module_basename(program), facts_programs[i].name))
			f->head.runtime = facts_programs[i].runtime;
	for (size_t m = 0; m < f->t->mods.n; m++)
		for (size_t i = 0; i < ARRAY_SIZE(facts_runtimes); i++)
			if (!strncmp(module_basename(&f->t->mods.v[m]), facts_runtimes[i].prefix,
				     strlen(facts_runtimes[i].prefix)))
				f->head.runtime = facts_runtimes[i].runtime;
}

/* Why a reader gave up, when it said no more than an errno. */
static const char *facts_error(int r)
{
	switch (r) {
	case -EAGAIN:
		return "it kept changing while it was read";
	case -EDQUOT:
		return "there is more of it than may be read at a time";
	case -ETIME:
		return "reading it took too long";
	case -EOPNOTSUPP:
		return "its pagemap can't be read";
	case -ENOMEM:
		return "not enough memory to read it";
	case -EBADMSG:
		return "its structures make no sense";
	default:
		return "its memory can't be read";
	}
}

/* What was said of the target may have been our own fault. */
static void facts_mend(char *why, size_t size)
{
	if (trouble())
		text_format(why, size, "%s", facts_error(trouble()));
}

static struct explain_pins pins_of(const struct glibc_pins *p)
{
	return (struct explain_pins){ p->stretches, p->live_bytes, p->live_blocks, p->free_resident };
}

static void glibc_totals(const struct glibc *g, const struct glibc_facts *f, struct explain_glibc *ret)
{
	ret->layer = f->torn ? EXPLAIN_ESTIMATE : EXPLAIN_READ;
	ret->flags = (f->dynamic ? EXPLAIN_G_DYNAMIC : 0) | (f->partial ? EXPLAIN_G_PARTIAL : 0) |
		     (g->unused ? EXPLAIN_G_UNUSED : 0);
	ret->system = f->system;
	ret->in_use = f->in_use;
	ret->cached = f->cached;
	ret->free = f->free;
	ret->free_resident = f->free_resident;
	ret->fastbins = f->fastbins;
	ret->tcaches = f->tcaches;
	ret->unknown = f->unknown;
	ret->foreign = f->foreign;
	ret->live_blocks = f->live_blocks;
	ret->free_blocks = f->free_blocks;
	ret->mmapped = f->mmapped;
	ret->mmapped_blocks = f->mmapped_blocks;
	ret->trim_threshold = f->trim_threshold;
	ret->mmap_threshold = f->mmap_threshold;
	ret->top_pad = f->top_pad;
	ret->thp_pagesize = f->thp_pagesize;
	ret->threads = f->threads;
	ret->threads_read = f->threads_read;
	for (size_t i = 0; i < EXPLAIN_LOGS; i++)
		ret->runs[i] = (struct explain_runs){ f->runs[i].count, f->runs[i].bytes, f->runs[i].resident };
	for (size_t i = 0; i < EXPLAIN_PINS; i++)
		ret->pins[i] = pins_of(&f->pins[i]);
}

static void arena_runs(const struct glibc_arena *a, struct explain_arena *ret)
{
	for (size_t i = 0; i < EXPLAIN_RUN_LOGS; i++)
		ret->runs[i] = (struct explain_page_runs){ a->runs.count[i], a->runs.bytes[i] };
	ret->pinned = pins_of(&a->pinned);
}

static void glibc_arenas(struct facts *f)
{
	const size_t n = MIN(f->g.n_arenas, (size_t)EXPLAIN_ARENAS_MAX);

	f->head.arenas_total = f->g.n_arenas;
	f->arenas = calloc(n + 1, sizeof(*f->arenas));
	if (!f->arenas) {
		f->head.glibc.layer = EXPLAIN_UNREADABLE;
		text_format(f->head.glibc.why, sizeof(f->head.glibc.why), "%s", facts_error(-ENOMEM));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct glibc_arena *a = &f->g.arenas[i];

		f->arenas[i] = (struct explain_arena){
			.address = a->address,
			.flags = (a->is_main ? EXPLAIN_A_MAIN : 0) | (a->torn ? EXPLAIN_A_TORN : 0),
			.heaps = a->heaps,
			.system = a->system,
			.in_use = a->in_use,
			.cached = a->cached,
			.free = a->free,
			.free_resident = a->free_resident,
			.top = a->top,
			.top_resident = a->top_resident,
			.trim = a->trim,
			.live_blocks = a->live_blocks,
			.free_blocks = a->free_blocks,
			.threads = a->attached_threads,
		};
		arena_runs(a, &f->arenas[i]);
	}
	f->head.narenas = (uint32_t)n;
}

/* Also when the program uses another malloc: libc itself, and what was allocated early, may still be in this one. */
static void facts_glibc(struct facts *f)
{
	const struct allocator_info *info = &f->src->facts->allocator;
	struct explain_glibc *ret = &f->head.glibc;
	const bool glance = f->src->op == WORKER_OP_GLANCE;
	const bool cheap = glance && !f->src->whole;
	const struct glibc_visitor visitor = {
		.range = remedy_looks_range,
		.ctx = &f->looks.glibc_droppable,
		.cells = f->cells.v ? &f->cells : NULL,
	};
	int r;

	if (!info->libc)
		return;
	r = glibc_locate(f->t, info, &f->glibc, ret->why, sizeof(ret->why));
	ret->layer = EXPLAIN_UNREADABLE;
	if (r < 0) {
		facts_mend(ret->why, sizeof(ret->why));
		return;
	}
	ret->major = f->glibc.major;
	ret->minor = f->glibc.minor;
	r = glibc_look(f->t, &f->glibc, cheap ? GLIBC_CHEAP : 0, glance ? NULL : &visitor, &f->g);
	if (r < 0) {
		text_format(ret->why, sizeof(ret->why), "%s", facts_error(r));
		cells_drop(&f->cells, CELLS_GLIBC);
		return;
	}
	f->looks.glibc = &f->g;
	glibc_totals(&f->glibc, &f->g, ret);
	glibc_arenas(f);
}

static int facts_python_arena(void *ctx, const struct pymalloc_arena *a)
{
	struct facts *f = ctx;

	if (a->o.address <= UINT64_MAX - f->py->arena_size)
		explain_ranges_add(&f->ranges, a->o.address, a->o.address + f->py->arena_size, EXPLAIN_OWNER_PYMALLOC);
	if (f->looks.pymalloc)
		pymalloc_image_arena(f->looks.pymalloc, a);
	if (f->cells.v)
		pymalloc_cells_arena(&f->cells, f->py, a);
	return 0;
}

static int facts_python_pool(void *ctx, const struct pymalloc_arena *a, const struct pymalloc_pool *p)
{
	struct facts *f = ctx;

	if (f->looks.pymalloc)
		pymalloc_image_pool(f->looks.pymalloc, a, p);
	if (f->cells.v)
		pymalloc_cells_pool(&f->cells, f->py, a, p);
	return 0;
}

static void python_totals(const struct cpython *py, const struct pymalloc_facts *f, struct explain_python *ret)
{
	ret->layer = f->torn_arenas || f->sampled ? EXPLAIN_ESTIMATE : EXPLAIN_READ;
	ret->arena_size = py->arena_size;
	ret->pool_size = py->pool_size;
	ret->arenas = f->arenas;
	ret->arena_bytes = f->arena_bytes;
	ret->pools_used = f->pools_used;
	ret->pools_full = f->pools_full;
	ret->pools_free = f->pools_free;
	ret->pools_virgin = f->pools_virgin;
	ret->pools_retired = f->pools_retired;
	ret->used_blocks = f->used_blocks;
	ret->free_blocks = f->free_blocks;
	ret->in_use = f->in_use;
	ret->free = f->free;
	ret->resident = f->resident;
	ret->free_resident = f->free_resident;
	ret->free_resident_pools = f->free_resident_pools;
	ret->free_resident_blocks = f->free_resident_blocks;
	ret->unknown = f->unknown;
	for (size_t i = 0; i < EXPLAIN_CLASSES; i++)
		ret->classes[i] = (struct explain_class){ f->classes[i].pools, f->classes[i].full_pools,
							  f->classes[i].used_blocks, f->classes[i].free_blocks };
	for (size_t i = 0; i < EXPLAIN_PYTHON_PINS; i++)
		ret->pins[i] = (struct explain_python_pins){ f->pins[i].limit, f->pins[i].arenas,
							     f->pins[i].live_blocks, f->pins[i].live_bytes,
							     f->pins[i].free_bytes };
}

static int python_look(struct facts *f, struct pymalloc_facts *ret)
{
	const struct pymalloc_visitor visitor = { facts_python_arena, facts_python_pool, f };
	int r;

	if (f->src->op == WORKER_OP_GLANCE && f->src->whole)
		return pymalloc_look(f->t, f->py, PYMALLOC_BLOCKS, NULL, ret);
	if (f->src->op == WORKER_OP_GLANCE) {
		/* The zero page doesn't matter here; to learn of it would cost four times as much. */
		f->t->fds.no_scan = true;
		return pymalloc_glance(f->t, f->py, ret);
	}
	/* Without it the remedies look themselves. */
	(void)!pymalloc_image_new(f->py, &f->looks.pymalloc);
	r = pymalloc_look(f->t, f->py, PYMALLOC_BLOCKS, &visitor, ret);
	if (r < 0)
		cells_drop(&f->cells, CELLS_PYMALLOC);
	return r;
}

static void facts_python(struct facts *f)
{
	struct explain_python *ret = &f->head.python;
	struct pymalloc_facts facts;
	struct cpython *py = NULL;
	const char *why = "";
	int r = remedy_python_find(f->src->facts, &py, &why);

	if (r == -ENOENT)
		return;
	f->head.runtime = EXPLAIN_RUNTIME_CPYTHON;
	ret->layer = EXPLAIN_UNREADABLE;
	text_format(ret->why, sizeof(ret->why), "%s", why);
	if (r < 0) {
		facts_mend(ret->why, sizeof(ret->why));
		return;
	}
	f->py = py;
	ret->version = py->version;
	ret->flags = (py->free_threaded ? EXPLAIN_P_FREE_THREADED : 0) | (!py->usedpools ? EXPLAIN_P_NO_PYMALLOC : 0);
	if (!py->usedpools) {
		text_format(ret->why, sizeof(ret->why), "%s", py->pymalloc_why);
		return;
	}
	r = python_look(f, &facts);
	if (r < 0) {
		text_format(ret->why, sizeof(ret->why), "%s",
			    r == -ENOENT ? "nothing is allocated from it" : facts_error(r));
		return;
	}
	python_totals(py, &facts, ret);
}

static void remedy_predict(const struct remedy_plan *plan, struct explain_remedy *ret)
{
	const bool known = plan->possible && plan->has_predicted;

	ret->predicted = known ? plan->predicted : EXPLAIN_UNKNOWN;
	/* What isn't bounded has no lower bound but 0, and no upper one. */
	ret->lower = known ? plan->lower : EXPLAIN_UNKNOWN;
	ret->upper = known ? plan->upper : EXPLAIN_UNKNOWN;
	ret->deep = known && plan->deep ? plan->deep : EXPLAIN_UNKNOWN;
}

static void facts_remedy(struct facts *f, const struct remedy *remedy, uint32_t bit)
{
	struct explain_remedy *ret = &f->head.remedies[f->head.nremedies++];
	struct remedy_plan plan = { .possible = 0 };

	*ret = (struct explain_remedy){ .remedy = bit };
	if (*f->src->refusal && !remedy->outside)
		text_format(plan.reason, sizeof(plan.reason), "%s", f->src->refusal);
	else
		remedy->plan(f->src->facts, &plan);
	if (!plan.possible)
		facts_mend(plan.reason, sizeof(plan.reason));
	ret->possible = plan.possible ? 1 : 0;
	if (!plan.possible)
		text_format(ret->reason, sizeof(ret->reason), "%.*s", (int)sizeof(plan.reason) - 1, plan.reason);
	remedy_predict(&plan, ret);
}

static void facts_remedies_fill(struct facts *f)
{
	for (size_t i = 0; remedies[i]; i++)
		for (size_t k = 0; k < ARRAY_SIZE(facts_remedies); k++)
			if (!strcmp(remedies[i]->name, facts_remedies[k].name) &&
			    (f->src->outside || !remedies[i]->outside) && f->head.nremedies < EXPLAIN_REMEDIES_MAX)
				facts_remedy(f, remedies[i], facts_remedies[k].bit);
}

static void facts_collect(struct facts *f)
{
	const struct allocator_info *info = &f->src->facts->allocator;

	f->head = (struct explain_head){ .magic = EXPLAIN_MAGIC, .version = EXPLAIN_VERSION };
	if (*f->src->refusal) {
		text_format(f->head.reason, sizeof(f->head.reason), "%s", f->src->refusal);
		facts_mend(f->head.reason, sizeof(f->head.reason));
	} else {
		f->head.allocator = facts_allocators[info->kind];
		if (info->also)
			f->head.also = facts_allocators[info->also_kind];
	}
	facts_runtime(f);
	/* Without memory for it there is no map, and all else. */
	if (f->src->map)
		(void)!cells_new(&f->cells);
	if (!*f->src->refusal)
		facts_glibc(f);
	facts_python(f);
	if (f->src->op == WORKER_OP_GLANCE) {
		f->head.narenas = 0;
		return;
	}
	if (f->head.narenas)
		explain_ranges_glibc(f->t, f->arenas, f->head.narenas, f->glibc.heap_max, f->g.mmapped, &f->ranges);
	explain_ranges_finish(f->t, &f->ranges);
	f->head.nranges = (uint32_t)f->ranges.n;
	if (f->cells.v)
		f->head.ncells = explain_map(f->t, &f->ranges, &f->cells, &f->map);
	f->head.cell_size = f->head.ncells ? f->cells.size : 0;
	f->src->facts->looks = &f->looks;
	facts_remedies_fill(f);
	f->src->facts->looks = NULL;
}

static int facts_send_parts(int fd, enum explain_kind kind, const void *v, size_t each, uint32_t total, uint32_t most)
{
	_cleanup_free_ struct explain_part *part = calloc(1, sizeof(*part));

	if (!part)
		return -ENOMEM;
	for (uint32_t first = 0; first < total;) {
		const uint32_t n = MIN(total - first, most);
		int r;

		*part = (struct explain_part){ .magic = EXPLAIN_MAGIC, .kind = kind, .first = first, .n = n };
		memcpy((char *)part + offsetof(struct explain_part, arenas), (const char *)v + first * each, n * each);
		r = message_send(fd, part, offsetof(struct explain_part, arenas) + n * each);
		if (r < 0)
			return r;
		first += n;
	}
	return 0;
}

static int facts_send(const struct facts *f, int fd)
{
	int r = message_send(fd, &f->head, sizeof(f->head));

	if (r == 0)
		r = facts_send_parts(fd, EXPLAIN_ARENAS, f->arenas, sizeof(*f->arenas), f->head.narenas,
				     EXPLAIN_PART_ARENAS);
	if (r == 0)
		r = facts_send_parts(fd, EXPLAIN_RANGES, f->ranges.v, sizeof(*f->ranges.v), f->head.nranges,
				     EXPLAIN_PART_RANGES);
	if (r == 0)
		r = facts_send_parts(fd, EXPLAIN_CELLS, f->map, sizeof(*f->map), f->head.ncells, EXPLAIN_PART_CELLS);
	return r;
}

int explain_answer(const struct explain_source *src, int fd)
{
	_cleanup_free_ struct facts *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->src = src;
	f->t = src->facts->target;
	facts_collect(f);
	r = facts_send(f, fd);
	glibc_facts_done(&f->g);
	pymalloc_image_free(f->looks.pymalloc);
	explain_ranges_done(&f->ranges);
	cells_done(&f->cells);
	free(f->map);
	free(f->arenas);
	return r;
}
