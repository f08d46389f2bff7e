/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A chain of forged signal frames on the target thread's own stack. Each
 * frame is consumed by rt_sigreturn, runs one function of the target, and
 * that function returns into the next frame through libc's own __restore_rt.
 * The last frame restores everything. No code is written anywhere, and once
 * the thread has been sent into frame 0 nobody outside is needed any more.
 *
 *	low addresses                                          high addresses
 *	... room ... | frame 0 | frame 1 | ... | restore | xstate | red zone | rsp
 *
 * Every function frame blocks all signals but the synchronous faults; the
 * last one puts the saved mask back. So the mask is part of the same single
 * commit as the registers, and death of the tracer can't leave it behind.
 */
#ifndef RECLAIM_INJECT_CHAIN_H
#define RECLAIM_INJECT_CHAIN_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/arch.h"

#define CHAIN_CALLS_MAX 16
#define CHAIN_ARGS_MAX 6
#define CHAIN_IMAGE_MAX (ARCH_XSTATE_MAX + (CHAIN_CALLS_MAX + 1) * ARCH_FRAME_STRIDE + 128)

/* Stack that a chain of one call takes, alignment included. */
#define CHAIN_STACK_MIN(xstate_size) (ARCH_RED_ZONE + 2 * ARCH_FRAME_STRIDE + (xstate_size) + 256)

struct chain_call {
	uint64_t fn;
	uint64_t args[CHAIN_ARGS_MAX];
	unsigned int nargs;
};

struct chain_state {
	struct user_regs_struct regs; /* what the thread continues with: already fixed up for restart */
	uint64_t sigmask;
	const void *xstate; /* in the form of arch_xstate_frame() */
	size_t xstate_len;
};

struct chain {
	uint64_t base; /* address of the image in the target; frame 0 is there */
	size_t len;
	struct user_regs_struct entry; /* registers that start it: the single commit */
	unsigned char image[CHAIN_IMAGE_MAX];
};

/* All signals but SEGV, BUS, FPE, ILL, SYS and TRAP: a fault in a call must stay visible to the tracer. */
#define CHAIN_SIGMASK                                                                                           \
	(~((1ull << (SIGSEGV - 1)) | (1ull << (SIGBUS - 1)) | (1ull << (SIGFPE - 1)) | (1ull << (SIGILL - 1)) | \
	   (1ull << (SIGSYS - 1)) | (1ull << (SIGTRAP - 1))))

/*
 * Builds the image for @ncalls calls below @stack (the thread's rsp; the red
 * zone is left alone). -EINVAL, -ENOBUFS. The image isn't written anywhere.
 */
int chain_build(struct chain *c, uint64_t stack, uint64_t restorer, const struct chain_state *state,
		const struct chain_call *calls, size_t ncalls) __must_check;

#endif
