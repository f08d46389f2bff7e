// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What became of looks and actions. An action was in vain when its memory came
 * straight back, or when it brought next to nothing: the process is then left
 * alone twice as long as before. One that stays small begins anew.
 */
#include "policy/policy.h"

#define SETTLED_US (600 * 1000000ull) /* what hasn't come back by then was worth it */
#define RETRY_US (60 * 1000000ull) /* after a refusal: it may be safe a moment later */
#define POLICY_PAGE 4096
#define LOOK_SPANS_MAX 6 /* cooldowns between two looks that promise little */

/* @base doubled @n times, up to the longest that is doubled to. */
static uint64_t backoff(const struct settings *s, uint64_t base, uint32_t n)
{
	const uint64_t most = s->backoff_max_us;
	uint64_t span = base;

	while (n-- && span < most)
		span = span > most / 2 ? most : span * 2;
	return span;
}

/* When the next action may be. Who was held up for too long is left alone twice as long, but no more than that. */
static void rest(const struct settings *s, const struct thresholds *limits, struct track *t)
{
	const uint64_t until_us = t->acted_us + backoff(s, limits->cooldown_us, t->in_vain + t->overran + t->refaults);

	/* A refusal since then has a time of its own. */
	t->not_before_us = t->refusals ? MAX(until_us, t->not_before_us) : until_us;
	t->rest_until_us = until_us;
}

static void in_vain(const struct settings *s, const struct thresholds *limits, struct track *process,
		    struct track *program, uint64_t now_us)
{
	/* One process that always fails says nothing of its siblings. */
	if (!process->in_vain++ && ++program->in_vain >= POLICY_PROGRAM_IN_VAIN)
		program->not_before_us =
			now_us + backoff(s, limits->cooldown_us, program->in_vain - POLICY_PROGRAM_IN_VAIN);
	process->settled = true;
	rest(s, limits, process);
}

static void paid(const struct settings *s, const struct thresholds *limits, struct track *process,
		 struct track *program)
{
	process->settled = true;
	process->in_vain = process->refaults = 0;
	rest(s, limits, process);
	program->in_vain = 0;
	program->not_before_us = 0;
}

/* The last action, by what the process holds @after_us later. */
static void judge(const struct settings *s, const struct thresholds *limits, struct track *process,
		  struct track *program, uint64_t after_us, uint64_t rss, uint64_t now_us)
{
	bool back;

	if (!process->acted_us || process->settled)
		return;
	back = rss > process->rss_after && rss - process->rss_after >= process->freed / 2;
	if (back && after_us <= SETTLED_US)
		in_vain(s, limits, process, program, now_us);
	else if (after_us >= SETTLED_US)
		paid(s, limits, process, program);
}

void policy_learn_look(const struct settings *s, struct track *process, struct track *program, uint64_t predicted,
		       uint64_t now_us)
{
	const uint64_t base = s->defaults.cooldown_us;
	uint64_t span = base;

	/* Nothing that anybody could count on. */
	if (predicted == POLICY_UNKNOWN)
		predicted = 0;
	/* The same answer again: ask less often. */
	if (process->looked_us && predicted / 2 <= process->look_predicted)
		span = MIN((process->look_not_before_us - process->looked_us) * 2, base * LOOK_SPANS_MAX);
	process->looked_us = now_us;
	process->look_predicted = predicted;
	process->look_not_before_us = now_us + MAX(span, base);
	program->looked_us = now_us;
	program->look_predicted = predicted;
}

static void refused(const struct settings *s, const struct thresholds *limits, struct track *process, bool moves,
		    uint64_t now_us)
{
	uint32_t *n = moves ? &process->moves_refused : &process->refusals;
	uint64_t *until_us = moves ? &process->moves_not_before_us : &process->not_before_us;

	++*n;
	*until_us = MAX(*until_us, now_us + backoff(s, MIN(limits->cooldown_us, RETRY_US), *n - 1));
}

/* Brought it less than half of what is worth it, or less than a quarter of what was promised? */
static bool was_no_use(const struct thresholds *limits, const struct outcome *what)
{
	const uint64_t promised = what->predicted == POLICY_UNKNOWN ? 0 : what->predicted;

	return what->freed <= 0 || (uint64_t)what->freed < MAX(limits->min_reclaim / 2, promised / 4);
}

static void note_action(struct track *t, const struct outcome *what, uint64_t freed, uint64_t now_us)
{
	t->acted_us = now_us;
	t->predicted = what->predicted;
	t->freed = freed;
	t->rss_after = what->rss_after;
	t->moved = what->moved;
	t->actions++;
	/* That memory could be moved doesn't make a call safe. */
	t->moves_refused = 0;
	if (!what->moves)
		t->refusals = 0;
}

void policy_learn_action(const struct settings *s, const struct thresholds *limits, struct track *process,
			 struct track *program, const struct outcome *what, uint64_t now_us)
{
	const uint64_t freed = (uint64_t)MAX(what->freed, 0);

	if (!what->acted) {
		refused(s, limits, process, what->moves, now_us);
		program->refusals++;
		return;
	}
	/* With a short cooldown there was no check in between: what could be freed again had come back. */
	judge(s, limits, process, program, now_us - process->acted_us, what->rss_after + freed, now_us);

	note_action(process, what, freed, now_us);
	note_action(program, what, freed, now_us);
	process->settled = false;
	process->overran = what->stopped_us > limits->max_stop_us;
	rest(s, limits, process);
	/* What comes of it is seen when memory is short, and then by nobody. */
	if (what->cold)
		process->settled = true;
	else if (was_no_use(limits, what))
		in_vain(s, limits, process, program, now_us);
}

/*
 * To wait for memory from swap is worse than to allocate it anew: such a process
 * is left alone twice as long as one whose memory merely came back.
 */
void policy_learn_refaults(const struct settings *s, const struct thresholds *limits, struct track *process,
			   struct track *program, uint64_t back, uint64_t faults, uint64_t now_us)
{
	const uint64_t much = process->moved / 4;

	if (!process->moved || process->settled || (back < much && faults < much / POLICY_PAGE))
		return;
	process->refaults++;
	in_vain(s, limits, process, program, now_us);
}

void policy_learn_check(const struct settings *s, const struct thresholds *limits, struct track *process,
			struct track *program, uint64_t after_us, uint64_t rss, uint64_t now_us)
{
	/* Of an action before the last one: that was judged when the last one began. */
	if (rss == POLICY_UNKNOWN || now_us < process->acted_us + after_us)
		return;
	judge(s, limits, process, program, after_us, rss, now_us);
}
