/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of "top" share. */
#ifndef RECLAIM_CTL_TOP_H
#define RECLAIM_CTL_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "ctl/canvas.h"
#include "ctl/ctl.h"
#include "ctl/explain.h"
#include "ctl/top-job.h"
#include "ctl/top-model.h"
#include "ctl/top-view.h"

#define TOP_MESSAGE_MAX 400

enum top_page { TOP_PAGE_LIST, TOP_PAGE_DETAIL, TOP_PAGE_HELP };
enum top_prompt { TOP_PROMPT_NONE, TOP_PROMPT_FILTER, TOP_PROMPT_TRIM };

/* One process, in all its layers. */
struct top_detail {
	pid_t pid; /* 0: none */
	uint64_t start_time;
	bool wanted, gone; /* wanted: to be read as soon as it can be */
	struct explanation *e; /* NULL: not read yet */
	uint64_t at_us;
};

struct top {
	struct ctl *ctl;
	struct top_model model;
	struct top_view view;
	struct top_job *job;
	int64_t budget_us, counts_us; /* CPU time that glances and counts may take now */
	uint64_t budget_at_us;
	bool unlimited; /* looks cost nothing now */
	bool deep; /* all are counted, whatever it costs */
	bool asked, made_way; /* the count that runs: somebody has asked for it; it was given up for something else */
	uint64_t delay_us;
	uint64_t count; /* intervals that are left, 0: no end */

	/* the live view */
	struct canvas canvas, sheet; /* sheet: of a page that may be longer than the screen */
	enum top_page page;
	enum top_prompt prompt;
	size_t scroll; /* of the sheet */
	struct top_detail detail;
	pid_t trim_pid; /* asked about; 0: all that are tagged */
	uint64_t trim_start;
	size_t ntagged;
	char old_filter[TOP_FILTER_MAX];
	char message[TOP_MESSAGE_MAX]; /* escaped */
	uint64_t message_until_us;
	enum style message_style;
	uint64_t next_us; /* of the next interval */
	uint64_t redraw_at_us; /* 0: not for what is known since */
	bool blocks; /* the locale has characters for bars */
	bool paused, quit, redraw, mouse;
};

/* ---- top-work.c ---- */

void top_done(struct top *t); /* all but the job */

/* Starts the most urgent thing that there is to do; nothing when there is none, or one runs. */
void top_work(struct top *t, uint64_t now_us);

/* Takes what a job has answered, when it has ended. */
void top_work_take(struct top *t, uint64_t now_us);

/* Is something due for which there is no budget yet, or that runs? */
bool top_work_pending(const struct top *t, uint64_t now_us);

void top_say(struct top *t, enum style style, const char *fmt, ...) __printf_like(3, 4);

/* ---- drawing: on a canvas, without a terminal ---- */

/* Lines above those of the processes: machine, pressure, totals, legend, headings. */
#define TOP_HEADER 5

/* The whole screen. 0 or -errno. */
int top_draw(struct top *t) __must_check;

/* The list alone: header, and as many lines as there is room for. */
void top_draw_list(struct top *t, struct canvas *c, int height);
void top_draw_totals(const struct top *t, struct canvas *c);
void top_draw_bar(struct canvas *c, int y, int x, int width, const uint64_t parts[TOP_PARTS], uint64_t whole,
		  bool blocks);
wchar_t top_part_char(size_t part, bool blocks);

/* How many lines of processes there is room for. */
size_t top_rows(const struct top *t);

/* These draw on a sheet that is long enough, and return how much of it they used. */
int top_draw_detail(struct top *t, struct canvas *c);
int top_draw_help(const struct top *t, struct canvas *c);
#define TOP_SHEET 400

/* ---- top-keys.c ---- */

void top_key(struct top *t, int key);
void top_click(struct top *t, int y, int x);
void top_hints(const struct top *t, char *buf, size_t size); /* for the last line of the screen */

/* ---- the two ways to run; each an enum ctl_status ---- */

int top_run_live(struct top *t);
int top_run_batch(struct top *t);

#endif
