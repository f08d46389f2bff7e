/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/manager.h"

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "base/text.h"
#include "core/log.h"
#include "core/manager-private.h"

#ifndef RECLAIM_VERSION
#define RECLAIM_VERSION "0"
#endif

/* Where control groups are: version 2 alone, beside version 1, or systemd's own hierarchy of version 1. */
static int open_cgroups(void)
{
	static const char *const places[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup" };
	int fd = -1;

	for (size_t i = 0; i < ARRAY_SIZE(places) && fd < 0; i++)
		fd = open(places[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd;
}

static int read_boot_id(int proc, char ret[33])
{
	char text[64];
	size_t n = 0;
	ssize_t r = procfs_read(proc, "sys/kernel/random/boot_id", text, sizeof(text));

	if (r < 0)
		return (int)r;
	for (const char *c = text; *c && n < 32; c++)
		if (strchr("0123456789abcdef", *c))
			ret[n++] = *c;
	ret[n] = 0;
	return n == 32 ? 0 : -EBADMSG;
}

static int open_places(struct manager *m, const char *proc, char *why, size_t size)
{
	int r = m->proc = procfs_open_root(proc ? proc : "/proc");

	if (r >= 0 && !proc)
		r = procfs_check(m->proc);
	if (r >= 0)
		r = read_boot_id(m->proc, m->boot_id);
	if (r < 0) {
		text_format(why, size, "/proc can't be read: %s", strerror(-r));
		return r;
	}
	m->cgroups = open_cgroups();
	r = worker_client_path(m->worker_path, sizeof(m->worker_path));
	if (r < 0)
		text_format(why, size, "the worker can't be found: %s", strerror(-r));
	return r;
}

static int open_ledger(struct manager *m, char *why, size_t size)
{
	int r = ledger_open(m->state_dir, m->settings.history_max, &m->ledger);

	if (r == -EBUSY)
		text_format(why, size, "another reclaimd uses %s", m->state_dir);
	else if (r < 0)
		text_format(why, size, "the ledger in %s can't be opened: %s", m->state_dir, strerror(-r));
	if (r < 0)
		return r;
	r = manager_remember(m);
	/* What has been done is what keeps us from doing it again. */
	if (r < 0)
		text_format(why, size, "the ledger in %s can't be read: %s", m->state_dir, strerror(-r));
	return r;
}

static void write_start_or_stop(struct manager *m, enum ledger_kind kind)
{
	struct ledger_record rec = manager_record(m, kind, NULL);

	text_format(rec.words, sizeof(rec.words), "reclaimd %s, mode %s", RECLAIM_VERSION, m->state.mode);
	(void)manager_write(m, &rec, false);
}

static int open_parts(struct manager *m, const struct manager_options *o, char *why, size_t size)
{
	const long ncpus = sysconf(_SC_NPROCESSORS_ONLN);
	int r;

	m->conf_dirs = o->conf_dirs;
	m->state_dir = strdup(o->state_dir);
	m->ncpus = ncpus > 0 ? (unsigned int)ncpus : 1;
	m->tasks = (struct tasks){ .event = m->event, .path = m->worker_path };
	m->state.source = "none";
	m->state.started_real_us = clock_us(CLOCK_REALTIME);
	r = m->state_dir ? memory_open(&m->memory) : -ENOMEM;
	if (r == 0)
		r = checks_open(&m->checks);
	if (r < 0)
		return r;
	r = open_places(m, o->proc, why, size);
	if (r >= 0)
		r = manager_load(m, &m->settings, why, size);
	if (r == -EINVAL)
		return -MANAGER_MISCONFIGURED;
	if (r >= 0)
		r = open_ledger(m, why, size);
	if (r < 0)
		return r;
	manager_apply(m);
	return 0;
}

int manager_open(sd_event *event, const struct manager_options *o, struct manager **ret, char *why, size_t why_size)
{
	_cleanup_(manager_close) struct manager *m = calloc(1, sizeof(*m));
	int r;

	text_format(why, why_size, "out of memory");
	if (!m)
		return -ENOMEM;
	m->event = sd_event_ref(event);
	m->proc = m->cgroups = -1;
	m->psi = (struct psi)PSI_CLOSED;
	r = open_parts(m, o, why, why_size);
	if (r < 0)
		return r;
	r = manager_sweep_start(m);
	if (r == 0)
		r = manager_check_start(m);
	if (r < 0) {
		text_format(why, why_size, "the event loop can't be filled: %s", strerror(-r));
		return r;
	}
	write_start_or_stop(m, LEDGER_START);
	*ret = TAKE_PTR(m);
	return 0;
}

void manager_close(struct manager **mp)
{
	struct manager *m = *mp;

	*mp = NULL;
	if (!m)
		return;
	m->stopping = true;
	tasks_stop(&m->tasks);
	psi_close(&m->psi);
	senses_close(&m->senses);
	sd_event_source_disable_unref(m->sweep_timer);
	sd_event_source_disable_unref(m->check_timer);
	if (m->ledger && m->sweep_timer)
		write_start_or_stop(m, LEDGER_STOP);
	ledger_close(&m->ledger);
	candidates_done(&m->candidates);
	tracers_done(&m->tracers);
	memory_close(&m->memory);
	checks_close(&m->checks);
	ledger_totals_done(&m->totals);
	settings_done(&m->settings);
	closep(&m->proc);
	closep(&m->cgroups);
	sd_event_unref(m->event);
	free(m->state_dir);
	free(m);
}

void manager_listen(struct manager *m, const struct manager_listener *l)
{
	m->listener = *l;
}

const char *manager_state_dir(const struct manager *m)
{
	return m->state_dir;
}

void manager_state(const struct manager *m, struct manager_state *ret)
{
	*ret = m->state;
	ret->pressure = manager_urgency(m, manager_now()) == URGENCY_PRESSURE;
	ret->running = (uint32_t)m->tasks.n;
}

void manager_describe(const struct manager *m, const struct candidate *c, struct manager_process *ret)
{
	const struct track *t = memory_of_process(&m->memory, c->pid, c->start_time);

	*ret = (struct manager_process){
		.pid = c->pid,
		.start_time = c->start_time,
		.uid = c->owner,
		.comm = c->comm,
		.exe = c->exe ? c->exe : "",
		.unit = c->unit ? c->unit : "",
		.allocator = c->allocator,
		.runtime = c->runtime,
		.rss = c->rss,
		.anon = c->anon,
		.swap = c->swap,
		.idle = c->idle,
		.predicted = c->promised,
		.last_freed = t->freed,
		.last_action_us = t->acted_us,
		.not_before_us = MAX(t->not_before_us, c->decision.not_before_us),
		.quiet_us = activity_quiet_us(&c->activity, manager_awake_us()),
		.actions = t->actions,
		.verdict = policy_verdict_name(c->decision.verdict),
		.reason = policy_reason_name(c->decision.reason),
		.words = c->decision.words,
	};
}

int manager_processes(const struct manager *m, uid_t uid, manager_process_fn fn, void *arg)
{
	for (size_t i = 0; i < m->candidates.n; i++) {
		const struct candidate *c = m->candidates.v[i];
		struct manager_process p;
		int r;

		/* Nobody has looked at it yet. */
		if (!c->judged_us || (uid != (uid_t)-1 && c->owner != uid))
			continue;
		manager_describe(m, c, &p);
		r = fn(arg, &p);
		if (r)
			return r;
	}
	return 0;
}
