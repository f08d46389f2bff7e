// SPDX-License-Identifier: GPL-2.0-or-later
#include "strike.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/text.h"
#include "inject/trace.h"
#include "worker/proof.h"
#include "worker/rounds.h"

#define READER_LIFE 500 /* calls: what a reader knows of the target's mappings grows old */
#define PLAN_NS (20 * 1000000000ull)

const char *const strike_names[STRIKE_NKINDS] = { "trim", "purge", "collect" };

/* ---- a reader and its plan ---- */

static void strike_drop_reader(struct strike *s)
{
	reader_close(&s->reader);
	/* Those that have ended by now; nobody is traced here, so none but readers can be meant. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void strike_refuse(struct strike_result *ret, enum remedy_outcome outcome, const char *reason)
{
	*ret = (struct strike_result){ .outcome = outcome };
	text_format(ret->reason, sizeof(ret->reason), "%s", reason);
}

bool strike_warm(struct strike *s, enum strike_kind kind, struct strike_result *ret)
{
	struct reader_request req = { .magic = READER_MAGIC, .op = READER_PLAN };
	struct reader_reply reply;
	int r;

	strike_drop_reader(s);
	r = reader_start(s->subject.piddir, &s->req, &s->reader);
	s->readers++;
	s->used = 0;
	s->kind = kind;
	(void)remedy_find(strike_names[kind], &req.arg);
	if (r == 0)
		r = reader_ask(&s->reader, &req, clock_ns() + PLAN_NS, &reply);
	if (r == 0)
		r = reply.error;
	if (r < 0) {
		/* -EBUSY: those who were killed a moment ago still hold its files. */
		strike_refuse(ret,
			      r == -ESRCH ? REMEDY_GONE :
			      r == -EBUSY ? REMEDY_REFUSED :
					    REMEDY_FAILED,
			      strerror(-r));
		return false;
	}
	s->plan = reply.plan;
	if (!s->plan.possible)
		strike_refuse(ret, REMEDY_REFUSED, s->plan.reason);
	return s->plan.possible;
}

/* Those of a purge are told by their number only. */
static uint64_t strike_count(enum strike_kind kind, const struct remedy_result *result)
{
	if (result->outcome != REMEDY_DONE)
		return 0;
	if (kind == STRIKE_PURGE)
		return strtoull(result->detail, NULL, 10);
	return result->stops.longest_ns > 0;
}

static void strike_run(struct strike *s, struct strike_result *ret)
{
	const struct remedy *remedy = remedy_find(strike_names[s->kind], &(uint32_t){ 0 });
	const uint64_t deadline_ns = clock_ns() + s->timeout_ns;
	struct proof proof = {
		.reader = &s->reader,
		.target = &s->target,
		.subject = &s->subject,
		.owner = s->req.owner,
		.deadline_ns = deadline_ns,
	};
	struct purge_reader purge;
	struct advise_reader advise;
	struct rounds rounds;
	const struct remedy_site site = {
		.target = &s->target,
		.prover = &proof.call,
		.python_prover = &proof.python,
		.queue_prover = &proof.queue,
		.purge = &purge,
		.advise = &advise,
		.idle = &s->idle.remedy,
		.proc = s->subject.root,
		.groups = -1,
		.depth = REMEDY_DEPTH_AUTO,
		.advice = MADV_DONTNEED,
		.deadline_ns = deadline_ns,
		.unsafe_why = proof.why,
	};
	struct remedy_plan plan = s->plan;
	struct remedy_result result = { .outcome = REMEDY_FAILED };

	rounds_init(&rounds, &s->reader, deadline_ns, &purge, &advise);
	if (remedy->settle)
		remedy->settle(&site, &plan);
	if (!plan.possible) {
		strike_refuse(ret, REMEDY_REFUSED, plan.reason);
		return;
	}
	proof_init(&proof);
	remedy->run(&site, &plan, &result);
	strike_refuse(ret, result.outcome, result.outcome == REMEDY_DONE ? "" : result.reason);
	ret->stopped_ns = result.stops.longest_ns;
	ret->calls = strike_count(s->kind, &result);
}

void strike_once(struct strike *s, enum strike_kind kind, struct strike_result *ret)
{
	/* What a purge or a collection has planned holds for one. */
	const bool fresh = s->reader.fd < 0 || s->kind != kind || s->used >= READER_LIFE ||
			   (kind != STRIKE_TRIM && s->used);

	if (fresh && !strike_warm(s, kind, ret)) {
		strike_drop_reader(s);
		return;
	}
	strike_run(s, ret);
	s->used++;
	/* Other threads, other mappings perhaps: look again. */
	if (ret->outcome != REMEDY_DONE)
		strike_drop_reader(s);
}

int strike_open(pid_t pid, uint64_t timeout_ns, struct strike *ret)
{
	int r = trace_init();

	*ret = (struct strike)STRIKE_NONE;
	ret->pid = pid;
	ret->timeout_ns = timeout_ns;
	ret->req = (struct worker_request){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = pid,
		.timeout_us = timeout_ns / 1000,
		.owner = WORKER_OWNER_ANY,
	};
	idle_take(&ret->req, &ret->idle);
	if (r == 0)
		r = subject_open(&ret->req, &ret->subject);
	if (r < 0)
		return r;
	ret->target = (struct inject_target){
		.pid = pid,
		.piddir = ret->subject.piddir,
		.mem_fd = openat(ret->subject.piddir, "mem", O_RDWR | O_CLOEXEC),
		.look = reader_look,
		.look_ctx = &ret->reader,
	};
	r = ret->target.mem_fd < 0 ? -errno : arch_xstate_probe(&ret->target.xstate);
	if (r < 0)
		strike_close(ret);
	return r;
}

void strike_close(struct strike *s)
{
	strike_drop_reader(s);
	closep(&s->target.mem_fd);
	subject_close(&s->subject);
}
