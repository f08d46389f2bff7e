// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/purge-plan.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "inspect/trouble.h"
#include "remedy/code.h"
#include "remedy/looks.h"
#include "remedy/purge-glibc.h"
#include "remedy/purge-python.h"

struct purge_side {
	uint32_t parts; /* enum purge_parts that are planned */
	uint32_t kind; /* enum purge_kind of the round that was offered last */
	struct purge_glibc glibc;
	struct purge_python python;
};

static int purge_side_get(struct remedy_facts *facts, struct purge_side **ret)
{
	if (!facts->purge)
		facts->purge = calloc(1, sizeof(*facts->purge));
	*ret = facts->purge;
	return *ret ? 0 : -ENOMEM;
}

static void purge_add_glibc(const struct glibc_facts *f, uint64_t droppable, struct remedy_plan *ret)
{
	ret->predicted += droppable;
	ret->lower += f->torn ? 0 : droppable;
	ret->upper += droppable + f->unknown + (f->torn ? f->in_use : 0);
}

/* What the rounds would give back if nobody did anything meanwhile. */
static int purge_predict_glibc(struct purge_glibc *p, const struct remedy_looks *looks, struct remedy_plan *ret)
{
	uint64_t droppable = 0;
	const struct glibc_visitor visitor = { .range = remedy_looks_range, .ctx = &droppable };
	struct glibc_facts facts = { 0 };
	int r;

	if (looks && looks->glibc) {
		purge_add_glibc(looks->glibc, looks->glibc_droppable, ret);
		return 0;
	}
	r = glibc_look(p->target, &p->glibc, 0, &visitor, &facts);
	if (r < 0)
		return r;
	purge_add_glibc(&facts, droppable, ret);
	glibc_facts_done(&facts);
	return 0;
}

static int purge_code_arena(const struct remedy_facts *facts, const struct glibc *g, struct lease_code *ret)
{
	struct module *libc = facts->allocator.libc;
	struct lease_code code = { .lock_fn = g->lock_wait };
	uint64_t at;
	int r = code_restorer(facts, &code.restorer);

	if (r == 0)
		r = code_syscall(facts, &code.syscall_insn);
	if (r == 0)
		r = code_at(facts->target, libc, g->lock_wait - libc->bias, INJECT_CODE_BYTES, code.lock_bytes, &at);
	if (r == 0)
		*ret = code;
	return r;
}

/* malloc's part. Says why not in @ret->reason when there is none. */
static bool purge_plan_glibc(struct remedy_facts *facts, struct purge_side *side, struct remedy_plan *ret)
{
	const struct allocator_info *a = &facts->allocator;
	char why[REMEDY_TEXT_MAX] = "its state could not be read";
	int r;

	if (a->kind != ALLOCATOR_GLIBC) {
		text_format(ret->reason, sizeof(ret->reason), "its memory is managed by %s, which can't be purged",
			    allocator_name(a->kind));
		return false;
	}
	r = purge_glibc_init(&side->glibc, facts->target, a, why, sizeof(why));
	if (r < 0) {
		trouble_see(-r);
		text_format(ret->reason, sizeof(ret->reason), "its malloc can't be read: %s", why);
		return false;
	}
	if (!side->glibc.glibc.lock_wait || purge_code_arena(facts, &side->glibc.glibc, &ret->arena) < 0) {
		text_format(ret->reason, sizeof(ret->reason),
			    "the function that takes malloc's lock can't be found in its C library");
		return false;
	}
	r = purge_predict_glibc(&side->glibc, facts->looks, ret);
	if (r < 0) {
		trouble_see(-r);
		text_format(ret->reason, sizeof(ret->reason), "its malloc could not be told: it keeps changing");
		return false;
	}
	return true;
}

/* Its prediction follows from what an explanation has seen, where there is one. */
static int purge_init_python(struct remedy_facts *facts, struct purge_side *side, char *why, size_t why_size)
{
	struct pymalloc_image *image = facts->looks ? facts->looks->pymalloc : NULL;
	struct remote *mem = &facts->target->mem;
	int r;

	if (image)
		pymalloc_image_enter(image, mem);
	r = purge_python_init(&side->python, facts, why, why_size);
	if (image)
		pymalloc_image_leave(image, mem);
	return r;
}

/* Python's part: nothing is missing where there is no Python. */
static bool purge_plan_python(struct remedy_facts *facts, struct purge_side *side, struct remedy_plan *ret)
{
	const struct pypurge_prediction *p = &side->python.prediction;
	char why[REMEDY_TEXT_MAX] = "";
	int r = purge_init_python(facts, side, why, sizeof(why));

	if (r == 0) {
		r = purge_python_code(&side->python, facts, &ret->gil);
		if (r < 0)
			text_format(why, sizeof(why), "its functions are not what its file says");
	}
	if (r < 0) {
		if (r != -ENOENT)
			text_format(ret->note, sizeof(ret->note), "Python's pools are left alone: %s", why);
		return false;
	}
	ret->predicted += p->normal;
	ret->deep = p->can_deep && p->deep > p->normal ? p->deep - p->normal : 0;
	ret->upper += p->normal + p->unknown;
	ret->lower += p->normal;
	return true;
}

void purge_plan(struct remedy_facts *facts, struct remedy_plan *ret)
{
	struct purge_side *side;

	if (purge_side_get(facts, &side) < 0) {
		trouble_see(ENOMEM);
		text_format(ret->reason, sizeof(ret->reason), "out of memory");
		return;
	}
	purge_glibc_done(&side->glibc);
	purge_python_done(&side->python);
	*side = (struct purge_side){ .kind = PURGE_DONE };
	if (purge_plan_glibc(facts, side, ret))
		ret->parts |= PURGE_GLIBC;
	if (purge_plan_python(facts, side, ret))
		ret->parts |= PURGE_PYMALLOC | (ret->deep ? PURGE_DEEP : 0) | (side->python.busy ? PURGE_BUSY : 0);
	if (ret->parts && code_data(facts, &ret->data_lo, &ret->data_hi) < 0) {
		text_format(ret->reason, sizeof(ret->reason), "the data of its C library can't be told");
		ret->parts = 0;
	}
	side->parts = ret->parts;
	ret->possible = ret->parts != 0;
	ret->has_predicted = ret->possible;
}

static uint32_t purge_passed(const struct purge_side *side)
{
	const uint64_t pools = side->python.pools ? pypurge_sweep_stats(side->python.pools)->passed : 0;

	return (uint32_t)MIN(pools + side->glibc.passed, (uint64_t)UINT32_MAX);
}

int purge_scan(struct purge_side *side, const struct purge_ask *ask, struct purge_round *ret)
{
	struct purge_ask now = *ask;
	bool done = true;
	int r = 0;

	if (!side)
		return -EINVAL;
	*ret = (struct purge_round){ .kind = PURGE_DONE };
	if (side->kind != PURGE_ARENA && (side->parts & ask->parts & PURGE_PYMALLOC)) {
		r = purge_python_scan(&side->python, ask, ret, &done);
		/* What it was told about the round before was not for malloc. */
		now = (struct purge_ask){ .parts = ask->parts,
					  .max_ranges = ask->max_ranges,
					  .max_bytes = ask->max_bytes };
	}
	if (r == 0 && done && (side->parts & ask->parts & PURGE_GLIBC))
		r = purge_glibc_scan(&side->glibc, &now, ret, &done);
	if (r < 0)
		return r;
	if (done)
		*ret = (struct purge_round){ .kind = PURGE_DONE, .passed = purge_passed(side) };
	side->kind = ret->kind;
	return 0;
}

int purge_check(struct purge_side *side, const struct purge_ask *ask, struct purge_lists *ret)
{
	if (!side)
		return -EINVAL;
	ret->nranges = ret->nwrites = ret->nvalues = 0;
	ret->resident = 0;
	if (side->kind == PURGE_ARENA)
		return purge_glibc_check(&side->glibc, ask, ret);
	return side->kind == PURGE_GIL ? purge_python_check(&side->python, ask, ret) : -EINVAL;
}
