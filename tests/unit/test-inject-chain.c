// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "inject/chain.h"
#include "inject/restart.h"

#define RESTORER 0x7f0000001000ull
#define FN 0x7f0000002000ull
#define STACK 0x7ffc00012345ull

/* Offsets in a frame: struct rt_sigframe of arch/x86/include/asm/sigframe.h */
#define OFF_FLAGS 8
#define OFF_SS_FLAGS 32
#define OFF_R8 (40 + 8)
#define OFF_R10 (OFF_R8 + 16)
#define OFF_RAX (OFF_RDI + 5 * 8)
#define OFF_RDI (48 + 64)
#define OFF_RSP (OFF_RDI + 7 * 8)
#define OFF_RIP (OFF_RDI + 8 * 8)
#define OFF_FPSTATE (48 + 184)
#define OFF_MASK (48 + 256)

static unsigned char xstate[2440];

static uint64_t word(const struct chain *c, uint64_t addr, size_t offset)
{
	uint64_t v;

	assert_true(addr >= c->base && addr + offset + 8 <= c->base + c->len);
	memcpy(&v, c->image + (addr - c->base) + offset, sizeof(v));
	return v;
}

static struct chain_state some_state(void)
{
	struct chain_state s = {
		.regs = { .rip = 0x401000,
			  .rsp = STACK,
			  .rdi = 0x1111,
			  .rbx = 0x2222,
			  .eflags = 0x246,
			  .cs = 0x33,
			  .ss = 0x2b },
		.sigmask = 0xabcd,
		.xstate = xstate,
		.xstate_len = sizeof(xstate),
	};

	memset(xstate, 0x5a, sizeof(xstate));
	return s;
}

static void test_layout(void **state)
{
	static struct chain c;
	const struct chain_state s = some_state();
	const struct chain_call call = { .fn = FN, .args = { 7 }, .nargs = 1 };
	uint64_t restore;

	(void)state;
	assert_int_equal(chain_build(&c, STACK, RESTORER, &s, &call, 1), 0);
	assert_int_equal(c.base % 16, 8); /* rsp at the entry of the called function */
	assert_true(c.base + c.len <= STACK - ARCH_RED_ZONE);
	assert_true(STACK - c.base < CHAIN_STACK_MIN(sizeof(xstate)));
	restore = c.base + ARCH_FRAME_STRIDE;

	assert_int_equal(c.entry.rip, RESTORER);
	assert_int_equal(c.entry.rsp, c.base + 8);
	assert_int_equal(c.entry.orig_rax, UINT64_MAX);

	assert_int_equal(word(&c, c.base, 0), RESTORER);
	assert_int_equal(word(&c, c.base, OFF_FLAGS), 7);
	assert_int_equal(word(&c, c.base, OFF_SS_FLAGS) & 0xffffffff, 0x7777);
	assert_int_equal(word(&c, c.base, OFF_RIP), FN);
	assert_int_equal(word(&c, c.base, OFF_RDI), 7);
	assert_int_equal(word(&c, c.base, OFF_RSP), restore); /* the function returns into the next frame */
	assert_int_equal(word(&c, c.base, OFF_MASK), CHAIN_SIGMASK);

	assert_int_equal(word(&c, restore, 0), RESTORER);
	assert_int_equal(word(&c, restore, OFF_RIP), 0x401000);
	assert_int_equal(word(&c, restore, OFF_RSP), STACK);
	assert_int_equal(word(&c, restore, OFF_RDI), 0x1111);
	assert_int_equal(word(&c, restore, OFF_MASK), 0xabcd);
	assert_int_equal(word(&c, restore, OFF_FPSTATE) % 64, 0);
	assert_memory_equal(c.image + (word(&c, restore, OFF_FPSTATE) - c.base), xstate, sizeof(xstate));
}

static void test_several_calls(void **state)
{
	static struct chain c;
	const struct chain_state s = some_state();
	struct chain_call calls[3] = { { .fn = FN }, { .fn = FN + 16 }, { .fn = FN + 32 } };

	(void)state;
	assert_int_equal(chain_build(&c, STACK, RESTORER, &s, calls, 3), 0);
	for (uint64_t i = 0; i < 3; i++) {
		uint64_t frame = c.base + i * ARCH_FRAME_STRIDE;

		assert_int_equal(word(&c, frame, OFF_RIP), calls[i].fn);
		assert_int_equal(word(&c, frame, OFF_RSP), frame + ARCH_FRAME_STRIDE);
		assert_int_equal(word(&c, frame, OFF_RSP) % 16, 8);
	}
	assert_int_equal(word(&c, c.base + 3ull * ARCH_FRAME_STRIDE, OFF_MASK), 0xabcd);
}

/* Bytes for a function lie above all frames, where no callee's stack comes, and the argument points there. */
static void test_data(void **state)
{
	static struct chain c;
	const struct chain_state s = some_state();
	const struct chain_call calls[3] = {
		{ .fn = FN },
		{ .fn = FN + 16, .args = { 5, 0, 6 }, .nargs = 3, .data = "hello", .data_len = 6, .data_arg = 1 },
		{ .fn = FN + 32, .args = { 0 }, .nargs = 1, .data = "world, and more", .data_len = 16 },
	};
	uint64_t at;

	(void)state;
	assert_int_equal(chain_build(&c, STACK, RESTORER, &s, calls, 3), 0);
	assert_int_equal(c.base % 16, 8);
	assert_int_equal(word(&c, c.base + ARCH_FRAME_STRIDE, OFF_RDI), 5);
	at = word(&c, c.base + ARCH_FRAME_STRIDE, OFF_RDI + 8); /* rsi */
	assert_true(at % 16 == 0 && at >= chain_frame_at(&c, 4) && at + 6 <= c.xstate);
	assert_string_equal((char *)c.image + (at - c.base), "hello");
	at = word(&c, c.base + 2ul * ARCH_FRAME_STRIDE, OFF_RDI);
	assert_true(at % 16 == 0 && at >= chain_frame_at(&c, 4) && at + 16 <= c.xstate);
	assert_string_equal((char *)c.image + (at - c.base), "world, and more");
	assert_int_equal(c.entry.rsp, c.base + 8);
}

static void test_data_refused(void **state)
{
	static struct chain c;
	const struct chain_state s = some_state();
	struct chain_call call = { .fn = FN, .nargs = 1, .data = "x", .data_len = 1, .data_arg = 1 };

	(void)state;
	assert_int_equal(chain_build(&c, STACK, RESTORER, &s, &call, 1), -EINVAL); /* no such argument */
	call.data_arg = 0;
	call.data_len = CHAIN_DATA_MAX + 1;
	assert_int_equal(chain_build(&c, STACK, RESTORER, &s, &call, 1), -EINVAL);
}

/* Bare system calls, and frames that lead elsewhere. */
static void test_kinds(void **state)
{
	static struct chain c;
	const struct chain_state s = some_state();
	const struct chain_shape shape = { STACK, RESTORER, FN + 64, 4, 24 };
	const struct chain_frame call = { CHAIN_SYSCALL, SYS_madvise, { 1, 2, 3, 4, 5, 6 }, 6 };
	const struct chain_frame jump = { CHAIN_JUMP, 3, { 0 }, 0 }, nowhere = { CHAIN_JUMP, 4, { 0 }, 0 };

	(void)state;
	assert_int_equal(chain_lay(&c, &shape, &s), 0);
	assert_int_equal(chain_put(&c, 0, &call), 0);
	assert_int_equal(chain_put(&c, 1, &jump), 0);
	assert_int_equal(chain_put(&c, 1, &nowhere), -EINVAL);
	assert_int_equal(chain_put(&c, 3, &call), -EINVAL); /* the restoring one */
	assert_int_equal(chain_put_data(&c, 20, "12345", 5), -EINVAL);
	assert_int_equal(chain_put_data(&c, 20, "1234", 4), 0);

	assert_int_equal(word(&c, c.base, OFF_RIP), FN + 64);
	assert_int_equal(word(&c, c.base, OFF_RSP), chain_frame_at(&c, 1));
	assert_int_equal(word(&c, c.base, OFF_RAX), SYS_madvise);
	assert_int_equal(word(&c, c.base, OFF_RDI), 1);
	assert_int_equal(word(&c, c.base, OFF_R10), 4); /* the fourth argument of a system call */
	assert_int_equal(word(&c, c.base, OFF_R8 + 8), 6);
	assert_int_equal(word(&c, c.base, OFF_MASK), CHAIN_SIGMASK);

	assert_int_equal(word(&c, chain_frame_at(&c, 1), OFF_RIP), RESTORER);
	assert_int_equal(word(&c, chain_frame_at(&c, 1), OFF_RSP), chain_entry_sp(&c, 3));
	assert_int_equal(arch_frame_sp_at(chain_frame_at(&c, 1)), chain_frame_at(&c, 1) + OFF_RSP);
	assert_int_equal(word(&c, chain_frame_at(&c, 3), OFF_MASK), 0xabcd);
	assert_true(c.data >= chain_frame_at(&c, 4) && c.data + 24 <= c.xstate);

	assert_true(chain_is_frame(c.image, RESTORER));
	assert_false(chain_is_frame(c.image, RESTORER + 1));
	assert_false(chain_is_frame(c.image + 3l * ARCH_FRAME_STRIDE, RESTORER)); /* restores another mask */
	assert_false(chain_is_frame(c.image + 8, RESTORER));
}

static void test_refused(void **state)
{
	static struct chain c;
	struct chain_state s = some_state();
	const struct chain_call calls[CHAIN_CALLS_MAX + 1] = { { .fn = FN } };

	(void)state;
	assert_int_equal(chain_build(&c, STACK, RESTORER, &s, calls, 0), -EINVAL);
	assert_int_equal(chain_build(&c, STACK, RESTORER, &s, calls, CHAIN_CALLS_MAX + 1), -EINVAL);
	assert_int_equal(chain_build(&c, 4096, RESTORER, &s, calls, 1), -EINVAL); /* would wrap */
	s.xstate_len = sizeof(c.image);
	assert_int_equal(chain_build(&c, STACK, RESTORER, &s, calls, 1), -ENOBUFS);
}

/* What no chain can have is refused before anything is laid out. */
static void test_shapes_refused(void **state)
{
	static struct chain c;
	struct chain_state s = some_state();
	const struct chain_shape good = { .stack = STACK, .restorer = RESTORER, .nframes = 3, .data_len = 64 };
	struct chain_shape shape = good;
	const struct chain_frame many = { .target = FN, .nargs = CHAIN_ARGS_MAX + 1 }, call = { .target = FN };
	const struct chain_frame away = { .kind = CHAIN_JUMP, .target = 3 };

	(void)state;
	assert_int_equal(chain_lay(&c, &good, &s), 0);
	assert_int_equal(chain_put(&c, 1, &call), 0);
	assert_int_equal(chain_put(&c, 2, &call), -EINVAL); /* the restoring one */
	assert_int_equal(chain_put(&c, 0, &many), -EINVAL);
	assert_int_equal(chain_put(&c, 0, &away), -EINVAL);
	assert_int_equal(chain_put_data(&c, 0, xstate, 64), 0);
	assert_int_equal(chain_put_data(&c, 65, xstate, 0), -EINVAL);
	assert_int_equal(chain_put_data(&c, 1, xstate, 64), -EINVAL);
	shape.nframes = 1;
	assert_int_equal(chain_lay(&c, &shape, &s), -EINVAL);
	shape.nframes = CHAIN_FRAMES_MAX + 1;
	assert_int_equal(chain_lay(&c, &shape, &s), -EINVAL);
	shape = good;
	shape.data_len = CHAIN_DATA_MAX + 1;
	assert_int_equal(chain_lay(&c, &shape, &s), -EINVAL);
	shape = good;
	shape.stack = CHAIN_IMAGE_MAX;
	assert_int_equal(chain_lay(&c, &shape, &s), -EINVAL);
	s.xstate_len = CHAIN_IMAGE_MAX + 1;
	assert_int_equal(chain_lay(&c, &good, &s), -ENOBUFS);
}

static void flip(unsigned char *frame, size_t offset, bool is)
{
	frame[offset] ^= 1;
	assert_int_equal(arch_is_frame(frame, RESTORER), is);
	frame[offset] ^= 1;
}

static void test_frame_is_told(void **state)
{
	unsigned char frame[ARCH_FRAME_STRIDE] = { 0 };
	const struct chain_state s = some_state();

	(void)state;
	arch_frame(frame, RESTORER, &s.regs, s.sigmask, STACK);
	assert_true(arch_is_frame(frame, RESTORER));
	assert_false(arch_is_frame(frame, RESTORER + 1));
	flip(frame, OFF_FLAGS, false);
	flip(frame, OFF_FLAGS + 8, false); /* uc_link */
	flip(frame, OFF_SS_FLAGS, false);
	flip(frame, OFF_RDI, true);
}

static void test_registers_that_no_thread_has(void **state)
{
	const struct user_regs_struct good = some_state().regs;
	struct user_regs_struct r = good;

	(void)state;
	assert_true(arch_regs_sane(&r));
	r.cs = 0x23; /* 32 bits */
	assert_false(arch_regs_sane(&r));
	r = good;
	r.rip = 1ull << 63;
	assert_false(arch_regs_sane(&r));
	r.rip = 4096;
	assert_false(arch_regs_sane(&r));
	r = good;
	r.rsp = 1ull << 63;
	assert_false(arch_regs_sane(&r));
	r.rsp = 65536;
	assert_false(arch_regs_sane(&r));
}

static void test_loaded_call(void **state)
{
	static const uint8_t good[ARCH_SYSCALL_CODE] = { 0xb8, 15, 0, 0, 0, 0x0f, 0x05 };
	static const size_t fixed[] = { 0, 5, 6 };

	(void)state;
	assert_int_equal(arch_syscall_loaded(good), 15);
	for (size_t i = 0; i < 3; i++) {
		uint8_t code[ARCH_SYSCALL_CODE];

		memcpy(code, good, sizeof(code));
		code[fixed[i]] ^= 1;
		assert_int_equal(arch_syscall_loaded(code), -ENOENT);
	}
}

static void test_mask_leaves_faults_open(void **state)
{
	static const int open[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP, CHAIN_SIGSETXID };
	uint64_t mask = CHAIN_SIGMASK;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		mask |= 1ull << (open[i] - 1);
	assert_int_equal(mask, UINT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		assert_false(CHAIN_SIGMASK & (1ull << (open[i] - 1)));
}

static void test_xstate(void **state)
{
	static unsigned char buf[ARCH_XSTATE_MAX];
	struct arch_xstate_info info;
	uint32_t magic;
	uint64_t amx = 1ull << 18;

	(void)state;
	if (getenv("LD_PRELOAD") && strstr(getenv("LD_PRELOAD"), "valgrind")) {
		print_message("valgrind writes signal frames of its own\n");
		skip();
	}
	assert_int_equal(arch_xstate_probe(&info), 0);
	assert_true(info.xstate_size >= 576);
	assert_true(info.xfeatures & 3);
	assert_int_equal(arch_xstate_frame(&info, buf, info.xstate_size, sizeof(buf)), info.xstate_size + 4);
	memcpy(&magic, buf + 464, 4);
	assert_int_equal(magic, 0x46505853);
	memcpy(&magic, buf + info.xstate_size, 4);
	assert_int_equal(magic, 0x46505845);
	/* a regset larger than a plain task's frame: AMX in the machine, tiles not in use */
	assert_int_equal(arch_xstate_frame(&info, buf, info.xstate_size + 512, sizeof(buf)), info.xstate_size + 516);
	memcpy(&magic, buf + info.xstate_size + 512, 4);
	assert_int_equal(magic, 0x46505845);

	assert_int_equal(arch_xstate_frame(&info, buf, 100, sizeof(buf)), -EBADMSG);
	assert_int_equal(arch_xstate_frame(&info, buf, info.xstate_size, info.xstate_size), -ENOBUFS);
	memcpy(buf + 512, &amx, sizeof(amx));
	assert_int_equal(arch_xstate_frame(&info, buf, info.xstate_size, sizeof(buf)), -EBUSY);
}

static void test_restart_class(void **state)
{
	struct user_regs_struct r = { .orig_rax = SYS_epoll_wait, .rax = (unsigned long long)-EINTR, .rip = 100 };

	(void)state;
	assert_int_equal(restart_classify(&r), RESTART_NEVER);
	arch_rewind_syscall(&r);
	assert_int_equal(r.rax, SYS_epoll_wait);
	assert_int_equal(r.rip, 98);
	assert_false(arch_in_syscall(&r));
	assert_int_equal(restart_classify(&r), RESTART_NONE);

	r = (struct user_regs_struct){ .orig_rax = SYS_close, .rax = (unsigned long long)-EINTR };
	assert_int_equal(restart_classify(&r), RESTART_FOREIGN);
	r = (struct user_regs_struct){ .orig_rax = SYS_read, .rax = (unsigned long long)-512 };
	assert_int_equal(restart_classify(&r), RESTART_EXACT);
	r.rax = (unsigned long long)-516;
	assert_int_equal(restart_classify(&r), RESTART_BLOCK);
	r.rax = 3; /* complete */
	assert_int_equal(restart_classify(&r), RESTART_NONE);
	r.orig_rax = UINT64_MAX; /* user code that happens to hold such a number */
	r.rax = (unsigned long long)-512;
	assert_int_equal(restart_classify(&r), RESTART_NONE);
}

static void test_restart_rank(void **state)
{
	const uint64_t none[RESTART_ARGS] = { 0 };
	const uint64_t waitall[RESTART_ARGS] = { 0, 0, 0, 0x100, 0, 0 };
	const uint64_t untimed[RESTART_ARGS] = { 0, 0, 0, (uint64_t)-1, 0, 0 };
	const uint64_t many[RESTART_ARGS] = { 0, 5, 0, 0, 0, 0 };
	const uint64_t lock_pi[RESTART_ARGS] = { 0, 6 | 128, 0, 0, 0, 0 };
	const uint64_t wait_timed[RESTART_ARGS] = { 0, 128, 0, 1, 0, 0 };

	(void)state;
	assert_int_equal(restart_rank(SYS_read, none), 1);
	assert_int_equal(restart_rank(SYS_recvfrom, none), 1);
	assert_int_equal(restart_rank(SYS_recvfrom, waitall), 0);
	assert_true(restart_rank(SYS_epoll_wait, untimed) < restart_rank(SYS_epoll_wait, none));
	assert_int_equal(restart_rank(SYS_io_getevents, many), 0);
	assert_int_equal(restart_rank(SYS_io_uring_enter, many), 0); /* submits */
	assert_int_equal(restart_rank(SYS_futex, lock_pi), 0);
	assert_true(restart_rank(SYS_futex, wait_timed) > restart_rank(SYS_futex, none));
	assert_int_equal(restart_rank(SYS_mmap, none), 0);
	assert_int_equal(restart_rank(SYS_ioctl, none), 0);
	assert_int_equal(restart_rank(SYS_write, none), 0);
	assert_int_equal(restart_rank(-1, none), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_several_calls),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_data_refused),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_shapes_refused),
		cmocka_unit_test(test_frame_is_told),
		cmocka_unit_test(test_registers_that_no_thread_has),
		cmocka_unit_test(test_loaded_call),
		cmocka_unit_test(test_mask_leaves_faults_open),
		cmocka_unit_test(test_xstate),
		cmocka_unit_test(test_restart_class),
		cmocka_unit_test(test_restart_rank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
