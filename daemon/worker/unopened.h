/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a target could not be opened, for people. */
#ifndef RECLAIM_WORKER_UNOPENED_H
#define RECLAIM_WORKER_UNOPENED_H

#include <errno.h>
#include <stddef.h>

#include "reclaim/worker.h"

/* The reader's error when it can't confine itself: none of what opening a target may fail with. */
#define UNOPENED_UNCONFINED ENOTRECOVERABLE

/* @error: what the reader's reply says. Fills @why. */
enum worker_outcome unopened(int error, char *why, size_t size);

/* @error: of subject_open(). Fills @why. */
enum worker_outcome unopened_subject(int error, char *why, size_t size);

#endif
