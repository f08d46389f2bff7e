// SPDX-License-Identifier: GPL-2.0-or-later
/* "history": what the daemon has seen, decided and done, from its ledger. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "ctl/bus-client.h"
#include "ctl/history.h"

#define TABLE_LINES 1000 /* unless told otherwise: a table is kept in memory until it is printed */

struct history_opts {
	uint64_t since_us; /* CLOCK_REALTIME; 0: not given */
	uint32_t kinds;
	struct opt_number lines;
	bool totals;
};

static int option_since(const struct option_spec *o, const char *value, void *field)
{
	struct timespec now;

	(void)o;
	clock_gettime(CLOCK_REALTIME, &now);
	return history_since(value, (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000, field);
}

static int option_kinds(const struct option_spec *o, const char *value, void *field)
{
	(void)o;
	return history_kinds(value, field);
}

static int option_lines(const struct option_spec *o, const char *value, void *field)
{
	uint64_t v = 0;
	int r = parse_u64(value, 10, &v);

	(void)o;
	if (r < 0)
		return r;
	*(struct opt_number *)field = (struct opt_number){ .given = true, .value = v };
	return 0;
}

static const struct option_spec history_options[] = {
	{ "since", 0, "TIME", "Only from then on: 2h (ago), today, yesterday, 2026-11-27, '2026-11-27 03:15', @SECONDS",
	  option_since, offsetof(struct history_opts, since_us), "2h, today, a date and time, or @SECONDS", NULL },
	{ "kind", 0, "LIST", "Only such records: see below", option_kinds, offsetof(struct history_opts, kinds),
	  "a list of start, stop, leave, look, would, begin, action, check, reload, pressure", NULL },
	{ "lines", 'n', "N", "Only the newest N; 0: all (a table has 1000 otherwise, JSON all)", option_lines,
	  offsetof(struct history_opts, lines), "a number", NULL },
	{ "totals", 0, NULL, "What it adds up to, program by program", option_flag,
	  offsetof(struct history_opts, totals), NULL, NULL },
};

static const char *folder(void)
{
	const char *own = secure_getenv("RECLAIM_STATE_DIR");

	return own && *own ? own : HISTORY_FOLDER;
}

static int fail_read(struct ctl *ctl, int r)
{
	if (r == -ENOENT)
		return ctl_fail(ctl, CTL_FAILED, "history: there is no %s: reclaimd hasn't run here", folder());
	if (r == -EACCES || r == -EPERM)
		return ctl_fail(ctl, CTL_DENIED, "history: %s may not be read: be root", folder());
	return ctl_fail(ctl, CTL_FAILED, "history: failed to read %s: %s", folder(), strerror(-r));
}

static void tell_damaged(uint64_t n)
{
	if (n)
		ctl_diag("history: %" PRIu64 " damaged record%s in %s passed over", n, n == 1 ? "" : "s", folder());
}

static int add_total(void *arg, const struct ledger_record *rec)
{
	return ledger_totals_add(arg, rec);
}

/* Who may not read it asks the daemon, which shows them their own processes. An enum ctl_status. */
static int read_ledger(struct ctl *ctl, const struct ledger_filter *f, ledger_fn fn, void *arg)
{
	struct bus_client c = { .bus = NULL };
	uint64_t damaged = 0;
	int r = ledger_read(folder(), f, fn, arg, &damaged), status;

	tell_damaged(r < 0 ? 0 : damaged);
	if (r != -EACCES && r != -EPERM)
		return r < 0 ? fail_read(ctl, r) : CTL_DONE;
	if (bus_client_open(&c) != CTL_DONE)
		return fail_read(ctl, r);
	status = bus_client_history(&c, f, fn, arg, &r);
	bus_client_close(&c);
	if (status != CTL_DONE)
		return ctl_fail(ctl, status, "history: %s may not be read, and %s", folder(), c.why);
	return r < 0 ? fail_read(ctl, r) : CTL_DONE;
}

static int show_totals(struct ctl *ctl, const struct ledger_filter *f)
{
	_cleanup_(ledger_totals_done) struct ledger_totals t = { 0 };
	int status = read_ledger(ctl, f, add_total, &t);

	return status != CTL_DONE ? status : ctl_output_done(CTL_DONE, history_totals_show(ctl, &t));
}

static int show_list(struct ctl *ctl, const struct ledger_filter *f)
{
	_cleanup_(history_list_free) struct history_list *l = NULL;
	int r = history_list_new(ctl, &l), status;

	if (r < 0)
		return fail_read(ctl, r);
	status = read_ledger(ctl, f, history_list_add, l);
	return status != CTL_DONE ? status : ctl_output_done(CTL_DONE, history_list_end(l));
}

static int run_history(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	const struct history_opts *o = opts;
	struct ledger_filter f = { .uid = (uid_t)-1, .since_real_us = o->since_us, .kinds = o->kinds };
	char unit[LEDGER_NAME] = "", shown[160];

	if (nargs && history_subject(args[0], &f.pid, unit) < 0)
		return ctl_fail(ctl, CTL_USAGE, "history: '%s' is neither a process id nor a unit's name",
				escape_text(args[0], shown, sizeof(shown)));
	f.unit = *unit ? unit : NULL;
	f.last = o->lines.given ? o->lines.value : ctl->json || o->totals ? 0 : TABLE_LINES;
	return o->totals ? show_totals(ctl, &f) : show_list(ctl, &f);
}

static void history_more_help(FILE *f)
{
	fputs("\nKinds of records:\n"
	      "  start, stop, reload   of the daemon, of its configuration\n"
	      "  pressure              programs wait for memory\n"
	      "  leave                 why a large process is left alone, when that has changed\n"
	      "  look                  its allocator was read: PREDICTED would come back\n"
	      "  would                 an action that Mode= forbids\n"
	      "  begin, action         an action begins; what came of it\n"
	      "  check                 10 s, 1 min, 10 min later: FREED of PREDICTED is still gone\n",
	      f);
}

const struct verb verb_history = {
	.name = "history",
	.args = "[PID|UNIT]",
	.help = "Show what the daemon has seen, decided and done",
	.details = "Of all processes, or those that had the number PID or ran in the systemd unit UNIT\n"
		   "(NAME is short for NAME.service). Reads what reclaimd keeps in " HISTORY_FOLDER ", or in the\n"
		   "folder that RECLAIM_STATE_DIR names, whether it runs or not.\n",
	.max_args = 1,
	.options = history_options,
	.noptions = ARRAY_SIZE(history_options),
	.opts_size = sizeof(struct history_opts),
	.run = run_history,
	.more_help = history_more_help,
};
