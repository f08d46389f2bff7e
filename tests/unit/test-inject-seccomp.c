// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/audit.h>
#include <sys/syscall.h>

#include "inject/seccomp.h"

static const struct seccomp_data madvise_call = { .nr = SYS_madvise,
						  .arch = AUDIT_ARCH_X86_64,
						  .args = { 0x7f0000000000, 0x1000, 4 } };

#define LOAD_NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)
#define LOAD_ARCH BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4)
#define RET(v) BPF_STMT(BPF_RET | BPF_K, v)

static uint32_t eval(const struct sock_filter *p, size_t n)
{
	uint32_t action = 0xdeadbeef;

	assert_int_equal(seccomp_eval(p, n, &madvise_call, &action), 0);
	return action;
}

static void test_kill_one(void **state)
{
	const struct sock_filter p[] = {
		LOAD_ARCH,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		RET(SECCOMP_RET_KILL_PROCESS),
		LOAD_NR,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 1),
		RET(SECCOMP_RET_KILL_THREAD),
		RET(SECCOMP_RET_ALLOW),
	};
	struct seccomp_data other = madvise_call;
	uint32_t action;

	(void)state;
	assert_int_equal(eval(p, 7), SECCOMP_RET_KILL_THREAD);
	other.nr = SYS_brk;
	assert_int_equal(seccomp_eval(p, 7, &other, &action), 0);
	assert_int_equal(action, SECCOMP_RET_ALLOW);
	other.arch = AUDIT_ARCH_I386;
	assert_int_equal(seccomp_eval(p, 7, &other, &action), 0);
	assert_int_equal(action, SECCOMP_RET_KILL_PROCESS);
}

static void test_arguments(void **state)
{
	/* madvise's third argument, low word: args[2] is at 16 + 2 * 8 */
	const struct sock_filter p[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 32),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 4, 0, 1),
		RET(SECCOMP_RET_ERRNO | 1),
		RET(SECCOMP_RET_ALLOW),
	};

	(void)state;
	assert_int_equal(eval(p, 4), SECCOMP_RET_ERRNO | 1);
}

static void test_arithmetic_and_memory(void **state)
{
	const struct sock_filter p[] = {
		BPF_STMT(BPF_LD | BPF_IMM, 40),		 BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LDX | BPF_MEM, 3),		 BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 2),	 BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 1),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 38), BPF_STMT(BPF_RET | BPF_A, 0),
	};

	(void)state;
	assert_int_equal(eval(p, 8), 42);
}

/* Each operation on 12 and 5. */
static void test_each_operation(void **state)
{
	static const struct {
		uint16_t op;
		uint32_t want;
	} alu[] = {
		{ BPF_ADD, 17 }, { BPF_SUB, 7 }, { BPF_MUL, 60 },  { BPF_DIV, 2 }, { BPF_AND, 4 },
		{ BPF_OR, 13 },	 { BPF_XOR, 9 }, { BPF_LSH, 384 }, { BPF_RSH, 0 }, { BPF_NEG, (uint32_t)-12 },
	};
	static const struct {
		uint16_t op;
		uint32_t k;
		uint32_t taken;
	} jumps[] = {
		{ BPF_JEQ, 12, 1 }, { BPF_JEQ, 11, 0 }, { BPF_JGT, 11, 1 }, { BPF_JGT, 12, 0 },
		{ BPF_JGE, 12, 1 }, { BPF_JGE, 13, 0 }, { BPF_JSET, 4, 1 }, { BPF_JSET, 3, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(alu); i++) {
		for (uint16_t src = BPF_K; src <= BPF_X; src += BPF_X) {
			const struct sock_filter p[] = {
				BPF_STMT(BPF_LDX | BPF_IMM, 5),
				BPF_STMT(BPF_LD | BPF_IMM, 12),
				BPF_STMT((uint16_t)(BPF_ALU | alu[i].op | src), 5),
				BPF_STMT(BPF_RET | BPF_A, 0),
			};

			assert_int_equal(eval(p, 4), alu[i].want);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		for (uint16_t src = BPF_K; src <= BPF_X; src += BPF_X) {
			const struct sock_filter p[] = {
				BPF_STMT(BPF_LDX | BPF_IMM, jumps[i].k),
				BPF_STMT(BPF_LD | BPF_IMM, 12),
				BPF_JUMP((uint16_t)(BPF_JMP | jumps[i].op | src), jumps[i].k, 1, 0),
				RET(0),
				RET(1),
			};

			assert_int_equal(eval(p, 5), jumps[i].taken);
		}
	}
}

static void test_moves(void **state)
{
	const struct sock_filter moves[] = {
		BPF_STMT(BPF_LD | BPF_LEN, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_STX, 2),
		BPF_STMT(BPF_LD | BPF_IMM, 1),
		BPF_STMT(BPF_MISC | BPF_TXA, 0),
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		RET(0),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};

	(void)state;
	assert_int_equal(eval(moves, 8), sizeof(struct seccomp_data));
}

/* What the kernel kills for, what each processor answers in its own way, and what isn't known here. */
static void test_unsure(void **state)
{
	const struct sock_filter unsure[] = {
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), /* X is 0 */
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 40),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
	};
	uint32_t action = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unsure); i++) {
		const struct sock_filter p[] = { unsure[i], RET(SECCOMP_RET_ALLOW) };

		assert_int_equal(seccomp_eval(p, 2, &madvise_call, &action), -EBADMSG);
	}
}

static void test_malformed(void **state)
{
	const struct sock_filter bad[] = {
		BPF_STMT(BPF_LDX | BPF_W | BPF_ABS, 0), BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), BPF_STMT(BPF_JMP | 0xf0, 0),
		BPF_STMT(BPF_ST, BPF_MEMWORDS),		BPF_STMT(BPF_STX, BPF_MEMWORDS),
	};
	const struct sock_filter past_end[] = { BPF_STMT(BPF_JMP | BPF_JA, 1), RET(0) };
	const struct sock_filter no_return[] = { LOAD_NR };
	const struct sock_filter bad_load[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RET(0) };
	const struct sock_filter unaligned[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RET(0) };
	const struct sock_filter bad_mem[] = { BPF_STMT(BPF_LD | BPF_MEM, 16), RET(0) };
	uint32_t action = 7;

	(void)state;
	assert_int_equal(seccomp_eval(past_end, 2, &madvise_call, &action), -EBADMSG);
	assert_int_equal(seccomp_eval(no_return, 1, &madvise_call, &action), -EBADMSG);
	assert_int_equal(seccomp_eval(bad_load, 2, &madvise_call, &action), -EBADMSG);
	assert_int_equal(seccomp_eval(unaligned, 2, &madvise_call, &action), -EBADMSG);
	assert_int_equal(seccomp_eval(bad_mem, 2, &madvise_call, &action), -EBADMSG);
	assert_int_equal(seccomp_eval(NULL, 0, &madvise_call, &action), -EBADMSG);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct sock_filter p[] = { bad[i], RET(0) };

		assert_int_equal(seccomp_eval(p, 2, &madvise_call, &action), -EBADMSG);
	}
	assert_int_equal(action, 7); /* untouched on failure */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_one),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_arithmetic_and_memory),
		cmocka_unit_test(test_each_operation),
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_unsure),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
