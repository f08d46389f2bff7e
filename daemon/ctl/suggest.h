/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "Did you mean": the nearest known word. */
#ifndef RECLAIM_CTL_SUGGEST_H
#define RECLAIM_CTL_SUGGEST_H

#include <stddef.h>

/* Nearest of @names to @word by edit distance or as a prefix, or NULL when none is near. */
const char *suggest(const char *word, const char *const *names, size_t n);

#endif
