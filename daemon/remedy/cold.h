/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Idle memory made the first to go when memory gets short: MADV_COLD, from outside. */
#ifndef RECLAIM_REMEDY_COLD_H
#define RECLAIM_REMEDY_COLD_H

#include "remedy/remedy.h"

extern const struct remedy remedy_cold;

#endif
