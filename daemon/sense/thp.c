/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/thp.h"

#include <string.h>

#include "base/procfs.h"
#include "base/scan.h"

#define DIR "sys/kernel/mm/transparent_hugepage/"

static uint64_t read_number(int root, const char *path)
{
	char text[32];
	const char *p = text;
	uint64_t v;

	if (procfs_read(root, path, text, sizeof(text)) < 0 || !scan_u64(&p, &v) || (*p && *p != '\n'))
		return THP_UNKNOWN;
	return v;
}

static bool is_chosen(const char *text, const char *word)
{
	const char *open = strchr(text, '[');
	const size_t n = strlen(word);

	return open && !strncmp(open + 1, word, n) && open[1 + n] == ']';
}

/* Since Linux 6.8 each size has a switch of its own, which mostly says "inherit". */
static enum thp_mode read_mode(int root)
{
	static const char *const places[] = { DIR "hugepages-2048kB/enabled", DIR "enabled" };
	char text[128];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (procfs_read(root, places[i], text, sizeof(text)) < 0 || is_chosen(text, "inherit"))
			continue;
		return is_chosen(text, "always") ? THP_ALWAYS : is_chosen(text, "madvise") ? THP_MADVISE : THP_NEVER;
	}
	return THP_NEVER;
}

void thp_read(int root, struct thp *ret)
{
	*ret = (struct thp){
		.mode = read_mode(root),
		.max_ptes_none = read_number(root, DIR "khugepaged/max_ptes_none"),
		.collapsed = read_number(root, DIR "khugepaged/pages_collapsed"),
	};
}

bool thp_fills(const struct thp *t)
{
	return t->mode != THP_NEVER && t->max_ptes_none != 0;
}
