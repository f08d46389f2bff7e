// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/chain.h"

#include <errno.h>
#include <string.h>

#define DATA_ALIGN 16
#define DATA_ROUND(len) (((len) + DATA_ALIGN - 1) & ~(size_t)(DATA_ALIGN - 1))

int chain_lay(struct chain *c, const struct chain_shape *shape, const struct chain_state *state)
{
	uint64_t xstate, data, base;

	if (shape->nframes < 2 || shape->nframes > CHAIN_FRAMES_MAX || shape->data_len > CHAIN_DATA_MAX ||
	    state->xstate_len > CHAIN_IMAGE_MAX || shape->stack < CHAIN_IMAGE_MAX + ARCH_RED_ZONE)
		return state->xstate_len > CHAIN_IMAGE_MAX ? -ENOBUFS : -EINVAL;

	xstate = (shape->stack - ARCH_RED_ZONE - state->xstate_len) & ~63ull; /* xrstor wants 64 */
	data = (xstate - shape->data_len) & ~(uint64_t)(DATA_ALIGN - 1);
	/* psABI: at a function's entry rsp is 16n+8; that is where each frame's restorer word lies. */
	base = data - shape->nframes * ARCH_FRAME_STRIDE - 8;
	if (xstate + state->xstate_len - base > sizeof(c->image))
		return -ENOBUFS;

	c->base = base;
	c->data = data;
	c->xstate = xstate;
	c->restorer = shape->restorer;
	c->syscall_insn = shape->syscall_insn;
	c->nframes = shape->nframes;
	c->data_len = shape->data_len;
	c->len = (size_t)(xstate + state->xstate_len - base);
	c->state = state;
	memset(c->image, 0, c->len);
	memcpy(c->image + (xstate - base), state->xstate, state->xstate_len);
	arch_frame(c->image + (c->nframes - 1) * ARCH_FRAME_STRIDE, c->restorer, &state->regs, state->sigmask, xstate);

	c->entry = state->regs;
	arch_enter_regs(&c->entry, c->restorer, base);
	return 0;
}

int chain_put(struct chain *c, size_t i, const struct chain_frame *frame)
{
	struct user_regs_struct regs = c->state->regs;

	if (i + 1 >= c->nframes || frame->nargs > CHAIN_ARGS_MAX)
		return -EINVAL;
	switch (frame->kind) {
	case CHAIN_CALL:
		arch_call_regs(&regs, frame->target, frame->args, frame->nargs, chain_frame_at(c, i + 1));
		break;
	case CHAIN_SYSCALL:
		arch_syscall_regs(&regs, c->syscall_insn, (long)frame->target, frame->args, frame->nargs,
				  chain_frame_at(c, i + 1));
		break;
	case CHAIN_JUMP:
		if (frame->target >= c->nframes)
			return -EINVAL;
		arch_enter_regs(&regs, c->restorer, chain_frame_at(c, frame->target));
		break;
	}
	/*
	 * The thread's own extended state rather than the initial one:
	 * protection keys (PKRU) stay as the program set them, so that the
	 * call can reach what the program itself could reach.
	 */
	arch_frame(c->image + i * ARCH_FRAME_STRIDE, c->restorer, &regs, CHAIN_SIGMASK, c->xstate);
	return 0;
}

int chain_put_data(struct chain *c, size_t offset, const void *data, size_t len)
{
	if (offset > c->data_len || len > c->data_len - offset)
		return -EINVAL;
	memcpy(c->image + (c->data - c->base) + offset, data, len);
	return 0;
}

/* Bytes of data area for all calls. -EINVAL. */
static ssize_t chain_data_of(const struct chain_call *calls, size_t ncalls)
{
	size_t len = 0;

	for (size_t i = 0; i < ncalls; i++) {
		if (!calls[i].data)
			continue;
		if (calls[i].data_len > CHAIN_DATA_MAX || calls[i].data_arg >= calls[i].nargs)
			return -EINVAL;
		len += DATA_ROUND(calls[i].data_len);
	}
	return (ssize_t)len;
}

int chain_build(struct chain *c, uint64_t stack, uint64_t restorer, const struct chain_state *state,
		const struct chain_call *calls, size_t ncalls)
{
	struct chain_shape shape = { .stack = stack, .restorer = restorer, .nframes = ncalls + 1 };
	ssize_t data_len;
	size_t offset = 0;
	int r;

	if (ncalls == 0 || ncalls > CHAIN_CALLS_MAX)
		return -EINVAL;
	data_len = chain_data_of(calls, ncalls);
	if (data_len < 0)
		return (int)data_len;
	shape.data_len = (size_t)data_len;
	r = chain_lay(c, &shape, state);
	for (size_t i = 0; i < ncalls && r == 0; i++) {
		struct chain_frame frame = { .kind = CHAIN_CALL, .target = calls[i].fn, .nargs = calls[i].nargs };

		memcpy(frame.args, calls[i].args, sizeof(frame.args));
		if (calls[i].data) {
			frame.args[calls[i].data_arg] = c->data + offset;
			r = chain_put_data(c, offset, calls[i].data, calls[i].data_len);
			offset += DATA_ROUND(calls[i].data_len);
		}
		if (r == 0)
			r = chain_put(c, i, &frame);
	}
	return r;
}

bool chain_is_frame(const void *bytes, uint64_t restorer)
{
	return arch_is_frame(bytes, restorer) && arch_frame_sigmask(bytes) == CHAIN_SIGMASK;
}
