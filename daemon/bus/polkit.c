/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks polkit, by the system bus, whether somebody may do something to other people's processes. */
#include <errno.h>
#include <string.h>

#include "bus/request.h"
#include "reclaim/bus.h"

#define PLAIN_TIMEOUT_US 5000000ull
#define DIALOG_TIMEOUT_US 60000000ull /* somebody may have to type a password */
#define ALLOW_USER_INTERACTION 1u

/* Who asks, as polkit wants it. The uid belongs to it, lest the process become another user's meanwhile. */
static int append_subject(const struct request *q, sd_bus_message *m)
{
	const struct peer *p = q->peer;

	if (!p->known)
		return sd_bus_message_append(m, "(sa{sv})", "system-bus-name", 1, "name", "s",
					     sd_bus_message_get_sender(q->call));
	if (!p->start_time)
		return -ESRCH;
	return sd_bus_message_append(m, "(sa{sv})", "unix-process", 3, "pid", "u", (uint32_t)p->pid, "start-time", "t",
				     p->start_time, "uid", "i", (int32_t)p->uid);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct request *q = userdata;
	int yes = 0, challenge = 0, r;

	(void)error;
	q->asking = sd_bus_slot_unref(q->asking);
	if (sd_bus_message_is_method_error(m, NULL)) {
		request_error(q, BUS_E_DENIED, "it is another user's: only root may, and polkit doesn't answer");
		return 1;
	}
	r = sd_bus_message_enter_container(m, 'r', "bba{ss}");
	if (r > 0)
		r = sd_bus_message_read(m, "bb", &yes, &challenge);
	if (r < 0)
		request_error(q, BUS_E_DENIED, "it is another user's, and polkit's answer isn't understood");
	else if (yes)
		request_allow(q);
	else
		request_error(q, BUS_E_DENIED, "it is another user's, and polkit doesn't allow %s%s", ACCESS_ACTION,
			      challenge ? " without authentication" : "");
	return 1;
}

int polkit_ask(struct request *q)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	const bool dialog = sd_bus_message_get_allow_interactive_authorization(q->call) > 0;
	struct bus *b = q->bus;
	int r;

	if (!b->system_ready)
		return -ENOTCONN;
	r = sd_bus_message_new_method_call(b->system.conn, &m, "org.freedesktop.PolicyKit1",
					   "/org/freedesktop/PolicyKit1/Authority",
					   "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
	if (r >= 0)
		r = append_subject(q, m);
	if (r >= 0)
		r = sd_bus_message_append(m, "sa{ss}us", ACCESS_ACTION, 0, dialog ? ALLOW_USER_INTERACTION : 0u, "");
	if (r >= 0)
		r = sd_bus_call_async(b->system.conn, &q->asking, m, on_answer, q,
				      dialog ? DIALOG_TIMEOUT_US : PLAIN_TIMEOUT_US);
	return MIN(r, 0);
}
