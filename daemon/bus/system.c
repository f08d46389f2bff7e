/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system bus: our name there, and the way to polkit. It may come later
 * than we, go, and come again; nothing waits for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "bus/request.h"
#include "reclaim/bus.h"

#define AGAIN_US 1000000ull /* the first time; then twice as long each time */
#define AGAIN_MAX_US 64000000ull
#define SLACK_US 500000ull

const char *bus_system_address(void)
{
	const char *address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");

	return address && *address ? address : "unix:path=/run/dbus/system_bus_socket";
}

static void disconnect(struct bus *b)
{
	b->system_ready = false;
	if (!b->system.conn)
		return;
	request_leave_all(b, &b->system);
	sd_bus_close(b->system.conn);
	b->system.conn = sd_bus_unref(b->system.conn);
}

static void connect_later(struct bus *b);

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;

	(void)m;
	(void)error;
	disconnect(b);
	connect_later(b);
	return 0;
}

static int on_connected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;

	(void)m;
	(void)error;
	b->system_ready = true;
	b->system_again_us = AGAIN_US;
	return 0;
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);

	(void)userdata;
	(void)error;
	if (e)
		fprintf(stderr,
			SD_WARNING "the system bus doesn't give us the name " BUS_NAME ": %s; is %s installed?\n",
			e->message ? e->message : e->name, BUS_NAME ".conf");
	return 1;
}

static int match_local(struct bus *b, const char *member, sd_bus_message_handler_t fn)
{
	return sd_bus_match_signal(b->system.conn, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
				   "org.freedesktop.DBus.Local", member, fn, b);
}

static int start(struct bus *b)
{
	sd_bus *conn;
	int r = sd_bus_new(&b->system.conn);

	if (r < 0)
		return r;
	conn = b->system.conn;
	r = sd_bus_set_address(conn, b->system_address);
	if (r >= 0)
		r = sd_bus_set_bus_client(conn, 1);
	if (r >= 0)
		r = sd_bus_negotiate_fds(conn, 0);
	if (r >= 0)
		r = sd_bus_set_watch_bind(conn, 1);
	if (r >= 0)
		r = sd_bus_set_connected_signal(conn, 1);
	if (r >= 0)
		r = object_add(&b->system);
	if (r >= 0)
		r = match_local(b, "Connected", on_connected);
	if (r >= 0)
		r = match_local(b, "Disconnected", on_disconnected);
	if (r >= 0)
		r = sd_bus_start(conn);
	if (r >= 0)
		r = sd_bus_attach_event(conn, b->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_request_name_async(conn, NULL, BUS_NAME, 0, on_name, b);
	return MIN(r, 0);
}

static void connect_now(struct bus *b)
{
	if (start(b) >= 0)
		return;
	disconnect(b);
	connect_later(b);
}

static int on_again(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s;
	(void)usec;
	connect_now(userdata);
	return 0;
}

static void connect_later(struct bus *b)
{
	(void)sd_event_source_set_time_relative(b->system_again, b->system_again_us);
	(void)sd_event_source_set_enabled(b->system_again, SD_EVENT_ONESHOT);
	b->system_again_us = MIN(b->system_again_us * 2, AGAIN_MAX_US);
}

int system_open(struct bus *b, const char *address)
{
	int r;

	b->system.bus = b;
	b->system_again_us = AGAIN_US;
	b->system_address = strdup(address);
	if (!b->system_address)
		return -ENOMEM;
	r = sd_event_add_time_relative(b->event, &b->system_again, CLOCK_MONOTONIC, AGAIN_US, SLACK_US, on_again, b);
	if (r >= 0)
		r = sd_event_source_set_enabled(b->system_again, SD_EVENT_OFF);
	if (r < 0)
		return r;
	connect_now(b);
	return 0;
}

void system_close(struct bus *b)
{
	disconnect(b);
	b->system_again = sd_event_source_disable_unref(b->system_again);
	free(b->system_address);
	b->system_address = NULL;
}
