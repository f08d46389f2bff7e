/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verb table and the global options. Not in main.c, so that tests can go through all that there are. */
#include <stddef.h>
#include <string.h>

#include "ctl/ctl.h"

const struct verb *const ctl_verbs[] = {
	&verb_ps,      &verb_explain, &verb_regions, &verb_trim,   &verb_top,	  &verb_record, &verb_report,
	&verb_history, &verb_watch,   &verb_status,  &verb_config, &verb_metrics, &verb_doctor, &verb_help,
};
const size_t ctl_nverbs = ARRAY_SIZE(ctl_verbs);

static const char *const color_choices[] = { "auto", "always", "never", NULL };
static const char *const source_choices[] = { "auto", "netlink", "procfs", NULL };

const struct option_spec ctl_options[] = {
	{ "json", 0, NULL, "One JSON document on stdout, for failures too; sizes in bytes", option_flag,
	  offsetof(struct ctl, json), NULL, NULL },
	{ "color", 0, "WHEN", "Colours: auto (default: on a terminal), always, never", option_choice,
	  offsetof(struct ctl, color), NULL, color_choices },
	{ "no-legend", 0, NULL, "No headings, no total", option_flag, offsetof(struct ctl, no_legend), NULL, NULL },
	{ "source", 0, "SOURCE", "Where facts come from: auto (default), netlink, procfs", option_choice,
	  offsetof(struct ctl, source_choice), NULL, source_choices },
	{ "help", 'h', NULL, "Show help", option_flag, offsetof(struct ctl, help), NULL, NULL },
	{ "version", 0, NULL, "Show the version", option_flag, offsetof(struct ctl, version), NULL, NULL },
};
const size_t ctl_noptions = ARRAY_SIZE(ctl_options);

const struct verb *ctl_verb_find(const char *name)
{
	for (size_t i = 0; i < ctl_nverbs; i++)
		if (!strcmp(ctl_verbs[i]->name, name))
			return ctl_verbs[i];
	return NULL;
}
