/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the ledger says of the time before this start becomes memory again. */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "core/log.h"
#include "core/manager-private.h"

#define PAST_US (7 * 86400 * 1000000ull) /* older is forgotten */
#define PAST_RECORDS (1u << 17) /* and so is what would take more than a second to read */

#define BEGUN_MAX 64 /* actions without an end: not more than workers at a time */

#define SHIFT_US PAST_US /* all is taken in as if it were so much later, so that there is time before this boot */

struct past {
	struct manager *m;
	uint64_t now_us, now_real_us;
	/* Of an earlier boot, when it was, and its processes: what became of them says something of their programs. */
	char boot_id[33];
	uint64_t boot_at_us; /* when its clock was 0; wraps */
	struct memory earlier;
	struct ledger_record begun[BEGUN_MAX];
	size_t nbegun;
};

void manager_limits(const struct manager *m, const struct ledger_record *rec, struct thresholds *ret)
{
	static const struct track none;
	char user[USERNAME_MAX];
	struct decision d;
	struct subject subject = {
		.pid = rec->pid,
		.start_time = rec->start_time,
		.uid = rec->real_uid,
		.user = user,
		.comm = rec->comm,
		.exe = rec->exe,
		.unit = rec->unit,
		.slice = rec->slice,
		.cgroup = rec->cgroup,
		.rss = POLICY_UNKNOWN,
		.anon = POLICY_UNKNOWN,
		.swap = POLICY_UNKNOWN,
		.idle = POLICY_UNKNOWN,
		.allocator = "",
		.runtime = "",
	};

	username_of(MANAGER_PASSWD, rec->real_uid, user);
	policy_screen(&m->settings, &subject, &none, &none, URGENCY_NONE, manager_now(), &d);
	*ret = d.limits;
}

static enum reason reason_told(const struct ledger_record *rec)
{
	const enum reason reason = policy_reason_from_name(rec->reason);

	return reason < REASON_N ? reason : REASON_NONE;
}

static void learn_action(const struct past *p, const struct ledger_record *rec, struct track *process,
			 struct track *program, uint64_t at_us)
{
	const bool interrupted = !strcmp(rec->reason, MANAGER_INTERRUPTED);
	const bool refused = !strcmp(rec->reason, "refused");
	/* Also who gave something back and failed later on. */
	const bool acted = !strcmp(rec->reason, "reclaimed") || !strcmp(rec->reason, "nothing") ||
			   (!refused && rec->freed > 0);
	struct thresholds limits;

	manager_limits(p->m, rec, &limits);
	policy_learn_action(&p->m->settings, &limits, process, program,
			    &(const struct outcome){
				    .acted = acted || interrupted,
				    .refused = refused,
				    /* How long the longest of its stops was isn't written down. */
				    .stopped_us = 0,
				    /* How much of it came, nobody knows. */
				    .predicted = interrupted ? POLICY_UNKNOWN : rec->predicted,
				    .rss_after = rec->rss_after == LEDGER_UNKNOWN ? 0 : rec->rss_after,
				    .moved = rec->swapped,
				    .moves = !(rec->remedies & ~POLICY_MOVES),
				    .cold = rec->remedies == WORKER_REMEDY_COLD,
				    .freed = interrupted ? (int64_t)limits.min_reclaim : rec->freed,
			    },
			    at_us);
	/* Whether that was in vain nobody can tell any more. */
	if (interrupted)
		process->settled = true;
	if (acted && rec->remedies != WORKER_REMEDY_COLD && at_us == rec->boot_us + SHIFT_US)
		checks_add(&p->m->checks, rec);
}

static void learn_check(const struct past *p, const struct ledger_record *rec, struct track *process,
			struct track *program, uint64_t at_us)
{
	struct thresholds limits;

	manager_limits(p->m, rec, &limits);
	/* How many faults it had until then was counted when it was checked. */
	policy_learn_refaults(&p->m->settings, &limits, process, program, rec->swapped, 0, at_us);
	policy_learn_check(&p->m->settings, &limits, process, program, rec->after_us,
			   rec->rss_after == LEDGER_UNKNOWN ? POLICY_UNKNOWN : rec->rss_after, at_us);
	checks_done(&p->m->checks, rec->pid, rec->start_time, rec->after_us);
}

static void end(struct past *p, const struct ledger_record *rec)
{
	for (size_t i = 0; i < p->nbegun; i++)
		if (p->begun[i].pid == rec->pid && p->begun[i].start_time == rec->start_time)
			p->begun[i--] = p->begun[--p->nbegun];
}

static void begin(struct past *p, const struct ledger_record *rec)
{
	end(p, rec);
	if (p->nbegun < BEGUN_MAX)
		p->begun[p->nbegun++] = *rec;
}

/* That of the record, and when that was. */
static struct memory_process *process_of(struct past *p, const struct ledger_record *rec, uint64_t *ret_at_us)
{
	const uint64_t age_us = p->now_real_us > rec->real_us ? p->now_real_us - rec->real_us : 0;

	if (!strcmp(p->m->boot_id, rec->boot_id)) {
		*ret_at_us = SHIFT_US + rec->boot_us;
		return memory_process(&p->m->memory, rec->pid, rec->start_time);
	}
	if (strcmp(p->boot_id, rec->boot_id) != 0) {
		text_format(p->boot_id, sizeof(p->boot_id), "%s", rec->boot_id);
		p->boot_at_us = SHIFT_US + p->now_us - age_us - rec->boot_us;
		p->earlier.nprocesses = 0;
	}
	*ret_at_us = (uint64_t)MIN(MAX((int64_t)(p->boot_at_us + rec->boot_us), 1), (int64_t)(SHIFT_US + p->now_us));
	return memory_process(&p->earlier, rec->pid, rec->start_time);
}

static int take(void *arg, const struct ledger_record *rec)
{
	struct past *p = arg;
	uint64_t at_us;
	struct memory_process *process = process_of(p, rec, &at_us);
	struct memory_program *program = memory_program(&p->m->memory, rec->exe, rec->real_uid);

	switch (rec->kind) {
	case LEDGER_LEAVE:
		process->told = reason_told(rec);
		break;
	case LEDGER_LOOK:
		policy_learn_look(&p->m->settings, &process->track, &program->track,
				  rec->predicted == LEDGER_UNKNOWN ? 0 : rec->predicted, at_us);
		break;
	case LEDGER_BEGIN:
		if (!strcmp(p->m->boot_id, rec->boot_id))
			begin(p, rec);
		break;
	case LEDGER_ACTION:
		end(p, rec);
		process->told = REASON_NONE;
		learn_action(p, rec, &process->track, &program->track, at_us);
		break;
	case LEDGER_CHECK:
		learn_check(p, rec, &process->track, &program->track, at_us);
		break;
	default:
		break;
	}
	return 0;
}

/*
 * Begun, and then we died: the worker with us, at any moment of it. It counts
 * as done, so that its cooldown holds, and not as in vain.
 */
static void settle_begun(const struct past *p)
{
	for (size_t i = 0; i < p->nbegun; i++) {
		struct ledger_record rec = p->begun[i];
		struct memory_process *process = memory_process(&p->m->memory, rec.pid, rec.start_time);

		rec.kind = LEDGER_ACTION;
		rec.real_us = p->now_real_us;
		text_format(rec.reason, sizeof(rec.reason), "%s", MANAGER_INTERRUPTED);
		text_format(rec.words, sizeof(rec.words), "the daemon died meanwhile: how it ended isn't known");
		learn_action(p, &rec, &process->track, &memory_program(&p->m->memory, rec.exe, rec.real_uid)->track,
			     rec.boot_us + SHIFT_US);
		(void)manager_write(p->m, &rec, true);
	}
}

int manager_remember(struct manager *m)
{
	_cleanup_free_ struct past *p = calloc(1, sizeof(*p));
	struct ledger_filter filter = {
		.uid = (uid_t)-1,
		.kinds = 1u << LEDGER_LEAVE | 1u << LEDGER_LOOK | 1u << LEDGER_BEGIN | 1u << LEDGER_ACTION |
			 1u << LEDGER_CHECK,
		.among = PAST_RECORDS,
	};
	uint64_t damaged = 0;
	int r;

	if (!p)
		return -ENOMEM;
	r = memory_open(&p->earlier);
	if (r < 0)
		return r;
	p->m = m;
	p->now_us = manager_now();
	p->now_real_us = clock_us(CLOCK_REALTIME);
	filter.since_real_us = p->now_real_us > PAST_US ? p->now_real_us - PAST_US : 0;
	r = ledger_read(m->state_dir, &filter, take, p, &damaged);
	memory_close(&p->earlier);
	if (damaged)
		log_warning("%ju records of the ledger in %s are damaged: they are passed over", (uintmax_t)damaged,
			    m->state_dir);
	if (r < 0)
		return r;
	checks_skip(&m->checks, p->now_us);
	settle_begun(p);
	memory_earlier(&m->memory, SHIFT_US);
	return 0;
}
