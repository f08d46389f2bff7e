// SPDX-License-Identifier: GPL-2.0-or-later
/* Lists of globs. */
#include <fnmatch.h>
#include <limits.h>
#include <string.h>

#include "base/text.h"
#include "policy/rules.h"
#include "policy/settings-keys.h"

void patterns_done(struct patterns *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i]);
	free(p->v);
	*p = (struct patterns){ .v = NULL };
}

/* Each once: lists may be repeated, as by one who makes settings of the shipped file's comments. */
static bool patterns_has(const struct patterns *p, const char *word)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i], word))
			return true;
	return false;
}

static int patterns_add(struct patterns *p, const char *word, char *why, size_t size)
{
	char **v, *copy;

	if (patterns_has(p, word))
		return 0;
	if (p->n == SETTINGS_PATTERNS_MAX) {
		text_format(why, size, "too many: at most %d patterns", SETTINGS_PATTERNS_MAX);
		return -ERANGE;
	}
	if (strlen(word) >= PATH_MAX) {
		text_format(why, size, "a pattern is too long: at most %d bytes", PATH_MAX - 1);
		return -ERANGE;
	}
	/* It would match nothing, and at the end of a line go on in the next one. */
	if (word[strlen(word) - 1] == '\\') {
		text_format(why, size, "a pattern must not end with a backslash: ? stands for any character");
		return -EINVAL;
	}
	v = realloc(p->v, (p->n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	p->v = v;
	copy = strdup(word);
	if (!copy)
		return -ENOMEM;
	p->v[p->n++] = copy;
	return 0;
}

/* Adds to what is there, as lists do in systemd's files. */
static int patterns_parse(const struct key *k, const char *value, void *field, char *why, size_t size)
{
	_cleanup_(patterns_done) struct patterns all = { .v = NULL };
	_cleanup_free_ char *copy = strdup(value);
	struct patterns *p = field;
	char *save = NULL;
	int r = copy ? 0 : -ENOMEM;

	(void)k;
	for (size_t i = 0; r == 0 && i < p->n; i++)
		r = patterns_add(&all, p->v[i], why, size);
	if (r < 0)
		return r;
	for (char *w = strtok_r(copy, " \t", &save); w && r == 0; w = strtok_r(NULL, " \t", &save))
		r = patterns_add(&all, w, why, size);
	if (r < 0)
		return r;
	patterns_done(p);
	*p = all;
	all = (struct patterns){ .v = NULL };
	return 0;
}

static int patterns_format(const struct key *k, const void *field, char *buf, size_t size)
{
	const struct patterns *p = field;
	size_t used = 0;

	(void)k;
	*buf = '\0';
	for (size_t i = 0; i < p->n; i++) {
		int n = snprintf(buf + used, size - used, "%s%s", i ? " " : "", p->v[i]);

		if (n < 0 || (size_t)n >= size - used)
			return -ENOSPC;
		used += (size_t)n;
	}
	return 0;
}

const struct key_type key_patterns = { patterns_parse, patterns_format };

bool patterns_match(const struct patterns *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (!fnmatch(p->v[i], name, 0))
			return true;
	return !p->n;
}
