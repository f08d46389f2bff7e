// SPDX-License-Identifier: GPL-2.0-or-later
/* First what must not be touched, then what isn't worth it, then what has to wait. */
#include "policy/policy.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "policy/rules.h"

#define SIZE_TEXT 16
#define TIME_TEXT 24

/* What a decision is made from. */
struct question {
	const struct settings *s;
	const struct subject *p;
	const struct track *process, *program;
	bool urgent;
	uint64_t now_us;
	struct decision *d;
};

static bool __printf_like(4, 5)
	answer(const struct question *q, enum verdict verdict, enum reason reason, const char *format, ...)
{
	va_list ap;

	q->d->verdict = verdict;
	q->d->reason = reason;
	va_start(ap, format);
	(void)vsnprintf(q->d->words, sizeof(q->d->words), format, ap);
	va_end(ap);
	return true;
}

static bool wait_until(const struct question *q, uint64_t until_us)
{
	q->d->not_before_us = until_us;
	return true;
}

/* What it is, whatever it holds. */
static bool is_out_of_bounds(const struct question *q)
{
	const struct subject *p = q->p;
	const struct {
		bool is;
		enum reason reason;
		const char *words;
	} bounds[] = {
		{ p->kthread, REASON_KTHREAD, "it is a kernel thread" },
		{ p->zombie, REASON_ZOMBIE, "it has exited and only waits for its parent" },
		{ p->pid == 1, REASON_PROTECTED, "it is pid 1, on which everything depends" },
		{ p->avoid, REASON_AVOID, "its control group has the attribute user.reclaim_avoid" },
		{ p->traced, REASON_TRACED, "it is being traced, by a debugger perhaps" },
		{ p->tracer, REASON_TRACER, "it traces another process" },
		{ p->vmm, REASON_VMM, "it runs virtual machines" },
		{ p->realtime, REASON_REALTIME, "it has real-time threads, which nobody may hold up" },
		{ p->stopped, REASON_STOPPED, "it is stopped" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++)
		if (bounds[i].is)
			return answer(q, VERDICT_LEAVE, bounds[i].reason, "%s", bounds[i].words);
	return false;
}

static bool is_ruled_out(const struct question *q)
{
	const char *rule = q->d->rule ? q->d->rule : "";

	if (q->d->limits.never)
		return answer(q, VERDICT_LEAVE, REASON_NEVER, "[Rule %s] says Never=yes", rule);
	if (!q->d->limits.remedies)
		return answer(q, VERDICT_LEAVE, REASON_NOTHING_POSSIBLE, "Remedies=none");
	return false;
}

/* Bytes that an action has to promise. */
static uint64_t worth(const struct subject *p, const struct thresholds *t)
{
	uint64_t part = p->anon == POLICY_UNKNOWN ? 0 : p->anon / 1000 * t->min_reclaim_permille;

	return MAX(t->min_reclaim, part);
}

/* For how long it must have been idle. */
static uint64_t idle_wanted(const struct question *q)
{
	return q->urgent ? q->d->limits.idle_us / 2 : q->d->limits.idle_us;
}

static bool is_small(const struct question *q)
{
	const struct thresholds *t = &q->d->limits;
	/* Without the one figure the other still says that it can't be more. */
	const uint64_t held = MIN(q->p->anon, q->p->rss);
	char have[SIZE_TEXT], want[SIZE_TEXT];

	if (held == POLICY_UNKNOWN)
		return answer(q, VERDICT_LEAVE, REASON_UNREADABLE, "its size can't be read");
	if (held < t->min_anon)
		return answer(q, VERDICT_LEAVE, REASON_SMALL, "%s of memory of its own, less than MinAnon=, %s",
			      format_size(held, have, sizeof(have)), format_size(t->min_anon, want, sizeof(want)));
	/*
	 * What is free isn't accessed: no more than what is idle can come back. That holds for memory that has been
	 * left alone for as long as is wanted, not for what the module, which wants more, doesn't call idle yet.
	 */
	if (q->p->idle_age_us && q->p->idle_age_us <= idle_wanted(q) && q->p->idle != POLICY_UNKNOWN &&
	    q->p->idle < worth(q->p, t))
		return answer(q, VERDICT_LEAVE, REASON_NOT_WORTH_IT,
			      "only %s of its memory is idle; worth an action are %s",
			      format_size(q->p->idle, have, sizeof(have)),
			      format_size(worth(q->p, t), want, sizeof(want)));
	return false;
}

static bool is_busy(const struct question *q)
{
	const struct subject *p = q->p;
	const uint32_t limit = q->d->limits.idle_cpu_permille;
	const uint64_t idle_us = idle_wanted(q);
	char have[TIME_TEXT], want[TIME_TEXT];

	if (p->cpu_permille > limit)
		return answer(q, VERDICT_LEAVE, REASON_BUSY, "it used %u.%u %% of a CPU, idle is at most %u.%u %%",
			      p->cpu_permille / 10, p->cpu_permille % 10, limit / 10, limit % 10);
	if (p->quiet_us < idle_us) {
		answer(q, VERDICT_WAIT, REASON_NOT_IDLE_YET, "it has been idle for %s, not yet for %s",
		       format_time_us(p->quiet_us, have, sizeof(have)), format_time_us(idle_us, want, sizeof(want)));
		return wait_until(q, q->now_us + idle_us - p->quiet_us);
	}
	return false;
}

/* Half of a time that began at @from, when memory is short. */
static uint64_t due(const struct question *q, uint64_t from_us, uint64_t until_us)
{
	return q->urgent && until_us > from_us ? from_us + (until_us - from_us) / 2 : until_us;
}

/* Memory is short, and there may be some that could be moved. Whether there is room for it, only a look finds out. */
static bool could_move(const struct question *q)
{
	const struct subject *p = q->p;

	return q->urgent && (q->d->limits.remedies & POLICY_MOVES) && q->now_us >= q->process->moves_not_before_us &&
	       (p->still_us >= q->d->limits.settled_us ||
		(p->idle != POLICY_UNKNOWN && p->idle >= worth(p, &q->d->limits)));
}

/* Is there anything but moving memory that may be done to it? */
static bool may_call(const struct question *q)
{
	return q->d->limits.remedies & ~POLICY_MOVES;
}

/* A call in it was refused a moment ago; what stops no thread of it may be done all the same. */
static bool may_only_move(const struct question *q)
{
	const struct track *t = q->process;

	return t->refusals && q->now_us < t->not_before_us && could_move(q);
}

/* What was done before says that it is left alone until then, and why. */
static bool rests_until(const struct question *q, uint64_t until_us)
{
	const struct track *t = q->process;
	const uint32_t refusals = may_call(q) ? t->refusals : t->moves_refused;
	char ago[TIME_TEXT], left[TIME_TEXT];

	format_time_us(until_us - q->now_us, left, sizeof(left));
	if (refusals)
		answer(q, VERDICT_WAIT, REASON_BACKOFF, "an action on it was refused %" PRIu32 " times: again in %s",
		       refusals, left);
	else if (t->in_vain)
		answer(q, VERDICT_WAIT, REASON_BACKOFF,
		       "its memory came straight back, %" PRIu32 " times: left alone for another %s", t->in_vain, left);
	else
		answer(q, VERDICT_WAIT, REASON_COOLDOWN, "acted on %s ago: again in %s",
		       format_time_us(q->now_us - t->acted_us, ago, sizeof(ago)), left);
	return wait_until(q, until_us);
}

/* When something may be done again, by what was done or refused before. */
static uint64_t not_before(const struct question *q)
{
	const struct track *t = q->process;

	if (may_only_move(q))
		return t->rest_until_us;
	return may_call(q) ? t->not_before_us : MAX(t->rest_until_us, t->moves_not_before_us);
}

static bool has_to_rest(const struct question *q)
{
	const struct track *t = q->process, *siblings = q->program;
	/* Pressure changes neither that what came straight back would do so again, nor that it was unsafe. */
	const bool failed = t->in_vain || t->refusals || t->moves_refused;
	/* What was learned may be older than a rule, or of a restart, when not all was known that rules ask for. */
	const uint64_t rested_us = t->acted_us ? t->acted_us + q->d->limits.cooldown_us : 0;
	const uint64_t whole_us = MAX(not_before(q), rested_us);
	const uint64_t until_us = failed ? whole_us : due(q, t->acted_us, whole_us);
	char left[TIME_TEXT];

	if (q->now_us < until_us)
		return rests_until(q, until_us);
	if (!t->actions && siblings->in_vain >= POLICY_PROGRAM_IN_VAIN && q->now_us < siblings->not_before_us) {
		answer(q, VERDICT_WAIT, REASON_BACKOFF,
		       "the last %" PRIu32 " processes of its program and user took their memory straight back: left "
		       "alone for another %s",
		       siblings->in_vain, format_time_us(siblings->not_before_us - q->now_us, left, sizeof(left)));
		return wait_until(q, siblings->not_before_us);
	}
	return false;
}

/* A look promised little, or nobody acts on what it promises: not at every interval. */
static bool was_looked_at(const struct question *q)
{
	const struct track *t = q->process;
	const bool promising = q->s->mode == MODE_ENFORCE &&
			       (t->look_predicted >= worth(q->p, &q->d->limits) || could_move(q));
	const uint64_t until_us =
		due(q, t->looked_us, promising ? t->looked_us + q->s->interval_us : t->look_not_before_us);
	char promised[SIZE_TEXT], ago[TIME_TEXT], left[TIME_TEXT];

	if (!t->looked_us || q->now_us >= until_us)
		return false;
	answer(q, VERDICT_WAIT, REASON_LOOKED, "%s would come back, a look %s ago says; the next one is in %s",
	       format_size(t->look_predicted, promised, sizeof(promised)),
	       format_time_us(q->now_us - t->looked_us, ago, sizeof(ago)),
	       format_time_us(until_us - q->now_us, left, sizeof(left)));
	return wait_until(q, until_us);
}

static struct question question(const struct settings *s, const struct subject *p, const struct track *process,
				const struct track *program, enum urgency urgency, uint64_t now_us,
				struct decision *ret)
{
	const struct rule *rule;

	*ret = (struct decision){ .predicted = POLICY_UNKNOWN };
	rule = rules_apply(s, p, &ret->limits);
	ret->rule = rule ? rule->name : NULL;
	return (struct question){
		.s = s,
		.p = p,
		.process = process,
		.program = program,
		.urgent = urgency != URGENCY_NONE,
		.now_us = now_us,
		.d = ret,
	};
}

static bool is_no_candidate(const struct question *q)
{
	return is_out_of_bounds(q) || is_ruled_out(q) || is_small(q) || is_busy(q) || has_to_rest(q);
}

void policy_screen(const struct settings *s, const struct subject *p, const struct track *process,
		   const struct track *program, enum urgency urgency, uint64_t now_us, struct decision *ret)
{
	const struct question q = question(s, p, process, program, urgency, now_us, ret);

	ret->moves_only = may_only_move(&q);
	if (!is_no_candidate(&q) && !was_looked_at(&q))
		(void)answer(&q, VERDICT_LOOK, REASON_NONE, "large and idle: worth a look");
}

/* The names of remedies, cheapest harm first. */
static char *remedy_names(uint32_t remedies, char *buf, size_t size)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = { { POLICY_TRIM, "trim" },
		      { POLICY_PURGE, "purge" },
		      { POLICY_COLLECT, "collect" },
		      { POLICY_COLD, "cold" },
		      { POLICY_PAGEOUT, "pageout" } };

	*buf = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (remedies & names[i].bit)
			text_append(buf, size, "%s%s", *buf ? ", " : "", names[i].name);
	return buf;
}

/*
 * What would be done, and what it promises. What trim and purge return is for the most part the same memory, so the
 * larger of their promises is all that is counted on. false: nothing is possible, and @d says why.
 */
static bool choose(const struct question *q, const struct prospect *found)
{
	struct decision *d = q->d;
	const char *why = "no remedy fits it";
	bool unknown = false;
	uint64_t best = 0;
	char shown[128];

	for (size_t i = 0; i < found->n && i < ARRAY_SIZE(found->v); i++) {
		if (!(found->v[i].remedy & d->limits.remedies & ~POLICY_MOVES))
			continue;
		if (!found->v[i].possible) {
			why = found->v[i].reason ? found->v[i].reason : why;
			continue;
		}
		d->remedies |= found->v[i].remedy;
		if (found->v[i].predicted == POLICY_UNKNOWN)
			unknown = true;
		else
			best = MAX(best, found->v[i].predicted);
	}
	if (!d->remedies)
		return !answer(q, VERDICT_LEAVE, REASON_NOTHING_POSSIBLE, "%s", escape_text(why, shown, sizeof(shown)));
	/* Only trying tells what a collection brings; the back-off sees to it that it isn't tried in vain for ever. */
	d->predicted = unknown && best < worth(q->p, &d->limits) ? POLICY_UNKNOWN : best;
	return true;
}

/* What is free is given back, where that is worth it. */
static bool give_back(const struct question *q, const struct prospect *found)
{
	const bool may = q->s->mode == MODE_ENFORCE;
	struct decision *d = q->d;
	char names[40], size[SIZE_TEXT], need[SIZE_TEXT], shown[128];

	if (!found->known) {
		(void)answer(q, VERDICT_LEAVE, REASON_UNREADABLE, "%s",
			     escape_text(found->why ? found->why : "its allocator can't be read", shown,
					 sizeof(shown)));
		return false;
	}
	if (!choose(q, found))
		return false;
	remedy_names(d->remedies, names, sizeof(names));
	format_size(d->predicted, size, sizeof(size));
	if (d->predicted < worth(q->p, &d->limits)) {
		d->remedies = 0;
		return !answer(q, VERDICT_LEAVE, REASON_NOT_WORTH_IT, "%s would come back; worth an action are %s",
			       size, format_size(worth(q->p, &d->limits), need, sizeof(need)));
	}
	return answer(q, may ? VERDICT_ACT : VERDICT_WOULD, may ? REASON_WORTH_IT : REASON_MODE,
		      "%s: %s would come back%s", names,
		      d->predicted == POLICY_UNKNOWN ? "nobody knows how much" : size,
		      may ? "" : "; the mode forbids it");
}

/* Bytes that a look has found for one of POLICY_MOVES, or 0 with the reason why not. */
static uint64_t found_for(const struct prospect *found, uint32_t remedy, const char **ret_why)
{
	for (size_t i = 0; i < found->n && i < ARRAY_SIZE(found->v); i++) {
		if (found->v[i].remedy != remedy)
			continue;
		if (!found->v[i].possible && found->v[i].reason)
			*ret_why = found->v[i].reason;
		return !found->v[i].possible ? 0 : found->v[i].predicted == POLICY_UNKNOWN ? 0 : found->v[i].predicted;
	}
	return 0;
}

/*
 * Bytes that may be moved to swap: what the module knows to have been left
 * alone; without it all, if only nobody has been awake to use any of it.
 */
static uint64_t may_page_out(const struct question *q, const struct prospect *found, const char **ret_why)
{
	const struct subject *p = q->p;
	uint64_t bytes;

	*ret_why = "there is nothing of it that could be moved";
	bytes = found_for(found, POLICY_PAGEOUT, ret_why);
	if (!bytes)
		return 0;
	if (p->settled != POLICY_UNKNOWN)
		bytes = MIN(bytes, p->settled);
	else if (p->still_us < q->d->limits.settled_us)
		bytes = 0;
	if (bytes < worth(p, &q->d->limits)) {
		*ret_why = "too little of its memory has been left alone for SettledSec=";
		return 0;
	}
	*ret_why = "swap has no room for it";
	bytes = MIN(bytes, p->swap_room);
	return bytes < worth(p, &q->d->limits) ? 0 : bytes;
}

/*
 * The last rung: only when programs wait for memory, and when nothing that is
 * free would do. false: the answer that is there stands, unless this was all
 * that is allowed.
 */
static bool move(const struct question *q, const struct prospect *found)
{
	const bool may = q->s->mode == MODE_ENFORCE;
	struct decision *d = q->d;
	const uint32_t moves = d->limits.remedies & POLICY_MOVES;
	const char *why = "memory is only moved when programs wait for memory", *none = NULL;
	const char *forbidden = may ? "" : "; the mode forbids it";
	char size[SIZE_TEXT], shown[128];
	uint64_t bytes = 0;

	/* That was refused a moment ago: what may be called says nothing of it, and the other way round. */
	if (!moves || q->now_us < q->process->moves_not_before_us)
		return false;
	if (q->urgent && (moves & POLICY_PAGEOUT))
		bytes = may_page_out(q, found, &why);
	d->by_ages = q->p->settled != POLICY_UNKNOWN;
	if (bytes) {
		d->remedies = POLICY_PAGEOUT;
		d->predicted = bytes;
		return answer(q, may ? VERDICT_ACT : VERDICT_WOULD, may ? REASON_WORTH_IT : REASON_MODE,
			      "pageout: %s would be moved to swap%s", format_size(bytes, size, sizeof(size)),
			      forbidden);
	}
	/* A look that finds nothing to be moved says so of both. */
	(void)found_for(found, POLICY_COLD, &none);
	if (q->urgent && (moves & POLICY_COLD) && d->by_ages && !none && q->p->settled >= worth(q->p, &d->limits)) {
		d->remedies = POLICY_COLD;
		d->predicted = 0;
		return answer(q, may ? VERDICT_ACT : VERDICT_WOULD, may ? REASON_WORTH_IT : REASON_MODE,
			      "cold: %s would be the first to go%s", format_size(q->p->settled, size, sizeof(size)),
			      forbidden);
	}
	if (!(d->limits.remedies & ~POLICY_MOVES))
		(void)answer(q, VERDICT_LEAVE, REASON_NOTHING_POSSIBLE, "%s", escape_text(why, shown, sizeof(shown)));
	return false;
}

void policy_decide(const struct settings *s, const struct subject *p, const struct prospect *found,
		   const struct track *process, const struct track *program, enum urgency urgency, uint64_t now_us,
		   struct decision *ret)
{
	const struct question q = question(s, p, process, program, urgency, now_us, ret);

	if (is_no_candidate(&q))
		return;
	if (may_only_move(&q))
		(void)(move(&q, found) || rests_until(&q, process->not_before_us));
	else if (!give_back(&q, found))
		(void)move(&q, found);
}
