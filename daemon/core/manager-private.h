/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the room only: the manager's parts, one file each.
 *
 *	manager           begin, end, what others may ask
 *	manager-settings  configuration, and what follows from it
 *	manager-sweep     who is there? what does policy say of them?
 *	manager-look      what would come back? then policy again
 *	manager-idle      is its memory idle, and where would it go?
 *	manager-act       doing it, and who is next
 *	manager-check     has it come back?
 *	manager-request   what others want done
 *	manager-record    writing it down
 *	manager-history   remembering it at the next start
 */
#ifndef RECLAIM_CORE_MANAGER_PRIVATE_H
#define RECLAIM_CORE_MANAGER_PRIVATE_H

#include <systemd/sd-event.h>

#include "base/clock.h"
#include "core/candidate.h"
#include "core/check.h"
#include "core/ledger-totals.h"
#include "core/ledger.h"
#include "core/manager-life.h"
#include "core/memory.h"
#include "core/psi.h"
#include "core/senses.h"
#include "core/task.h"
#include "policy/policy.h"

#define MANAGER_PASSWD "/etc/passwd"
#define MANAGER_WHY 192
#define MANAGER_INTERRUPTED "interrupted" /* an action whose end we didn't see */

struct manager {
	sd_event *event;
	const char *const *conf_dirs;
	char *state_dir;
	int proc, cgroups; /* folders; cgroups may be -1 */
	char boot_id[33];
	unsigned int ncpus;
	struct settings settings;
	struct senses senses;
	struct candidates candidates;
	struct tracers tracers;
	uint64_t tracers_us; /* when they were read; 0: they weren't */
	struct memory memory;
	struct checks checks;
	struct budget budget;
	struct tasks tasks;
	char worker_path[4096];
	struct ledger *ledger;
	struct psi psi;
	uint64_t urgent_until_us, last_sweep_us;
	sd_event_source *sweep_timer, *check_timer;
	struct manager_listener listener;
	struct manager_state state;
	struct ledger_totals totals; /* since this start */
	bool list_failed, record_failed, metrics_failed, start_failed; /* said already */
	bool stopping;
	char status[160]; /* that the service manager was told last */
};

static inline uint64_t manager_now(void)
{
	return clock_us(CLOCK_BOOTTIME);
}

/* How busy somebody is: while the machine sleeps nobody can show that they aren't idle. */
static inline uint64_t manager_awake_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* manager-settings.c */
/* First time: no old settings to keep. 0, or -errno with the first error in @why. */
int manager_load(struct manager *m, struct settings *ret, char *why, size_t why_size) __must_check;
void manager_apply(struct manager *m); /* to timers and triggers */
uint64_t manager_smallest(const struct manager *m); /* anonymous bytes from which on somebody is worth listing */

/* manager-sweep.c */
int manager_sweep_start(struct manager *m) __must_check; /* the timer; the first sweep is due at once */
void manager_sweep_soon(struct manager *m, uint64_t at_us);
void manager_pressure(void *arg);
void manager_bloated(void *arg, const struct bloat_event *e);
void manager_resync(void *arg);
enum urgency manager_urgency(const struct manager *m, uint64_t now_us);
/*
 * Policy's word on what is cheap to know, with the costly traits where it would say yes. @fresh: who traces others is
 * found out now, and not as it was at the last sweep.
 */
void manager_screen(struct manager *m, struct candidate *c, bool fresh, uint64_t now_us, struct decision *ret);
/* Is what a look has planned for it still wanted, by a screen of now? */
bool manager_plan_holds(const struct candidate *c, const struct decision *d);
/* It is left alone, or has to wait: written down when that is news. */
void manager_leave(struct manager *m, struct candidate *c);

/* manager-look.c */
int manager_look(struct manager *m, struct candidate *c) __must_check;

/* manager-idle.c */
/* What policy has to know where memory may be moved: fills these figures of @ret. */
void manager_idle_facts(struct manager *m, const struct candidate *c, const struct thresholds *limits,
			struct subject *ret);
/* The proof that @req's remedies ask for, as of now; without one the worker refuses. How much, and how full. */
void manager_idle_prove(struct manager *m, const struct candidate *c, const struct thresholds *limits, bool by_ages,
			struct worker_request *req);

/* It has been done, or some of it: the module's ages of it begin anew. */
void manager_idle_touched(struct manager *m, const struct worker_request *req, const struct worker_result *res);

/* manager-act.c */
/* Looks and actions that wait, as far as workers and limits allow; the largest first. */
void manager_dispatch(struct manager *m);

/* An action on its way, on the manager's own account or on somebody's. */
struct action {
	struct manager *m;
	struct ledger_record rec; /* who it is, and what was promised */
	struct thresholds limits;
	uint64_t pageout; /* bytes that were taken from the budget for it */
	manager_done_fn fn; /* NULL: nobody asked, or the asker is gone */
	void *arg;
	bool asked; /* by somebody: on his account, not on that of all together */
	bool dry_run; /* nothing is done: nothing to remember */
	bool timed; /* @ticks are known */
	uint64_t ticks; /* of a CPU that it had used before */
};

/* @a is malloc'ed, and taken when 0 is returned. */
int manager_act(struct manager *m, struct action *a, const struct worker_request *req) __must_check;

/* manager-check.c */
int manager_check_start(struct manager *m) __must_check;
void manager_check_plan(struct manager *m); /* after a change of m->checks */

/* manager-record.c */
/* About @c, which may be NULL. */
struct ledger_record manager_record(const struct manager *m, enum ledger_kind kind, const struct candidate *c);
/* 0 or -errno of the ledger; its listeners are told in any case. */
int manager_write(struct manager *m, struct ledger_record *rec, bool sync);
/* To the service manager, and to whoever collects metrics. */
void manager_tell(struct manager *m);

/* manager.c */
/* What others are told of @c; texts are borrowed. */
void manager_describe(const struct manager *m, const struct candidate *c, struct manager_process *ret);

/* manager-history.c */
/* What would apply to the process of @rec, as far as it says who that is. */
void manager_limits(const struct manager *m, const struct ledger_record *rec, struct thresholds *ret);
int manager_remember(struct manager *m) __must_check;

#endif
