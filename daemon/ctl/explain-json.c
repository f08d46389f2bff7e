/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What explain has found, as one document. */
#include <errno.h>
#include <inttypes.h>

#include "ctl/explain.h"
#include "ctl/json.h"
#include "ctl/region-columns.h"
#include "ctl/trim.h"

/* A figure that nobody could read is null. */
static void figure(struct json *j, const char *key, uint64_t v)
{
	if (v == UINT64_MAX)
		json_null(j, key);
	else
		json_u64(j, key, v);
}

static void address(struct json *j, const char *key, uint64_t v)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "0x%" PRIx64, v);
	json_text(j, key, buf);
}

/* "" gives null */
static void text(struct json *j, const char *key, const char *s)
{
	json_text(j, key, s && *s ? s : NULL);
}

/* Figures by their place in a struct. */
struct member {
	const char *key;
	size_t offset;
};

static void members(struct json *j, const void *from, const struct member *v, size_t n, bool known)
{
	for (size_t i = 0; i < n; i++)
		figure(j, v[i].key, known ? *(const uint64_t *)((const char *)from + v[i].offset) : UINT64_MAX);
}

#define FIGURES(j, from, table, known) members(j, from, table, ARRAY_SIZE(table), known)

static void json_accounts(struct json *j, const struct explanation *e)
{
	static const struct member figures[] = {
		{ "mapped", offsetof(struct account, mapped) }, { "resident", offsetof(struct account, rss) },
		{ "anon", offsetof(struct account, anon) },	{ "swap", offsetof(struct account, swap) },
		{ "thp", offsetof(struct account, huge) },	{ "lazyfree", offsetof(struct account, lazyfree) },
	};

	json_open(j, "accounts", '[');
	for (enum account_kind k = 0; e->has_regions && k < ACCOUNT_N; k++) {
		json_open(j, NULL, '{');
		json_text(j, "account", account_name(k));
		json_text(j, "owner", account_owner(k));
		FIGURES(j, &e->accounts[k], figures, true);
		json_close(j);
	}
	json_close(j);
}

static void json_kernel(struct json *j, const struct explanation *e)
{
	json_open(j, NULL, '{');
	json_text(j, "layer", "kernel");
	json_accounts(j, e);
	json_open(j, "regions", '[');
	for (size_t i = 0; i < e->regions.n; i++) {
		const struct region_row row = {
			.r = &e->regions.v[i],
			.owner = account_owner((enum account_kind)e->kinds[i]),
		};

		json_open(j, NULL, '{');
		render_members(j, region_columns, region_ncolumns, &row);
		json_close(j);
	}
	json_close(j);
	json_close(j);
}

static void json_layer_state(struct json *j, uint32_t layer, const char *why)
{
	static const char *const states[] = {
		[EXPLAIN_ABSENT] = "absent",
		[EXPLAIN_READ] = "read",
		[EXPLAIN_ESTIMATE] = "estimate",
		[EXPLAIN_UNREADABLE] = "unreadable",
	};

	json_text(j, "state", states[layer]);
	text(j, "why", why);
}

static void json_page_runs(struct json *j, const struct explain_arena *a)
{
	json_open(j, "page_runs", '[');
	for (size_t i = 0; i < EXPLAIN_RUN_LOGS; i++) {
		if (!a->runs[i].count)
			continue;
		json_open(j, NULL, '{');
		json_u64(j, "pages_from", 1ull << i);
		json_u64(j, "count", a->runs[i].count);
		json_u64(j, "bytes", a->runs[i].bytes);
		json_close(j);
	}
	json_close(j);
	json_open(j, "pinned", '{');
	json_u64(j, "stretches", a->pinned.stretches);
	json_u64(j, "live_bytes", a->pinned.live_bytes);
	json_u64(j, "live_blocks", a->pinned.live_blocks);
	json_u64(j, "free_resident", a->pinned.free_resident);
	json_close(j);
}

static void json_arenas(struct json *j, const struct explain_answer *a)
{
	static const struct member figures[] = {
		{ "system", offsetof(struct explain_arena, system) },
		{ "in_use", offsetof(struct explain_arena, in_use) },
		{ "cached", offsetof(struct explain_arena, cached) },
		{ "free", offsetof(struct explain_arena, free) },
		{ "free_resident", offsetof(struct explain_arena, free_resident) },
		{ "top", offsetof(struct explain_arena, top) },
		{ "top_resident", offsetof(struct explain_arena, top_resident) },
		{ "trim", offsetof(struct explain_arena, trim) },
		{ "live_blocks", offsetof(struct explain_arena, live_blocks) },
		{ "free_blocks", offsetof(struct explain_arena, free_blocks) },
		{ "threads", offsetof(struct explain_arena, threads) },
	};

	json_open(j, "arenas", '[');
	for (uint32_t i = 0; i < a->head.narenas; i++) {
		json_open(j, NULL, '{');
		address(j, "address", a->arenas[i].address);
		json_bool(j, "main", a->arenas[i].flags & EXPLAIN_A_MAIN);
		json_bool(j, "estimate", a->arenas[i].flags & EXPLAIN_A_TORN);
		FIGURES(j, &a->arenas[i], figures, true);
		json_u64(j, "heaps", a->arenas[i].heaps);
		json_page_runs(j, &a->arenas[i]);
		json_close(j);
	}
	json_close(j);
	json_u64(j, "arenas_total", a->head.arenas_total);
}

static void json_pins(struct json *j, const struct explain_glibc *g)
{
	json_open(j, "pins", '[');
	for (size_t i = 0; i < EXPLAIN_PINS; i++) {
		if (!g->pins[i].stretches)
			continue;
		json_open(j, NULL, '{');
		json_u64(j, "live_below", 2ull << i);
		json_u64(j, "stretches", g->pins[i].stretches);
		json_u64(j, "live_bytes", g->pins[i].live_bytes);
		json_u64(j, "live_blocks", g->pins[i].live_blocks);
		json_u64(j, "free_resident", g->pins[i].free_resident);
		json_close(j);
	}
	json_close(j);
	json_open(j, "free_runs", '[');
	for (size_t i = 0; i < EXPLAIN_LOGS; i++) {
		if (!g->runs[i].count)
			continue;
		json_open(j, NULL, '{');
		json_u64(j, "size_from", 1ull << i);
		json_u64(j, "count", g->runs[i].count);
		json_u64(j, "bytes", g->runs[i].bytes);
		json_u64(j, "resident", g->runs[i].resident);
		json_close(j);
	}
	json_close(j);
}

static void json_glibc(struct json *j, const struct explanation *e)
{
	static const struct member figures[] = {
		{ "system", offsetof(struct explain_glibc, system) },
		{ "in_use", offsetof(struct explain_glibc, in_use) },
		{ "cached", offsetof(struct explain_glibc, cached) },
		{ "free", offsetof(struct explain_glibc, free) },
		{ "free_resident", offsetof(struct explain_glibc, free_resident) },
		{ "trim_threshold", offsetof(struct explain_glibc, trim_threshold) },
		{ "mmap_threshold", offsetof(struct explain_glibc, mmap_threshold) },
		{ "mmapped", offsetof(struct explain_glibc, mmapped) },
		{ "mmapped_blocks", offsetof(struct explain_glibc, mmapped_blocks) },
		{ "thread_caches", offsetof(struct explain_glibc, tcaches) },
		{ "fast_bins", offsetof(struct explain_glibc, fastbins) },
		{ "unknown", offsetof(struct explain_glibc, unknown) },
		{ "foreign", offsetof(struct explain_glibc, foreign) },
		{ "live_blocks", offsetof(struct explain_glibc, live_blocks) },
		{ "free_blocks", offsetof(struct explain_glibc, free_blocks) },
		{ "top_pad", offsetof(struct explain_glibc, top_pad) },
		{ "thp_pagesize", offsetof(struct explain_glibc, thp_pagesize) },
		{ "threads", offsetof(struct explain_glibc, threads) },
		{ "threads_read", offsetof(struct explain_glibc, threads_read) },
	};
	const struct explain_glibc *g = &e->answer.head.glibc;
	char version[32] = "";

	if (!explanation_looked(e) || g->layer == EXPLAIN_ABSENT)
		return;
	if (g->major)
		snprintf(version, sizeof(version), "%u.%u", g->major, g->minor);
	json_open(j, NULL, '{');
	json_text(j, "layer", "glibc");
	text(j, "version", version);
	json_layer_state(j, g->layer, g->why);
	FIGURES(j, g, figures, explanation_has_glibc(e));
	json_bool(j, "dynamic", g->flags & EXPLAIN_G_DYNAMIC);
	json_bool(j, "partial", g->flags & EXPLAIN_G_PARTIAL);
	json_arenas(j, &e->answer);
	json_pins(j, g);
	json_close(j);
}

static void json_classes(struct json *j, const struct explain_python *p)
{
	json_open(j, "classes", '[');
	for (size_t i = 0; i < EXPLAIN_CLASSES; i++) {
		if (!p->classes[i].pools)
			continue;
		json_open(j, NULL, '{');
		json_u64(j, "block", 16 * (i + 1));
		json_u64(j, "pools", p->classes[i].pools);
		json_u64(j, "pools_full", p->classes[i].full_pools);
		json_u64(j, "blocks_used", p->classes[i].used_blocks);
		json_u64(j, "blocks_free", p->classes[i].free_blocks);
		json_close(j);
	}
	json_close(j);
	json_open(j, "pins", '[');
	for (size_t i = 0; i < EXPLAIN_PYTHON_PINS; i++) {
		if (!p->pins[i].arenas)
			continue;
		json_open(j, NULL, '{');
		figure(j, "live_at_most", p->pins[i].limit);
		json_u64(j, "arenas", p->pins[i].arenas);
		json_u64(j, "live_blocks", p->pins[i].live_blocks);
		json_u64(j, "live_bytes", p->pins[i].live_bytes);
		json_u64(j, "free_bytes", p->pins[i].free_bytes);
		json_close(j);
	}
	json_close(j);
}

static void json_python(struct json *j, const struct explanation *e)
{
	static const struct member figures[] = {
		{ "arenas", offsetof(struct explain_python, arenas) },
		{ "arena_bytes", offsetof(struct explain_python, arena_bytes) },
		{ "arena_size", offsetof(struct explain_python, arena_size) },
		{ "pool_size", offsetof(struct explain_python, pool_size) },
		{ "pools_partly_used", offsetof(struct explain_python, pools_used) },
		{ "pools_full", offsetof(struct explain_python, pools_full) },
		{ "pools_free", offsetof(struct explain_python, pools_free) },
		{ "pools_virgin", offsetof(struct explain_python, pools_virgin) },
		{ "pools_retired", offsetof(struct explain_python, pools_retired) },
		{ "in_use", offsetof(struct explain_python, in_use) },
		{ "free", offsetof(struct explain_python, free) },
		{ "resident", offsetof(struct explain_python, resident) },
		{ "free_resident", offsetof(struct explain_python, free_resident) },
		{ "free_resident_pools", offsetof(struct explain_python, free_resident_pools) },
		{ "free_resident_blocks", offsetof(struct explain_python, free_resident_blocks) },
		{ "blocks_used", offsetof(struct explain_python, used_blocks) },
		{ "blocks_free", offsetof(struct explain_python, free_blocks) },
		{ "unknown", offsetof(struct explain_python, unknown) },
	};
	const struct explain_python *p = &e->answer.head.python;
	const bool known = explanation_has_python(e);
	char version[32] = "";

	if (!explanation_looked(e) || p->layer == EXPLAIN_ABSENT)
		return;
	if (p->version)
		explain_python_version(p->version, version, sizeof(version));
	json_open(j, NULL, '{');
	json_text(j, "layer", "cpython");
	text(j, "version", version);
	json_layer_state(j, p->layer, p->why);
	json_bool(j, "free_threaded", p->flags & EXPLAIN_P_FREE_THREADED);
	/* As one figure: pools with live blocks. */
	figure(j, "pools_used", known ? p->pools_used + p->pools_full : UINT64_MAX);
	FIGURES(j, p, figures, known);
	json_classes(j, p);
	json_close(j);
}

static void json_remedies(struct json *j, const struct explain_head *h)
{
	json_open(j, "remedies", '[');
	for (uint32_t i = 0; i < h->nremedies; i++) {
		json_open(j, NULL, '{');
		json_text(j, "remedy", trim_remedy_name(h->remedies[i].remedy));
		json_bool(j, "possible", h->remedies[i].possible);
		text(j, "reason", h->remedies[i].reason);
		figure(j, "predicted", h->remedies[i].predicted);
		figure(j, "lower", h->remedies[i].lower);
		figure(j, "upper", h->remedies[i].upper);
		figure(j, "deep", h->remedies[i].deep);
		json_close(j);
	}
	json_close(j);
}

static void json_process(struct json *j, const struct explanation *e)
{
	const struct proc *p = &e->proc;
	uint64_t lazyfree = 0, huge = 0;

	for (size_t i = 0; i < e->regions.n; i++) {
		lazyfree += e->regions.v[i].lazyfree;
		huge += e->regions.v[i].huge;
	}
	json_i64(j, "pid", p->pid);
	json_u64(j, "start_time", p->start_time);
	json_text(j, "comm", p->comm);
	text(j, "exe", p->exe);
	figure(j, "rss", p->rss);
	figure(j, "anon", p->anon);
	figure(j, "file", p->file);
	figure(j, "shmem", p->shmem);
	figure(j, "swap", p->swap);
	figure(j, "lazyfree", e->has_regions ? lazyfree : UINT64_MAX);
	figure(j, "thp", e->has_regions ? huge : UINT64_MAX);
}

int explain_print_json(struct ctl *ctl, const struct explanation *e)
{
	const struct explain_head *h = &e->answer.head;
	struct json j;

	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_process(&j, e);
	json_text(&j, "allocator", explain_allocator_name(h->allocator));
	json_text(&j, "also", explain_allocator_name(h->also));
	json_text(&j, "runtime", explain_runtime_name(h->runtime));
	text(&j, "reason", h->reason);
	json_u64(&j, "stopped_us", 0);
	json_u64(&j, "elapsed_us", h->elapsed_us);
	json_open(&j, "layers", '[');
	json_kernel(&j, e);
	json_glibc(&j, e);
	json_python(&j, e);
	json_close(&j);
	json_remedies(&j, h);
	json_open(&j, "notes", '[');
	for (size_t i = 0; i < e->notes.n; i++)
		json_text(&j, NULL, e->notes.text[i]);
	json_close(&j);
	json_close(&j);
	return json_finish(&j);
}
