// SPDX-License-Identifier: GPL-2.0-or-later
/* Settings from files. */
#include <string.h>

#include "base/conf.h"
#include "policy/settings.h"

const char *const settings_dirs[] = { "/usr/lib/reclaim", "/usr/local/lib/reclaim", "/run/reclaim", "/etc/reclaim",
				      NULL };

struct reading {
	struct settings s;
	settings_report_fn report;
	void *arg;
	bool failed;
	bool skip; /* the section is none of ours: that was told once, and its keys are passed over */
};

static void reading_done(struct reading *rd)
{
	settings_done(&rd->s);
}

static int reading_set(void *arg, const char *section, const char *key, const char *value, const char *origin)
{
	struct reading *rd = arg;
	char why[SETTINGS_WHY] = "";
	int r;

	if (!key)
		rd->skip = false;
	else if (rd->skip)
		return 0;
	r = settings_set(&rd->s, section, key, value, origin, why, sizeof(why));
	if (r == -ENOMEM || r == 0)
		return r;
	rd->skip = !key;
	rd->failed |= r != -ENOENT;
	rd->report(rd->arg, r != -ENOENT, origin, why);
	return 0;
}

static int reading_bad(void *arg, const char *origin, const char *what)
{
	struct reading *rd = arg;

	rd->failed = true;
	rd->report(rd->arg, true, origin, what);
	return 0;
}

int settings_read(const char *const *dirs, settings_report_fn report, void *arg, struct settings *ret)
{
	_cleanup_(reading_done) struct reading rd = { .report = report, .arg = arg };
	const struct conf_handler h = { .set = reading_set, .bad = reading_bad, .arg = &rd };
	int r;

	r = settings_default(&rd.s);
	if (r < 0)
		return r;
	r = conf_read(dirs ? dirs : settings_dirs, SETTINGS_FILE, &h);
	if (r < 0)
		return r;
	/* Who has left out what was wrong isn't told of what doesn't fit without it. */
	if (rd.failed || settings_check(&rd.s, report, arg) < 0)
		return -EINVAL;
	*ret = rd.s;
	rd.s = (struct settings){ .rules = NULL };
	return 0;
}
