// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/chain.h"

#include <errno.h>
#include <string.h>

int chain_build(struct chain *c, uint64_t stack, uint64_t restorer, const struct chain_state *state,
		const struct chain_call *calls, size_t ncalls)
{
	size_t frames_len = (ncalls + 1) * ARCH_FRAME_STRIDE;
	uint64_t xstate, base;

	if (ncalls == 0 || ncalls > CHAIN_CALLS_MAX || stack < CHAIN_IMAGE_MAX + ARCH_RED_ZONE)
		return -EINVAL;

	xstate = (stack - ARCH_RED_ZONE - state->xstate_len) & ~63ull; /* xrstor wants 64 */
	/* psABI: at a function's entry rsp is 16n+8; that is where each frame's restorer word lies. */
	base = ((xstate - frames_len) & ~15ull) - 8;
	if (xstate + state->xstate_len - base > sizeof(c->image))
		return -ENOBUFS;

	c->base = base;
	c->len = (size_t)(xstate + state->xstate_len - base);
	memset(c->image, 0, c->len);
	memcpy(c->image + (xstate - base), state->xstate, state->xstate_len);

	for (size_t i = 0; i < ncalls; i++) {
		struct user_regs_struct regs = state->regs;

		arch_call_regs(&regs, calls[i].fn, calls[i].args, calls[i].nargs, base + (i + 1) * ARCH_FRAME_STRIDE);
		/*
		 * The thread's own extended state rather than the initial one:
		 * protection keys (PKRU) stay as the program set them, so that the
		 * call can reach what the program itself could reach.
		 */
		arch_frame(c->image + i * ARCH_FRAME_STRIDE, restorer, &regs, CHAIN_SIGMASK, xstate);
	}
	arch_frame(c->image + ncalls * ARCH_FRAME_STRIDE, restorer, &state->regs, state->sigmask, xstate);

	c->entry = state->regs;
	arch_enter_regs(&c->entry, restorer, base);
	return 0;
}
