/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /org/reclaim1 as sd-bus shows it. Documentation/dbus/org.reclaim1.xml is the same as text; a test compares. */
#include <errno.h>
#include <string.h>

#include "bus/request.h"
#include "reclaim/bus.h"

#ifndef RECLAIM_VERSION
#define RECLAIM_VERSION "0"
#endif

static const struct {
	const char *name;
	char type;
	size_t offset; /* in struct manager_state */
} properties[] = {
	{ "Mode", 's', offsetof(struct manager_state, mode) },
	{ "Source", 's', offsetof(struct manager_state, source) },
	{ "Pressure", 'b', offsetof(struct manager_state, pressure) },
	{ "StartedUSec", 't', offsetof(struct manager_state, started_real_us) },
	{ "IntervalUSec", 't', offsetof(struct manager_state, interval_us) },
	{ "LastSweepUSec", 't', offsetof(struct manager_state, last_sweep_us) },
	{ "Sweeps", 't', offsetof(struct manager_state, sweeps) },
	{ "Processes", 't', offsetof(struct manager_state, processes) },
	{ "Candidates", 't', offsetof(struct manager_state, candidates) },
	{ "Looks", 't', offsetof(struct manager_state, looks) },
	{ "Actions", 't', offsetof(struct manager_state, actions) },
	{ "Refused", 't', offsetof(struct manager_state, refused) },
	{ "Failed", 't', offsetof(struct manager_state, failed) },
	{ "Would", 't', offsetof(struct manager_state, would) },
	{ "FreedBytes", 't', offsetof(struct manager_state, freed) },
	{ "SwappedBytes", 't', offsetof(struct manager_state, swapped) },
	{ "PredictedBytes", 't', offsetof(struct manager_state, predicted) },
	{ "StoppedUSec", 't', offsetof(struct manager_state, stopped_us) },
	{ "Running", 'u', offsetof(struct manager_state, running) },
	{ "LoadedUSec", 't', offsetof(struct manager_state, settings_loaded_real_us) },
	{ "Reloads", 't', offsetof(struct manager_state, reloads) },
	{ "ReloadFailures", 't', offsetof(struct manager_state, reload_failures) },
};

static int append(sd_bus_message *m, char type, const void *at)
{
	switch (type) {
	case 's':
		return sd_bus_message_append_basic(m, 's', *(const char *const *)at);
	case 'b':
		return sd_bus_message_append(m, "b", *(const bool *)at);
	default:
		return sd_bus_message_append_basic(m, type, at);
	}
}

static int get_state(sd_bus *conn, const char *path, const char *interface, const char *property, sd_bus_message *m,
		     void *userdata, sd_bus_error *error)
{
	const struct peer *p = userdata;
	struct manager_state s = { 0 };

	(void)conn;
	(void)path;
	(void)interface;
	(void)error;
	manager_state(p->bus->manager, &s);
	for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
		if (!strcmp(properties[i].name, property))
			return append(m, properties[i].type, (const char *)&s + properties[i].offset);
	return -ENOENT;
}

static int get_version(sd_bus *conn, const char *path, const char *interface, const char *property, sd_bus_message *m,
		       void *userdata, sd_bus_error *error)
{
	(void)conn;
	(void)path;
	(void)interface;
	(void)property;
	(void)userdata;
	(void)error;
	return sd_bus_message_append(m, "s", RECLAIM_VERSION);
}

static int get_configuration(sd_bus *conn, const char *path, const char *interface, const char *property,
			     sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const struct peer *p = userdata;
	_cleanup_free_ char *text = NULL;
	int r = manager_config(p->bus->manager, &text);

	(void)conn;
	(void)path;
	(void)interface;
	(void)property;
	(void)error;
	return r < 0 ? r : sd_bus_message_append(m, "s", text);
}

#define FREE SD_BUS_VTABLE_UNPRIVILEGED /* who may is said in access.c */
#define STATE(name, type) SD_BUS_PROPERTY(name, type, get_state, 0, 0)

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("ListProcesses", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", processes),
				request_begin, FREE),
	SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("i", pid, "a{sv}", options), SD_BUS_RESULT("a{sv}", facts),
				request_begin, FREE),
	SD_BUS_METHOD_WITH_ARGS("Trim", SD_BUS_ARGS("i", pid, "a{sv}", options), SD_BUS_RESULT("a{sv}", result),
				request_begin, FREE),
	SD_BUS_METHOD_WITH_ARGS("History", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", records),
				request_begin, FREE),
	SD_BUS_METHOD_WITH_ARGS("Metrics", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", metrics), request_begin, FREE),
	SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, request_begin, FREE),
	SD_BUS_SIGNAL_WITH_ARGS("ProcessBloated", SD_BUS_ARGS("a{sv}", process), 0),
	SD_BUS_SIGNAL_WITH_ARGS("Reclaimed", SD_BUS_ARGS("a{sv}", record), 0),
	SD_BUS_SIGNAL_WITH_ARGS("Recorded", SD_BUS_ARGS("a{sv}", record), 0),
	SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	STATE("Mode", "s"),
	STATE("Source", "s"),
	STATE("Pressure", "b"),
	STATE("StartedUSec", "t"),
	STATE("IntervalUSec", "t"),
	STATE("LastSweepUSec", "t"),
	STATE("Sweeps", "t"),
	STATE("Processes", "t"),
	STATE("Candidates", "t"),
	STATE("Looks", "t"),
	STATE("Actions", "t"),
	STATE("Refused", "t"),
	STATE("Failed", "t"),
	STATE("Would", "t"),
	STATE("FreedBytes", "t"),
	STATE("SwappedBytes", "t"),
	STATE("PredictedBytes", "t"),
	STATE("StoppedUSec", "t"),
	STATE("Running", "u"),
	STATE("LoadedUSec", "t"),
	STATE("Reloads", "t"),
	STATE("ReloadFailures", "t"),
	/* Long, so not among those that GetAll gives. */
	SD_BUS_PROPERTY("Configuration", "s", get_configuration, 0, SD_BUS_VTABLE_PROPERTY_EXPLICIT),
	SD_BUS_VTABLE_END,
};

int object_add(struct peer *p)
{
	return sd_bus_add_object_vtable(p->conn, NULL, BUS_PATH, BUS_INTERFACE, vtable, p);
}
