// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/arch.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#define USER_CS 0x33
#define USER_DS 0x2b
#define TASK_SIZE_MAX 0x7ffffffff000ull
#define EFLAGS_CLEAN 0x202 /* IF and the bit that is always one: DF, TF, AC clear */
#define EFLAGS_DF (1u << 10)
#define EFLAGS_TF (1u << 8)

/* uc_flags of include/uapi/asm/ucontext.h: the frame has xstate, and ss is to be restored as it says. */
#define UC_FLAGS 7 /* UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS */
/*
 * Neither SS_ONSTACK, SS_DISABLE nor 0: the kernel's restore_altstack() gets
 * -EINVAL, ignores all but -EFAULT, and leaves the alternate stack alone.
 */
#define SS_FLAGS_INVALID 0x7777

#define FX_SW_OFFSET 464 /* sw_reserved in struct fxregs_state */
#define XSTATE_BV_OFFSET 512 /* first word of the xsave header */
#define XFEATURE_AMX ((1ull << 17) | (1ull << 18)) /* XTILECFG, XTILEDATA */

const uint8_t arch_restorer[ARCH_RESTORER_LEN] = { 0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05 };
const uint8_t arch_syscall[ARCH_SYSCALL_LEN] = { 0x0f, 0x05, 0xc3 };

/* struct rt_sigframe of arch/x86/include/asm/sigframe.h, without the siginfo, which rt_sigreturn never reads. */
struct kernel_frame {
	uint64_t pretcode;
	uint64_t uc_flags, uc_link;
	uint64_t ss_sp;
	uint32_t ss_flags, ss_pad;
	uint64_t ss_size;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate;
	uint64_t reserved[8];
	uint64_t sigmask;
};
_Static_assert(sizeof(struct kernel_frame) == 312, "rt_sigframe without siginfo");
_Static_assert(sizeof(struct kernel_frame) <= ARCH_FRAME_STRIDE, "a frame fits its stride");

/*
 * struct _fpx_sw_bytes of include/uapi/asm/sigcontext.h: what the kernel
 * writes into, and reads from, the reserved part of the legacy area.
 */
struct fx_sw {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, pad[7];
};
_Static_assert(sizeof(struct fx_sw) == 48, "sw_reserved is 48 bytes");

static volatile struct arch_xstate_info probe_info;

static void probe_handler(int sig, siginfo_t *info, void *uctx)
{
	const ucontext_t *uc = uctx;
	struct fx_sw sw;

	(void)sig;
	(void)info;
	if (!uc->uc_mcontext.fpregs)
		return;
	memcpy(&sw, (const char *)uc->uc_mcontext.fpregs + FX_SW_OFFSET, sizeof(sw));
	if (sw.magic1 != FP_XSTATE_MAGIC1)
		return;
	probe_info.xstate_size = sw.xstate_size;
	probe_info.xfeatures = sw.xfeatures;
}

int arch_xstate_probe(struct arch_xstate_info *ret)
{
	struct sigaction sa = { .sa_sigaction = probe_handler, .sa_flags = SA_SIGINFO }, old;
	sigset_t set, oldset;

	probe_info.xstate_size = 0;
	sigemptyset(&sa.sa_mask);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (sigaction(SIGUSR1, &sa, &old) < 0)
		return -errno;
	if (sigprocmask(SIG_UNBLOCK, &set, &oldset) < 0 || raise(SIGUSR1) != 0)
		return -errno;
	(void)sigprocmask(SIG_SETMASK, &oldset, NULL);
	(void)sigaction(SIGUSR1, &old, NULL);

	if (probe_info.xstate_size < XSTATE_BV_OFFSET + 64 || probe_info.xstate_size > ARCH_XSTATE_MAX - 64)
		return -EOPNOTSUPP;
	ret->xstate_size = probe_info.xstate_size;
	ret->xfeatures = probe_info.xfeatures;
	return 0;
}

ssize_t arch_xstate_frame(const struct arch_xstate_info *info, void *buf, size_t len, size_t size)
{
	const uint32_t magic2 = FP_XSTATE_MAGIC2;
	struct fx_sw sw = { .magic1 = FP_XSTATE_MAGIC1 };
	size_t total = MAX(len, (size_t)info->xstate_size);
	uint64_t bv;

	if (len < XSTATE_BV_OFFSET + 64 || len < info->xstate_size)
		return -EBADMSG;
	if (total + sizeof(magic2) > size)
		return -ENOBUFS;
	memcpy(&bv, (char *)buf + XSTATE_BV_OFFSET, sizeof(bv));
	if (bv & XFEATURE_AMX)
		return -EBUSY;

	sw.xstate_size = info->xstate_size;
	sw.extended_size = info->xstate_size + sizeof(magic2);
	sw.xfeatures = info->xfeatures;
	memcpy((char *)buf + FX_SW_OFFSET, &sw, sizeof(sw));
	/*
	 * Kernels look for the second magic word at xstate_size (before 6.9) or
	 * at the task's own user_size (after it). With AMX in the machine the
	 * latter may be the whole regset, so the word stands at both places; no
	 * live state is there since the AMX tiles are in their initial state.
	 */
	memcpy((char *)buf + info->xstate_size, &magic2, sizeof(magic2));
	memcpy((char *)buf + total, &magic2, sizeof(magic2));
	return (ssize_t)(total + sizeof(magic2));
}

void arch_frame(void *frame, uint64_t restorer, const struct user_regs_struct *regs, uint64_t sigmask, uint64_t fpstate)
{
	struct kernel_frame f = {
		.pretcode = restorer,
		.uc_flags = UC_FLAGS,
		.ss_flags = SS_FLAGS_INVALID,
		.r8 = regs->r8,
		.r9 = regs->r9,
		.r10 = regs->r10,
		.r11 = regs->r11,
		.r12 = regs->r12,
		.r13 = regs->r13,
		.r14 = regs->r14,
		.r15 = regs->r15,
		.rdi = regs->rdi,
		.rsi = regs->rsi,
		.rbp = regs->rbp,
		.rbx = regs->rbx,
		.rdx = regs->rdx,
		.rax = regs->rax,
		.rcx = regs->rcx,
		.rsp = regs->rsp,
		.rip = regs->rip,
		.eflags = regs->eflags,
		.cs = (uint16_t)regs->cs,
		.ss = (uint16_t)regs->ss,
		.fpstate = fpstate,
		.sigmask = sigmask,
	};

	memcpy(frame, &f, sizeof(f));
}

void arch_call_regs(struct user_regs_struct *regs, uint64_t fn, const uint64_t *args, unsigned int nargs,
		    uint64_t frame)
{
	unsigned long long *const slot[] = { &regs->rdi, &regs->rsi, &regs->rdx, &regs->rcx, &regs->r8, &regs->r9 };

	for (unsigned int i = 0; i < nargs && i < ARRAY_SIZE(slot); i++)
		*slot[i] = args[i];
	regs->rax = 0; /* no vector arguments */
	regs->rip = fn;
	regs->rsp = frame;
	regs->eflags = EFLAGS_CLEAN;
	regs->cs = USER_CS;
	regs->ss = USER_DS;
}

void arch_syscall_regs(struct user_regs_struct *regs, uint64_t insn, long nr, const uint64_t *args, unsigned int nargs,
		       uint64_t frame)
{
	arch_call_regs(regs, insn, args, nargs, frame);
	regs->r10 = regs->rcx; /* psABI A.2.1: the kernel takes the fourth argument from r10 */
	regs->rax = (unsigned long long)nr;
}

bool arch_is_frame(const void *frame, uint64_t restorer)
{
	struct kernel_frame f;

	memcpy(&f, frame, sizeof(f));
	return f.pretcode == restorer && f.uc_flags == UC_FLAGS && !f.uc_link && f.ss_flags == SS_FLAGS_INVALID;
}

uint64_t arch_frame_sigmask(const void *frame)
{
	struct kernel_frame f;

	memcpy(&f, frame, sizeof(f));
	return f.sigmask;
}

uint64_t arch_frame_sp_at(uint64_t frame)
{
	return frame + offsetof(struct kernel_frame, rsp);
}

void arch_enter_regs(struct user_regs_struct *regs, uint64_t restorer, uint64_t frame)
{
	regs->rip = restorer;
	regs->rsp = frame + sizeof(uint64_t); /* as if the restorer word had just been popped by ret */
	regs->orig_rax = (unsigned long long)-1; /* no syscall restart may move our rip */
	regs->eflags &= ~(unsigned long long)(EFLAGS_DF | EFLAGS_TF);
}

bool arch_regs_sane(const struct user_regs_struct *regs)
{
	return regs->cs == USER_CS && regs->rip < TASK_SIZE_MAX && regs->rsp < TASK_SIZE_MAX && regs->rip > 4096 &&
	       regs->rsp > 65536;
}

bool arch_in_syscall(const struct user_regs_struct *regs)
{
	return (long long)regs->orig_rax >= 0;
}

void arch_rewind_syscall(struct user_regs_struct *regs)
{
	regs->rax = regs->orig_rax;
	regs->rip -= 2; /* 0f 05 */
	regs->orig_rax = (unsigned long long)-1;
}

long arch_syscall_loaded(const uint8_t code[ARCH_SYSCALL_CODE])
{
	uint32_t nr;

	/* mov $nr,%eax; syscall */
	if (code[0] != 0xb8 || code[5] != 0x0f || code[6] != 0x05)
		return -ENOENT;
	memcpy(&nr, code + 1, sizeof(nr));
	return nr;
}

void arch_undecide_syscall(struct user_regs_struct *regs)
{
	regs->rax = (unsigned long long)-514; /* ERESTARTNOHAND, include/linux/errno.h */
}

void arch_cpu_regs(const struct user_regs_struct *regs, struct cpu_regs *ret)
{
	*ret = (struct cpu_regs){
		.r = { regs->rax, regs->rdx, regs->rcx, regs->rbx, regs->rsi, regs->rdi, regs->rbp, regs->rsp, regs->r8,
		       regs->r9, regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15, regs->rip },
		.tp = regs->fs_base,
		.valid = CPU_REGS_ALL,
	};
}
