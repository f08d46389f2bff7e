/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Idle memory moved to swap now: MADV_PAGEOUT, from outside. */
#ifndef RECLAIM_REMEDY_PAGEOUT_H
#define RECLAIM_REMEDY_PAGEOUT_H

#include "remedy/remedy.h"

extern const struct remedy remedy_pageout;

#endif
