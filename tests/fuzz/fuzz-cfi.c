// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=32768 -len_control=0 */
/*
 * Stacks, registers and call frame information of which anything may be wrong. An input is a program whose heap begins
 * with registers and holds the stack (elf-memory.h, seeds/cfi), or else an expression as libdw would hand it to us:
 * which registers are known, then atoms and numbers. Every walk ends, gets outwards, and says only what it has seen.
 */
#include <dwarf.h>

#include "elf-memory.h"
#include "inspect/cfi.h"
#include "inspect/safepoint.h"
#include "inspect/unwind.h"

#define SETS 2 /* of registers, in the beginning of the heap */
#define OPS 64
#define PAGE_AT 0x7000ull

/* ---- walks ---- */

struct walk {
	const struct elf_memory *m;
	unsigned int frames, end; /* the frame that ends it */
	struct unwind_frame last;
};

static int on_frame(void *ctx, const struct unwind_frame *f)
{
	struct walk *w = ctx;

	MUST(w->frames < UNWIND_FRAMES_MAX);
	MUST(f->pc && f->module && modules_find(&w->m->t.mods, f->lookup) == f->module);
	MUST(f->vaddr == f->lookup - f->module->bias);
	MUST(!w->frames || !w->last.root);
	if (w->frames) {
		MUST(f->lookup == (w->last.signal ? f->pc : f->pc - 1));
		MUST(w->last.signal || f->sp > w->last.sp);
	}
	w->last = *f;
	return ++w->frames == w->end;
}

static bool is_result(int r)
{
	static const int known[] = { 0, -ENODATA, -ELOOP, -ESTALE, -EFAULT, -EBADMSG, -ENOTSUP, -EDQUOT };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (r == known[i])
			return true;
	return false;
}

static void prove(struct elf_memory *m, const struct cpu_regs *regs)
{
	struct safepoint sp = { .target = &m->t, .program = target_program(&m->t) };
	struct safepoint_verdict v;

	sp.libc = sp.program;
	safepoint_prove(&sp, regs, &v);
	MUST(v.safe == !v.why[0] && memchr(v.why, 0, sizeof(v.why)));
	if (!v.safe)
		return;
	MUST(v.frames && !v.unknown);
	if (regs->valid != CPU_REGS_ALL)
		return;
	MUST(v.stack_lo < v.stack_hi && regs->r[CPU_RSP] >= v.stack_lo && regs->r[CPU_RSP] < v.stack_hi);
	MUST(maps_find(&m->t.maps, regs->r[CPU_RSP])->flags & MAP_F_WRITE);
}

static int walk_once(struct elf_memory *m, const struct cpu_regs *regs, unsigned int end, struct walk *w)
{
	*w = (struct walk){ .m = m, .end = end };
	m->t.mem.reads_left = 1000;
	m->t.mem.bytes_left = 1ull << 22;
	remote_forget(&m->t.mem);
	return unwind(&m->t.mods, &m->t.mem, regs, on_frame, w);
}

/*
 * As a reader that has just begun. libdw keeps what it has found for as long as the file is open: where functions
 * overlap, or two expressions begin at the same byte, it is told by what was asked before which of them is found.
 */
static void begin_anew(struct elf_memory *m)
{
	for (size_t i = 0; i < m->t.mods.n; i++) {
		object_close(&m->mods[i].object);
		m->mods[i].state = MODULE_CLOSED;
		m->mods[i].verified = false;
	}
}

static void walk(struct elf_memory *m, const struct cpu_regs *regs)
{
	struct walk w;
	unsigned int all;
	int r = walk_once(m, regs, 0, &w);

	MUST(is_result(r));
	MUST(r != 0 || w.last.root);
	MUST(r == 0 || !w.frames || !w.last.root);
	all = w.frames;
	/* Whoever asks for less is told the same. */
	if (all && (walk_once(m, regs, all, &w) != 1 || w.frames != all)) {
		begin_anew(m);
		r = walk_once(m, regs, 0, &w);
		MUST(is_result(r));
		all = w.frames;
		begin_anew(m);
		MUST(!all || (walk_once(m, regs, all, &w) == 1 && w.frames == all));
	}
	prove(m, regs);
}

static void fuzz_program(const uint8_t *data, size_t size)
{
	struct elf_memory m;
	struct map *heap;

	if (elf_open(data, size, &m) < 0)
		return;
	heap = &m.maps[m.n - 1];
	if (!heap->inode) {
		if (!(data[size - 2] & 1))
			heap->kind = MAP_KIND_STACK;
		for (size_t i = 0; i < SETS; i++) {
			struct cpu_regs regs;

			memcpy(&regs, m.bytes[m.n - 1] + i * sizeof(regs), sizeof(regs));
			regs.valid &= CPU_REGS_ALL;
			walk(&m, &regs);
		}
	}
	elf_close(&m);
}

/* ---- expressions ---- */

static int page_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	(void)ctx;
	if (addr < PAGE_AT || len > REMOTE_PAGE || addr - PAGE_AT > REMOTE_PAGE - len)
		return -EFAULT;
	/* Leads back to itself, so that several steps can be taken. */
	for (size_t i = 0; i < len; i++)
		((unsigned char *)buf)[i] = (unsigned char)((addr + i) % 8 == 1 ? PAGE_AT >> 8 : 0);
	return 0;
}

static void fuzz_expression(const uint8_t *data, size_t size)
{
	struct remote mem = { .read = page_read, .reads_left = 100, .bytes_left = 1ull << 20 };
	struct cpu_regs regs = { .valid = 0 };
	struct cfi_env env = { .regs = &regs, .mem = &mem, .cfa = PAGE_AT + 64 };
	Dwarf_Op ops[OPS];
	uint64_t value = 77;
	size_t n = 0;
	int r;

	if (size < 4)
		return;
	memcpy(&regs.valid, data, 4);
	env.has_cfa = regs.valid >> 31;
	regs.valid &= CPU_REGS_ALL;
	for (size_t i = 0; i < CPU_NREGS; i++)
		regs.r[i] = i % 2 ? PAGE_AT + 8 * i : i;
	for (data += 4, size -= 4; size >= 9 && n < OPS; data += 9, size -= 9) {
		ops[n] = (Dwarf_Op){ .atom = data[0] };
		memcpy(&ops[n].number, data + 1, 8);
		ops[n].number2 = ops[n].number >> 32;
		n++;
	}
	r = cfi_value(&env, ops, n, &value);
	MUST(is_result(r) && (r == 0 || value == 77));
	value = 77;
	r = cfi_location(&env, ops, n, &value);
	MUST(is_result(r) && (r == 0 || value == 77));
	MUST(r == 0 || n != 1 || ops[0].atom < DW_OP_reg0 || ops[0].atom > DW_OP_reg16 ||
	     !(regs.valid >> (ops[0].atom - DW_OP_reg0) & 1));
}

/* libdw takes as much memory as a file makes it: in the reader's sandbox there is an end to that, so there is here. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1:max_allocation_size_mb=64";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size >= SELFMAG && !memcmp(data, ELFMAG, SELFMAG))
		fuzz_program(data, size);
	else
		fuzz_expression(data, size);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	return elf_spoil(data, size, max, seed);
}
