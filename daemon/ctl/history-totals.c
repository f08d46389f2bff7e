// SPDX-License-Identifier: GPL-2.0-or-later
/* What the history adds up to: all together, and program by program. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "ctl/history.h"
#include "ctl/render.h"

#define OTHERS "(others)"
#define ALL "(all)"

/* What of the memory given back was still gone ten minutes later. */
static void cell_kept(const struct column *c, const void *row, struct cell *ret)
{
	const struct ledger_total *t = row;

	(void)c;
	if (!t->checked)
		return;
	snprintf(ret->buf, sizeof(ret->buf), "%.0f%%", 100.0 * (double)t->kept / (double)t->checked);
	ret->kind = CELL_TEXT;
	ret->text = ret->buf;
}

#define AT(member) offsetof(struct ledger_total, member)
#define NUM COLUMN_RIGHT

static const struct column columns[] = {
	{ "PROGRAM", "program", 0.3, COLUMN_TRUNC, "path of the program", cell_chars, AT(program) },
	{ "LOOKS", "looks", 0, NUM, "allocators that were read", cell_u64, AT(looks) },
	{ "WOULD", "would", 0, NUM, "actions that the mode forbade", cell_u64, AT(would) },
	{ "ACTIONS", "actions", 0, NUM, "actions carried out", cell_u64, AT(actions) },
	{ "REFUSED", "refused", 0, NUM, "refused", cell_u64, AT(refused) },
	{ "FAILED", "failed", 0, NUM, "failed", cell_u64, AT(failed) },
	{ "PREDICTED", "predicted", 0, NUM, "predicted bytes", cell_size, AT(predicted) },
	{ "FREED", "freed", 0, NUM, "measured", cell_size, AT(freed) },
	{ "KEPT", "kept_share", 0, NUM | COLUMN_TABLE, "still gone ten minutes later", cell_kept, 0 },
	{ "CHECKED", "checked", 0, COLUMN_JSON, "bytes freed ten minutes before", cell_size, AT(checked) },
	{ "KEPT", "kept", 0, COLUMN_JSON, "what of them was still gone", cell_size, AT(kept) },
	{ "SWAPPED", "swapped", 0, NUM, "moved to swap, which isn't freed", cell_size, AT(swapped) },
	{ "BACK", "swapped_back", 0, COLUMN_JSON, "what was back ten minutes later", cell_size, AT(swapped_back) },
	{ "STOPPED", "stopped_us", 0, NUM, "how long its processes were stopped", cell_time_us, AT(stopped_us) },
	{ "LAST", "last_time_us", 0, COLUMN_JSON, "when last", cell_u64, AT(last_real_us) },
};

#define NCOLUMNS ARRAY_SIZE(columns)

static int by_freed(const void *a, const void *b)
{
	const struct ledger_total *x = *(const struct ledger_total *const *)a;
	const struct ledger_total *y = *(const struct ledger_total *const *)b;

	if (x->freed != y->freed)
		return x->freed < y->freed ? 1 : -1;
	return strcmp(x->program, y->program);
}

static int show_json(struct ctl *ctl, const struct column *const *shown, const void *const *rows, size_t n)
{
	struct json j;

	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_open(&j, "programs", '[');
	for (size_t i = 0; i + 1 < n; i++) {
		json_open(&j, NULL, '{');
		render_members(&j, shown, NCOLUMNS, rows[i]);
		json_close(&j);
	}
	json_close(&j);
	json_open(&j, "all", '{');
	render_members(&j, shown + 1, NCOLUMNS - 1, rows[n - 1]);
	json_close(&j);
	json_close(&j);
	return json_finish(&j);
}

int history_totals_show(struct ctl *ctl, const struct ledger_totals *t)
{
	_cleanup_free_ const void **rows = calloc(t->n + 2, sizeof(*rows));
	const struct column *shown[NCOLUMNS];
	struct ledger_total rest = t->rest, all = t->all;
	size_t n = 0;

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < NCOLUMNS; i++)
		shown[i] = &columns[i];
	for (; n < t->n; n++)
		rows[n] = &t->v[n];
	if (n)
		qsort(rows, n, sizeof(*rows), by_freed);
	if (t->n == LEDGER_PROGRAMS_MAX) {
		text_format(rest.program, sizeof(rest.program), "%s", OTHERS);
		rows[n++] = &rest;
	}
	text_format(all.program, sizeof(all.program), "%s", ALL);
	rows[n++] = &all;
	if (ctl->json)
		return show_json(ctl, shown, rows, n);
	/* Without programs, or where no total is wanted, there is nothing but them. */
	return render_table(ctl, shown, NCOLUMNS, rows, ctl->no_legend || n == 1 ? n - 1 : n);
}
