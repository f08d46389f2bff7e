// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/unwind.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "inspect/cfi.h"

/* The callee-saved registers of the psABI, rsp (from the CFA) and the return address. */
static const unsigned int unwind_saved[] = { CPU_RBX, CPU_RBP, CPU_R12, CPU_R13, CPU_R14, CPU_R15 };

/*
 * x86-64 has some 130 registers (psABI, figure 3.36). libdw makes room for as many as the highest number that the
 * information names, 24 bytes each: a hostile file's frames cost a tenth of a second each, while the thread stands.
 */
#define FRAME_BYTES_MAX 16384

static int unwind_cfa(Dwarf_Frame *frame, const struct cpu_regs *regs, struct remote *mem, uint64_t *ret)
{
	const struct cfi_env env = { .regs = regs, .mem = mem };
	Dwarf_Op *ops;
	size_t n;

	if (dwarf_frame_cfa(frame, &ops, &n) != 0 || n == 0)
		return -ENODATA;
	return cfi_value(&env, ops, n, ret);
}

/* 0 and the value; 1 when CFI says "undefined"; -errno. */
static int unwind_reg(Dwarf_Frame *frame, const struct cfi_env *env, unsigned int regno, uint64_t *ret)
{
	Dwarf_Op mem[3], *ops = NULL;
	size_t n = 0;

	if (dwarf_frame_register(frame, (int)regno, mem, &ops, &n) != 0)
		return -ENODATA;
	if (n > 0)
		return cfi_location(env, ops, n, ret);
	if (ops == mem)
		return 1;
	if (!(env->regs->valid & (1u << regno)))
		return -ENODATA;
	*ret = env->regs->r[regno]; /* same value */
	return 0;
}

/* The caller's registers. */
static int unwind_step(Dwarf_Frame *frame, struct remote *mem, bool signal, struct cpu_regs *regs)
{
	struct cfi_env env = { .regs = regs, .mem = mem };
	struct cpu_regs next = { .tp = regs->tp };
	uint64_t sp, pc;
	int r = unwind_cfa(frame, regs, mem, &env.cfa);

	if (r < 0)
		return r;
	env.has_cfa = true;
	r = unwind_reg(frame, &env, CPU_RIP, &pc);
	if (r != 0)
		return r < 0 ? r : -ENODATA;
	for (size_t i = 0; i < ARRAY_SIZE(unwind_saved); i++) {
		unsigned int regno = unwind_saved[i];

		/* Not having one is an error only if a later frame asks for it. */
		if (unwind_reg(frame, &env, regno, &next.r[regno]) == 0)
			next.valid |= 1u << regno;
	}
	/* A signal trampoline restores rsp from its frame; everyone else's caller has the CFA. */
	sp = env.cfa;
	if (signal && unwind_reg(frame, &env, CPU_RSP, &sp) != 0)
		return -ENODATA;
	if (!signal && sp <= regs->r[CPU_RSP])
		return -ELOOP;
	next.r[CPU_RSP] = sp;
	next.r[CPU_RIP] = pc;
	next.valid |= (1u << CPU_RSP) | (1u << CPU_RIP);
	*regs = next;
	return 0;
}

static int unwind_frame_cfi(const struct modules *mods, struct remote *mem, struct unwind_frame *f, Dwarf_Frame **ret)
{
	struct module *mod = modules_find(mods, f->lookup);
	Dwarf_CFI *cfi;
	int r;

	if (!mod)
		return -ENODATA;
	r = module_verify(mod, mem);
	if (r < 0)
		return r == -ENOEXEC ? -ENODATA : r;
	f->module = mod;
	f->vaddr = f->lookup - mod->bias;
	cfi = object_cfi(&mod->object);
	if (!cfi || dwarf_cfi_addrframe(cfi, f->vaddr, ret) != 0)
		return -ENODATA;
	return malloc_usable_size(*ret) > FRAME_BYTES_MAX ? -ENODATA : 0;
}

/* Is there a caller? Asked before the visit, so that the visitor sees the root as such. */
static bool unwind_is_root(Dwarf_Frame *frame)
{
	Dwarf_Op mem[3], *ops = NULL;
	size_t n = 0;

	return dwarf_frame_register(frame, CPU_RIP, mem, &ops, &n) == 0 && n == 0 && ops == mem;
}

int unwind(const struct modules *mods, struct remote *mem, const struct cpu_regs *start,
	   int (*visit)(void *ctx, const struct unwind_frame *f), void *ctx)
{
	struct cpu_regs regs = *start;
	bool exact = true; /* the innermost pc is not a return address */

	for (unsigned int depth = 0; depth < UNWIND_FRAMES_MAX; depth++) {
		struct unwind_frame f = { .pc = regs.r[CPU_RIP], .sp = regs.r[CPU_RSP] };
		_cleanup_free_ Dwarf_Frame *frame = NULL;
		int r;

		if (!f.pc)
			return -ENODATA;
		f.lookup = exact ? f.pc : f.pc - 1;
		r = unwind_frame_cfi(mods, mem, &f, &frame);
		if (r < 0)
			return r;
		(void)dwarf_frame_info(frame, NULL, NULL, &f.signal);
		f.root = unwind_is_root(frame);
		r = visit(ctx, &f);
		if (r != 0 || f.root)
			return r;
		r = unwind_step(frame, mem, f.signal, &regs);
		if (r < 0)
			return r;
		exact = f.signal;
	}
	return -ELOOP;
}
