// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/record.h"

#include "bus/shape.h"

#define AGAIN_US 10000000ull

static int on_record(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct record_daemon *d = userdata;
	struct ledger_record rec = { .seq = 0 };

	(void)error;
	/* A kind that only a later daemon knows has no name here. */
	if (shape_read(m, &shape_record, &rec) >= 0 && rec.kind)
		(void)d->fn(d->arg, &rec);
	return 0;
}

static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct record_daemon *d = userdata;

	(void)m;
	(void)error;
	d->gone = true;
	return 0;
}

/* Nobody there is how it mostly is, and nothing to tell. */
static void connect_to(struct record_daemon *d, uint64_t now_us)
{
	d->gone = false;
	d->try_at_us = now_us + AGAIN_US;
	if (bus_client_open(&d->c) != CTL_DONE || bus_client_listen(&d->c, on_record, on_gone, d) < 0)
		bus_client_close(&d->c);
}

void record_daemon_work(struct record_daemon *d, uint64_t now_us)
{
	int r = 1;

	if (!d->c.bus && now_us >= d->try_at_us)
		connect_to(d, now_us);
	while (d->c.bus && r > 0)
		r = sd_bus_process(d->c.bus, NULL);
	if (d->gone || r < 0)
		bus_client_close(&d->c);
}

int record_daemon_fd(const struct record_daemon *d)
{
	return d->c.bus ? sd_bus_get_fd(d->c.bus) : -1;
}
