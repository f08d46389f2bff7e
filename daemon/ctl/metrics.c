// SPDX-License-Identifier: GPL-2.0-or-later
/* "metrics": the daemon's state and totals as OpenMetrics text. */
#include <errno.h>

#include "ctl/bus-client.h"
#include "ctl/ctl.h"
#include "ctl/json.h"
#include "reclaim/bus.h"

static int show(struct ctl *ctl, const char *text)
{
	struct json j;

	if (!ctl->json)
		return fputs(text, stdout) < 0 || fflush(stdout) ? -errno : 0;
	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_text(&j, "metrics", text);
	json_close(&j);
	return json_finish(&j);
}

static int run_metrics(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	_cleanup_(bus_client_close) struct bus_client c = { .bus = NULL };
	const char *text;
	int status = bus_client_open(&c);

	(void)opts;
	(void)args;
	(void)nargs;
	if (status == CTL_DONE)
		status = bus_client_call(&c, BUS_INTERFACE, "Metrics", &m, "");
	if (status != CTL_DONE)
		return ctl_fail(ctl, status, "metrics: %s", c.why);
	if (sd_bus_message_read(m, "s", &text) <= 0)
		return ctl_fail(ctl, CTL_FAILED, "metrics: reclaimd's answer isn't understood");
	return ctl_output_done(CTL_DONE, show(ctl, text));
}

const struct verb verb_metrics = {
	.name = "metrics",
	.args = "",
	.help = "Show the daemon's state and totals as OpenMetrics text",
	.details = "Totals are since its start. For root, and whom polkit lets see others' processes, since\n"
		   "programs are named. MetricsFile= in reclaimd.conf has the daemon write the same for a node\n"
		   "exporter.\n",
	.run = run_metrics,
};
