// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "system-bus.h"

#define DBUS_DAEMON "/usr/bin/dbus-daemon"

/* The rules of a system bus as distributions ship them, in short. */
static const char config[] =
	"<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN'\n"
	" 'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\n"
	"<busconfig><type>system</type><listen>%s</listen><auth>EXTERNAL</auth>\n"
	"<policy context='default'><allow user='*'/><deny own='*'/><deny send_type='method_call'/>\n"
	"<allow send_type='signal'/><allow send_requested_reply='true' send_type='method_return'/>\n"
	"<allow send_requested_reply='true' send_type='error'/><allow receive_type='method_call'/>\n"
	"<allow receive_type='method_return'/><allow receive_type='error'/><allow receive_type='signal'/>\n"
	"<allow send_destination='org.freedesktop.DBus'/></policy>\n"
	"<policy user='root'><allow own='org.freedesktop.PolicyKit1'/>\n"
	"<allow send_destination='org.freedesktop.PolicyKit1'/></policy>\n"
	"<include>%s</include></busconfig>\n";

bool system_bus_can(void)
{
	return access(DBUS_DAEMON, X_OK) == 0;
}

void system_bus_prepare(struct system_bus *s)
{
	_cleanup_fclose_ FILE *f = NULL;

	snprintf(s->dir, sizeof(s->dir), "/tmp/reclaim-system.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	assert_int_equal(chmod(s->dir, 0755), 0);
	snprintf(s->config, sizeof(s->config), "%s/conf", s->dir);
	snprintf(s->address, sizeof(s->address), "unix:path=%s/bus", s->dir);
	f = fopen(s->config, "we");
	assert_non_null(f);
	fprintf(f, config, s->address, FIXTURES "/../../daemon/units/org.reclaim1.conf");
	s->polkit = mmap(NULL, sizeof(*s->polkit), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(s->polkit != MAP_FAILED);
}

void system_bus_start(struct system_bus *s)
{
	char option[128], fd[32], byte;
	int ready[2];

	assert_int_equal(pipe(ready), 0);
	snprintf(option, sizeof(option), "--config-file=%s", s->config);
	snprintf(fd, sizeof(fd), "--print-address=%d", ready[1]);
	s->child = fork();
	assert_true(s->child >= 0);
	if (!s->child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		execl(DBUS_DAEMON, DBUS_DAEMON, "--nofork", "--nopidfile", option, fd, NULL);
		_exit(127);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static void end(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

void system_bus_kill(struct system_bus *s)
{
	end(&s->polkit_child);
	end(&s->child);
	s->polkit->ready = 0;
}

void system_bus_done(struct system_bus *s)
{
	char path[128];

	system_bus_kill(s);
	snprintf(path, sizeof(path), "%s/bus", s->dir);
	unlink(path);
	unlink(s->config);
	assert_int_equal(rmdir(s->dir), 0);
	munmap(s->polkit, sizeof(*s->polkit));
}

sd_bus *system_bus_connect(const struct system_bus *s, uid_t uid)
{
	sd_bus *bus = NULL;

	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_address(bus, s->address) >= 0);
	assert_true(sd_bus_set_bus_client(bus, 1) >= 0);
	assert_int_equal(seteuid(uid), 0);
	assert_true(sd_bus_start(bus) >= 0);
	assert_int_equal(seteuid(0), 0);
	return bus;
}

/* ---------------------------------------------------------------- polkit */

static int read_subject(sd_bus_message *m, struct fake_polkit *p)
{
	const char *kind, *key;
	int r = sd_bus_message_enter_container(m, 'r', "sa{sv}");

	if (r > 0)
		r = sd_bus_message_read(m, "s", &kind);
	if (r <= 0)
		return -EBADMSG;
	snprintf(p->kind, sizeof(p->kind), "%s", kind);
	p->uid = p->pid = 0;
	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r > 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &key);
		if (r > 0 && !strcmp(key, "uid"))
			r = sd_bus_message_read(m, "v", "i", &p->uid);
		else if (r > 0 && !strcmp(key, "pid"))
			r = sd_bus_message_read(m, "v", "u", &p->pid);
		else if (r > 0)
			r = sd_bus_message_skip(m, "v");
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int on_check(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fake_polkit *p = userdata;
	const char *action, *cancel;
	int r = read_subject(m, p);

	(void)error;
	if (r >= 0)
		r = sd_bus_message_read(m, "s", &action);
	if (r >= 0)
		r = sd_bus_message_skip(m, "a{ss}");
	if (r >= 0)
		r = sd_bus_message_read(m, "us", &p->flags, &cancel);
	if (r < 0)
		return r;
	snprintf(p->action, sizeof(p->action), "%s", action);
	p->asked++;
	if (p->answer == POLKIT_SILENT)
		return 1;
	return sd_bus_reply_method_return(m, "(bba{ss})", p->answer == POLKIT_YES, p->answer == POLKIT_CHALLENGE, 0);
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static int be_polkit(const struct system_bus *s)
{
	sd_bus *bus = system_bus_connect(s, 0);
	int r = sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/PolicyKit1/Authority",
					 "org.freedesktop.PolicyKit1.Authority", vtable, s->polkit);

	if (r >= 0)
		r = sd_bus_request_name(bus, "org.freedesktop.PolicyKit1", 0);
	s->polkit->ready = r >= 0;
	while (r >= 0) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	return r;
}

void system_bus_start_polkit(struct system_bus *s)
{
	s->polkit_child = fork();
	assert_true(s->polkit_child >= 0);
	if (!s->polkit_child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(be_polkit(s) < 0);
	}
}
