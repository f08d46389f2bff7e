/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs of reclaimctl share: the global options, exit statuses, diagnostics. */
#ifndef RECLAIM_CTL_CTL_H
#define RECLAIM_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "ctl/options.h"
#include "sense/source.h"

enum ctl_status {
	CTL_DONE = 0, /* done, or nothing to do */
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_REFUSED = 3, /* not safe or not supported for at least one target */
	CTL_DENIED = 4, /* not permitted */
	CTL_GONE = 5, /* no such process */
};

/* In the order of the choices of the options; 0: not given, which is auto. */
enum ctl_color { CTL_COLOR_AUTO = 1, CTL_COLOR_ALWAYS, CTL_COLOR_NEVER };
enum ctl_source { CTL_SOURCE_AUTO = 1, CTL_SOURCE_NETLINK, CTL_SOURCE_PROCFS };

struct ctl {
	/* set by the global options */
	bool json, no_legend, help, version;
	int color; /* enum ctl_color */
	int source_choice; /* enum ctl_source */
	/* set by main */
	size_t nplain; /* of the verb's arguments, those that don't stand behind a "--" of their own */
	bool colors; /* write colours to stdout */
	int proc; /* the root of /proc, -1 for verbs that don't need it */
	struct source source; /* for verbs that need facts: /proc, or the kernel module */
	bool wrote_json; /* the verb has begun its document */
};

struct verb {
	const char *name, *args, *help;
	const char *details; /* more text for "help VERB", or NULL */
	size_t min_args, max_args;
	const struct option_spec *options;
	size_t noptions;
	size_t opts_size; /* of the struct that the options write to; zeroed before parsing */
	bool needs_proc; /* ctl->proc is open, and really a procfs */
	bool needs_facts; /* ctl->source is open, as --source wants it; others read /proc only */
	int (*run)(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs); /* enum ctl_status */
	void (*more_help)(FILE *f); /* tables that help shows too, or NULL */
	/* Word @i of those that values of @option are made of, NULL behind the last; or NULL: none but choices. */
	const char *(*word)(const char *option, size_t i);
};

extern const struct verb verb_ps, verb_explain, verb_regions, verb_trim, verb_doctor, verb_help;
extern const struct verb verb_config;
extern const struct verb verb_history, verb_metrics;
extern const struct verb verb_status, verb_watch, verb_top;
extern const struct verb verb_record, verb_report;

/* All verbs and the global options, for help and parsing. */
extern const struct verb *const ctl_verbs[];
extern const size_t ctl_nverbs;
extern const struct option_spec ctl_options[];
extern const size_t ctl_noptions;

const struct verb *ctl_verb_find(const char *name);

/* "reclaimctl: ..." as one line on stderr. What comes from users or processes must be escaped before. */
void ctl_diag(const char *format, ...) __printf_like(1, 2);

/*
 * A failure of the whole verb: the diagnostic and, with --json, the document
 * {"error": ..., "exit_status": N}. Returns @status.
 */
int ctl_fail(struct ctl *ctl, int status, const char *format, ...) __printf_like(3, 4);

/* Ends output on stdout: @status, or CTL_FAILED and a diagnostic when @error (-errno or 0) says that writing failed. */
int ctl_output_done(int status, int error);

/* Is there a terminal behind @fd that understands more than plain lines? */
bool ctl_terminal(int fd);

/* Help, all from the tables. */
void help_print_all(FILE *f);
void help_print_verb(FILE *f, const struct verb *v);
int help_show(struct ctl *ctl, const struct verb *v); /* NULL: all */
int ctl_unknown_verb(struct ctl *ctl, const char *name);

#endif
