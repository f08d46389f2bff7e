// SPDX-License-Identifier: GPL-2.0-or-later
/* "record": the memory of processes over time, into a file. */
#include <errno.h>
#include <string.h>

#include "ctl/record.h"

#define INTERVAL_MIN_US 100000ull
#define TIME_MAX_US (366ull * 86400 * 1000000)

#define AT(field) offsetof(struct record_opts, field)

static const struct option_spec record_options[] = {
	{ "output", 'o', "FILE", "Where to; a recording that is there becomes FILE.old (" RECORD_FILE ")", option_text,
	  AT(output), "a file", NULL },
	{ "interval", 'i', "TIME", "Between two samples, 100ms to 366d (1s)", option_time, AT(interval),
	  "a time such as 5s", NULL },
	{ "duration", 'd', "TIME", "End after so long", option_time, AT(duration), "a time such as 10min", NULL },
	{ "count", 'n', "N", "End after so many samples of each process", option_count, AT(count), "a number above 0",
	  NULL },
	{ "cpu", 0, "PERCENT", "Of a CPU at most, on average: looks become rarer (1)", option_count, AT(cpu),
	  "a whole number from 1 to 100", NULL },
	{ "mark", 0, "SIZE", "Mark growth and drops of so much, 0 for none (16M)", option_size, AT(mark),
	  "a size such as 64M", NULL },
};

static const char *find_fault(const struct record_opts *o)
{
	if (o->interval.given && (o->interval.value < INTERVAL_MIN_US || o->interval.value > TIME_MAX_US))
		return "--interval must be between 100ms and 366d";
	if (o->duration.given && (!o->duration.value || o->duration.value > TIME_MAX_US))
		return "--duration must be above 0 and at most 366d";
	if (o->cpu.value > 100)
		return "--cpu is a share of one CPU: at most 100";
	return NULL;
}

static int run_record(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	const char *fault = find_fault(opts);

	if (fault)
		return ctl_fail(ctl, CTL_USAGE, "record: %s", fault);
	return record_run(ctl, opts, args, nargs);
}

const struct verb verb_record = {
	.name = "record",
	.args = "PID... | -- COMMAND [ARGUMENT...]",
	.help = "Record where the memory of processes goes over time, for report",
	.details = "Until it is interrupted or all of them have exited. They are never stopped. Resident size is\n"
		   "read at each sample; the layers of explain as often as that stays within --cpu. Exec and exit,\n"
		   "growth, drops, and what reclaimd trims are marked. The file can be read at any time, also\n"
		   "when the recording was killed.\n",
	.min_args = 1,
	.max_args = 1000000,
	.options = record_options,
	.noptions = ARRAY_SIZE(record_options),
	.opts_size = sizeof(struct record_opts),
	.needs_proc = true,
	.run = run_record,
};
