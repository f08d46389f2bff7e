/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that holds known values in everything the processor has (all
 * general registers, flags, x87, SSE, AVX, AVX-512 as far as there, MXCSR, the
 * sixteen red-zone slots), stays so for a while in user code or in a raw system
 * call, and compares. --mode=spin|read|epoll|nanosleep|futex|poll.
 */
#include <cpuid.h>
#include <linux/futex.h>
#include <sys/epoll.h>

#include "victim.h"

#define XSIZE 8192
#define HIDDEN __attribute__((visibility("hidden"), used))
#define FLAG_CF 0x1ull
#define FLAG_DF 0x400ull
#define FLAG_ID 0x200000ull
#define FLAGS_STATUS 0x8d5ull

enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8, R9, R10, R11, R12, R13, R14, R15, NGPR };

HIDDEN uint64_t regs_gin[NGPR], regs_gout[NGPR], regs_red[16], regs_red_out[16];
HIDDEN uint64_t regs_flags, regs_flags_out, regs_rsp, regs_rsp_out, regs_spin, regs_tmp;
HIDDEN uint32_t regs_xmask;
static uint32_t in_use; /* of regs_xmask, in this round */
HIDDEN unsigned char regs_xin[XSIZE] __attribute__((aligned(64))), regs_xout[XSIZE] __attribute__((aligned(64)));
HIDDEN unsigned char regs_xkeep[XSIZE] __attribute__((aligned(64)));

void regs_round_spin(void);
void regs_round_syscall(void);
extern const char regs_after_syscall[] __attribute__((visibility("hidden")));

/* clang-format off */
__asm__(
	".macro regs_each op_load, op_store\n"
	".if \\op_load\n"
	"mov regs_gin+0(%rip), %rax; mov regs_gin+8(%rip), %rbx; mov regs_gin+16(%rip), %rcx\n"
	"mov regs_gin+24(%rip), %rdx; mov regs_gin+32(%rip), %rsi; mov regs_gin+40(%rip), %rdi\n"
	"mov regs_gin+48(%rip), %rbp; mov regs_gin+56(%rip), %r8; mov regs_gin+64(%rip), %r9\n"
	"mov regs_gin+72(%rip), %r10; mov regs_gin+80(%rip), %r11; mov regs_gin+88(%rip), %r12\n"
	"mov regs_gin+96(%rip), %r13; mov regs_gin+104(%rip), %r14; mov regs_gin+112(%rip), %r15\n"
	".endif\n"
	".if \\op_store\n"
	"mov %rax, regs_gout+0(%rip); mov %rbx, regs_gout+8(%rip); mov %rcx, regs_gout+16(%rip)\n"
	"mov %rdx, regs_gout+24(%rip); mov %rsi, regs_gout+32(%rip); mov %rdi, regs_gout+40(%rip)\n"
	"mov %rbp, regs_gout+48(%rip); mov %r8, regs_gout+56(%rip); mov %r9, regs_gout+64(%rip)\n"
	"mov %r10, regs_gout+72(%rip); mov %r11, regs_gout+80(%rip); mov %r12, regs_gout+88(%rip)\n"
	"mov %r13, regs_gout+96(%rip); mov %r14, regs_gout+104(%rip); mov %r15, regs_gout+112(%rip)\n"
	".endif\n"
	".endm\n"
	".macro regs_enter\n"
	".cfi_startproc\n"
	"push %rbx; .cfi_adjust_cfa_offset 8; push %rbp; .cfi_adjust_cfa_offset 8\n"
	"push %r12; .cfi_adjust_cfa_offset 8; push %r13; .cfi_adjust_cfa_offset 8\n"
	"push %r14; .cfi_adjust_cfa_offset 8; push %r15; .cfi_adjust_cfa_offset 8\n"
	"mov %rsp, regs_rsp(%rip)\n"
	"mov regs_xmask(%rip), %eax; xor %edx, %edx; xsave64 regs_xkeep(%rip); xrstor64 regs_xin(%rip)\n"
	"push regs_flags(%rip); popfq\n"
	".set i, 0\n"
	".rept 16\n"
	"mov regs_red+8*i(%rip), %rax; mov %rax, -8*(i+1)(%rsp)\n"
	".set i, i+1\n"
	".endr\n"
	"regs_each 1, 0\n"
	".endm\n"
	".macro regs_leave\n"
	"regs_each 0, 1\n"
	"mov %rsp, regs_rsp_out(%rip)\n"
	".set i, 0\n"
	".rept 16\n"
	"mov -8*(i+1)(%rsp), %rax; mov %rax, regs_red_out+8*i(%rip)\n"
	".set i, i+1\n"
	".endr\n"
	"pushfq; pop regs_flags_out(%rip)\n"
	"mov regs_xmask(%rip), %eax; xor %edx, %edx; xsave64 regs_xout(%rip); xrstor64 regs_xkeep(%rip)\n"
	"pushq $0x202; popfq\n"
	"pop %r15; .cfi_adjust_cfa_offset -8; pop %r14; .cfi_adjust_cfa_offset -8\n"
	"pop %r13; .cfi_adjust_cfa_offset -8; pop %r12; .cfi_adjust_cfa_offset -8\n"
	"pop %rbp; .cfi_adjust_cfa_offset -8; pop %rbx; .cfi_adjust_cfa_offset -8\n"
	"ret\n"
	".cfi_endproc\n"
	".endm\n"
	".text\n"
	".globl regs_round_spin\n.hidden regs_round_spin\n.type regs_round_spin, @function\n"
	"regs_round_spin:\n"
	"regs_enter\n"
	"1: pause; decq regs_spin(%rip); jnz 1b\n"
	"regs_leave\n"
	".size regs_round_spin, .-regs_round_spin\n"
	".globl regs_round_syscall\n.hidden regs_round_syscall\n.type regs_round_syscall, @function\n"
	"regs_round_syscall:\n"
	"regs_enter\n"
	"syscall\n"
	".globl regs_after_syscall\n.hidden regs_after_syscall\n"
	"regs_after_syscall:\n"
	"regs_leave\n"
	".size regs_round_syscall, .-regs_round_syscall\n");
/* clang-format on */

static const char *const gpr_name[NGPR] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8",
					    "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
static uint64_t seed = 0x9e3779b97f4a7c15ull;

/* Where the last of the components that we use ends: AMX's tiles, 8 KiB more, are not among them. */
static size_t xstate_size(void)
{
	size_t end = 512 + 64;

	for (unsigned int i = 2; i < 8; i++) {
		unsigned int size, off, c, d;

		__cpuid_count(0xd, i, size, off, c, d);
		if ((regs_xmask & (1u << i)) && off + size > end)
			end = off + size;
	}
	return end;
}

/* A standard-format XSAVE area with content for every component that we know. */
static void xstate_prepare(void)
{
	unsigned int a, b, c, d, lo, hi;
	uint32_t mxcsr = 0x1f80 | 0x6000; /* round to zero */
	uint16_t fcw = 0x027f | 0x0c00; /* double precision, round to zero */

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		die("no XSAVE");
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	regs_xmask = lo & 0xe7;
	if (xstate_size() > XSIZE)
		die("XSAVE area too large");
	for (size_t i = 0; i < XSIZE; i++)
		regs_xin[i] = (unsigned char)(rnd(&seed) >> 11);
	memset(regs_xin, 0, 32); /* x87 and MXCSR header */
	memcpy(regs_xin, &fcw, 2);
	regs_xin[4] = 0xff; /* all eight x87 registers valid */
	memcpy(regs_xin + 24, &mxcsr, 4);
	for (int i = 0; i < 8; i++)
		memset(regs_xin + 32 + 16 * i + 10, 0, 6);
	memset(regs_xin + 416, 0, 512 - 416 + 64);
}

static int xstate_differs(unsigned int *ret_component)
{
	static const unsigned char unused[XSIZE];
	uint64_t bv;

	memcpy(&bv, regs_xout + 512, 8);
	if ((bv & in_use) != in_use) {
		*ret_component = 100;
		return 1;
	}
	/* bytes 28..31 are MXCSR_MASK, not state */
	if (memcmp(regs_xin, regs_xout, 28) || memcmp(regs_xin + 32, regs_xout + 32, 128)) {
		*ret_component = 0;
		return 1;
	}
	if (memcmp(regs_xin + 160, regs_xout + 160, 256)) {
		*ret_component = 1;
		return 1;
	}
	for (unsigned int i = 2; i < 8; i++) {
		unsigned int size, off, c, d;

		if (!(regs_xmask & (1u << i)))
			continue;
		__cpuid_count(0xd, i, size, off, c, d);
		if (memcmp(in_use & (1u << i) ? regs_xin + off : unused, regs_xout + off, size)) {
			*ret_component = i;
			return 1;
		}
	}
	return 0;
}

static void prepare(uint64_t round)
{
	uint64_t bv;

	/* What is in its initial state has no content in a frame, only a bit that says so. */
	bv = in_use = round & 16 ? regs_xmask & 3 : regs_xmask;
	memcpy(regs_xin + 512, &bv, 8);
	for (int i = 0; i < NGPR; i++)
		regs_gin[i] = rnd(&seed);
	for (int i = 0; i < 16; i++)
		regs_red[i] = rnd(&seed);
	regs_flags = 0x202 | (round & 1 ? FLAG_DF : 0) | (round & 2 ? FLAG_CF : 0) | (round & 4 ? FLAG_ID : 0) |
		     (round & 8 ? FLAGS_STATUS : 0);
	memset(regs_xout, 0, XSIZE);
	memset(regs_xkeep, 0, XSIZE);
	regs_rsp_out = 0;
}

static void compare(uint64_t flags_mask, uint32_t skip)
{
	unsigned int component;

	for (int i = 0; i < NGPR; i++)
		if (!(skip & (1u << i)) && regs_gin[i] != regs_gout[i])
			complain("%s is %llx, was %llx", gpr_name[i], (unsigned long long)regs_gout[i],
				 (unsigned long long)regs_gin[i]);
	for (int i = 0; i < 16; i++)
		if (regs_red[i] != regs_red_out[i])
			complain("red zone slot %d is %llx", i, (unsigned long long)regs_red_out[i]);
	if (regs_rsp != regs_rsp_out)
		complain("rsp moved by %lld", (long long)(regs_rsp_out - regs_rsp));
	if ((regs_flags ^ regs_flags_out) & flags_mask)
		complain("flags are %llx, were %llx", (unsigned long long)regs_flags_out,
			 (unsigned long long)regs_flags);
	if (xstate_differs(&component))
		complain("extended state component %u changed", component);
}

/* --- system calls that the thread can be in --------------------------------------------------- */

static struct timespec ts;
static struct epoll_event ev;
static unsigned long ms;
static int pipefd[2], ep;
static uint32_t futex_word;
static char byte;

struct mode {
	const char *name;
	long nr, want;
	uint64_t arg[4];
	int timed; /* must last at least ms */
	int may_eintr; /* the kernel never restarts it: seen when a tracer dies at the wrong moment */
};

static const struct mode *mode_find(const char *name)
{
	static struct mode m[6];
	const struct mode list[] = {
		{ "read", SYS_read, 1, { pipefd[0], (uintptr_t)&byte, 1 }, 0, 0 },
		{ "epoll", SYS_epoll_wait, 0, { ep, (uintptr_t)&ev, 1, ms }, 1, 1 },
		{ "nanosleep", SYS_nanosleep, 0, { (uintptr_t)&ts }, 1, 0 },
		{ "futex", SYS_futex, -ETIMEDOUT,
		  { (uintptr_t)&futex_word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, (uintptr_t)&ts }, 1, 0 },
		{ "poll", SYS_poll, 0, { 0, 0, ms }, 1, 0 },
		{ NULL, 0, 0, { 0 }, 0, 0 },
	};

	memcpy(m, list, sizeof(list));
	for (int i = 0; m[i].name; i++)
		if (!strcmp(m[i].name, name))
			return &m[i];
	return NULL;
}

static void round_syscall(const struct mode *m)
{
	uint64_t t = now_us(), us;
	int64_t r;

	regs_gin[RAX] = m->nr;
	regs_gin[RDI] = m->arg[0];
	regs_gin[RSI] = m->arg[1];
	regs_gin[RDX] = m->arg[2];
	regs_gin[R10] = m->arg[3];
	regs_round_syscall();
	us = now_us() - t;
	/* the processor puts the return address and the flags into these two */
	regs_gin[RCX] = (uintptr_t)regs_after_syscall;
	regs_gin[R11] = regs_flags;
	r = (int64_t)regs_gout[RAX];
	compare(FLAGS_STATUS | FLAG_DF | FLAG_ID, 1u << RAX);
	if (r == -EINTR && m->may_eintr)
		count_eintr(m->name);
	else if (r != m->want)
		complain("%s returned %lld", m->name, (long long)r);
	else if (m->timed && us < ms * 1000)
		complain("%s came back after %llu us", m->name, (unsigned long long)us);
}

static void feed_pipe(void)
{
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC) || (ep = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid)
		return;
	die_with_parent();
	for (;;) {
		usleep(ms * 1000);
		if (write(pipefd[1], "x", 1) != 1)
			_exit(0);
	}
}

int main(int argc, char **argv)
{
	static char alt[65536];
	const char *name = opt(argc, argv, "mode", "spin");
	unsigned long spin = opt_num(argc, argv, "spin", 20000);
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) };
	uint64_t mask = 1ull << (SIGUSR2 - 1) | 1ull << 36;
	const struct mode *m = NULL;
	struct block *keep[8];
	struct self self;

	vstat_open(argc, argv);
	ms = opt_num(argc, argv, "ms", 15);
	ts.tv_nsec = (long)ms * 1000000;
	if (sigaltstack(&ss, NULL) || syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, 8))
		die("sigaltstack");
	if (strcmp(name, "spin")) {
		if (!strcmp(name, "read"))
			feed_pipe();
		else
			ep = epoll_create1(EPOLL_CLOEXEC);
		m = mode_find(name);
		if (!m)
			die("unknown mode");
	}
	xstate_prepare();
	bloat_make(2048, keep, 8);
	self_save(&self);
	vs->elapsed_us = regs_xmask; /* which components are checked: for the report */
	vs->ready = 1;
	for (uint64_t round = 0; !vs->stop; round++) {
		prepare(round);
		if (m) {
			round_syscall(m);
		} else {
			regs_spin = spin;
			regs_round_spin();
			compare(FLAG_CF | FLAG_DF | FLAG_ID, 0);
		}
		self_check(&self, name);
		if (round % 64 == 63) {
			bloat_check(keep, 8);
			for (int i = 0; i < 8; i++)
				free(keep[i]);
			bloat_make(2048, keep, 8);
			errno = ERRNO_CANARY;
		}
		vs->rounds++;
		vs->progress[0]++;
	}
	bloat_check(keep, 8);
	return vstat_finish();
}
