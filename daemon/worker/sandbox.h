/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the reader gives up before it parses anything that the target could have forged. */
#ifndef RECLAIM_WORKER_SANDBOX_H
#define RECLAIM_WORKER_SANDBOX_H

#include "base/cleanup.h"

/*
 * Becomes nobody, drops all capabilities, bounds memory, CPU time and file
 * sizes, is first in line for the OOM killer, and installs a seccomp filter
 * that leaves reading open fds, memory of its own that isn't executable,
 * time, and the socket. 0 or -errno; on failure the caller must not go on.
 */
int sandbox_enter(void) __must_check;

#endif
