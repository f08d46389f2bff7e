// SPDX-License-Identifier: GPL-2.0-or-later
/* Records in words for people: one sentence each, for the journal and the table of the history. */
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "core/ledger.h"
#include "reclaim/worker.h"

#define SHOWN 24 /* bytes of a size or a time */

/* In the order in which they are tried. */
static const struct {
	uint32_t bit;
	const char *name;
} remedies[] = {
	{ WORKER_REMEDY_COLLECT, "collect" }, { WORKER_REMEDY_TRIM, "trim" },	    { WORKER_REMEDY_PURGE, "purge" },
	{ WORKER_REMEDY_COLD, "cold" },	      { WORKER_REMEDY_PAGEOUT, "pageout" },
};

char *ledger_remedies(uint32_t bits, char *buf, size_t size)
{
	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		if (bits & remedies[i].bit)
			text_append(buf, size, "%s%s", *buf ? "," : "", remedies[i].name);
	return buf;
}

/* "python3 (pid 12, web.service)" */
static void add_name(const struct ledger_record *rec, char *buf, size_t size)
{
	char comm[4 * sizeof(rec->comm)], unit[4 * sizeof(rec->unit)];

	text_append(buf, size, "%s (pid %d", *rec->comm ? escape_text(rec->comm, comm, sizeof(comm)) : "process",
		    rec->pid);
	if (*rec->unit)
		text_append(buf, size, ", %s", escape_text(rec->unit, unit, sizeof(unit)));
	text_append(buf, size, ")");
}

static void add_words(const struct ledger_record *rec, char *buf, size_t size)
{
	char words[4 * sizeof(rec->words)];

	if (*rec->words)
		text_append(buf, size, ": %s", escape_text(rec->words, words, sizeof(words)));
}

static void add_size(uint64_t bytes, char *buf, size_t size)
{
	char shown[SHOWN];

	text_append(buf, size, "%s",
		    bytes == LEDGER_UNKNOWN ? "an unknown size" : format_size(bytes, shown, sizeof(shown)));
}

/* What was freed, or grown meanwhile: then it is negative. */
static void add_freed(int64_t bytes, char *buf, size_t size)
{
	char shown[SHOWN];
	const uint64_t magnitude = bytes < 0 ? 0 - (uint64_t)bytes : (uint64_t)bytes;

	text_append(buf, size, "%s%s", bytes < 0 ? "-" : "", format_size(magnitude, shown, sizeof(shown)));
}

static void add_remedies(const struct ledger_record *rec, char *buf, size_t size)
{
	char names[64];

	if (rec->remedies)
		text_append(buf, size, " by %s", ledger_remedies(rec->remedies, names, sizeof(names)));
}

static void say_action(const struct ledger_record *rec, char *buf, size_t size)
{
	char shown[SHOWN], reason[4 * sizeof(rec->reason)];
	const bool reclaimed = !strcmp(rec->reason, "reclaimed");

	if (reclaimed) {
		text_append(buf, size, "reclaimed ");
		add_freed(rec->freed, buf, size);
		text_append(buf, size, " from ");
	}
	add_name(rec, buf, size);
	if (!reclaimed)
		text_append(buf, size, ": %s", escape_text(rec->reason, reason, sizeof(reason)));
	add_remedies(rec, buf, size);
	if (reclaimed && rec->predicted != LEDGER_UNKNOWN) {
		text_append(buf, size, ", predicted ");
		add_size(rec->predicted, buf, size);
	}
	if (!reclaimed && rec->freed > 0) {
		text_append(buf, size, ", ");
		add_freed(rec->freed, buf, size);
		text_append(buf, size, " freed by then");
	}
	if (rec->swapped) {
		text_append(buf, size, "; ");
		add_size(rec->swapped, buf, size);
		text_append(buf, size, " moved to swap, not freed");
	}
	if (rec->stopped_us && rec->stopped_us != LEDGER_UNKNOWN)
		text_append(buf, size, ", stopped for %s", format_time_us(rec->stopped_us, shown, sizeof(shown)));
}

static void say_check(const struct ledger_record *rec, char *buf, size_t size)
{
	char shown[SHOWN];

	text_append(buf, size, "%s later, ", format_time_us(rec->after_us, shown, sizeof(shown)));
	add_name(rec, buf, size);
	text_append(buf, size, " has ");
	add_size(rec->rss_after, buf, size);
	text_append(buf, size, ": still gone ");
	add_freed(rec->freed, buf, size);
	text_append(buf, size, " of ");
	add_size(rec->predicted, buf, size);
	if (rec->swapped) {
		text_append(buf, size, "; ");
		add_size(rec->swapped, buf, size);
		text_append(buf, size, " is back from swap");
	}
}

static void say_start(const struct ledger_record *rec, char *buf, size_t size)
{
	(void)rec;
	text_append(buf, size, "started");
}

static void say_stop(const struct ledger_record *rec, char *buf, size_t size)
{
	(void)rec;
	text_append(buf, size, "stopped");
}

static void say_reload(const struct ledger_record *rec, char *buf, size_t size)
{
	(void)rec;
	text_append(buf, size, "configuration read again");
}

static void say_pressure(const struct ledger_record *rec, char *buf, size_t size)
{
	(void)rec;
	text_append(buf, size, "memory pressure");
}

static void say_leave(const struct ledger_record *rec, char *buf, size_t size)
{
	text_append(buf, size, "left alone: ");
	add_name(rec, buf, size);
}

static void say_look(const struct ledger_record *rec, char *buf, size_t size)
{
	text_append(buf, size, "looked into ");
	add_name(rec, buf, size);
	text_append(buf, size, ", ");
	add_size(rec->predicted, buf, size);
	text_append(buf, size, " would come back");
	add_remedies(rec, buf, size);
}

static void say_would(const struct ledger_record *rec, char *buf, size_t size)
{
	text_append(buf, size, "would reclaim ");
	add_size(rec->predicted, buf, size);
	text_append(buf, size, " from ");
	add_name(rec, buf, size);
	add_remedies(rec, buf, size);
}

static void say_begin(const struct ledger_record *rec, char *buf, size_t size)
{
	text_append(buf, size, "beginning with ");
	add_name(rec, buf, size);
	add_remedies(rec, buf, size);
}

char *ledger_sentence(const struct ledger_record *rec, char *buf, size_t size)
{
	static void (*const say[LEDGER_KINDS])(const struct ledger_record *, char *, size_t) = {
		[LEDGER_START] = say_start,	  [LEDGER_STOP] = say_stop,   [LEDGER_LEAVE] = say_leave,
		[LEDGER_LOOK] = say_look,	  [LEDGER_WOULD] = say_would, [LEDGER_BEGIN] = say_begin,
		[LEDGER_ACTION] = say_action,	  [LEDGER_CHECK] = say_check, [LEDGER_RELOAD] = say_reload,
		[LEDGER_PRESSURE] = say_pressure,
	};

	buf[0] = '\0';
	say[rec->kind](rec, buf, size);
	add_words(rec, buf, size);
	return buf;
}
