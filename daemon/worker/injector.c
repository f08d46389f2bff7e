// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/injector.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "inject/trace.h"
#include "worker/precheck.h"
#include "worker/reader.h"

#define PROVE_NS (50 * 1000000ull) /* the target is stopped meanwhile: far more than a proof ever takes */

/* Names of include/reclaim/worker.h's bits. */
static const struct {
	uint32_t bit;
	const char *name;
} injector_remedies[] = {
	{ WORKER_REMEDY_COLLECT, "collect" }, { WORKER_REMEDY_TRIM, "trim" },	    { WORKER_REMEDY_PURGE, "purge" },
	{ WORKER_REMEDY_COLD, "cold" },	      { WORKER_REMEDY_PAGEOUT, "pageout" },
};

struct injector {
	const struct worker_request *req;
	struct worker_result *res;
	struct subject subject;
	struct reader reader;
	struct inject_target target;
	uint64_t deadline_ns;
	int mem_fd;
	char why[128]; /* of the last proof that failed */
};

static void injector_end(struct injector *in, enum worker_outcome outcome, const char *reason)
{
	in->res->outcome = outcome;
	text_format(in->res->reason, sizeof(in->res->reason), "%s", reason);
}

/* -ETIME when the reader is too slow, -EPIPE when it failed: -ETIMEDOUT would mean the target. */
static int injector_judge(struct injector *in, const struct cpu_regs *regs, uint64_t deadline_ns,
			  struct safepoint_verdict *ret)
{
	struct reader_request req = { .magic = READER_MAGIC, .op = READER_PROVE, .regs = *regs };
	struct reader_reply reply;
	int r = reader_ask(&in->reader, &req, deadline_ns, &reply);

	if (r < 0 || reply.error)
		return r == -ETIMEDOUT ? -ETIME : -EPIPE;
	if (!reply.verdict.safe)
		text_format(in->why, sizeof(in->why), "%s", reply.verdict.why);
	*ret = reply.verdict;
	return 0;
}

/* A look at a sleeping thread from outside: spares it the stop when it is surely unsafe, and warms the reader up. */
static int injector_prepare(void *ctx, const struct cpu_regs *regs)
{
	struct injector *in = ctx;
	struct safepoint_verdict v;
	int r = injector_judge(in, regs, in->deadline_ns, &v);

	if (r < 0)
		return r;
	return v.safe || v.unknown ? 0 : -EAGAIN;
}

static int injector_prove(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	struct safepoint_verdict v;
	int r = injector_judge(ctx, regs, clock_ns() + PROVE_NS, &v);

	if (r < 0)
		return r;
	if (!v.safe)
		return -EAGAIN;
	*ret = (struct inject_stack){ .lo = v.stack_lo, .hi = v.stack_hi };
	return 0;
}

static uint64_t injector_rss(const struct pstatus *st)
{
	return st->rss_anon + st->rss_file + st->rss_shmem;
}

static const struct remedy *injector_remedy(uint32_t bit, uint32_t *ret_index)
{
	for (size_t i = 0; i < ARRAY_SIZE(injector_remedies); i++)
		if (injector_remedies[i].bit == bit)
			return remedy_find(injector_remedies[i].name, ret_index);
	return NULL;
}

static enum worker_outcome injector_outcome(enum remedy_outcome o)
{
	switch (o) {
	case REMEDY_DONE:
		return WORKER_NOTHING;
	case REMEDY_REFUSED:
		return WORKER_REFUSED;
	case REMEDY_FAILED:
		return WORKER_FAILED;
	case REMEDY_TIMEOUT:
		return WORKER_TIMEOUT;
	case REMEDY_DENIED:
		return WORKER_DENIED;
	case REMEDY_GONE:
		return WORKER_GONE;
	}
	return WORKER_FAILED;
}

static void injector_carry_out(struct injector *in, const struct remedy *remedy, const struct remedy_plan *plan,
			       struct worker_step *step)
{
	const struct inject_prover prover = { .prepare = injector_prepare, .prove = injector_prove, .ctx = in };
	const struct remedy_site site = {
		.target = &in->target,
		.prover = &prover,
		.anon = in->subject.status.rss_anon,
		.swap = in->subject.status.vm_swap,
		.max_stop_ns = in->req->max_stop_us * 1000,
		.deadline_ns = in->deadline_ns,
		.unsafe_why = in->why,
	};
	struct remedy_result result = { .outcome = REMEDY_FAILED };
	struct pstatus before, after;
	uint64_t start = clock_ns();

	if (pstatus_read(in->subject.piddir, &before) < 0) {
		injector_end(in, WORKER_GONE, "it has exited");
		return;
	}
	remedy->run(&site, plan, &result);
	step->duration_us = (clock_ns() - start) / 1000;
	step->stopped_us = result.stopped_ns / 1000;
	step->call_us = result.call_ns / 1000;
	text_format(step->detail, sizeof(step->detail), "%s", *result.detail ? result.detail : result.reason);
	in->res->stopped_us_max = MAX(in->res->stopped_us_max, step->stopped_us);
	injector_end(in, injector_outcome(result.outcome), result.outcome == REMEDY_DONE ? "" : result.reason);
	/* What exits or runs another program hasn't given its memory back to us. */
	if (result.outcome != REMEDY_GONE && pstatus_read(in->subject.piddir, &after) == 0) {
		step->freed = (int64_t)(injector_rss(&before) - injector_rss(&after));
		in->res->rss_after = injector_rss(&after);
	}
}

static void injector_denied(struct injector *in)
{
	injector_end(in, WORKER_DENIED, "tracing it needs root, or the same user and a process that allows it");
}

/* Why the reader could not open the target. */
static void injector_unopened(struct injector *in, int r)
{
	switch (r) {
	case -ESRCH:
		injector_end(in, WORKER_GONE, "it has exited");
		break;
	case -EACCES:
	case -EPERM:
		injector_denied(in);
		break;
	case -EMFILE:
		injector_end(in, WORKER_REFUSED, "it has more files mapped than may be opened here (ulimit -n)");
		break;
	case -E2BIG:
		injector_end(in, WORKER_REFUSED, "it has too many mappings to look at");
		break;
	default:
		text_format(in->res->reason, sizeof(in->res->reason), "failed to open its memory and files: %s",
			    strerror(-r));
		in->res->outcome = WORKER_FAILED;
		break;
	}
}

/* One remedy from plan to result. false: stop here, the result is final. */
static bool injector_step(struct injector *in, uint32_t bit)
{
	struct reader_request req = { .magic = READER_MAGIC, .op = READER_PLAN };
	const struct remedy *remedy = injector_remedy(bit, &req.arg);
	struct worker_step *step = &in->res->steps[in->res->nsteps];
	struct reader_reply reply;
	int r;

	if (!remedy) {
		injector_end(in, WORKER_REFUSED, "a remedy was asked for that is not available");
		return false;
	}
	r = reader_ask(&in->reader, &req, in->deadline_ns, &reply);
	if (r < 0) {
		injector_end(in, r == -ETIMEDOUT ? WORKER_TIMEOUT : WORKER_FAILED,
			     r == -ETIMEDOUT ? "reading its files and memory took too long" :
					       "the reader failed on its files or memory");
		return false;
	}
	if (reply.error) {
		injector_unopened(in, reply.error);
		return false;
	}
	if (!reply.plan.possible) {
		injector_end(in, WORKER_REFUSED, reply.plan.reason);
		return false;
	}
	step->remedy = bit;
	step->has_predicted = reply.plan.has_predicted;
	step->predicted = reply.plan.predicted;
	in->res->nsteps++;
	if (in->req->flags & WORKER_F_DRY_RUN) {
		text_format(step->detail, sizeof(step->detail), "%s", reply.plan.note);
		injector_end(in, WORKER_WOULD, "dry run: nothing was done");
		return true;
	}
	injector_carry_out(in, remedy, &reply.plan, step);
	return in->res->outcome == WORKER_NOTHING;
}

/* Bound to the memory of now: whatever the process executes later, nothing of ours gets into it. */
static bool injector_open_memory(struct injector *in)
{
	in->mem_fd = openat(in->subject.piddir, "mem", O_RDWR | O_CLOEXEC);
	if (in->mem_fd >= 0)
		return true;
	if (errno == EACCES || errno == EPERM)
		injector_denied(in);
	else if (errno == ESRCH || errno == ENOENT)
		injector_end(in, WORKER_GONE, "it has exited");
	else
		injector_end(in, WORKER_FAILED, strerror(errno));
	return false;
}

static void injector_work(struct injector *in)
{
	struct worker_result *res = in->res;

	if (!injector_open_memory(in))
		return;
	in->target = (struct inject_target){
		.pid = in->req->pid,
		.piddir = in->subject.piddir,
		.mem_fd = in->mem_fd,
	};
	if (arch_xstate_probe(&in->target.xstate) < 0) {
		injector_end(in, WORKER_FAILED, "this CPU or kernel does not save extended state in signal frames");
		return;
	}
	for (uint32_t bit = 1; bit <= WORKER_REMEDY_PAGEOUT; bit <<= 1)
		if ((in->req->remedies & bit) && !injector_step(in, bit))
			break;
	res->freed = (int64_t)(res->rss_before - res->rss_after);
	if (res->outcome == WORKER_NOTHING && res->freed > 0)
		res->outcome = WORKER_RECLAIMED;
}

void injector_run(const struct worker_request *req, struct worker_result *ret)
{
	struct injector in = {
		.req = req,
		.res = ret,
		.subject = { .root = -1, .piddir = -1 },
		.reader = { .fd = -1 },
		.mem_fd = -1,
		.deadline_ns = clock_ns() + req->timeout_us * 1000,
	};
	int r = trace_init();

	if (r == 0)
		r = subject_open(req, &in.subject);
	if (r < 0) {
		if (r == -ESRCH)
			injector_end(&in, WORKER_GONE, "no such process");
		else
			injector_end(&in, WORKER_FAILED, strerror(-r));
		return;
	}
	ret->start_time = in.subject.stat.start_time;
	text_format(ret->comm, sizeof(ret->comm), "%s", in.subject.stat.comm);
	ret->rss_before = ret->rss_after = injector_rss(&in.subject.status);
	ret->outcome = WORKER_NOTHING;
	/* It opens the files meanwhile. Whatever becomes of us, it ends with us. */
	r = reader_start(in.subject.piddir, &in.reader);
	if (!precheck(&in.subject, req->flags, ret->reason, sizeof(ret->reason)))
		ret->outcome = WORKER_REFUSED;
	else if (r < 0)
		injector_end(&in, WORKER_FAILED, strerror(-r));
	else
		injector_work(&in);
	closep(&in.reader.fd);
	closep(&in.mem_fd);
	subject_close(&in.subject);
}
