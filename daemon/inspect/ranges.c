// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCATOR_MAX (128 * 1024ull) /* glibc 2.31-2.44: 25 to 60 KiB with neighbours */

/*
 * Functions of malloc/malloc.o, exported (2.31-2.44) or, in a program that is
 * linked statically, local ones. Sorted by name.
 */
static const char *const allocator_funcs[] = {
	"__default_morecore",
	"__free_mem",
	"__libc_calloc",
	"__libc_free",
	"__libc_freeres_mem",
	"__libc_mallinfo",
	"__libc_mallinfo2",
	"__libc_malloc",
	"__libc_mallopt",
	"__libc_memalign",
	"__libc_pvalloc",
	"__libc_realloc",
	"__libc_valloc",
	"__malloc_arena_thread_freeres",
	"__malloc_check_init",
	"__malloc_fork_lock_parent",
	"__malloc_fork_unlock_child",
	"__malloc_fork_unlock_parent",
	"__malloc_info",
	"__malloc_stats",
	"__malloc_trim",
	"__malloc_usable_size",
	"__posix_memalign",
	"_int_free",
	"_int_free_chunk",
	"_int_free_create_chunk",
	"_int_free_maybe_consolidate",
	"_int_free_merge_chunk",
	"_int_malloc",
	"_int_memalign",
	"_int_realloc",
	"_mid_memalign",
	"aligned_alloc",
	"arena_get2",
	"arena_get_retry",
	"calloc",
	"cfree",
	"detach_arena",
	"free",
	"free_aligned_sized",
	"free_sized",
	"get_free_list",
	"heap_trim",
	"mallinfo",
	"mallinfo2",
	"malloc",
	"malloc_consolidate",
	"malloc_get_state",
	"malloc_info",
	"malloc_printerr",
	"malloc_set_state",
	"malloc_stats",
	"malloc_trim",
	"malloc_usable_size",
	"mallopt",
	"memalign",
	"mremap_chunk",
	"munmap_chunk",
	"new_heap",
	"posix_memalign",
	"ptmalloc_init",
	"pvalloc",
	"realloc",
	"sysmalloc",
	"sysmalloc_mmap",
	"systrim",
	"tcache_init",
	"tcache_key_initialize",
	"tcache_thread_shutdown",
	"unlink_chunk",
	"valloc",
};

/* No place to borrow a thread: it holds every arena lock, is dying, or is between two stacks. */
static const char *const unsafe_funcs[] = {
	"_Fork",	  "__assert_fail", "__chk_fail",    "__clone",	       "__fork",
	"__fortify_fail", "__libc_fatal",  "__libc_fork",   "__libc_longjmp",  "__libc_siglongjmp",
	"__longjmp",	  "__longjmp_chk", "__posix_spawn", "__start_context", "__vfork",
	"_longjmp",	  "abort",	   "clone",	    "dl_iterate_phdr", "exit",
	"fork",		  "getcontext",	   "longjmp",	    "makecontext",     "posix_spawn",
	"posix_spawnp",	  "pthread_exit",  "quick_exit",    "setcontext",      "siglongjmp",
	"swapcontext",	  "vfork",
};

/* A function that is named in one of the tables, and for the allocator's the room around it. */
struct func {
	uint64_t lo, hi;
	uint64_t room_lo, room_hi; /* up to the nearest foreign function on each side */
	const char *unsafe; /* NULL: one of the allocator's */
};

#define FUNCS_MAX RANGES_MAX
#define FILTER_BITS 4096

struct func_list {
	struct func v[FUNCS_MAX];
	size_t n;
	uint64_t near_lo, near_hi; /* functions farther away can't bound the allocator's */
	uint64_t filter[FILTER_BITS / 64]; /* which beginnings of names are worth a search */
};

static unsigned int filter_bit(const char *name)
{
	const unsigned char *c = (const unsigned char *)name;

	return ((c[0] * 33u + (c[0] ? c[1] : 0)) * 33u + (c[0] && c[1] ? c[2] : 0)) % FILTER_BITS;
}

static void filter_add(struct func_list *l, const char *const *table, size_t n)
{
	for (size_t i = 0; i < n; i++)
		l->filter[filter_bit(table[i]) / 64] |= 1ull << (filter_bit(table[i]) % 64);
}

static int name_compare(const void *key, const void *elem)
{
	return strcmp(key, *(const char *const *)elem);
}

static const char *name_find(const char *name, const char *const *table, size_t n)
{
	const char *const *hit = bsearch(name, table, n, sizeof(*table), name_compare);

	return hit ? *hit : NULL;
}

/* gcc splits functions: "_int_free.part.0", "sysmalloc.cold". */
static const char *name_base(const char *name, char *buf, size_t size)
{
	size_t len = strcspn(name, ".");

	if (!name[len] || len >= size)
		return name;
	memcpy(buf, name, len);
	buf[len] = '\0';
	return buf;
}

/* An alias of one that is there already. */
static bool func_known(const struct func_list *l, const struct object_sym *sym, const char *unsafe)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].lo == sym->value && l->v[i].hi - l->v[i].lo == sym->size && !l->v[i].unsafe == !unsafe)
			return true;
	return false;
}

static int func_add(void *ctx, const struct object_sym *sym)
{
	struct func_list *l = ctx;
	const char *name, *unsafe;
	char buf[64];

	if (!(l->filter[filter_bit(sym->name) / 64] & (1ull << (filter_bit(sym->name) % 64))))
		return 0;
	name = name_base(sym->name, buf, sizeof(buf));
	unsafe = name_find(name, unsafe_funcs, ARRAY_SIZE(unsafe_funcs));
	if (!unsafe && !name_find(name, allocator_funcs, ARRAY_SIZE(allocator_funcs)))
		return 0;
	if (func_known(l, sym, unsafe))
		return 0;
	if (l->n >= FUNCS_MAX || sym->size > UINT64_MAX - sym->value)
		return -EBADMSG;
	if (!unsafe) {
		l->near_lo = MIN(l->near_lo, sym->value > ALLOCATOR_MAX ? sym->value - ALLOCATOR_MAX : 0);
		l->near_hi = MAX(l->near_hi, sym->value + ALLOCATOR_MAX);
	}
	l->v[l->n++] = (struct func){
		.lo = sym->value,
		.hi = sym->value + sym->size,
		.room_lo = 0,
		.room_hi = UINT64_MAX,
		.unsafe = unsafe,
	};
	return 0;
}

/* Narrows the room around the allocator's functions by a function that isn't one of them. */
static int func_bound(void *ctx, const struct object_sym *sym)
{
	struct func_list *l = ctx;
	uint64_t end = sym->value + sym->size;

	/* An unknown local function may be one of malloc.o's: only foreign global ones are a bound. */
	if (sym->local || end < l->near_lo || sym->value > l->near_hi || end < sym->value)
		return 0;
	for (size_t i = 0; i < l->n; i++)
		if (!l->v[i].unsafe && l->v[i].lo == sym->value)
			return 0; /* an allocator function, under this or another name */
	for (size_t i = 0; i < l->n; i++) {
		struct func *f = &l->v[i];

		if (sym->value < f->lo)
			f->room_lo = MAX(f->room_lo, MIN(end, f->lo));
		else
			f->room_hi = MIN(f->room_hi, MAX(sym->value, f->hi));
	}
	return 0;
}

int ranges_of_glibc(const struct object *o, bool all, struct ranges *ret)
{
	struct ranges ranges = { .n = 0 };
	struct func_list l = { .near_lo = UINT64_MAX };
	bool allocator = false;
	int r;

	filter_add(&l, allocator_funcs, ARRAY_SIZE(allocator_funcs));
	filter_add(&l, unsafe_funcs, ARRAY_SIZE(unsafe_funcs));
	r = object_funcs(o, all, func_add, &l);
	if (r == 0)
		r = object_funcs(o, all, func_bound, &l);
	if (r < 0)
		return r;
	for (size_t i = 0; i < l.n; i++) {
		const struct func *f = &l.v[i];
		struct range range = { .lo = f->lo, .hi = f->hi, .what = f->unsafe };

		if (!f->unsafe) {
			range = (struct range){ .lo = f->room_lo, .hi = f->room_hi, .what = "the allocator" };
			allocator = true;
			if (!range.lo || range.hi - range.lo > ALLOCATOR_MAX)
				return -EBADMSG;
		}
		ranges.v[ranges.n++] = range;
	}
	if (!allocator)
		return -ENOENT;
	*ret = ranges;
	return 0;
}

const char *ranges_find(const struct ranges *r, uint64_t vaddr)
{
	for (size_t i = 0; i < r->n; i++)
		if (vaddr >= r->v[i].lo && vaddr < r->v[i].hi)
			return r->v[i].what;
	return NULL;
}
