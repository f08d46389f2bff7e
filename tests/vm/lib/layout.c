// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout-kinds.h"
#include "layout.h"
#include "machine.h"

#define KIND(name) { #name, layout_##name },
const struct layout_kind layout_kinds[] = { LAYOUT_ANON(KIND) LAYOUT_BACKED(KIND) };
const size_t layout_count = sizeof(layout_kinds) / sizeof(*layout_kinds);

int swap_on(void)
{
	if (file_number("/sys/block/zram0/disksize", 0))
		return 0;
	if (file_write("/sys/block/zram0/disksize", "1G") < 0)
		return -ENODEV;
	return system("mkswap /dev/zram0 >/dev/null && swapon /dev/zram0") ? -EIO : 0;
}

int layout_prepare(void)
{
	static const struct {
		const char *path, *text;
	} settings[] = {
		/* Nothing may change between two looks at it. */
		{ THP "khugepaged/defrag", "0" },
		{ THP "khugepaged/scan_sleep_millisecs", "1000000" },
		{ THP "shmem_enabled", "advise" },
		{ "/proc/sys/vm/nr_hugepages", "4" },
		{ "/proc/sys/vm/page-cluster", "0" },
	};
	int r = swap_on();

	for (size_t i = 0; r == 0 && i < sizeof(settings) / sizeof(*settings); i++)
		r = file_write(settings[i].path, settings[i].text);
	mkdir(RAMFS, 0755);
	if (r == 0 && mount("ramfs", RAMFS, "ramfs", 0, NULL) < 0 && errno != EBUSY)
		r = -errno;
	return r;
}

int layout_make(void *data)
{
	(void)data;
	for (size_t i = 0; i < layout_count; i++) {
		int r = layout_kinds[i].make((char *)(LAYOUT_BASE + i * LAYOUT_SLOT));

		if (r < 0) {
			printf("# %s can't be made: error %d\n", layout_kinds[i].name, -r);
			fflush(stdout);
			return r;
		}
		if (r > 0)
			printf("# %s: not in this kernel\n", layout_kinds[i].name);
	}
	fflush(stdout);
	return 0;
}

const struct layout_kind *layout_at(uint64_t address)
{
	size_t i = (address - LAYOUT_BASE) / LAYOUT_SLOT;

	return address >= LAYOUT_BASE && i < layout_count ? &layout_kinds[i] : NULL;
}
