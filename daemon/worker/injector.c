// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/injector.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"
#include "inject/trace.h"
#include "worker/precheck.h"
#include "worker/proof.h"
#include "worker/rounds.h"
#include "worker/split.h"
#include "worker/unopened.h"

#define INJECTOR_WORTH (64ull << 10) /* bytes for which a process is stopped unasked */
#define OUTSIDE ((uint32_t)(WORKER_REMEDY_COLD | WORKER_REMEDY_PAGEOUT))

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
	struct idle idle;
	int groups;
	uint64_t deadline_ns;
	int mem_fd;
	struct proof proof;
	char refusal[WORKER_TEXT_MAX]; /* of a remedy that we chose ourselves */
	bool tried; /* a remedy that would have paid was refused */
	bool spared; /* a remedy was possible, and there was nothing for it to do */
	bool done; /* something was */
	struct worker_step vain; /* what was refused last, and all stops for what was refused */
	uint64_t promised; /* bytes, by a dry run */
};

static void injector_end(struct injector *in, enum worker_outcome outcome, const char *reason)
{
	in->res->outcome = outcome;
	text_format(in->res->reason, sizeof(in->res->reason), "%s", reason);
}

static uint64_t injector_rss(const struct pstatus *st)
{
	return st->rss_anon + st->rss_file + st->rss_shmem;
}

/* Without its figures nothing can be told of it: false, and that is the result. */
static bool injector_measure(struct injector *in, struct pstatus *ret)
{
	int r = pstatus_read(in->subject.piddir, ret);

	/* Of one that is exiting the memory is gone before it is: that is no saving. */
	if (r == -ESRCH || (r == 0 && !ret->vm_size)) {
		injector_end(in, WORKER_GONE, "it has exited");
		return false;
	} else if (r == 0 && inject_is_over(&in->target)) {
		injector_end(in, WORKER_GONE, "it exited or ran another program meanwhile");
		return false;
	} else if (r < 0) {
		in->res->outcome = WORKER_FAILED;
		text_format(in->res->reason, sizeof(in->res->reason), "its memory can't be measured: %s", strerror(-r));
	}
	return r == 0;
}

static const struct remedy *injector_remedy(uint32_t bit, uint32_t *ret_index)
{
	for (size_t i = 0; i < ARRAY_SIZE(injector_remedies); i++)
		if (injector_remedies[i].bit == bit)
			return remedy_find(injector_remedies[i].name, ret_index);
	return NULL;
}

static const enum worker_outcome injector_outcomes[] = {
	[REMEDY_DONE] = WORKER_NOTHING,	   [REMEDY_REFUSED] = WORKER_REFUSED, [REMEDY_FAILED] = WORKER_FAILED,
	[REMEDY_TIMEOUT] = WORKER_TIMEOUT, [REMEDY_DENIED] = WORKER_DENIED,   [REMEDY_GONE] = WORKER_GONE,
};

/* What a remedy is given to work with. */
struct site {
	struct purge_reader purge;
	struct advise_reader advise;
	struct rounds rounds;
	struct remedy_site remedy;
};

static void injector_site(struct injector *in, struct site *ret)
{
	const uint32_t flags = in->req->flags;

	rounds_init(&ret->rounds, &in->reader, in->deadline_ns, &ret->purge, &ret->advise);
	ret->remedy = (struct remedy_site){
		.target = &in->target,
		.prover = &in->proof.call,
		.python_prover = &in->proof.python,
		.queue_prover = &in->proof.queue,
		.purge = &ret->purge,
		.advise = &ret->advise,
		.idle = &in->idle.remedy,
		.proc = in->subject.root,
		.groups = in->groups,
		.max_bytes = in->req->max_bytes,
		.swap_keep = in->req->swap_keep,
		.anon = in->subject.status.rss_anon,
		.swap = in->subject.status.vm_swap,
		.locked = in->subject.status.vm_lck,
		.max_stop_ns = in->req->max_stop_us * 1000,
		.depth = flags & WORKER_F_NORMAL ? REMEDY_DEPTH_NORMAL :
			 flags & WORKER_F_DEEP	 ? REMEDY_DEPTH_DEEP :
						   REMEDY_DEPTH_AUTO,
		.advice = flags & WORKER_F_ADVICE_FREE ? MADV_FREE : MADV_DONTNEED,
		.deadline_ns = in->deadline_ns,
		.unsafe_why = in->proof.why,
	};
}

/*
 * RSS falls without it; memory is free only with it. It may fall once more: who
 * splits a huge page also drops those of its pages that hold nothing but zeros
 * (Linux 6.12, b1f202060afe "mm: remap unused subpages to shared zeropage when
 * splitting isolated thp"). That is the kernel's gain, and nobody's prediction.
 */
static void injector_split(struct injector *in, const struct split *split, uint64_t rss, struct worker_step *step)
{
	struct pstatus after;
	char text[24];
	bool failed;
	size_t n = split_run(split, &in->reader, in->req->pid, in->subject.piddir, in->deadline_ns, &failed);

	in->res->huge_torn += (uint32_t)n;
	if (n && pstatus_read(in->subject.piddir, &after) == 0) {
		step->zeroes = (int64_t)(rss - injector_rss(&after));
		in->res->rss_after = injector_rss(&after);
	}
	if (n)
		text_append(step->detail, sizeof(step->detail), "; %zu torn huge pages split", n);
	if (step->zeroes > 0)
		text_append(step->detail, sizeof(step->detail), ", which dropped %s of zeros more",
			    format_size((uint64_t)step->zeroes, text, sizeof(text)));
	if (failed)
		text_append(step->detail, sizeof(step->detail),
			    "; torn huge pages could not be split, so not all of it is free yet");
}

static bool injector_owned(struct injector *in)
{
	if (proof_is_owned(&in->proof))
		return true;
	injector_end(in, WORKER_DENIED, SUBJECT_DISOWNED);
	return false;
}

static void injector_answer(struct injector *in, const struct remedy_result *result)
{
	if (in->proof.disowned)
		injector_end(in, WORKER_DENIED, SUBJECT_DISOWNED);
	else if (result->outcome == REMEDY_DONE && !*result->reason)
		in->res->outcome = WORKER_NOTHING; /* and what an earlier one has left stays said */
	else
		injector_end(in, injector_outcomes[result->outcome], result->reason);
}

static void injector_carry_out(struct injector *in, const struct remedy *remedy, const struct remedy_site *site,
			       const struct remedy_plan *plan, struct worker_step *step)
{
	struct remedy_result result = { .outcome = REMEDY_FAILED };
	struct pstatus before, after;
	struct split split = { .sight = SPLIT_NONE };
	uint64_t start;
	bool measured;

	if (!remedy->outside)
		split_prepare(&in->reader, in->subject.piddir, in->deadline_ns, &split);
	start = clock_ns();

	if (!injector_measure(in, &before))
		return;
	/* As it is before anything is done to it: looking has mapped some pages of its files. */
	if (in->res->nsteps == 1)
		in->res->rss_before = in->res->rss_after = injector_rss(&before);
	remedy->run(site, plan, &result);
	step->duration_us = (clock_ns() - start) / 1000;
	step->stopped_us = result.stops.total_ns / 1000;
	step->call_us = result.call_ns / 1000;
	text_format(step->detail, sizeof(step->detail), "%s", *result.detail ? result.detail : result.reason);
	in->res->stopped_us_max = MAX(in->res->stopped_us_max, result.stops.longest_ns / 1000);
	/* What exits or runs another program hasn't given its memory back to us. */
	measured = result.outcome != REMEDY_GONE && injector_measure(in, &after);
	if (measured) {
		step->freed = (int64_t)(injector_rss(&before) - injector_rss(&after));
		step->swapped = (int64_t)(after.vm_swap - before.vm_swap);
		in->res->rss_after = injector_rss(&after);
		/* So a part of it was done, and the reason says why not all. The program may free a bit itself. */
		if (result.begun && (result.outcome == REMEDY_REFUSED || result.outcome == REMEDY_TIMEOUT) &&
		    step->freed >= (int64_t)MAX(INJECTOR_WORTH, plan->predicted / 4))
			result.outcome = REMEDY_DONE;
		in->done |= result.outcome == REMEDY_DONE;
	}
	/* What can't be measured is not known to have been done; why it was not done is known all the same. */
	if (measured || in->proof.disowned || (result.outcome != REMEDY_DONE && in->res->outcome != WORKER_GONE))
		injector_answer(in, &result);
	/* A thread that is late for its stop is freed by our end only. */
	if (measured && result.outcome == REMEDY_DONE && !in->proof.disowned && !inject_is_late())
		injector_split(in, &split, injector_rss(&after), step);
}

static void injector_denied(struct injector *in)
{
	injector_end(in, WORKER_DENIED, "tracing it needs root, or the same user and a process that allows it");
}

/*
 * The reader's plan for one remedy. false: stop here, the result is final. Where we choose, a fault of the reader's own
 * decides nothing as long as others may do, or when some have done.
 */
static bool injector_plan(struct injector *in, uint32_t bit, uint32_t index, struct remedy_plan *ret)
{
	const struct reader_request req = { .magic = READER_MAGIC, .op = READER_PLAN, .arg = index };
	struct reader_reply reply;
	int r = reader_ask(&in->reader, &req, in->deadline_ns, &reply);

	if (r < 0) {
		injector_end(in, r == -ETIMEDOUT ? WORKER_TIMEOUT : WORKER_FAILED,
			     r == -ETIMEDOUT ? "reading its files and memory took too long" :
					       "the reader failed on its files or memory");
		return false;
	}
	if (reply.error && (!(in->req->flags & WORKER_F_AUTO) || (bit == WORKER_REMEDY_TRIM && !in->res->nsteps))) {
		in->res->outcome = unopened(reply.error, in->res->reason, sizeof(in->res->reason));
		return false;
	}
	*ret = reply.plan;
	return true;
}

/* Is it worth a stop? Only where nobody has asked for this very remedy. */
static bool injector_pays(const struct injector *in, uint32_t bit, const struct remedy_plan *plan)
{
	if (!(in->req->flags & WORKER_F_AUTO))
		return true;
	/* Code of the program's own may run in a collection: never without a known gain. */
	if (!plan->has_predicted)
		return bit == WORKER_REMEDY_TRIM;
	return plan->predicted >= INJECTOR_WORTH;
}

/*
 * Not done, and why. Where we choose, the next remedy may still do: what is
 * told in the end is about what was tried in vain, or trim, which people know.
 */
static bool injector_refused(struct injector *in, uint32_t bit, bool tried)
{
	if (!(in->req->flags & WORKER_F_AUTO) || in->res->outcome != WORKER_REFUSED || inject_is_late())
		return false;
	in->tried |= tried;
	if (!*in->refusal || bit == WORKER_REMEDY_TRIM || tried)
		text_format(in->refusal, sizeof(in->refusal), "%s", in->res->reason);
	injector_end(in, WORKER_NOTHING, "");
	return true;
}

static struct worker_step *injector_new_step(struct injector *in, uint32_t bit, const struct remedy_plan *plan)
{
	struct worker_step *step = &in->res->steps[in->res->nsteps++];

	step->remedy = bit;
	step->has_predicted = plan->has_predicted;
	step->predicted = plan->predicted;
	return step;
}

/* A dry run's purge doesn't promise again what trim has promised. */
static void injector_would(struct injector *in, uint32_t bit, const struct remedy_plan *plan)
{
	struct worker_step *step = injector_new_step(in, bit, plan);

	if (bit == WORKER_REMEDY_PURGE)
		step->predicted -= MIN(step->predicted, in->promised);
	else if (bit == WORKER_REMEDY_TRIM)
		in->promised = plan->predicted;
	text_format(step->detail, sizeof(step->detail), "%s", plan->note);
	injector_end(in, WORKER_WOULD, "dry run: nothing was done");
}

/* One remedy from plan to result. false: stop here, the result is final. */
static bool injector_step(struct injector *in, uint32_t bit)
{
	struct remedy_plan plan;
	struct site site;
	uint32_t index;
	const struct remedy *remedy = injector_remedy(bit, &index);
	struct worker_step *step;

	if (!injector_owned(in))
		return false;
	if (!remedy) {
		injector_end(in, WORKER_REFUSED, "a remedy was asked for that is not available");
		return injector_refused(in, bit, false);
	}
	if (!injector_plan(in, bit, index, &plan))
		return false;
	injector_site(in, &site);
	if (plan.possible && remedy->settle)
		remedy->settle(&site.remedy, &plan);
	if (!plan.possible) {
		injector_end(in, WORKER_REFUSED, plan.reason);
		return injector_refused(in, bit, false);
	}
	if (!injector_pays(in, bit, &plan)) {
		in->spared = true;
		return true;
	}
	if (in->req->flags & WORKER_F_DRY_RUN) {
		injector_would(in, bit, &plan);
		return true;
	}
	step = injector_new_step(in, bit, &plan);
	injector_carry_out(in, remedy, &site.remedy, &plan, step);
	if (in->res->outcome == WORKER_NOTHING)
		return true;
	if (!injector_refused(in, bit, true))
		return false;
	/* It was not done: no step of the account, but for those who were stopped in vain. */
	step->stopped_us += in->vain.stopped_us;
	in->vain = *step;
	memset(step, 0, sizeof(*step));
	in->res->nsteps--;
	return true;
}

static void injector_steps(struct injector *in)
{
	struct worker_result *res = in->res;

	/* After a thread that is late for its stop nothing is to be done but to end, which frees it. */
	for (uint32_t bit = 1; bit <= WORKER_REMEDY_PAGEOUT && !inject_is_late(); bit <<= 1) {
		/* What was done stands, and its reason says that there was no more time. */
		if (in->done && clock_ns() >= in->deadline_ns)
			break;
		if ((in->req->remedies & bit) && !injector_step(in, bit))
			break;
	}
	if (res->nsteps)
		res->steps[res->nsteps - 1].stopped_us += in->vain.stopped_us;
	res->freed = (int64_t)(res->rss_before - res->rss_after);
	/* A refusal says that nothing has changed. */
	if (res->outcome == WORKER_REFUSED && in->done && res->freed >= (int64_t)INJECTOR_WORTH)
		res->outcome = WORKER_NOTHING;
	if (res->outcome == WORKER_NOTHING && !res->nsteps && *in->refusal && (!in->spared || in->tried))
		injector_end(in, WORKER_REFUSED, in->refusal);
	else if (res->outcome == WORKER_NOTHING && !res->nsteps)
		injector_end(in, WORKER_NOTHING, "there is nothing to give back");
	else if (res->outcome == WORKER_NOTHING && res->freed > 0)
		res->outcome = WORKER_RECLAIMED;
	/* Stopped in vain is stopped all the same. */
	if (res->outcome == WORKER_REFUSED && !res->nsteps && in->vain.stopped_us)
		res->steps[res->nsteps++] = in->vain;
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

static void injector_work(struct injector *in, bool outside)
{
	if (!outside && !injector_open_memory(in))
		return;
	in->target = (struct inject_target){
		.pid = in->req->pid,
		.piddir = in->subject.piddir,
		.mem_fd = in->mem_fd,
		.look = reader_look,
		.look_ctx = &in->reader,
	};
	in->proof = (struct proof){
		.reader = &in->reader,
		.target = &in->target,
		.subject = &in->subject,
		.owner = in->req->owner,
		.deadline_ns = in->deadline_ns,
	};
	proof_init(&in->proof);
	if (!outside && arch_xstate_probe(&in->target.xstate) < 0) {
		injector_end(in, WORKER_FAILED, "this CPU or kernel does not save extended state in signal frames");
		return;
	}
	injector_steps(in);
}

void injector_run(const struct worker_request *req, struct worker_result *ret)
{
	struct injector in = {
		.req = req,
		.res = ret,
		.subject = { .root = -1, .piddir = -1 },
		.reader = READER_NONE,
		.mem_fd = -1,
		.groups = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.deadline_ns = clock_ns() + req->timeout_us * 1000,
	};
	/* Only the kernel is asked to do something: nothing of what forbids tracing matters. */
	const bool outside = !(req->remedies & ~OUTSIDE);
	int r = trace_init();

	if (r < 0) {
		injector_end(&in, WORKER_FAILED, strerror(-r));
		return;
	}
	r = subject_open(req, &in.subject);
	if (r < 0) {
		ret->outcome = unopened_subject(r, ret->reason, sizeof(ret->reason));
		return;
	}
	ret->start_time = in.subject.stat.start_time;
	text_format(ret->comm, sizeof(ret->comm), "%s", in.subject.stat.comm);
	ret->rss_before = ret->rss_after = injector_rss(&in.subject.status);
	ret->outcome = WORKER_NOTHING;
	/* It opens the files meanwhile. Whatever becomes of us, it ends with us. */
	r = reader_start(in.subject.piddir, req, &in.reader);
	idle_take(req, &in.idle);
	if (!(outside ? precheck_outside : precheck)(&in.subject, req->flags, ret->reason, sizeof(ret->reason)))
		ret->outcome = WORKER_REFUSED;
	else if (r < 0)
		injector_end(&in, WORKER_FAILED, strerror(-r));
	else
		injector_work(&in, outside);
	reader_close(&in.reader);
	closep(&in.mem_fd);
	closep(&in.groups);
	subject_close(&in.subject);
}
