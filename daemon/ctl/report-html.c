// SPDX-License-Identifier: GPL-2.0-or-later
/* The page: plots as SVG and figures as HTML, so that they are there without scripts; hovering needs one. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/markup.h"
#include "ctl/page.h"
#include "ctl/report.h"

/* report.js, as it is. make runs at the top. */
__asm__(".section .rodata\n"
	"report_js: .incbin \"daemon/ctl/report.js\"\n.byte 0\n"
	".text\n");
extern const char report_js[];

/* ---- words and figures ---- */

static void html_legend(FILE *f, const struct report_target *t)
{
	(void)fputs("<ul class=\"legend\">\n", f);
	for (size_t i = REPORT_LAYERS; i-- > 0;)
		if (t->layers[i].peak)
			(void)fprintf(f,
				      "<li><svg width=\"13\" height=\"13\"><rect class=\"%s shade%u\" width=\"13\" "
				      "height=\"13\"/></svg> %s</li>\n",
				      picture_styles[report_layers[i].part].key, report_layers[i].shade,
				      report_layers[i].name);
	(void)fputs("</ul>\n", f);
}

static void html_row(FILE *f, const char *name, const struct report_row *row, uint64_t length_us)
{
	char first[24], last[24], peak[24], at[24], growth[24] = "-";
	double v;

	if (!row->n || !row->peak)
		return;
	if (report_row_growth(row, length_us, &v))
		report_growth(v, growth, sizeof(growth));
	(void)fprintf(f, "<tr><th>%s</th><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n", name,
		      format_size(row->first, first, sizeof(first)), format_size(row->last, last, sizeof(last)),
		      format_size(row->peak, peak, sizeof(peak)), report_time(row->peak_at_us, at, sizeof(at)), growth);
}

static void html_figures(FILE *f, const struct report_target *t)
{
	const uint64_t length_us = t->last_us - MIN(t->first_us, t->last_us);

	(void)fputs("<table class=\"figures\"><tr><th></th><td>first</td><td>last</td><td>peak</td><td>at</td>"
		    "<td>per hour</td></tr>\n",
		    f);
	html_row(f, "resident", &t->rss, length_us);
	for (size_t i = REPORT_LAYERS; i-- > 0;)
		html_row(f, report_layers[i].name, &t->layers[i], length_us);
	html_row(f, "swapped out", &t->swap, length_us);
	html_row(f, "could be given back", &t->offer, length_us);
	(void)fputs("</table>\n", f);
}

static void html_events(FILE *f, const struct report_target *t)
{
	char at[24], size[24];

	if (!t->nevents)
		return;
	(void)fputs("<h3>Events</h3>\n<table class=\"events\">\n", f);
	for (size_t i = 0; i < t->nevents; i++) {
		const struct report_event *e = &t->events[i];

		(void)fprintf(f, "<tr><td>%s</td><th>%s</th><td>%s</td><td>", report_time(e->at_us, at, sizeof(at)),
			      recording_event_name(e->e.kind),
			      e->e.bytes ? report_growth((double)e->e.bytes, size, sizeof(size)) : "");
		markup_text(f, e->e.words);
		(void)fputs("</td></tr>\n", f);
	}
	(void)fputs("</table>\n", f);
	if (t->events_seen > t->nevents)
		(void)fprintf(f, "<p>And %" PRIu64 " more.</p>\n", t->events_seen - t->nevents);
}

static void html_target(FILE *f, const struct report *r, size_t number)
{
	const struct report_target *t = &r->t[number];
	const unsigned int high = REPORT_HEIGHT + 60;
	char verdict[320], peak[24];

	report_verdict(t, verdict, sizeof(verdict));
	(void)fputs("<article>\n<h1>", f);
	markup_text(f, t->about.comm);
	(void)fprintf(f, " <small>pid %d", t->about.pid);
	if (*t->about.exe) {
		(void)fputs(", ", f);
		markup_text(f, t->about.exe);
	}
	(void)fprintf(f,
		      ", %" PRIu64 " samples, %" PRIu64 " looks</small></h1>\n<h2>%s at most.</h2>\n"
		      "<p class=\"story\">",
		      t->samples, t->looks, format_size(t->rss.peak, peak, sizeof(peak)));
	markup_text(f, verdict);
	(void)fprintf(
		f,
		"</p>\n<svg class=\"over-time\" data-target=\"%zu\" viewBox=\"0 0 %u %u\" tabindex=\"0\" role=\"img\" "
		"aria-label=\"memory over time: arrow keys move along it\">\n",
		number, REPORT_WIDTH, high);
	(void)report_plot(f, r, t, number, 0);
	(void)fputs("</svg>\n", f);
	html_legend(f, t);
	html_figures(f, t);
	html_events(f, t);
	(void)fputs("</article>\n", f);
}

/* ---- data ---- */

static void json_points(struct json *j, const char *key, const struct report_line *l, bool layers)
{
	json_open(j, key, '[');
	for (size_t i = 0; i < l->n; i++) {
		json_open(j, NULL, '[');
		json_u64(j, NULL, l->v[i].at_us);
		json_u64(j, NULL, l->v[i].rss);
		for (size_t k = 0; k < REPORT_LAYERS && layers; k++)
			json_u64(j, NULL, l->v[i].v[k]);
		json_close(j);
	}
	json_close(j);
}

static void json_layers(struct json *j)
{
	json_open(j, "layers", '[');
	for (size_t i = 0; i < REPORT_LAYERS; i++) {
		json_open(j, NULL, '{');
		json_text(j, "name", report_layers[i].name);
		json_text(j, "part", picture_styles[report_layers[i].part].key);
		json_u64(j, "shade", report_layers[i].shade);
		json_close(j);
	}
	json_close(j);
}

static int html_data(FILE *f, const struct report *r)
{
	struct json j;
	int e;

	json_init(&j, f);
	j.in_markup = true;
	(void)fputs("<script type=\"application/json\" id=\"data\">", f);
	json_open(&j, NULL, '{');
	json_u64(&j, "length_us", r->length_us);
	json_u64(&j, "left", REPORT_LEFT);
	json_u64(&j, "right", REPORT_WIDTH - REPORT_RIGHT);
	json_u64(&j, "height", REPORT_HEIGHT);
	json_layers(&j);
	json_open(&j, "targets", '[');
	for (size_t i = 0; i < r->n; i++) {
		json_open(&j, NULL, '{');
		json_u64(&j, "top", report_top(&r->t[i]));
		json_points(&j, "counted", &r->t[i].counted, false);
		json_points(&j, "points", report_areas(&r->t[i]), true);
		json_close(&j);
	}
	json_close(&j);
	json_close(&j);
	e = json_finish(&j);
	(void)fputs("</script>\n", f);
	return e;
}

int report_html(FILE *f, const struct report *r)
{
	char passed[24];
	int e;

	page_begin(f, "memory over time");
	(void)fprintf(f, "%s%s<header><p>%s from ", picture_svg_style, report_style,
		      report_time(r->length_us, passed, sizeof(passed)));
	page_time(f, r->head.real_us < INT64_MAX ? (time_t)(r->head.real_us / 1000000) : (time_t)-1);
	(void)fprintf(f, " on%s</p></header>\n<main class=\"one\">\n",
		      r->ending == RECORDING_ENDED ? "" : "; the recording hasn't ended, or was cut off");
	for (size_t i = 0; i < r->n; i++)
		html_target(f, r, i);
	if (!r->n)
		(void)fputs("<p>Nothing was recorded.</p>\n", f);
	(void)fputs("</main>\n<div id=\"lens\" hidden></div>\n", f);
	e = html_data(f, r);
	page_end(f, report_js);
	return e;
}
