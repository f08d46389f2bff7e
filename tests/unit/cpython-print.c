// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpython-print.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int visit_arena(void *ctx, const struct pymalloc_arena *a)
{
	struct visits *v = ctx;

	v->arenas++;
	v->last = a->base - 1;
	return 0;
}

int visit_pool(void *ctx, const struct pymalloc_arena *a, const struct pymalloc_pool *p)
{
	struct visits *v = ctx;

	(void)a;
	v->pools[p->state]++;
	v->invalid_blocks += p->state == PYMALLOC_USED && !p->blocks_valid;
	v->out_of_order += p->address <= v->last;
	v->last = p->address;
	return 0;
}

static void print_u64(const char *name, uint64_t v)
{
	printf("\"%s\":%" PRIu64 ",", name, v);
}

static void print_facts(const struct pymalloc_facts *f, const struct visits *v)
{
#define F(x) print_u64(#x, f->x)
	F(arenas), F(arena_bytes), F(pools_used), F(pools_full), F(pools_free), F(pools_listed), F(pools_virgin);
	F(pools_retired), F(used_blocks), F(free_blocks), F(in_use), F(free), F(resident), F(free_resident);
	F(free_resident_pools), F(free_resident_blocks), F(torn_arenas), F(unknown), F(ns);
#undef F
	print_u64("visited_arenas", v->arenas);
	print_u64("visited_used", v->pools[PYMALLOC_USED]);
	print_u64("visited_full", v->pools[PYMALLOC_FULL]);
	print_u64("visited_free", v->pools[PYMALLOC_FREE]);
	print_u64("visited_virgin", v->pools[PYMALLOC_VIRGIN]);
	print_u64("visited_retired", v->pools[PYMALLOC_RETIRED]);
	print_u64("invalid_blocks", v->invalid_blocks);
	print_u64("out_of_order", v->out_of_order);
	printf("\"pins\":[");
	for (size_t i = 0; i < PYMALLOC_PINS; i++)
		printf("%s[%" PRId64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", i ? "," : "", (int64_t)f->pins[i].limit,
		       f->pins[i].arenas, f->pins[i].live_blocks, f->pins[i].free_bytes);
	printf("],\"classes\":{");
	for (size_t i = 0; i < PYMALLOC_CLASSES; i++)
		printf("%s\"%zu\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", i ? "," : "", i, f->classes[i].pools,
		       f->classes[i].used_blocks, f->classes[i].free_blocks);
	printf("}");
}

static int open_target(const char *pid, struct target *ret)
{
	_cleanup_close_ int dir = -1;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%s", pid);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno : target_open(dir, ret);
}

/* For each thread that Python knows, why it must not run Python: "" when it may. */
static void print_threads(struct target *t, const struct cpython *py)
{
	uint64_t at = 0, tp = 0;
	bool first = true;

	printf("\"threads\":[");
	if (remote_read(&t->mem, py->interp + py->threads_head, &at, sizeof(at)) < 0)
		at = 0;
	for (size_t i = 0; at && i < 1000; i++) {
		struct cpython_thread th;

		if (remote_read(&t->mem, at + py->thread_id, &tp, sizeof(tp)) < 0)
			break;
		cpython_thread(t, py, tp, &th);
		printf("%s\"%s\"", first ? "" : ",", th.why);
		first = false;
		if (remote_read(&t->mem, at + 8, &at, sizeof(at)) < 0)
			break;
	}
	printf("],");
}

int read_process(const char *pid, const char *how)
{
	_cleanup_(target_close) struct target t = TARGET_CLOSED;
	const struct pymalloc_visitor visitor = { visit_arena, visit_pool, NULL };
	struct pymalloc_visitor v = visitor;
	struct visits visits = { 0 };
	struct pymalloc_facts f;
	char why[CPYTHON_TEXT_MAX], version[24];
	struct cpython py;
	int r = open_target(pid, &t);

	if (r == 0)
		r = cpython_locate(&t, &py, why);
	if (r < 0) {
		printf("{\"error\":%d,\"why\":\"%s\"}\n", r, why);
		return 1;
	}
	printf("{\"version\":\"%s\",\"free_threaded\":%d,\"pymalloc_why\":\"%s\",",
	       cpython_version_text(py.version, version), py.free_threaded, py.pymalloc_why);
	print_u64("runtime", py.runtime);
	print_u64("interp", py.interp);
	print_u64("gil", py.gil);
	print_u64("gc_enabled_at", py.gc_enabled_at);
	print_u64("finalizing", (uint64_t)cpython_finalizing(&t, &py));
	print_u64("usedpools", py.usedpools);
	print_u64("arenas_at", py.arenas_at);
	print_u64("maxarenas_at", py.maxarenas_at);
	print_u64("pool_size", py.pool_size);
	print_u64("arena_size", py.arena_size);
	print_u64("remote_enabled_at", py.remote_enabled_at);
	printf("\"lists\":%d,", cpython_locate_lists(&t, &py));
	print_u64("usable_arenas_at", py.usable_arenas_at);
	print_u64("nfp2lasta_at", py.nfp2lasta_at);
	for (size_t i = 0; i < CPYTHON_NFUNCS; i++)
		printf("\"func%zu\":%" PRIu64 ",", i, py.func[i]);
	print_threads(&t, &py);
	v.ctx = &visits;
	t.fds.no_scan = !strcmp(how, "glance");
	if (!py.usedpools)
		r = -ENOENT;
	else if (!strcmp(how, "glance"))
		r = pymalloc_glance(&t, &py, &f);
	else
		r = pymalloc_look(&t, &py, strcmp(how, "cheap") ? PYMALLOC_BLOCKS : 0, &v, &f);
	if (r == 0)
		print_facts(&f, &visits);
	else
		printf("\"look\":%d", r);
	printf("}\n");
	return 0;
}
