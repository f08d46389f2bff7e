/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Process ids as arguments of a verb. */
#ifndef RECLAIM_CTL_PIDS_H
#define RECLAIM_CTL_PIDS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

/*
 * @args as process ids, in order, each once; the caller frees *ret.
 * 0, -ENOMEM, or -EINVAL with one line in @why.
 */
int pids_parse(const char *const *args, size_t nargs, pid_t **ret, size_t *ret_n, char *why, size_t why_size)
	__must_check;

#endif
