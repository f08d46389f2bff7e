/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mappings of a process: lines of /proc/PID/maps and the headers of smaps. */
#ifndef RECLAIM_BASE_MAPS_H
#define RECLAIM_BASE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

enum map_flags {
	MAP_F_READ = 1 << 0,
	MAP_F_WRITE = 1 << 1,
	MAP_F_EXEC = 1 << 2,
	MAP_F_SHARED = 1 << 3,
	MAP_F_DELETED = 1 << 4, /* name ended in " (deleted)", which is cut off */
};

enum map_kind {
	MAP_KIND_FILE, /* backed by a file (inode != 0) */
	MAP_KIND_HEAP, /* [heap] */
	MAP_KIND_STACK, /* [stack] */
	MAP_KIND_ANON, /* private anonymous: without a name, [anon:...], private /dev/zero or /anon_hugepage */
	MAP_KIND_SHMEM, /* shared anonymous: /dev/zero, memfd, SYSV, [anon_shmem:...] */
	MAP_KIND_SPECIAL, /* [vdso], [vvar], [vsyscall] and the like */
};

struct map {
	uint64_t start, end; /* [start, end) */
	uint64_t offset; /* bytes into the file */
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	unsigned int flags; /* enum map_flags */
	enum map_kind kind;
	const char *name; /* kernel-escaped (newline is \012), "" when none; lives as long as its struct maps */
};

struct maps {
	struct map *v;
	size_t n;
	char *text; /* holds the names */
};

/* Parses one line (no newline needed); writes a NUL into it where the name ends. 0 or -EBADMSG. */
int maps_parse_line(char *line, struct map *ret) __must_check;

/*
 * Reads "maps" below @dir, at most @max_maps mappings (-E2BIG beyond).
 * Entries are sorted and disjoint, else -EBADMSG (after a few tries: the target
 * may change them meanwhile). -ESRCH when the address space went away during
 * the reading. None for a kernel thread or zombie. The caller calls maps_done().
 */
int maps_read(int dir, size_t max_maps, struct maps *ret) __must_check;
void maps_done(struct maps *m); /* accepts zeroed and finished ones */

/* The mapping that holds @addr, or NULL. Binary search. */
const struct map *maps_find(const struct maps *m, uint64_t addr);

#endif
