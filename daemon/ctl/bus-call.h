/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What those share that call the daemon. */
#ifndef RECLAIM_CTL_BUS_CALL_H
#define RECLAIM_CTL_BUS_CALL_H

#include "ctl/bus-client.h"
#include "ctl/ctl.h"

/* Words for @e, or for -errno @r where there is none, into c->why. An enum ctl_status, never CTL_DONE. */
int bus_failure(struct bus_client *c, const sd_bus_error *e, int r);

/* A call that may ask for authentication. 0 or -errno. */
int bus_client_new(struct bus_client *c, const char *interface, const char *member, sd_bus_message **ret) __must_check;

/* Sends it and waits. An enum ctl_status, with c->why. */
int bus_client_send(struct bus_client *c, sd_bus_message *m, sd_bus_message **ret) __must_check;

/* One option of a dictionary that is being written: the names of @bits, those of numbers < @n. 0 or -errno. */
int bus_append_bits(sd_bus_message *m, const char *key, uint32_t bits, uint32_t n, const char *(*name)(uint32_t))
	__must_check;

#endif
