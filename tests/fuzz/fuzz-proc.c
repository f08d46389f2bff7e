// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=16384 */
/*
 * Files of /proc/PID, whose contents a target chooses in part: the first byte
 * says which. What is refused leaves the output alone, what is accepted holds
 * what the headers promise.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/maps.h"
#include "base/pstat.h"
#include "base/pstatus.h"
#include "sense/names.h"
#include "sense/region.h"
#include "sense/proc.h"
#include "fuzz.h"

/*
 * A folder of /proc with one file in it. libFuzzer never comes to atexit():
 * nothing stays from one input to the next.
 */
static int folder_make(const char *name, const uint8_t *data, size_t size, char path[64])
{
	int folder, fd;

	(void)snprintf(path, 64, "/tmp/fuzz-proc-%d", getpid());
	MUST(mkdir(path, 0700) == 0);
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(folder >= 0);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	(void)close(fd);
	return folder;
}

static void folder_remove(int folder, const char *name, const char *path)
{
	(void)unlinkat(folder, name, 0);
	(void)close(folder);
	MUST(rmdir(path) == 0);
}

static void read_maps(const uint8_t *data, size_t size)
{
	struct maps m = { 0 };
	uint64_t last = 0;
	char path[64];
	int folder = folder_make("maps", data, size, path), r = maps_read(folder, 200, &m);

	folder_remove(folder, "maps", path);
	if (r < 0) {
		MUST(!m.v && !m.text);
		return;
	}
	MUST(m.n <= 200);
	for (size_t i = 0; i < m.n; i++) {
		MUST(m.v[i].start >= last && m.v[i].start < m.v[i].end);
		MUST(maps_find(&m, m.v[i].start) == &m.v[i] && !strchr(m.v[i].name, '\n'));
		last = m.v[i].end;
	}
	maps_done(&m);
}

static void read_smaps(const uint8_t *data, size_t size)
{
	struct region_list l = { 0 };
	uint64_t last = 0;
	char path[64];
	int folder = folder_make("smaps", data, size, path), r = region_list_read(folder, 200, &l);

	folder_remove(folder, "smaps", path);
	if (r < 0) {
		MUST(!l.v && !l.text);
		return;
	}
	for (size_t i = 0; i < l.n; i++) {
		MUST(l.v[i].map.start >= last && l.v[i].map.start < l.v[i].map.end);
		last = l.v[i].map.end;
	}
	region_list_done(&l);
}

static void read_stat(const char *text)
{
	struct pstat s, before;

	memset(&s, 0x5a, sizeof(s));
	before = s;
	if (pstat_parse(text, &s) < 0)
		MUST(!memcmp(&s, &before, sizeof(s)));
	else
		MUST(s.pid > 0 && s.ppid >= 0 && s.threads >= 0 && memchr(s.comm, '\0', sizeof(s.comm)));
}

static void read_status(const char *text)
{
	struct pstatus s, before;

	memset(&s, 0x5a, sizeof(s));
	before = s;
	if (pstatus_parse(text, &s) < 0)
		MUST(!memcmp(&s, &before, sizeof(s)));
	else
		MUST(s.pid >= 0 && s.tgid >= 0 && s.tracer >= 0 && s.threads >= 0 &&
		     memchr(s.name, '\0', sizeof(s.name)));
}

static void read_cgroup(const char *text)
{
	char *cgroup = NULL, *unit = NULL;

	MUST(proc_cgroup_of_text(text, &cgroup) == 0 && cgroup && strlen(cgroup) <= strlen(text));
	MUST(proc_unit_of_cgroup(cgroup, &unit) == 0 && unit && strlen(unit) <= strlen(cgroup));
	free(cgroup);
	free(unit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	text = malloc(size);
	MUST(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	switch (data[0] % 6) {
	case 0:
		read_maps(data + 1, size - 1);
		break;
	case 1:
		read_smaps(data + 1, size - 1);
		break;
	case 2:
		read_stat(text);
		break;
	case 3:
		read_status(text);
		break;
	case 4:
		read_cgroup(text);
		break;
	case 5: {
		int bits = proc_bits_of_auxv((const char *)data + 1, size - 1);

		MUST(bits == 0 || bits == 32 || bits == 64);
		break;
	}
	}
	free(text);
	return 0;
}
