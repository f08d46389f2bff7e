/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger by the daemon, for who may not read it. */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "bus/shape.h"
#include "ctl/bus-call.h"
#include "reclaim/bus.h"

#define LAST_MAX 4096u /* as many as the daemon gives to anybody */

static const char *kind_name(uint32_t kind)
{
	return ledger_kind_name((enum ledger_kind)kind);
}

/* As all texts travel: in units' names there are backslashes. */
static int append_text(sd_bus_message *m, const char *key, const char *text)
{
	char shown[LEDGER_NAME * 4];

	return text ? sd_bus_message_append(m, "{sv}", key, "s", escape_text(text, shown, sizeof(shown))) : 0;
}

static int append_filter(sd_bus_message *m, const struct ledger_filter *f)
{
	const uint32_t last = f->last && f->last < LAST_MAX ? (uint32_t)f->last : LAST_MAX;
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", "last", "u", last);
	if (r >= 0 && f->pid)
		r = sd_bus_message_append(m, "{sv}", "pid", "i", f->pid);
	if (r >= 0)
		r = append_text(m, "unit", f->unit);
	if (r >= 0)
		r = append_text(m, "exe", f->exe);
	if (r >= 0 && f->since_real_us)
		r = sd_bus_message_append(m, "{sv}", "since_real_us", "t", f->since_real_us);
	if (r >= 0 && f->kinds)
		r = bus_append_bits(m, "kinds", f->kinds & ~1u, LEDGER_KINDS, kind_name);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* 0, or -errno of the message; @ret_fn as below. */
static int read_records(sd_bus_message *m, ledger_fn fn, void *arg, int *ret_fn)
{
	int r = sd_bus_message_enter_container(m, 'a', "a{sv}");

	while (r > 0 && (r = sd_bus_message_at_end(m, 0)) == 0) {
		struct ledger_record rec = { .seq = 0 };

		r = shape_read(m, &shape_record, &rec);
		if (r < 0)
			return r;
		/* A kind that only a later daemon knows has no name here. */
		*ret_fn = rec.kind ? fn(arg, &rec) : 0;
		if (*ret_fn)
			return 0;
		r = 1;
	}
	return MIN(r, 0);
}

int bus_client_history(struct bus_client *c, const struct ledger_filter *f, ledger_fn fn, void *arg, int *ret_fn)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	int r = bus_client_new(c, BUS_INTERFACE, "History", &m), status;

	*ret_fn = 0;
	if (r >= 0)
		r = append_filter(m, f);
	if (r < 0)
		return bus_failure(c, NULL, r);
	status = bus_client_send(c, m, &reply);
	if (status != CTL_DONE)
		return status;
	r = read_records(reply, fn, arg, ret_fn);
	return r < 0 ? bus_failure(c, NULL, r) : CTL_DONE;
}
