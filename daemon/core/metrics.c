// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "base/parse.h"
#include "core/ledger-totals.h"
#include "core/manager.h"

#ifndef RECLAIM_VERSION
#define RECLAIM_VERSION "0"
#endif

#define OTHERS "(others)"

enum value { VALUE_U64, VALUE_U32, VALUE_BOOL, VALUE_SECONDS /* kept as microseconds */ };

struct metric {
	const char *name; /* a counter's ends with _total */
	const char *help;
	enum value value;
	size_t offset;
};

#define STATE(member) offsetof(struct manager_state, member)

static const struct metric state_metrics[] = {
	{ "reclaim_start_time_seconds", "When the daemon was started", VALUE_SECONDS, STATE(started_real_us) },
	{ "reclaim_interval_seconds", "How often it looks at all processes", VALUE_SECONDS, STATE(interval_us) },
	{ "reclaim_last_sweep_timestamp_seconds", "When it last did", VALUE_SECONDS, STATE(last_sweep_us) },
	{ "reclaim_sweeps_total", "How often it has done so", VALUE_U64, STATE(sweeps) },
	{ "reclaim_processes", "Processes at the last sweep, of half MinAnon= or more", VALUE_U64, STATE(processes) },
	{ "reclaim_candidates", "Those of them that were to be looked at or acted on", VALUE_U64, STATE(candidates) },
	{ "reclaim_memory_pressure", "1 while programs wait for memory", VALUE_BOOL, STATE(pressure) },
	{ "reclaim_workers", "Workers that run now", VALUE_U32, STATE(running) },
	{ "reclaim_looks_total", "Allocators that were read", VALUE_U64, STATE(looks) },
	{ "reclaim_actions_total", "Actions that were carried out", VALUE_U64, STATE(actions) },
	{ "reclaim_refusals_total", "Actions that were refused since they weren't safe or supported", VALUE_U64,
	  STATE(refused) },
	{ "reclaim_failures_total", "Actions that failed or took too long", VALUE_U64, STATE(failed) },
	{ "reclaim_advices_total", "Actions that the mode forbade", VALUE_U64, STATE(would) },
	{ "reclaim_freed_bytes_total", "Resident memory that actions gave back", VALUE_U64, STATE(freed) },
	{ "reclaim_swapped_bytes_total", "Memory that actions moved to swap, which is in none of what they gave back",
	  VALUE_U64, STATE(swapped) },
	{ "reclaim_predicted_bytes_total", "What was predicted of the same actions", VALUE_U64, STATE(predicted) },
	{ "reclaim_stopped_seconds_total", "For how long targets were stopped, all together", VALUE_SECONDS,
	  STATE(stopped_us) },
	{ "reclaim_settings_loaded_timestamp_seconds", "When the configuration in force was read", VALUE_SECONDS,
	  STATE(settings_loaded_real_us) },
	{ "reclaim_reloads_total", "Times that the configuration was read again", VALUE_U64, STATE(reloads) },
	{ "reclaim_reload_failures_total", "Times that it had an error and the old one stayed", VALUE_U64,
	  STATE(reload_failures) },
};

#define TOTAL(member) offsetof(struct ledger_total, member)

static const struct metric check_metrics[] = {
	{ "reclaim_checked_bytes_total", "Memory given back ten minutes before it was measured again", VALUE_U64,
	  TOTAL(checked) },
	{ "reclaim_kept_bytes_total", "What of it was still gone then", VALUE_U64, TOTAL(kept) },
	{ "reclaim_swapped_back_bytes_total", "What of the memory moved to swap was back ten minutes later", VALUE_U64,
	  TOTAL(swapped_back) },
};

static const struct metric program_metrics[] = {
	{ "reclaim_program_looks_total", "Allocators of a program that were read", VALUE_U64, TOTAL(looks) },
	{ "reclaim_program_actions_total", "Actions that were carried out on a program", VALUE_U64, TOTAL(actions) },
	{ "reclaim_program_refusals_total", "Actions on a program that were refused", VALUE_U64, TOTAL(refused) },
	{ "reclaim_program_failures_total", "Actions on a program that failed or took too long", VALUE_U64,
	  TOTAL(failed) },
	{ "reclaim_program_freed_bytes_total", "Resident memory that a program gave back", VALUE_U64, TOTAL(freed) },
	{ "reclaim_program_swapped_bytes_total", "Memory of a program that was moved to swap", VALUE_U64,
	  TOTAL(swapped) },
	{ "reclaim_program_predicted_bytes_total", "What was predicted of the same actions", VALUE_U64,
	  TOTAL(predicted) },
	{ "reclaim_program_stopped_seconds_total", "For how long its processes were stopped", VALUE_SECONDS,
	  TOTAL(stopped_us) },
	{ "reclaim_program_checked_bytes_total", "Memory given back ten minutes before it was measured again",
	  VALUE_U64, TOTAL(checked) },
	{ "reclaim_program_kept_bytes_total", "What of it was still gone then", VALUE_U64, TOTAL(kept) },
	{ "reclaim_program_swapped_back_bytes_total", "What of the memory moved to swap was back ten minutes later",
	  VALUE_U64, TOTAL(swapped_back) },
};

static void put_head(FILE *f, const struct metric *m, enum metrics_syntax syntax)
{
	const size_t len = strlen(m->name), end = strlen("_total");
	const bool counter = len > end && !strcmp(m->name + len - end, "_total");
	const int shown = (int)(counter && syntax == METRICS_OPENMETRICS ? len - end : len);

	fprintf(f, "# HELP %.*s %s.\n", shown, m->name, m->help);
	fprintf(f, "# TYPE %.*s %s\n", shown, m->name, counter ? "counter" : "gauge");
}

static void put_value(FILE *f, const struct metric *m, const void *of)
{
	const char *at = (const char *)of + m->offset;

	switch (m->value) {
	case VALUE_U64:
		fprintf(f, " %" PRIu64 "\n", *(const uint64_t *)at);
		break;
	case VALUE_U32:
		fprintf(f, " %" PRIu32 "\n", *(const uint32_t *)at);
		break;
	case VALUE_BOOL:
		fprintf(f, " %d\n", *(const bool *)at);
		break;
	case VALUE_SECONDS:
		fprintf(f, " %" PRIu64 ".%06" PRIu64 "\n", *(const uint64_t *)at / 1000000,
			*(const uint64_t *)at % 1000000);
		break;
	}
}

static void put_plain(FILE *f, const struct metric *v, size_t n, const void *of, enum metrics_syntax syntax)
{
	for (size_t i = 0; i < n; i++) {
		put_head(f, &v[i], syntax);
		fputs(v[i].name, f);
		put_value(f, &v[i], of);
	}
}

/* A label's value is UTF-8, with escapes of its own; what isn't plain text is escaped as everywhere before that. */
static void put_label(FILE *f, const char *name, const char *raw)
{
	char text[4 * LEDGER_NAME];

	escape_text(raw, text, sizeof(text));
	fprintf(f, "%s=\"", name);
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			fputc('\\', f);
		fputc(*p, f);
	}
	fputc('"', f);
}

static void put_program(FILE *f, const struct metric *m, const char *program, const struct ledger_total *t)
{
	fprintf(f, "%s{", m->name);
	put_label(f, "program", program);
	fputc('}', f);
	put_value(f, m, t);
}

static void put_programs(FILE *f, const struct ledger_totals *t, enum metrics_syntax syntax)
{
	for (size_t i = 0; i < ARRAY_SIZE(program_metrics); i++) {
		const struct metric *m = &program_metrics[i];

		put_head(f, m, syntax);
		for (size_t k = 0; k < t->n; k++)
			put_program(f, m, t->v[k].program, &t->v[k]);
		if (t->n == LEDGER_PROGRAMS_MAX)
			put_program(f, m, OTHERS, &t->rest);
	}
}

static void put_info(FILE *f, const struct manager_state *s)
{
	fputs("# HELP reclaim_daemon_info What runs, in its labels.\n# TYPE reclaim_daemon_info gauge\n"
	      "reclaim_daemon_info{",
	      f);
	put_label(f, "version", RECLAIM_VERSION);
	fputc(',', f);
	put_label(f, "mode", s->mode);
	fputc(',', f);
	put_label(f, "source", s->source);
	fputs("} 1\n", f);
}

int metrics_format(const struct manager_state *s, const struct ledger_totals *t, enum metrics_syntax syntax, char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool failed;

	if (!f)
		return -ENOMEM;
	put_info(f, s);
	put_plain(f, state_metrics, ARRAY_SIZE(state_metrics), s, syntax);
	put_plain(f, check_metrics, ARRAY_SIZE(check_metrics), &t->all, syntax);
	put_programs(f, t, syntax);
	if (syntax == METRICS_OPENMETRICS)
		fputs("# EOF\n", f);
	failed = ferror(f);
	if (fclose(f) || failed)
		return -ENOMEM;
	*ret = TAKE_PTR(text);
	return 0;
}
