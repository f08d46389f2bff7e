/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/check.h"

#include <string.h>

#define SECOND_US 1000000ull

const uint64_t check_after_us[CHECK_STAGES] = { 10 * SECOND_US, 60 * SECOND_US, 600 * SECOND_US };

int checks_open(struct checks *ret)
{
	*ret = (struct checks){ .v = calloc(CHECKS_MAX, sizeof(*ret->v)) };
	return ret->v ? 0 : -ENOMEM;
}

void checks_close(struct checks *all)
{
	free(all->v);
	*all = (struct checks){ 0 };
}

static uint64_t due_us(const struct check *c)
{
	return c->action.boot_us + check_after_us[c->stage];
}

static void remove_at(struct checks *all, size_t i)
{
	all->v[i] = all->v[--all->n];
}

static bool is_about(const struct check *c, pid_t pid, uint64_t start_time)
{
	return c->action.pid == pid && c->action.start_time == start_time;
}

void checks_drop(struct checks *all, pid_t pid, uint64_t start_time)
{
	for (size_t i = 0; i < all->n; i++)
		if (is_about(&all->v[i], pid, start_time))
			remove_at(all, i--);
}

void checks_add(struct checks *all, const struct ledger_record *action)
{
	size_t oldest = 0;

	checks_drop(all, action->pid, action->start_time);
	for (size_t i = 1; i < all->n; i++)
		if (all->v[i].action.boot_us < all->v[oldest].action.boot_us)
			oldest = i;
	if (all->n == CHECKS_MAX)
		remove_at(all, oldest);
	all->v[all->n++] = (struct check){ .action = *action };
}

static void next_stage(struct checks *all, size_t i)
{
	if (++all->v[i].stage == CHECK_STAGES)
		remove_at(all, i);
}

void checks_done(struct checks *all, pid_t pid, uint64_t start_time, uint64_t after_us)
{
	for (size_t i = 0; i < all->n; i++)
		if (is_about(&all->v[i], pid, start_time) && after_us >= check_after_us[all->v[i].stage]) {
			next_stage(all, i);
			return;
		}
}

void checks_skip(struct checks *all, uint64_t now_us)
{
	/* Half as late again as it should have been says something else than it seems to. */
	for (size_t i = 0; i < all->n;)
		if (due_us(&all->v[i]) + check_after_us[all->v[i].stage] / 2 < now_us)
			next_stage(all, i);
		else
			i++;
}

uint64_t checks_due_us(const struct checks *all)
{
	uint64_t due = UINT64_MAX;

	for (size_t i = 0; i < all->n; i++)
		due = MIN(due, due_us(&all->v[i]));
	return due;
}

bool checks_take(struct checks *all, uint64_t now_us, struct ledger_record *ret_action, uint64_t *ret_after_us)
{
	for (size_t i = 0; i < all->n; i++) {
		if (due_us(&all->v[i]) > now_us)
			continue;
		*ret_action = all->v[i].action;
		*ret_after_us = check_after_us[all->v[i].stage];
		next_stage(all, i);
		return true;
	}
	return false;
}
