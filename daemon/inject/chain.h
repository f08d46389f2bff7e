/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A chain of forged signal frames on the target thread's own stack. Each
 * frame is consumed by rt_sigreturn and runs one function of the target, or
 * one bare system call, which returns into the next frame through libc's own
 * __restore_rt; or it leads on to another frame. The last one restores
 * everything. No code is written anywhere, and once the thread has been sent
 * into frame 0 nobody outside is needed any more.
 *
 *	low addresses                                              high addresses
 *	... room ... | frame 0 | frame 1 | ... | restore | data | xstate | red zone | rsp
 *
 * Functions run on the room below and on frames that have been consumed, so
 * data that they use lies above all frames.
 *
 * Every frame but the last blocks all signals but the synchronous faults; the
 * last one puts the saved mask back. So the mask is part of the same single
 * commit as the registers, and death of the tracer can't leave it behind.
 */
#ifndef RECLAIM_INJECT_CHAIN_H
#define RECLAIM_INJECT_CHAIN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/arch.h"

#define CHAIN_CALLS_MAX 16
#define CHAIN_ARGS_MAX 6
#define CHAIN_FRAMES_MAX 160 /* the restoring one included */
#define CHAIN_DATA_MAX 8192
#define CHAIN_IMAGE_MAX (ARCH_XSTATE_MAX + CHAIN_FRAMES_MAX * ARCH_FRAME_STRIDE + CHAIN_DATA_MAX + 128)

/* Stack that a chain of one call without data takes, alignment included. */
#define CHAIN_STACK_MIN(xstate_size) (ARCH_RED_ZONE + 2 * ARCH_FRAME_STRIDE + (xstate_size) + 256)

struct chain_call {
	uint64_t fn;
	uint64_t args[CHAIN_ARGS_MAX];
	unsigned int nargs;
	/*
	 * Optional bytes for the function to read, or to write to: they are
	 * copied beside the frames, aligned to 16, and their address becomes
	 * argument number data_arg (< nargs).
	 */
	const void *data;
	size_t data_len;
	unsigned int data_arg;
	/* Optional: the INJECT_CODE_BYTES that must be at @fn, compared under the stop like inject_code.fn_bytes. */
	const uint8_t *fn_bytes;
};

struct chain_state {
	struct user_regs_struct regs; /* what the thread continues with: already fixed up for restart */
	uint64_t sigmask;
	const void *xstate; /* in the form of arch_xstate_frame() */
	size_t xstate_len;
};

struct chain {
	uint64_t base; /* address of the image in the target; frame 0 is there */
	uint64_t data; /* address of the data area */
	uint64_t xstate;
	uint64_t restorer, syscall_insn;
	size_t nframes, data_len, len;
	const struct chain_state *state;
	struct user_regs_struct entry; /* registers that start it: the single commit */
	unsigned char image[CHAIN_IMAGE_MAX];
};

enum chain_kind {
	CHAIN_CALL, /* function @target with @args */
	CHAIN_SYSCALL, /* system call number @target with @args */
	CHAIN_JUMP, /* go on with frame @target */
};

struct chain_frame {
	enum chain_kind kind;
	uint64_t target;
	uint64_t args[CHAIN_ARGS_MAX];
	unsigned int nargs;
};

/* glibc's: each thread must answer it before setuid() and its kin return in another one (nptl/nptl_setxid.c). */
#define CHAIN_SIGSETXID 33

/*
 * All signals but SEGV, BUS, FPE, ILL, SYS and TRAP: a fault in a call must
 * stay visible to the tracer. And but the one by which glibc changes user ids:
 * whoever waits for the answer may hold the very lock that the chain waits for.
 */
#define CHAIN_SIGMASK                                                                                           \
	(~((1ull << (SIGSEGV - 1)) | (1ull << (SIGBUS - 1)) | (1ull << (SIGFPE - 1)) | (1ull << (SIGILL - 1)) | \
	   (1ull << (SIGSYS - 1)) | (1ull << (SIGTRAP - 1)) | (1ull << (CHAIN_SIGSETXID - 1))))

/*
 * What says nothing: SIGKILL and SIGSTOP nobody can block; glibc's handler of CHAIN_SIGSETXID blocks that one while it
 * runs, and its functions take that and SIGCANCEL (32) out of each mask that they set.
 */
#define CHAIN_ANY (1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1) | 1ull << (CHAIN_SIGSETXID - 1) | 1ull << (32 - 1))

/* Is @mask, of a thread, that of a chain? */
static inline bool chain_blocks(uint64_t mask)
{
	return (mask | CHAIN_ANY) == (CHAIN_SIGMASK | CHAIN_ANY);
}

/* That, or more for a moment: what a chain has called (a destructor) starts a thread, and glibc blocks everything. */
static inline bool chain_may_block(uint64_t mask)
{
	return !(CHAIN_SIGMASK & ~CHAIN_ANY & ~mask);
}

/*
 * Builds the image for @ncalls calls below @stack (the thread's rsp; the red
 * zone is left alone). -EINVAL, -ENOBUFS. The image isn't written anywhere.
 */
int chain_build(struct chain *c, uint64_t stack, uint64_t restorer, const struct chain_state *state,
		const struct chain_call *calls, size_t ncalls) __must_check;

/*
 * The same step by step, for chains that do more than call. chain_lay() says
 * where everything will be, makes the restoring frame (number @nframes - 1)
 * and the entry; chain_put() makes one other frame; chain_put_data() fills a
 * part of the data area, which is zero otherwise. @state must stay valid.
 */
struct chain_shape {
	uint64_t stack; /* as above */
	uint64_t restorer;
	uint64_t syscall_insn; /* address of a syscall; ret, for CHAIN_SYSCALL */
	size_t nframes, data_len;
};

int chain_lay(struct chain *c, const struct chain_shape *shape, const struct chain_state *state) __must_check;
int chain_put(struct chain *c, size_t i, const struct chain_frame *frame) __must_check;
int chain_put_data(struct chain *c, size_t offset, const void *data, size_t len) __must_check;

/* Address of frame @i. */
static inline uint64_t chain_frame_at(const struct chain *c, size_t i)
{
	return c->base + i * ARCH_FRAME_STRIDE;
}

/* What rsp is when the thread is about to consume frame @i. */
static inline uint64_t chain_entry_sp(const struct chain *c, size_t i)
{
	return chain_frame_at(c, i) + sizeof(uint64_t);
}

/*
 * Frame-sized bytes of the thread's stack at @bytes: do they look like a frame
 * of such a chain? For recognising one that still runs.
 */
bool chain_is_frame(const void *bytes, uint64_t restorer);

#endif
