/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code that the injector is going to compare while a thread stands still. Where its file hangs, and the page has
 * left memory since the plan was made, that would not come back: so the reader goes there first.
 */
#ifndef RECLAIM_REMEDY_PLACES_H
#define RECLAIM_REMEDY_PLACES_H

#include <stddef.h>
#include <stdint.h>

#include "remedy/remedy.h"

#define REMEDY_PLACES_MAX (12 + REMEDY_FUNCS_MAX)

/* Addresses of the target, one for each piece of code that @plan names. Returns how many. */
size_t remedy_places(const struct remedy_plan *plan, uint64_t ret[REMEDY_PLACES_MAX]);

#endif
