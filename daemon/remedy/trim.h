/* SPDX-License-Identifier: GPL-2.0-or-later */
/* malloc_trim(0) of the target's own glibc, run by one of its own threads. */
#ifndef RECLAIM_REMEDY_TRIM_H
#define RECLAIM_REMEDY_TRIM_H

#include "remedy/remedy.h"

extern const struct remedy remedy_trim;

#endif
