// SPDX-License-Identifier: GPL-2.0-or-later
/* The picture: sums, hostile names in every context, and files that are there as a whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ctl/json.h"
#include "ctl/markup.h"
#include "ctl/outfile.h"
#include "ctl/picture.h"

#define MIB (1ull << 20)
#define HOSTILE "</script><script>alert(1)</script>\"'&<!--\x1b[31m\xff\xe2\x80\xae"

static struct explain_cell cells[4];

/* A Python with 100 MiB of arenas, 90 of them free and resident; 2 MiB of a C heap. */
static void explanation_of(struct explanation *e)
{
	struct explain_head *h = &e->answer.head;

	*e = (struct explanation){ .proc = { .pid = 4711, .comm = HOSTILE, .exe = (char *)"/bin/" HOSTILE } };
	e->accounts[ACCOUNT_PYMALLOC] = (struct account){ .rss = 100 * MIB };
	e->accounts[ACCOUNT_GLIBC_HEAP] = (struct account){ .rss = 2 * MIB };
	e->accounts[ACCOUNT_FILE] = (struct account){ .rss = 5 * MIB };
	e->accounts[ACCOUNT_OTHER] = (struct account){ .rss = MIB, .swap = MIB };
	h->outcome = WORKER_NOTHING;
	h->python = (struct explain_python){
		.layer = EXPLAIN_READ,
		.arena_size = MIB,
		.pool_size = 16384,
		.in_use = 3 * MIB,
		.free = 95 * MIB,
		.free_resident = 90 * MIB,
		.pins = { { .limit = 4096, .arenas = 100, .live_blocks = 7, .live_bytes = 448 } },
	};
	h->glibc = (struct explain_glibc){ .layer = EXPLAIN_READ, .in_use = MIB, .cached = MIB / 2, .free = MIB / 2 };
	h->nremedies = 1;
	h->remedies[0] = (struct explain_remedy){
		.remedy = WORKER_REMEDY_PURGE,
		.possible = 1,
		.predicted = 80 * MIB,
		.deep = EXPLAIN_UNKNOWN,
	};
	h->ncells = ARRAY_SIZE(cells);
	h->cell_size = 16384;
	for (uint32_t i = 0; i < ARRAY_SIZE(cells); i++)
		cells[i] = (struct explain_cell){ .at = 0x7f0000000000 + 16384ull * i,
						  .owner = EXPLAIN_OWNER_PYMALLOC,
						  .arena = 5,
						  .in_use = 64,
						  .free_resident = 12288,
						  .free_shared = 4096 - 64 - 48,
						  .overhead = 48,
						  .resident = 16384,
						  .live_blocks = 1 };
	e->answer.cells = cells;
	snprintf(e->notes.text[0], NOTE_MAX, "finding %s", HOSTILE);
	e->notes.n = e->notes.findings = 1;
}

static char *drawn(int (*draw)(FILE *f, const struct picture *p), const struct picture *p)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	assert_int_equal(draw(f, p), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

static int draw_html(FILE *f, const struct picture *p)
{
	return picture_html(f, &p, 1);
}

static void test_parts(void **state)
{
	struct explanation e;
	struct picture p;

	(void)state;
	explanation_of(&e);
	picture_fill(&e, NULL, &p);
	assert_int_equal(picture_whole(&p), 108 * MIB);
	assert_int_equal(p.parts[PART_FREE], 90 * MIB);
	assert_int_equal(p.parts[PART_CACHED], MIB / 2);
	assert_int_equal(p.parts[PART_SHARED], 4 * (4096 - 64 - 48));
	assert_int_equal(p.parts[PART_IN_USE], 102 * MIB - 90 * MIB - MIB / 2 - p.parts[PART_SHARED]);
	assert_int_equal(p.parts[PART_OTHER], MIB);
	assert_string_equal(p.headline, "90.0MiB of 108.0MiB are free, and still held.");
	assert_non_null(strstr(p.story, "100 arenas are kept by 7 live objects, which together are no more than 448B"));
	assert_string_equal(p.offer, "reclaimctl trim 4711 gives about 80.0MiB back, while the program runs on.");
	assert_string_equal(p.layers[0].key, "cpython");
	assert_int_equal(p.layers[0].free, 95 * MIB);
	assert_non_null(strstr(p.layers[0].cure, "reclaimctl trim 4711"));
	/* After a trim: free pages are left, and nobody promises any of them. */
	e.answer.head.remedies[0].predicted = 0;
	/* To move memory isn't to give it back. */
	e.answer.head.remedies[1] = (struct explain_remedy){
		.remedy = WORKER_REMEDY_PAGEOUT,
		.possible = 1,
		.predicted = 2048 * MIB,
		.deep = EXPLAIN_UNKNOWN,
	};
	e.answer.head.nremedies = 2;
	picture_fill(&e, "x", &p);
	assert_string_equal(p.offer, "");
	assert_non_null(strstr(p.layers[0].cure, "Nothing to do now: no remedy promises more of it."));
}

/* Figures of different moments: more free than resident must not make the rest negative. */
static void test_contradictions(void **state)
{
	struct explanation e;
	struct picture p;

	(void)state;
	explanation_of(&e);
	e.answer.head.python.free_resident = e.answer.head.glibc.cached = UINT64_MAX - 1;
	picture_fill(&e, NULL, &p);
	assert_int_equal(picture_whole(&p), 108 * MIB);
	assert_int_equal(p.parts[PART_FREE], 100 * MIB);
	assert_int_equal(p.parts[PART_CACHED], 2 * MIB);
	assert_int_equal(p.parts[PART_IN_USE], 0);
}

/* Nobody could look inside: that is said, and nothing is called in use or free. */
static void test_not_looked_at(void **state)
{
	struct explanation e;
	struct picture p;

	(void)state;
	explanation_of(&e);
	e.answer.head.outcome = WORKER_DENIED;
	e.answer.head.ncells = 0;
	snprintf(e.answer.head.reason, sizeof(e.answer.head.reason), "<b>no");
	picture_fill(&e, NULL, &p);
	assert_int_equal(picture_whole(&p), 108 * MIB);
	assert_int_equal(p.parts[PART_FREE] + p.parts[PART_IN_USE], 0);
	assert_non_null(strstr(p.headline, "could not be looked at"));
	assert_string_equal(p.offer, "");

	char *html = drawn(draw_html, &p);

	assert_null(strstr(html, "<b>no"));
	assert_null(strstr(html, "class=\"map\""));
	free(html);
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
		n++;
	return n;
}

/* No text of the target ends a tag, an attribute or a script, and none of it reaches a terminal as it is. */
static void test_hostile_names(void **state)
{
	struct explanation e;
	struct picture p;
	char *html, *svg;

	(void)state;
	explanation_of(&e);
	picture_fill(&e, HOSTILE, &p);
	html = drawn(draw_html, &p);
	svg = drawn(picture_svg, &p);
	assert_null(strstr(html, "alert(1)</script>"));
	assert_null(strstr(html, "<script>alert"));
	assert_null(strstr(html, "<!--"));
	assert_int_equal(count(html, "<script"), 2);
	assert_int_equal(count(html, "</script>"), 2);
	assert_int_equal(count(html, "</style>"), 1);
	assert_true(count(html, "&lt;/script&gt;") >= 3);
	assert_true(count(html, "\\u003c/script\\u003e") >= 2);
	assert_null(strstr(svg, "script>"));
	assert_true(count(svg, "&lt;/script&gt;") >= 1);
	assert_null(strpbrk(html, "\x1b\xff"));
	assert_null(strpbrk(svg, "\x1b\xff"));
	assert_null(strstr(html, "\xe2\x80\xae"));
	assert_null(strstr(svg, "\xe2\x80\xae"));
	/* Nothing is fetched. The one address is a name, of what SVG is. */
	assert_int_equal(count(html, "http"), 1 /* http-equiv */);
	assert_int_equal(count(svg, "http"), 1);
	free(html);
	free(svg);
}

static void test_markup(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	markup_text(f, "a<b>&\"'\xc3\xa4\xc3(\n\x7f\xe2\x80\xaez");
	markup_format(f, "[%s]", "<");
	fclose(f);
	assert_string_equal(
		text, "a&lt;b&gt;&amp;&quot;&#39;\xc3\xa4\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz[&lt;]");
	free(text);
}

static void test_coarsen(void **state)
{
	struct explain_cell v[64];
	uint64_t size = 4096, used = 0, live = 0;
	size_t n;

	(void)state;
	/* Two owners at each address. */
	for (uint32_t i = 0; i < ARRAY_SIZE(v); i++)
		v[i] = (struct explain_cell){
			.at = i / 2 * 4096ull, .owner = 1 + i % 2, .in_use = i, .live_blocks = UINT32_MAX
		};
	n = picture_coarsen(v, ARRAY_SIZE(v), 10, &size);
	assert_int_equal(size, 8 * 4096);
	assert_int_equal(n, 8);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(v[i].at, i / 2 * size);
		used += v[i].in_use;
		live += v[i].live_blocks == UINT32_MAX;
	}
	assert_int_equal(used, 63 * 64 / 2);
	assert_int_equal(live, n);
}

/* Only of mappings whose age is known. */
static void test_idle(void **state)
{
	struct region regions[] = {
		{ .map = { .start = 0x1000, .end = 0x3000 } },
		{ .map = { .start = 0x7f0000000000, .end = 0x7f0000010000 },
		  .age = { .n = 3, .v = { { 0, 100 }, { 60000000, 200 }, { 600000000, 100 } } } },
		{ .map = { .start = 0x7f0000020000, .end = 0x7f0000030000 }, .age = { .n = 1, .v = { { 0, 0 } } } },
	};
	struct explanation e;
	struct picture p;
	char *html;

	(void)state;
	explanation_of(&e);
	e.regions = (struct region_list){ .v = regions, .n = ARRAY_SIZE(regions) };
	picture_fill(&e, NULL, &p);
	html = drawn(draw_html, &p);
	assert_non_null(strstr(html, "\"idle\":[[139637976727552,139637976793088,75]],"));
	free(html);
}

/* However large the heap, and whatever is in it: cells of 2 GiB with a large number in each field. */
static void test_page_is_bounded(void **state)
{
	struct explain_cell *v = calloc(EXPLAIN_CELLS_MAX, sizeof(*v));
	struct explanation e;
	struct picture p;

	(void)state;
	explanation_of(&e);
	e.answer.head.ncells = EXPLAIN_CELLS_MAX;
	e.answer.head.cell_size = EXPLAIN_CELL_MAX;
	e.answer.cells = v;
	for (uint32_t i = 0; i < EXPLAIN_CELLS_MAX; i++)
		v[i] = (struct explain_cell){ .at = (uint64_t)i * EXPLAIN_CELL_MAX,
					      .owner = EXPLAIN_OWNER_PYMALLOC,
					      .arena = i,
					      .in_use = (1u << 29) + i,
					      .cached = (1u << 27) + i,
					      .free_resident = (1u << 29) - i,
					      .free_shared = (1u << 27) - i,
					      .free_gone = (1u << 27) + i,
					      .overhead = 1u << 26,
					      .resident = (1u << 30) + i,
					      .live_blocks = 1u << 25 };
	picture_fill(&e, NULL, &p);

	char *html = drawn(draw_html, &p), *svg = drawn(picture_svg, &p);

	assert_true(strlen(html) < 5000000);
	assert_true(strlen(html) > 1000000);
	/* More than 8 TiB: no map that fits. */
	assert_true(strlen(svg) < 10000);
	free(html);
	free(svg);

	/* Two of them: coarser ones. */
	e.answer.head.cell_size = EXPLAIN_CELL_MAX / 16;
	for (uint32_t i = 0; i < EXPLAIN_CELLS_MAX; i++) {
		v[i] = (struct explain_cell){ .at = (uint64_t)i * e.answer.head.cell_size,
					      .owner = EXPLAIN_OWNER_PYMALLOC,
					      .arena = i,
					      .in_use = (1u << 25) + i,
					      .cached = (1u << 23) + i,
					      .free_resident = (1u << 25) - i,
					      .free_shared = (1u << 23) - i,
					      .free_gone = (1u << 23) + i,
					      .overhead = 1u << 22,
					      .live_blocks = 1u << 23 };
	}

	const struct picture *const both[] = { &p, &p };
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_int_equal(picture_html(f, both, 2), 0);
	assert_int_equal(fclose(f), 0);
	assert_true(size < 5000000);
	svg = drawn(picture_svg, &p);
	assert_true(strlen(svg) < 1500000);
	free(svg);
	free(text);
	free(v);
}

/* ---- files ---- */

static char folder[] = "/tmp/reclaim-picture-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static size_t entries(void)
{
	DIR *d = opendir(folder);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void put(const char *name, const char *text)
{
	_cleanup_(outfile_done) struct outfile o = OUTFILE_NONE;

	assert_int_equal(outfile_open(in_folder(name), &o), 0);
	fputs(text, o.f);
	assert_int_equal(outfile_commit(&o), 0);
}

static void test_outfile(void **state)
{
	char buf[16] = "";
	struct stat st;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	{
		_cleanup_(outfile_done) struct outfile o = OUTFILE_NONE;

		assert_int_equal(outfile_open(in_folder("file"), &o), 0);
		assert_int_equal(entries(), 1);
	}
	/* Without a commit nothing is left. */
	assert_int_equal(entries(), 0);
	put("file", "one");
	put("file", "two");
	assert_int_equal(entries(), 1);
	assert_int_equal(stat(in_folder("file"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = open(in_folder("file"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, buf, sizeof(buf)), 3);
	assert_string_equal(buf, "two");
	close(fd);
}

static void refuse(const char *path, int error)
{
	struct outfile o = OUTFILE_NONE;

	assert_int_equal(outfile_open(path, &o), error);
}

static void test_outfile_refuses(void **state)
{
	_cleanup_(outfile_done) struct outfile late = OUTFILE_NONE;
	char to[128];
	struct stat st;

	(void)state;
	snprintf(to, sizeof(to), "%s", in_folder("file"));
	assert_int_equal(symlink(to, in_folder("link")), 0);
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	refuse(in_folder("link"), -EEXIST);
	refuse(in_folder("fifo"), -EEXIST);
	refuse(folder, -EEXIST);
	refuse("/dev/null", -EEXIST);
	refuse(in_folder("none/file"), -ENOENT);
	refuse(in_folder("."), -EISDIR);
	refuse(in_folder(""), -EISDIR);
	/* It came while we wrote. */
	assert_int_equal(outfile_open(in_folder("late"), &late), 0);
	assert_int_equal(symlink(to, in_folder("late")), 0);
	assert_int_equal(outfile_commit(&late), -EEXIST);
	outfile_done(&late);
	assert_int_equal(entries(), 4);
	assert_int_equal(lstat(in_folder("link"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	for (size_t i = 0; i < 4; i++) {
		static const char *const names[] = { "file", "link", "fifo", "late" };

		assert_int_equal(unlink(in_folder(names[i])), 0);
	}
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),	      cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_not_looked_at), cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_markup),	      cmocka_unit_test(test_coarsen),
		cmocka_unit_test(test_idle),	      cmocka_unit_test(test_page_is_bounded),
		cmocka_unit_test(test_outfile),	      cmocka_unit_test(test_outfile_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
