// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/seccomp.h"

#include <errno.h>
#include <linux/bpf_common.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "inject/trace.h"

#define FILTERS_MAX 64 /* the kernel allows 32768 instructions in all: far fewer programs in practice */

struct bpf_state {
	uint32_t a, x;
	uint32_t mem[BPF_MEMWORDS];
};

static int bpf_load(const struct sock_filter *i, const struct seccomp_data *data, struct bpf_state *s)
{
	uint32_t *reg = BPF_CLASS(i->code) == BPF_LD ? &s->a : &s->x;

	switch (BPF_MODE(i->code)) {
	case BPF_ABS:
		if (i->k % 4 || i->k > sizeof(*data) - 4 || reg != &s->a)
			return -EBADMSG;
		/* A chain's calls come from several places, and no filter of a library's asks for that. */
		if ((i->k | 4) == (offsetof(struct seccomp_data, instruction_pointer) | 4))
			return -EBADMSG;
		memcpy(reg, (const char *)data + i->k, 4);
		return 0;
	case BPF_IMM:
		*reg = i->k;
		return 0;
	case BPF_LEN:
		*reg = sizeof(*data);
		return 0;
	case BPF_MEM:
		if (i->k >= BPF_MEMWORDS)
			return -EBADMSG;
		*reg = s->mem[i->k];
		return 0;
	default:
		return -EBADMSG;
	}
}

static int bpf_alu(const struct sock_filter *i, struct bpf_state *s)
{
	uint32_t v = BPF_SRC(i->code) == BPF_X ? s->x : i->k;

	switch (BPF_OP(i->code)) {
	case BPF_ADD:
		s->a += v;
		return 0;
	case BPF_SUB:
		s->a -= v;
		return 0;
	case BPF_MUL:
		s->a *= v;
		return 0;
	case BPF_DIV:
		/* By zero the kernel makes an end of the program, with SECCOMP_RET_KILL (bpf_convert_filter()). */
		if (!v)
			return -EBADMSG;
		s->a /= v;
		return 0;
	case BPF_AND:
		s->a &= v;
		return 0;
	case BPF_OR:
		s->a |= v;
		return 0;
	case BPF_XOR:
		s->a ^= v;
		return 0;
	case BPF_LSH:
		/* Beyond that each processor, and the interpreter, has its own answer. */
		if (v >= 32)
			return -EBADMSG;
		s->a <<= v;
		return 0;
	case BPF_RSH:
		if (v >= 32)
			return -EBADMSG;
		s->a >>= v;
		return 0;
	case BPF_NEG:
		s->a = -s->a;
		return 0;
	default:
		return -EBADMSG;
	}
}

/* How far to jump beyond the next instruction; forward only, so every program ends. */
static int bpf_jump(const struct sock_filter *i, const struct bpf_state *s, uint32_t *ret_skip)
{
	uint32_t v = BPF_SRC(i->code) == BPF_X ? s->x : i->k;
	int taken;

	switch (BPF_OP(i->code)) {
	case BPF_JA:
		*ret_skip = i->k;
		return 0;
	case BPF_JEQ:
		taken = s->a == v;
		break;
	case BPF_JGT:
		taken = s->a > v;
		break;
	case BPF_JGE:
		taken = s->a >= v;
		break;
	case BPF_JSET:
		taken = (s->a & v) != 0;
		break;
	default:
		return -EBADMSG;
	}
	*ret_skip = taken ? i->jt : i->jf;
	return 0;
}

static int bpf_store(const struct sock_filter *i, struct bpf_state *s)
{
	if (i->k >= BPF_MEMWORDS)
		return -EBADMSG;
	s->mem[i->k] = BPF_CLASS(i->code) == BPF_ST ? s->a : s->x;
	return 0;
}

static void bpf_misc(const struct sock_filter *i, struct bpf_state *s)
{
	if (BPF_MISCOP(i->code) == BPF_TAX)
		s->x = s->a;
	else
		s->a = s->x;
}

int seccomp_eval(const struct sock_filter *insns, size_t n, const struct seccomp_data *data, uint32_t *ret)
{
	struct bpf_state s = { 0 };

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &insns[pc];
		uint32_t skip = 0;
		int r = 0;

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
		case BPF_LDX:
			r = bpf_load(i, data, &s);
			break;
		case BPF_ST:
		case BPF_STX:
			r = bpf_store(i, &s);
			break;
		case BPF_ALU:
			r = bpf_alu(i, &s);
			break;
		case BPF_JMP:
			r = bpf_jump(i, &s, &skip);
			break;
		case BPF_MISC:
			bpf_misc(i, &s);
			break;
		case BPF_RET:
			*ret = BPF_RVAL(i->code) == BPF_A ? s.a : i->k;
			return 0;
		}
		if (r < 0)
			return r;
		if (skip >= n - pc)
			return -EBADMSG;
		pc += skip;
	}
	return -EBADMSG;
}

const struct seccomp_call seccomp_alloc_calls[] = {
	SECCOMP_CALL(rt_sigreturn),
	{ "madvise",
	  true,
	  { .nr = SYS_madvise, .arch = AUDIT_ARCH_X86_64, .args = { 0x7f0000000000, 0x1000, MADV_DONTNEED } } },
	{ "brk", true, { .nr = SYS_brk, .arch = AUDIT_ARCH_X86_64, .args = { 0x555555000000 } } },
	SECCOMP_CALL(futex, .args = { 0x7f0000000000, FUTEX_WAIT_PRIVATE, 2 }),
	SECCOMP_CALL(futex, .args = { 0x7f0000000000, FUTEX_WAKE_PRIVATE, 1 }),
};
const size_t seccomp_nalloc_calls = ARRAY_SIZE(seccomp_alloc_calls);

static bool seccomp_harmless(uint32_t action, bool soft)
{
	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		return true;
	case SECCOMP_RET_ERRNO:
		return soft;
	default:
		return false;
	}
}

static int seccomp_check_call(const struct sock_filter *insns, size_t n, const struct seccomp_call *call,
			      const char **ret_name)
{
	uint32_t action;
	int r = seccomp_eval(insns, n, &call->data, &action);

	if (r < 0)
		return r;
	if (seccomp_harmless(action, call->soft))
		return 0;
	*ret_name = call->name;
	return -EACCES;
}

int seccomp_allows(pid_t tid, const struct seccomp_call *calls, size_t ncalls, const char **ret_name)
{
	struct sock_filter insns[BPF_MAXINSNS];

	for (unsigned int f = 0; f < FILTERS_MAX; f++) {
		int r, n = trace_seccomp_filter(tid, f, insns, ARRAY_SIZE(insns));

		if (n == -ENOENT)
			return 0;
		if (n < 0)
			return n;
		for (size_t i = 0; i < ncalls; i++) {
			r = seccomp_check_call(insns, (size_t)n, &calls[i], ret_name);
			if (r < 0)
				return r;
		}
	}
	return -E2BIG;
}
