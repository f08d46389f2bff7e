// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=131072 -len_control=0 */
/*
 * An interpreter whose state is hostile: is it found, what is believed of its roots, its threads, its queue of pending
 * calls, its arenas' list; and what a purge would write and drop there. Inputs are programs that hold such a state
 * (elf-memory.h, seeds/cpython).
 */
#include "elf-memory.h"
#include "inspect/cpython-queue.h"
#include "python-look.h"
#include "python-purge.h"

#define MAGIC 0x6d6c6372ull

static void *at(void *ctx, uint64_t addr, size_t len)
{
	return elf_at(ctx, addr, len);
}

static uint8_t *flags_at(void *ctx, uint64_t addr)
{
	return elf_flags_at(ctx, addr);
}

static void budget(struct elf_memory *m)
{
	remote_forget(&m->t.mem);
	m->t.mem.reads_left = 5000;
	m->t.mem.bytes_left = 1ull << 24;
}

static void ask_queue(struct elf_memory *m, const struct cpython *py, const struct safepoint *sp)
{
	struct cpu_regs regs = { .valid = CPU_REGS_ALL };
	struct cpython_queue q;
	char why[CPYTHON_TEXT_MAX];
	uint64_t at;

	regs.r[CPU_RIP] = m->t.at_entry;
	budget(m);
	if (cpython_queue_find(&m->t, py, &q) == 0) {
		MUST(q.lock && q.calls && (q.mutex ? q.stride == 24 && q.ncalls == 300 : q.ncalls == 32));
		MUST(elf_at(m, q.lock, 1) && elf_at(m, q.calls, (size_t)q.stride * q.ncalls));
		for (uint64_t i = 0; i < 32; i++) {
			regs.tp = 0x10000700ull + i / 2 * 32;
			why[0] = '\0';
			MUST(cpython_prove_queue(sp, py, &q, &regs, i & 1, why, sizeof(why)) == 0 || why[0]);
		}
	}
	budget(m);
	if (cpython_find_gc_collect(&m->t, py, &at) == 0)
		MUST(maps_find(&m->t.maps, at) && maps_find(&m->t.maps, at)->flags & MAP_F_EXEC);
	if (cpython_spare_room(sp, py, MAGIC, 512, &at) == 0) {
		MUST(at % 16 == 0 && maps_find(&m->t.maps, at)->flags & MAP_F_WRITE && elf_at(m, at, 512));
		for (size_t i = 0; i < 512; i++)
			MUST(!elf_at(m, at, 512)[i] || !memcmp(elf_at(m, at, 8), &(uint64_t){ MAGIC }, 8));
	}
}

static void ask(struct elf_memory *m, struct cpython *py, uint8_t how)
{
	const struct safepoint sp = { .target = &m->t, .libc = py->module, .program = target_program(&m->t) };
	const struct purge_memory pm = { &m->t, at, flags_at, m };
	struct pymalloc_facts glance;
	int r;

	MUST(py->module && CPYTHON_MINOR(py->version) >= 0x0308 && CPYTHON_MINOR(py->version) <= 0x030f);
	MUST(py->interp && py->interp % 8 == 0 && py->gil && (py->usedpools || py->pymalloc_why[0]));
	MUST(!py->usedpools ||
	     (py->arenas_at && py->maxarenas_at && (py->pool_size == 4096 || py->pool_size == 16384) &&
	      py->arena_size % py->pool_size == 0));
	for (uint64_t i = 0; i < 16; i++)
		python_thread(&m->t, py, 0x10000700ull + i * 32);
	r = cpython_finalizing(&m->t, py);
	MUST(r <= 1);
	ask_queue(m, py, &sp);
	budget(m);
	if (cpython_locate_lists(&m->t, py) == 0)
		MUST(py->usable_arenas_at && py->nfp2lasta_at);
	budget(m);
	python_look(&m->t, py);
	if (pymalloc_glance(&m->t, py, &glance) == 0)
		MUST(glance.free_resident <= glance.arena_bytes);
	python_purge(&pm, py, how & 1, how & 2 ? 8 : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[CPYTHON_TEXT_MAX] = "";
	struct elf_memory m;
	struct cpython py;
	int r;

	if (elf_open(data, size, &m) < 0)
		return 0;
	budget(&m);
	r = cpython_locate(&m.t, &py, why);
	MUST((r < 0) == !!why[0]);
	if (r == 0)
		ask(&m, &py, data[size - 2]);
	elf_close(&m);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	return elf_spoil(data, size, max, seed);
}
