/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked of a worker, before anything is done about it. */
#ifndef RECLAIM_WORKER_REQUEST_H
#define RECLAIM_WORKER_REQUEST_H

#include <stddef.h>

#include "reclaim/worker.h"

/*
 * Is a message of @size bytes, of which @req holds as much as fits, a request that makes sense? Anybody may have sent
 * it who can start a worker. 0; -EBADMSG it is none of ours; -EINVAL.
 */
int request_check(const struct worker_request *req, size_t size);

#endif
