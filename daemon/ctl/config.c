// SPDX-License-Identifier: GPL-2.0-or-later
/* reclaimctl config: the daemon's settings as its files make them, and whatever is wrong with these. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/ctl.h"
#include "ctl/json.h"
#include "ctl/render.h"
#include "policy/settings.h"

#define DIRS_MAX 8
#define VALUE_SIZE (SETTINGS_PATTERNS_MAX * 4096) /* of the longest list */

struct config_opts {
	const char *root;
};

/* A line of a file that is wrong or strange. */
struct remark {
	bool error;
	char *origin; /* "" when there is none */
	char *what;
};

/* A key that has a value. */
struct setting {
	char *section;
	const char *key;
	char *value; /* "": none */
	const char *origin; /* borrowed from the settings; NULL: the default */
};

struct config {
	char *dirs[DIRS_MAX]; /* NULL-terminated */
	struct settings settings;
	bool valid;
	struct remark *remarks;
	size_t nremarks, nerrors;
	struct setting *v;
	size_t n;
	bool out_of_memory;
};

static void config_donep(struct config *c)
{
	for (size_t i = 0; i < DIRS_MAX; i++)
		free(c->dirs[i]);
	for (size_t i = 0; i < c->nremarks; i++) {
		free(c->remarks[i].origin);
		free(c->remarks[i].what);
	}
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].section);
		free(c->v[i].value);
	}
	free(c->remarks);
	free(c->v);
	settings_done(&c->settings);
}

static void config_remark(void *arg, bool error, const char *origin, const char *what)
{
	struct config *c = arg;
	struct remark *v = realloc(c->remarks, (c->nremarks + 1) * sizeof(*v));

	if (v) {
		c->remarks = v;
		v[c->nremarks++] = (struct remark){ .error = error, .origin = strdup(origin), .what = strdup(what) };
	}
	c->nerrors += error;
	c->out_of_memory |= !v || !v[c->nremarks - 1].origin || !v[c->nremarks - 1].what;
}

/* The keys of a section of its own, or those that a rule sets. */
static int config_list(struct config *c, const struct rule *rule, char *buf, size_t size)
{
	for (size_t i = 0; settings_key(i); i++) {
		const struct settings_key *k = settings_key(i);
		struct setting *v;
		int r;

		if (rule ? !settings_origin(&c->settings, rule, k) : k->rules_only)
			continue;
		r = settings_format(&c->settings, rule, k, buf, size);
		if (r < 0)
			return r;
		v = realloc(c->v, (c->n + 1) * sizeof(*v));
		if (!v)
			return -ENOMEM;
		c->v = v;
		v[c->n] = (struct setting){ .key = k->key,
					    .value = strdup(buf),
					    .origin = settings_origin(&c->settings, rule, k) };
		if (asprintf(&v[c->n].section, "%s%s", rule ? "Rule " : k->section, rule ? rule->name : "") < 0)
			v[c->n].section = NULL;
		if (!v[c->n].value || !v[c->n++].section)
			return -ENOMEM;
	}
	return 0;
}

static int config_settings(struct config *c)
{
	_cleanup_free_ char *buf = malloc(VALUE_SIZE);
	int r = buf ? config_list(c, NULL, buf, VALUE_SIZE) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < c->settings.nrules; i++)
		r = config_list(c, &c->settings.rules[i], buf, VALUE_SIZE);
	return r;
}

/* Below another root, or where the daemon looks. 0 or -ENOMEM. */
static int config_dirs(struct config *c, const char *root)
{
	for (size_t i = 0; settings_dirs[i] && i + 1 < DIRS_MAX; i++) {
		if (asprintf(&c->dirs[i], "%s%s", root ? root : "", settings_dirs[i]) < 0) {
			c->dirs[i] = NULL;
			return -ENOMEM;
		}
	}
	return 0;
}

static int config_read(struct config *c, const char *root)
{
	int r = config_dirs(c, root);

	if (r == 0)
		r = settings_read((const char *const *)c->dirs, config_remark, c, &c->settings);
	c->valid = r == 0;
	if (r == 0)
		r = config_settings(c);
	if (r == -EINVAL && c->nerrors)
		r = 0;
	return c->out_of_memory ? -ENOMEM : r;
}

static void put_remarks(struct json *j, const struct config *c, const char *key, bool error)
{
	json_open(j, key, '[');
	for (size_t i = 0; i < c->nremarks; i++) {
		const struct remark *re = &c->remarks[i];

		if (re->error != error)
			continue;
		json_open(j, NULL, '{');
		json_text(j, "origin", *re->origin ? re->origin : NULL);
		json_text(j, "what", re->what);
		json_close(j);
	}
	json_close(j);
}

static void cell_origin(const struct column *c, const void *row, struct cell *ret)
{
	cell_text(c, row, ret);
	ret->stand_in = "default";
}

#define AT(f) offsetof(struct setting, f)

static const struct column config_columns[] = {
	{ "SECTION", "section", 0, 0, "section of the file", cell_text, AT(section) },
	{ "KEY", "key", 0, 0, "its name there", cell_text, AT(key) },
	{ "FROM", "origin", 0, 0, "where it was said", cell_origin, AT(origin) },
	/* The last one, since it may be long. */
	{ "VALUE", "value", 0, COLUMN_WRAP, "what is in force", cell_text, AT(value) },
};
#define NCOLUMNS ARRAY_SIZE(config_columns)

static int print_json(struct ctl *ctl, const struct config *c, const struct column *const *columns)
{
	struct json j;

	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_bool(&j, "valid", c->valid);
	put_remarks(&j, c, "errors", true);
	put_remarks(&j, c, "warnings", false);
	json_open(&j, "settings", '[');
	for (size_t i = 0; i < c->n; i++) {
		json_open(&j, NULL, '{');
		render_members(&j, columns, NCOLUMNS, &c->v[i]);
		json_close(&j);
	}
	json_close(&j);
	json_close(&j);
	return json_finish(&j);
}

static int print_settings(struct ctl *ctl, const struct config *c)
{
	_cleanup_free_ const void **rows = calloc(c->n + 1, sizeof(*rows));
	const struct column *columns[NCOLUMNS];

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < NCOLUMNS; i++)
		columns[i] = &config_columns[i];
	for (size_t i = 0; i < c->n; i++)
		rows[i] = &c->v[i];
	return ctl->json ? print_json(ctl, c, columns) : render_table(ctl, columns, NCOLUMNS, rows, c->n);
}

static void tell(const struct remark *re)
{
	/* A path may be of any bytes; the words come from the daemon's own table. */
	char origin[512];

	escape_text(re->origin, origin, sizeof(origin));
	ctl_diag("%s%s%s%s", origin, *origin ? ": " : "", re->error ? "" : "ignored: ", re->what);
}

static int run_config(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(config_donep) struct config c = { .n = 0 };
	const struct config_opts *o = opts;
	char shown[256];
	int r;

	(void)args;
	(void)nargs;
	if (o->root) {
		_cleanup_close_ int fd = open(o->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return ctl_fail(ctl, CTL_FAILED, "config: --root=%s: %s",
					escape_text(o->root, shown, sizeof(shown)), strerror(errno));
	}
	r = config_read(&c, o->root);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "config: failed to read the configuration: %s", strerror(-r));
	for (size_t i = 0; i < c.nremarks; i++)
		tell(&c.remarks[i]);
	if (!c.valid)
		ctl_diag("config: %zu error%s: the daemon would not take this over", c.nerrors,
			 c.nerrors == 1 ? "" : "s");
	return ctl_output_done(c.valid ? CTL_DONE : CTL_FAILED, print_settings(ctl, &c));
}

static void config_more_help(FILE *f)
{
	const char *section = "";

	for (size_t i = 0; settings_key(i); i++) {
		const struct settings_key *k = settings_key(i);

		if (strcmp(section, k->section))
			fprintf(f, "\n[%s%s]:\n", k->section, k->rules_only ? " NAME], and all of [Reclaim" : "");
		section = k->section;
		fprintf(f, "  %-21s %s\n", k->key, k->help);
	}
}

static const struct option_spec config_options[] = {
	{ "root", 0, "DIR", "Read the files below DIR instead of /", option_text, offsetof(struct config_opts, root),
	  "a folder", NULL },
};

const struct verb verb_config = {
	.name = "config",
	.args = "",
	.help = "Check the daemon's configuration, and show where each setting is from",
	.details = "Reads the files itself: what it shows is what the daemon would take over when it reads them next.\n"
		   "Each error is told with its file and line, and the exit status is then 1.\n",
	.options = config_options,
	.noptions = ARRAY_SIZE(config_options),
	.opts_size = sizeof(struct config_opts),
	.run = run_config,
	.more_help = config_more_help,
};
