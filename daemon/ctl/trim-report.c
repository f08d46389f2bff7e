/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What came of a "trim": rows, total, JSON, diagnostics, exit status. */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/render.h"
#include "ctl/trim.h"

/* One row per enum worker_outcome. */
static const struct outcome {
	const char *name; /* in output */
	const char *verb; /* in a diagnostic; NULL: needs none */
	const char *why; /* when the worker gave no reason */
	const char *mend; /* what to do, or NULL */
	const char *color;
	int status, rank; /* the exit status with the highest rank wins */
} outcomes[] = {
	[WORKER_RECLAIMED] = { "reclaimed", NULL, NULL, NULL, "green", CTL_DONE, 0 },
	[WORKER_NOTHING] = { "nothing", NULL, NULL, NULL, NULL, CTL_DONE, 0 },
	[WORKER_WOULD] = { "nothing", NULL, NULL, NULL, NULL, CTL_DONE, 0 },
	[WORKER_GONE] = { "failed", "gone", "no such process", NULL, "red", CTL_GONE, 1 },
	[WORKER_REFUSED] = { "refused", "refused", "not safe now", NULL, "yellow", CTL_REFUSED, 2 },
	[WORKER_DENIED] = { "failed", "not permitted", "permission denied", "see 'reclaimctl doctor'", "red",
			    CTL_DENIED, 3 },
	[WORKER_FAILED] = { "failed", "failed", "unknown reason", NULL, "red", CTL_FAILED, 4 },
	[WORKER_TIMEOUT] = { "timeout", "timed out", "the deadline passed", "try again, or allow more with --timeout",
			     "red", CTL_FAILED, 4 },
};

static const struct outcome *outcome_of(const struct trim_row *row)
{
	return &outcomes[row->res.outcome];
}

static void cell_outcome(const struct column *c, const void *row, struct cell *ret)
{
	const struct outcome *o = outcome_of(row);

	(void)c;
	ret->kind = CELL_TEXT;
	ret->text = o->name;
	ret->color = o->color;
}

static void cell_comm(const struct column *c, const void *row, struct cell *ret)
{
	const struct trim_row *tr = row;

	(void)c;
	ret->kind = CELL_TEXT;
	ret->text = tr->res.comm;
}

static void cell_reason(const struct column *c, const void *row, struct cell *ret)
{
	const struct trim_row *tr = row;
	const char *why = outcome_of(tr)->why;

	(void)c;
	if (!*tr->res.reason && !why)
		return;
	ret->kind = CELL_TEXT;
	ret->text = *tr->res.reason ? tr->res.reason : why;
}

/* What a person is told of in words below the table. */
static void cell_scope(const struct column *c, const void *row, struct cell *ret)
{
	static const char *const scopes[] = { [METER_CGROUP] = "cgroup", [METER_MACHINE] = "machine" };
	const struct trim_row *tr = row;

	(void)c;
	if (!aftermath_real_known(&tr->after))
		return;
	ret->kind = CELL_TEXT;
	ret->text = scopes[tr->after.scope];
}

static void cell_real(const struct column *c, const void *row, struct cell *ret)
{
	if (aftermath_real_known(&((const struct trim_row *)row)->after))
		cell_size(c, row, ret);
}

static void cell_real_freed(const struct column *c, const void *row, struct cell *ret)
{
	const struct trim_row *tr = row;
	int64_t freed;

	(void)c;
	if (!aftermath_real_known(&tr->after))
		return;
	freed = aftermath_real_freed(&tr->after);
	ret->kind = CELL_SIZE;
	ret->negative = freed < 0;
	ret->number = freed < 0 ? 0 - (uint64_t)freed : (uint64_t)freed;
}

#define AT(field) offsetof(struct trim_row, res.field)
#define AFTER(field) offsetof(struct trim_row, after.field)

static const struct column trim_columns[] = {
	{ "PID", "pid", 0, COLUMN_RIGHT, "", cell_int, AT(pid) },
	{ "COMM", "comm", 0.1, COLUMN_TRUNC, "", cell_comm, 0 },
	{ "START", "start_time", 0, COLUMN_JSON, "", cell_u64, AT(start_time) },
	{ "BEFORE", "rss_before", 0, COLUMN_RIGHT, "", cell_size, AT(rss_before) },
	{ "AFTER", "rss_after", 0, COLUMN_RIGHT, "", cell_size, AT(rss_after) },
	{ "FREED", "freed", 0, COLUMN_RIGHT, "", cell_size_signed, AT(freed) },
	{ "STOPPED", "stopped_us_max", 0, COLUMN_RIGHT, "", cell_time_us, AT(stopped_us_max) },
	{ "OUTCOME", "outcome", 0, 0, "", cell_outcome, 0 },
	{ "REASON", "reason", 0.3, COLUMN_WRAP, "", cell_reason, 0 },
	{ "SCOPE", "real_scope", 0, COLUMN_JSON, "", cell_scope, 0 },
	{ "USED", "real_before", 0, COLUMN_JSON, "", cell_real, AFTER(real_before) },
	{ "THEN", "real_after", 0, COLUMN_JSON, "", cell_real, AFTER(real_after) },
	{ "REAL", "real_freed", 0, COLUMN_JSON, "", cell_real_freed, 0 },
	{ "TORN", "huge_torn", 0, COLUMN_JSON, "", cell_u32, AT(huge_torn) },
	{ "WARNING", "warning", 0, COLUMN_JSON, "", cell_chars, AFTER(warning) },
};

static void json_step(struct json *j, const struct worker_step *s)
{
	json_open(j, NULL, '{');
	json_text(j, "remedy", trim_remedy_name(s->remedy));
	if (s->has_predicted)
		json_u64(j, "predicted", s->predicted);
	else
		json_null(j, "predicted");
	json_i64(j, "freed", s->freed);
	json_i64(j, "swapped", s->swapped);
	json_i64(j, "zeroes", s->zeroes);
	json_u64(j, "stopped_us", s->stopped_us);
	json_u64(j, "duration_us", s->duration_us);
	json_text(j, "detail", s->detail);
	json_close(j);
}

static void json_known(struct json *j, const char *key, uint64_t v)
{
	if (v == FOOTPRINT_UNKNOWN)
		json_null(j, key);
	else
		json_u64(j, key, v);
}

static void json_recheck(struct json *j, const struct aftermath *a)
{
	if (!a->looked) {
		json_null(j, "recheck");
		return;
	}
	json_open(j, "recheck", '{');
	json_u64(j, "after_us", a->waited_us);
	json_u64(j, "rss", a->now.rss);
	json_u64(j, "anon", a->now.anon);
	json_u64(j, "swap", a->now.swap);
	json_known(j, "thp", a->now.huge);
	json_i64(j, "regrown", a->regrowth.anon);
	if (a->mark.huge == FOOTPRINT_UNKNOWN || a->now.huge == FOOTPRINT_UNKNOWN)
		json_null(j, "thp_regrown");
	else
		json_i64(j, "thp_regrown", a->regrowth.huge);
	json_known(j, "by_khugepaged", a->regrowth.by_khugepaged);
	json_u64(j, "page_faults", a->regrowth.faults);
	json_close(j);
}

static int report_json(struct ctl *ctl, const struct column *const *columns, size_t ncolumns,
		       const struct trim_row *rows, size_t n)
{
	struct json j;

	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < n; i++) {
		json_open(&j, NULL, '{');
		render_members(&j, columns, ncolumns, &rows[i]);
		json_recheck(&j, &rows[i].after);
		json_open(&j, "steps", '[');
		for (uint32_t k = 0; k < rows[i].res.nsteps; k++)
			json_step(&j, &rows[i].res.steps[k]);
		json_close(&j);
		json_close(&j);
	}
	json_close(&j);
	return json_finish(&j);
}

static int report_total(const struct trim_row *rows, size_t n)
{
	size_t reclaimed = 0, nothing = 0, refused = 0, failed = 0;
	char before[24], after[24], freed[24];
	uint64_t sum_before = 0, sum_after = 0;
	int64_t sum_freed = 0;

	for (size_t i = 0; i < n; i++) {
		const struct worker_result *res = &rows[i].res;
		int status = outcome_of(&rows[i])->status;

		reclaimed += res->outcome == WORKER_RECLAIMED;
		nothing += status == CTL_DONE && res->outcome != WORKER_RECLAIMED;
		refused += status == CTL_REFUSED;
		failed += status != CTL_DONE && status != CTL_REFUSED;
		sum_before += res->rss_before;
		sum_after += res->rss_after;
		/* As unsigned: a sum that is too large for a worker's nonsense must not be undefined. */
		sum_freed = (int64_t)((uint64_t)sum_freed + (uint64_t)res->freed);
	}
	errno = 0;
	printf("\n%zu processes: %zu reclaimed, %zu nothing to do, %zu refused, %zu failed; %s -> %s, freed %s%s\n", n,
	       reclaimed, nothing, refused, failed, format_size(sum_before, before, sizeof(before)),
	       format_size(sum_after, after, sizeof(after)), sum_freed < 0 ? "-" : "",
	       format_size(sum_freed < 0 ? 0 - (uint64_t)sum_freed : (uint64_t)sum_freed, freed, sizeof(freed)));
	if (fflush(stdout) || ferror(stdout))
		return errno > 0 ? -errno : -EIO;
	return 0;
}

static const char *signed_size(int64_t v, char *buf, size_t size)
{
	char number[24];

	snprintf(buf, size, "%s%s", v < 0 ? "-" : "",
		 format_size(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, number, sizeof(number)));
	return buf;
}

/* What has really become free, where the resident size tells another story; and what was seen later. */
static void report_aftermath(const struct trim_row *row)
{
	const struct aftermath *a = &row->after;
	char real[32], freed[32], seen[AFTERMATH_TEXT];

	if (aftermath_differs(a, row->res.freed))
		printf("%-8s %s has become free where resident size fell by %s (%s)\n", "real",
		       signed_size(aftermath_real_freed(a), real, sizeof(real)),
		       signed_size(row->res.freed, freed, sizeof(freed)),
		       a->scope == METER_CGROUP ?
			       "what its control group is charged for" :
			       "MemAvailable of the whole machine: others count in it, so only a hint");
	if (a->looked)
		printf("%-8s %s\n", "recheck", aftermath_describe(a, seen, sizeof(seen)));
}

/* What was done to a single target, step by step. */
static int report_steps(const struct trim_row *row)
{
	const struct worker_result *res = &row->res;

	errno = 0;
	for (uint32_t i = 0; i < res->nsteps; i++) {
		const struct worker_step *s = &res->steps[i];
		char predicted[24] = "-", freed[32], swapped[64] = "", size[24], stopped[32];
		char detail[WORKER_TEXT_MAX * 4];

		if (s->has_predicted)
			format_size(s->predicted, predicted, sizeof(predicted));
		/* Of what is no longer resident this isn't gone. */
		if (s->swapped > 0 && s->remedy == WORKER_REMEDY_PAGEOUT)
			snprintf(swapped, sizeof(swapped), ", to swap %s",
				 format_size((uint64_t)s->swapped, size, sizeof(size)));
		escape_text(s->detail, detail, sizeof(detail));
		printf("%s%-8s predicted %s, freed %s%s, stopped %s%s%s\n", i ? "" : "\n", trim_remedy_name(s->remedy),
		       predicted, signed_size(s->freed, freed, sizeof(freed)), swapped,
		       format_time_us(s->stopped_us, stopped, sizeof(stopped)), *detail ? ": " : "", detail);
	}
	report_aftermath(row);
	if (fflush(stdout) || ferror(stdout))
		return errno > 0 ? -errno : -EIO;
	return 0;
}

int trim_report(struct ctl *ctl, const struct trim_row *rows, size_t n)
{
	const struct column *columns[ARRAY_SIZE(trim_columns)];
	_cleanup_free_ const void **order = NULL;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(trim_columns); i++)
		columns[i] = &trim_columns[i];
	if (ctl->json)
		return report_json(ctl, columns, ARRAY_SIZE(columns), rows, n);
	order = calloc(n + 1, sizeof(*order));
	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		order[i] = &rows[i];
	r = render_table(ctl, columns, ARRAY_SIZE(columns), order, n);
	if (r < 0 || n < 1 || ctl->no_legend)
		return r;
	return n == 1 ? report_steps(&rows[0]) : report_total(rows, n);
}

/* A member of a group that exits before its turn is nothing that went wrong. */
static bool counts(const struct trim_row *row, bool group)
{
	return !(group && row->res.outcome == WORKER_GONE);
}

int trim_status(const struct trim_row *rows, size_t n, bool group)
{
	const struct outcome *worst = &outcomes[WORKER_NOTHING];

	for (size_t i = 0; i < n; i++) {
		const struct outcome *o = outcome_of(&rows[i]);

		if (counts(&rows[i], group) && o->rank > worst->rank)
			worst = o;
	}
	return worst->status;
}

void trim_report_failure(const struct trim_row *row, bool group)
{
	const struct worker_result *res = &row->res;
	const struct outcome *o = outcome_of(row);
	char comm[300], reason[WORKER_TEXT_MAX * 4];

	/* Done, but not wholly: a step has been taken, and there is a reason. */
	const bool partly = !o->verb && res->outcome != WORKER_WOULD && res->nsteps && *res->reason;

	if (!(o->verb || partly) || !counts(row, group))
		return;
	escape_text(res->comm, comm, sizeof(comm));
	escape_text(*res->reason ? res->reason : o->why, reason, sizeof(reason));
	if (partly) {
		ctl_diag("pid %d (%s): not all of it came back: %s; try again", res->pid, comm, reason);
		return;
	}
	ctl_diag("pid %d%s%s%s: %s: %s%s%s", res->pid, *comm ? " (" : "", comm, *comm ? ")" : "", o->verb, reason,
		 o->mend ? "; " : "", o->mend ? o->mend : "");
}

void trim_report_warning(const struct trim_row *row)
{
	char comm[300];

	if (*row->after.warning)
		ctl_diag("pid %d (%s): %s", row->res.pid, escape_text(row->res.comm, comm, sizeof(comm)),
			 row->after.warning);
}
