/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The injector: one target, one request, one result. */
#ifndef RECLAIM_WORKER_INJECTOR_H
#define RECLAIM_WORKER_INJECTOR_H

#include "reclaim/worker.h"

/* Always fills @ret. */
void injector_run(const struct worker_request *req, struct worker_result *ret);

#endif
