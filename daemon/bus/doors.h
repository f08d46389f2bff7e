/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: who is connected, and by which way. */
#ifndef RECLAIM_BUS_DOORS_H
#define RECLAIM_BUS_DOORS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "bus/bus.h"
#include "bus/quota.h"

struct request;

/* One connection: of somebody to our socket, or ours to the system bus. */
struct peer {
	struct bus *bus;
	sd_bus *conn;
	/* of the private socket: who it is, by SO_PEERCRED */
	bool known;
	uid_t uid;
	pid_t pid;
	uint64_t start_time; /* 0: has gone before we could look */
	struct inlet *inlet;
	struct peer *prev, *next;
};

struct bus {
	sd_event *event;
	struct manager *manager;
	struct quota quota;
	struct request *requests; /* that have no answer yet */
	/* private.c */
	int listen_fd;
	sd_event_source *listen_source;
	char *path; /* that we have bound */
	struct peer *peers;
	/* system.c */
	char *system_address; /* NULL: none */
	struct peer system; /* conn NULL: not just now */
	bool system_ready; /* the bus has answered */
	sd_event_source *system_again;
	uint64_t system_again_us; /* how long it waits the next time */
};

/* private.c */
int private_open(struct bus *b, const char *path) __must_check;
void private_close(struct bus *b);
/* Somebody at the other end of @fd, which is taken. 0, or -errno: then nobody is connected. */
int private_admit(struct bus *b, int fd);

/* system.c: awaits the bus and connects again after it has gone. 0 or -errno, of our own side only. */
int system_open(struct bus *b, const char *address) __must_check;
void system_close(struct bus *b);

/* object.c: what /org/reclaim1 has; @p is the vtable's userdata. */
int object_add(struct peer *p) __must_check;

/* signal.c: the manager's announcements to those who may hear them. */
void signal_listen(struct bus *b);

#endif
