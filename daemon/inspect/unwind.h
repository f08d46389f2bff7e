/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks the stack of a stopped thread by its call frame information alone: no
 * frame-pointer guesses, no heuristics. Where the information ends, so does
 * the walk, with an error: a stack that can't be proven is not proven.
 */
#ifndef RECLAIM_INSPECT_UNWIND_H
#define RECLAIM_INSPECT_UNWIND_H

#include "base/regs.h"
#include "inspect/modules.h"

#define UNWIND_FRAMES_MAX 256

struct unwind_frame {
	const struct module *module;
	uint64_t pc; /* as it will be executed next */
	uint64_t lookup; /* pc, or pc - 1 behind a call: lies inside the calling instruction */
	uint64_t vaddr; /* lookup without the module's bias */
	uint64_t sp;
	bool signal; /* a signal trampoline: its caller was interrupted */
	bool root; /* the outermost frame: CFI says that there is no caller */
};

/*
 * Calls visit() for each frame, innermost first; 0 goes on, anything else
 * ends the walk and is returned. 0 after a visited root.
 * -ENODATA: a frame without usable information, or a register that the
 * (partial) @regs don't have · -ELOOP too deep or not getting outwards
 * -ESTALE a file is not what is mapped · -EFAULT unreadable stack
 */
int unwind(const struct modules *mods, struct remote *mem, const struct cpu_regs *regs,
	   int (*visit)(void *ctx, const struct unwind_frame *f), void *ctx) __must_check;

#endif
