// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/render.h"
#include "ctl/report.h"

/* A line of the first table. */
struct figure {
	const char *key, *name;
	const struct report_row *row;
	uint64_t length_us;
};

/* ---- tables ---- */

static const struct report_row *row_of(const void *row)
{
	return ((const struct figure *)row)->row;
}

static void set_size(struct cell *ret, const struct report_row *r, uint64_t v)
{
	if (!r->n)
		return;
	ret->kind = CELL_SIZE;
	ret->number = v;
}

static void cell_first(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	set_size(ret, row_of(row), row_of(row)->first);
}

static void cell_last(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	set_size(ret, row_of(row), row_of(row)->last);
}

static void cell_peak(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	set_size(ret, row_of(row), row_of(row)->peak);
}

static void cell_when(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	if (!row_of(row)->n)
		return;
	ret->kind = CELL_TEXT;
	ret->text = report_time(row_of(row)->peak_at_us, ret->buf, sizeof(ret->buf));
}

static void cell_growth(const struct column *c, const void *row, struct cell *ret)
{
	double v;

	(void)c;
	if (!report_row_growth(row_of(row), ((const struct figure *)row)->length_us, &v))
		return;
	ret->kind = CELL_TEXT;
	ret->text = report_growth(v, ret->buf, sizeof(ret->buf));
}

static const struct column figure_columns[] = {
	{ "LAYER", "layer", 0, 0, "", cell_text, offsetof(struct figure, name) },
	{ "FIRST", "first", 0, COLUMN_RIGHT, "", cell_first, 0 },
	{ "LAST", "last", 0, COLUMN_RIGHT, "", cell_last, 0 },
	{ "PEAK", "peak", 0, COLUMN_RIGHT, "", cell_peak, 0 },
	{ "AT", "peak_at_us", 0, COLUMN_RIGHT, "", cell_when, 0 },
	{ "PER HOUR", "growth", 0, COLUMN_RIGHT, "", cell_growth, 0 },
};

static void cell_at(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	ret->kind = CELL_TEXT;
	ret->text = report_time(((const struct report_event *)row)->at_us, ret->buf, sizeof(ret->buf));
}

static void cell_kind(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	ret->kind = CELL_TEXT;
	ret->text = recording_event_name(((const struct report_event *)row)->e.kind);
}

static void cell_bytes(const struct column *c, const void *row, struct cell *ret)
{
	const int64_t v = ((const struct report_event *)row)->e.bytes;

	(void)c;
	if (!v)
		return;
	ret->kind = CELL_TEXT;
	ret->text = report_growth((double)v, ret->buf, sizeof(ret->buf));
}

static const struct column event_columns[] = {
	{ "AT", "at_us", 0, COLUMN_RIGHT, "", cell_at, 0 },
	{ "EVENT", "event", 0, 0, "", cell_kind, 0 },
	{ "RESIDENT", "bytes", 0, COLUMN_RIGHT, "", cell_bytes, 0 },
	{ "WHAT", "words", 0.4, COLUMN_WRAP, "", cell_chars, offsetof(struct report_event, e.words) },
};

/* Those that were ever anything. */
static size_t figures_of(const struct report_target *t, struct figure *v)
{
	const uint64_t length_us = t->last_us - MIN(t->first_us, t->last_us);
	size_t n = 0;

	v[n++] = (struct figure){ "resident", "resident", &t->rss, length_us };
	for (size_t i = REPORT_LAYERS; i-- > 0;)
		if (t->layers[i].peak)
			v[n++] = (struct figure){ report_layers[i].key, report_layers[i].name, &t->layers[i],
						  length_us };
	if (t->swap.peak)
		v[n++] = (struct figure){ "swap", "swapped out", &t->swap, length_us };
	if (t->offer.n)
		v[n++] = (struct figure){ "offer", "could be given back", &t->offer, length_us };
	return n;
}

#define FIGURES (REPORT_LAYERS + 3)

/* @size: of one row. */
static int table(const struct ctl *ctl, const struct column *columns, size_t ncolumns, const void *rows, size_t n,
		 size_t size)
{
	_cleanup_free_ const void **order = calloc(n + 1, sizeof(*order));
	const struct column *all[8];

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < ncolumns; i++)
		all[i] = &columns[i];
	for (size_t i = 0; i < n; i++)
		order[i] = (const char *)rows + i * size;
	return render_table(ctl, all, ncolumns, order, n);
}

static void print_head(const struct report *r, const struct report_target *t, size_t number)
{
	const time_t began = (time_t)(r->head.real_us / 1000000);
	char comm[300], when[64] = "-", passed[24], verdict[320];
	struct tm tm;

	if (r->head.real_us < INT64_MAX && gmtime_r(&began, &tm) && tm.tm_year <= 8099)
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	report_verdict(t, verdict, sizeof(verdict));
	printf("%s%s (pid %d), %s from %s on: %" PRIu64 " samples, %" PRIu64 " looks.\n%s\n\n", number ? "\n" : "",
	       escape_text(t->about.comm, comm, sizeof(comm)), t->about.pid,
	       report_time(r->length_us, passed, sizeof(passed)), when, t->samples, t->looks, verdict);
}

int report_print_text(const struct ctl *ctl, const struct report *r)
{
	struct figure figures[FIGURES];
	int e = 0;

	errno = 0;
	if (!r->n)
		printf("Nothing was recorded.\n");
	for (size_t i = 0; i < r->n && e == 0; i++) {
		const struct report_target *t = &r->t[i];
		const size_t n = figures_of(t, figures);

		print_head(r, t, i);
		e = table(ctl, figure_columns, ARRAY_SIZE(figure_columns), figures, n, sizeof(*figures));
		if (e == 0 && t->nevents) {
			printf("\n");
			e = table(ctl, event_columns, ARRAY_SIZE(event_columns), t->events, t->nevents,
				  sizeof(*t->events));
		}
		if (t->events_seen > t->nevents)
			printf("and %" PRIu64 " more events\n", t->events_seen - t->nevents);
	}
	if (e < 0)
		return e;
	return fflush(stdout) || ferror(stdout) ? (errno > 0 ? -errno : -EIO) : 0;
}

/* ---- JSON ---- */

static void json_known(struct json *j, const char *key, uint64_t v)
{
	if (v == RECORDING_UNKNOWN)
		json_null(j, key);
	else
		json_u64(j, key, v);
}

static void json_figure(struct json *j, const struct figure *v)
{
	double growth;

	json_open(j, NULL, '{');
	json_text(j, "layer", v->key);
	json_known(j, "first", v->row->n ? v->row->first : RECORDING_UNKNOWN);
	json_known(j, "last", v->row->n ? v->row->last : RECORDING_UNKNOWN);
	json_known(j, "peak", v->row->n ? v->row->peak : RECORDING_UNKNOWN);
	json_known(j, "peak_at_us", v->row->n ? v->row->peak_at_us : RECORDING_UNKNOWN);
	if (report_row_growth(v->row, v->length_us, &growth) && growth > -1e18 && growth < 1e18)
		json_i64(j, "growth_per_hour", (int64_t)growth);
	else
		json_null(j, "growth_per_hour");
	json_close(j);
}

static void json_event(struct json *j, const struct report_event *e)
{
	json_open(j, NULL, '{');
	json_u64(j, "at_us", e->at_us);
	json_text(j, "event", recording_event_name(e->e.kind));
	if (e->e.bytes)
		json_i64(j, "bytes", e->e.bytes);
	else
		json_null(j, "bytes");
	json_text(j, "words", *e->e.words ? e->e.words : NULL);
	json_close(j);
}

static void json_sample(struct json *j, const struct recording_block *b)
{
	uint64_t v[REPORT_LAYERS];

	json_open(j, NULL, '{');
	json_u64(j, "at_us", b->at_us);
	json_known(j, "rss", b->sample.v[RECORDED_RSS]);
	json_known(j, "anon", b->sample.v[RECORDED_ANON]);
	json_known(j, "file", b->sample.v[RECORDED_FILE]);
	json_known(j, "shmem", b->sample.v[RECORDED_SHMEM]);
	json_known(j, "swap", b->sample.v[RECORDED_SWAP]);
	if (b->sample.looked) {
		report_split(&b->sample, v);
		json_known(j, "offer", b->sample.v[RECORDED_OFFER]);
		json_open(j, "layers", '{');
		for (size_t i = 0; i < REPORT_LAYERS; i++)
			json_u64(j, report_layers[i].key, v[i]);
		json_close(j);
	} else {
		json_null(j, "offer");
		json_null(j, "layers");
	}
	json_close(j);
}

/* All of them, from the file: there may be more than memory has room for. */
static int json_samples(struct json *j, uint32_t target, FILE *f)
{
	struct recording_reader reader;
	struct recording_block b;
	int e = recording_read(f, &reader);

	json_open(j, "samples", '[');
	while (e >= 0 && (e = recording_next(&reader, &b)) > 0)
		if (b.type == RECORDING_BLOCK_SAMPLE && b.target == target)
			json_sample(j, &b);
	json_close(j);
	return e;
}

static int json_target(struct json *j, const struct report *r, size_t number, FILE *f)
{
	const struct report_target *t = &r->t[number];
	struct figure figures[FIGURES];
	const size_t n = figures_of(t, figures);
	char verdict[320];
	int e;

	report_verdict(t, verdict, sizeof(verdict));
	json_open(j, NULL, '{');
	json_i64(j, "pid", t->about.pid);
	json_u64(j, "start_time", t->about.start_time);
	json_text(j, "comm", t->about.comm);
	json_text(j, "exe", *t->about.exe ? t->about.exe : NULL);
	json_bool(j, "exited", t->gone);
	json_text(j, "verdict", verdict);
	json_u64(j, "sampled", t->samples);
	json_u64(j, "looked", t->looks);
	json_open(j, "layers", '[');
	for (size_t i = 0; i < n; i++)
		json_figure(j, &figures[i]);
	json_close(j);
	json_u64(j, "events_total", t->events_seen);
	json_open(j, "events", '[');
	for (size_t i = 0; i < t->nevents; i++)
		json_event(j, &t->events[i]);
	json_close(j);
	e = json_samples(j, (uint32_t)number, f);
	json_close(j);
	return e;
}

int report_print_json(struct ctl *ctl, const struct report *r, FILE *f)
{
	static const char *const endings[] = {
		[RECORDING_ENDED] = "ended", [RECORDING_CUT] = "cut", [RECORDING_DAMAGED] = "damaged"
	};
	struct json j;
	int e = 0, k;

	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_text(&j, "file", r->path);
	json_u64(&j, "version", RECORDING_VERSION);
	json_text(&j, "ending", endings[r->ending]);
	json_u64(&j, "began_real_us", r->head.real_us);
	json_u64(&j, "interval_us", r->head.interval_us);
	json_u64(&j, "duration_us", r->length_us);
	json_open(&j, "processes", '[');
	for (size_t i = 0; i < r->n && e >= 0; i++)
		e = json_target(&j, r, i, f);
	json_close(&j);
	json_close(&j);
	k = json_finish(&j);
	return e < 0 ? e : k;
}
