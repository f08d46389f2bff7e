/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager's announcements, to those who may hear them. */
#include <errno.h>

#include "bus/request.h"
#include "bus/shape.h"
#include "reclaim/bus.h"

#define UNREAD_MAX 64 /* messages that wait for somebody who doesn't read: then signals are left out */

static int send_signal(sd_bus *conn, const char *member, const struct shape *s, const void *from)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	uint64_t unread = 0;
	int r = sd_bus_get_n_queued_write(conn, &unread);

	if (r < 0 || unread >= UNREAD_MAX)
		return r < 0 ? r : -ENOBUFS;
	r = sd_bus_message_new_signal(conn, &m, BUS_PATH, BUS_INTERFACE, member);
	if (r >= 0)
		r = shape_write(m, s, from);
	return r < 0 ? r : sd_bus_send(conn, m, NULL);
}

/*
 * On the system bus a signal goes to all who listen, so there org.reclaim1.conf lets only root listen. Who misses
 * one has only themselves to blame: nothing is done about it.
 */
static void announce(struct bus *b, const char *member, const struct shape *s, const void *from, uid_t owner)
{
	for (struct peer *p = b->peers; p; p = p->next)
		if (access_decide(ACCESS_HEAR, p->uid, p->uid == owner) == ACCESS_YES)
			(void)send_signal(p->conn, member, s, from);
	if (b->system_ready)
		(void)send_signal(b->system.conn, member, s, from);
}

static void on_bloated(void *arg, const struct manager_process *p)
{
	announce(arg, "ProcessBloated", &shape_process, p, p->uid);
}

static void on_record(void *arg, const struct ledger_record *rec)
{
	/* What is about no process is root's to hear. */
	const uid_t owner = rec->pid ? rec->uid : 0;

	announce(arg, "Recorded", &shape_record, rec, owner);
	if (rec->kind == LEDGER_ACTION)
		announce(arg, "Reclaimed", &shape_record, rec, owner);
}

void signal_listen(struct bus *b)
{
	const struct manager_listener l = { .bloated = on_bloated, .record = on_record, .arg = b };

	manager_listen(b->manager, &l);
}
