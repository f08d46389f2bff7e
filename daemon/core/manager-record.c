/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing down what was seen, decided and done; and one line for the service manager. */
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"
#include "core/journal.h"
#include "core/log.h"
#include "core/manager-private.h"
#include "core/metrics.h"

struct ledger_record manager_record(const struct manager *m, enum ledger_kind kind, const struct candidate *c)
{
	struct ledger_record rec = {
		.kind = kind,
		.real_us = clock_us(CLOCK_REALTIME),
		.boot_us = manager_now(),
		.uid = (uid_t)-1,
		.real_uid = (uid_t)-1,
		.predicted = LEDGER_UNKNOWN,
		.rss_before = LEDGER_UNKNOWN,
		.rss_after = LEDGER_UNKNOWN,
	};

	memcpy(rec.boot_id, m->boot_id, sizeof(rec.boot_id));
	if (!c)
		return rec;
	rec.pid = c->pid;
	rec.start_time = c->start_time;
	rec.uid = c->owner;
	rec.real_uid = c->uid;
	rec.rss_before = c->rss;
	memcpy(rec.comm, c->comm, sizeof(rec.comm));
	text_format(rec.exe, sizeof(rec.exe), "%s", c->exe ? c->exe : "");
	text_format(rec.unit, sizeof(rec.unit), "%s", c->unit ? c->unit : "");
	text_format(rec.slice, sizeof(rec.slice), "%s", c->slice ? c->slice : "");
	text_format(rec.cgroup, sizeof(rec.cgroup), "%s", c->cgroup ? c->cgroup : "");
	return rec;
}

int manager_write(struct manager *m, struct ledger_record *rec, bool sync)
{
	int r = ledger_append(m->ledger, rec, sync);

	/* Once, not at every record of a full disk. */
	if (r < 0 && !m->record_failed)
		log_error("failed to write to the ledger in %s: %s; nothing is done until that works", m->state_dir,
			  strerror(-r));
	m->record_failed = r < 0;
	(void)journal_record(rec);
	/* Without memory for it a program is missing in the metrics, which is no reason to end. */
	(void)!ledger_totals_add(&m->totals, rec);
	if (m->listener.record)
		m->listener.record(m->listener.arg, rec);
	return r;
}

static void tell_status(struct manager *m)
{
	char text[sizeof(m->status)], freed[16];
	const struct manager_state *s = &m->state;

	text_format(text, sizeof(text), "STATUS=%ju large processes; %ju actions gave back %s%s",
		    (uintmax_t)m->candidates.n, (uintmax_t)s->actions, format_size(s->freed, freed, sizeof(freed)),
		    manager_urgency(m, manager_now()) == URGENCY_PRESSURE ? "; memory is short" : "");
	if (!strcmp(text, m->status))
		return;
	memcpy(m->status, text, sizeof(text));
	(void)sd_notify(0, text);
}

static int format_metrics(const struct manager *m, enum metrics_syntax syntax, char **ret)
{
	struct manager_state state;

	manager_state(m, &state);
	return metrics_format(&state, &m->totals, syntax, ret);
}

int manager_metrics(const struct manager *m, char **ret)
{
	return format_metrics(m, METRICS_OPENMETRICS, ret);
}

static int write_metrics(const struct manager *m)
{
	_cleanup_free_ char *text = NULL;
	int r = format_metrics(m, METRICS_PROMETHEUS, &text);

	return r < 0 ? r : metrics_write(m->settings.metrics_file, text);
}

void manager_tell(struct manager *m)
{
	int r = m->settings.metrics_file ? write_metrics(m) : 0;

	if (r < 0 && !m->metrics_failed)
		log_error("failed to write %s: %s; trying again every time", m->settings.metrics_file, strerror(-r));
	m->metrics_failed = r < 0;
	tell_status(m);
}
