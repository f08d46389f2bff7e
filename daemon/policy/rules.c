// SPDX-License-Identifier: GPL-2.0-or-later
#include "policy/rules.h"

#include "base/text.h"

bool rule_matches_something(const struct rule *r)
{
	for (size_t i = 0; i < MATCH_N; i++)
		if (r->match[i].n)
			return true;
	return false;
}

/* By name or by number. */
static bool is_user(const struct patterns *users, const struct subject *p)
{
	char number[16];

	text_format(number, sizeof(number), "%u", p->uid);
	return patterns_match(users, p->user) || patterns_match(users, number);
}

bool rule_matches(const struct rule *r, const struct subject *p)
{
	const struct {
		enum rule_match match;
		const char *name;
	} names[] = {
		{ MATCH_COMM, p->comm },       { MATCH_EXE, p->exe },	    { MATCH_UNIT, p->unit },
		{ MATCH_SLICE, p->slice },     { MATCH_CGROUP, p->cgroup }, { MATCH_ALLOCATOR, p->allocator },
		{ MATCH_RUNTIME, p->runtime },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!patterns_match(&r->match[names[i].match], names[i].name))
			return false;
	return is_user(&r->match[MATCH_USER], p);
}

static void overlay(const struct rule *r, struct thresholds *t)
{
	const struct thresholds *w = &r->want;

	t->never = r->set & SET_NEVER ? w->never : t->never;
	t->min_anon = r->set & SET_MIN_ANON ? w->min_anon : t->min_anon;
	t->min_reclaim = r->set & SET_MIN_RECLAIM ? w->min_reclaim : t->min_reclaim;
	t->min_reclaim_permille = r->set & SET_MIN_RECLAIM_PERMILLE ? w->min_reclaim_permille : t->min_reclaim_permille;
	t->idle_us = r->set & SET_IDLE ? w->idle_us : t->idle_us;
	t->idle_cpu_permille = r->set & SET_IDLE_CPU ? w->idle_cpu_permille : t->idle_cpu_permille;
	t->remedies = r->set & SET_REMEDIES ? w->remedies : t->remedies;
	t->depth = r->set & SET_DEPTH ? w->depth : t->depth;
	t->settled_us = r->set & SET_SETTLED ? w->settled_us : t->settled_us;
	t->cooldown_us = r->set & SET_COOLDOWN ? w->cooldown_us : t->cooldown_us;
	t->max_stop_us = r->set & SET_MAX_STOP ? w->max_stop_us : t->max_stop_us;
	t->timeout_us = r->set & SET_TIMEOUT ? w->timeout_us : t->timeout_us;
}

const struct rule *rules_apply(const struct settings *s, const struct subject *p, struct thresholds *ret)
{
	const struct rule *last = NULL;

	*ret = s->defaults;
	for (size_t i = 0; i < s->nrules; i++) {
		if (!rule_matches(&s->rules[i], p))
			continue;
		overlay(&s->rules[i], ret);
		last = &s->rules[i];
	}
	return last;
}
