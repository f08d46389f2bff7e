/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decides. Pure functions: facts, memory of what was done, settings and the
 * time in; a decision with its reason out. No I/O, no clock, no allocation.
 *
 * The manager asks twice. policy_screen() sees what is cheap to know and says
 * whether a look into the allocator is worth it; policy_decide() sees what the
 * look has found. Times are microseconds of CLOCK_BOOTTIME.
 */
#ifndef RECLAIM_POLICY_POLICY_H
#define RECLAIM_POLICY_POLICY_H

#include <sys/types.h>

#include "policy/settings.h"

#define POLICY_UNKNOWN UINT64_MAX
#define POLICY_WORDS 192
#define POLICY_PROGRAM_IN_VAIN 3 /* so many processes of a program in vain, in a row: a new one has to wait too */

enum urgency {
	URGENCY_NONE,
	URGENCY_PRESSURE, /* programs wait for memory, by PSI: idle times and cooldowns are halved, looks come first */
};

/* One process, cheaply. Texts are borrowed, raw, never NULL ("" unknown). */
struct subject {
	pid_t pid;
	uint64_t start_time;
	uid_t uid;
	const char *user; /* name, or the number as text */
	const char *comm, *exe, *unit, *slice, *cgroup;
	uint64_t rss, anon, swap; /* bytes or POLICY_UNKNOWN */
	uint64_t idle; /* the module's: anonymous bytes without a sign of access; POLICY_UNKNOWN without it */
	uint64_t idle_age_us; /* what the module calls idle; 0 unknown */
	uint64_t settled; /* the module's: bytes that were left alone for settled_us; POLICY_UNKNOWN without it */
	uint64_t still_us; /* since when it hasn't used the CPUs at all */
	uint64_t swap_room; /* bytes that may be moved to swap */
	uint64_t quiet_us; /* since when it hasn't used more CPU than allowed: 0 busy just now */
	uint32_t cpu_permille; /* of the last interval, of one CPU */
	bool kthread, zombie, stopped, traced, tracer, realtime, vmm;
	bool avoid; /* its cgroup has the xattr user.reclaim_avoid */
	/* "" until a look (now or in the past) told it */
	const char *allocator, *runtime;
};

/* What a look has found. */
struct prospect {
	bool known; /* the allocator could be read */
	const char *why; /* why not */
	struct {
		uint32_t remedy;
		bool possible;
		uint64_t predicted; /* bytes or POLICY_UNKNOWN; at the depth that would be used */
		const char *reason; /* why it isn't possible */
	} v[8];
	size_t n;
};

/*
 * What is remembered of one process, or of one program (exe) of one user. Zeroed: nothing. A program's is for
 * processes that have no past of their own: its in_vain counts processes in a row, not actions.
 */
struct track {
	uint64_t looked_us, acted_us; /* the last ones; 0: never */
	uint64_t not_before_us; /* when the next call may be */
	uint64_t rest_until_us; /* the same, but for refused calls, which say nothing of memory that is moved */
	uint64_t moves_not_before_us; /* what a refusal to move it says of that */
	uint64_t predicted, freed; /* bytes of the last action */
	uint64_t rss_after; /* bytes, of the last action */
	uint32_t actions; /* in all */
	uint32_t in_vain; /* in a row: actions whose memory came straight back, or that brought nothing */
	uint64_t moved; /* bytes that the last action moved to swap */
	uint32_t refaults; /* in a row: actions whose memory was wanted back from swap */
	uint32_t refusals; /* in a row, of calls: the worker found it unsafe, or failed */
	uint32_t moves_refused; /* in a row, the same of POLICY_MOVES alone */
	bool settled; /* whether the last action was in vain is known */
	bool overran; /* the last action stopped it for longer than it should */
	uint64_t look_predicted; /* bytes that the last look promised */
	uint64_t look_not_before_us;
};

enum verdict {
	VERDICT_LEAVE, /* not a candidate: reason says why */
	VERDICT_WAIT, /* a candidate, not yet: until when */
	VERDICT_LOOK, /* (screen) worth a look */
	VERDICT_ACT, /* (decide) with these remedies */
	VERDICT_WOULD, /* (decide) as ACT, but the mode forbids it */
};

/* Every reason has a name (policy_reason_name()) for the ledger, the journal and tests. */
enum reason {
	REASON_NONE,
	REASON_NEVER, REASON_PROTECTED, REASON_KTHREAD, REASON_ZOMBIE, REASON_STOPPED, REASON_TRACED, REASON_TRACER,
	REASON_REALTIME, REASON_VMM, REASON_AVOID, REASON_SMALL, REASON_BUSY, REASON_NOT_IDLE_YET, REASON_COOLDOWN,
	REASON_BACKOFF, REASON_LOOKED, REASON_UNREADABLE, REASON_NOTHING_POSSIBLE, REASON_NOT_WORTH_IT, REASON_RATE,
	REASON_STOP_BUDGET, REASON_WORKERS, REASON_WORTH_IT, REASON_MODE,
	REASON_N,
};

struct decision {
	enum verdict verdict;
	enum reason reason;
	/*
	 * Of ACT and WOULD: enum policy_remedy bits. Trim and purge overlap: to be asked for with WORKER_F_AUTO, so
	 * that the worker leaves out what no longer pays; but not when collect is among them, which it would leave out.
	 */
	uint32_t remedies;
	bool moves_only; /* a call in it was refused a moment ago: what has been planned of them is off */
	bool by_ages; /* of cold and pageout: only what the module knows to be idle; else all, since nobody is awake */
	uint64_t predicted; /* bytes in all, or POLICY_UNKNOWN; what is moved counts, what is cold doesn't */
	uint64_t not_before_us; /* of WAIT */
	struct thresholds limits; /* that apply to it after rules */
	const char *rule; /* name of the last rule that had a say, or NULL; the settings' own */
	char words[POLICY_WORDS]; /* a sentence for people, hostile texts escaped */
};

void policy_screen(const struct settings *s, const struct subject *p, const struct track *process,
		   const struct track *program, enum urgency urgency, uint64_t now_us, struct decision *ret);

void policy_decide(const struct settings *s, const struct subject *p, const struct prospect *found,
		   const struct track *process, const struct track *program, enum urgency urgency, uint64_t now_us,
		   struct decision *ret);

/* What happened, back into memory. Each changes both tracks. */
struct outcome {
	bool acted, refused; /* refused: the worker found it unsafe; neither: failed */
	bool moves; /* it was of POLICY_MOVES alone: no thread of it was to be stopped */
	bool cold; /* it was cold alone: nothing comes of it at once */
	uint64_t moved; /* bytes that are in swap now */
	uint64_t predicted, stopped_us, rss_after;
	int64_t freed;
};
void policy_learn_look(const struct settings *s, struct track *process, struct track *program, uint64_t predicted,
		       uint64_t now_us);
void policy_learn_action(const struct settings *s, const struct thresholds *limits, struct track *process,
			 struct track *program, const struct outcome *what, uint64_t now_us);
/* Of what the last action moved to swap @back bytes are resident again; @faults: pages that had to be waited for. */
void policy_learn_refaults(const struct settings *s, const struct thresholds *limits, struct track *process,
			   struct track *program, uint64_t back, uint64_t faults, uint64_t now_us);
/* @after_us: 10 s, 1 min, 10 min after the action; @rss: bytes then. */
void policy_learn_check(const struct settings *s, const struct thresholds *limits, struct track *process,
			struct track *program, uint64_t after_us, uint64_t rss, uint64_t now_us);

/* Limits of all together (budget.c): tokens that come back with time. Zeroed: full at first use. */
struct budget {
	uint64_t since_us;
	double actions, stop_us, pageout; /* pageout: bytes */
	uint32_t running; /* workers that act or look */
};
/*
 * True and taken, or false with the reason (RATE, STOP_BUDGET, WORKERS) and when to ask again; of WORKERS
 * POLICY_UNKNOWN: when one has ended.
 */
bool budget_take(const struct settings *s, struct budget *b, unsigned int ncpus, uint64_t now_us,
		 enum reason *ret_reason, uint64_t *ret_again_us);
/* For a look, which stops nobody: only the number of workers counts. */
bool budget_take_look(const struct settings *s, struct budget *b, unsigned int ncpus);
/* Takes at most @most bytes that may be moved to swap now. 0, and when to ask again: too few for it to be worth it. */
uint64_t budget_take_pageout(const struct settings *s, struct budget *b, uint64_t most, uint64_t worth, uint64_t now_us,
			     uint64_t *ret_again_us);
void budget_give_pageout(struct budget *b, uint64_t taken, uint64_t moved); /* what of it wasn't used */
/* A worker has ended. */
void budget_give(const struct settings *s, struct budget *b, uint64_t stopped_us, uint64_t now_us);

const char *policy_reason_name(enum reason r); /* "not-idle-yet" */
enum reason policy_reason_from_name(const char *name); /* REASON_N when unknown */
const char *policy_verdict_name(enum verdict v);

#endif
