// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where is the allocator? From the file alone, stripped or not: memory changes
 * while the program runs, the initial values of static data don't.
 */
#include "inspect/glibc.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "inspect/glibc-layout.h"

#define BANNER "GNU C Library ("
#define BANNER_VERSION "release version 2."
#define BANNER_MAX 256

/* Searched in .rodata: 2.31-2.44 have it there, also in static programs. */
static int locate_version(const struct object *o, unsigned int *ret_minor)
{
	const unsigned char *p, *end;
	unsigned int minor = 0, digits = 0;
	size_t len;

	if (object_section_bytes(o, ".rodata", &p, &len) < 0)
		return -ENOENT;
	end = p + len;
	p = memmem(p, len, BANNER, strlen(BANNER));
	if (p)
		p = memmem(p, MIN((size_t)(end - p), (size_t)BANNER_MAX), BANNER_VERSION, strlen(BANNER_VERSION));
	if (!p)
		return -ENOENT;
	for (p += strlen(BANNER_VERSION); p < end && *p >= '0' && *p <= '9' && digits < 4; p++, digits++)
		minor = minor * 10 + (unsigned int)(*p - '0');
	if (!digits)
		return -ENOENT;
	*ret_minor = minor;
	return 0;
}

/* main_arena.next is initialised to main_arena's own address: one place only points that far back to itself. */
struct arena_search {
	uint64_t distance; /* of the next field */
	uint64_t arena;
	unsigned int hits;
};

static int arena_visit(void *ctx, uint64_t vaddr, uint64_t addend)
{
	struct arena_search *s = ctx;

	if (vaddr - addend == s->distance) {
		s->arena = addend;
		s->hits++;
	}
	return 0;
}

/* A program for a fixed address has no relocations: the pointers themselves are in the file. */
static void arena_scan(const struct object *o, struct arena_search *s)
{
	const unsigned char *p;
	uint64_t vaddr;
	size_t len;

	for (size_t n = 0; object_data_bytes(o, n, &vaddr, &p, &len) == 0; n++) {
		for (size_t at = -vaddr % 8; at + 8 <= len; at += 8) {
			uint64_t word;

			memcpy(&word, p + at, sizeof(word));
			if (vaddr + at - word == s->distance)
				(void)arena_visit(s, vaddr + at, word);
		}
	}
}

static int locate_arena(const struct object *o, const struct glibc_layout *l, uint64_t *ret)
{
	struct arena_search s = { .distance = l->arena.next };
	int r = object_relatives(o, arena_visit, &s);

	if (r < 0)
		return r;
	if (!s.hits && o->ehdr.e_type == ET_EXEC)
		arena_scan(o, &s);
	if (s.hits != 1)
		return s.hits ? -EBADMSG : -ENOENT;
	*ret = s.arena;
	return 0;
}

/* mp_ begins with trim_threshold, top_pad, mmap_threshold, arena_test, arena_max: malloc.c, 2.31-2.44. */
static int locate_par(const struct object *o, uint64_t *ret)
{
	static const uint64_t pattern[] = { 0x20000, 0x20000, 0x20000, 8, 0 };
	unsigned int hits = 0;
	const unsigned char *p;
	uint64_t vaddr, mp = 0;
	size_t len;

	for (size_t n = 0; object_data_bytes(o, n, &vaddr, &p, &len) == 0; n++) {
		for (size_t at = -vaddr % 8; at + sizeof(pattern) <= len; at += 8) {
			if (memcmp(p + at, pattern, sizeof(pattern)) != 0)
				continue;
			mp = vaddr + at;
			hits++;
		}
	}
	if (hits != 1)
		return hits ? -EBADMSG : -ENOENT;
	*ret = mp;
	return 0;
}

/*
 * The function that takes a contended lock. Exported (GLIBC_PRIVATE) in 2.36,
 * 2.41, 2.43, 2.44; in 2.31 known by its beginning only: mov (%rdi),%eax;
 * cmp $2,%eax; je +11; mov $2,%eax; xchg %eax,(%rdi); test %eax,%eax.
 */
static uint64_t locate_lock_wait(const struct object *o, bool all)
{
	static const unsigned char pattern[] = { 0x8b, 0x07, 0x83, 0xf8, 0x02, 0x74, 0x0b, 0xb8,
						 0x02, 0x00, 0x00, 0x00, 0x87, 0x07, 0x85, 0xc0 };
	const unsigned char *text, *hit, *again;
	struct object_sym sym;
	uint64_t lo, hi;
	const void *bytes;
	size_t left;

	if (object_func(o, all, "__lll_lock_wait_private", &sym) == 0)
		return sym.value;
	if (object_text(o, &lo, &hi) < 0 || object_bytes(o, lo, hi - lo, &bytes) < 0)
		return 0;
	text = bytes;
	hit = memmem(text, hi - lo, pattern, sizeof(pattern));
	if (!hit)
		return 0;
	left = (size_t)(text + (hi - lo) - (hit + 1));
	again = memmem(hit + 1, left, pattern, sizeof(pattern));
	return again ? 0 : lo + (uint64_t)(hit - text);
}

/* The slots of initial-exec variables give the place of the module's TLS block: all the same, or none is believed. */
struct tls_search {
	struct remote *mem;
	uint64_t bias, size;
	int64_t offset;
	unsigned int hits;
};

#define TLS_SLOTS 4

static int tls_visit(void *ctx, uint64_t vaddr, uint64_t addend)
{
	struct tls_search *s = ctx;
	uint64_t value;

	if (addend >= s->size)
		return 0;
	if (remote_read_u64(s->mem, s->bias + vaddr, &value) < 0)
		return -ENOENT;
	if (s->hits && (int64_t)(value - addend) != s->offset)
		return -EBADMSG;
	s->offset = (int64_t)(value - addend);
	return ++s->hits == TLS_SLOTS ? 1 : 0;
}

static bool locate_tls(struct target *t, const struct module *libc, bool is_static, int64_t *ret, uint64_t *ret_size)
{
	struct tls_search s = { .mem = &t->mem, .bias = libc->bias };
	uint64_t align;
	int r;

	if (object_tls(&libc->object, &s.size, &align) < 0)
		return false;
	if (is_static) {
		/* TLS variant II: the program's own block lies directly below the thread pointer. */
		if (s.size > INT32_MAX || align > INT32_MAX)
			return false;
		*ret = -(int64_t)((s.size + align - 1) / align * align);
		*ret_size = s.size;
		return true;
	}
	r = object_tls_slots(&libc->object, tls_visit, &s);
	/* Below the thread pointer, and not farther than a stack could be: x86-64 psABI, variant II. */
	if (r < 0 || !s.hits || s.offset >= 0 || s.offset < INT32_MIN)
		return false;
	*ret = s.offset;
	*ret_size = s.size;
	return true;
}

/*
 * Does malloc take its locks? The byte says so since 2.32 for programs, and is
 * what malloc itself looks at since 2.36; up to then a hidden variable that is
 * set in the same places. Never set back.
 */
static enum glibc_locks locate_locks(struct target *t, const struct module *libc, bool all)
{
	struct object_sym sym;
	unsigned char single;

	if (t->n_threads > 1)
		return GLIBC_LOCKS_USED;
	if (object_var(&libc->object, all, "__libc_single_threaded", &sym) < 0 || sym.size != 1 ||
	    remote_read(&t->mem, libc->bias + sym.value, &single, 1) < 0)
		return GLIBC_LOCKS_UNKNOWN;
	return single ? GLIBC_LOCKS_SKIPPED : GLIBC_LOCKS_USED;
}

static int locate_file(const struct object *o, struct glibc *g, char *why, size_t size)
{
	int r = locate_version(o, &g->minor);

	if (r < 0) {
		text_format(why, size, "its C library doesn't say which version it is");
		return -ENOTSUP;
	}
	g->major = 2;
	g->layout = glibc_layout_find(g->minor);
	if (!g->layout) {
		text_format(why, size, "its C library is glibc 2.%u, and 2.31 to 2.44 are known here", g->minor);
		return -ENOTSUP;
	}
	r = locate_arena(o, g->layout, &g->main_arena);
	if (r == 0)
		r = locate_par(o, &g->mp);
	if (r < 0)
		text_format(why, size, "its C library says glibc 2.%u but has not that version's malloc", g->minor);
	return r == -ENOENT ? -EBADMSG : r;
}

int glibc_locate(struct target *t, const struct allocator_info *info, struct glibc *ret, char *why, size_t why_size)
{
	struct module *libc = info->libc;
	struct glibc g = { .major = 0 };
	int r;

	if (!libc || module_load(libc) < 0) {
		text_format(why, why_size, "it has no glibc that can be read");
		return -ENOTSUP;
	}
	r = module_verify(libc, &t->mem);
	if (r < 0) {
		text_format(why, why_size, "its C library in memory isn't the file's");
		return r;
	}
	r = locate_file(&libc->object, &g, why, why_size);
	if (r < 0)
		return r;
	g.main_arena += libc->bias;
	g.mp += libc->bias;
	g.lock_wait = locate_lock_wait(&libc->object, info->is_static);
	g.lock_wait += g.lock_wait ? libc->bias : 0;
	g.locks = locate_locks(t, libc, info->is_static);
	g.has_tls = locate_tls(t, libc, info->is_static, &g.tls_offset, &g.tls_size);
	r = glibc_prove(t, &g, why, why_size);
	if (r < 0)
		return r;
	*ret = g;
	return 0;
}
