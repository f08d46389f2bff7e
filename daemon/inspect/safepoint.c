// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/safepoint.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "inspect/unwind.h"

#define PAGE 4096ull
#define TCB_SCAN 2304 /* sizeof(struct pthread) is 2304 in glibc 2.31-2.36, less since */
#define STACK_SIZE_MAX (64ull << 30)
#define ROOT_CODE_MAX 12

struct walk {
	const struct safepoint *sp;
	struct safepoint_verdict *verdict;
	bool program_root, thread_root;
};

#define verdict_unsafe(v, ...) (text_format((v)->why, sizeof((v)->why), __VA_ARGS__), -EAGAIN)

/*
 * Behind the call of a thread's first function clone() ends the thread:
 * mov %eax,%edi (2.32 and later) or mov %rax,%rdi; mov $__NR_exit,%eax; syscall.
 * That tells it from makecontext's first frame, which has no caller either.
 */
static bool root_is_thread(const struct unwind_frame *f)
{
	static const uint8_t exit_32[] = { 0x89, 0xc7, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05 };
	static const uint8_t exit_64[] = { 0x48, 0x89, 0xc7, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05 };
	const void *code;

	if (object_bytes(&f->module->object, f->vaddr + 1, ROOT_CODE_MAX, &code) < 0)
		return false;
	return !memcmp(code, exit_32, sizeof(exit_32)) || !memcmp(code, exit_64, sizeof(exit_64));
}

static int walk_root(struct walk *w, const struct unwind_frame *f)
{
	const uint64_t entry = w->sp->target->at_entry;

	/* crt1.o's _start is some 40 bytes long. */
	w->program_root = module_same(f->module, w->sp->program) && f->pc >= entry && f->pc < entry + 64;
	w->thread_root = root_is_thread(f);
	if (!w->program_root && !w->thread_root)
		return verdict_unsafe(w->verdict, "its stack does not begin where a program's or thread's does");
	return 0;
}

static int walk_frame(void *ctx, const struct unwind_frame *f)
{
	struct walk *w = ctx;
	const char *what;

	w->verdict->frames++;
	if (f->root)
		return walk_root(w, f);
	if (f->signal)
		return verdict_unsafe(w->verdict, "it is in a signal handler");
	if (module_same(f->module, w->sp->linker))
		return verdict_unsafe(w->verdict, "it is in the dynamic linker");
	what = module_same(f->module, w->sp->libc) ? ranges_find(&w->sp->ranges, f->vaddr) : NULL;
	if (what)
		return verdict_unsafe(w->verdict, "it is in %s", what);
	return 0;
}

/*
 * struct pthread of glibc has, one after the other, stackblock,
 * stackblock_size, guardsize and reported_guardsize (nptl/descr.h, unchanged
 * from 2.1 to 2.44). Where they are differs; that they are these four words
 * is checked against the stack pointer and the thread pointer.
 */
static bool stack_words_fit(const uint64_t *w, uint64_t rsp, uint64_t tp)
{
	uint64_t lo = w[0], size = w[1], guard = w[2];

	if (!lo || lo % PAGE || !size || size % PAGE || size > STACK_SIZE_MAX || lo > UINT64_MAX - size)
		return false;
	if (guard % PAGE || guard >= size || w[3] % PAGE || w[3] >= size)
		return false;
	return rsp > lo + guard && rsp < lo + size && tp > rsp && tp < lo + size;
}

static int stack_of_thread(const struct safepoint *sp, const struct cpu_regs *regs, struct safepoint_verdict *ret)
{
	const struct map *map = maps_find(&sp->target->maps, regs->tp);
	const uint64_t rsp = regs->r[CPU_RSP];
	uint64_t tcb[TCB_SCAN / sizeof(uint64_t)];
	size_t len = map ? MIN(sizeof(tcb), (size_t)(map->end - regs->tp)) : 0;

	if (regs->tp % sizeof(tcb[0]) || remote_read(&sp->target->mem, regs->tp, tcb, len) < 0)
		return -ENODATA;
	for (size_t i = 0; i + 4 <= len / sizeof(tcb[0]); i++) {
		if (!stack_words_fit(&tcb[i], rsp, regs->tp))
			continue;
		ret->stack_lo = tcb[i] + tcb[i + 2];
		ret->stack_hi = tcb[i] + tcb[i + 1];
		return 0;
	}
	return -ENODATA;
}

static int safepoint_stack(const struct walk *w, const struct cpu_regs *regs, struct safepoint_verdict *ret)
{
	const struct map *map = maps_find(&w->sp->target->maps, regs->r[CPU_RSP]);
	const unsigned int rw = MAP_F_READ | MAP_F_WRITE;
	int r;

	if (!map || (map->flags & (rw | MAP_F_SHARED)) != rw || map->inode)
		return verdict_unsafe(ret, "its stack is not in private memory");
	if (map->kind == MAP_KIND_STACK && w->program_root) {
		ret->stack_lo = map->start;
		ret->stack_hi = map->end;
		return 0;
	}
	if (!w->thread_root)
		return verdict_unsafe(ret, "it runs on a stack of its own making");
	r = stack_of_thread(w->sp, regs, ret);
	if (r < 0)
		return verdict_unsafe(ret, "the bounds of its stack can't be told");
	/* Some protect pages inside of their stacks: only what is writable in one piece counts. */
	ret->stack_lo = MAX(ret->stack_lo, map->start);
	return 0;
}

int safepoint_init(struct target *t, const struct allocator_info *info, struct safepoint *ret)
{
	struct safepoint sp = { .target = t, .libc = info->libc };
	int r;

	if (!info->libc)
		return -ENOTSUP;
	sp.program = target_program(t);
	sp.linker = target_linker(t);
	if (!info->is_static && !sp.linker)
		return -ENOTSUP;
	r = ranges_of_glibc(&info->libc->object, info->is_static, &sp.ranges);
	if (r < 0)
		return -ENOTSUP;
	*ret = sp;
	return 0;
}

void safepoint_prove(const struct safepoint *sp, const struct cpu_regs *regs, struct safepoint_verdict *ret)
{
	struct safepoint_verdict v = { .safe = false };
	struct walk w = { .sp = sp, .verdict = &v };
	int r;

	remote_forget(&sp->target->mem);
	/* Libraries come and go: every proof compares each file with what is mapped once more. */
	for (size_t i = 0; i < sp->target->mods.n; i++)
		sp->target->mods.v[i].verified = false;
	r = unwind(&sp->target->mods, &sp->target->mem, regs, walk_frame, &w);

	if (r == 0 && regs->valid == CPU_REGS_ALL)
		r = safepoint_stack(&w, regs, &v);
	if (r == 0) {
		v.safe = true;
	} else if (r != -EAGAIN) {
		v.unknown = true;
		(void)verdict_unsafe(&v, "its stack can't be followed after %u frame%s", v.frames,
				     v.frames == 1 ? "" : "s");
	}
	*ret = v;
}
