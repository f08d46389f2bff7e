// SPDX-License-Identifier: GPL-2.0-or-later
#include "glibc-image.h"

#include <errno.h>
#include <string.h>

#include "inspect/glibc-layout.h"
#include "inspect/glibc-state.h"

#define PARTS_MAX 512
#define NOTES_MAX 512
#define THREADS_MAX 64
#define READS_MAX 200000
#define BYTES_MAX (256u << 20)
#define CANDIDATES 64

struct recording {
	struct image_part parts[PARTS_MAX];
	struct image_note notes[NOTES_MAX];
	size_t n_parts, n_notes;
};

static void record_part(struct recording *rec, uint64_t lo, uint64_t hi)
{
	if (rec->n_parts < PARTS_MAX)
		rec->parts[rec->n_parts++] = (struct image_part){ .lo = page_down(lo), .hi = page_up(hi) };
}

static void record_note(struct recording *rec, const char *name, uint64_t value)
{
	struct image_note *note = &rec->notes[rec->n_notes];

	if (rec->n_notes == NOTES_MAX)
		return;
	memset(note, 0, sizeof(*note));
	memcpy(note->name, name, MIN(strlen(name), sizeof(note->name)));
	note->value = value;
	rec->n_notes++;
}

static int part_compare(const void *a, const void *b)
{
	const struct image_part *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Ascending and disjoint, as image_record() wants them. */
static void record_sort(struct recording *rec)
{
	size_t n = 0;

	qsort(rec->parts, rec->n_parts, sizeof(rec->parts[0]), part_compare);
	for (size_t i = 0; i < rec->n_parts; i++) {
		if (n && rec->parts[i].lo <= rec->parts[n - 1].hi)
			rec->parts[n - 1].hi = MAX(rec->parts[n - 1].hi, rec->parts[i].hi);
		else
			rec->parts[n++] = rec->parts[i];
	}
	rec->n_parts = n;
}

static int record_heaps(struct target *t, const struct glibc *g, struct recording *rec)
{
	struct glibc_heap *heaps = NULL;
	uint64_t *arenas = NULL;
	size_t n_arenas = 0, n = 0, room = 0;
	struct glibc_par par;
	int r = glibc_par_read(t, g, &par);

	if (r == 0)
		r = glibc_arena_list(t, g, &arenas, &n_arenas);
	for (size_t i = 0; r == 0 && i < n_arenas; i++) {
		struct glibc_state s;

		r = glibc_state_read(t, g, arenas[i], &s);
		if (r == 0)
			r = glibc_heaps_add(t, g, &par, &s, (uint32_t)i, &heaps, &n, &room);
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		record_part(rec, heaps[i].start, heaps[i].end);
	free(heaps);
	free(arenas);
	return r;
}

static void record_threads(const struct target *t, const struct glibc *g, struct recording *rec)
{
	for (size_t i = 0; i < t->n_threads && i < THREADS_MAX; i++) {
		record_note(rec, "robust", t->threads[i].robust);
		/* struct pthread, and the thread-local variables below it */
		record_part(rec, t->threads[i].robust - 4096 + (uint64_t)g->tls_offset, t->threads[i].robust + 16);
	}
}

static void record_facts(const struct glibc_facts *f, struct recording *rec)
{
	record_note(rec, "want.arenas", f->n_arenas);
	record_note(rec, "want.system", f->system);
	record_note(rec, "want.in_use", f->in_use);
	record_note(rec, "want.fastbins", f->fastbins);
	record_note(rec, "want.tcaches", f->tcaches);
	record_note(rec, "want.free", f->free);
	record_note(rec, "want.free_resident", f->free_resident);
	record_note(rec, "want.live_blocks", f->live_blocks);
	record_note(rec, "want.free_blocks", f->free_blocks);
	record_note(rec, "want.trim", f->trim);
}

int glibc_image_record(struct target *t, const struct glibc *g, const char *maps_text, FILE *out)
{
	struct recording *rec = calloc(1, sizeof(*rec));
	struct glibc_facts f = { .system = 0 };
	int r = rec ? glibc_look(t, g, 0, NULL, &f) : -ENOMEM;

	if (r == 0) {
		record_note(rec, "minor", g->minor);
		record_note(rec, "main_arena", g->main_arena);
		record_note(rec, "mp", g->mp);
		record_note(rec, "tls_offset", (uint64_t)g->tls_offset);
		record_note(rec, "tls_size", g->tls_size);
		record_facts(&f, rec);
		record_part(rec, g->main_arena, g->main_arena + g->layout->arena.size);
		record_part(rec, g->mp, g->mp + g->layout->par.size);
		record_threads(t, g, rec);
		r = record_heaps(t, g, rec);
	}
	if (r == 0) {
		record_sort(rec);
		r = image_record(&t->mem, rec->parts, rec->n_parts, rec->notes, rec->n_notes, maps_text, out);
	}
	glibc_facts_done(&f);
	free(rec);
	return r;
}

/* The image, with one lock taken in it. */
static int locked_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct glibc_image *gi = ctx;
	const uint32_t taken = 1;
	int r = gi->plain.read(gi->plain.ctx, addr, buf, len);

	if (r == 0 && gi->locked >= addr && gi->locked - addr < len && len - (gi->locked - addr) >= sizeof(taken))
		memcpy((char *)buf + (gi->locked - addr), &taken, sizeof(taken));
	return r;
}

static int locked_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	struct glibc_image *gi = ctx;

	return gi->plain.pages(gi->plain.ctx, addr, n, ret);
}

int glibc_image_open(const void *bytes, size_t len, struct glibc_image *ret)
{
	struct glibc_image gi = { .t = TARGET_CLOSED };
	uint64_t minor, offset, robust;
	int r = image_open(bytes, len, &gi.img);

	if (r < 0)
		return r;
	if (image_note(&gi.img, "minor", 0, &minor) < 0 || minor > 1000 || !glibc_layout_find((unsigned int)minor) ||
	    image_note(&gi.img, "main_arena", 0, &gi.g.main_arena) < 0 || image_note(&gi.img, "mp", 0, &gi.g.mp) < 0) {
		image_close(&gi.img);
		return -EBADMSG;
	}
	gi.g.major = 2;
	gi.g.minor = (unsigned int)minor;
	gi.g.layout = glibc_layout_find(gi.g.minor);
	gi.g.has_tls = image_note(&gi.img, "tls_offset", 0, &offset) == 0 &&
		       image_note(&gi.img, "tls_size", 0, &gi.g.tls_size) == 0;
	gi.g.tls_offset = gi.g.has_tls ? (int64_t)offset : 0;
	gi.t.threads = calloc(THREADS_MAX, sizeof(*gi.t.threads));
	if (!gi.t.threads) {
		image_close(&gi.img);
		return -ENOMEM;
	}
	while (gi.t.n_threads < THREADS_MAX && image_note(&gi.img, "robust", gi.t.n_threads, &robust) == 0)
		gi.t.threads[gi.t.n_threads++].robust = robust;
	*ret = gi;
	ret->t.maps = ret->img.maps;
	image_remote(&ret->img, READS_MAX, BYTES_MAX, &ret->plain);
	ret->t.mem = ret->plain;
	ret->t.mem.read = locked_read;
	ret->t.mem.pages = locked_pages;
	ret->t.mem.ctx = ret;
	return 0;
}

void glibc_image_close(struct glibc_image *gi)
{
	free(gi->t.threads);
	image_close(&gi->img);
	*gi = (struct glibc_image){ .t = TARGET_CLOSED };
}

static void require(bool what)
{
	if (!what)
		abort();
}

static int exercise_range(void *ctx, const struct glibc_range *range)
{
	(void)ctx;
	require(range->lo < range->hi && range->lo % REMOTE_PAGE == 0 && range->hi % REMOTE_PAGE == 0);
	require(range->lo >= range->chunk + CHUNK_HEADER && range->resident <= range->hi - range->lo);
	return 0;
}

static void exercise_arena(struct glibc_image *gi, uint64_t arena)
{
	struct glibc_range v[CANDIDATES];
	struct glibc_cursor cursor = { .heap = 0 };
	struct glibc_check limits = { .max_ranges = CANDIDATES / 2 };

	for (int rounds = 0; !cursor.end && rounds < 100; rounds++) {
		size_t n = 0, good = 0, used = 0;
		int r;

		if (glibc_prescan(&gi->t, &gi->g, arena, &cursor, v, CANDIDATES, 16 * REMOTE_PAGE, &n) < 0)
			return;
		require(n <= CANDIDATES && (n || cursor.end));
		for (size_t i = 0; i < n; i++)
			require(exercise_range(NULL, &v[i]) == 0);
		gi->locked = arena;
		r = glibc_check_ranges(&gi->t, &gi->g, arena, v, n, &limits, v, &good, &used);
		gi->locked = 0;
		if (r < 0)
			continue;
		require(good <= used && used <= n && good <= limits.max_ranges);
		for (size_t i = 0; i < good; i++)
			require(exercise_range(NULL, &v[i]) == 0);
	}
}

static uint64_t runs_bytes(const struct page_runs *runs)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < PAGE_RUNS_LOGS; i++)
		sum += runs->bytes[i];
	return sum;
}

void glibc_image_exercise(struct glibc_image *gi)
{
	struct glibc_visitor v = { .range = exercise_range };
	struct glibc_facts f = { .system = 0 };
	char why[200] = "";

	if (glibc_prove(&gi->t, &gi->g, why, sizeof(why)) < 0) {
		require(*why);
		return;
	}
	for (unsigned int flags = 0; flags <= GLIBC_CHEAP; flags += GLIBC_CHEAP) {
		if (glibc_look(&gi->t, &gi->g, flags, flags ? NULL : &v, &f) < 0)
			continue;
		require(f.in_use + f.cached + f.free + f.unknown == f.system);
		for (size_t i = 0; i < f.n_arenas && i < 8; i++) {
			const struct glibc_arena *a = &f.arenas[i];

			require(a->in_use + a->cached + a->free + a->unknown == a->system);
			require(flags || a->torn || runs_bytes(&a->runs) == a->free_resident);
			exercise_arena(gi, a->address);
		}
		glibc_facts_done(&f);
		f = (struct glibc_facts){ .system = 0 };
	}
}
