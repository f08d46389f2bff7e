/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reclaimd: options and wiring. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "bus/bus.h"
#include "core/log.h"
#include "core/manager-life.h"
#include "reclaim/bus.h"

#ifndef RECLAIM_VERSION
#define RECLAIM_VERSION "0"
#endif

#define CONF_DIRS_MAX 16
#define STATE_DIR "/var/lib/reclaim"
#define SOCKET_DIR "/run/reclaimd"
#define EXIT_USAGE 2
#define EXIT_MISCONFIGURED EX_CONFIG /* the unit knows it too: to try again would be in vain */

struct options {
	const char *conf_dirs[CONF_DIRS_MAX + 1]; /* NULL-terminated */
	size_t nconf_dirs;
	const char *state_dir, *socket; /* NULL: the usual ones */
	bool check;
};

static const struct {
	struct option option;
	const char *arg, *help;
} option_rows[] = {
	{ { "config", required_argument, NULL, 'c' },
	  "DIR",
	  "Read reclaimd.conf and reclaimd.conf.d of DIR instead; repeat: weakest first" },
	{ { "state-dir", required_argument, NULL, 's' }, "DIR", "Keep the ledger in DIR" },
	{ { "socket", required_argument, NULL, 'b' },
	  "PATH",
	  "Answer on PATH instead of /run/reclaimd/bus; empty: on none" },
	{ { "check", no_argument, NULL, 'C' }, NULL, "Only say what is wrong with the configuration" },
	{ { "help", no_argument, NULL, 'h' }, NULL, "Show this help" },
	{ { "version", no_argument, NULL, 'v' }, NULL, "Show the version" },
};

static int show_help(void)
{
	printf("usage: reclaimd [OPTION]...\n\nFinds bloated, idle processes and gives their memory back.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++) {
		char name[40];

		(void)snprintf(name, sizeof(name), "--%s%s%s", option_rows[i].option.name,
			       option_rows[i].arg ? "=" : "", option_rows[i].arg ? option_rows[i].arg : "");
		printf("  %-18s %s\n", name, option_rows[i].help);
	}
	printf("\nIt is started by its service; see reclaimd(8) and reclaimd.conf(5).\n");
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* -1 to go on, else an exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
	struct option longs[ARRAY_SIZE(option_rows) + 1] = { { 0 } };
	int c;

	for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++)
		longs[i] = option_rows[i].option;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			if (o->nconf_dirs == CONF_DIRS_MAX) {
				log_error("--config: at most %d times", CONF_DIRS_MAX);
				return EXIT_USAGE;
			}
			o->conf_dirs[o->nconf_dirs++] = optarg;
			break;
		case 's':
			o->state_dir = optarg;
			break;
		case 'b':
			o->socket = optarg;
			break;
		case 'C':
			o->check = true;
			break;
		case 'h':
			return show_help();
		case 'v':
			return printf("reclaimd %s\n", RECLAIM_VERSION) < 0 || fflush(stdout) ? EXIT_FAILURE :
												EXIT_SUCCESS;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		log_error("unexpected argument: see reclaimd --help");
		return EXIT_USAGE;
	}
	return -1;
}

/* Of the service, or that of who asks for another; it is made when it isn't there. */
static int choose_state_dir(struct options *o)
{
	const char *own = secure_getenv("RECLAIM_STATE_DIR"), *service = secure_getenv("STATE_DIRECTORY");

	if (!o->state_dir)
		o->state_dir = own && *own ? own : service && *service ? service : STATE_DIR;
	if (mkdir(o->state_dir, 0750) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

/* Its service makes the folder of the usual one; by hand nobody else would. */
static int open_doors(sd_event *event, struct manager *m, const struct options *o, struct bus **ret)
{
	const struct bus_places places = {
		.socket = o->socket ? (*o->socket ? o->socket : NULL) : BUS_SOCKET,
		.system = bus_system_address(),
	};
	int r;

	if (!o->socket)
		(void)mkdir(SOCKET_DIR, 0755);
	r = bus_open(event, m, &places, ret);
	if (r < 0)
		log_error("the socket %s can't be opened: %s", places.socket ? places.socket : "", strerror(-r));
	return r;
}

/* Without its configuration it would do what nobody has asked for. */
static int check_conf_dirs(const struct options *o)
{
	struct stat st;

	for (size_t i = 0; i < o->nconf_dirs; i++) {
		const int r = stat(o->conf_dirs[i], &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;

		if (r < 0) {
			log_error("--config=%s: %s", o->conf_dirs[i], strerror(-r));
			return r;
		}
	}
	return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	char why[512];

	(void)source;
	(void)si;
	if (manager_reload(arg, why, sizeof(why)) < 0)
		log_error("the old configuration stays in force");
	return 0;
}

static int add_signals(sd_event *event, struct manager *m)
{
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	/* Without a handler they end the loop. */
	r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGHUP, on_reload, m);
	return r;
}

static const char *const *conf_dirs(const struct options *o)
{
	return o->nconf_dirs ? o->conf_dirs : NULL;
}

/* What can't be read may be readable a moment later, what is wrong stays so until somebody puts it right. */
static int exit_status(int r)
{
	return r >= 0 ? EXIT_SUCCESS : r == -MANAGER_MISCONFIGURED ? EXIT_MISCONFIGURED : EXIT_FAILURE;
}

static int check(const struct options *o)
{
	char why[512];
	int r = manager_check_settings(conf_dirs(o), why, sizeof(why));

	/* Mistakes have been logged one by one. */
	if (r < 0 && r != -MANAGER_MISCONFIGURED)
		log_error("%s", why);
	return r;
}

static int run(const struct options *o)
{
	_cleanup_(sd_event_unrefp) sd_event *event = NULL;
	_cleanup_(manager_close) struct manager *m = NULL;
	_cleanup_(bus_close) struct bus *bus = NULL;
	const struct manager_options how = {
		.conf_dirs = conf_dirs(o),
		.state_dir = o->state_dir,
	};
	char why[512];
	int r = sd_event_default(&event);

	if (r >= 0)
		r = manager_open(event, &how, &m, why, sizeof(why));
	else
		(void)snprintf(why, sizeof(why), "no event loop: %s", strerror(-r));
	if (r < 0) {
		log_error("failed to start: %s", why);
		return r;
	}
	r = add_signals(event, m);
	if (r >= 0)
		r = open_doors(event, m, o, &bus);
	if (r >= 0)
		r = sd_event_set_watchdog(event, true);
	if (r >= 0) {
		(void)sd_notify(0, "READY=1");
		r = sd_event_loop(event);
	}
	(void)sd_notify(0, "STOPPING=1");
	if (r < 0)
		log_error("failed to run: %s", strerror(-r));
	return r;
}

int main(int argc, char **argv)
{
	struct options o = { .socket = NULL };
	int r = parse_options(argc, argv, &o);

	if (r >= 0)
		return r;
	if (check_conf_dirs(&o) < 0)
		return EXIT_MISCONFIGURED;
	if (o.check)
		return exit_status(check(&o));
	r = choose_state_dir(&o);
	if (r < 0) {
		log_error("the folder %s can't be made: %s", o.state_dir, strerror(-r));
		return EXIT_FAILURE;
	}
	return exit_status(run(&o));
}
