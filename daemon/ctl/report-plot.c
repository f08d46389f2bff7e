// SPDX-License-Identifier: GPL-2.0-or-later
/* Layers as areas, one on the other, over time; resident size as a line; events as marks above. */
#include <inttypes.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/markup.h"
#include "ctl/page.h"
#include "ctl/report.h"

#define INNER (REPORT_WIDTH - REPORT_LEFT - REPORT_RIGHT)
#define MARKS 22u /* above the areas, for events */
#define MARGIN 24u
#define LINE 22u
#define SECOND 1000000ull

const char report_style[] =
	"<style>.grid{stroke:#d9d9d9;fill:none}.rss{stroke:#1a1a1a;stroke-width:1.5;fill:none}"
	".shade1{fill-opacity:.72}.shade2{fill-opacity:.45}.mark{fill:#1a1a1a}"
	".pole{stroke:#5f5f5f;stroke-dasharray:2 3}"
	".small{font-size:12px}.cursor{stroke:#5f5f5f}"
	"@media (prefers-color-scheme:dark){.grid{stroke:#3b3f45}.rss{stroke:#ececec}.mark{fill:#ececec}"
	".pole,.cursor{stroke:#a3a3a3}}</style>\n";

struct plot {
	FILE *f;
	const struct report_target *t;
	uint64_t length_us, top;
	unsigned int y; /* of the areas' upper edge */
};

/* ---- scales ---- */

static uint64_t highest(const struct report_target *t)
{
	const struct report_line *l = report_areas(t);
	uint64_t most = t->rss.n ? t->rss.peak : 0;

	for (size_t i = 0; i < l->n; i++) {
		uint64_t sum = 0;

		for (size_t k = 0; k < REPORT_LAYERS; k++)
			sum += l->v[i].v[k];
		most = MAX(most, sum);
	}
	return most;
}

/* Four to eight lines, at powers of two. */
static uint64_t step_of(uint64_t most)
{
	uint64_t step = 4096;

	while (step < UINT64_MAX / 16 && step * 8 < most)
		step *= 2;
	return step;
}

uint64_t report_top(const struct report_target *t)
{
	const uint64_t most = highest(t), step = step_of(most);

	return MAX((most + step - 1) / step, 1ull) * step;
}

static uint64_t time_step(uint64_t length_us)
{
	static const uint32_t steps[] = { 1,   2,    5,	   10,	 15,	30,    60,    120,   300,    600,
					  900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800 };
	uint64_t step = 604800 * SECOND;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (length_us / (steps[i] * SECOND) < 8)
			return steps[i] * SECOND;
	while (length_us / step >= 8)
		step *= 2;
	return step;
}

static double x_of(const struct plot *p, uint64_t at_us)
{
	const double whole = (double)MAX(p->length_us, 1ull);

	return REPORT_LEFT + (double)MIN(at_us, p->length_us) / whole * INNER;
}

static double y_of(const struct plot *p, uint64_t v)
{
	return p->y + REPORT_HEIGHT - (double)MIN(v, p->top) / (double)p->top * REPORT_HEIGHT;
}

/* ---- drawing ---- */

static void draw_grid(const struct plot *p)
{
	const uint64_t step = step_of(p->top), ticks = time_step(p->length_us);
	char label[24];

	for (uint64_t v = 0; v <= p->top; v += step)
		(void)fprintf(p->f,
			      "<path class=\"grid\" d=\"M%u %.1fH%u\"/><text class=\"soft small\" text-anchor=\"end\" "
			      "x=\"%u\" y=\"%.1f\">%s</text>\n",
			      REPORT_LEFT, y_of(p, v), REPORT_WIDTH - REPORT_RIGHT, REPORT_LEFT - 8, y_of(p, v) + 4,
			      v ? format_size(v, label, sizeof(label)) : "0");
	for (uint64_t at = 0; at <= p->length_us; at += ticks)
		(void)fprintf(p->f, "<text class=\"soft small\" text-anchor=\"middle\" x=\"%.1f\" y=\"%u\">%s</text>\n",
			      x_of(p, at), p->y + REPORT_HEIGHT + 18, at ? report_time(at, label, sizeof(label)) : "0");
}

static uint64_t below(const struct report_point *v, size_t layer)
{
	uint64_t sum = 0;

	for (size_t k = 0; k < layer; k++)
		sum += v->v[k];
	return sum;
}

/* From left to right along its upper edge, and back along that of what is below. */
static void draw_area(const struct plot *p, const struct report_line *l, size_t layer)
{
	const struct report_layer_style *style = &report_layers[layer];
	char size[24];

	if (!p->t->layers[layer].peak && p->t->looked.n)
		return;
	(void)fprintf(p->f, "<path class=\"%s shade%u\" data-layer=\"%s\" d=\"M", picture_styles[style->part].key,
		      style->shade, style->key);
	for (size_t i = 0; i < l->n; i++)
		(void)fprintf(p->f, "%s%.1f %.1f", i ? "L" : "", x_of(p, l->v[i].at_us),
			      y_of(p, below(&l->v[i], layer + 1)));
	for (size_t i = l->n; i-- > 0;)
		(void)fprintf(p->f, "L%.1f %.1f", x_of(p, l->v[i].at_us), y_of(p, below(&l->v[i], layer)));
	(void)fprintf(p->f, "Z\"><title>%s: %s at the end</title></path>\n", style->name,
		      format_size(l->v[l->n - 1].v[layer], size, sizeof(size)));
}

static void draw_rss(const struct plot *p)
{
	const struct report_line *l = &p->t->counted;

	if (!l->n)
		return;
	(void)fputs("<path class=\"rss\" d=\"M", p->f);
	for (size_t i = 0; i < l->n; i++)
		(void)fprintf(p->f, "%s%.1f %.1f", i ? "L" : "", x_of(p, l->v[i].at_us), y_of(p, l->v[i].rss));
	(void)fputs("\"/>\n", p->f);
}

/* Different in shape, so that nobody has to tell colours apart. */
static const char *shape_of(enum recording_event_kind kind)
{
	switch (kind) {
	case RECORDING_GROWTH:
		return "l6 11h-12z";
	case RECORDING_EXEC:
		return "l6 6l-6 6l-6 -6z";
	case RECORDING_EXIT:
		return "m-5 1h10v10h-10z";
	default:
		return "m-6 0h12l-6 11z";
	}
}

static void draw_events(const struct plot *p)
{
	char size[24], at[24];

	for (size_t i = 0; i < p->t->nevents; i++) {
		const struct report_event *e = &p->t->events[i];
		const double x = x_of(p, e->at_us);

		(void)fprintf(p->f,
			      "<g class=\"event\" data-event=\"%s\"><path class=\"pole\" d=\"M%.1f %uV%u\"/>"
			      "<path class=\"mark\" d=\"M%.1f %u%s\"/><title>%s: %s",
			      recording_event_name(e->e.kind), x, p->y - 6, p->y + REPORT_HEIGHT, x, p->y - MARKS + 4,
			      shape_of(e->e.kind), report_time(e->at_us, at, sizeof(at)),
			      recording_event_name(e->e.kind));
		if (e->e.bytes)
			(void)fprintf(p->f, " %s", report_growth((double)e->e.bytes, size, sizeof(size)));
		if (*e->e.words) {
			(void)fputs(", ", p->f);
			markup_text(p->f, e->e.words);
		}
		(void)fputs("</title></g>\n", p->f);
	}
}

unsigned int report_plot(FILE *f, const struct report *r, const struct report_target *t, size_t number, unsigned int y)
{
	const struct plot p = { .f = f, .t = t, .length_us = r->length_us, .top = report_top(t), .y = y + MARKS };
	const struct report_line *l = report_areas(t);

	(void)fprintf(f, "<g class=\"plot\" data-plot=\"%zu\">\n", number);
	draw_grid(&p);
	for (size_t i = 0; i < REPORT_LAYERS && l->n; i++)
		draw_area(&p, l, i);
	draw_rss(&p);
	draw_events(&p);
	(void)fputs("</g>\n", f);
	return p.y + REPORT_HEIGHT + LINE + 8;
}

/* ---- a file of its own ---- */

static void words(FILE *f, const char *class, unsigned int y, const char *text)
{
	(void)fprintf(f, "<text class=\"%s\" x=\"%u\" y=\"%u\">", class, MARGIN, y);
	markup_text(f, text);
	(void)fputs("</text>\n", f);
}

static unsigned int legend(FILE *f, const struct report_target *t, unsigned int y)
{
	const unsigned int wide = 300;
	unsigned int n = 0;
	char size[24];

	for (size_t i = REPORT_LAYERS; i-- > 0;) {
		const struct report_layer_style *s = &report_layers[i];
		const unsigned int x = MARGIN + n % 3 * wide, at = y + n / 3 * LINE;

		if (!t->layers[i].peak)
			continue;
		(void)fprintf(f,
			      "<rect class=\"%s shade%u\" x=\"%u\" y=\"%u\" width=\"12\" height=\"12\"/>"
			      "<text x=\"%u\" y=\"%u\">%s %s</text>\n",
			      picture_styles[s->part].key, s->shade, x, at - 11, x + 20, at,
			      format_size(t->layers[i].last, size, sizeof(size)), s->name);
		n++;
	}
	return y + (n + 2) / 3 * LINE;
}

static unsigned int panel(FILE *f, const struct report *r, size_t number, unsigned int y)
{
	const struct report_target *t = &r->t[number];
	char text[400], peak[24], passed[24], verdict[320];

	report_verdict(t, verdict, sizeof(verdict));
	text_format(text, sizeof(text), "%s, pid %d: %s at most, in %s", t->about.comm, t->about.pid,
		    format_size(t->rss.peak, peak, sizeof(peak)), report_time(r->length_us, passed, sizeof(passed)));
	words(f, "soft", y + 14, text);
	words(f, "", y + 14 + LINE, verdict);
	y = report_plot(f, r, t, number, y + 14 + LINE + 12);
	return legend(f, t, y + 20) + LINE;
}

int report_svg(FILE *f, const struct report *r)
{
	char *body = NULL;
	unsigned int y = MARGIN;
	size_t size;
	FILE *m = open_memstream(&body, &size);
	int e = 0;

	/* How high it gets is known when it is drawn. */
	for (size_t i = 0; m && i < r->n; i++)
		y = panel(m, r, i, y);
	if (!m || ferror(m))
		e = -ENOMEM;
	if (m && fclose(m))
		e = -ENOMEM;
	if (e == 0)
		(void)fprintf(f,
			      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
			      "viewBox=\"0 0 %u %u\" width=\"%u\" height=\"%u\" role=\"img\">\n"
			      "<title>memory over time</title>\n%s%s"
			      "<rect class=\"page\" width=\"%u\" height=\"%u\"/>\n%s</svg>\n",
			      REPORT_WIDTH, y, REPORT_WIDTH, y, picture_svg_style, report_style, REPORT_WIDTH, y, body);
	free(body);
	return e;
}
