/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that is machine-specific about a signal-frame chain. One file below
 * arch/ per machine implements it.
 */
#ifndef RECLAIM_INJECT_ARCH_H
#define RECLAIM_INJECT_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "base/cleanup.h"
#include "base/regs.h"

#define ARCH_RED_ZONE 128 /* x86-64 psABI 3.2.2: leaf functions use it below rsp */
#define ARCH_FRAME_STRIDE 320 /* one frame of a chain; a multiple of 16 */
#define ARCH_XSTATE_MAX 16384 /* AVX-512 is 2.4 KiB, AMX 11 KiB */
#define ARCH_RESTORER_LEN 9 /* bytes of __restore_rt */
#define ARCH_SYSCALL_LEN 3 /* bytes of a system call that returns */

/* The code of glibc's and musl's __restore_rt: mov $__NR_rt_sigreturn,%rax; syscall. */
extern const uint8_t arch_restorer[ARCH_RESTORER_LEN];
/* syscall; ret */
extern const uint8_t arch_syscall[ARCH_SYSCALL_LEN];

/* What the kernel calls the extended state in a signal frame (struct _fpx_sw_bytes). */
struct arch_xstate_info {
	uint32_t xstate_size; /* bytes up to the second magic word */
	uint64_t xfeatures;
};

/*
 * Asks this kernel how it writes signal frames, by taking a signal ourselves.
 * The sizes hold for every task without AMX permission; arch_xstate_frame()
 * copes with the others. 0, -EOPNOTSUPP (no xsave), -errno.
 */
int arch_xstate_probe(struct arch_xstate_info *ret) __must_check;

/*
 * Turns an NT_X86_XSTATE image of @len bytes in @buf (room for @size) into
 * the form that rt_sigreturn reads. Returns the new length; -EBUSY when live
 * AMX tiles make that impossible; -EBADMSG; -ENOBUFS.
 */
ssize_t arch_xstate_frame(const struct arch_xstate_info *info, void *buf, size_t len, size_t size) __must_check;

/*
 * Writes one frame at @frame (ARCH_FRAME_STRIDE bytes, zeroed by the caller):
 * when the kernel returns from it, the thread has @regs and @sigmask, and the
 * extended state at address @fpstate. The alternate signal stack stays as it is.
 */
void arch_frame(void *frame, uint64_t restorer, const struct user_regs_struct *regs, uint64_t sigmask,
		uint64_t fpstate);

/* Registers that call @fn with @args: @frame is the address whose restorer word it returns to. */
void arch_call_regs(struct user_regs_struct *regs, uint64_t fn, const uint64_t *args, unsigned int nargs,
		    uint64_t frame);

/* The same for a bare system call: @insn is the address of arch_syscall's bytes. */
void arch_syscall_regs(struct user_regs_struct *regs, uint64_t insn, long nr, const uint64_t *args, unsigned int nargs,
		       uint64_t frame);

/* Do these ARCH_FRAME_STRIDE bytes look like one of arch_frame()'s? Its signal mask, if so. */
bool arch_is_frame(const void *frame, uint64_t restorer);
uint64_t arch_frame_sigmask(const void *frame);

/* Where the frame at address @frame keeps the stack pointer that it restores. */
uint64_t arch_frame_sp_at(uint64_t frame);

/* Registers that make the thread consume the frame at address @frame (the one commit point). */
void arch_enter_regs(struct user_regs_struct *regs, uint64_t restorer, uint64_t frame);

/* 64-bit user code segment, canonical user addresses: no 32-bit, x32, LDT or kernel-looking state. */
bool arch_regs_sane(const struct user_regs_struct *regs);

/* The thread stands behind a syscall instruction that the kernel has entered (orig_rax >= 0). */
bool arch_in_syscall(const struct user_regs_struct *regs);

/* Makes the thread run its interrupted system call again from the start. */
void arch_rewind_syscall(struct user_regs_struct *regs);

/*
 * The number of the system call whose instruction ends at @pc: from the code
 * that loads it right in front. -ENOENT when the code there looks otherwise.
 */
#define ARCH_SYSCALL_CODE 7 /* bytes before @pc that are looked at */
long arch_syscall_loaded(const uint8_t code[ARCH_SYSCALL_CODE]);

/*
 * Makes the interrupted system call one that the kernel itself decides about
 * when the thread goes on: run again, or EINTR when a handler runs. For calls
 * whose own state the kernel has forgotten or that it never runs again.
 */
void arch_undecide_syscall(struct user_regs_struct *regs);

void arch_cpu_regs(const struct user_regs_struct *regs, struct cpu_regs *ret);

#endif
