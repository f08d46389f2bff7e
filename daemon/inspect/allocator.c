// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/allocator.h"

#include <errno.h>
#include <string.h>

static const char *const allocator_names[] = {
	[ALLOCATOR_GLIBC] = "glibc",	   [ALLOCATOR_MUSL] = "musl",
	[ALLOCATOR_JEMALLOC] = "jemalloc", [ALLOCATOR_TCMALLOC] = "tcmalloc",
	[ALLOCATOR_MIMALLOC] = "mimalloc", [ALLOCATOR_TBB] = "tbbmalloc",
	[ALLOCATOR_GO] = "the Go runtime", [ALLOCATOR_OTHER] = "another malloc",
};

/* Functions that only one allocator exports. */
static const struct {
	const char *func;
	enum allocator_kind kind;
} allocator_marks[] = {
	{ "mallctl", ALLOCATOR_JEMALLOC }, /* jemalloc 3-5 */
	{ "je_mallctl", ALLOCATOR_JEMALLOC },
	{ "_rjem_mallctl", ALLOCATOR_JEMALLOC }, /* Rust's tikv-jemallocator */
	{ "MallocExtension_ReleaseFreeMemory", ALLOCATOR_TCMALLOC }, /* gperftools */
	{ "tc_malloc", ALLOCATOR_TCMALLOC },
	{ "TCMallocInternalMalloc", ALLOCATOR_TCMALLOC }, /* google/tcmalloc */
	{ "mi_malloc", ALLOCATOR_MIMALLOC },
	{ "scalable_malloc", ALLOCATOR_TBB },
};

/* What a module exports. */
struct marks {
	bool malloc, trim, glibc, marked;
	enum allocator_kind kind;
};

const char *allocator_name(enum allocator_kind kind)
{
	return allocator_names[kind];
}

static bool marks_has(const struct module *mod, bool all, const char *name)
{
	struct object_sym sym;

	return object_func(&mod->object, all, name, &sym) == 0;
}

static struct marks marks_of(struct module *mod, bool all)
{
	struct marks m = { .kind = ALLOCATOR_OTHER };

	if (module_load(mod) < 0)
		return m;
	m.malloc = marks_has(mod, all, "malloc");
	m.trim = m.malloc && marks_has(mod, all, "malloc_trim");
	m.glibc = m.trim && (marks_has(mod, all, "gnu_get_libc_version") || marks_has(mod, all, "__libc_mallopt"));
	for (size_t i = 0; !m.marked && i < ARRAY_SIZE(allocator_marks); i++) {
		m.marked = marks_has(mod, all, allocator_marks[i].func);
		if (m.marked)
			m.kind = allocator_marks[i].kind;
	}
	return m;
}

static int allocator_static(struct module *program, struct allocator_info *ret)
{
	struct marks m = marks_of(program, true);

	if (!m.malloc)
		return -ENOTSUP;
	ret->is_static = true;
	ret->libc = m.trim && m.glibc ? program : NULL;
	ret->kind = m.marked ? m.kind : ret->libc ? ALLOCATOR_GLIBC : ALLOCATOR_OTHER;
	ret->provider = ret->kind == ALLOCATOR_GLIBC ? NULL : program;
	return 0;
}

enum binding {
	BOUND_TO_LIBC,
	BOUND_TO_OTHER,
	BOUND_LATER, /* lazily: the slot still leads into its own object's stub */
};

static bool module_holds(const struct module *mod, uint64_t addr)
{
	uint64_t lo, hi;

	return object_text(&mod->object, &lo, &hi) == 0 && addr - mod->bias >= lo && addr - mod->bias < hi;
}

/* What does the slot of @name in @mod lead to? Sets *ret_provider when it is not libc. */
static int allocator_slot(struct target *t, const struct module *libc, const struct module *mod, const char *name,
			  enum binding *ret, struct module **ret_provider)
{
	struct object_sym sym;
	uint64_t slot, addr;
	int r = object_import_slot(&mod->object, name, &slot);

	if (r < 0 || object_func(&libc->object, false, name, &sym) < 0)
		return -EBADMSG;
	r = remote_read_u64(&t->mem, mod->bias + slot, &addr);
	if (r < 0)
		return r;
	if (addr == libc->bias + sym.value) {
		*ret = BOUND_TO_LIBC;
	} else if (module_holds(mod, addr) || module_holds(libc, addr)) {
		*ret = BOUND_LATER;
	} else {
		*ret_provider = modules_find(&t->mods, addr);
		*ret = BOUND_TO_OTHER;
		return *ret_provider ? 0 : -EBADMSG;
	}
	return 0;
}

/* Where do libc's own calls of @name end? */
static int allocator_binding(struct target *t, const struct module *libc, const char *name, enum binding *ret,
			     struct module **ret_provider)
{
	struct module *provider = NULL;
	uint64_t stub;
	int r = allocator_slot(t, libc, libc, name, ret, &provider);

	if (r < 0 || *ret != BOUND_TO_OTHER)
		return r;
	/* A program that isn't position-independent offers its import stub as the address of malloc: follow it. */
	if (module_load(provider) == 0 && !marks_has(provider, false, name) &&
	    object_import_stub(&provider->object, name, &stub) == 0)
		r = allocator_slot(t, libc, provider, name, ret, &provider);
	*ret_provider = provider;
	return r;
}

static int allocator_dynamic(struct target *t, struct allocator_info *ret)
{
	static const char *const names[] = { "malloc", "free" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct module *provider = NULL;
		enum binding binding = BOUND_LATER;
		int r = allocator_binding(t, ret->libc, names[i], &binding, &provider);

		if (r < 0)
			return r;
		switch (binding) {
		case BOUND_TO_LIBC:
			break;
		case BOUND_LATER:
			/* Nobody can have interposed it, unless somebody else exports one. */
			if (ret->also)
				return -EBADMSG;
			break;
		case BOUND_TO_OTHER:
			ret->kind = marks_of(provider, false).kind;
			ret->provider = provider;
			ret->also = NULL;
			return 0;
		}
	}
	return 0;
}

/* Looks at every file once: libc, and whoever else has a malloc. */
static int allocator_scan(struct target *t, const struct module *program, const struct module *linker,
			  struct allocator_info *ret, bool *ret_musl)
{
	for (size_t i = 0; i < t->mods.n; i++) {
		struct module *mod = &t->mods.v[i];
		struct marks m = marks_of(mod, false);

		if (m.glibc && m.trim && m.malloc) {
			if (ret->libc && ret->libc->bias != mod->bias)
				return -EBADMSG; /* two C libraries (dlmopen): which one's heap? */
			ret->libc = mod;
		} else if (mod == linker) {
			/* musl's loader is its libc; glibc's had a malloc of its own until 2.32. */
			*ret_musl = m.malloc && !m.glibc;
		} else if (!ret->also && (m.marked || (m.malloc && mod != program))) {
			ret->also = mod;
			ret->also_kind = m.kind;
		}
	}
	return 0;
}

int allocator_detect(struct target *t, struct allocator_info *ret)
{
	struct allocator_info info = { .kind = ALLOCATOR_GLIBC };
	struct module *program = target_program(t);
	bool musl = false;
	int r;

	if (!program || module_load(program) < 0)
		return -ENOTSUP;
	if (object_has_section(&program->object, ".go.buildinfo") ||
	    object_has_section(&program->object, ".note.go.buildid")) {
		info.kind = ALLOCATOR_GO;
		*ret = info;
		return 0;
	}
	if (!t->at_base) {
		r = allocator_static(program, &info);
	} else {
		r = allocator_scan(t, program, target_linker(t), &info, &musl);
		if (r == 0 && info.libc)
			r = allocator_dynamic(t, &info);
		else if (r == 0 && musl)
			info.kind = ALLOCATOR_MUSL;
		else if (r == 0)
			r = -ENOTSUP;
	}
	if (r < 0)
		return r;
	*ret = info;
	return 0;
}
