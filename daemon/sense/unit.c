/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The systemd unit of a cgroup path, by the rules of systemd's own
 * cg_path_get_unit(): leading slices are skipped, the next component is the
 * unit. So a service of a user's manager belongs to that manager's system unit:
 * /user.slice/user-1000.slice/user@1000.service/app.slice/foo.service is
 * user@1000.service. That is what can be asked of the system manager.
 */
#include <stdbool.h>
#include <string.h>

#include "sense/proc.h"

#define UNIT_NAME_MAX 255

struct name {
	const char *s;
	size_t len;
};

static bool has_suffix(struct name n, const char *suffix)
{
	size_t len = strlen(suffix);

	return n.len > len && !memcmp(n.s + n.len - len, suffix, len);
}

static bool has_unit_type(struct name n)
{
	static const char *const types[] = {
		".service", ".scope",  ".slice",     ".socket", ".mount", ".swap",
		".target",  ".device", ".automount", ".timer",	".path",
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (has_suffix(n, types[i]))
			return true;

	return false;
}

/* A plain unit or an instance ("a@b.service"), never a template ("a@.service"). */
static bool is_unit_name(struct name n)
{
	static const char valid[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:-_.\\@";
	const char *at = memchr(n.s, '@', n.len), *dot = memrchr(n.s, '.', n.len);

	if (n.len > UNIT_NAME_MAX || !has_unit_type(n))
		return false;
	for (const char *p = n.s; p < dot; p++)
		if (!*p || !strchr(valid, *p))
			return false;

	return !at || (at > n.s && at + 1 < dot);
}

/* Next component of the path, unescaped: systemd puts '_' before names that the kernel might take for its own. */
static bool next_component(const char **path, struct name *ret)
{
	struct name n;

	*path += strspn(*path, "/");
	n = (struct name){ *path, strcspn(*path, "/") };
	if (n.len == 0)
		return false;
	*path += n.len;
	if (*n.s == '_') {
		n.s++;
		n.len--;
	}

	*ret = n;
	return true;
}

int proc_unit_of_cgroup(const char *cgroup, char **ret)
{
	static const char deleted[] = " (deleted)";
	size_t len = strlen(cgroup), tail = sizeof(deleted) - 1;
	_cleanup_free_ char *path = NULL;
	const char *p;
	struct name n;
	char *unit;

	/* The kernel marks a removed cgroup; the unit was the same. */
	if (len > tail && !strcmp(cgroup + len - tail, deleted))
		len -= tail;
	path = strndup(cgroup, len);
	if (!path)
		return -ENOMEM;

	p = path;
	while (next_component(&p, &n)) {
		if (!is_unit_name(n))
			break;
		if (has_suffix(n, ".slice") && !memchr(n.s, '@', n.len))
			continue;
		/* What slices leave over may not be a slice again. */
		if (has_suffix(n, ".slice"))
			break;
		unit = strndup(n.s, n.len);
		if (!unit)
			return -ENOMEM;
		*ret = unit;
		return 0;
	}

	unit = strdup("");
	if (!unit)
		return -ENOMEM;
	*ret = unit;
	return 0;
}
