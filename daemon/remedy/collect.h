/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A full garbage collection of the target's own Python, run by one of its own threads. */
#ifndef RECLAIM_REMEDY_COLLECT_H
#define RECLAIM_REMEDY_COLLECT_H

#include "remedy/remedy.h"

extern const struct remedy remedy_collect;

#endif
