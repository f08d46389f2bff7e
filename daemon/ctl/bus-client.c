/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/bus-client.h"
#include "ctl/bus-call.h"
#include "reclaim/bus.h"

#define CALL_TIMEOUT_US 70000000ull /* polkit may ask somebody for a password meanwhile */

void bus_client_close(struct bus_client *c)
{
	c->bus = sd_bus_flush_close_unref(c->bus);
}

static int connect_socket(const char *path, int *ret)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

static int open_private(const char *path, sd_bus **ret)
{
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
	_cleanup_close_ int fd = -1;
	int r = connect_socket(path, &fd);

	if (r >= 0)
		r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_fd(bus, fd, fd);
	if (r < 0)
		return r;
	(void)TAKE_FD(fd);
	r = sd_bus_start(bus);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(bus);
	return 0;
}

int bus_client_open(struct bus_client *c)
{
	const char *own = secure_getenv("RECLAIM_BUS");
	const char *path = own && *own ? own : BUS_SOCKET;
	char shown[256];
	int r = open_private(path, &c->bus), second = 0;

	c->destination = NULL;
	if (r >= 0)
		return CTL_DONE;
	if (path != own) {
		second = sd_bus_open_system(&c->bus);
		c->destination = BUS_NAME;
		if (second >= 0)
			return CTL_DONE;
	}
	c->bus = NULL;
	text_format(c->why, sizeof(c->why), "reclaimd isn't running: %s: %s%s%s; start it: systemctl start reclaimd",
		    escape_text(path, shown, sizeof(shown)), strerror(-r), second ? ", the system bus: " : "",
		    second ? strerror(-second) : "");
	return CTL_FAILED;
}

/* What the name of an error means for whoever called; an enum ctl_status. */
static int status_of(const char *name)
{
	static const struct {
		const char *name;
		int status;
	} rows[] = {
		{ BUS_E_ARGUMENT, CTL_USAGE },
		{ BUS_E_DENIED, CTL_DENIED },
		{ SD_BUS_ERROR_ACCESS_DENIED, CTL_DENIED },
		{ BUS_E_GONE, CTL_GONE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].name, name))
			return rows[i].status;
	return CTL_FAILED;
}

static bool is_absent(const char *name)
{
	return !strcmp(name, SD_BUS_ERROR_SERVICE_UNKNOWN) || !strcmp(name, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

int bus_failure(struct bus_client *c, const sd_bus_error *e, int r)
{
	char shown[BUS_WHY_MAX];

	if (!e || !e->name) {
		text_format(c->why, sizeof(c->why), "failed to ask reclaimd: %s", strerror(-r));
		return CTL_FAILED;
	}
	if (is_absent(e->name)) {
		text_format(c->why, sizeof(c->why),
			    "reclaimd isn't running: no " BUS_NAME
			    " on the system bus; start it: systemctl start reclaimd");
		return CTL_FAILED;
	}
	escape_text(e->message ? e->message : e->name, shown, sizeof(shown));
	text_format(c->why, sizeof(c->why), "%s", shown);
	return status_of(e->name);
}

int bus_client_new(struct bus_client *c, const char *interface, const char *member, sd_bus_message **ret)
{
	int r = sd_bus_message_new_method_call(c->bus, ret, c->destination, BUS_PATH, interface, member);

	return r < 0 ? r : sd_bus_message_set_allow_interactive_authorization(*ret, 1);
}

int bus_client_send(struct bus_client *c, sd_bus_message *m, sd_bus_message **ret)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_call(c->bus, m, CALL_TIMEOUT_US, &error, ret);

	return r < 0 ? bus_failure(c, &error, r) : CTL_DONE;
}

int bus_client_call(struct bus_client *c, const char *interface, const char *member, sd_bus_message **ret,
		    const char *types, ...)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	va_list ap;
	int r = bus_client_new(c, interface, member, &m);

	va_start(ap, types);
	if (r >= 0 && *types)
		r = sd_bus_message_appendv(m, types, ap);
	va_end(ap);
	return r < 0 ? bus_failure(c, NULL, r) : bus_client_send(c, m, ret);
}

int bus_append_bits(sd_bus_message *m, const char *key, uint32_t bits, uint32_t n, const char *(*name)(uint32_t))
{
	int r = sd_bus_message_open_container(m, 'e', "sv");

	if (r >= 0)
		r = sd_bus_message_append_basic(m, 's', key);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "as");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "s");
	for (uint32_t i = 0; r >= 0 && i < n; i++)
		if (bits & 1u << i)
			r = sd_bus_message_append_basic(m, 's', name(i));
	for (size_t i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_close_container(m);
	return MIN(r, 0);
}

int bus_client_listen(struct bus_client *c, sd_bus_message_handler_t record, sd_bus_message_handler_t gone, void *arg)
{
	int r = sd_bus_match_signal(c->bus, NULL, c->destination, BUS_PATH, BUS_INTERFACE, "Recorded", record, arg);

	if (r >= 0)
		r = sd_bus_match_signal(c->bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
					"org.freedesktop.DBus.Local", "Disconnected", gone, arg);
	if (r >= 0 && c->destination)
		r = sd_bus_add_match(c->bus, NULL,
				     "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',"
				     "arg0='" BUS_NAME "',arg2=''",
				     gone, arg);
	return MIN(r, 0);
}
