/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "watch": what the daemon sees, decides and does, as it happens. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "bus/shape.h"
#include "ctl/bus-client.h"
#include "ctl/history.h"
#include "ctl/json.h"
#include "reclaim/bus.h"

struct watch {
	struct ctl *ctl;
	bool gone; /* the daemon */
	int error; /* of writing, -errno */
};

static int line_done(void)
{
	errno = 0;
	if (fflush(stdout) || ferror(stdout))
		return errno > 0 ? -errno : -EIO;
	return 0;
}

static int show_text(const struct ledger_record *rec)
{
	const time_t t = (time_t)(rec->real_us / 1000000);
	char sentence[LEDGER_SENTENCE], when[32] = "-";
	struct tm tm;

	if (localtime_r(&t, &tm) && tm.tm_year <= 8099)
		(void)strftime(when, sizeof(when), "%T", &tm);
	printf("%s %-8s %s\n", when, ledger_kind_name(rec->kind), ledger_sentence(rec, sentence, sizeof(sentence)));
	return line_done();
}

static int show_json(struct ctl *ctl, const struct ledger_record *rec)
{
	struct json j;

	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	history_members(&j, rec);
	json_close(&j);
	return json_finish(&j);
}

/* All that happens comes as a record; the other signals say the same to programs. */
static int on_record(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct ledger_record rec = { .seq = 0 };
	struct watch *w = userdata;

	(void)error;
	/* A kind that only a later daemon knows has no name here. */
	if (shape_read(m, &shape_record, &rec) < 0 || !rec.kind)
		return 0;
	w->error = w->ctl->json ? show_json(w->ctl, &rec) : show_text(&rec);
	return 0;
}

static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct watch *w = userdata;

	(void)m;
	(void)error;
	w->gone = true;
	return 0;
}

static int watch(struct bus_client *c, struct watch *w)
{
	int r = 0;

	while (r >= 0 && !w->gone && !w->error) {
		r = sd_bus_process(c->bus, NULL);
		if (r == 0)
			r = sd_bus_wait(c->bus, UINT64_MAX);
		if (r == -EINTR)
			r = 0;
	}
	return w->gone ? 0 : r;
}

static int run_watch(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct bus_client c = { .bus = NULL };
	struct watch w = { .ctl = ctl };
	int r = 0, status = bus_client_open(&c);

	(void)opts;
	(void)args;
	(void)nargs;
	/* By its answer it is known to be there, and we to it. */
	if (status == CTL_DONE)
		r = bus_client_listen(&c, on_record, on_gone, &w);
	if (status == CTL_DONE && r >= 0)
		status = bus_client_call(&c, "org.freedesktop.DBus.Peer", "Ping", &reply, "");
	if (status == CTL_DONE && r >= 0)
		r = watch(&c, &w);
	bus_client_close(&c);
	if (status != CTL_DONE)
		return ctl_fail(ctl, status, "watch: %s", c.why);
	if (w.error)
		return ctl_output_done(CTL_DONE, w.error);
	return ctl_fail(ctl, CTL_FAILED, "watch: %s", r < 0 ? strerror(-r) : "the daemon has gone");
}

const struct verb verb_watch = {
	.name = "watch",
	.args = "",
	.help = "Show what the daemon sees, decides and does, as it happens",
	.details = "One line for each record of the ledger, with --json one object on each line, until it is\n"
		   "interrupted or the daemon ends (1). Root hears of all processes, others of their own.\n",
	.run = run_watch,
};
