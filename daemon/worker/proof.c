// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/proof.h"

#include <errno.h>

#include "base/clock.h"
#include "base/text.h"

#define PROVE_NS (50 * 1000000ull) /* the target is stopped meanwhile: far more than a proof ever takes */

bool proof_is_owned(struct proof *p)
{
	p->disowned |= !subject_is_owned(p->subject, p->owner);
	return !p->disowned;
}

/* -ETIME when the reader is too slow, -EPIPE when it failed: -ETIMEDOUT would mean the target. */
static int proof_judge(struct proof *p, enum reader_prove how, const struct cpu_regs *regs, uint64_t deadline_ns,
		       struct safepoint_verdict *ret)
{
	struct reader_request req = { .magic = READER_MAGIC, .op = READER_PROVE, .arg = how, .regs = *regs };
	struct reader_reply reply;
	int r = reader_ask(p->reader, &req, deadline_ns, &reply);

	if (r < 0 || reply.error)
		return r == -ETIMEDOUT ? -ETIME : -EPIPE;
	if (!reply.verdict.safe)
		text_format(p->why, sizeof(p->why), "%s", reply.verdict.why);
	*ret = reply.verdict;
	return 0;
}

/* A look at a sleeping thread from outside: spares it the stop when it is surely unsafe, and warms the reader up. */
static int proof_prepare(void *ctx, const struct cpu_regs *regs)
{
	struct proof *p = ctx;
	struct safepoint_verdict v;
	int r = proof_judge(p, READER_PROVE_CALL, regs, p->deadline_ns, &v);

	/* The search is over with this look, and what the one before has found is why. */
	if (r == -ETIME && *p->why)
		return -EAGAIN;
	if (r < 0)
		return r;
	return v.safe || v.unknown ? 0 : -EAGAIN;
}

static int proof_how(struct proof *p, enum reader_prove how, const struct cpu_regs *regs, struct inject_stack *ret)
{
	struct safepoint_verdict v;
	int r;

	/* The thread stands still: nobody executes anything else in it now. */
	if (!proof_is_owned(p))
		return -EPERM;
	r = proof_judge(p, how, regs, clock_ns() + PROVE_NS, &v);
	if (r < 0)
		return r;
	if (!v.safe)
		return -EAGAIN;
	*ret = (struct inject_stack){ .lo = v.stack_lo, .hi = v.stack_hi };
	return 0;
}

static int proof_call(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	return proof_how(ctx, READER_PROVE_CALL, regs, ret);
}

static int proof_python(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	return proof_how(ctx, READER_PROVE_PYTHON, regs, ret);
}

/* The thread stands still: if it is the only one, nobody can make another. */
static int proof_queue(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	struct proof *p = ctx;
	const bool alone = inject_threads(p->target) == 1;

	return proof_how(p, alone ? READER_PROVE_QUEUE_ALONE : READER_PROVE_QUEUE, regs, ret);
}

void proof_init(struct proof *p)
{
	p->call = (struct inject_prover){ .prepare = proof_prepare, .prove = proof_call, .ctx = p };
	p->python = (struct inject_prover){ .prepare = proof_prepare, .prove = proof_python, .ctx = p };
	p->queue = (struct inject_prover){ .prepare = proof_prepare, .prove = proof_queue, .ctx = p };
}
