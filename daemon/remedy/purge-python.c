// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/purge-python.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "remedy/code.h"
#include "remedy/python.h"

#define TRIES 4 /* at one arena that comes to nothing under the lock */

/* struct _gil_runtime_state, CPython 3.8-3.15: see inspect/cpython.h. */
#define GIL_LOCKED 16

static bool purge_python_busy(const struct purge_python *p)
{
	int32_t locked;

	return remote_read(&p->target->mem, p->python->gil + GIL_LOCKED, &locked, sizeof(locked)) < 0 || locked;
}

int purge_python_init(struct purge_python *p, struct remedy_facts *facts, char *why, size_t why_size)
{
	const struct pypurge_limits limits = { .deep = true, .reserve = PYPURGE_RESERVE, .max_retired = UINT64_MAX };
	const char *none = "";
	int r;

	p->target = facts->target;
	p->python = remedy_python(facts, &none);
	if (!p->python) {
		text_format(why, why_size, "%s", none);
		return -ENOENT;
	}
	if (!p->python->gil || !p->python->usedpools) {
		text_format(why, why_size, "%s",
			    p->python->gil ? p->python->pymalloc_why : "this Python runs without a global lock");
		return -EOPNOTSUPP;
	}
	p->busy = purge_python_busy(p);
	/* Without them nothing is retired. */
	(void)!cpython_locate_lists(p->target, p->python);
	r = pypurge_new(p->python, &p->pools);
	if (r == 0)
		r = pypurge_predict(p->pools, &p->target->mem, &limits, &p->prediction);
	if (r < 0)
		text_format(why, why_size, "Python's pools could not be read: %s", strerror(-r));
	p->busy = p->busy || purge_python_busy(p);
	return r;
}

void purge_python_done(struct purge_python *p)
{
	pypurge_freep(&p->pools);
	p->pools = NULL;
}

int purge_python_code(const struct purge_python *p, const struct remedy_facts *facts, struct lease_code *ret)
{
	const struct cpython *py = p->python;
	struct lease_code code = {
		.lock_fn = py->func[CPYTHON_GILSTATE_ENSURE],
		.unlock_fn = py->func[CPYTHON_GILSTATE_RELEASE],
	};
	uint64_t at;
	int r = code_restorer(facts, &code.restorer);

	if (r == 0)
		r = code_syscall(facts, &code.syscall_insn);
	if (r == 0)
		r = module_verify(py->module, &facts->target->mem);
	if (r == 0)
		r = code_at(facts->target, py->module, code.lock_fn - py->module->bias, INJECT_CODE_BYTES,
			    code.lock_bytes, &at);
	if (r == 0)
		r = code_at(facts->target, py->module, code.unlock_fn - py->module->bias, INJECT_CODE_BYTES,
			    code.unlock_bytes, &at);
	if (r == 0)
		*ret = code;
	return r;
}

static struct pypurge_limits purge_python_limits(const struct purge_python *p, const struct purge_ask *ask)
{
	return (struct pypurge_limits){
		.deep = (ask->parts & PURGE_DEEP) && p->prediction.can_deep,
		.reserve = PYPURGE_RESERVE,
		.max_retired = pypurge_retired_cap(&p->prediction),
		.max_writes = ask->max_writes,
		.max_ranges = ask->max_ranges,
		.max_values = ask->max_values,
		.max_bytes = ask->max_bytes,
		.budget_ns = ask->budget_ns,
	};
}

/* What became of the round before. */
static void purge_python_settle(struct purge_python *p, const struct purge_ask *ask)
{
	if (p->offered && ask->applied)
		pypurge_applied(p->pools, &p->lists);
	else if (ask->again)
		pypurge_failed(p->pools, TRIES);
	p->offered = false;
	if (ask->skip)
		p->given_up = true;
}

int purge_python_scan(struct purge_python *p, const struct purge_ask *ask, struct purge_round *ret, bool *ret_done)
{
	const struct pypurge_limits limits = purge_python_limits(p, ask);
	struct pypurge_round round;
	int r;

	purge_python_settle(p, ask);
	if (p->given_up) {
		*ret_done = true;
		return 0;
	}
	r = pypurge_scan(p->pools, &p->target->mem, &limits, &round);
	if (r < 0)
		return r;
	*ret_done = r == 0;
	if (r > 0)
		*ret = (struct purge_round){
			.kind = PURGE_GIL,
			.ranges = round.ranges,
			.writes = round.writes,
			.values = round.values,
			.resident = round.resident,
		};
	return 0;
}

int purge_python_check(struct purge_python *p, const struct purge_ask *ask, struct purge_lists *ret)
{
	const struct pypurge_limits limits = purge_python_limits(p, ask);
	struct pypurge_lists *l = &p->lists;
	int r;

	p->target->mem.deadline_ns = ask->budget_ns ? clock_ns() + ask->budget_ns : 0;
	r = pypurge_check(p->pools, &p->target->mem, &limits, l);
	p->target->mem.deadline_ns = 0;
	if (r < 0)
		return r == -EDQUOT ? -ETIME : r;
	if (l->n_writes > PURGE_WRITES_MAX || l->n_ranges > PURGE_RANGES_MAX || l->n_values > PURGE_VALUES_MAX)
		return -EBADMSG;
	p->offered = true;
	for (uint32_t i = 0; i < l->n_writes; i++)
		ret->writes[i] = (struct purge_write){ .addr = l->writes[i].addr,
						       .offset = l->writes[i].offset,
						       .len = l->writes[i].len };
	for (uint32_t i = 0; i < l->n_ranges; i++)
		ret->ranges[i] = (struct purge_range){ .addr = l->ranges[i].addr, .len = l->ranges[i].len };
	memcpy(ret->values, l->values, l->n_values);
	ret->nwrites = l->n_writes;
	ret->nranges = l->n_ranges;
	ret->nvalues = l->n_values;
	ret->resident = l->resident;
	return 0;
}
