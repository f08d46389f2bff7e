/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Python in the target, looked for once and shared by the remedies that need it. */
#ifndef RECLAIM_REMEDY_PYTHON_H
#define RECLAIM_REMEDY_PYTHON_H

#include "inspect/cpython.h"
#include "inspect/cpython-queue.h"
#include "remedy/remedy.h"

/* 0, or cpython_locate()'s error with the reason. What it finds lives as long as @facts. */
int remedy_python_find(struct remedy_facts *facts, struct cpython **ret, const char **ret_why) __must_check;

/* NULL with the reason when there is none, or none that could be told. Lives as long as @facts. */
struct cpython *remedy_python(struct remedy_facts *facts, const char **ret_why);

/*
 * A thread that safepoint_prove() has found safe: may it take Python's global
 * lock as well? Makes @v unsafe, with the reason, unless that is proven.
 */
void remedy_prove_python(struct remedy_facts *facts, const struct cpu_regs *regs, struct safepoint_verdict *v);

/* Its queue of pending calls: cpython_queue_find(), once. */
int remedy_python_queue(struct remedy_facts *facts, const struct cpython *py, const struct cpython_queue **ret)
	__must_check;

/* The same for a thread that is to call Py_AddPendingCall(). @alone: it is the only one of its process. */
void remedy_prove_queue(struct remedy_facts *facts, const struct cpu_regs *regs, bool alone,
			struct safepoint_verdict *v);

#endif
