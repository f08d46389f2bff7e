// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The same without scripts, for documents and tickets: the bar, the legend, and the largest layers' maps, coarser
 * than those of the page. Titles are what a viewer shows under the pointer.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/markup.h"
#include "ctl/picture.h"

#define WIDTH 960u
#define MARGIN 24u
#define INNER (WIDTH - 2 * MARGIN)
#define CELLS 4096u
#define TILE (1ull << 20)
#define TILE_CELLS 16
#define GAP 3u
#define LINE 22u

/* Colours: as in picture.css. */
const char picture_svg_style[] =
	"<style>text{font:14px system-ui,sans-serif;fill:#1a1a1a}.big{font-size:26px;font-weight:600}"
	".soft{fill:#5f5f5f}.page{fill:#fff}.used{fill:#005b96}.shared{fill:#f0d95c}.cached{fill:#56b4e9}"
	".free{fill:#f08c00}.gone{fill:#e6e6e6}.other{fill:#8f7fa8}.stack{fill:#b5a4c9}.file{fill:#a9b7a4}"
	".shmem{fill:#6f8f7f}@media (prefers-color-scheme:dark){text{fill:#ececec}.soft{fill:#a3a3a3}"
	".page{fill:#16181b}.used{fill:#2f8fd6}.shared{fill:#b8a642}.cached{fill:#8fd0f5}.free{fill:#ff9f1c}"
	".gone{fill:#2b2f34}.other{fill:#7d6e96}.stack{fill:#5f5277}.file{fill:#5c6b58}.shmem{fill:#47685a}}</style>\n";

/* The cells of one owner, in frames of @tile bytes. */
struct svg_map {
	const struct picture_layer *layer;
	struct explain_cell *v;
	size_t n;
	uint64_t size, tile;
	unsigned int columns, lines, px; /* of a frame */
	unsigned int across; /* frames side by side */
	size_t tiles;
};

static size_t count_tiles(const struct svg_map *m)
{
	uint64_t last = UINT64_MAX;
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++) {
		n += m->v[i].at / m->tile != last;
		last = m->v[i].at / m->tile;
	}
	return n;
}

static unsigned int map_height(const struct svg_map *m)
{
	return m->n ? (unsigned int)((m->tiles + m->across - 1) / m->across) * (m->lines * m->px + GAP) : 0;
}

/* As large as the frames can be in some 500 lines. */
static void map_layout(struct svg_map *m)
{
	unsigned int bits = 0;

	m->tile = MAX(TILE, m->size * TILE_CELLS);
	while (m->size << bits < m->tile)
		bits++;
	m->columns = 1u << (bits + 1) / 2;
	m->lines = 1u << bits / 2;
	m->tiles = count_tiles(m);
	for (m->px = 16; m->px > 1; m->px--) {
		m->across = MAX((INNER + GAP) / (m->columns * m->px + GAP), 1u);
		if (map_height(m) <= 500)
			return;
	}
	m->across = MAX((INNER + GAP) / (m->columns + GAP), 1u);
}

static int map_make(const struct picture *p, const struct picture_layer *l, struct svg_map *ret)
{
	const struct explain_answer *a = &p->e->answer;
	struct svg_map m = { .layer = l, .size = a->head.cell_size };

	m.v = calloc(a->head.ncells + 1, sizeof(*m.v));
	if (!m.v)
		return -ENOMEM;
	for (uint32_t i = 0; l->owner && i < a->head.ncells; i++)
		if (a->cells[i].owner == l->owner)
			m.v[m.n++] = a->cells[i];
	m.n = picture_coarsen(m.v, m.n, CELLS, &m.size);
	/* Cells have an end: beyond 8 TiB there is no map that fits. */
	if (m.n > CELLS)
		m.n = 0;
	if (m.n)
		map_layout(&m);
	*ret = m;
	return 0;
}

/* ---- drawing ---- */

static void svg_rect(FILE *f, const char *key, double x, double y, double w, double h)
{
	(void)fprintf(f, "<rect class=\"%s\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"/>\n", key, x, y, w, h);
}

static void svg_text(FILE *f, const char *key, unsigned int y, const char *text)
{
	(void)fprintf(f, "<text class=\"%s\" x=\"%u\" y=\"%u\">", key, MARGIN, y);
	markup_text(f, text);
	(void)fputs("</text>\n", f);
}

/* Words over as many lines as they need. Returns where the next one begins. */
static unsigned int svg_words(FILE *f, const char *key, unsigned int y, const char *text)
{
	const size_t most = 120;

	while (*text) {
		size_t n = strlen(text);
		char line[128];

		if (n > most)
			for (n = most; n > most / 2 && text[n] != ' '; n--)
				;
		snprintf(line, sizeof(line), "%.*s", (int)n, text);
		svg_text(f, key, y, line);
		y += LINE;
		text += n;
		text += strspn(text, " ");
	}
	return y;
}

static double root(double v)
{
	double r = v > 1 ? v : 1;

	for (unsigned int i = 0; i < 40; i++)
		r = (r + v / r) / 2;
	return r;
}

/* As draw_cell() in picture.js: the ground is what most of the rest is, data is a square by its share. */
static void svg_cell(FILE *f, const struct svg_map *m, const struct explain_cell *c, double x, double y)
{
	struct explain_cell rest = *c;
	const double share = ((double)c->in_use + c->overhead) / (double)m->size;
	unsigned int part;
	double side;

	rest.in_use = rest.overhead = 0;
	part = picture_cell_part(&rest);
	if (part == PART_N && !rest.free_gone)
		part = PART_IN_USE;
	svg_rect(f, part == PART_N ? "gone" : picture_styles[part].key, x, y, m->px, m->px);
	if (!c->in_use || share > .97 || part == PART_IN_USE)
		return;
	side = MAX(m->px * root(share), MAX(MIN(m->px * .4, 4.), 1.));
	svg_rect(f, "used", x + (m->px - side) / 2, y + (m->px - side) / 2, side, side);
}

static void svg_map(FILE *f, const struct svg_map *m, unsigned int top)
{
	uint64_t last = UINT64_MAX;
	size_t tile = 0;

	for (size_t i = 0; i < m->n; i++) {
		const unsigned int in = (unsigned int)(m->v[i].at % m->tile / m->size);
		size_t x, y;

		if (i && m->v[i].at / m->tile != last)
			tile++;
		last = m->v[i].at / m->tile;
		x = tile % m->across * (m->columns * m->px + GAP) + (size_t)(in % m->columns) * m->px;
		y = tile / m->across * (m->lines * m->px + GAP) + (size_t)(in / m->columns) * m->px;
		svg_cell(f, m, &m->v[i], (double)(MARGIN + x), (double)(top + y));
	}
}

static unsigned int svg_layer(FILE *f, const struct svg_map *m, unsigned int y)
{
	char text[160], sizes[3][24];

	if (!m->n)
		return y;
	snprintf(text, sizeof(text), "%s: %s. Each frame is %s of addresses, each square %s; blue: data.",
		 m->layer->name, format_size(m->layer->resident, sizes[0], sizeof(sizes[0])),
		 format_size(m->tile, sizes[1], sizeof(sizes[1])), format_size(m->size, sizes[2], sizeof(sizes[2])));
	svg_text(f, "soft", y, text);
	svg_map(f, m, y + LINE / 2);
	return y + LINE / 2 + map_height(m) + 2 * LINE;
}

static unsigned int svg_bar(FILE *f, const struct picture *p, unsigned int y)
{
	const double whole = (double)MAX(picture_whole(p), 1ull);
	double x = MARGIN;
	char size[24];

	for (size_t i = 0; i < PART_N; i++) {
		const double w = (double)p->parts[i] / whole * INNER;

		if (!p->parts[i])
			continue;
		svg_rect(f, picture_styles[i].key, x, y, w, 40);
		x += w;
	}
	y += 40 + LINE + 4;
	for (size_t i = 0; i < PART_N; i++) {
		if (!p->parts[i])
			continue;
		svg_rect(f, picture_styles[i].key, MARGIN, y - 11, 12, 12);
		(void)fprintf(f,
			      "<text x=\"%u\" y=\"%u\">%s</text><text x=\"%u\" y=\"%u\">%s</text>"
			      "<text class=\"soft\" x=\"%u\" y=\"%u\">%s</text>\n",
			      MARGIN + 20, y, format_size(p->parts[i], size, sizeof(size)), MARGIN + 100, y,
			      picture_styles[i].name, MARGIN + 220, y, picture_styles[i].meaning);
		y += LINE;
	}
	return y + LINE;
}

static unsigned int svg_body(FILE *f, const struct picture *p, const struct svg_map *maps, size_t n)
{
	char text[256];
	unsigned int y = MARGIN + 20;

	snprintf(text, sizeof(text), "%.100s, pid %d%s%s", p->e->proc.comm, p->e->proc.pid, p->label ? ", " : "",
		 p->label ? p->label : "");
	svg_text(f, "soft", y, text);
	svg_text(f, "big", y + 34, p->headline);
	y = svg_words(f, "soft", y + 62, p->story);
	y = svg_words(f, "used", y, p->offer);
	y = svg_bar(f, p, y);
	for (size_t i = 0; i < n; i++)
		y = svg_layer(f, &maps[i], y);
	return y;
}

int picture_svg(FILE *f, const struct picture *p)
{
	struct svg_map maps[ACCOUNT_N] = { { .v = NULL } };
	char *body = NULL;
	unsigned int height = 0;
	size_t size, n = 0;
	FILE *m = NULL;
	int r = 0;

	for (; n < p->nlayers && r == 0; n++)
		r = map_make(p, &p->layers[n], &maps[n]);
	/* How high it gets is known when it is drawn. */
	if (r == 0)
		m = open_memstream(&body, &size);
	if (m)
		height = svg_body(m, p, maps, n);
	if (!m || ferror(m))
		r = -ENOMEM;
	if (m && fclose(m))
		r = -ENOMEM;
	if (r == 0) {
		(void)fprintf(f,
			      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
			      "viewBox=\"0 0 %u %u\" width=\"%u\" height=\"%u\" role=\"img\">\n<title>",
			      WIDTH, height, WIDTH, height);
		markup_text(f, p->headline);
		(void)fprintf(f, "</title>\n%s<rect class=\"page\" width=\"%u\" height=\"%u\"/>\n%s</svg>\n",
			      picture_svg_style, WIDTH, height, body);
	}
	for (size_t i = 0; i < n; i++)
		free(maps[i].v);
	free(body);
	return r;
}
