// SPDX-License-Identifier: GPL-2.0-or-later
/* "report": what a recording says. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/outfile.h"
#include "ctl/record.h"
#include "ctl/report.h"

struct report_opts {
	const char *html, *svg;
};

static const struct option_spec report_options[] = {
	{ "html", 0, "FILE", "Write a page with plots instead, to be opened in a browser", option_text,
	  offsetof(struct report_opts, html), "a file", NULL },
	{ "svg", 0, "FILE", "Write the plots alone", option_text, offsetof(struct report_opts, svg), "a file", NULL },
};

/* What hangs when it is opened is no recording. */
static int open_file(const char *path, FILE **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	FILE *f;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EBADMSG;
	f = fdopen(fd, "r");
	if (!f)
		return -ENOMEM;
	(void)TAKE_FD(fd);
	*ret = f;
	return 0;
}

static int fail_read(struct ctl *ctl, const char *path, int r)
{
	char shown[512];
	const char *why = r == -EBADMSG ? "not a recording of reclaimctl record" :
			  r == -ENOTSUP ? "a recording of another version of reclaimctl" :
			  r == -ENOENT	? "no such file: 'reclaimctl record' makes one" :
					  strerror(-r);

	return ctl_fail(ctl, r == -EACCES || r == -EPERM ? CTL_DENIED : CTL_FAILED, "report: %s: %s",
			escape_text(path, shown, sizeof(shown)), why);
}

static int write_file(const char *path, const struct report *r, int (*draw)(FILE *f, const struct report *r), char *why,
		      size_t size)
{
	_cleanup_(outfile_done) struct outfile o = OUTFILE_NONE;
	int e = outfile_open(path, &o);

	if (e == 0)
		e = draw(o.f, r);
	if (e == 0)
		e = outfile_commit(&o);
	if (e < 0)
		outfile_explain(path, e, why, size);
	return e;
}

/* A page in the place of what it was made of, or of the other one, is a slip. */
static const char *find_conflict(const struct ctl *ctl, const struct report_opts *o, FILE *f)
{
	const char *const files[] = { o->html, o->svg };
	struct stat in, out;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (files[i] && !outfile_is_stdout(files[i]) && fstat(fileno(f), &in) == 0 &&
		    stat(files[i], &out) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
			return "the page would replace the recording; name another file";
	return outfile_conflict(o->html, o->svg, ctl->json);
}

static int show(struct ctl *ctl, const struct report_opts *o, const struct report *r, FILE *f)
{
	char why[700];
	int e = 0;

	if (o->html)
		e = write_file(o->html, r, report_html, why, sizeof(why));
	if (o->svg && e == 0)
		e = write_file(o->svg, r, report_svg, why, sizeof(why));
	if (e < 0)
		return ctl_fail(ctl, CTL_FAILED, "report: %s", why);
	if (ctl->json)
		e = report_print_json(ctl, r, f);
	else if (!o->html && !o->svg)
		e = report_print_text(ctl, r);
	return ctl_output_done(CTL_DONE, e);
}

/* How far it could be read. Being cut off is how a recording ends that was killed. */
static int judge(const struct report *r)
{
	char shown[512], passed[24];

	if (r->ending == RECORDING_ENDED)
		return CTL_DONE;
	escape_text(r->path, shown, sizeof(shown));
	report_time(r->length_us, passed, sizeof(passed));
	if (r->ending == RECORDING_CUT) {
		ctl_diag("report: %s: not ended (still being written, or cut off): read up to %s", shown, passed);
		return CTL_DONE;
	}
	ctl_diag("report: %s: damaged at byte %" PRIu64 ": read up to %s", shown, r->offset, passed);
	return CTL_FAILED;
}

static int run_report(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(report_done) struct report r = { .path = NULL };
	const char *path = nargs ? args[0] : RECORD_FILE;
	_cleanup_fclose_ FILE *f = NULL;
	const char *conflict = NULL;
	int e = open_file(path, &f), status;

	if (e == 0)
		conflict = find_conflict(ctl, opts, f);
	if (conflict)
		return ctl_fail(ctl, CTL_USAGE, "report: %s", conflict);
	if (e == 0)
		e = report_read(f, path, &r);
	if (e < 0)
		return fail_read(ctl, path, e);
	status = show(ctl, opts, &r, f);
	return status != CTL_DONE ? status : judge(&r);
}

const struct verb verb_report = {
	.name = "report",
	.args = "[FILE]",
	.help = "Show what record has recorded: peaks, growth, events, plots",
	.details = "Of the recording FILE, " RECORD_FILE " when none is named. It may still be written to.\n",
	.max_args = 1,
	.options = report_options,
	.noptions = ARRAY_SIZE(report_options),
	.opts_size = sizeof(struct report_opts),
	.run = run_report,
};
