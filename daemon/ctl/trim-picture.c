// SPDX-License-Identifier: GPL-2.0-or-later
/* --report: a picture before and one after, side by side in one page. */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/interrupt.h"
#include "ctl/outfile.h"
#include "ctl/picture.h"
#include "ctl/trim.h"

struct trim_picture {
	struct outfile file;
	struct explanation before, after;
};

void trim_picture_free(struct trim_picture *tp)
{
	if (!tp)
		return;
	outfile_done(&tp->file);
	explanation_done(&tp->before);
	explanation_done(&tp->after);
	free(tp);
}

static int look(const struct ctl *ctl, pid_t pid, uint64_t timeout_us, struct explanation *ret, char *why, size_t size)
{
	const struct explain_ask ask = { .timeout_us = timeout_us, .map = true, .cancel_fd = interrupt_fd() };
	char reason[256];
	int r;

	/* Looking does nothing to the target: nobody has to wait for the end of it. */
	interrupt_at_once(true);
	r = explanation_read(ctl->proc, &ask, pid, ret, reason, sizeof(reason));
	interrupt_at_once(false);
	if (r == 0 && interrupt_given_up()) {
		text_format(why, size, "interrupted, nothing is written");
		return -ECANCELED;
	}
	if (r == 0)
		notes_compose(ret, &ret->notes);
	else
		text_format(why, size, "pid %d: %s", pid, reason);
	return r;
}

int trim_picture_begin(const struct ctl *ctl, const struct trim_opts *o, pid_t pid, struct trim_picture **ret,
		       char *why, size_t size)
{
	_cleanup_(trim_picture_freep) struct trim_picture *tp = calloc(1, sizeof(*tp));
	int r;

	if (!tp)
		return -ENOMEM;
	tp->file = (struct outfile)OUTFILE_NONE;
	/* Before anything is done: nobody wants to learn afterwards that it can't be written. */
	r = outfile_open(o->report, &tp->file);
	if (r < 0) {
		outfile_explain(o->report, r, why, size);
		return r;
	}
	r = look(ctl, pid, o->timeout.value, &tp->before, why, size);
	if (r == 0)
		*ret = TAKE_PTR(tp);
	return r;
}

int trim_picture_end(const struct ctl *ctl, const struct trim_opts *o, struct trim_picture *tp, char *why, size_t size)
{
	struct picture before, after;
	const struct picture *const both[] = { &before, &after };
	char label[48] = "after", less[24];
	int r = look(ctl, tp->before.proc.pid, o->timeout.value, &tp->after, why, size);

	if (r < 0)
		return r;
	if (tp->after.proc.start_time != tp->before.proc.start_time) {
		text_format(why, size, "pid %d: no such process", tp->before.proc.pid);
		return -ESRCH;
	}
	if (tp->after.proc.rss < tp->before.proc.rss)
		text_format(label, sizeof(label), "after: %s less",
			    format_size(tp->before.proc.rss - tp->after.proc.rss, less, sizeof(less)));
	picture_fill(&tp->before, "before", &before);
	picture_fill(&tp->after, label, &after);
	r = picture_html(tp->file.f, both, ARRAY_SIZE(both));
	if (r == 0)
		r = outfile_commit(&tp->file);
	if (r < 0)
		outfile_explain(o->report, r, why, size);
	return r;
}
