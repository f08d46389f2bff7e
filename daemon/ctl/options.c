/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/options.h"
#include "ctl/suggest.h"

#define WORD_SHOWN 160 /* bytes of a user's word that an error line repeats */

int option_flag(const struct option_spec *o, const char *value, void *field)
{
	(void)o;
	(void)value;
	*(bool *)field = true;
	return 0;
}

int option_text(const struct option_spec *o, const char *value, void *field)
{
	(void)o;
	if (!*value)
		return -EINVAL;
	*(const char **)field = value;
	return 0;
}

static int option_number(int (*parse)(const char *, uint64_t *), const char *value, struct opt_number *field)
{
	uint64_t v;
	int r;

	r = parse(value, &v);
	if (r < 0)
		return r;
	*field = (struct opt_number){ .given = true, .value = v };
	return 0;
}

int option_size(const struct option_spec *o, const char *value, void *field)
{
	(void)o;
	return option_number(parse_size, value, field);
}

int option_time(const struct option_spec *o, const char *value, void *field)
{
	(void)o;
	return option_number(parse_time_us, value, field);
}

int option_count(const struct option_spec *o, const char *value, void *field)
{
	uint64_t v;
	int r = parse_u64(value, 10, &v);

	(void)o;
	if (r < 0)
		return r;
	if (!v)
		return -ERANGE;
	*(struct opt_number *)field = (struct opt_number){ .given = true, .value = v };
	return 0;
}

int option_choice(const struct option_spec *o, const char *value, void *field)
{
	for (int i = 0; o->choices[i]; i++) {
		if (strcmp(o->choices[i], value))
			continue;
		*(int *)field = i + 1;
		return 0;
	}
	return -EINVAL;
}

bool option_is(const char *word)
{
	return word[0] == '-' && word[1];
}

static const struct option_spec *find_long(const struct option_spec *v, size_t n, const char *name,
					   const char **ret_inline)
{
	size_t len = strcspn(name, "=");

	for (size_t i = 0; i < n; i++) {
		if (strncmp(v[i].name, name, len) || v[i].name[len])
			continue;
		*ret_inline = name[len] ? name + len + 1 : NULL;
		return &v[i];
	}
	return NULL;
}

const struct option_spec *option_find(const struct option_spec *v, size_t n, const char *word, const char **ret_inline)
{
	if (word[1] == '-')
		return find_long(v, n, word + 2, ret_inline);
	for (size_t i = 0; i < n; i++) {
		if (!v[i].letter || v[i].letter != word[1])
			continue;
		*ret_inline = word[2] ? word + 2 : NULL;
		return &v[i];
	}
	return NULL;
}

/* The words of an option error. */
static int explain_unknown(const struct option_group *groups, size_t ngroups, const char *word, char *why, size_t size)
{
	const char *names[64];
	char shown[WORD_SHOWN], name[64];
	const char *near;
	size_t n = 0;

	for (size_t g = 0; g < ngroups; g++)
		for (size_t i = 0; i < groups[g].n && n < ARRAY_SIZE(names); i++)
			names[n++] = groups[g].v[i].name;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 1, "="), word + 1);
	near = suggest(name[0] == '-' ? name + 1 : name, names, n);
	escape_text(word, shown, sizeof(shown));
	if (near)
		snprintf(why, size, "unknown option '%s': did you mean '--%s'?", shown, near);
	else
		snprintf(why, size, "unknown option '%s': --help shows those that there are", shown);
	return -EINVAL;
}

static int explain_value(const struct option_spec *o, const char *value, int error, char *why, size_t size)
{
	char shown[WORD_SHOWN], list[160] = "one of";

	for (size_t i = 0; o->choices && o->choices[i]; i++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s %s", i ? "," : "", o->choices[i]);
	}
	snprintf(why, size, "--%s=%s: %s; expected %s", o->name, escape_text(value, shown, sizeof(shown)),
		 error == -ERANGE ? "out of range" : "not understood", o->choices ? list : o->expects);
	return -EINVAL;
}

/* One option word; *@i is moved over a value that stands in the next word. */
static int parse_one(const struct option_group *groups, size_t ngroups, char *const *words, size_t nwords, size_t *i,
		     char *why, size_t size)
{
	const char *word = words[*i], *value = NULL;
	const struct option_spec *o = NULL;
	size_t g;
	int r;

	for (g = 0; g < ngroups; g++) {
		o = option_find(groups[g].v, groups[g].n, word, &value);
		if (o)
			break;
	}
	if (!o)
		return explain_unknown(groups, ngroups, word, why, size);
	if (!o->arg && value) {
		snprintf(why, size, "option '--%s' takes no value", o->name);
		return -EINVAL;
	}
	if (o->arg && !value) {
		if (*i + 1 >= nwords) {
			snprintf(why, size, "option '--%s' needs a value: --%s=%s", o->name, o->name, o->arg);
			return -EINVAL;
		}
		value = words[++*i];
	}
	r = o->parse(o, value, (char *)groups[g].fields + o->offset);
	if (r < 0)
		return explain_value(o, value, r, why, size);
	return 0;
}

int options_parse(const struct option_group *groups, size_t ngroups, char *const *words, size_t nwords,
		  struct option_args *args, char *why, size_t why_size)
{
	bool only_args = false;
	size_t n = 0, nplain = 0;
	int r;

	for (size_t i = 0; i < nwords; i++) {
		if (only_args || !option_is(words[i])) {
			args->v[n++] = words[i];
			nplain += !only_args;
		} else if (!strcmp(words[i], "--")) {
			only_args = true;
		} else {
			r = parse_one(groups, ngroups, words, nwords, &i, why, why_size);
			if (r < 0)
				return r;
		}
	}
	args->n = n;
	args->nplain = nplain;
	return 0;
}
