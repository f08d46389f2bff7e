/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration: read whole or not at all, and what follows from it. */
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/text.h"
#include "core/log.h"
#include "core/manager-private.h"

/* What a reading has to say: all of it goes to the log, the first error to whoever asked. */
struct report {
	char *why;
	size_t size;
	bool failed;
};

static void on_report(void *arg, bool error, const char *origin, const char *what)
{
	struct report *rep = arg;
	const char *sep = *origin ? ": " : "";

	if (error)
		log_error("%s%s%s", origin, sep, what);
	else
		log_warning("%s%s%s, ignoring", origin, sep, what);
	if (error && !rep->failed)
		text_format(rep->why, rep->size, "%s%s%s", origin, sep, what);
	rep->failed |= error;
}

static int load(const char *const *conf_dirs, struct settings *ret, char *why, size_t why_size)
{
	struct report rep = { .why = why, .size = why_size };
	int r = settings_read(conf_dirs, on_report, &rep, ret);

	if (r < 0 && !rep.failed)
		text_format(why, why_size, "the configuration can't be read: %s", strerror(-r));
	return r < 0 && rep.failed ? -EINVAL : r;
}

int manager_check_settings(const char *const *conf_dirs, char *why, size_t why_size)
{
	_cleanup_(settings_done) struct settings s = { 0 };
	int r = load(conf_dirs, &s, why, why_size);

	return r == -EINVAL ? -MANAGER_MISCONFIGURED : r;
}

int manager_load(struct manager *m, struct settings *ret, char *why, size_t why_size)
{
	int r = load(m->conf_dirs, ret, why, why_size);

	if (r == 0)
		m->state.settings_loaded_real_us = clock_us(CLOCK_REALTIME);
	return r;
}

uint64_t manager_smallest(const struct manager *m)
{
	uint64_t min = m->settings.defaults.min_anon;

	for (size_t i = 0; i < m->settings.nrules; i++)
		if (m->settings.rules[i].set & SET_MIN_ANON)
			min = MIN(min, m->settings.rules[i].want.min_anon);
	/* Who is just too small is listed too, and told so. */
	return min / 2;
}

static enum source_kind source_wanted(const struct settings *s)
{
	switch (s->source) {
	case POLICY_SOURCE_AUTO:
		return SOURCE_AUTO;
	case POLICY_SOURCE_NETLINK:
		return SOURCE_NETLINK;
	case POLICY_SOURCE_PROCFS:
		return SOURCE_PROCFS;
	}
	return SOURCE_AUTO;
}

static void apply_pressure(struct manager *m)
{
	const struct settings *s = &m->settings;
	int r;

	psi_close(&m->psi);
	if (!s->pressure_stall_us)
		return;
	r = psi_open(&m->psi, m->event, m->proc, s->pressure_stall_us, s->pressure_window_us, manager_pressure, m);
	if (r < 0)
		log_info(
			"no word from the kernel when memory is short (/proc/pressure/memory: %s): going by time alone",
			strerror(-r));
}

void manager_apply(struct manager *m)
{
	static const char *const modes[] = {
		[MODE_OBSERVE] = "observe", [MODE_ADVISE] = "advise", [MODE_ENFORCE] = "enforce"
	};
	const struct senses_listener listener = { manager_bloated, manager_resync, m };

	m->state.mode = modes[m->settings.mode];
	m->state.interval_us = m->settings.interval_us;
	if (!m->senses.event || m->senses.wanted != source_wanted(&m->settings)) {
		senses_close(&m->senses);
		senses_init(&m->senses, m->event, m->proc, source_wanted(&m->settings), &listener);
	}
	ledger_limit(m->ledger, m->settings.history_max);
	apply_pressure(m);
}

/* What was promised under other settings may not be wanted under these. */
static void forget_plans(struct manager *m)
{
	for (size_t i = 0; i < m->candidates.n; i++) {
		m->candidates.v[i]->plan.wanted = false;
		m->candidates.v[i]->wants_look = false;
		m->candidates.v[i]->decision.rule = NULL;
	}
}

static void notify_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%ju", (uintmax_t)clock_us(CLOCK_MONOTONIC));
}

int manager_reload(struct manager *m, char *why, size_t why_size)
{
	struct ledger_record rec = manager_record(m, LEDGER_RELOAD, NULL);
	_cleanup_(settings_done) struct settings new = { 0 };
	int r;

	notify_reloading();
	r = manager_load(m, &new, why, why_size);
	if (r == 0) {
		const struct settings old = m->settings;

		m->settings = new;
		new = old;
		m->state.reloads++;
		manager_apply(m);
		forget_plans(m);
		manager_sweep_soon(m, m->last_sweep_us + m->settings.interval_us);
		text_format(rec.words, sizeof(rec.words), "new settings are in force, mode %s", m->state.mode);
	} else {
		m->state.reload_failures++;
		text_format(rec.words, sizeof(rec.words), "the old settings stay: %s", why);
	}
	text_format(rec.reason, sizeof(rec.reason), r == 0 ? "loaded" : "failed");
	(void)manager_write(m, &rec, false);
	(void)sd_notify(0, "READY=1");
	return r;
}

/* One section's keys as a file has them. */
static void print_keys(FILE *f, const struct settings *s, const struct rule *rule, const char *section)
{
	for (size_t i = 0; settings_key(i); i++) {
		const struct settings_key *key = settings_key(i);
		char value[4096];

		if (rule ? !(key->in_rules || key->rules_only) : key->rules_only || strcmp(key->section, section))
			continue;
		if (settings_format(s, rule, key, value, sizeof(value)) == 0 && (!rule || *value))
			(void)fprintf(f, "%s=%s\n", key->key, value);
	}
}

int manager_config(const struct manager *m, char **ret)
{
	static const char *const sections[] = { "Daemon", "Pressure", "Reclaim" };
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	bool failed;

	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		(void)fprintf(f, "%s[%s]\n", i ? "\n" : "", sections[i]);
		print_keys(f, &m->settings, NULL, sections[i]);
	}
	for (size_t i = 0; i < m->settings.nrules; i++) {
		(void)fprintf(f, "\n[Rule %s]\n", m->settings.rules[i].name);
		print_keys(f, &m->settings, &m->settings.rules[i], "");
	}
	failed = ferror(f);
	if (fclose(f) || failed)
		return -ENOMEM;
	*ret = TAKE_PTR(text);
	return 0;
}
