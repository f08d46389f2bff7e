/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's doors: D-Bus on a socket of its own, and on the system bus when
 * there is one. What is said there is in Documentation/dbus/. Translates
 * between messages and core/manager.h; who may do what stands in access.c.
 */
#ifndef RECLAIM_BUS_BUS_H
#define RECLAIM_BUS_BUS_H

#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct bus;
struct manager;

struct bus_places {
	const char *socket; /* path of the private one, made anew, for everybody; NULL: none */
	const char *system; /* address of the system bus, awaited when it isn't there yet; NULL: none */
};

/* /run/dbus/system_bus_socket, or what DBUS_SYSTEM_BUS_ADDRESS says. */
const char *bus_system_address(void);

/*
 * Becomes the manager's listener. 0 or -errno; a system bus that can't be reached, or that doesn't give us our
 * name, is told on stderr and no failure. @event and @m must live longer.
 */
int bus_open(sd_event *event, struct manager *m, const struct bus_places *places, struct bus **ret) __must_check;

/* Drops who is connected; manager_forget()s what they have asked for. Accepts NULL and closed ones. */
void bus_close(struct bus **b);

#endif
