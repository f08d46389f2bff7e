// SPDX-License-Identifier: GPL-2.0-or-later
/* Expressions of call frame information: each operation, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dwarf.h>
#include <errno.h>
#include <string.h>

#include "inspect/cfi.h"

/* Each word is its own address plus one; nothing is below a page. */
static int read_words(void *ctx, uint64_t addr, void *buf, size_t len)
{
	(void)ctx;
	if (addr < 4096)
		return -EFAULT;
	for (size_t i = 0; i + 8 <= len; i += 8) {
		const uint64_t v = addr + i + 1;

		memcpy((char *)buf + i, &v, 8);
	}
	return 0;
}

static struct remote memory;
static struct cpu_regs regs;
static struct cfi_env env;

static int setup(void **state)
{
	(void)state;
	memory = (struct remote){ .read = read_words, .reads_left = 1000000, .bytes_left = 1 << 30 };
	regs = (struct cpu_regs){ .valid = 1u << CPU_RSP | 1u << CPU_RBP };
	regs.r[CPU_RSP] = 0x10000;
	regs.r[CPU_RBP] = 0x20000;
	env = (struct cfi_env){ .regs = &regs, .mem = &memory, .cfa = 0x30000, .has_cfa = true };
	return 0;
}

#define OPS(...) ((const Dwarf_Op[]){ __VA_ARGS__ }), sizeof((const Dwarf_Op[]){ __VA_ARGS__ }) / sizeof(Dwarf_Op)
#define OP(what, ...) ((Dwarf_Op){ .atom = DW_OP_##what, ##__VA_ARGS__ })
#define CONST(n) OP(constu, .number = (Dwarf_Word)(n))

static uint64_t value(const Dwarf_Op *ops, size_t n)
{
	uint64_t v = 0;

	assert_int_equal(cfi_value(&env, ops, n, &v), 0);
	return v;
}

static void test_binary(void **state)
{
	static const struct {
		uint8_t atom;
		int64_t a, b, want;
	} all[] = {
		{ DW_OP_plus, 7, 5, 12 }, { DW_OP_minus, 7, 5, 2 },  { DW_OP_mul, 7, 5, 35 }, { DW_OP_and, 6, 3, 2 },
		{ DW_OP_or, 6, 3, 7 },	  { DW_OP_xor, 6, 3, 5 },    { DW_OP_shl, 1, 4, 16 }, { DW_OP_shl, 1, 64, 0 },
		{ DW_OP_shr, 16, 4, 1 },  { DW_OP_shr, 16, 100, 0 }, { DW_OP_ge, -1, 1, 0 },  { DW_OP_ge, 1, 1, 1 },
		{ DW_OP_gt, 1, -1, 1 },	  { DW_OP_gt, 1, 1, 0 },     { DW_OP_le, -1, 1, 1 },  { DW_OP_le, 2, 1, 0 },
		{ DW_OP_lt, -1, 1, 1 },	  { DW_OP_lt, 1, 1, 0 },     { DW_OP_eq, 3, 3, 1 },   { DW_OP_eq, 3, 4, 0 },
		{ DW_OP_ne, 3, 4, 1 },	  { DW_OP_ne, 3, 3, 0 },
	};
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_int_equal(value(OPS(CONST(all[i].a), CONST(all[i].b), { .atom = all[i].atom })), all[i].want);
	assert_int_equal(cfi_value(&env, OPS(CONST(1), OP(plus)), &v), -EBADMSG);
	assert_int_equal(cfi_value(&env, OPS(OP(plus)), &v), -EBADMSG);
	/* No division, no branches, no calls. */
	assert_int_equal(cfi_value(&env, OPS(CONST(1), CONST(1), OP(div)), &v), -ENOTSUP);
	assert_int_equal(cfi_value(&env, OPS(CONST(1), CONST(1), OP(bra)), &v), -ENOTSUP);
}

static void test_unary(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(value(OPS(CONST(5), OP(plus_uconst, .number = 3))), 8);
	assert_int_equal(value(OPS(CONST(5), OP(dup), OP(plus))), 10);
	assert_int_equal(value(OPS(CONST(5), CONST(6), OP(drop))), 5);
	assert_int_equal(value(OPS(CONST(5), OP(neg))), (uint64_t)-5);
	assert_int_equal(value(OPS(CONST(5), OP(not ))), ~5ull);
	assert_int_equal(value(OPS(CONST(0x5000), OP(deref))), 0x5001);
	assert_int_equal(value(OPS(OP(lit31), OP(nop))), 31);
	assert_int_equal(value(OPS(OP(call_frame_cfa), OP(stack_value))), 0x30000);
	assert_int_equal(cfi_value(&env, OPS(CONST(8), OP(deref)), &v), -EFAULT);
	assert_int_equal(cfi_value(&env, OPS(OP(neg)), &v), -EBADMSG);
	assert_int_equal(cfi_value(&env, OPS(CONST(1), OP(drop)), &v), -EBADMSG);
	env.has_cfa = false;
	assert_int_equal(cfi_value(&env, OPS(OP(call_frame_cfa)), &v), -EBADMSG);
}

static void test_registers(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(value(OPS(OP(breg7, .number = 16))), 0x10010);
	assert_int_equal(value(OPS(OP(bregx, .number = CPU_RBP, .number2 = 8))), 0x20008);
	assert_int_equal(cfi_value(&env, OPS(OP(breg0)), &v), -ENODATA);
	assert_int_equal(cfi_value(&env, OPS(OP(breg31)), &v), -ENODATA);
	assert_int_equal(cfi_value(&env, OPS(OP(bregx, .number = 1ull << 40)), &v), -ENODATA);
}

static void test_location(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(cfi_location(&env, OPS(OP(reg6)), &v), 0);
	assert_int_equal(v, 0x20000);
	assert_int_equal(cfi_location(&env, OPS(OP(regx, .number = CPU_RSP)), &v), 0);
	assert_int_equal(v, 0x10000);
	assert_int_equal(cfi_location(&env, OPS(OP(reg1)), &v), -ENODATA);
	assert_int_equal(cfi_location(&env, OPS(OP(breg7, .number = 8)), &v), 0);
	assert_int_equal(v, 0x10009);
	assert_int_equal(cfi_location(&env, OPS(CONST(77), OP(stack_value)), &v), 0);
	assert_int_equal(v, 77);
	assert_int_equal(cfi_location(&env, OPS(CONST(77)), &v), -EFAULT);
	assert_int_equal(cfi_location(&env, OPS(OP(breg0)), &v), -ENODATA);
	assert_int_equal(cfi_location(&env, NULL, 0, &v), -EBADMSG);
}

/* The stack is bounded. */
static void test_deep(void **state)
{
	Dwarf_Op ops[40];
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		ops[i] = OP(lit1);
	assert_int_equal(cfi_value(&env, ops, 32, &v), 0);
	assert_int_equal(cfi_value(&env, ops, 33, &v), -EBADMSG);
	ops[32] = OP(dup);
	assert_int_equal(cfi_value(&env, ops, 33, &v), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_binary, setup),    cmocka_unit_test_setup(test_unary, setup),
		cmocka_unit_test_setup(test_registers, setup), cmocka_unit_test_setup(test_location, setup),
		cmocka_unit_test_setup(test_deep, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
