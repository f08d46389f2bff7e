/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/suggest.h"

#define SUGGEST_LEN 32 /* longer words are never compared */

/* Edit distance with neighbours swapped counted as one (optimal string alignment). */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t d[SUGGEST_LEN + 1][SUGGEST_LEN + 1];

	for (size_t i = 0; i <= na; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= nb; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		for (size_t j = 1; j <= nb; j++) {
			size_t change = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			d[i][j] = MIN(MIN(d[i - 1][j], d[i][j - 1]) + 1, change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[na][nb];
}

const char *suggest(const char *word, const char *const *names, size_t n)
{
	size_t len = strlen(word), best = SIZE_MAX;
	const char *found = NULL;

	if (!len || len > SUGGEST_LEN)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t name_len = strlen(names[i]), d;

		if (name_len > SUGGEST_LEN)
			continue;
		if (len >= 2 && !strncmp(names[i], word, len))
			d = 1;
		else
			d = distance(word, len, names[i], name_len);
		/* At most a third of the word may be wrong, but one slip always may. */
		if (d < best && d <= MAX(len / 3, (size_t)1) && d < len) {
			best = d;
			found = names[i];
		}
	}
	return found;
}
