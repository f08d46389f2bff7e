// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/cfi.h"

#include <dwarf.h>
#include <errno.h>

#define STACK_MAX 32

struct cfi_stack {
	uint64_t v[STACK_MAX];
	size_t n;
};

static int cfi_push(struct cfi_stack *s, uint64_t v)
{
	if (s->n >= STACK_MAX)
		return -EBADMSG;
	s->v[s->n++] = v;
	return 0;
}

static int cfi_reg(const struct cfi_env *env, uint64_t regno, uint64_t *ret)
{
	if (regno >= CPU_NREGS || !(env->regs->valid & (1u << regno)))
		return -ENODATA;
	*ret = env->regs->r[regno];
	return 0;
}

static int cfi_push_reg(const struct cfi_env *env, struct cfi_stack *s, uint64_t regno, uint64_t offset)
{
	uint64_t v;
	int r = cfi_reg(env, regno, &v);

	return r < 0 ? r : cfi_push(s, v + offset);
}

/* One operand is replaced by the result; the other is gone. */
static int cfi_binary(struct cfi_stack *s, uint8_t atom)
{
	uint64_t a, b;

	if (s->n < 2)
		return -EBADMSG;
	b = s->v[--s->n];
	a = s->v[s->n - 1];

	switch (atom) {
	case DW_OP_plus:
		a += b;
		break;
	case DW_OP_minus:
		a -= b;
		break;
	case DW_OP_mul:
		a *= b;
		break;
	case DW_OP_and:
		a &= b;
		break;
	case DW_OP_or:
		a |= b;
		break;
	case DW_OP_xor:
		a ^= b;
		break;
	case DW_OP_shl:
		a = b < 64 ? a << b : 0;
		break;
	case DW_OP_shr:
		a = b < 64 ? a >> b : 0;
		break;
	case DW_OP_ge:
		a = (int64_t)a >= (int64_t)b;
		break;
	case DW_OP_gt:
		a = (int64_t)a > (int64_t)b;
		break;
	case DW_OP_le:
		a = (int64_t)a <= (int64_t)b;
		break;
	case DW_OP_lt:
		a = (int64_t)a < (int64_t)b;
		break;
	case DW_OP_eq:
		a = a == b;
		break;
	case DW_OP_ne:
		a = a != b;
		break;
	default:
		return -ENOTSUP;
	}
	s->v[s->n - 1] = a;
	return 0;
}

static int cfi_unary(const struct cfi_env *env, struct cfi_stack *s, const Dwarf_Op *op)
{
	uint64_t *top = s->n ? &s->v[s->n - 1] : NULL;

	if (!top)
		return -EBADMSG;
	switch (op->atom) {
	case DW_OP_deref:
		return remote_read_u64(env->mem, *top, top);
	case DW_OP_plus_uconst:
		*top += op->number;
		return 0;
	case DW_OP_dup:
		return cfi_push(s, *top);
	case DW_OP_drop:
		s->n--;
		return 0;
	case DW_OP_neg:
		*top = -*top;
		return 0;
	case DW_OP_not:
		*top = ~*top;
		return 0;
	default:
		return cfi_binary(s, op->atom);
	}
}

static int cfi_step(const struct cfi_env *env, struct cfi_stack *s, const Dwarf_Op *op)
{
	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
		return cfi_push(s, (uint64_t)(op->atom - DW_OP_lit0));
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
		return cfi_push_reg(env, s, (uint64_t)(op->atom - DW_OP_breg0), op->number);

	switch (op->atom) {
	case DW_OP_bregx:
		return cfi_push_reg(env, s, op->number, op->number2);
	case DW_OP_call_frame_cfa:
		return env->has_cfa ? cfi_push(s, env->cfa) : -EBADMSG;
	case DW_OP_addr:
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_const2u:
	case DW_OP_const2s:
	case DW_OP_const4u:
	case DW_OP_const4s:
	case DW_OP_const8u:
	case DW_OP_const8s:
	case DW_OP_constu:
	case DW_OP_consts:
		return cfi_push(s, op->number); /* libdw has extended the sign */
	case DW_OP_nop:
		return 0;
	default:
		return cfi_unary(env, s, op);
	}
}

/* No branches are taken (DW_OP_bra, DW_OP_skip are not supported), so every expression ends. */
static int cfi_run(const struct cfi_env *env, const Dwarf_Op *ops, size_t n, uint64_t *ret)
{
	struct cfi_stack s = { .n = 0 };

	for (size_t i = 0; i < n; i++) {
		int r = cfi_step(env, &s, &ops[i]);

		if (r < 0)
			return r;
	}
	if (!s.n)
		return -EBADMSG;
	*ret = s.v[s.n - 1];
	return 0;
}

int cfi_value(const struct cfi_env *env, const Dwarf_Op *ops, size_t n, uint64_t *ret)
{
	if (n && ops[n - 1].atom == DW_OP_stack_value)
		n--;
	return cfi_run(env, ops, n, ret);
}

int cfi_location(const struct cfi_env *env, const Dwarf_Op *ops, size_t n, uint64_t *ret)
{
	uint64_t addr;
	int r;

	if (n == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31)
		return cfi_reg(env, (uint64_t)(ops[0].atom - DW_OP_reg0), ret);
	if (n == 1 && ops[0].atom == DW_OP_regx)
		return cfi_reg(env, ops[0].number, ret);
	if (n && ops[n - 1].atom == DW_OP_stack_value)
		return cfi_run(env, ops, n - 1, ret);
	r = cfi_run(env, ops, n, &addr);
	return r < 0 ? r : remote_read_u64(env->mem, addr, ret);
}
