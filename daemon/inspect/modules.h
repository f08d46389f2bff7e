/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The executable mappings of the target and the files behind them. Files are
 * opened before the reader enters its sandbox and parsed in it, on first use.
 */
#ifndef RECLAIM_INSPECT_MODULES_H
#define RECLAIM_INSPECT_MODULES_H

#include "base/maps.h"
#include "inspect/object.h"
#include "inspect/remote.h"

enum module_state {
	MODULE_CLOSED, /* not parsed yet */
	MODULE_READY,
	MODULE_BAD, /* no file, not ELF, or not what is mapped */
};

struct module {
	uint64_t start, end; /* the executable mapping */
	uint64_t offset;
	const char *name; /* of the file, kernel-escaped; lives in the maps */
	int fd; /* -1 when it couldn't be opened */
	enum module_state state;
	uint64_t bias;
	bool verified; /* its headers in memory equal the file's */
	struct object object;
};

struct modules {
	struct module *v;
	size_t n;
};

/*
 * Opens what @maps names, through /proc/PID/map_files (the very file, also
 * when deleted or in another mount namespace), else below /proc/PID/root when
 * the caller may not use map_files. A file that can't be opened is a module
 * without content, not an error. 0, -E2BIG, -EMFILE, -ENOMEM, -ESRCH.
 */
int modules_open(int piddir, const struct maps *maps, struct modules *ret) __must_check;
void modules_close(struct modules *m);

/* The module whose executable mapping holds @addr, or NULL. */
struct module *modules_find(const struct modules *m, uint64_t addr);

/* Parses the file on first use. 0 or -ENOEXEC. */
int module_load(struct module *mod) __must_check;

/* Compares the file's headers with what is mapped (once). 0, -ESTALE, -ENOEXEC. */
int module_verify(struct module *mod, struct remote *mem) __must_check;

/* Is it a dynamic linker (that a program was started through by name)? */
bool module_is_linker(struct module *mod);

/* Parts of the same loaded file: its text may be mapped in several pieces. */
bool module_same(const struct module *a, const struct module *b);

/* Last component of its name. */
const char *module_basename(const struct module *mod);

#endif
