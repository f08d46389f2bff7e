/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reclaimd as reclaimctl sees it: by its own socket, or by the system bus. */
#ifndef RECLAIM_CTL_BUS_CLIENT_H
#define RECLAIM_CTL_BUS_CLIENT_H

#include <stdint.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"
#include "core/ledger.h"
#include "core/worker-client.h"
#include "reclaim/worker.h"

#define BUS_WHY_MAX 512

struct bus_client {
	sd_bus *bus; /* NULL: not connected */
	const char *destination; /* NULL on the private socket */
	char why[BUS_WHY_MAX]; /* what went wrong last, escaped */
};

/* Accepts zeroed and closed ones. */
void bus_client_close(struct bus_client *c);

/*
 * The socket first ($RECLAIM_BUS instead of /run/reclaimd/bus, unless we are set-id), then the system bus, where it
 * is seen only by a call whether the daemon is there. An enum ctl_status, with c->why.
 */
int bus_client_open(struct bus_client *c) __must_check;

/*
 * Calls a method of the daemon's interface, or with @interface of another one of its object; @types and what follows
 * as for sd_bus_message_append(). An enum ctl_status; the reply is the caller's.
 */
int bus_client_call(struct bus_client *c, const char *interface, const char *member, sd_bus_message **ret,
		    const char *types, ...) __must_check;

/*
 * What a worker of our own would do, by the daemon's: @ret is filled, as worker_client_run_cancel() and
 * worker_client_explain() do, also with the daemon's refusal. 0; -ENOTCONN when there is no daemon to ask; -errno.
 */
int bus_client_trim(struct bus_client *c, const struct worker_request *req, int cancel_fd, struct worker_result *ret)
	__must_check;
int bus_client_explain(struct bus_client *c, const struct worker_request *req, struct explain_answer *ret) __must_check;

/*
 * ledger_read() by the daemon, for who may not read the ledger: their own processes. At most some hundred records,
 * the newest. An enum ctl_status, with c->why; what is not 0 from @fn ends it and comes back in @ret_fn.
 */
int bus_client_history(struct bus_client *c, const struct ledger_filter *f, ledger_fn fn, void *arg, int *ret_fn)
	__must_check;

/*
 * Calls @record with each record of the ledger as it is written (the signal Recorded), and @gone when the connection
 * ends, or on the system bus when the daemon's name goes. 0 or -errno.
 */
int bus_client_listen(struct bus_client *c, sd_bus_message_handler_t record, sd_bus_message_handler_t gone, void *arg)
	__must_check;

#endif
