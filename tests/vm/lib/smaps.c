// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smaps.h"

static const struct {
	const char *name;
	size_t offset;
} fields[] = {
	{ "Rss:", offsetof(struct smap, rss) },
	{ "Anonymous:", offsetof(struct smap, anon) },
	{ "Swap:", offsetof(struct smap, swap) },
	{ "LazyFree:", offsetof(struct smap, lazyfree) },
	{ "AnonHugePages:", offsetof(struct smap, anon_huge) },
	{ "ShmemPmdMapped:", offsetof(struct smap, shmem_huge) },
	{ "FilePmdMapped:", offsetof(struct smap, file_huge) },
};

static void take_field(struct smap *s, const char *line)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		size_t n = strlen(fields[i].name);

		if (!strncmp(line, fields[i].name, n))
			*(uint64_t *)((char *)s + fields[i].offset) = strtoull(line + n, NULL, 10) * 1024;
	}
}

int smaps_read(pid_t pid, struct smap *ret, int max)
{
	char path[64], line[1024];
	struct smap s;
	int n = 0, at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		s = (struct smap){ 0 };
		at = 0;
		sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &s.start, &s.end, s.perms,
		       &s.offset, &at);
		/* The kernel's own address, shown with every process: not of its address space. */
		if (strstr(line, "[vsyscall]"))
			break;
		if (at) {
			line[strcspn(line, "\n")] = 0;
			snprintf(s.name, sizeof(s.name), "%.255s", line + at);
			if (n == max)
				abort();
			ret[n++] = s;
		} else if (n) {
			take_field(&ret[n - 1], line);
		}
	}
	fclose(f);
	return n;
}
