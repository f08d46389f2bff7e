// SPDX-License-Identifier: GPL-2.0-or-later
/* Everything here is done in one pass, in bounded memory, whatever the recording is. */
#include "ctl/report.h"

#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"

#define HOUR_US 3600e6
#define MINUTE_US 60000000ull
#define MIB (1ull << 20)

const struct report_layer_style report_layers[REPORT_LAYERS] = {
	[REPORT_FILES] = { "files", "files", PART_FILE, 0 },
	[REPORT_SHMEM] = { "shared", "shared memory", PART_SHMEM, 0 },
	[REPORT_STACKS] = { "stacks", "stacks", PART_STACK, 0 },
	[REPORT_OTHER] = { "other", "other memory", PART_OTHER, 0 },
	[REPORT_MMAPPED] = { "mmapped", "large blocks", PART_IN_USE, 2 },
	[REPORT_GLIBC_USED] = { "glibc-in-use", "C library, in use", PART_IN_USE, 1 },
	[REPORT_PYTHON_USED] = { "cpython-in-use", "Python, in use", PART_IN_USE, 0 },
	[REPORT_GLIBC_CACHED] = { "glibc-cached", "C library, cached", PART_CACHED, 0 },
	[REPORT_GLIBC_FREE] = { "glibc-free", "C library, free, still held", PART_FREE, 1 },
	[REPORT_PYTHON_FREE] = { "cpython-free", "Python, free, still held", PART_FREE, 0 },
};

static uint64_t known(uint64_t v)
{
	return v == RECORDING_UNKNOWN ? 0 : v;
}

static uint64_t take(uint64_t *left, uint64_t want)
{
	const uint64_t n = MIN(*left, known(want));

	*left -= n;
	return n;
}

void report_split(const struct recording_sample *s, uint64_t ret[REPORT_LAYERS])
{
	const uint64_t *a = s->v + RECORDED_ACCOUNT;
	uint64_t left;

	memset(ret, 0, REPORT_LAYERS * sizeof(*ret));
	if (!s->looked) {
		ret[REPORT_FILES] = known(s->v[RECORDED_FILE]);
		ret[REPORT_SHMEM] = known(s->v[RECORDED_SHMEM]);
		ret[REPORT_OTHER] = known(s->v[RECORDED_ANON]);
		return;
	}
	ret[REPORT_FILES] = known(a[ACCOUNT_FILE]) + known(a[ACCOUNT_FILE_COPY]) + known(a[ACCOUNT_SPECIAL]);
	ret[REPORT_SHMEM] = known(a[ACCOUNT_SHARED]);
	ret[REPORT_STACKS] = known(a[ACCOUNT_STACK]) + known(a[ACCOUNT_THREAD_STACK]);
	ret[REPORT_OTHER] = known(a[ACCOUNT_OTHER]);
	ret[REPORT_MMAPPED] = known(a[ACCOUNT_GLIBC_MMAP]);
	/* Figures are of different moments: none of the parts exceeds what is left. */
	left = known(a[ACCOUNT_GLIBC_HEAP]);
	ret[REPORT_GLIBC_FREE] = take(&left, s->v[RECORDED_GLIBC_FREE_RESIDENT]);
	ret[REPORT_GLIBC_CACHED] = take(&left, s->v[RECORDED_GLIBC_CACHED]);
	ret[REPORT_GLIBC_USED] = left;
	left = known(a[ACCOUNT_PYMALLOC]);
	ret[REPORT_PYTHON_FREE] = take(&left, s->v[RECORDED_PYTHON_FREE_RESIDENT]);
	ret[REPORT_PYTHON_USED] = left;
}

/* ---- rows ---- */

void report_row_add(struct report_row *r, uint64_t at_us, uint64_t v)
{
	const double x = (double)at_us / HOUR_US, y = (double)v;

	if (v == RECORDING_UNKNOWN)
		return;
	if (!r->n)
		r->first = v;
	if (!r->n || v > r->peak) {
		r->peak = v;
		r->peak_at_us = at_us;
	}
	r->last = v;
	r->n++;
	r->sx += x;
	r->sy += y;
	r->sxx += x * x;
	r->sxy += x * y;
}

bool report_row_growth(const struct report_row *r, uint64_t length_us, double *ret)
{
	const double n = (double)r->n, d = n * r->sxx - r->sx * r->sx;

	/* Of seconds nobody should conclude what hours will bring. */
	if (r->n < 3 || length_us < MINUTE_US || d <= 0)
		return false;
	*ret = (n * r->sxy - r->sx * r->sy) / d;
	return true;
}

/* ---- lines ---- */

static void halve(struct report_line *l)
{
	for (size_t i = 0; i < l->n; i += 2)
		l->v[i / 2] = i + 1 == l->n || l->v[i].rss >= l->v[i + 1].rss ? l->v[i] : l->v[i + 1];
	l->n = (l->n + 1) / 2;
	l->every *= 2;
}

int report_line_add(struct report_line *l, const struct report_point *p)
{
	if (!l->v) {
		l->v = calloc(2 * REPORT_POINTS, sizeof(*l->v));
		l->every = 1;
	}
	if (!l->v)
		return -ENOMEM;
	if (!l->waiting || p->rss > l->next.rss)
		l->next = *p;
	if (++l->waiting < l->every)
		return 0;
	l->waiting = 0;
	if (l->n == 2 * REPORT_POINTS)
		halve(l);
	l->v[l->n++] = l->next;
	return 0;
}

static void line_end(struct report_line *l, size_t most)
{
	if (l->waiting && l->n == 2 * REPORT_POINTS)
		halve(l);
	if (l->waiting)
		l->v[l->n++] = l->next;
	l->waiting = 0;
	while (l->n > most)
		halve(l);
}

/* ---- reading ---- */

static int add_sample(struct report_target *t, uint64_t at_us, const struct recording_sample *s)
{
	struct report_point p = { .at_us = at_us, .rss = known(s->v[RECORDED_RSS]) };
	int r;

	report_split(s, p.v);
	t->samples++;
	t->last_us = at_us;
	report_row_add(&t->rss, at_us, s->v[RECORDED_RSS]);
	report_row_add(&t->swap, at_us, s->v[RECORDED_SWAP]);
	report_row_add(&t->offer, at_us, s->v[RECORDED_OFFER]);
	r = report_line_add(&t->counted, &p);
	if (!s->looked || r < 0)
		return r;
	t->looks++;
	for (size_t i = 0; i < REPORT_LAYERS; i++)
		report_row_add(&t->layers[i], at_us, p.v[i]);
	return report_line_add(&t->looked, &p);
}

static int add_event(struct report_target *t, uint64_t at_us, const struct recording_event *e)
{
	if (!t->events)
		t->events = calloc(REPORT_EVENTS, sizeof(*t->events));
	if (!t->events)
		return -ENOMEM;
	t->events_seen++;
	t->gone |= e->kind == RECORDING_EXIT;
	/* How it ended is worth more than what is in its place. */
	if (t->nevents == REPORT_EVENTS && e->kind == RECORDING_EXIT)
		t->nevents--;
	if (t->nevents < REPORT_EVENTS)
		t->events[t->nevents++] = (struct report_event){ .at_us = at_us, .e = *e };
	return 0;
}

static int add_block(struct report *r, const struct recording_block *b)
{
	struct report_target *t = &r->t[b->target];

	r->length_us = b->at_us;
	switch (b->type) {
	case RECORDING_BLOCK_TARGET:
		*t = (struct report_target){ .about = b->about, .first_us = b->at_us, .last_us = b->at_us };
		r->n = b->target + 1;
		return 0;
	case RECORDING_BLOCK_SAMPLE:
		return add_sample(t, b->at_us, &b->sample);
	case RECORDING_BLOCK_EVENT:
		return add_event(t, b->at_us, &b->event);
	default:
		return 0;
	}
}

void report_done(struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->t[i].counted.v);
		free(r->t[i].looked.v);
		free(r->t[i].events);
	}
	free(r->t);
	*r = (struct report){ .path = NULL };
}

int report_read(FILE *f, const char *path, struct report *ret)
{
	_cleanup_(report_done) struct report r = { .path = path };
	struct recording_block b;
	struct recording_reader reader;
	int e = recording_read(f, &reader);

	if (e < 0)
		return e;
	r.head = reader.head;
	r.t = calloc(RECORDING_TARGETS, sizeof(*r.t));
	if (!r.t)
		return -ENOMEM;
	while ((e = recording_next(&reader, &b)) > 0) {
		e = add_block(&r, &b);
		if (e < 0)
			return e;
	}
	if (e < 0)
		return e;
	r.ending = reader.ending;
	r.offset = reader.offset;
	r.length_us = MAX(r.length_us, reader.ending == RECORDING_ENDED ? reader.state.at_us : 0);
	for (size_t i = 0; i < r.n; i++) {
		/* Many plots are coarser, so that the page stays one that a browser likes. */
		line_end(&r.t[i].counted, MIN(REPORT_POINTS, 4 * REPORT_POINTS / r.n));
		line_end(&r.t[i].looked, MIN(REPORT_POINTS, 4 * REPORT_POINTS / r.n));
	}
	*ret = r;
	r = (struct report){ .path = NULL };
	return 0;
}

const struct report_line *report_areas(const struct report_target *t)
{
	return t->looked.n ? &t->looked : &t->counted;
}

/* ---- words ---- */

const char *report_time(uint64_t us, char *buf, size_t size)
{
	/* To the second, where that is enough; else to a tenth of it, as it is written. */
	us -= us % (us >= 60000000 ? 1000000 : 100000);
	if (us)
		return format_time_us(us, buf, size);
	text_format(buf, size, "0s");
	return buf;
}

const char *report_growth(double bytes, char *buf, size_t size)
{
	char number[24];
	const double v = bytes < 0 ? -bytes : bytes;

	text_format(buf, size, "%s%s",
		    v < 1     ? "" :
		    bytes < 0 ? "-" :
				"+",
		    format_size(v < 1e18 ? (uint64_t)v : (uint64_t)1e18, number, sizeof(number)));
	return buf;
}

static bool is_free(enum report_layer i)
{
	return report_layers[i].part == PART_FREE || report_layers[i].part == PART_CACHED;
}

/* The layer that grew most, by the line that fits. */
static enum report_layer fastest(const struct report_target *t, uint64_t length_us, double *ret)
{
	enum report_layer most = REPORT_OTHER;
	double v;

	*ret = 0;
	for (enum report_layer i = 0; i < REPORT_LAYERS; i++) {
		if (!report_row_growth(&t->layers[i], length_us, &v) || v <= *ret)
			continue;
		*ret = v;
		most = i;
	}
	return most;
}

/* What could be done about it now, if anything. */
static void verdict_offer(const struct report_target *t, char *ret, size_t size)
{
	char held[24];

	if (t->offer.n && t->offer.last >= MIB && t->offer.last >= t->rss.last / 10)
		text_append(ret, size, " %s of it can be given back: see reclaimctl trim.",
			    format_size(t->offer.last, held, sizeof(held)));
}

void report_verdict(const struct report_target *t, char *ret, size_t size)
{
	const uint64_t length_us = t->last_us - MIN(t->first_us, t->last_us);
	char grown[24], layer[24], held[24];
	uint64_t free_last = 0;
	double rss, v;
	enum report_layer most;
	const bool told = report_row_growth(&t->rss, length_us, &rss);

	for (enum report_layer i = 0; i < REPORT_LAYERS; i++)
		free_last += is_free(i) ? t->layers[i].last : 0;
	if (told && rss * ((double)length_us / HOUR_US) > (double)MAX(MIB, t->rss.first / 20)) {
		most = fastest(t, length_us, &v);
		text_format(ret, size, "It grows by %s an hour", report_growth(rss, grown, sizeof(grown)) + 1);
		if (v > 0)
			text_append(ret, size, ", most of it %s (%s).%s", report_layers[most].name,
				    report_growth(v, layer, sizeof(layer)),
				    is_free(most) ? " That is free, and still held." :
						    " The program holds on to that: a trim doesn't stop it.");
		else
			text_append(ret, size, "; nobody could look where.");
		verdict_offer(t, ret, size);
	} else if (free_last >= MIB && free_last >= t->rss.last / 10) {
		text_format(ret, size, "%s%s of it are free, and still held.", told ? "It doesn't grow; " : "",
			    format_size(free_last, held, sizeof(held)));
		verdict_offer(t, ret, size);
	} else {
		text_format(ret, size, "%s%s.", told ? "It doesn't grow" : "Too short to tell whether it grows",
			    t->looks ? "; it holds hardly anything for nothing" : "; nobody could look inside");
	}
}
