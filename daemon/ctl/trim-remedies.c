/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The remedies by name. */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/suggest.h"
#include "ctl/trim.h"

static const struct remedy {
	const char *name;
	uint32_t bit; /* enum worker_remedy */
} remedies[] = {
	{ "collect", WORKER_REMEDY_COLLECT }, { "trim", WORKER_REMEDY_TRIM },	    { "purge", WORKER_REMEDY_PURGE },
	{ "cold", WORKER_REMEDY_COLD },	      { "pageout", WORKER_REMEDY_PAGEOUT },
};

static const struct remedy *find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		if (!strncmp(remedies[i].name, name, len) && !remedies[i].name[len])
			return &remedies[i];
	return NULL;
}

static int explain_unknown(const char *name, size_t len, char *why, size_t size)
{
	const char *names[ARRAY_SIZE(remedies)], *near;
	char word[64], shown[160];

	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		names[i] = remedies[i].name;
	snprintf(word, sizeof(word), "%.*s", (int)MIN(len, sizeof(word)), name);
	if (!strcmp(word, "auto")) {
		snprintf(why, size, "'auto' is no part of a list: it chooses among all of them");
		return -EINVAL;
	}
	near = suggest(word, names, ARRAY_SIZE(names));
	escape_text(word, shown, sizeof(shown));
	if (near)
		snprintf(why, size, "unknown remedy '%s': did you mean '%s'?", shown, near);
	else
		snprintf(why, size, "unknown remedy '%s': there are auto, collect, trim, purge, cold, pageout", shown);
	return -EINVAL;
}

int trim_remedies_parse(const char *list, uint32_t *ret, char *why, size_t why_size)
{
	uint32_t bits = 0;

	if (!strcmp(list, "auto")) {
		*ret = 0;
		return 0;
	}
	for (const char *p = list;; p++) {
		size_t len = strcspn(p, ",");
		const struct remedy *r = len ? find(p, len) : NULL;

		if (!r)
			return explain_unknown(p, len, why, why_size);
		bits |= r->bit;
		p += len;
		if (!*p)
			break;
	}
	*ret = bits;
	return 0;
}

const char *trim_remedies_word(size_t i)
{
	return i < ARRAY_SIZE(remedies) ? remedies[i].name : NULL;
}

const char *trim_remedy_name(uint32_t bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		if (remedies[i].bit == bit)
			return remedies[i].name;
	return "?";
}
