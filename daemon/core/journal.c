// SPDX-License-Identifier: GPL-2.0-or-later
/* Who sent it is journald's to know: no CODE_FILE and the like. */
#define SD_JOURNAL_SUPPRESS_LOCATION

#include "core/journal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#include "base/text.h"

#define SOCKET "/run/systemd/journal/socket"
#define FIELD_MAX (LEDGER_SENTENCE + 32)

/* Made with systemd-id128 new; never changed, never given to anything else. */
static const struct {
	const char *id;
	int priority;
} kinds[LEDGER_KINDS] = {
	[LEDGER_START] = { "a51a4272768d4c5c93f6b74da124501c", LOG_INFO },
	[LEDGER_STOP] = { "79af5134740848088b12caaabc4c8a8b", LOG_INFO },
	[LEDGER_LEAVE] = { "883af5a09b5048f789bae081565377d3", LOG_INFO },
	[LEDGER_LOOK] = { "ff257b653781436899794cf1b97f750a", LOG_DEBUG },
	[LEDGER_WOULD] = { "298f241b736b4fcd859a5b8effbbba22", LOG_NOTICE },
	[LEDGER_BEGIN] = { "bf406335fa344a20a961591225a4c96e", LOG_DEBUG },
	[LEDGER_ACTION] = { "610db53e438c4072a6d5a01be3b0f222", LOG_NOTICE },
	[LEDGER_CHECK] = { "f5b22ec78ea3440a8c3909985e19b052", LOG_INFO },
	[LEDGER_RELOAD] = { "ddbe735db9d44ff2bc9e5a733f90d711", LOG_NOTICE },
	[LEDGER_PRESSURE] = { "ab120062cb6c48b89fe48c44867821a0", LOG_NOTICE },
};

const char *journal_message_id(enum ledger_kind k)
{
	return kinds[k].id;
}

/* Fields of one entry. Values may be any bytes without NUL: sd-journal sends those with a newline by length. */
struct entry {
	struct iovec v[28];
	char text[28][FIELD_MAX];
	int n;
};

static void add(struct entry *e, const char *format, ...) __printf_like(2, 3);

static void add(struct entry *e, const char *format, ...)
{
	va_list ap;
	int len;

	if ((size_t)e->n >= ARRAY_SIZE(e->v))
		return;
	va_start(ap, format);
	len = vsnprintf(e->text[e->n], FIELD_MAX, format, ap);
	va_end(ap);
	if (len < 0)
		return;
	e->v[e->n].iov_base = e->text[e->n];
	e->v[e->n].iov_len = MIN((size_t)len, FIELD_MAX - 1u);
	e->n++;
}

static void add_number(struct entry *e, const char *name, uint64_t v)
{
	if (v != LEDGER_UNKNOWN)
		add(e, "%s=%" PRIu64, name, v);
}

static void add_text(struct entry *e, const char *name, const char *text)
{
	if (*text)
		add(e, "%s=%s", name, text);
}

static int priority_of(const struct ledger_record *rec)
{
	const bool bad = !strcmp(rec->reason, "failed") || !strcmp(rec->reason, "timeout");

	return bad ? MIN(LOG_WARNING, kinds[rec->kind].priority) : kinds[rec->kind].priority;
}

static void add_process(struct entry *e, const struct ledger_record *rec)
{
	add(e, "RECLAIM_PID=%d", rec->pid);
	add(e, "OBJECT_PID=%d", rec->pid);
	add_number(e, "RECLAIM_START_TIME", rec->start_time);
	add(e, "RECLAIM_UID=%" PRIu32, (uint32_t)rec->uid);
	add_text(e, "RECLAIM_COMM", rec->comm);
	add_text(e, "RECLAIM_EXE", rec->exe);
	add_text(e, "RECLAIM_UNIT", rec->unit);
	add_text(e, "RECLAIM_SLICE", rec->slice);
	add_text(e, "RECLAIM_CGROUP", rec->cgroup);
}

/* Only what the kind has: elsewhere 0 would look like a figure. */
static void add_figures(struct entry *e, const struct ledger_record *rec)
{
	const uint32_t bit = 1u << rec->kind;

	if (bit & (1u << LEDGER_LOOK | 1u << LEDGER_WOULD | 1u << LEDGER_BEGIN))
		add_number(e, "RECLAIM_PREDICTED", rec->predicted);
	if (bit & (1u << LEDGER_ACTION | 1u << LEDGER_CHECK)) {
		add_number(e, "RECLAIM_PREDICTED", rec->predicted);
		add(e, "RECLAIM_FREED=%" PRId64, rec->freed);
		add_number(e, "RECLAIM_RSS_BEFORE", rec->rss_before);
		add_number(e, "RECLAIM_RSS_AFTER", rec->rss_after);
		if (rec->swapped)
			add_number(e, "RECLAIM_SWAPPED", rec->swapped);
	}
	if (rec->kind == LEDGER_ACTION) {
		add_number(e, "RECLAIM_STOPPED_US", rec->stopped_us);
		add_number(e, "RECLAIM_DURATION_US", rec->duration_us);
	}
	if (rec->kind == LEDGER_CHECK)
		add_number(e, "RECLAIM_AFTER_US", rec->after_us);
}

/* Asked each time: journald may come later than we do. At a terminal somebody wants to see it there. */
static bool journal_there(void)
{
	return !access(SOCKET, F_OK) && !isatty(STDERR_FILENO);
}

int journal_record(const struct ledger_record *rec)
{
	struct entry e = { .n = 0 };
	char sentence[LEDGER_SENTENCE], names[64];

	if (rec->kind <= 0 || rec->kind >= LEDGER_KINDS)
		return -EINVAL;
	ledger_sentence(rec, sentence, sizeof(sentence));
	add(&e, "MESSAGE=%s", sentence);
	add(&e, "MESSAGE_ID=%s", kinds[rec->kind].id);
	add(&e, "PRIORITY=%d", priority_of(rec));
	add(&e, "SYSLOG_IDENTIFIER=reclaimd");
	add(&e, "RECLAIM_KIND=%s", ledger_kind_name(rec->kind));
	add_number(&e, "RECLAIM_SEQ", rec->seq);
	add_text(&e, "RECLAIM_REASON", rec->reason);
	add_text(&e, "RECLAIM_WORDS", rec->words);
	add_text(&e, "RECLAIM_REMEDIES", ledger_remedies(rec->remedies, names, sizeof(names)));
	if (rec->pid) {
		add_process(&e, rec);
		add_figures(&e, rec);
	}
	if (journal_there() && sd_journal_sendv(e.v, e.n) >= 0)
		return 0;
	/* One write: lines of several of us stay whole. */
	return dprintf(STDERR_FILENO, "<%d>%s\n", priority_of(rec), sentence) < 0 ? -errno : 0;
}
