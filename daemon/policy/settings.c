// SPDX-License-Identifier: GPL-2.0-or-later
/* Assignments by the table of keys. */
#include "policy/settings.h"

#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "policy/settings-keys.h"

#define RULE_NAME_MAX 64
#define BUILT_IN "built-in"

/* An assignment on its way. */
struct place {
	const struct key *key;
	struct rule *rule; /* NULL: of a section of its own */
	void *field;
	char **from;
};

static struct rule *rule_find(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->nrules; i++)
		if (!strcmp(s->rules[i].name, name))
			return &s->rules[i];
	return NULL;
}

static void rule_done(struct rule *r)
{
	free(r->name);
	free(r->origin);
	for (size_t i = 0; i < MATCH_N; i++)
		patterns_done(&r->match[i]);
	for (size_t i = 0; i < SETTINGS_KEYS_MAX; i++)
		free(r->from[i]);
}

void settings_done(struct settings *s)
{
	for (size_t i = 0; i < s->nrules; i++)
		rule_done(&s->rules[i]);
	free(s->rules);
	free(s->metrics_file);
	for (size_t i = 0; i < SETTINGS_KEYS_MAX; i++)
		free(s->from[i]);
	*s = (struct settings){ .rules = NULL };
}

static int rule_add(struct settings *s, const char *name, const char *origin, struct rule **ret)
{
	_cleanup_free_ char *copy = strdup(name), *from = strdup(origin);
	struct rule *v = realloc(s->rules, (s->nrules + 1) * sizeof(*v));

	if (v)
		s->rules = v;
	if (!v || !copy || !from)
		return -ENOMEM;
	v[s->nrules] = (struct rule){ .name = TAKE_PTR(copy), .origin = TAKE_PTR(from) };
	*ret = &v[s->nrules++];
	return 0;
}

static bool is_rule_name(const char *name)
{
	static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:@";
	size_t len = strspn(name, valid);

	return len && !name[len] && len <= RULE_NAME_MAX;
}

/* "Rule NAME": makes the rule when there is none of that name. */
static int rule_open(struct settings *s, const char *section, const char *origin, struct rule **ret, char *why,
		     size_t size)
{
	const char *name = section + strlen("Rule");

	name += strspn(name, " \t");
	if (!is_rule_name(name)) {
		text_format(why, size,
			    "a rule needs a name, [Rule NAME], of letters, digits and any of -_.:@, at most %d",
			    RULE_NAME_MAX);
		return -EINVAL;
	}
	*ret = rule_find(s, name);
	if (*ret)
		return 0;
	if (s->nrules == SETTINGS_RULES_MAX) {
		text_format(why, size, "too many rules: at most %d", SETTINGS_RULES_MAX);
		return -ERANGE;
	}
	return rule_add(s, name, origin, ret);
}

/* Whatever is wrong with the whole of a rule is blamed on who had the last word. */
static int rule_head(struct rule *r, const char *origin)
{
	char *copy = strdup(origin);

	if (!copy)
		return -ENOMEM;
	free(r->origin);
	r->origin = copy;
	return 0;
}

static bool is_rule_section(const char *section)
{
	size_t len = strlen("Rule");

	return !strncmp(section, "Rule", len) && (!section[len] || section[len] == ' ' || section[len] == '\t');
}

static bool is_section(const char *section)
{
	for (size_t i = 0; i < settings_nkeys; i++)
		if (!settings_keys[i].pub.rules_only && !strcmp(settings_keys[i].pub.section, section))
			return true;
	return false;
}

/* What would have been right, as far as a name tells. */
static int explain_unknown(const char *section, const char *key, char *why, size_t size)
{
	char shown[80], within[80];

	escape_text(key, shown, sizeof(shown));
	escape_text(section, within, sizeof(within));
	text_format(why, size, "unknown key '%s' in [%s]", shown, within);
	for (size_t i = 0; i < settings_nkeys; i++) {
		const struct settings_key *pub = &settings_keys[i].pub;

		if (strcasecmp(pub->key, key))
			continue;
		text_append(why, size, ": did you mean %s= in [%s%s]?", pub->key, pub->section,
			    pub->rules_only ? " NAME" : "");
		break;
	}
	return -ENOENT;
}

static const struct key *key_find(const char *section, bool rule, const char *key)
{
	for (size_t i = 0; i < settings_nkeys; i++) {
		const struct settings_key *pub = &settings_keys[i].pub;

		if (!strcmp(pub->key, key) &&
		    (rule ? pub->in_rules : !pub->rules_only && !strcmp(pub->section, section)))
			return &settings_keys[i];
	}
	return NULL;
}

static struct place place_of(struct settings *s, struct rule *rule, const struct key *k)
{
	static const size_t defaults = offsetof(struct settings, defaults), want = offsetof(struct rule, want);
	char *base = rule ? (char *)rule : (char *)s;

	if (k->place == IN_THRESHOLDS)
		base += rule ? want : defaults;
	return (struct place){
		.key = k,
		.rule = rule,
		.field = base + k->offset,
		.from = &(rule ? rule->from : s->from)[k - settings_keys],
	};
}

/* An empty value: as if nothing had been said. */
static int place_reset(const struct place *p)
{
	char why[SETTINGS_WHY];
	int r = 0;

	if (p->key->place == IN_MATCH)
		patterns_done(p->field);
	else if (p->rule)
		p->rule->set &= ~p->key->bit;
	else if (*p->key->fallback)
		r = p->key->type->parse(p->key, p->key->fallback, p->field, why, sizeof(why));
	else {
		free(*(char **)p->field);
		*(char **)p->field = NULL;
	}
	if (r < 0)
		return r;
	free(*p->from);
	*p->from = NULL;
	return 0;
}

static int place_set(const struct place *p, const char *value, const char *origin, char *why, size_t size)
{
	_cleanup_free_ char *from = strdup(origin);
	int r;

	if (!from)
		return -ENOMEM;
	r = p->key->type->parse(p->key, value, p->field, why, size);
	if (r < 0)
		return r;
	if (p->rule)
		p->rule->set |= p->key->bit;
	free(*p->from);
	*p->from = TAKE_PTR(from);
	return 0;
}

int settings_set(struct settings *s, const char *section, const char *key, const char *value, const char *origin,
		 char *why, size_t why_size)
{
	const bool in_rule = is_rule_section(section);
	struct rule *rule = NULL;
	const struct key *k;
	struct place p;
	char shown[80];
	int r;

	if (!in_rule && !is_section(section)) {
		text_format(why, why_size,
			    "unknown section [%s]: there are [Daemon], [Pressure], [Reclaim] and [Rule NAME]",
			    escape_text(section, shown, sizeof(shown)));
		return -ENOENT;
	}
	k = key ? key_find(section, in_rule, key) : NULL;
	if (key && !k)
		return explain_unknown(section, key, why, why_size);
	r = in_rule ? rule_open(s, section, origin, &rule, why, why_size) : 0;
	if (r == 0 && !key && rule)
		return rule_head(rule, origin);
	if (r < 0 || !key)
		return r;
	p = place_of(s, rule, k);
	if (!*value)
		return place_reset(&p);

	char what[SETTINGS_WHY] = "";

	r = place_set(&p, value, origin, what, sizeof(what));
	if (r == -EINVAL || r == -ERANGE)
		text_format(why, why_size, "%s=: %s", k->pub.key, what);
	return r;
}

int settings_default(struct settings *ret)
{
	_cleanup_(settings_done) struct settings s = { .rules = NULL };
	char why[SETTINGS_WHY], section[80];
	int r;

	for (size_t i = 0; i < settings_nkeys; i++) {
		struct place p = place_of(&s, NULL, &settings_keys[i]);

		r = settings_keys[i].pub.rules_only ? 0 : place_reset(&p);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < settings_nshipped; i++) {
		const struct shipped *sh = &settings_shipped[i];

		text_format(section, sizeof(section), "Rule %s", sh->rule);
		r = settings_set(&s, section, sh->key, sh->value, BUILT_IN, why, sizeof(why));
		if (r < 0)
			return r;
	}
	*ret = s;
	s = (struct settings){ .rules = NULL };
	return 0;
}

const struct settings_key *settings_key(size_t i)
{
	return i < settings_nkeys ? &settings_keys[i].pub : NULL;
}

static const struct key *key_of(const struct settings_key *key)
{
	return (const struct key *)((const char *)key - offsetof(struct key, pub));
}

int settings_format(const struct settings *s, const struct rule *rule, const struct settings_key *key, char *buf,
		    size_t size)
{
	const struct key *k = key_of(key);
	/* The place isn't written to. */
	struct place p = place_of((struct settings *)s, (struct rule *)rule, k);

	if (!size)
		return -ENOSPC;
	if (rule ? !k->pub.in_rules || (k->bit && !(rule->set & k->bit)) : k->pub.rules_only) {
		*buf = '\0';
		return 0;
	}
	return k->type->format(k, p.field, buf, size);
}

const char *settings_origin(const struct settings *s, const struct rule *rule, const struct settings_key *key)
{
	const struct key *k = key_of(key);

	return rule ? rule->from[k - settings_keys] : s->from[k - settings_keys];
}
