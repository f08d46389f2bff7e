/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest sends on its way to sd-bus: through a pipe of ours, as far as frame.h lets it, and not too fast. */
#ifndef RECLAIM_BUS_INLET_H
#define RECLAIM_BUS_INLET_H

#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct inlet;

/*
 * @conn, which will read, lives longer. @socket stays the caller's. @ret_input is where sd-bus reads, the caller's
 * too: it ends when the guest hangs up or says what it mustn't. 0 or -errno.
 */
int inlet_new(sd_event *event, sd_bus *conn, int socket, uid_t uid, struct inlet **ret, int *ret_input) __must_check;
void inlet_free(struct inlet *in); /* accepts NULL */

#endif
