// SPDX-License-Identifier: GPL-2.0-or-later
/* Records as a table or as JSON. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "ctl/history.h"
#include "ctl/render.h"

struct row {
	struct ledger_record rec;
	char remedies[64];
};

static const struct ledger_record *record_of(const void *row)
{
	return &((const struct row *)row)->rec;
}

static bool is_one_of(const struct ledger_record *rec, uint32_t kinds)
{
	return kinds & 1u << rec->kind;
}

static void cell_time(const struct column *c, const void *row, struct cell *ret)
{
	const time_t t = (time_t)(record_of(row)->real_us / 1000000);
	struct tm tm;

	(void)c;
	/* A damaged clock may have said anything. */
	if (!localtime_r(&t, &tm) || tm.tm_year > 8099 || !strftime(ret->buf, sizeof(ret->buf), "%F %T", &tm))
		return;
	ret->kind = CELL_TEXT;
	ret->text = ret->buf;
}

static void cell_kind(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	ret->kind = CELL_TEXT;
	ret->text = ledger_kind_name(record_of(row)->kind);
}

static void cell_pid(const struct column *c, const void *row, struct cell *ret)
{
	if (record_of(row)->pid)
		cell_int(c, row, ret);
}

/* Of processes only. */
static void cell_uid(const struct column *c, const void *row, struct cell *ret)
{
	if (record_of(row)->pid)
		cell_u32(c, row, ret);
}

static void cell_start(const struct column *c, const void *row, struct cell *ret)
{
	if (record_of(row)->pid)
		cell_u64(c, row, ret);
}

/* Other kinds have no such figure, and what stands there is no 0. */
static void cell_predicted(const struct column *c, const void *row, struct cell *ret)
{
	const uint32_t kinds = 1u << LEDGER_LOOK | 1u << LEDGER_WOULD | 1u << LEDGER_BEGIN | 1u << LEDGER_ACTION |
			       1u << LEDGER_CHECK;

	if (is_one_of(record_of(row), kinds))
		cell_size(c, row, ret);
}

static void cell_freed(const struct column *c, const void *row, struct cell *ret)
{
	if (is_one_of(record_of(row), 1u << LEDGER_ACTION | 1u << LEDGER_CHECK))
		cell_size_signed(c, row, ret);
}

static void cell_of_action(const struct column *c, const void *row, struct cell *ret)
{
	if (is_one_of(record_of(row), 1u << LEDGER_ACTION))
		cell_time_us(c, row, ret);
}

static void cell_after(const struct column *c, const void *row, struct cell *ret)
{
	if (is_one_of(record_of(row), 1u << LEDGER_CHECK))
		cell_time_us(c, row, ret);
}

/* What it has now: before an action that isn't made, after one that is. */
static void cell_rss(const struct column *c, const void *row, struct cell *ret)
{
	const struct ledger_record *rec = record_of(row);

	(void)c;
	ret->number = rec->rss_after != LEDGER_UNKNOWN ? rec->rss_after : rec->rss_before;
	ret->kind = rec->pid && ret->number != LEDGER_UNKNOWN ? CELL_SIZE : CELL_NONE;
}

/* Of a pageout and of its checks: only these know anything of it. */
static void cell_swap(const struct column *c, const void *row, struct cell *ret)
{
	const struct ledger_record *rec = record_of(row);

	if (rec->faults || rec->swap || rec->swapped)
		cell_u64(c, row, ret);
}

#define AT(member) offsetof(struct row, rec.member)
#define NUM COLUMN_RIGHT
#define CUT COLUMN_TRUNC
#define JSON COLUMN_JSON

static const struct column columns[] = {
	{ "SEQ", "seq", 0, JSON, "number of the record", cell_u64, AT(seq) },
	{ "TIME", "time", 0, COLUMN_TABLE, "when", cell_time, 0 },
	{ "TIME_US", "time_us", 0, JSON, "when, since 1970", cell_u64, AT(real_us) },
	{ "BOOT_US", "boot_us", 0, JSON, "when, since the boot", cell_u64, AT(boot_us) },
	{ "BOOT_ID", "boot_id", 0, JSON, "of which boot", cell_chars, AT(boot_id) },
	{ "KIND", "kind", 0, 0, "what", cell_kind, 0 },
	{ "PID", "pid", 0, NUM, "process id", cell_pid, AT(pid) },
	{ "START", "start_time", 0, JSON, "clock ticks from boot to the start of the process", cell_start,
	  AT(start_time) },
	{ "UID", "uid", 0, JSON, "user id", cell_uid, AT(uid) },
	{ "COMM", "comm", 0.1, CUT, "command name", cell_chars, AT(comm) },
	{ "EXE", "exe", 0, JSON, "path of the program", cell_chars, AT(exe) },
	{ "UNIT", "unit", 0.2, CUT, "systemd unit", cell_chars, AT(unit) },
	{ "SLICE", "slice", 0, JSON, "innermost slice", cell_chars, AT(slice) },
	{ "CGROUP", "cgroup", 0, JSON, "control group", cell_chars, AT(cgroup) },
	{ "REASON", "reason", 0, 0, "how it ended, or why", cell_chars, AT(reason) },
	{ "REMEDIES", "remedies", 0, JSON, "remedies", cell_chars, offsetof(struct row, remedies) },
	{ "PREDICTED", "predicted", 0, NUM, "predicted bytes; of a check, what had been freed", cell_predicted,
	  AT(predicted) },
	{ "FREED", "freed", 0, NUM, "measured; of a check, what of it is still gone", cell_freed, AT(freed) },
	{ "RSS", "rss", 0, NUM | COLUMN_TABLE, "resident memory then", cell_rss, 0 },
	{ "RSS_BEFORE", "rss_before", 0, JSON, "before", cell_size, AT(rss_before) },
	{ "RSS_AFTER", "rss_after", 0, JSON, "after", cell_size, AT(rss_after) },
	{ "STOPPED", "stopped_us", 0, NUM, "how long it was stopped", cell_of_action, AT(stopped_us) },
	{ "DURATION", "duration_us", 0, JSON, "how long it took", cell_of_action, AT(duration_us) },
	{ "AFTER", "after_us", 0, NUM, "how long after the action", cell_after, AT(after_us) },
	{ "SWAPPED", "swapped", 0, JSON, "moved to swap; of a check, what is back", cell_swap, AT(swapped) },
	{ "SWAP", "swap", 0, JSON, "in swap then", cell_swap, AT(swap) },
	{ "FAULTS", "faults", 0, JSON, "major page faults until then", cell_swap, AT(faults) },
	{ "WORDS", "words", 0.3, COLUMN_WRAP, "in words", cell_chars, AT(words) },
};

#define NCOLUMNS ARRAY_SIZE(columns)

struct history_list {
	struct ctl *ctl;
	struct json json;
	const struct column *columns[NCOLUMNS];
	struct row *v;
	size_t n, room;
};

int history_list_new(struct ctl *ctl, struct history_list **ret)
{
	struct history_list *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->ctl = ctl;
	for (size_t i = 0; i < NCOLUMNS; i++)
		l->columns[i] = &columns[i];
	*ret = l;
	return 0;
}

void history_list_free(struct history_list **l)
{
	if (!*l)
		return;
	free((*l)->v);
	free(*l);
	*l = NULL;
}

static void json_begin(struct history_list *l)
{
	if (l->ctl->wrote_json)
		return;
	l->ctl->wrote_json = true;
	json_init(&l->json, stdout);
	json_open(&l->json, NULL, '[');
}

static struct row *next_row(struct history_list *l)
{
	if (l->n == l->room) {
		const size_t room = l->room ? l->room * 2 : 64;
		struct row *v = reallocarray(l->v, room, sizeof(*v));

		if (!v)
			return NULL;
		l->v = v;
		l->room = room;
	}
	return &l->v[l->n];
}

int history_list_add(void *list, const struct ledger_record *rec)
{
	struct history_list *l = list;
	struct row *row = next_row(l);

	if (!row)
		return -ENOMEM;
	row->rec = *rec;
	ledger_remedies(rec->remedies, row->remedies, sizeof(row->remedies));
	if (!l->ctl->json) {
		l->n++;
		return 0;
	}
	json_begin(l);
	json_open(&l->json, NULL, '{');
	render_members(&l->json, l->columns, NCOLUMNS, row);
	json_close(&l->json);
	return l->json.error;
}

int history_list_end(struct history_list *l)
{
	_cleanup_free_ const void **rows = NULL;

	if (l->ctl->json) {
		json_begin(l);
		json_close(&l->json);
		return json_finish(&l->json);
	}
	rows = calloc(l->n + 1, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++)
		rows[i] = &l->v[i];
	return render_table(l->ctl, l->columns, NCOLUMNS, rows, l->n);
}

void history_members(struct json *j, const struct ledger_record *rec)
{
	const struct column *v[NCOLUMNS];
	struct row row = { .rec = *rec };

	for (size_t i = 0; i < NCOLUMNS; i++)
		v[i] = &columns[i];
	ledger_remedies(rec->remedies, row.remedies, sizeof(row.remedies));
	render_members(j, v, NCOLUMNS, &row);
}
