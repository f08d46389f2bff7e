/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to the room: reads that a stop would cut short. */
#ifndef RECLAIM_INJECT_PARTIAL_H
#define RECLAIM_INJECT_PARTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/inject.h"

/*
 * May a read(), recv() or the like from file @fd of the target, asleep, return
 * less when it is interrupted? So does one that waits for several bytes and
 * has the first: a socket with SO_RCVLOWAT, a terminal with VMIN.
 */
bool partial_read(const struct inject_target *target, uint64_t fd);

#endif
