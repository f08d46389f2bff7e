/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A recording, read and added up: what there is to say about each process, and few enough points to be drawn. */
#ifndef RECLAIM_CTL_REPORT_H
#define RECLAIM_CTL_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "ctl/ctl.h"
#include "ctl/json.h"
#include "ctl/picture.h"
#include "ctl/recording.h"

#define REPORT_POINTS 1000u /* that are drawn, at most */
#define REPORT_EVENTS 500u /* that are shown, at most, of each process */

/* Resident memory in layers, from what the program needs to what it doesn't: together all of it. */
enum report_layer {
	REPORT_FILES,
	REPORT_SHMEM,
	REPORT_STACKS,
	REPORT_OTHER,
	REPORT_MMAPPED,
	REPORT_GLIBC_USED,
	REPORT_PYTHON_USED,
	REPORT_GLIBC_CACHED,
	REPORT_GLIBC_FREE,
	REPORT_PYTHON_FREE,
	REPORT_LAYERS,
};

struct report_layer_style {
	const char *key, *name;
	enum picture_part part; /* whose colour it has */
	unsigned int shade; /* 0, 1, 2: paler */
};
extern const struct report_layer_style report_layers[REPORT_LAYERS];

/* Splits a sample. Of one without a look only what the kernel tells apart. */
void report_split(const struct recording_sample *s, uint64_t ret[REPORT_LAYERS]);

/* ---- one figure over time ---- */

struct report_row {
	uint64_t n, first, last, peak, peak_at_us; /* 0, UNKNOWN when n is 0 */
	double sx, sy, sxx, sxy; /* hours, bytes: for the line that fits best */
};

void report_row_add(struct report_row *r, uint64_t at_us, uint64_t v);
/* Bytes per hour. False: too short, or too few, to be told. */
bool report_row_growth(const struct report_row *r, uint64_t length_us, double *ret);

/* ---- points for drawing ---- */

struct report_point {
	uint64_t at_us, rss;
	uint64_t v[REPORT_LAYERS];
};

/* When there are too many, of neighbours the one with the most memory stays: peaks are seen. */
struct report_line {
	struct report_point *v; /* malloc'ed, room for 2 * REPORT_POINTS */
	size_t n;
	uint64_t every, waiting; /* samples that one point stands for; of the next one so far */
	struct report_point next;
};

int report_line_add(struct report_line *l, const struct report_point *p) __must_check; /* 0 or -ENOMEM */

/* ---- all of it ---- */

struct report_event {
	uint64_t at_us;
	struct recording_event e;
};

struct report_target {
	struct recording_target about;
	uint64_t samples, looks, first_us, last_us, events_seen;
	struct report_row rss, swap, offer, layers[REPORT_LAYERS];
	struct report_line counted, looked; /* of all samples; of those with layers */
	struct report_event *events; /* malloc'ed, nevents */
	size_t nevents;
	bool gone; /* exited */
};

struct report {
	const char *path;
	struct recording_head head;
	struct report_target *t; /* malloc'ed, n */
	size_t n;
	uint64_t length_us;
	enum recording_ending ending;
	uint64_t offset; /* where reading ended */
};

/* 0 or -errno. The caller calls report_done(). */
int report_read(FILE *f, const char *path, struct report *ret) __must_check;
void report_done(struct report *r);

/* The line that has layers, or where nobody could look, the other one. */
const struct report_line *report_areas(const struct report_target *t);
/* What it comes to, in one sentence for people. */
void report_verdict(const struct report_target *t, char *ret, size_t size);
/* "1h 2min" and so on; @buf has 24 bytes. */
const char *report_time(uint64_t us, char *buf, size_t size);
const char *report_growth(double bytes, char *buf, size_t size); /* "+1.2MiB", 24 bytes */

/* 0 or -errno. @f: the file again, for each sample. */
int report_print_text(const struct ctl *ctl, const struct report *r) __must_check;
int report_print_json(struct ctl *ctl, const struct report *r, FILE *f) __must_check;

/* @y: where it begins. Returns where it ends. */
unsigned int report_plot(FILE *f, const struct report *r, const struct report_target *t, size_t number, unsigned int y);
#define REPORT_WIDTH 960u
#define REPORT_LEFT 76u
#define REPORT_RIGHT 24u
#define REPORT_HEIGHT 300u /* of the areas */
/* What the areas end at: a round figure. */
uint64_t report_top(const struct report_target *t);
extern const char report_style[]; /* of a plot, beside picture_svg_style */

int report_svg(FILE *f, const struct report *r) __must_check;
int report_html(FILE *f, const struct report *r) __must_check;

#endif
