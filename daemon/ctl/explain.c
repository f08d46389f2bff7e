/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "explain": where every resident MiB of a process is, and what would free what. */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/explain.h"
#include "ctl/outfile.h"
#include "ctl/picture.h"
#include "ctl/pids.h"

#define TIMEOUT_MIN_US 1000ull
#define TIMEOUT_MAX_US 3600000000ull

struct explain_opts {
	struct opt_number timeout;
	const char *html, *svg;
	bool all;
};

static const struct option_spec explain_options[] = {
	{ "all", 0, NULL, "All arenas, not only the largest (JSON has all)", option_flag,
	  offsetof(struct explain_opts, all), NULL, NULL },
	{ "html", 0, "FILE", "Write a page with a picture of its memory, to be opened in a browser", option_text,
	  offsetof(struct explain_opts, html), "a file", NULL },
	{ "svg", 0, "FILE", "Write the picture alone", option_text, offsetof(struct explain_opts, svg), "a file",
	  NULL },
	{ "timeout", 0, "TIME", "For the looking, 1ms to 1h (10s)", option_time, offsetof(struct explain_opts, timeout),
	  "a time such as 10s", NULL },
};

/* Not the kernel's view: why. */
static int judge_regions(const struct explanation *e, const char *comm)
{
	if (e->regions_error == -EACCES || e->regions_error == -EPERM) {
		ctl_diag("pid %d (%s): its mappings may not be read; be root, or see 'reclaimctl doctor'", e->proc.pid,
			 comm);
		return CTL_DENIED;
	}
	ctl_diag("pid %d (%s): %s", e->proc.pid, comm,
		 e->regions_error == -E2BIG ? "it has too many mappings to list" :
					      "its mappings change faster than they can be read; try again");
	return CTL_FAILED;
}

/* What came of the looking: a diagnostic where something is missing, and the exit status. */
static int judge(const struct explanation *e)
{
	static const struct {
		uint32_t outcome;
		int status;
		const char *before, *after;
	} rows[] = {
		{ WORKER_GONE, CTL_GONE, "gone", "" },
		{ WORKER_DENIED, CTL_DENIED, "not permitted to look inside", "; see 'reclaimctl doctor'" },
		{ WORKER_TIMEOUT, CTL_FAILED, "timed out looking inside", "; allow more with --timeout" },
		{ WORKER_FAILED, CTL_FAILED, "failed to look inside", "" },
		/* A zombie, a kernel thread: there is nothing inside, and that is the answer. */
		{ WORKER_REFUSED, CTL_DONE, NULL, NULL },
	};
	const struct explain_head *h = &e->answer.head;
	char comm[300], reason[EXPLAIN_TEXT_MAX * 4];
	int status = CTL_DONE;

	escape_text(e->proc.comm, comm, sizeof(comm));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].outcome != h->outcome)
			continue;
		status = rows[i].status;
		if (rows[i].before)
			ctl_diag("pid %d (%s): %s: %s%s", e->proc.pid, comm, rows[i].before,
				 escape_text(h->reason, reason, sizeof(reason)), rows[i].after);
	}
	if (status == CTL_DONE && !e->has_regions && !e->proc.kthread)
		status = judge_regions(e, comm);
	return status;
}

/* Files instead of text; beside JSON, which is for programs. */
static int explain_output(struct ctl *ctl, const struct explain_opts *o, struct explanation *e)
{
	struct picture p;
	const struct picture *one = &p;
	char why[700];
	int r = 0;

	notes_compose(e, &e->notes);
	if (o->html || o->svg)
		picture_fill(e, NULL, &p);
	if (o->html)
		r = picture_write_html(o->html, &one, 1, why, sizeof(why));
	if (o->svg && r == 0)
		r = picture_write_svg(o->svg, &p, why, sizeof(why));
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "explain: %s", why);
	if (ctl->json)
		r = explain_print_json(ctl, e);
	else if (!o->html && !o->svg)
		r = explain_print_text(ctl, e, o->all);
	return ctl_output_done(CTL_DONE, r);
}

/* What is wrong with the options together, or NULL. */
static const char *find_conflict(const struct ctl *ctl, const struct explain_opts *o)
{
	if (o->timeout.given && (o->timeout.value < TIMEOUT_MIN_US || o->timeout.value > TIMEOUT_MAX_US))
		return "--timeout must be between 1ms and 1h";
	return outfile_conflict(o->html, o->svg, ctl->json);
}

static int run_explain(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(explanation_done) struct explanation e = { .proc = { .pid = 0 } };
	const struct explain_opts *o = opts;
	_cleanup_free_ pid_t *pids = NULL;
	struct explain_ask ask;
	const char *conflict;
	char why[256];
	int r, status;
	size_t n;

	r = pids_parse(args, nargs, &pids, &n, why, sizeof(why));
	if (r == -EINVAL)
		return ctl_fail(ctl, CTL_USAGE, "explain: %s", why);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "explain: %s", strerror(-r));
	conflict = find_conflict(ctl, o);
	if (conflict)
		return ctl_fail(ctl, CTL_USAGE, "explain: %s", conflict);
	ask = (struct explain_ask){ .timeout_us = o->timeout.value, .map = o->html || o->svg };
	/* For others the daemon looks, and may have to ask somebody for a password first. */
	ask.give_up = geteuid() == 0;
	r = explanation_read(ctl->proc, &ask, pids[0], &e, why, sizeof(why));
	if (r < 0)
		return ctl_fail(ctl,
				r == -ESRCH		    ? CTL_GONE :
				r == -EACCES || r == -EPERM ? CTL_DENIED :
							      CTL_FAILED,
				"pid %d: %s", pids[0], why);
	status = judge(&e);
	if (status == CTL_GONE)
		return ctl_output_done(status, ctl->json ? explain_print_json(ctl, &e) : 0);
	r = explain_output(ctl, o, &e);
	return r == CTL_DONE ? status : r;
}

const struct verb verb_explain = {
	.name = "explain",
	.args = "PID",
	.help = "Show where every resident MiB of a process is, and what would free what",
	.details = "Layer by layer: the kernel's mappings, the C library's allocator, the language runtime. The\n"
		   "target is never stopped: what it changes meanwhile makes figures estimates, and they say so.\n",
	.min_args = 1,
	.max_args = 1,
	.options = explain_options,
	.noptions = ARRAY_SIZE(explain_options),
	.opts_size = sizeof(struct explain_opts),
	.needs_proc = true,
	.run = run_explain,
};
