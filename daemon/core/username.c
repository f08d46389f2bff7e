/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/username.h"

#include <stdbool.h>
#include <string.h>

#include "base/scan.h"
#include "base/text.h"

/* "NAME:PASSWORD:UID:": is it that of @uid, with a name that fits? */
static bool is_of(const char *line, uid_t uid, size_t *ret_len)
{
	const size_t len = strcspn(line, ":");
	const char *at = line + len;
	uint64_t n;

	if (!len || len >= USERNAME_MAX || !scan_char(&at, ':'))
		return false;
	at += strcspn(at, ":");
	if (!scan_char(&at, ':') || !scan_u64(&at, &n) || *at != ':' || n != uid)
		return false;
	*ret_len = len;
	return true;
}

void username_of(const char *file, uid_t uid, char ret[USERNAME_MAX])
{
	/* Not fgetpwent(3): a line that is too long for it stops it for ever. */
	_cleanup_fclose_ FILE *f = fopen(file, "re");
	bool begin = true;
	char line[512];
	size_t len;

	text_format(ret, USERNAME_MAX, "%u", uid);
	while (f && fgets(line, sizeof(line), f)) {
		if (begin && is_of(line, uid, &len)) {
			text_format(ret, USERNAME_MAX, "%.*s", (int)len, line);
			return;
		}
		/* The rest of a long line is none of its own. */
		begin = strchr(line, '\n') != NULL;
	}
}
