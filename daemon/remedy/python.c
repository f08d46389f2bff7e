// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/python.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "inspect/trouble.h"

struct remedy_interpreter {
	struct cpython python;
	int error;
	char why[CPYTHON_TEXT_MAX];
	bool queue_tried;
	int queue_error;
	struct cpython_queue queue;
};

int remedy_python_find(struct remedy_facts *facts, struct cpython **ret, const char **ret_why)
{
	struct remedy_interpreter *in = facts->interpreter;

	if (!in) {
		in = facts->interpreter = calloc(1, sizeof(*in));
		if (!in) {
			*ret_why = "out of memory";
			return -ENOMEM;
		}
		in->error = cpython_locate(facts->target, &in->python, in->why);
		if (in->error < 0)
			trouble_see(-in->error);
		if (in->error < 0 && !*in->why)
			text_format(in->why, sizeof(in->why), "its interpreter can't be read: %s",
				    strerror(-in->error));
	}
	if (in->error < 0)
		*ret_why = in->why;
	else
		*ret = &in->python;
	return in->error;
}

struct cpython *remedy_python(struct remedy_facts *facts, const char **ret_why)
{
	struct cpython *py = NULL;

	return remedy_python_find(facts, &py, ret_why) < 0 ? NULL : py;
}

void remedy_prove_python(struct remedy_facts *facts, const struct cpu_regs *regs, struct safepoint_verdict *v)
{
	const char *why = "";
	const struct cpython *py = remedy_python(facts, &why);

	if (!py)
		text_format(v->why, sizeof(v->why), "%s", why);
	if (py && cpython_prove(&facts->safepoint, py, regs, v->why, sizeof(v->why)) == 0)
		return;
	v->safe = v->unknown = false;
}

int remedy_python_queue(struct remedy_facts *facts, const struct cpython *py, const struct cpython_queue **ret)
{
	struct remedy_interpreter *in = facts->interpreter;

	if (!in->queue_tried) {
		in->queue_tried = true;
		in->queue_error = cpython_queue_find(facts->target, py, &in->queue);
	}
	if (in->queue_error == 0)
		*ret = &in->queue;
	return in->queue_error;
}

void remedy_prove_queue(struct remedy_facts *facts, const struct cpu_regs *regs, bool alone,
			struct safepoint_verdict *v)
{
	const char *why = "its queue of pending calls is not laid out as in any known build";
	const struct cpython *py = remedy_python(facts, &why);
	const struct cpython_queue *q = NULL;

	if (!py || remedy_python_queue(facts, py, &q) < 0)
		text_format(v->why, sizeof(v->why), "%s", why);
	else if (cpython_prove_queue(&facts->safepoint, py, q, regs, alone, v->why, sizeof(v->why)) == 0)
		return;
	v->safe = v->unknown = false;
}
