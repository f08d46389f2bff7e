// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The page: words and figures as HTML, so that they are there without scripts too; what the script draws as
 * JSON. Nothing is fetched from anywhere, and the page's own policy would forbid it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/json.h"
#include "ctl/markup.h"
#include "ctl/page.h"
#include "ctl/picture.h"

/* picture.js, as it is. make runs at the top. */
__asm__(".section .rodata\n"
	"picture_js: .incbin \"daemon/ctl/picture.js\"\n.byte 0\n"
	".text\n");
extern const char picture_js[];

#define BASE 36
#define IDLE_US 60000000ull
#define SMALL (64ull << 10)

/* ---- words ---- */

static const char *size_words(uint64_t v, char *buf, size_t size)
{
	if (v == EXPLAIN_UNKNOWN)
		return "-";
	return format_size(v, buf, size);
}

static void html_bar(FILE *f, const struct picture *p)
{
	const uint64_t whole = picture_whole(p);
	char size[24];

	(void)fputs("<div class=\"bar\" role=\"img\" aria-label=\"resident memory by what it is, as in the legend\">\n",
		    f);
	for (size_t i = 0; i < PART_N; i++)
		if (p->parts[i] && p->parts[i] >= whole / 1000)
			(void)fprintf(f, "<span class=\"%s\" style=\"flex:%" PRIu64 " 0 0\" title=\"%s: %s\">%s</span>",
				      picture_styles[i].key, p->parts[i] / 4096 + 1, picture_styles[i].name,
				      format_size(p->parts[i], size, sizeof(size)),
				      p->parts[i] >= whole / 8 ? picture_styles[i].name : "");
	(void)fputs("</div>\n<ul class=\"legend\">\n", f);
	for (size_t i = 0; i < PART_N; i++)
		if (p->parts[i])
			(void)fprintf(f, "<li><i class=\"%s\"></i><b>%s</b> %s <small>%s</small></li>\n",
				      picture_styles[i].key, format_size(p->parts[i], size, sizeof(size)),
				      picture_styles[i].name, picture_styles[i].meaning);
	(void)fputs("</ul>\n", f);
}

static void html_figures(FILE *f, const struct picture_layer *l)
{
	const uint64_t otherwise = l->free == EXPLAIN_UNKNOWN ? EXPLAIN_UNKNOWN :
								l->free - MIN(l->free, l->free_resident);
	const struct {
		const char *key, *name;
		uint64_t v;
	} figures[] = {
		{ "used", "in use", l->in_use },
		{ "cached", "cached", l->cached },
		{ "free", "free, still held", l->free_resident },
		{ "gone", "free otherwise", otherwise },
	};
	char size[24];

	if (l->in_use == EXPLAIN_UNKNOWN)
		return;
	(void)fputs("<dl>", f);
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (figures[i].v != EXPLAIN_UNKNOWN)
			(void)fprintf(f, "<div><dt><i class=\"%s\"></i>%s</dt><dd>%s</dd></div>", figures[i].key,
				      figures[i].name, size_words(figures[i].v, size, sizeof(size)));
	(void)fputs("</dl>\n", f);
}

static bool has_cells(const struct picture *p, uint32_t owner)
{
	for (uint32_t i = 0; owner && i < p->e->answer.head.ncells; i++)
		if (p->e->answer.cells[i].owner == owner)
			return true;
	return false;
}

static void html_layer(FILE *f, const struct picture *p, size_t number, const struct picture_layer *l)
{
	char size[24];

	(void)fprintf(
		f, "<section class=\"layer\" data-layer=\"%s\">\n<h3>%s <b>%s</b></h3>\n<p>%s <em>What would free it: ",
		l->key, l->name, size_words(l->resident, size, sizeof(size)), l->what);
	markup_text(f, l->cure);
	(void)fputs("</em></p>\n", f);
	if (l->swap)
		(void)fprintf(f, "<p>And %s swapped out.</p>\n", size_words(l->swap, size, sizeof(size)));
	html_figures(f, l);
	if (has_cells(p, l->owner))
		(void)fprintf(f, "<div class=\"map\" data-picture=\"%zu\" data-owner=\"%u\"></div>\n", number,
			      l->owner);
	else if (l->owner && l->in_use != EXPLAIN_UNKNOWN && l->resident)
		(void)fputs("<p>There is no map of it: it changed too fast, or memory was short.</p>\n", f);
	(void)fputs("</section>\n", f);
}

/* Nothing to be seen, and not much of it: a line is enough. */
static bool is_small(const struct picture *p, const struct picture_layer *l)
{
	return l->resident < picture_whole(p) / 50 && l->swap < picture_whole(p) / 50 &&
	       (l->free_resident == EXPLAIN_UNKNOWN || l->resident < SMALL);
}

static void html_small(FILE *f, const struct picture *p)
{
	char size[24];
	size_t n = 0;

	for (size_t i = 0; i < p->nlayers; i++) {
		const struct picture_layer *l = &p->layers[i];

		if (!is_small(p, l))
			continue;
		(void)fprintf(f, "%s<tr data-layer=\"%s\"><th>%s</th><td>%s</td><td>%s <em>",
			      n++ ? "" : "<section><h3>Everything else</h3><table>\n", l->key, l->name,
			      size_words(l->resident, size, sizeof(size)), l->what);
		markup_text(f, l->cure);
		(void)fputs("</em></td></tr>\n", f);
	}
	if (n)
		(void)fputs("</table></section>\n", f);
}

static void html_notes(FILE *f, const struct picture *p, const char *title, size_t from, size_t to)
{
	if (from >= to)
		return;
	(void)fprintf(f, "<section><h3>%s</h3><ul>\n", title);
	for (size_t i = from; i < to; i++) {
		(void)fputs("<li>", f);
		markup_text(f, p->e->notes.text[i]);
		(void)fputs("</li>\n", f);
	}
	(void)fputs("</ul></section>\n", f);
}

static void html_article(FILE *f, const struct picture *p, size_t number)
{
	(void)fprintf(f, "<article id=\"picture-%zu\">\n", number);
	if (p->label) {
		(void)fputs("<p class=\"label\">", f);
		markup_text(f, p->label);
		(void)fputs("</p>\n", f);
	}
	(void)fputs("<h2>", f);
	markup_text(f, p->headline);
	(void)fputs("</h2>\n<p class=\"story\">", f);
	markup_text(f, p->story);
	(void)fputs("</p>\n", f);
	if (*p->offer) {
		(void)fputs("<p class=\"offer\">", f);
		markup_text(f, p->offer);
		(void)fputs("</p>\n", f);
	}
	html_bar(f, p);
	for (size_t i = 0; i < p->nlayers; i++)
		if (!is_small(p, &p->layers[i]))
			html_layer(f, p, number, &p->layers[i]);
	html_small(f, p);
	html_notes(f, p, "Findings", 0, p->e->notes.findings);
	html_notes(f, p, "Advice", p->e->notes.findings, p->e->notes.n);
	(void)fputs("</article>\n", f);
}

/* ---- data ---- */

static void number_write(FILE *f, uint64_t v)
{
	char buf[16];
	size_t at = sizeof(buf);

	while (v && at) {
		buf[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[v % BASE];
		v /= BASE;
	}
	(void)fwrite(buf + at, 1, sizeof(buf) - at, f);
}

/*
 * 65,536 cells must not fill a page: a cell is numbers in base 36, zero is nothing, and zeros at its end are
 * left out. The address counts from that of the last cell; owner and arena are there only when they change, the
 * latter as one more than it is; of what is resident, that it isn't.
 */
static void cell_write(FILE *f, const struct explain_cell *c, uint64_t size, const struct explain_cell *last)
{
	const uint64_t v[] = {
		(c->at - last->at) / size,
		c->owner != last->owner ? c->owner : 0,
		c->owner != last->owner || c->arena != last->arena ? (uint64_t)c->arena + 1 : 0,
		c->in_use,
		c->cached,
		c->free_resident,
		c->free_shared,
		c->free_gone,
		c->overhead,
		c->live_blocks,
		size - c->resident,
		c->swapped,
		c->unknown,
	};
	size_t n = ARRAY_SIZE(v);

	while (n && !v[n - 1])
		n--;
	for (size_t i = 0; i < n; i++) {
		if (i)
			(void)fputc(',', f);
		number_write(f, v[i]);
	}
	(void)fputc(';', f);
}

/* At most @max of them. malloc'ed, NULL: no memory. *ret_size is how large they are then. */
static char *cells_text(const struct explain_answer *a, size_t max, uint64_t *ret_size)
{
	_cleanup_free_ struct explain_cell *v = calloc(a->head.ncells + 1, sizeof(*v));
	struct explain_cell last = { .at = 0 };
	uint64_t cell_size = a->head.cell_size;
	char *text = NULL;
	size_t size, n;
	FILE *f = v ? open_memstream(&text, &size) : NULL;

	if (!f)
		return NULL;
	for (uint32_t i = 0; i < a->head.ncells; i++)
		v[i] = a->cells[i];
	n = picture_coarsen(v, a->head.ncells, max, &cell_size);
	for (size_t i = 0; i < n; i++) {
		cell_write(f, &v[i], cell_size, &last);
		last = v[i];
	}
	*ret_size = n ? cell_size : 0;
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static void json_layers(struct json *j, const struct picture *p)
{
	json_open(j, "layers", '[');
	for (size_t i = 0; i < p->nlayers; i++) {
		const struct picture_layer *l = &p->layers[i];

		json_open(j, NULL, '{');
		json_text(j, "key", l->key);
		json_u64(j, "resident", l->resident);
		if (l->in_use != EXPLAIN_UNKNOWN)
			json_u64(j, "in_use", l->in_use);
		if (l->free != EXPLAIN_UNKNOWN) {
			json_u64(j, "cached", l->cached);
			json_u64(j, "free_resident", l->free_resident);
			json_u64(j, "free", l->free);
		}
		json_close(j);
	}
	json_close(j);
}

/* Of mappings whose age the kernel module knows: begin and end, and how much of it is idle, in percent. */
static void json_idle(struct json *j, const struct explanation *e)
{
	json_open(j, "idle", '[');
	for (size_t i = 0; i < e->regions.n; i++) {
		const struct region *r = &e->regions.v[i];
		const uint64_t all = age_bytes(&r->age, 0);

		if (!r->age.n || !all)
			continue;
		json_open(j, NULL, '[');
		json_u64(j, NULL, r->map.start);
		json_u64(j, NULL, r->map.end);
		json_u64(j, NULL, (uint64_t)(100.0 * (double)age_bytes(&r->age, IDLE_US) / (double)all));
		json_close(j);
	}
	json_close(j);
}

static void json_glibc_arenas(struct json *j, const struct explain_answer *a)
{
	json_open(j, "arenas", '[');
	for (uint32_t i = 0; i < a->head.narenas; i++) {
		json_open(j, NULL, '[');
		json_u64(j, NULL, a->arenas[i].live_blocks);
		json_u64(j, NULL, a->arenas[i].threads);
		json_bool(j, NULL, a->arenas[i].flags & EXPLAIN_A_MAIN);
		json_close(j);
	}
	json_close(j);
}

static int json_picture(struct json *j, const struct picture *p, size_t max)
{
	const struct explain_answer *a = &p->e->answer;
	uint64_t cell_size;
	_cleanup_free_ char *cells = cells_text(a, max, &cell_size);

	if (!cells)
		return -ENOMEM;
	json_open(j, NULL, '{');
	json_text(j, "label", p->label);
	json_i64(j, "pid", p->e->proc.pid);
	json_text(j, "comm", p->e->proc.comm);
	json_open(j, "parts", '{');
	for (size_t i = 0; i < PART_N; i++)
		json_u64(j, picture_styles[i].key, p->parts[i]);
	json_close(j);
	json_layers(j, p);
	json_glibc_arenas(j, a);
	json_u64(j, "arena_size", explanation_has_python(p->e) ? a->head.python.arena_size : 0);
	json_u64(j, "pool_size", explanation_has_python(p->e) ? a->head.python.pool_size : 0);
	json_idle(j, p->e);
	json_u64(j, "cell_size", cell_size);
	json_text(j, "cells", cells);
	json_close(j);
	return 0;
}

static int html_data(FILE *f, const struct picture *const *v, size_t n)
{
	struct json j;
	int r = 0, k;

	json_init(&j, f);
	j.in_markup = true;
	(void)fputs("<script type=\"application/json\" id=\"data\">", f);
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < n && r == 0; i++)
		r = json_picture(&j, v[i], EXPLAIN_CELLS_MAX / n);
	json_close(&j);
	k = json_finish(&j);
	(void)fputs("</script>\n", f);
	return r < 0 ? r : k;
}

static void html_head(FILE *f, const struct picture *p)
{
	const struct proc *proc = &p->e->proc;
	char title[200];

	text_format(title, sizeof(title), "%s (%d): where its memory is", proc->comm, proc->pid);
	page_begin(f, title);
	(void)fputs("<header><h1>", f);
	markup_text(f, proc->comm);
	(void)fprintf(f, " <small>pid %d", proc->pid);
	if (proc->exe) {
		(void)fputs(", ", f);
		markup_text(f, proc->exe);
	}
	(void)fputs(", ", f);
	page_time(f, time(NULL));
	(void)fprintf(f, "</small></h1></header>\n<main class=\"%s\">\n", p->label ? "two" : "one");
}

int picture_html(FILE *f, const struct picture *const *v, size_t n)
{
	int r;

	html_head(f, v[0]);
	for (size_t i = 0; i < n; i++)
		html_article(f, v[i], i);
	(void)fputs("</main>\n<div id=\"lens\" hidden><canvas></canvas><div></div></div>\n"
		    "<noscript><p>The maps are drawn by a script in this page, and scripts are off.</p></noscript>\n",
		    f);
	r = html_data(f, v, n);
	page_end(f, picture_js);
	return r;
}
