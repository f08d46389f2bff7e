/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the roots of pymalloc by their contents: no symbol names them in a distribution's Python. */
#ifndef RECLAIM_INSPECT_CPYTHON_ROOTS_H
#define RECLAIM_INSPECT_CPYTHON_ROOTS_H

#include "inspect/cpython.h"

/* Fills usedpools, arenas_at, maxarenas_at and the sizes; or pymalloc_why, with usedpools 0. */
void cpython_roots_find(struct target *t, struct cpython *py);

#endif
