/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Begin and end of the manager, for whoever runs it. */
#ifndef RECLAIM_CORE_MANAGER_LIFE_H
#define RECLAIM_CORE_MANAGER_LIFE_H

#include <errno.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "core/manager.h"

struct manager_options {
	/* Of reclaimd.conf, from the weakest to the strongest, NULL-terminated; NULL: the usual ones. Borrowed. */
	const char *const *conf_dirs;
	const char *state_dir; /* exists */
	const char *proc; /* NULL: /proc; else a folder like it, for tests */
};

#define MANAGER_MISCONFIGURED EBADR /* a mistake in the configuration; the kernel says that of nothing here */

/*
 * Reads the settings and the ledger; the first sweep comes as soon as the loop
 * runs. Words for a failure in @why. 0, -MANAGER_MISCONFIGURED, -errno.
 */
int manager_open(sd_event *event, const struct manager_options *o, struct manager **ret, char *why, size_t why_size)
	__must_check;

/* Reads the settings only: what is wrong with them is logged, the first of it in @why. 0 or as above. */
int manager_check_settings(const char *const *conf_dirs, char *why, size_t why_size) __must_check;

/* Workers are killed, which lets their targets go. Accepts a pointer to NULL. */
void manager_close(struct manager **m);

#endif
